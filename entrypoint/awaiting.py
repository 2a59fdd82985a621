"""Waiting for a container to become something: the judgement is pure, the loop asks.

Rules
-----
* A boot that had ended before the waiting began is not the one that is waited for: one that comes later is.
* Waiting ends early when it is of no use: the boot failed (also when it is held), the container stops or is gone, or a program
  that is needed failed for good. Why is told.
* The moment of the seal is learnt from a held request; all else by asking again.
"""

import dataclasses
import time
from collections.abc import Callable

from contract import clock, errors, rundir, snapshot
from entrypoint import asking, causes, situation, unknown

READY, SEALED, PROGRAM, REQUIREMENT = "ready", "sealed", "program", "requirement"
_HELD_SECONDS = 1.0
_PAUSE_SECONDS = 0.1


@dataclasses.dataclass(frozen=True)
class Goal:
    """What is waited for: ``kind`` is one of this module's four, ``name`` whose."""

    kind: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".rstrip()


@dataclasses.dataclass(frozen=True)
class Verdict:
    """``reached`` is None while it may still come; ``why`` is one sentence, on what it lacks or how it was reached."""

    reached: bool | None
    why: str


def parse(text: str) -> Goal | None:
    """Return the goal ``text``: ready, sealed, program=NAME, requirement=ID; None for anything else."""
    kind, separator, name = text.partition("=")
    if kind in {READY, SEALED} and not separator:
        return Goal(kind)
    return Goal(kind, name) if kind in {PROGRAM, REQUIREMENT} and name else None


def judge(goal: Goal, found: situation.Situation) -> Verdict:
    """Say whether ``goal`` is reached in ``found``, or cannot be; raises unknown.Unknown naming what is closest."""
    if found.phase == situation.ENDED:
        return Verdict(False, _lacks(found))
    if goal.kind == PROGRAM and found.programs:
        return _program(goal, found)
    if goal.kind == REQUIREMENT and found.requirements:
        verdict = _requirement(goal, found)
    elif goal.kind == SEALED and found.sealed_at:
        return Verdict(True, f"sealed at {found.sealed_at}")
    elif goal.kind == READY and found.ready:
        return Verdict(True, f"ready since {found.since}")
    else:
        verdict = Verdict(None, _lacks(found))
    return verdict if verdict.reached is not None else Verdict(_hopeless(goal, found), verdict.why)


def _program(goal: Goal, found: situation.Situation) -> Verdict:
    view = found.program(goal.name)
    if view is None:
        raise unknown.error(unknown.PROGRAM, goal.name, [one.name for one in found.programs])
    if found.unconfirmed:
        return Verdict(None, found.unconfirmed)
    if view.state == snapshot.READY:
        return Verdict(True, f"{view.name} is ready since {view.since} by {view.ready_by}")
    cause = causes.of_program(found, view)
    is_over = view.final or found.phase == snapshot.STOPPING
    return Verdict(False if is_over else None, cause.sentence if cause else view.reason)


def _requirement(goal: Goal, found: situation.Situation) -> Verdict:
    row = found.requirement(goal.name)
    if row is None:
        raise unknown.error(unknown.REQUIREMENT, goal.name, [one.id for one in found.requirements])
    return Verdict(True, f"{goal.name} is met") if row.met else Verdict(None, row.reason)


def _lacks(found: situation.Situation) -> str:
    cause = causes.first(found)
    return cause.sentence if cause else found.reason or "that is not told"


def _hopeless(goal: Goal, found: situation.Situation) -> bool | None:
    """Return False when waiting for what concerns the whole container is of no use, else None."""
    if found.phase in {snapshot.STOPPING, snapshot.HELD} or (found.failure and found.phase != snapshot.SEALED):
        return False
    needed = [view for view in found.programs if view.required and view.final and view.state == snapshot.FAILED]
    return False if needed and goal.kind in {READY, SEALED} else None


def wait(
    run: rundir.RunDirectory, goal: Goal, timeout_seconds: float, sleep: Callable[[float], None] = time.sleep
) -> Verdict:
    """Wait until ``goal`` is reached or cannot be, at most ``timeout_seconds``; raises unknown.Unknown.

    The verdict's ``reached`` is None when the time is over. It is looked once at least, and no question has less than
    ``asking.LEAST_SECONDS``.
    """
    end = clock.monotonic() + timeout_seconds
    earlier: str | None = None
    was_seen = is_looked = False
    while True:
        found = asking.look(run, timeout_seconds=min(2 * asking.ASK_SECONDS, end - clock.monotonic()))
        if not is_looked and found.phase == situation.ENDED:
            earlier = found.boot_id
        is_looked, was_seen = True, was_seen or found.is_alive
        verdict = _verdict(goal, found, earlier, was_seen=was_seen)
        left = end - clock.monotonic()
        if verdict.reached is not None or left <= 0:
            return verdict
        _pause(run, goal, found, min(left, _HELD_SECONDS), sleep)


def _verdict(goal: Goal, found: situation.Situation, earlier: str | None, *, was_seen: bool) -> Verdict:
    if found.phase == situation.ABSENT:
        return Verdict(False, "the container is gone") if was_seen else Verdict(None, found.reason)
    if found.phase == situation.ENDED and found.boot_id == earlier:
        return Verdict(None, f"nothing runs there; of the last boot: {found.reason}")
    return judge(goal, found)


def _pause(
    run: rundir.RunDirectory, goal: Goal, found: situation.Situation, seconds: float, sleep: Callable[[float], None]
) -> None:
    """Let time pass: until the seal where that is next, else a moment."""
    if goal.kind in {READY, SEALED} and not found.sealed_at and found.told_by == situation.PROBES:
        held = int(seconds * 1000)
        most = seconds + asking.LEAST_SECONDS
        try:
            began = clock.monotonic()
            status, _ = asking.probe(run, f"/startupz?wait={held}ms", timeout_seconds=most)[0]
            if status == 200 or clock.monotonic() - began >= _PAUSE_SECONDS:
                return
        except errors.BootsealError:
            pass  # it has gone meanwhile: the next look says so
    sleep(min(seconds, _PAUSE_SECONDS))
