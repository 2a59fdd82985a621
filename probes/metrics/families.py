"""The families about the boot, readiness, checks and this process.

A label's values come from the plan, boot.json, the ledger and our own paths, never from a client.
"""

import datetime as dt
import platform
from collections.abc import Iterator

from prometheus_client import core

from contract import snapshot, version
from probes import readiness
from probes.metrics import making, picture

_LIFE = (snapshot.BOOTING, snapshot.SEALED, snapshot.HELD, snapshot.STOPPING)


def of(taken: picture.Picture, identity: str) -> Iterator[core.Metric]:
    """Yield the families of ``taken``, of the container called ``identity``."""
    yield from _infos(taken, identity)
    yield from _boot(taken)
    yield from _seal(taken)
    yield from _readiness(taken)
    yield from _checks(taken)
    yield from _server(taken)


def _infos(taken: picture.Picture, identity: str) -> Iterator[core.Metric]:
    build = {"version": version.VERSION, "python": platform.python_version()}
    yield making.info("bootseal_build", "What bootseal this is.", build)
    plan = taken.loaded.plan
    digests = {
        "plan_sha256": taken.loaded.sha256,
        "manifest_sha256": plan.manifest_sha256,
        "config_sha256": plan.config_sha256,
        "lock_sha256": plan.lock.sha256 if plan.lock else "",
    }
    yield making.info("bootseal_plan", "What was built from the manifest.", {"name": plan.name, **digests})
    boot = {"boot_id": taken.boot.boot_id, "generation": str(taken.generation), "identity": identity}
    yield making.info("bootseal_boot", "Which boot of which container this is.", boot)


def _boot(taken: picture.Picture) -> Iterator[core.Metric]:
    began = _unix(taken.boot.started_at)
    yield making.gauge("bootseal_boot_timestamp_seconds", "When Stage A began, Unix time.", began)
    yield making.gauges(
        "bootseal_boot_phase_seconds",
        "How long each phase of Stage A took.",
        ("phase",),
        (((phase.name,), phase.duration_ms / 1000) for phase in taken.boot.phases),
    )
    yield making.gauge("bootseal_generation", "supervisord's start within this boot, counted from 1.", taken.generation)
    yield making.states(
        "bootseal_generation_state",
        "The life of this generation: of all states the one that holds is 1.",
        taken.ledger.phase if taken.ledger else "",
        _LIFE,
    )


def _seal(taken: picture.Picture) -> Iterator[core.Metric]:
    yield making.states(
        "bootseal_seal_state",
        "This generation's seal: of all states the one that holds is 1.",
        taken.seal_state,
        readiness.SEAL_STATES,
    )
    startup = taken.startup
    yield making.gauge("bootseal_boot_sealed", "Whether this boot was ever sealed.", startup.sealed)
    if startup.sealed:
        sealed = _unix(startup.sealed_at)
        yield making.gauge("bootseal_seal_timestamp_seconds", "When this boot was first sealed, Unix time.", sealed)
    if taken.seal.elapsed_seconds is not None:
        yield making.gauge(
            "bootseal_seal_elapsed_seconds",
            "How long this generation took to its seal.",
            taken.seal.elapsed_seconds,
        )


def _requirements(taken: picture.Picture) -> Iterator[tuple[tuple[str, str, str], bool]]:
    """Yield each requirement's id, kind and whether it is required, and whether it is met."""
    missing = {(row.kind, row.id) for row in taken.decided.missing}
    is_known = (readiness.LEDGER, readiness.LEDGER) not in missing  # else nothing more is concluded from the ledger
    yield (readiness.LEDGER, readiness.LEDGER, "true"), is_known
    yield (readiness.BOOT, readiness.BOOT, "true"), is_known and (readiness.BOOT, readiness.BOOT) not in missing
    if taken.loaded.plan.readiness.settle_seconds:
        yield (readiness.SETTLE_ID, readiness.BOOT, "true"), (readiness.BOOT, readiness.SETTLE_ID) not in missing
    for program in taken.loaded.plan.required_programs:
        yield (program.name, readiness.PROGRAM, "true"), is_known and (readiness.PROGRAM, program.name) not in missing
    is_sealed = taken.seal_state in {readiness.ACCEPTED, readiness.LATE}
    yield (readiness.SEAL_ID, readiness.SEAL, "true"), is_known and is_sealed
    for row in taken.rows:
        yield (row.id, row.kind, "true" if row.required else "false"), row.met


def _readiness(taken: picture.Picture) -> Iterator[core.Metric]:
    yield making.gauge("bootseal_readiness", "Whether the container is ready now.", taken.decided.ready)
    yield making.counters(
        "bootseal_readiness_transitions",
        "Changes of readiness that this process saw.",
        ("to",),
        (((to,), count) for to, count in sorted(taken.transitions.items())),
    )
    yield making.gauges(
        "bootseal_requirement_met",
        "Whether each of what readiness needs is met; what is not required never makes it unready.",
        ("id", "kind", "required"),
        _requirements(taken),
    )


def _checks(taken: picture.Picture) -> Iterator[core.Metric]:
    labels = ("program", "purpose")
    yield making.histograms("bootseal_check_seconds", "How long checks took.", labels, sorted(taken.checks.items()))
    failures = sorted(taken.check_failures.items())
    yield making.counters("bootseal_check_failures", "Checks that failed.", labels, failures)


def _server(taken: picture.Picture) -> Iterator[core.Metric]:
    yield making.counters(
        "bootseal_probe_requests",
        "Requests that were answered; those to /livez while the server was loaded are not among them.",
        ("path", "code"),
        (((path, str(code)), count) for (path, code), count in sorted(taken.requests.items())),
    )
    answers = [((path,), one) for path, one in sorted(taken.answers.items())]
    yield making.histograms("bootseal_probe_request_seconds", "How long answers took us.", ("path",), answers)
    alive = taken.alive
    yield making.gauge("bootseal_loop_lag_seconds", "How late the probe server's loop is.", alive.loop_lag_seconds)
    yield making.gauge(
        "bootseal_heartbeat_age_seconds", "Time since PID 1 was heard on the feed.", alive.heartbeat_age_seconds
    )
    yield making.gauge(
        "bootseal_ledger_age_seconds", "Time since the ledger was confirmed to be current.", taken.ledger_age_seconds
    )


def _unix(rfc3339: str) -> float:
    return dt.datetime.fromisoformat(rfc3339).timestamp()
