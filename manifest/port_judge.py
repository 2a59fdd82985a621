"""The rules of ports: who listens where, what can be reached from outside, and what checks can find.

Rules
-----
* Which addresses hold which is said in ``listeners``.
* What collides among the probe server's own listeners is E063, in ``serving_rules``.
* Where a program's ports, or the probes, were cut out, no check is told that nobody declares its port.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives. The work grows with the number of ports.
"""

import bisect
import ipaddress
import urllib.parse
from collections.abc import Iterable, Iterator

from manifest import listeners, readiness, serving, serving_plan, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

PRIVILEGED = 1024
"""Ports below it need a capability (ip(7), ip_unprivileged_port_start, as the kernel sets it)."""
_BIND = "NET_BIND_SERVICE"
_HTTP_PORT = 80
_TRIED = 100
_PROOFS = ("notify", "fd", "log", "file")


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule of this module that the manifest breaks."""
    found = [*listeners.of_probes(subject), *listeners.of_programs(subject.model)]
    _check_unique(subject, found, findings)
    _check_exposed(subject, findings)
    _check_reachable(subject, found, findings)
    _warn_of_privileged(subject, found, findings)
    _warn_of_unreachable_probes(subject, found, findings)


def _check_unique(subject: Subject, found: list[listeners.Listener], findings: Findings) -> None:
    """E101: of all that listen, no two have one address."""
    taken: dict[int, listeners.Taken] = {}
    for one in found:
        other = taken.setdefault(one.port, listeners.Taken()).add(one)
        if other is None or (one.owner is None and other.owner is None):
            continue
        if one.owner == other.owner:
            both = (
                f"{other.address} and {one.address}: one holds the other"
                if other.ip != one.ip
                else f"{one.address} twice"
            )
            message = f"{one.what} declares {both}"
            findings.add("E101", _place(subject, one.path), message, "keep one of them")
            continue
        message = (
            f"{other.what} listens on {other.address} and {one.what} on {one.address}: whichever starts second fails"
        )
        free = next((port for port in _above(one.port) if port not in taken), None)
        remedy = "choose another port" if free is None else f"choose another port, for example {free}"
        findings.add("E101", _place(subject, one.path), message, remedy)


def _above(port: int) -> Iterable[int]:
    """Return ports to offer instead of ``port``."""
    return range(port + 1, min(port + _TRIED, 65536))


def _check_exposed(subject: Subject, findings: Findings) -> None:
    """E102, W011: what is exposed can be reached, and was seen to answer."""
    checked = {port for _, _, port in _addresses(subject)}
    for name, program in subject.model.programs.items():
        exposed = []
        for index, (host, port) in ((at, one.listen) for at, one in enumerate(program.ports) if one.expose):
            if not serving_plan.ip(host).is_loopback:
                exposed.append((index, (host, port)))
                continue
            place = _place(subject, ("programs", name, "ports", index, "listen"))
            message = f"{quote(name)} exposes {serving.address(host, port)}, and loopback is the container's own"
            everywhere = "[::]" if ":" in host else "0.0.0.0"  # noqa: S104  # what the program has to listen on
            findings.add("E102", place, message, f"listen on {everywhere}:{port}, or remove `expose`")
        if program.required and not program.oneshot and not _is_proven(subject, name, program.ready):
            unseen = next(((index, address) for index, address in exposed if address[1] not in checked), None)
            if unseen is not None:
                _warn_of_unseen(subject, name, *unseen, findings)


def _is_proven(subject: Subject, name: str, ready: readiness.Ready | None) -> bool:
    """Say whether something but time says that the program is ready."""
    if subject.was_cut("programs", name):
        return True
    return ready is not None and (
        ready.check is not None or any(getattr(ready, proof) is not None for proof in _PROOFS)
    )


def _warn_of_unseen(subject: Subject, name: str, index: int, address: tuple[str, int], findings: Findings) -> None:
    place = _place(subject, ("programs", name, "ports", index, "listen"))
    message = (
        f"{quote(name)} is ready when it has run for a while, and port {address[1]} is exposed: it may not answer yet"
    )
    ip = serving_plan.ip(address[0])
    near = address[1] if ip == ipaddress.IPv4Address(0) else _reachable(ip, address)
    findings.add("W011", place, message, f"add `ready: {{tcp: {near}}}`, or what proves more")


def _reachable(ip: listeners.Ip, address: tuple[str, int]) -> str:
    host = "::1" if ip.is_unspecified else address[0]
    return f'"{serving.address(host, address[1])}"'


def _addresses(subject: Subject) -> Iterator[tuple[tree.Path, str, int]]:
    """Yield every address that a check over TCP connects to, and the path of the value that says so."""
    manifest = subject.model
    for name, program in manifest.programs.items():
        if program.ready is not None:
            yield from _address(("programs", name, "ready"), program.ready.http, program.ready.tcp)
        if isinstance(program.live, readiness.Live):
            yield from _address(("programs", name, "live"), program.live.http, program.live.tcp)
    for name, one in manifest.ready.checks.items():
        yield from _address(("ready", "checks", name), one.http, one.tcp)


def _address(
    path: tree.Path, http: readiness.HttpCheck | None, tcp: readiness.TcpCheck | None
) -> Iterator[tuple[tree.Path, str, int]]:
    if http is not None and http.socket is None:
        parts = urllib.parse.urlsplit(http.url)
        yield (*path, "http", "url"), parts.hostname or "", parts.port or _HTTP_PORT
    if tcp is not None:
        yield (*path, "tcp", "address"), *tcp.address


def _check_reachable(subject: Subject, found: list[listeners.Listener], findings: Findings) -> None:
    """E103: where ports are declared, a check of this container finds one of them."""
    is_doubtful = any(subject.was_cut("programs", name, "ports") for name in subject.names("programs"))
    is_told = any(program.ports for program in subject.model.programs.values())
    if is_doubtful or not is_told or subject.was_cut("programs", "") or subject.was_cut("probes"):
        return
    by_port: dict[int, list[listeners.Listener]] = {}
    for one in found:
        by_port.setdefault(one.port, []).append(one)
    ports = sorted(by_port)
    for path, host, port in _addresses(subject):
        ip = serving_plan.ip(host)
        there = by_port.get(port, [])
        if not (ip.is_loopback or ip.is_unspecified) or any(one.answers(ip) for one in there):
            continue
        shown = serving.address(host, port)
        if there:
            message = f"nothing answers at {shown}: {there[0].what} listens on {there[0].address}"
            remedy = f"check {_answering(there[0])}"
        else:
            message = (
                f"nothing answers at {shown}: no program declares port {port}, and it is none of the probe server's"
            )
            remedy = f"check {_answering(by_port[_nearest(path, port, ports, subject, findings)][0])}, or declare it in `ports`"
        findings.add("E103", _place(subject, path), message, remedy)


def _nearest(path: tree.Path, port: int, ports: list[int], subject: Subject, findings: Findings) -> int:
    """Return the declared port that ``port`` was probably meant to be: the program's own first, by spelling before distance."""
    if path[0] == "programs":
        own = [one.listen[1] for one in subject.model.programs[str(path[1])].ports]
        ports = sorted(own) or ports
    at = bisect.bisect(ports, port)
    spelled = findings.nearest(str(port), map(str, ports[max(0, at - _TRIED) : at + _TRIED]))
    if spelled is not None:
        return int(spelled)
    return min(ports[max(0, at - 1) : at + 1], key=lambda one: abs(one - port))


