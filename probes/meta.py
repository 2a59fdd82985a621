"""/v1/meta: versions, digests, identity, artifacts, runtimes, endpoints, and the security profile, planned and in force."""

import dataclasses
import importlib.metadata
import platform
import socket
from typing import Any

from contract import boot_record, errors, files, rundir, version
from manifest import plan, serving
from probes import closures, identity, listeners, observed

_RUNTIMES_LIMIT = 1024 * 1024


def describe(known: observed.Observed, run: rundir.RunDirectory, endpoints: dict[str, Any]) -> dict[str, Any]:
    """Return the whole of /v1/meta; it reads files, and of ``known`` nothing but what is replaced as a whole."""
    booted = known.loaded.plan
    ledger = known.copy.ledger
    return {
        "name": booted.name,
        "bootseal": version.VERSION,
        "supervisor": _version("supervisor"),
        "python": platform.python_version(),
        "plan_sha256": known.loaded.sha256,
        "manifest_sha256": booted.manifest_sha256,
        "config_sha256": booted.config_sha256,
        "lock_sha256": booted.lock.sha256 if booted.lock else None,
        "proven_with": booted.proven_with,
        "boot_id": known.boot.boot_id,
        "generation": ledger.generation if ledger else known.boot.generation,
        "identity": _identity(run),
        "artifacts": closures.describe(known.boot),
        "runtimes": _runtimes(run) if booted.runtimes else [],
        "endpoints": endpoints,
        "log_level": booted.observability.log_level,
        "security": security(booted, known.boot),
        "process": _process(),
    }


def endpoints(wanted: plan.Plan, sockets: listeners.Sockets, run: rundir.RunDirectory) -> dict[str, Any]:
    """Return where this server listens, as it was bound, who may read detail there, and where the trace goes.

    The caller adds ``paths``.
    """
    detail = wanted.probes.detail
    own = {serving.OWN: sockets.detail, serving.SOCKET: None}.get(detail.reach, sockets.probes)
    return {
        "probes": _address(sockets.probes),
        "metrics": _address(sockets.metrics),
        "detail": {"reach": detail.reach, "address": _address(own), "token": detail.token_file is not None},
        "socket": run.probes_socket,
        "otlp": wanted.observability.otlp_endpoint,
    }


def _address(bound: socket.socket | None) -> str | None:
    return None if bound is None else serving.address(*bound.getsockname()[:2])


def security(booted: plan.Plan, boot: boot_record.BootRecord) -> dict[str, Any]:
    """Return the planned profile, the one that this boot found in force, and how they differ.

    Without a container nothing confines: ``effective`` is None then, and nothing differs.
    """
    planned = dataclasses.asdict(booted.security)
    enforced = planned.pop("enforce")
    found = boot.security
    return {
        "attested": found is not None,
        "planned": {**planned, "volumes": [volume.path for volume in booted.deploy.volumes]},
        "effective": dataclasses.asdict(found.effective) if found else None,
        "differences": [dataclasses.asdict(one) for one in found.differences] if found else [],
        "unknown": found.unknown if found else {},
        "enforced": enforced and found is not None,
        "exceptions": [{"name": one.name, "reason": one.reason} for one in booted.exceptions],
    }


def _process() -> dict[str, Any]:
    import psutil

    process = psutil.Process()
    with process.oneshot():
        return {
            "pid": process.pid,
            "resident_bytes": process.memory_info().rss,
            "threads": process.num_threads(),
            "descriptors": process.num_fds(),
            "cpu_seconds": round(sum(process.cpu_times()[:2]), 3),
        }


def _identity(run: rundir.RunDirectory) -> dict[str, Any]:
    try:
        return identity.whoami(run)
    except errors.BootsealError as error:
        return {"error": str(error)}


def _runtimes(run: rundir.RunDirectory) -> list[dict[str, Any]] | dict[str, str]:
    """Return the language runtimes that Stage A found, or what stands against reading them."""
    from artifacts import runtimes  # only where the plan names some

    where = f"runtimes {run.runtimes}"
    try:
        data = files.read_bounded(run.runtimes, _RUNTIMES_LIMIT)
        return [dataclasses.asdict(runtime) for runtime in runtimes.parse(data, where)]
    except OSError as error:
        return {"error": f"{where}: {errors.describe_os_error(error)}"}
    except errors.BootsealError as error:
        return {"error": str(error)}


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
