"""Taking clients from a listening socket.

Rules
-----
* Who comes is taken, and one who is silent goes for it: ``probes.connections``. Only where everybody here is being answered the one
  who comes is turned away.
* No descriptor left (accept(2): EMFILE, ENFILE, ENOBUFS, ENOMEM) sends the longest silent client away, and where there is none
  accepting pauses: it neither turns in a circle nor ends.
* At most ``BATCH`` clients, and no more than a quarter of all there may be, are on their way at a time; others wait in the kernel's
  queue. So whoever is here already is answered meanwhile, and newcomers do not send each other away before they are heard.
* What the kernel takes of an answer for a client that does not is bounded: ``SEND_BYTES``, and no longer than a silence may be.
* On the unix socket only processes of our own user and root's are clients; others are closed at once (SO_PEERCRED, unix(7)).
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import struct
from collections.abc import Callable

from probes import client, connections

BATCH = 64
SEND_BYTES = 32 * 1024
"""The kernel doubles it (socket(7)). Left to itself it takes megabytes (tcp_wmem, tcp(7))."""
PAUSE_SECONDS = 0.1
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_CREDENTIALS = struct.Struct("iII")

_log = logging.getLogger(__name__)


class Acceptor:
    """Makes a client of every connection that ``listener`` has."""

    def __init__(
        self, listener: socket.socket, known: connections.Connections, make: Callable[[], client.Client]
    ) -> None:
        """``make`` makes a client for one connection."""
        self._listener = listener
        self._connections = known
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._is_local = listener.family == socket.AF_UNIX
        self._tasks: set[asyncio.Task[None]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._is_exhausted = False

    def begin(self) -> None:
        """Accept from now on."""
        self._pause = None
        self._loop.add_reader(self._listener.fileno(), self._accept)

    def end(self) -> None:
        """Accept no more, and close the listening socket."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def take(self, accepted: socket.socket, head: bytes = b"") -> None:
        """Take a connection that was accepted, of which ``head`` was read."""
        if (self._is_local and not is_ours(accepted)) or not self._connections.make_room():
            accepted.close()
            return
        accepted.setblocking(False)
        limit(accepted)
        task = self._loop.create_task(self._connect(accepted, head))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, accepted: socket.socket, head: bytes) -> None:
        try:
            _, made = await self._loop.connect_accepted_socket(self._make, accepted)
        except OSError:  # the client has left
            self._connections.stay_away()
            accepted.close()
            return
        if head:
            made.data_received(head)

    def _accept(self) -> None:
        for _ in range(min(BATCH, max(1, self._connections.limit // 4)) - self._connections.coming):
            try:
                accepted, _ = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._make_do(error)
                    return
                continue  # this client left while it waited (accept(2))
            self._is_exhausted = False
            self.take(accepted)

    def _make_do(self, error: OSError) -> None:
        if not self._is_exhausted:
            self._is_exhausted = True
            _log.warning("a client cannot be taken: %s", os.strerror(error.errno or 0))
        if not self._connections.evict_one():
            self._loop.remove_reader(self._listener.fileno())
            self._pause = self._loop.call_later(PAUSE_SECONDS, self.begin)


def limit(accepted: socket.socket) -> None:
    """Bound what the kernel holds of answers that the client at ``accepted`` does not take, also after we closed it (tcp(7))."""
    with contextlib.suppress(OSError):
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BYTES)
        if accepted.family != socket.AF_UNIX:
            patience_ms = int(connections.SILENCE_SECONDS * 1000)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, patience_ms)


def is_ours(accepted: socket.socket) -> bool:
    """Say whether the process at the other end of a unix socket is of our user or root's."""
    with contextlib.suppress(OSError):
        _, uid, _ = _CREDENTIALS.unpack(accepted.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        return uid in {0, os.geteuid()}
    return False
