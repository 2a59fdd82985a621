"""Do the parts of a plan about serving and the container's readiness fit? Standard library only; pure."""

import re

from contract import rundir
from manifest import plan, serving

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_SCHEMES = ("http://", "https://")


def problem(made: plan.Plan) -> str | None:
    """Say what does not fit in what is served, what readiness needs and what is told, or None."""
    return _detail_problem(made.probes) or _readiness_problem(made.readiness) or _telling_problem(made)


def delivered_token(made: plan.Plan) -> str | None:
    """Return the name of the secret that is delivered to the probe server as detail's token, or None."""
    directory = f"{rundir.RunDirectory(made.run_directory).secrets_of(plan.PROBES)}/"
    file = made.probes.detail.token_file
    return file.removeprefix(directory) if file is not None and file.startswith(directory) else None


def _detail_problem(probes: serving.ProbesPlan) -> str | None:
    detail = probes.detail
    ports = [probes.port, probes.metrics_port, detail.port]
    if any(port is not None and not 0 < port < 65536 for port in ports):
        return "a port of the probe server is not 1 to 65535"
    if detail.reach not in serving.REACHES:
        return f"who is answered detail is none of {', '.join(serving.REACHES)}"
    if [detail.host is not None, detail.port is not None] != [detail.reach == serving.OWN] * 2:
        return "detail has an address exactly where it is its own"
    if detail.token_file is not None and (detail.reach == serving.SOCKET or not detail.token_file.startswith("/")):
        return "the token of detail guards nothing, or its file is not an absolute path"
    if not probes.liveness_deadline_seconds > 0:
        return "probes.liveness_deadline is not more than 0s"
    return None


def _readiness_problem(readiness: serving.ReadinessPlan) -> str | None:
    paths = [mount.path for mount in readiness.mounts]
    names = [condition.name for condition in readiness.conditions]
    if len({*paths}) != len(paths) or len({*names}) != len(names):
        return "a mount or a check of the container stands twice"
    if any(not mount.path.startswith("/") or mount.free_bytes < 0 for mount in readiness.mounts):
        return "a mount's path is not absolute, or less than nothing must be free there"
    if not all(_LABEL.fullmatch(name) for name in names):
        return "the name of a check of the container is not a DNS-1123 label"
    if not all(_is_outside(condition.check) for condition in readiness.conditions):
        return "a check of the container is not of kind http, tcp or unix, or lacks what its kind needs"
    if any(
        not (one.period_seconds > 0 and one.check.timeout_seconds > 0) or min(one.failures, one.successes) < 1
        for one in readiness.conditions
    ):
        return "a check of the container has no period, no timeout, or no number of failures or successes"
    if readiness.settle_seconds < 0:
        return "ready.settle is less than 0s"
    return None


def _is_outside(check: serving.CheckPlan) -> bool:
    """Say whether ``check`` is one that the probe server makes without a program, and holds what its kind needs."""
    needed: dict[str, tuple[object, ...]] = {
        plan.HTTP: (check.url,),
        plan.TCP: (check.host, check.port),
        plan.UNIX: (check.path,),
    }
    return check.kind in needed and None not in needed[check.kind]


def _telling_problem(made: plan.Plan) -> str | None:
    if made.observability.log_level not in serving.LOG_LEVELS:
        return f"observability.log_level is none of {', '.join(serving.LOG_LEVELS)}"
    endpoint = made.observability.otlp_endpoint
    if endpoint is not None and not endpoint.startswith(_SCHEMES):
        return "observability.otlp_endpoint is neither http nor https"
    if made.logs not in serving.LOG_FORMATS:
        return f"logs is none of {', '.join(serving.LOG_FORMATS)}"
    return None
