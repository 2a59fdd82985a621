"""The listening sockets, bound with the standard library alone, so that an address in use is told before anything is loaded.

Rules
-----
* All or none: where one cannot be had nothing is left open.
* The unix socket is made under another name, mode 0600 from its first moment, and takes its place by rename(2): whoever connects
  finds the one of the server before, or ours.
"""

import contextlib
import dataclasses
import os
import socket

from contract import errors, rundir
from manifest import plan, serving

BACKLOG = 4096
"""Clients that the kernel keeps for us while we are busy; it takes no more than net.core.somaxconn (listen(2))."""
_SOCKET_UMASK = 0o177


class CannotListen(errors.BootsealError):
    """An address that the plan names, or the unix socket, cannot be had."""


@dataclasses.dataclass(frozen=True)
class Sockets:
    """What listens: ``metrics`` and ``detail`` are None where they have no address of their own."""

    probes: socket.socket
    metrics: socket.socket | None
    detail: socket.socket | None
    local: socket.socket

    def close(self) -> None:
        """Close every one."""
        for each in (self.probes, self.metrics, self.detail, self.local):
            if each is not None:
                each.close()


def bind(wanted: plan.ProbesPlan, run: rundir.RunDirectory) -> Sockets:
    """Return the listening sockets; raises CannotListen."""
    detail = wanted.detail
    with contextlib.ExitStack() as opened:

        def listen(name: str, host: str | None, port: int | None) -> socket.socket | None:
            return None if host is None or port is None else opened.enter_context(_listen(name, host, port))

        probes = opened.enter_context(_listen("listen", wanted.host, wanted.port))
        metrics = listen("metrics", wanted.metrics_host, wanted.metrics_port)
        own = listen("detail", detail.host, detail.port) if detail.reach == serving.OWN else None
        local = opened.enter_context(_listen_locally(run.probes_socket))
        opened.pop_all()
    return Sockets(probes, metrics, own, local)


def _listen(key: str, host: str, port: int) -> socket.socket:
    what = f"{'probes' if key == 'listen' else key} listener {serving.address(host, port)}"
    remedy = f"free the port, or change probes.{key} in the manifest"
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
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise CannotListen(what, errors.describe_os_error(error), remedy) from error
    listener.setblocking(False)
    return listener


def _listen_locally(path: str) -> socket.socket:
    what, remedy = f"probes socket {path}", "the run directory must be ours, writable, and short (rundir)"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = f"{path}.{os.getpid()}"
    before = os.umask(_SOCKET_UMASK)
    try:
        with contextlib.suppress(FileNotFoundError):  # left by a process with our pid
            os.unlink(temporary)
        listener.bind(temporary)
        listener.listen(BACKLOG)
        os.rename(temporary, path)
    except OSError as error:
        listener.close()
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise CannotListen(what, errors.describe_os_error(error), remedy) from error
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener
