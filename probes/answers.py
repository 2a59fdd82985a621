"""What each path answers, as status and JSON value: the contract that docs/http.md describes."""

import dataclasses
from typing import Any

from contract import clock, snapshot
from probes import closures, observed, readiness


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP status, a JSON value, and headers of its own."""

    status: int
    value: dict[str, Any]
    headers: dict[str, str] = dataclasses.field(default_factory=dict)


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


def startupz(known: observed.Observed) -> Answer:
    """/startupz: 200 once this boot is sealed, and then for its life."""
    decided = known.readiness()
    sealed = known.startup
    if sealed.sealed:
        return Answer(200, {"sealed": True, "sealed_at": sealed.sealed_at, "generation": sealed.generation})
    unsealed = readiness.of_the_seal(decided)
    reason = unsealed.reason or "this boot is not sealed"
    return Answer(503, {"sealed": False, "reason": reason, "missing": _missing(unsealed)}, {"Retry-After": "1"})


def ready(known: observed.Observed) -> Answer:
    """/ready: 200 when ready now."""
    decided = known.readiness()
    return Answer(200, _readiness(known, decided)) if decided.ready else _unready(known, decided)


def _unready(known: observed.Observed, decided: readiness.Readiness) -> Answer:
    return Answer(503, _readiness(known, decided), {"Retry-After": str(decided.retry_seconds)})


def _readiness(known: observed.Observed, decided: readiness.Readiness) -> dict[str, Any]:
    if decided.ready:
        return {"ready": True, "since": known.since, "requirements": known.required_names()}
    return {"ready": False, "reason": decided.reason, "missing": _missing(decided)}


def _missing(decided: readiness.Readiness) -> list[dict[str, Any]]:
    return [dataclasses.asdict(row) for row in decided.missing]


def _requirements(known: observed.Observed) -> list[dict[str, Any]]:
    """Return what is required beside programs, and what of that is looked at without being required."""
    rows = []
    for row in known.requirements():
        age = known.age_seconds(row)
        rows.append(dataclasses.asdict(row) | {"age_seconds": None if age is None else round(age, 3)})
    return rows


def health(known: observed.Observed) -> Answer:
    """/health: always 200, everything for a person.

    A program's last lines of output may hold what its author never meant to publish: they go to whoever may read detail
    (``probes.access``).
    """
    decided = known.readiness()
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
            "seal": _seal(known, ledger),
            "readiness": _readiness(known, decided),
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


def _seal(known: observed.Observed, ledger: snapshot.Snapshot | None) -> dict[str, Any]:
    seen = ledger.seal if ledger else None
    verdict = known.seal
    accepted = seen is not None and verdict.is_accepted
    value: dict[str, Any] = {"accepted": accepted, "since": verdict.since}
    if not accepted:
        value["reason"] = verdict.reason or "this generation is not sealed"
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