def _answering(one: listeners.Listener) -> str:
    """Return an address at which ``one`` answers."""
    host = one.host
    if one.ip.is_unspecified:
        host = "127.0.0.1" if one.ip.version == 4 else "::1"
    return serving.address(host, one.port)


def _warn_of_privileged(subject: Subject, found: list[listeners.Listener], findings: Findings) -> None:
    """W012: nobody listens below 1024 without the capability."""
    exceptions = subject.model.security.exceptions
    if subject.was_cut("security") or any(_BIND in one.capabilities for one in exceptions.values()):
        return
    for one in found:
        if one.port < PRIVILEGED:
            message = f"{one.what} listens on port {one.port}, which takes a capability that the container has not"
            findings.add("W012", _place(subject, one.path), message, f"choose one from {PRIVILEGED} on")


def _warn_of_unreachable_probes(subject: Subject, found: list[listeners.Listener], findings: Findings) -> None:
    """W013: where a cluster is to run it, the probes and the metrics are not on loopback."""
    if tree.find(subject.written, ("deploy",)) is None:
        return
    for one in found:
        if one.owner is None and one.path[1] != "detail" and one.ip.is_loopback:
            is_written = tree.find(subject.root, ("probes", one.path[1])) is not None
            place = _place(subject, one.path) if is_written else tree.key_place(subject.root, ("deploy",))
            message = f"{one.what} listens on {one.address}, and a cluster asks from outside of the container"
            key = "listen" if one.path[1] == "listen" else "metrics"
            everywhere = serving.address("0.0.0.0" if one.ip.version == 4 else "::", one.port)  # noqa: S104
            findings.add("W013", place, message, f'write `probes: {{{key}: "{everywhere}"}}`')


def _place(subject: Subject, path: tree.Path) -> tree.Place:
    """Return the place of what is at ``path``, in full or as a shorthand."""
    return tree.place_of(subject.root, tree.written(subject.root, path))
