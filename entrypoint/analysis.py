"""Where the time of a boot went: its critical chain, and how long each phase and program itself took. Pure.

Rules
-----
* Moments are seconds since this generation began: Stage A's first one does with Stage A, a later one with its first program.
* A program's own time begins when it is spawned and ends when it is ready, whatever number of processes that took. What came
  before is waiting.
* The seal program is there from early on and waits for the others: its own time is that of the chain's seal.
* What has ended without ever having been ready has no time of its own, and is shown with its reason.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

from contract import boot_record, errors, records, snapshot
from entrypoint import boot_steps, critical_chain
from manifest import plan

SCHEMA = "bootseal.analysis/1"
PHASE = "phase"
"""The kind of a row of the blame that is a phase of Stage A; the others are those of steps and links."""


@records.dataclass(frozen=True)
class Blame:
    """How long a phase, supervisord's own start or a program itself took, in seconds; None where nobody can say."""

    name: str
    kind: str
    seconds: float | None
    state: str = snapshot.READY
    reason: str = ""


@records.dataclass(frozen=True)
class Analysis:
    """One generation's boot; ``began`` is its beginning in seconds since Stage A began, ``asked`` the moment of the question.

    ``stage_a`` and ``phases`` are there in the first generation alone; ``handover`` is when the first program was spawned.
    ``sealed`` is the moment of the seal, ``sealed_at`` the same for people; ``failure`` is why a boot is held or ends.
    """

    boot_id: str
    generation: int
    phase: str
    failure: str | None
    sealed_at: str | None
    late: bool
    began: float
    asked: float
    sealed: float | None
    stage_a: float | None
    handover: float | None
    phases: tuple[boot_record.PhaseTiming, ...]
    steps: tuple[boot_steps.Step, ...]
    chain: tuple[critical_chain.Link, ...]
    blame: tuple[Blame, ...]


def of(
    the_plan: plan.Plan,
    boot: boot_record.BootRecord,
    ledger: snapshot.Snapshot,
    now: float,
    elapsed: float | None = None,
) -> Analysis:
    """Return the analysis of ``ledger``'s generation at the monotonic moment ``now``.

    ``elapsed`` is the seal's own, where its record could be read. Raises InvalidRecord when ``boot`` is another boot's.
    """
    if boot.boot_id != ledger.boot_id:
        why = f"it is of boot {boot.boot_id}, and PID 1 of boot {ledger.boot_id}"
        raise errors.InvalidRecord("boot.json", why, "ask again; a container was started in this run directory")
    spawns = [view.first.spawned for view in ledger.programs if view.first.spawned is not None]
    since_stage_a = max(0.0, now - boot.started_monotonic)
    began = 0.0 if ledger.generation == 1 else min(spawns, default=since_stage_a)
    asked = max(0.0, since_stage_a - began)
    phases = boot.phases if ledger.generation == 1 else ()
    sealed = boot_steps.sealed_at(boot, ledger, elapsed)
    whole = critical_chain.Boot(
        steps=boot_steps.of(the_plan, boot, ledger, began, sealed),
        stage_a=max((one.started_seconds + one.duration_ms / 1000 for one in phases), default=None),
        handover=min(spawns) - began if spawns else None,
        is_sealed=ledger.phase == snapshot.SEALED,
        sealed=None if sealed is None else sealed - began,
        asked=asked,
    )
    chain = critical_chain.of(whole)
    return Analysis(
        boot_id=ledger.boot_id,
        generation=ledger.generation,
        phase=ledger.phase,
        failure=ledger.failure,
        sealed_at=ledger.seal.at if ledger.seal else None,
        late=ledger.seal is not None and ledger.seal.late,
        began=began,
        asked=asked,
        sealed=whole.sealed,
        stage_a=whole.stage_a,
        handover=whole.handover,
        phases=phases,
        steps=whole.steps,
        chain=chain,
        blame=_blame(phases, whole.steps, chain, asked),
    )


def _blame(
    phases: Sequence[boot_record.PhaseTiming],
    steps: Sequence[boot_steps.Step],
    chain: Sequence[critical_chain.Link],
    asked: float,
) -> tuple[Blame, ...]:
    """Return every phase and program, the longest first, and last what has no time of its own."""
    rows = [Blame(one.name, PHASE, one.duration_ms / 1000) for one in phases]
    rows += [Blame(link.name, link.kind, link.seconds) for link in chain if link.kind == critical_chain.SUPERVISORD]
    for step in steps:
        seconds = chain[0].seconds if step.kind == boot_steps.SEAL else step.seconds(asked)
        rows.append(Blame(step.name, step.kind, seconds, step.state, step.reason))
    return tuple(sorted(rows, key=lambda row: (row.seconds is None, -(row.seconds or 0.0), row.kind, row.name)))


def to_json(found: Analysis) -> dict[str, Any]:
    """Return ``found`` as plain JSON values, seconds to the microsecond."""
    value: dict[str, Any] = _rounded({"schema": SCHEMA, **dataclasses.asdict(found)})
    return value


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value
