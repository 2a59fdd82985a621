"""Is the container ready now, and if not, why: pure, from the plan, PID 1's ledger, the seal's verdict and the requirements.

Rules
-----
* Ready means all of: a fresh ledger of this boot, in phase sealed; this generation's seal accepted; every required
  program of the plan present in the ledger and ready; every required mount, check and the identity met.
* What cannot be known is not ready: no ledger, a stale one, a foreign one, an unknown phase, an empty required set
  that the manifest did not ask for, a requirement that nobody has looked at lately.
* Of a ledger that does not count nothing more is concluded: its programs are not listed as missing. What this process looks
  at itself is.
* The causes stand in the order of causation, the first is the sentence in ``reason``: the ledger, the end or failure of
  the boot, mounts and the identity, failed programs, programs not ready yet (both in start order), checks, the seal.
* A verdict on the seal counts for the generation that it is about, and only while somebody looks: one whose look began more
  than ``SEAL_STALE_AFTER_SECONDS`` ago is none.
* Whether the ledger is fresh is decided at every question; what follows from the ledger, the seal and the requirements is
  concluded once for each of them.
"""

import dataclasses

from contract import reasons, snapshot
from manifest import plan
from probes.requirements import board

STALE_AFTER_SECONDS = 3.0
"""A ledger that nothing confirmed for longer is stale: three missed heartbeats."""

SEAL_STALE_AFTER_SECONDS = 5.0
"""A look at the seal that began longer ago says nothing of it now: ten looks were missed, or one hangs."""

ACCEPTED, LATE, REFUSED, UNJUDGED, ABSENT = "accepted", "late", "refused", "unjudged", "absent"
SEAL_STATES = (ACCEPTED, LATE, REFUSED, UNJUDGED, ABSENT)
"""Of this generation's seal: accepted in time, or after the boot had failed and was held; PID 1 saw one, and the file is not it
(any more), or nobody looked yet or lately; there is none."""

NOT_JUDGED = "the seal was not judged yet"

SEAL, PROGRAM, LEDGER, BOOT, ADAPTER = "seal", "program", "ledger", "boot", "adapter"
MOUNT, CHECK, IDENTITY = board.MOUNT, board.CHECK, board.IDENTITY
KINDS = (LEDGER, BOOT, MOUNT, IDENTITY, PROGRAM, CHECK, SEAL, ADAPTER)
"""The kinds of what may be missing; ``adapter`` is reserved for what no program, mount or check of ours stands for yet."""

SEAL_ID, SETTLE_ID = "bootstrap.done", "settle"

_OF_THE_SEAL = frozenset({LEDGER, BOOT, PROGRAM, SEAL})
"""What the seal waits for too."""


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
    """Whether the seal file is the seal of ``generation``, and if not, why; ``since`` is RFC 3339.

    ``is_judged``: somebody looked, and lately.
    """

    is_accepted: bool
    reason: str
    since: str
    generation: int = 0
    elapsed_seconds: float | None = None
    is_judged: bool = True


@dataclasses.dataclass(frozen=True)
class Missing:
    """One requirement that is not met; ``since`` is the last change between met and unmet."""

    id: str
    kind: str
    reason: str
    since: str
    required: bool = True

    @property
    def label(self) -> str:
        """What one word calls it: a program by its name, ``mount:/workspace``, ``check:relay``."""
        return board.label(self.kind, self.id)


@dataclasses.dataclass(frozen=True)
class Readiness:
    """The decision; ``reason`` is one sentence, empty when ready. ``retry_seconds``: sooner it cannot be."""

    ready: bool
    reason: str
    missing: tuple[Missing, ...]
    retry_seconds: int = 1


READY = Readiness(True, "", ())


