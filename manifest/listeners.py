"""Who listens where in the container: programs, as they declare it, PID 1 for FastCGI programs, and the probe server. Pure.

Rules
-----
* An address of all holds each of its family; ``[::]`` holds those of IPv4 as well (ipv6(7), IPV6_V6ONLY off), but for the program that
  declares both itself: only that can switch it off. An IPv4-mapped address is the IPv4 address.
"""

import dataclasses
import ipaddress
from collections.abc import Iterator

from manifest import fields, model, serving, serving_plan, tree
from manifest.diagnostics import quote
from manifest.structure import Subject

_TCP = "tcp://"

Ip = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclasses.dataclass(frozen=True)
class Listener:
    """An address that something listens on: ``owner`` is a program, or None for the probe server, where ``what`` says which part."""

    owner: str | None
    what: str
    host: str
    port: int
    path: tree.Path

    @property
    def ip(self) -> Ip:
        """The host as the kernel takes it."""
        return serving_plan.ip(self.host)

    @property
    def address(self) -> str:
        """The address as a manifest writes it."""
        return serving.address(self.host, self.port)

    def answers(self, host: Ip) -> bool:
        """Say whether a connection to ``host`` reaches it."""
        ip = self.ip
        return ip == host or (ip.is_unspecified and ip.version in {host.version, 6})


class Taken:
    """Who listens on one port, so that one more is compared with few."""

    def __init__(self) -> None:
        self._exact: dict[Ip, Listener] = {}
        self._by_family: dict[int, dict[str | None, Listener]] = {4: {}, 6: {}}

    def add(self, one: Listener) -> Listener | None:
        """Add ``one``; return who has its address already, or None."""
        found = next(self._others(one), None)
        self._exact.setdefault(one.ip, one)
        self._by_family[one.ip.version].setdefault(one.owner, one)
        return found

    def _others(self, one: Listener) -> Iterator[Listener]:
        own = one.ip.version
        wildcards = (ipaddress.IPv4Address(0), ipaddress.IPv6Address(0))
        for ip in (one.ip, *wildcards):
            other = self._exact.get(ip)
            if other is not None and (ip.version == own or (ip.version == 6 and other.owner != one.owner)):
                yield other
        if one.ip.is_unspecified:
            yield from self._by_family[own].values()
            if own == 6:
                yield from (other for other in self._by_family[4].values() if other.owner != one.owner)


def of_programs(manifest: model.Manifest) -> Iterator[Listener]:
    """Yield where programs listen, as they declare it; then the sockets that PID 1 makes for them, each once.

    A program may declare its socket among its `ports` as well; programs of one socket share it.
    """
    made = set()
    for name, program in manifest.programs.items():
        own = None if program.fastcgi is None else _fastcgi(program.fastcgi.socket)
        for index, port in enumerate(program.ports):
            path: tree.Path = ("programs", name, "ports", index, "listen")
            if port.listen == own:
                made.add(own)
            yield Listener(name, quote(name), *port.listen, path)
    for name, program in manifest.programs.items():
        own = None if program.fastcgi is None else _fastcgi(program.fastcgi.socket)
        if own is not None and own not in made:
            made.add(own)
            yield Listener(name, quote(name), *own, ("programs", name, "fastcgi", "socket"))


def _fastcgi(socket: str) -> tuple[str, int] | None:
    """Return the address of a socket over TCP; None for one of unix."""
    found = fields.listen_address(socket.removeprefix(_TCP)) if socket.startswith(_TCP) else ""
    return None if isinstance(found, str) else found


def of_probes(subject: Subject) -> Iterator[Listener]:
    """Yield where the probe server listens, as far as that was sound."""
    probes = subject.model.probes
    reach, own = serving_plan.reach_of(probes)
    listeners = (
        ("listen", "the probe server", probes.listen),
        ("metrics", "the probe server (metrics)", probes.metrics),
        ("detail", "the probe server (detail)", own if reach == serving.OWN else None),
    )
    for key, what, address in listeners:
        if address is not None and not subject.was_cut("probes", key):
            yield Listener(None, what, *address, ("probes", key, "listen"))
