"""The listening sockets, bound with the standard library alone, so that a port in use is told before anything is loaded."""

import socket

from contract import errors
from manifest import plan

_BACKLOG = 128


class CannotListen(errors.BootsealError):
    """A port of the plan cannot be had."""


def bind(wanted: plan.ProbesPlan) -> tuple[socket.socket, socket.socket | None]:
    """Return the listening sockets of the probes and, where it has a port of its own, of the metrics.

    Raises CannotListen.
    """
    probes = _listen("probes", wanted.host, wanted.port)
    if wanted.metrics_port is None:
        return probes, None
    try:
        return probes, _listen("metrics", wanted.metrics_host, wanted.metrics_port)
    except BaseException:
        probes.close()
        raise


def _listen(what: str, host: str, port: int) -> socket.socket:
    what = f"{what} listener {show(host, port)}"
    remedy = f"free the port, or change probes.{'listen' if what.startswith('probes') else 'metrics'} in the manifest"
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise CannotListen(what, errors.describe_os_error(error), remedy) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6 and host == "::":
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # every address, IPv4 too
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(what, errors.describe_os_error(error), remedy) from error
    listener.setblocking(False)
    return listener


def show(host: str, port: int) -> str:
    """Return the address as it stands in a URL (RFC 3986, 3.2.2: IPv6 in brackets)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
