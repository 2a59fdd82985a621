"""What is served, what the container's readiness needs and what is told: from the manifest's sections to the plan.

Rules
-----
* Detail has an address of its own only where that differs from the probes': there it is served to all their clients.
* A directory that must be there is where ``bootseal up`` moved it when it is, or lies beneath, a path of boot.writable. Outside a
  container nothing is mounted, and nothing need be.
"""

import ipaddress

from contract import rundir
from manifest import plan, proofs, serving, serving_model, tree
from manifest.diagnostics import quote
from manifest.resolver import Resolver

_LOOPBACK = "127.0.0.1"


def probes(
    written: serving_model.Probes, resolver: Resolver, *, on_loopback: bool, listen: tuple[str, int] | None
) -> serving.ProbesPlan:
    """Return where the probe server listens: every host is 127.0.0.1 ``on_loopback``, and ``listen`` replaces the probes' address."""

    def place(host: str) -> str:
        return _LOOPBACK if on_loopback else host

    host, port = listen or (place(written.listen[0]), written.listen[1])
    metrics_host, metrics_port = written.metrics or (written.listen[0], None)
    reach, own = reach_of(written)
    token = written.detail.token
    return serving.ProbesPlan(
        host=host,
        port=port,
        metrics_host=place(metrics_host),
        metrics_port=metrics_port,
        liveness_deadline_seconds=written.liveness_deadline,
        detail=serving.DetailPlan(
            reach=reach,
            host=None if own is None else place(own[0]),
            port=None if own is None else own[1],
            token_file=None if token is None else _token_file(token, resolver),
        ),
    )


def reach_of(written: serving_model.Probes) -> tuple[str, tuple[str, int] | None]:
    """Return who is answered detail, one of serving.REACHES, and the address of its own where it has one."""
    detail = written.detail
    if detail.listen is None:
        return (serving.LOOPBACK if detail.token is None else serving.OPEN), None
    if isinstance(detail.listen, str):
        return serving.SOCKET, None
    return (serving.OPEN, None) if is_same(detail.listen, written.listen) else (serving.OWN, detail.listen)


def is_same(one: tuple[str, int], other: tuple[str, int]) -> bool:
    """Say whether two addresses are one, however they are spelled."""
    return one[1] == other[1] and ip(one[0]) == ip(other[0])


def ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the address that ``host`` is; an IPv4-mapped one is the IPv4 address (RFC 4291, 2.5.5.2), as for the kernel."""
    found = ipaddress.ip_address(host)
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def _token_file(token: serving_model.Token, resolver: Resolver) -> str | None:
    if token.secret is not None:
        return f"{rundir.RunDirectory(resolver.scope.run).secrets_of(plan.PROBES)}/{token.secret}"
    if token.file is None:
        return None
    here: tree.Path = ("probes", "detail", "token", "file")
    path = resolver.path(here, token.file)
    if path.startswith(f"{rundir.RunDirectory(resolver.scope.run).secrets}/"):
        place = tree.place_of(resolver.subject.root, here)
        message = f"the token's file {quote(path)} is where bootseal puts secrets, and only those"
        resolver.findings.add("E088", place, message, "write `secret: NAME`, with the name of one under `secrets`")
    return path


def readiness(written: serving_model.Readiness, resolver: Resolver) -> serving.ReadinessPlan:
    """Return what the container's readiness needs beside its programs, as it is written."""
    mounts = (_mount(mount, resolver) for mount in written.mounts)
    found = ((name, _condition(name, check, resolver)) for name, check in written.checks.items())
    return serving.ReadinessPlan(tuple(mounts), tuple(made for _, made in found if made is not None), written.settle)


def _mount(written: serving_model.RequiredMount, resolver: Resolver) -> serving.MountPlan:
    return serving.MountPlan(
        path=resolver.scope.real_path(written.path) or written.path,
        is_mount=written.mounted and not resolver.is_relocated,
        writable=written.writable,
        free_bytes=written.free,
        required=written.required,
    )


def _condition(name: str, written: serving_model.Check, resolver: Resolver) -> serving.ConditionPlan | None:
    """Return the check called ``name``; None where nothing is checked, which is an error anyhow."""
    here: tree.Path = ("ready", "checks", name)
    check = proofs.check(here, written.check, resolver)
    if check is None:
        return None
    return serving.ConditionPlan(
        name, check, written.period, written.failures, written.successes, required=written.required
    )


def observability(written: serving_model.Observability) -> serving.ObservabilityPlan:
    """Return what the probe server tells of itself, as it is written."""
    return serving.ObservabilityPlan(written.log_level, written.otlp_endpoint)
