"""Which ports a container has for others: what its image exposes, and what whoever runs it may publish. Pure."""

from manifest import plan, serving, serving_plan


def exposed_ports(made: plan.Plan) -> tuple[int, ...]:
    """Return the TCP ports of bootseal that are not for loopback alone: of the probes, the metrics and detail."""
    probes = made.probes
    listeners: list[tuple[str | None, int | None]] = [
        (probes.host, probes.port),
        (probes.metrics_host, probes.metrics_port),
    ]
    if probes.detail.reach == serving.OWN:
        listeners.append((probes.detail.host, probes.detail.port))
    found = {port for host, port in listeners if host is not None and port is not None and not _is_loopback(host)}
    return tuple(sorted(found))


def _is_loopback(host: str) -> bool:
    return serving_plan.ip(host).is_loopback
