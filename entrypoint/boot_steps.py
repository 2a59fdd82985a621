"""The steps of a boot: when each program was spawned, RUNNING and ready, and what it waited for before. Pure.

Rules
-----
* Moments are PID 1's (``contract.snapshot.Timeline``), in seconds since this generation began; who waits for whom is the plan's
  to say.
* A program that was ready more than once before the seal counts with its last readiness there; one that is not ready now counts
  as not ready while the generation is not sealed. What followed the seal is no part of the boot.
* A need was met when it last came to be so before the program was spawned, as far as its first and its latest process tell.
"""

from collections.abc import Mapping

from contract import records, snapshot
from manifest import plan
from supervisord import readiness_book

PROGRAM, SEAL = "program", "seal"
"""Kinds of steps: the manifest's programs, and the seal program; the other kinds are the roles of bootseal's own."""
SLACK_SECONDS = 0.0005
"""A need is met and who waits for it is spawned in one turn, and moments are rounded."""


@records.dataclass(frozen=True)
class Step:
    """One program: when it was spawned, RUNNING to supervisor and ready, None where it was not.

    ``waited_for`` is the need that was met last before it was spawned, ``released`` when that was; both None where it needs
    nothing or was never spawned. ``unmet`` are the needs that are not met now.
    """

    name: str
    kind: str
    required: bool
    oneshot: bool
    state: str
    reason: str
    has_process: bool
    restarts: int
    spawned: float | None
    running: float | None
    ready: float | None
    waited_for: str | None
    released: float | None
    unmet: tuple[str, ...]

    @property
    def is_awaited(self) -> bool:
        """Whether the seal waits for it."""
        return self.required and self.kind != SEAL

    def seconds(self, asked: float) -> float | None:
        """Return how long it itself took, up to ``asked`` where it still tries.

        None where it was never spawned, or ended without having been ready.
        """
        if self.spawned is None:
            return None
        until = self.ready if self.ready is not None else asked if self.has_process else None
        return None if until is None else max(0.0, until - self.spawned)


def of(the_plan: plan.Plan, ledger: snapshot.Snapshot, began: float) -> tuple[Step, ...]:
    """Return the steps in the order of their spawns; programs that were never spawned come last, in the plan's order.

    ``began`` is the generation's beginning in seconds since Stage A began.
    """
    views = {view.name: view for view in ledger.programs}
    sealed = sealed_at(ledger)
    steps = [_step(one, views, sealed, began, ledger.phase) for one in the_plan.programs if one.name in views]
    return tuple(sorted(steps, key=lambda step: (step.spawned is None, step.spawned or 0.0)))


def sealed_at(ledger: snapshot.Snapshot) -> float | None:
    """Return when ``ledger``'s generation was sealed in seconds since Stage A began; None where it is not, or nobody knows."""
    if ledger.phase != snapshot.SEALED:
        return None
    return next((view.first.ready for view in ledger.programs if view.role == SEAL), None)


def _step(
    program: plan.ProgramPlan,
    views: Mapping[str, snapshot.ProgramView],
    sealed: float | None,
    began: float,
    phase: str,
) -> Step:
    view, needed = views[program.name], readiness_book.needs(program)
    spawned, ready = view.first.spawned, view.first.ready
    if sealed is not None:
        ready = _last_by(sealed, ready, view.latest.ready) or ready
    elif phase != snapshot.SEALED:
        ready = view.latest.ready if view.state == snapshot.READY else None
    released, waited_for = None, None
    if spawned is not None:
        met = [(_met(views[name], needed[name], spawned), name) for name in needed if name in views]
        released, waited_for = max(((at, name) for at, name in met if at is not None), default=(None, None))
    return Step(
        name=program.name,
        kind=program.role,
        required=view.required,
        oneshot=view.oneshot,
        state=view.state,
        reason=view.reason,
        has_process=view.pid is not None,
        restarts=view.restarts,
        spawned=_since(spawned, began),
        running=_since(view.first.running, began),
        ready=_since(ready, began),
        waited_for=waited_for,
        released=_since(released, began),
        unmet=tuple(name for name in needed if not _is_met(views.get(name), needed[name])),
    )


def _met(need: snapshot.ProgramView, condition: str, by: float) -> float | None:
    if condition == plan.STARTED:
        return _last_by(by, need.first.spawned, need.latest.spawned)
    return _last_by(by, need.first.ready, need.latest.ready)


def _last_by(by: float, first: float | None, latest: float | None) -> float | None:
    """Return the later of the two moments that is not after ``by``, or None."""
    return max((one for one in (first, latest) if one is not None and one <= by + SLACK_SECONDS), default=None)


def _is_met(need: snapshot.ProgramView | None, condition: str) -> bool:
    if need is None:
        return False
    return need.state == snapshot.READY or (condition == plan.STARTED and need.pid is not None)


def _since(moment: float | None, began: float) -> float | None:
    return None if moment is None else moment - began
