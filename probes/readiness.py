"""Is the container ready now, and if not, why: pure, from the plan, PID 1's ledger and the seal's verdict.

Rules
-----
* Ready means all of: a fresh ledger of this boot, in phase sealed; this generation's seal accepted; every required
  program of the plan present in the ledger and ready.
* What cannot be known is not ready: no ledger, a stale one, a foreign one, an unknown phase, an empty required set
  that the manifest did not ask for.
* Of a ledger that does not count nothing more is concluded: its programs are not listed as missing.
* The causes stand in the order of causation, the first is the sentence in ``reason``: the ledger, the end or failure of
  the boot, failed programs, programs not ready yet (both in start order), the seal.
"""

import dataclasses

from contract import snapshot
from manifest import plan

STALE_AFTER_SECONDS = 3.0
"""A ledger that nothing confirmed for longer is stale: three missed heartbeats."""

SEAL, PROGRAM, LEDGER, BOOT = "seal", "program", "ledger", "boot"
"""The kinds of what may be missing."""

SEAL_ID = "bootstrap.done"


@dataclasses.dataclass(frozen=True)
class Reading:
    """PID 1's ledger as this process knows it.

    ``age_seconds`` is the time since something confirmed that ``ledger`` is current (since this process began, before
    the first), ``since`` that moment in RFC 3339; ``refusal`` says why the last one that came was not taken.
    """

    ledger: snapshot.Snapshot | None
    age_seconds: float
    since: str
    phase_since: str
    refusal: str = ""

    @property
    def is_fresh(self) -> bool:
        """Whether there is a ledger, confirmed recently enough to count."""
        return self.ledger is not None and self.age_seconds <= STALE_AFTER_SECONDS


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether the seal file is this generation's seal, and if not, why; ``since`` is RFC 3339."""

    is_accepted: bool
    reason: str
    since: str
    generation: int = 0
    elapsed_seconds: float | None = None


@dataclasses.dataclass(frozen=True)
class Missing:
    """One requirement that is not met."""

    id: str
    kind: str
    reason: str
    since: str
    required: bool = True


@dataclasses.dataclass(frozen=True)
class Readiness:
    """The decision; ``reason`` is one sentence, empty when ready."""

    ready: bool
    reason: str
    missing: tuple[Missing, ...]


def judge(wanted: plan.Plan, boot_id: str, reading: Reading, seal: Verdict) -> Readiness:
    """Decide whether boot ``boot_id`` of the plan ``wanted`` is ready now."""
    if unusable := _unusable(boot_id, reading):
        return _unready((unusable,))
    ledger = reading.ledger
    assert ledger is not None  # noqa: S101  # _unusable says so of every other
    causes = (*_boot(wanted, ledger, reading), *_programs(wanted, ledger, reading), *_seal(ledger, seal))
    return _unready(causes) if causes else Readiness(True, "", ())


def _unusable(boot_id: str, reading: Reading) -> Missing | None:
    """Say why ``reading`` holds no ledger to conclude from, or return None."""
    ledger = reading.ledger
    if ledger is None:
        why = reading.refusal or "PID 1 has not told its ledger yet"
        return Missing(LEDGER, LEDGER, why, reading.since)
    if ledger.boot_id != boot_id:
        return Missing(LEDGER, LEDGER, "the ledger is of another boot", reading.since)
    if not reading.is_fresh:
        why = f"PID 1 has not confirmed its ledger for {reading.age_seconds:.1f} s"
        return Missing(LEDGER, LEDGER, f"{why}; {reading.refusal}" if reading.refusal else why, reading.since)
    return None


def _boot(wanted: plan.Plan, ledger: snapshot.Snapshot, reading: Reading) -> tuple[Missing, ...]:
    cause = f": {ledger.failure}" if ledger.failure else ""
    match ledger.phase:
        case snapshot.STOPPING:
            why = f"the container is stopping{cause}"
        case snapshot.HELD:
            why = f"the boot failed and is held for debugging{cause}"
        case snapshot.BOOTING | snapshot.SEALED:
            if wanted.required_programs or wanted.empty_required_set:
                return ()
            why = "no program is required, and the manifest does not say `required: []`"
        case unknown:
            why = f"PID 1's ledger is in the unknown phase {unknown}"
    return (Missing(BOOT, BOOT, why, reading.phase_since),)


def _programs(wanted: plan.Plan, ledger: snapshot.Snapshot, reading: Reading) -> tuple[Missing, ...]:
    known = {view.name: view for view in ledger.programs}
    failed: list[Missing] = []
    waiting: list[Missing] = []
    for program in wanted.required_programs:
        view = known.get(program.name)
        if view is None:
            why = "PID 1 does not know this program; was it removed?"
            failed.append(Missing(program.name, PROGRAM, why, reading.phase_since))
        elif view.state != snapshot.READY:
            row = Missing(view.name, PROGRAM, view.reason or f"is {view.state}", view.since)
            (failed if view.state == snapshot.FAILED else waiting).append(row)
    return (*failed, *waiting)


def _seal(ledger: snapshot.Snapshot, seal: Verdict) -> tuple[Missing, ...]:
    if ledger.phase == snapshot.STOPPING:
        return ()  # the end says it all, and takes the seal with it
    if ledger.seal is None or ledger.phase == snapshot.BOOTING:
        return (Missing(SEAL_ID, SEAL, "this generation is not sealed", seal.since),)
    if not seal.is_accepted:
        return (Missing(SEAL_ID, SEAL, seal.reason or "it is not accepted", seal.since),)
    if seal.generation != ledger.generation:
        return (Missing(SEAL_ID, SEAL, "the seal of this generation is not judged yet", seal.since),)
    return ()


def _unready(missing: tuple[Missing, ...]) -> Readiness:
    return Readiness(False, _sentence(missing), missing)


def _sentence(missing: tuple[Missing, ...]) -> str:
    first = missing[0]
    subject = f"required program {first.id}: {first.reason}" if first.kind == PROGRAM else first.reason
    others = sum(row.kind == PROGRAM for row in missing[1:])
    if not others:
        return subject
    return f"{subject} (and {others} more required program{'s are' if others > 1 else ' is'} not ready)"
