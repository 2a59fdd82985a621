"""What is known at one moment, frozen: the event loop takes it, and a thread makes metrics of it.

Rules
-----
* Nothing in it changes any more: counters are copied, and the ledger, the plan and the decisions are immutable. So all values
  of one scrape are of one moment.
* Taking it is short and asks nothing of anyone.
"""

import dataclasses

from contract import boot_record, snapshot
from manifest import plan
from probes import durations, liveness, observed, readiness
from probes.requirements import board


@dataclasses.dataclass(frozen=True)
class Histogram:
    """Durations: ``counts`` for each of ``bounds`` in seconds, and one for all that took longer."""

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum_seconds: float


@dataclasses.dataclass(frozen=True)
class Picture:
    """All that the families need.

    ``checks`` and ``check_failures`` are by program (or condition) and purpose, ``requests`` by path and code, ``answers`` by path.
    """

    boot: boot_record.BootRecord
    loaded: plan.LoadedPlan
    ledger: snapshot.Snapshot | None
    ledger_age_seconds: float
    ledger_is_fresh: bool
    decided: readiness.Readiness
    rows: tuple[board.Row, ...]
    seal: readiness.Verdict
    startup: observed.Startup
    alive: liveness.Liveness
    transitions: dict[str, int]
    requests: dict[tuple[str, int], int]
    answers: dict[str, Histogram]
    checks: dict[tuple[str, str], Histogram]
    check_failures: dict[tuple[str, str], int]

    @property
    def generation(self) -> int:
        """PID 1's word, before it came boot.json's."""
        return self.ledger.generation if self.ledger else self.boot.generation

    @property
    def seal_state(self) -> str:
        """One of readiness.SEAL_STATES."""
        return readiness.seal_state(self.ledger, self.seal, is_fresh=self.ledger_is_fresh)


def take(known: observed.Observed) -> Picture:
    """Return what ``known`` knows now; it belongs to the event loop."""
    decided = known.readiness()
    reading = known.reading()
    return Picture(
        boot=known.boot,
        loaded=known.loaded,
        ledger=reading.ledger,
        ledger_age_seconds=reading.age_seconds,
        ledger_is_fresh=reading.is_fresh,
        decided=decided,
        rows=known.requirements(),
        seal=known.seal,
        startup=known.startup,
        alive=known.liveness(),
        transitions=dict(known.transitions),
        requests=dict(known.traffic.requests),
        answers={path: _frozen(taken) for path, taken in known.traffic.durations.items()},
        checks={key: _frozen(taken) for key, taken in known.checks.durations.items()},
        check_failures=dict(known.checks.failures),
    )


def _frozen(taken: durations.Durations) -> Histogram:
    return Histogram(taken.bounds_seconds, tuple(taken.counts), taken.sum_seconds)
