"""tcp and unix: somebody accepts connections there; and how names and errors of sockets are read, for http as well.

Rules
-----
* The connection is closed at once, nothing is sent or read.
* A name is looked up without the loop's shared threads: a name server that hangs holds up nobody else.
* A loopback port that nobody listens on can be connected to itself (TCP's simultaneous open): that is no listener.
* A unix socket whose queue is full answers EAGAIN, which asyncio takes for "under way" and then for success; so connect(2)
  is called directly. It never blocks there.
"""

import asyncio
import os
import socket
from typing import Any

from contract import errors
from manifest import plan
from probes import detached
from probes.checks import verdict


async def tcp(check: plan.CheckPlan) -> verdict.Outcome:
    """Connect to the check's host and port, by each of the host's addresses."""
    loop = asyncio.get_running_loop()
    outcome = verdict.failed("its host has no address")
    try:
        addresses = await resolve(str(check.host), int(check.port or 0))
    except OSError as error:
        return verdict.failed(f"{check.host}: {words(error)}")
    for family, address in addresses:
        with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
            try:
                await loop.sock_connect(connection, address)
                if connection.getsockname() != connection.getpeername():
                    return verdict.PASSED
                outcome = verdict.failed("connection refused")
            except OSError as error:
                outcome = verdict.failed(words(error))
    return outcome


async def unix(check: plan.CheckPlan) -> verdict.Outcome:
    """Connect to the stream socket at the check's path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        try:
            connection.connect(str(check.path))
        except BlockingIOError:
            return verdict.failed(f"{check.path}: its queue is full, nobody accepts")
        except OSError as error:
            return verdict.failed(f"{check.path}: {words(error)}")
    return verdict.PASSED


async def resolve(host: str, port: int) -> list[tuple[int, Any]]:
    """Return the families and addresses of ``host``; raises OSError when it has none."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        found = await detached.call("resolve", lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    return [(family, address) for family, _, _, _, address in found]


def words(error: OSError) -> str:
    """Return the reason of ``error`` in words, without addresses: asyncio puts them where the reason belongs."""
    if error.errno and not isinstance(error, socket.gaierror):
        error = OSError(error.errno, os.strerror(error.errno))
    text = errors.describe_os_error(error)
    return text[:1].lower() + text[1:]
