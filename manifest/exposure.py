"""Who listens where others can come: what an image exposes, and what whoever runs it may publish. Pure."""

import dataclasses

from manifest import plan, serving, serving_plan

PROBES, METRICS, DETAIL = "probes", "metrics", "detail"


@dataclasses.dataclass(frozen=True)
class Reachable:
    """A TCP port that can be reached from outside the container; ``names`` say whose it is.

    ``exposed``: it is meant to be published on every address of the host; else on its loopback alone.
    """

    port: int
    names: tuple[str, ...]
    exposed: bool


def reachable(made: plan.Plan) -> tuple[Reachable, ...]:
    """Return every port, bootseal's and the programs', that is not for the container's loopback alone, in ascending order."""
    found: dict[int, Reachable] = {}
    for name, host, port, exposed in (*_own(made.probes), *_declared(made)):
        if serving_plan.ip(host).is_loopback:
            continue
        before = found.get(port, Reachable(port, (), exposed=False))
        names = before.names if name in before.names else (*before.names, name)
        found[port] = Reachable(port, names, exposed=before.exposed or exposed)
    return tuple(found[port] for port in sorted(found))


def exposed_ports(made: plan.Plan) -> tuple[int, ...]:
    """Return the ports of ``reachable``: what an image says that it listens on."""
    return tuple(one.port for one in reachable(made))


def _own(probes: serving.ProbesPlan) -> list[tuple[str, str, int, bool]]:
    listeners = [(PROBES, probes.host, probes.port, False)]
    if probes.metrics_port is not None:
        listeners.append((METRICS, probes.metrics_host, probes.metrics_port, False))
    detail = probes.detail
    if detail.reach == serving.OWN and detail.host is not None and detail.port is not None:
        listeners.append((DETAIL, detail.host, detail.port, False))
    return listeners


def _declared(made: plan.Plan) -> list[tuple[str, str, int, bool]]:
    return [
        (program.name, one.host, one.port, one.exposed)
        for program in sorted(made.programs, key=lambda program: program.name)
        for one in program.ports
    ]
