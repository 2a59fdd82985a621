"""The steps of a boot: when each program was spawned, RUNNING and ready, and what it waited for before. Pure.

Rules
-----
* Moments are PID 1's (``contract.snapshot.Timeline``), which count from Stage A, also in later generations; those of a Step count
  from where its generation began. Who waits for whom is the plan's to say.
* A program that was ready more than once before the seal counts with its last readiness there; one that is not ready now counts
  as not ready while the generation is not sealed. What followed the seal is no part of the boot.
* Sealed is the moment that the seal tells of itself; its program is done a little later. Failed is since when it is so.
* A need was met when it last came to be so before the program was spawned, as far as its first and its latest process tell.
"""

from collections.abc import Mapping

from contract import boot_record, records, snapshot
from entrypoint import presenting
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
    nothing or was never spawned. ``unmet`` are the needs that are not met now. ``failed`` is since when it is failed, None where
    it is not; ``final``: for good.
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
    failed: float | None = None
    final: bool = False

    @property
    def is_awaited(self) -> bool:
        """Whether the seal waits for it."""
        return self.required and self.kind != SEAL

    def seconds(self, asked: float) -> float | None:
        """Return how long it itself took: until it was ready, until it failed, or up to ``asked`` where it still tries.

        None where it was never spawned, or ended without having been ready or having failed.
        """
        if self.spawned is None:
            return None
        ends = (self.ready, self.failed, asked if self.has_process else None)
        until = next((one for one in ends if one is not None), None)
        return None if until is None else max(0.0, until - self.spawned)


def of(
    the_plan: plan.Plan, boot: boot_record.BootRecord, ledger: snapshot.Snapshot, began: float, sealed: float | None
) -> tuple[Step, ...]:
    """Return the steps in the order of their spawns; programs that were never spawned come last, in the plan's order.

    ``began`` is the generation's beginning and ``sealed`` its seal, both in seconds since Stage A began.
    """
    views = {view.name: view for view in ledger.programs}
    steps = [
        _step(one, views, boot, sealed=sealed, began=began, phase=ledger.phase)
        for one in the_plan.programs
        if one.name in views
    ]
    return tuple(sorted(steps, key=lambda step: (step.spawned is None, step.spawned or 0.0)))


def sealed_at(boot: boot_record.BootRecord, ledger: snapshot.Snapshot, elapsed: float | None) -> float | None:
    """Return when ``ledger``'s generation was sealed in seconds since Stage A began; None where it is not, or nobody knows.

    ``elapsed`` is the record's own, which counts from there in the first generation; where it is None PID 1's time of day counts,
    within what the monotonic clock allows: later than who was ready before it, not later than the end of its program.
    """
    if ledger.phase != snapshot.SEALED or ledger.seal is None:
        return None
    if elapsed is not None and ledger.generation == 1:
        return elapsed
    done = next((view.first.ready for view in ledger.programs if view.role == SEAL), None)
    at = _since_stage_a(boot, ledger.seal.at)
    if at is None or done is None:
        return done if at is None else at
    ready = [_last_by(done, one.first.ready, one.latest.ready) for one in ledger.programs if one.required]
    return min(done, max([at, *(one for one in ready if one is not None)]))


def _since_stage_a(boot: boot_record.BootRecord, stamp: str) -> float | None:
    began, at = presenting.moment(boot.started_at), presenting.moment(stamp)
    return None if began is None or at is None else max(0.0, at - began)


def _step(
    program: plan.ProgramPlan,
    views: Mapping[str, snapshot.ProgramView],
    boot: boot_record.BootRecord,
    *,
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
    failed = _since_stage_a(boot, view.since) if view.state == snapshot.FAILED else None
    if failed is not None and spawned is not None:
        failed = max(failed, spawned)
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
        failed=_since(failed, began),
        final=view.final,
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
