"""What each path answers, as status and JSON value: the contract that docs/http.md describes.

Rules
-----
* Each answer is decided anew. What it says is put into words and encoded once, for as long as the decision is the very same
  object (``Kept``): whoever asks often costs a look and a write. /health, where every age is another one at each moment, is
  shared for ``SHARED_SECONDS`` while nothing else changes.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

from contract import clock, snapshot
from probes import closures, observed, readiness, response

SHARED_SECONDS = 0.2


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP status, a JSON value, and headers of its own."""

    status: int
    value: dict[str, Any]
    headers: dict[str, str] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def body(self) -> bytes:
        """``value`` as it is sent."""
        return response.dump(self.value)


class Kept:
    """An answer that is made again only when what it is made of is not the very same any more, or when its time is over."""

    def __init__(
        self,
        made_of: Callable[[], tuple[Any, ...]],
        make: Callable[..., Answer],
        now: Callable[[], float] = clock.monotonic,
        for_seconds: float = math.inf,
    ) -> None:
        """``made_of`` tells what decides the answer now; ``make`` makes the answer of it, which is good ``for_seconds``."""
        self._made_of = made_of
        self._make = make
        self._now = now
        self._for_seconds = for_seconds
        self._until = -math.inf
        self._parts: tuple[Any, ...] = ()
        self._answer: Answer | None = None

    def __call__(self) -> Answer:
        """Return the answer as it is now."""
        parts, now = self._made_of(), self._now()
        is_over = self._answer is None or now >= self._until
        if is_over or any(new is not old for new, old in zip(parts, self._parts, strict=True)):
            self._parts, self._answer, self._until = parts, self._make(*parts), now + self._for_seconds
        assert self._answer is not None  # noqa: S101  # else it was over
        return self._answer


def livez(known: observed.Observed) -> Answer:
    """/livez: 200 while the loop turns and PID 1 is heard."""
    decided = known.liveness()
    value: dict[str, Any] = {"live": decided.live}
    if not decided.live:
        value["reason"] = decided.reason
    value["uptime_seconds"] = round(decided.uptime_seconds, 3)
    value["loop_lag_seconds"] = round(decided.loop_lag_seconds, 6)
    value["heartbeat_age_seconds"] = round(decided.heartbeat_age_seconds, 3)
    return Answer(200, value) if decided.live else Answer(503, value, {"Retry-After": "1"})


def startupz(known: observed.Observed) -> Kept:
    """/startupz: 200 once this boot is sealed, and then for its life."""
    return Kept(lambda: (known.readiness(), known.startup), _startup)


def _startup(decided: readiness.Readiness, sealed: observed.Startup) -> Answer:
    if sealed.sealed:
        return Answer(200, {"sealed": True, "sealed_at": sealed.sealed_at, "generation": sealed.generation})
    unsealed = readiness.of_the_seal(decided)
    reason = unsealed.reason or "this boot is not sealed"
    return Answer(503, {"sealed": False, "reason": reason, "missing": _missing(unsealed)}, {"Retry-After": "1"})


def ready(known: observed.Observed) -> Kept:
    """/ready: 200 when ready now."""
    return Kept(lambda: (known.readiness(), known.since, known.required_names()), _ready)


def _ready(decided: readiness.Readiness, since: str, names: list[str]) -> Answer:
    value = _readiness(decided, since, names)
    return Answer(200, value) if decided.ready else Answer(503, value, {"Retry-After": str(decided.retry_seconds)})


def _readiness(decided: readiness.Readiness, since: str, names: list[str]) -> dict[str, Any]:
    if decided.ready:
        return {"ready": True, "since": since, "requirements": names}
    return {"ready": False, "reason": decided.reason, "missing": _missing(decided)}


def _missing(decided: readiness.Readiness) -> list[dict[str, Any]]:
    return [dict(vars(row)) for row in decided.missing]


def _requirements(known: observed.Observed) -> list[dict[str, Any]]:
    """Return what is required beside programs, and what of that is looked at without being required."""
    rows = []
    for row in known.requirements():
        age = known.age_seconds(row)
        rows.append(dataclasses.asdict(row) | {"age_seconds": None if age is None else round(age, 3)})
    return rows


def health(known: observed.Observed) -> Kept:
    """/health: always 200, everything for a person.

    A program's last lines of output may hold what its author never meant to publish: they go to whoever may read detail
    (``probes.access``).
    """

    def made_of() -> tuple[Any, ...]:
        decided, reading = known.readiness(), known.reading()
        return decided, reading.ledger, reading.refusal, known.seal, known.requirements(), known.since

    return Kept(made_of, lambda decided, *_: _health(known, decided), known.now, SHARED_SECONDS)


def _health(known: observed.Observed, decided: readiness.Readiness) -> Answer:
    reading = known.reading()
    ledger = reading.ledger
    return Answer(
        200,
        {
            "status": "ready" if decided.ready else "unready",
            "phase": ledger.phase if ledger else None,
            "boot": _boot(known, ledger),
            "ledger": {
                "age_seconds": round(reading.age_seconds, 3),
                "fresh": reading.is_fresh,
                "revision": ledger.revision if ledger else None,
                "refusal": reading.refusal or None,
            },
            "programs": _programs(ledger),
            "requirements": _requirements(known),
            "seal": _seal(reading, known.seal),
            "readiness": _readiness(decided, known.since, known.required_names()),
        },
    )


def _boot(known: observed.Observed, ledger: snapshot.Snapshot | None) -> dict[str, Any]:
    record, now = known.boot, clock.monotonic()
    deadline = ledger.deadline_monotonic if ledger else None
    return {
        "id": record.boot_id,
        "generation": ledger.generation if ledger else record.generation,
        "started_at": record.started_at,
        "elapsed_seconds": round(max(0.0, now - record.started_monotonic), 3),
        "sealed_at": ledger.boot_sealed_at if ledger else None,
        "seal_due_in_seconds": None if deadline is None else round(deadline - now, 3),
        "failure": ledger.failure if ledger else None,
        "phases": [dataclasses.asdict(phase) for phase in record.phases],
        "warnings": list(record.warnings),
        "artifacts": closures.describe(record),
    }


def _seal(reading: readiness.Reading, verdict: readiness.Verdict) -> dict[str, Any]:
    seen = reading.ledger.seal if reading.ledger else None
    state = readiness.seal_state(reading.ledger, verdict, is_fresh=reading.is_fresh)
    accepted = state in {readiness.ACCEPTED, readiness.LATE}
    value: dict[str, Any] = {"accepted": accepted, "since": verdict.since}
    if not accepted:
        value["reason"] = readiness.why_unsealed(state, verdict)
    if seen is not None:
        value |= {"sha256": seen.sha256, "at": seen.at, "late": seen.late}
    if accepted:
        value["elapsed_seconds"] = verdict.elapsed_seconds
    return value


def _programs(ledger: snapshot.Snapshot | None) -> list[dict[str, Any]]:
    if ledger is None:
        return []
    views: list[dict[str, Any]] = snapshot.to_json(ledger)["programs"]
    return views
