"""Phases: the named steps of Stage A, run in order, each with a deadline and three events.

Rules
-----
* A phase is announced (``PhaseStarted``) and ends in ``PhaseCompleted`` with its duration, or the boot ends in one
  ``BootstrapFailed`` that names the phase and the cause.
* Whatever a phase raises becomes that cause: an exception nobody foresaw is a failure, too.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator

from contract import boot_record, clock, errors, events, exit_codes, records
from entrypoint import stop


@records.dataclass(frozen=True)
class Phase:
    """One step: its name, how long it may take, and what it does."""

    name: str
    deadline_seconds: float
    run: Callable[[], None]


class PhaseFailed(Exception):
    """A phase failed; ``exit_code`` is the container's."""

    def __init__(self, phase: str, cause: str, exit_code: int) -> None:
        self.phase = phase
        self.cause = cause
        self.exit_code = exit_code
        super().__init__(f"{phase}: {cause}")


class CannotHandOver(errors.BootsealError):
    """supervisord cannot be executed (126) or was not found (127)."""

    def __init__(self, what: str, why: str, remedy: str, exit_code: int) -> None:
        super().__init__(what, why, remedy)
        self.exit_code = exit_code


def run(phases: Iterable[Phase], emitter: events.Emitter, began: float) -> list[boot_record.PhaseTiming]:
    """Run ``phases`` in order and return how long each took; raises PhaseFailed, or Stopped on a stop signal.

    ``began`` is the monotonic moment at which Stage A did.

    The next phase is asked for when the last one is done, so what it finds may decide which one comes.
    """
    timings: list[boot_record.PhaseTiming] = []
    for phase in phases:
        started = clock.monotonic()
        emitter.emit("PhaseStarted", phase=phase.name, deadline_seconds=phase.deadline_seconds)
        run_one(phase)
        duration_ms = round((clock.monotonic() - started) * 1000, 3)
        emitter.emit("PhaseCompleted", phase=phase.name, duration_ms=duration_ms)
        timings.append(boot_record.PhaseTiming(phase.name, round(started - began, 6), duration_ms))
    return timings


def run_one(phase: Phase) -> None:
    """Run one phase within its deadline; raises PhaseFailed, or Stopped on a stop signal."""
    with named(phase.name):
        try:
            with stop.deadline(phase.deadline_seconds):
                phase.run()
        except stop.DeadlineExceeded as error:
            why = f"it did not finish within {phase.deadline_seconds:g} s"
            raise errors.BootsealError(f"phase {phase.name}", why) from error


@contextlib.contextmanager
def named(phase: str) -> Iterator[None]:
    """Turn every exception of the block into a PhaseFailed that names ``phase``."""
    try:
        yield
    except CannotHandOver as error:
        raise PhaseFailed(phase, str(error), error.exit_code) from error
    except errors.BootsealError as error:
        raise PhaseFailed(phase, str(error), exit_codes.INFRASTRUCTURE_FAILURE) from error
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        cause = f"{where}{errors.describe_os_error(error)}"
        raise PhaseFailed(phase, cause, exit_codes.INFRASTRUCTURE_FAILURE) from error
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"
        raise PhaseFailed(phase, cause, exit_codes.INFRASTRUCTURE_FAILURE) from error