class Judge:
    """Judges boot ``boot_id`` of the plan ``wanted``, again and again; what does not depend on time is concluded once."""

    def __init__(self, wanted: plan.Plan, boot_id: str) -> None:
        self._boot_id = boot_id
        self._required = tuple(program.name for program in wanted.required_programs)
        self._may_be_empty = wanted.empty_required_set
        self._key: tuple[object, ...] = ()
        self._concluded = READY

    def judge(self, reading: Reading, seal: Verdict, rows: tuple[board.Row, ...] = ()) -> Readiness:
        """Decide whether it is ready now; ``rows`` are the requirements as they stand now."""
        if unusable := _unusable(self._boot_id, reading):
            return unready((unusable, *_unmet(rows, board.MOUNT, board.IDENTITY, board.CHECK)))
        ledger = reading.ledger
        assert ledger is not None  # noqa: S101  # _unusable says so of every other
        key = (ledger, seal, rows)
        if not self._key or any(new is not old for new, old in zip(key, self._key, strict=True)):
            causes = self._causes(ledger, reading, seal, rows)
            self._concluded = unready(causes) if causes else READY
            self._key = key
        return self._concluded

    def _causes(
        self, ledger: snapshot.Snapshot, reading: Reading, seal: Verdict, rows: tuple[board.Row, ...]
    ) -> tuple[Missing, ...]:
        return (
            *self._boot(ledger, reading),
            *_unmet(rows, board.MOUNT, board.IDENTITY),
            *self._programs(ledger, reading),
            *_unmet(rows, board.CHECK),
            *_seal(ledger, seal),
        )

    def _boot(self, ledger: snapshot.Snapshot, reading: Reading) -> tuple[Missing, ...]:
        cause = f": {reasons.without_last_output(ledger.failure)}" if ledger.failure else ""
        match ledger.phase:
            case snapshot.STOPPING:
                why = f"the container is stopping{cause}"
            case snapshot.HELD:
                why = f"the boot failed and is held for debugging{cause}"
            case snapshot.BOOTING | snapshot.SEALED:
                if self._required or self._may_be_empty:
                    return ()
                why = "no program is required, and the manifest does not say `required: []`"
            case unknown:
                why = f"PID 1's ledger is in the unknown phase {unknown}"
        return (Missing(BOOT, BOOT, why, reading.phase_since),)

    def _programs(self, ledger: snapshot.Snapshot, reading: Reading) -> tuple[Missing, ...]:
        known = {view.name: view for view in ledger.programs}
        failed: list[Missing] = []
        waiting: list[Missing] = []
        for name in self._required:
            view = known.get(name)
            if view is None:
                why = "PID 1 does not know this program; was it removed?"
                failed.append(Missing(name, PROGRAM, why, reading.phase_since))
            elif view.state != snapshot.READY:
                row = Missing(view.name, PROGRAM, view.reason or f"is {view.state}", view.since)
                (failed if view.state == snapshot.FAILED else waiting).append(row)
        return (*failed, *waiting)


def not_judged(since: str, reason: str = NOT_JUDGED) -> Verdict:
    """Return the verdict of nobody, since the moment ``since``."""
    return Verdict(False, reason, since, is_judged=False)


def seal_state(ledger: snapshot.Snapshot | None, seal: Verdict, *, is_fresh: bool) -> str:
    """Return which of SEAL_STATES the seal of this generation is in; of a ledger that is not fresh no seal is accepted."""
    if ledger is None or ledger.seal is None or ledger.phase == snapshot.BOOTING:
        return ABSENT
    if not seal.is_accepted:
        return REFUSED if seal.is_judged else UNJUDGED
    if not is_fresh or seal.generation != ledger.generation:
        return UNJUDGED
    return LATE if ledger.seal.late else ACCEPTED


def why_unsealed(state: str, seal: Verdict) -> str:
    """Say why a seal in ``state`` does not count; "" where it does."""
    if state in {ACCEPTED, LATE}:
        return ""
    if state == ABSENT:
        return "this generation is not sealed"
    return seal.reason or "the seal of this generation is not judged yet"


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


def _unmet(rows: tuple[board.Row, ...], *kinds: str) -> tuple[Missing, ...]:
    """Return those of ``rows`` that must be met and are not, by ``kinds`` in this order."""
    found = [row for row in rows if row.required and not row.met]
    return tuple(Missing(row.id, kind, row.reason, row.since) for kind in kinds for row in found if row.kind == kind)


def _seal(ledger: snapshot.Snapshot, seal: Verdict) -> tuple[Missing, ...]:
    if ledger.phase == snapshot.STOPPING:
        return ()  # the end says it all, and takes the seal with it
    why = why_unsealed(seal_state(ledger, seal, is_fresh=True), seal)
    return (Missing(SEAL_ID, SEAL, why, seal.since),) if why else ()


def unready(missing: tuple[Missing, ...], retry_seconds: int = 1) -> Readiness:
    """Return the decision that follows from ``missing``, which must not be empty."""
    return Readiness(False, _sentence(missing), missing, retry_seconds)


def of_the_seal(decided: Readiness) -> Readiness:
    """Return what of ``decided`` keeps the boot from its seal: it waits for programs, and for nothing else."""
    rows = tuple(row for row in decided.missing if row.kind in _OF_THE_SEAL and row.id != SETTLE_ID)
    return unready(rows) if rows else READY


def _sentence(missing: tuple[Missing, ...]) -> str:
    first = missing[0]
    subject = first.reason
    if first.kind in {PROGRAM, MOUNT, CHECK}:
        subject = f"required {first.kind} {first.id}: {first.reason}"
    programs = sum(row.kind == PROGRAM for row in missing[1:])
    others = sum(row.kind in {MOUNT, CHECK, IDENTITY} for row in missing[1:])
    more = []
    if programs:
        more.append(f"{programs} more required program{'s are' if programs > 1 else ' is'} not ready")
    if others:
        more.append(f"{others} more requirement{'s are' if others > 1 else ' is'} not met")
    return f"{subject} (and {', '.join(more)})" if more else subject
