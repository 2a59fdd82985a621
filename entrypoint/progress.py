"""What a person watches while a tree boots: the events of one boot, folded into a row per phase and program. Pure.

What a program or a command said is in the events as it was said; what is folded here is ``printable``, on one line.
"""

import dataclasses
from typing import Any

from contract import errors

BOOTING, READY, UNREADY, FAILED, STOPPED = "booting", "ready", "unready", "failed", "stopped"
WITHHELD = "withheld"
"""The state of a program that is never started, because it lacks an artifact."""


@dataclasses.dataclass(frozen=True)
class Row:
    """One program as it is shown; ``at_seconds`` is when it came to this state, from the start of Stage A."""

    name: str
    state: str
    detail: str
    at_seconds: float


@dataclasses.dataclass(frozen=True)
class Progress:
    """Everything shown. ``failure`` is the cause of a failed boot, or of what else ended the container.

    ``phases`` counts Stage A's completed phases; ``reason`` says why it is not ready. A failed boot that
    is held may be sealed late.
    """

    state: str = BOOTING
    phases: int = 0
    stage_a_ms: float = 0.0
    rows: tuple[Row, ...] = ()
    sealed_seconds: float | None = None
    failure: str = ""
    missing: tuple[str, ...] = ()
    reason: str = ""
    is_held: bool = False

    def row(self, name: str) -> Row | None:
        """Return the row of the program ``name``."""
        return next((row for row in self.rows if row.name == name), None)


def printable(text: object) -> str:
    """Return ``text`` without what a terminal would act on: that is shown as Python writes it."""
    return errors.printable(str(text))


def begin(programs: tuple[str, ...]) -> Progress:
    """Return the progress of a boot that has not begun."""
    return Progress(rows=tuple(Row(name, "waiting", "", 0.0) for name in programs))


def after(progress: Progress, event: dict[str, Any], at_seconds: float) -> Progress:
    """Return ``progress`` after ``event``, which came ``at_seconds`` into the boot."""
    name = str(event.get("program", ""))
    match event.get("event"):
        case "PhaseCompleted":
            duration = float(event.get("duration_ms", 0.0))
            return dataclasses.replace(progress, phases=progress.phases + 1, stage_a_ms=progress.stage_a_ms + duration)
        case "ProgramStarted":
            return _with_row(progress, Row(name, "started", f"pid {event.get('pid')}", at_seconds))
        case "ProgramWithheld":
            return _with_row(progress, _withheld(progress.row(name), event, at_seconds))
        case "ProgramReady":
            return _with_row(progress, Row(name, "ready", printable(event.get("ready_by", "")), at_seconds))
        case "ProgramFailed":
            return _with_row(progress, Row(name, "failed", printable(event.get("reason", "")), at_seconds))
        case "BootstrapCompleted":
            return dataclasses.replace(progress, sealed_seconds=at_seconds)
        case "BootstrapFailed":
            cause = printable(f"{event.get('phase')}: {event.get('cause')}")
            is_held = event.get("on_failure") == "hold"
            return dataclasses.replace(progress, state=FAILED, failure=progress.failure or cause, is_held=is_held)
        case "ContainerEnding":
            cause = printable(event.get("cause"))
            state = FAILED if event.get("exit_code") else STOPPED
            return dataclasses.replace(progress, state=state, failure=progress.failure or cause)
        case "ReadinessChanged" if event.get("ready") is True and (
            progress.is_held or progress.state not in {FAILED, STOPPED}
        ):
            return dataclasses.replace(progress, state=READY, missing=(), reason="")
        case "ReadinessChanged" if progress.state not in {FAILED, STOPPED}:
            missing = tuple(printable(name) for name in event.get("missing", ()))
            return dataclasses.replace(
                progress, state=UNREADY, missing=missing, reason=printable(event.get("reason", ""))
            )
        case "StopRequested" if progress.state != FAILED:
            return dataclasses.replace(progress, state=STOPPED)
        case _:
            return progress


def _withheld(before: Row | None, event: dict[str, Any], at_seconds: float) -> Row:
    """Return the row of a program that lacks an artifact; each that it lacks is an event of its own."""
    lack = printable(f"artifact {event.get('artifact')}: {event.get('reason')}")
    known = before.detail if before is not None and before.state == WITHHELD else ""
    told = known if lack in known else f"{known}; {lack}"  # a new generation tells it again
    detail = told if known else lack
    return Row(str(event.get("program", "")), WITHHELD, detail, at_seconds)


def _with_row(progress: Progress, row: Row) -> Progress:
    rows = tuple(row if existing.name == row.name else existing for existing in progress.rows)
    return dataclasses.replace(progress, rows=rows)
