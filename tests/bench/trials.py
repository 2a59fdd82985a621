"""One trial of a measure: waiting for what must happen, without polling where the kernel tells, and leaving nothing behind.

Rules
-----
* Every wait has an end; past it the trial is ``Missed``, which the table says.
* The bench is a subreaper (prctl(2)): whatever a system leaves behind becomes its child, and is killed by pid.
"""

import contextlib
import ctypes
import os
import select
import signal
import struct
import time
from collections.abc import Callable, Iterable
from typing import Any

import tree as trees

PATIENCE_SECONDS = 60.0
AT_EXIT = contextlib.ExitStack()
"""What must be undone when the bench ends."""
_IN_CREATE, _IN_MOVED_TO, _IN_CLOEXEC = 0x100, 0x80, 0o2000000
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


class Missed(Exception):
    """What was measured did not happen in time."""


def until(claim: Callable[[], Any], what: str, pause_seconds: float = 0.002) -> float:
    """Return the monotonic moment at which ``claim`` was seen true."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not claim():
        if time.monotonic() > end:
            raise Missed(what)
        time.sleep(pause_seconds)
    return time.monotonic()


class Arrival:
    """Sees a file appear in a directory, at the moment the kernel tells (inotify(7))."""

    def __init__(self, path: str) -> None:
        """Begin to watch; the directory of ``path`` must exist, the file must not."""
        self._path = path
        self._fd = _libc.inotify_init1(_IN_CLOEXEC)
        directory = os.path.dirname(path).encode()
        if self._fd < 0 or _libc.inotify_add_watch(self._fd, directory, _IN_CREATE | _IN_MOVED_TO) < 0:
            raise OSError(ctypes.get_errno(), "inotify", path)

    def wait(self, is_alive: Callable[[], bool]) -> float:
        """Return the monotonic moment at which it was there; Missed when it never is, or who makes it is gone."""
        end = time.monotonic() + PATIENCE_SECONDS
        name = os.path.basename(self._path).encode()
        while time.monotonic() < end:
            if select.select([self._fd], [], [], 0.5)[0]:
                if name in _names(os.read(self._fd, 65536)):
                    return time.monotonic()
            elif not is_alive():
                raise Missed(f"it ended before {os.path.basename(self._path)} was written")
        raise Missed(f"{os.path.basename(self._path)} was not written")

    def close(self) -> None:
        """Stop watching."""
        os.close(self._fd)


def _names(data: bytes) -> list[bytes]:
    names = []
    while data:
        length = struct.unpack_from("iIII", data)[3]
        names.append(data[16 : 16 + length].rstrip(b"\0"))
        data = data[16 + length :]
    return names


def wait_until_all_ended(pids: Iterable[int], act: Callable[[], None]) -> tuple[float, list[float]]:
    """Call ``act`` and return the moment before it, and the moments at which each of ``pids`` had ended (pidfd_open(2))."""
    waiting = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            waiting[os.pidfd_open(pid)] = pid
    poller, ended = select.poll(), []
    try:
        for fd in waiting:
            poller.register(fd, select.POLLIN)
        began = time.monotonic()
        act()
        end = began + PATIENCE_SECONDS
        while waiting:
            ready = poller.poll(max(0.0, end - time.monotonic()) * 1000)
            if not ready:
                raise Missed(f"{len(waiting)} processes did not end")
            for fd, _ in ready:
                ended.append(time.monotonic())
                poller.unregister(fd)
                os.close(fd)
                del waiting[fd]
        return began, ended
    finally:
        for fd in waiting:
            os.close(fd)


def become_subreaper() -> None:
    """Inherit the orphans of what we start."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def sweep() -> None:
    """Kill and reap, by pid, every process that this one started and that is still there."""
    end = time.monotonic() + PATIENCE_SECONDS
    while below := trees.descendants(os.getpid()):
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        reap()
        if time.monotonic() > end:
            raise Missed(f"{len(below)} processes cannot be killed")
        time.sleep(0.002)


def reap() -> None:
    """Reap every ended child that nobody waits for."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
