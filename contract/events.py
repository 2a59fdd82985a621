"""Events: one JSON object a line, to stderr and to the bounded ``events.jsonl`` of the run directory.

Rules
-----
* Every event has ``time`` (RFC 3339, ms), ``level``, ``event``, ``stage`` ("bootstrap"), ``boot_id``,
  ``source``, ``seq`` (counted per source and process) and, once there is a boot_id, ``traceparent`` (``contract.trace``), then its
  own fields.
* An event reaches the file in one write, so lines of several processes never mix; what a full disk took of a line is
  taken back.
* Emitting never blocks and never raises: what a full disk or an unread pipe refuses is dropped and counted,
  and the next event says how many (``dropped``).
* The file is bounded: past ``FILE_LIMIT`` it becomes ``events.jsonl.1`` and a new one begins.
"""

import contextlib
import fcntl
import json
import os
import select
import stat
from collections.abc import Callable
from typing import Any

from contract import clock, trace

FILE_LIMIT = 1024 * 1024
STAGE = "bootstrap"
_PATIENCE_MS = 100
_PIPE_BUF = 4096
_UNWRITTEN_LIMIT = 100

LEVELS: dict[str, str] = {
    "BootstrapStarted": "info",
    "PhaseStarted": "debug",
    "PhaseCompleted": "info",
    "SecurityProfileApplied": "info",
    "ImmutableRootWritable": "warn",
    "WorkspaceNotMounted": "warn",
    "ConfinementUnavailable": "info",
    "IdentityEstablished": "info",
    "SecretsDelivered": "info",
    "CapabilityValidated": "info",
    "MissingArtifactDetected": "error",
    "OptionalArtifactMissing": "warn",
    "RuntimeClosureValidated": "info",
    "BootstrapFailed": "error",
    "SupervisorStarted": "info",
    "BootstrapSealStarted": "info",
    "ProgramStarted": "debug",
    "ProgramWithheld": "warn",
    "ProgramReady": "info",
    "ProgramFailed": "error",
    "BootstrapSealTimeout": "error",
    "BootstrapCompleted": "info",
    "ReadinessChanged": "info",
    "LivenessChanged": "warn",
    "TraceExportFailed": "warn",
    "GenerationEnded": "info",
    "StopRequested": "info",
    "ProgramKilled": "warn",
    "ProgramFlapping": "warn",
    "ContainerEnding": "error",
    "NotificationRefused": "warn",
    "SignalPassedOn": "info",
    "SpeedupStoodAside": "warn",
    "OutputDropped": "warn",
    "ExtensionFault": "error",
}
"""Every event there is, with its level, which may be a warning instead (``Emitter.warn``); an unknown name is a programming error."""


class Emitter:
    """Emits the events of one source in one process."""

    def __init__(
        self,
        source: str,
        boot_id: str,
        path: str | None,
        sink: Callable[[bytes], bool] | None = None,
    ) -> None:
        """Emit to ``path`` (None: no file yet) and to ``sink``, by default standard error.

        A sink takes one whole line and says whether it was taken.
        """
        self._source = source
        self._boot_id = boot_id
        self._path = path
        self._sink = sink or write_to_stderr
        self._seq = 0
        self._dropped = 0
        self._unwritten: list[bytes] = []

    def attach(self, path: str) -> None:
        """Write to ``path`` from now on, first what was emitted before there was a file."""
        self._path = path
        for data in self._unwritten:
            append(path, data)
        self._unwritten.clear()

    def emit(self, event: str, **fields: Any) -> None:
        """Emit ``event`` with its own ``fields``; its level comes from ``LEVELS``."""
        self._emit(event, LEVELS[event], fields)

    def warn(self, event: str, **fields: Any) -> None:
        """Emit ``event``, which tells of trouble this time, as a warning."""
        self._emit(event, "warn" if LEVELS[event] == "info" else LEVELS[event], fields)

    def _emit(self, event: str, level: str, fields: dict[str, Any]) -> None:
        self._seq += 1
        line: dict[str, Any] = {
            "time": clock.rfc3339(),
            "level": level,
            "event": event,
            "stage": STAGE,
            "boot_id": self._boot_id,
            "source": self._source,
            "seq": self._seq,
        }
        kind = next((kind for kind in (trace.PROGRAM, trace.PHASE) if isinstance(fields.get(kind), str)), "")
        if context := trace.parent(self._boot_id, kind, fields.get(kind, "")):
            line["traceparent"] = context
        if self._dropped:
            line["dropped"] = self._dropped
        data = _encode({**line, **fields}) or _encode({**line, "unprintable": sorted(fields)})
        kept = self._sink(data)
        if self._path is not None:
            kept = append(self._path, data) and kept
        elif len(self._unwritten) < _UNWRITTEN_LIMIT:
            self._unwritten.append(data)
        self._dropped = 0 if kept else self._dropped + 1


def _encode(line: dict[str, Any]) -> bytes:
    """Return ``line`` as bytes, or nothing where JSON cannot say it."""
    try:
        return json.dumps(line, ensure_ascii=True, default=str).encode() + b"\n"
    except (TypeError, ValueError, RecursionError):
        return b""


def write_to_stderr(data: bytes) -> bool:
    """Write a line to descriptor 2 unless nobody takes it within 100 ms; say whether it was taken.

    After POLLOUT a pipe takes PIPE_BUF bytes without blocking and no more (pipe(7)), so a longer line goes in pieces.
    """
    try:
        poller = select.poll()
        poller.register(2, select.POLLOUT)
        view = memoryview(data)
        while view:
            if not poller.poll(_PATIENCE_MS):
                return False
            view = view[os.write(2, view[:_PIPE_BUF]) :]
    except OSError:
        return False
    return True


def append(path: str, data: bytes) -> bool:
    """Append one line to the bounded file ``path`` in one write; say whether it is there."""
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        fd = os.open(path, flags, 0o600)
    except OSError:
        return False
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            return False
        written = os.write(fd, data)
        if written < len(data):
            _take_back(fd, written)
        if os.fstat(fd).st_nlink == 0:  # rotated away twice since it was opened: nobody will read this
            return False
        if status.st_size + len(data) > FILE_LIMIT:
            with contextlib.suppress(OSError):  # another process is at it
                _rotate(path, fd)
    except OSError:
        return False
    else:
        return written == len(data)
    finally:
        os.close(fd)


def _take_back(fd: int, written: int) -> None:
    """Remove a cut line, unless another process wrote behind it."""
    end = os.lseek(fd, 0, os.SEEK_CUR)
    if os.fstat(fd).st_size == end:
        os.ftruncate(fd, end - written)


def _rotate(path: str, fd: int) -> None:
    """Move the full file away, once, whichever process comes first: the lock lies on the file itself."""
    fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    mine, current = os.fstat(fd), os.stat(path, follow_symlinks=False)
    if (mine.st_dev, mine.st_ino) == (current.st_dev, current.st_ino):
        os.rename(path, f"{path}.1")
