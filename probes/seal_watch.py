"""Watching the seal: whether the file in the run directory is the seal that PID 1 saw written.

Rules
-----
* The file alone proves nothing: without this generation's seal in PID 1's ledger it is not even read.
* It counts if its SHA-256 is the one in the ledger and ``seal.record.accept`` takes it: signature, boot, generation,
  PID 1's start time and plan are this container's.
* It is read again every 500 ms and at once when the ledger's seal changes. The bytes are compared, not size and time
  of the file: an edit within one tick of the clock shows too. The signature is verified once per ledger entry and content.
* Each look is told, with the moment it began: a watch that hangs tells nothing, and its last verdict grows old.
* Whatever goes wrong, the verdict is a refusal that names the file and the cause.
* ``since`` moves when the seal is accepted, when it is not any more, and with the generation; not when only the reason changes.
"""

import dataclasses
import hashlib
from collections.abc import Callable

from contract import boot_record, clock, errors, files, snapshot
from probes import readiness

INTERVAL_SECONDS = 0.5
_LIMIT = 4 * 1024 * 1024

Accept = Callable[[bytes, int], float]
"""Takes the record's bytes and the generation; returns its elapsed seconds, or raises OSError or BootsealError."""


def acceptor(boot: boot_record.BootRecord) -> Accept:
    """Return the real ``Accept``: it expects what Stage A and the ledger said, not what a file says now."""
    from seal import record  # 50 ms of cryptography, in the watcher's thread instead of before the listener

    def accept(data: bytes, generation: int) -> float:
        expected = record.Expected(
            boot.boot_id, generation, boot.pid1_start, boot.plan_sha256, record.raw_public_key(boot)
        )
        return record.accept(data, expected).elapsed_seconds

    return accept


class SealWatch:
    """Judges the seal file against the ledger; ``check`` blocks and belongs into one thread."""

    def __init__(
        self,
        path: str,
        current: Callable[[], snapshot.Snapshot | None],
        make_accept: Callable[[], Accept],
        tell: Callable[[readiness.Verdict, float], None],
    ) -> None:
        """Watch ``path``; ``current`` gives the newest ledger, ``tell`` learns each verdict and when the look began (monotonic)."""
        self._path = path
        self._current = current
        self._make_accept = make_accept
        self._tell = tell
        self._accept: Accept | None = None
        self._verified: tuple[int, str, float] | None = None
        self._verdict = readiness.not_judged(clock.rfc3339())

    def check(self) -> None:
        """Judge once, and tell the verdict: the very same object while it is the same."""
        began = clock.monotonic()
        last, found = self._verdict, self._judge(self._current())
        is_same = (found.is_accepted, found.generation) == (last.is_accepted, last.generation)
        verdict = dataclasses.replace(found, since=last.since if is_same else clock.rfc3339())
        if verdict != last:
            self._verdict = verdict
        self._tell(self._verdict, began)

    def _judge(self, ledger: snapshot.Snapshot | None) -> readiness.Verdict:
        try:
            if self._accept is None:
                self._accept = self._make_accept()
            if ledger is None:
                return readiness.not_judged("")
            if ledger.seal is None:
                return _refuse(ledger, "this generation is not sealed")
            elapsed = self._verify(self._accept, ledger.generation, ledger.seal)
        except OSError as error:
            why = errors.describe_os_error(error)
            if error.filename not in {None, self._path}:
                why = f"it cannot be judged without {error.filename}: {why}"
            elif isinstance(error, FileNotFoundError):
                why = f"{why}; it was removed after PID 1 saw it written"
            return _refuse(ledger, f"seal {self._path}: {why}")
        except errors.BootsealError as error:
            return _refuse(ledger, f"seal {self._path}: {error.why}")
        except Exception as error:  # fail closed, whatever a library raises
            return _refuse(ledger, f"seal {self._path}: it could not be judged: {type(error).__name__}: {error}")
        return readiness.Verdict(True, "", "", ledger.generation, elapsed)

    def _verify(self, accept: Accept, generation: int, seen: snapshot.SealView) -> float:
        """Return the record's elapsed seconds; raises OSError or BootsealError when the file does not count."""
        data = files.read_bounded(self._path, _LIMIT)
        if hashlib.sha256(data).hexdigest() != seen.sha256:
            raise errors.InvalidRecord("seal", "it changed after PID 1 saw it written")
        if self._verified is None or self._verified[:2] != (generation, seen.sha256):
            self._verified = (generation, seen.sha256, accept(data, generation))
        return self._verified[2]


def _refuse(ledger: snapshot.Snapshot | None, reason: str) -> readiness.Verdict:
    return readiness.Verdict(False, reason, "", ledger.generation if ledger else 0)
