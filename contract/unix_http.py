"""HTTP over a unix socket of our own, with one deadline for everything that is asked on a connection.

Rules
-----
* The deadline counts from the connection's making, however slowly the answer comes: a socket's timeout alone is one of each read,
  and a peer that sends a byte now and then would hold the asker for ever.
"""

import http.client
import socket
from typing import Any

from contract import clock

DENIED = "run it as the container's user or as root"
"""What to do where the system says that we may not ask, or not look."""


class _Socket(socket.socket):
    """A unix stream socket whose every step may take what is left until ``end`` on the monotonic clock."""

    def __init__(self, end: float) -> None:
        super().__init__(socket.AF_UNIX, socket.SOCK_STREAM)
        self._end = end

    def _arm(self) -> None:
        left = self._end - clock.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        self.settimeout(left)

    def connect(self, address: Any) -> None:
        self._arm()
        super().connect(address)

    def sendall(self, *arguments: Any) -> None:
        self._arm()
        super().sendall(*arguments)

    def recv_into(self, *arguments: Any) -> int:
        """Every byte of an answer is read here: ``socket.makefile``'s ``SocketIO.readinto``."""
        self._arm()
        return super().recv_into(*arguments)


class Connection(http.client.HTTPConnection):
    """A connection to the unix socket ``path`` that is given ``timeout_seconds`` in all; past them every step raises TimeoutError."""

    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path
        self._end = clock.monotonic() + timeout_seconds

    def connect(self) -> None:
        """Connect; raises OSError."""
        self.sock = _Socket(self._end)
        self.sock.connect(self._path)


def remedy(error: OSError, otherwise: str) -> str:
    """Return what to do about ``error``, met on the way to a socket or file of a boot."""
    return DENIED if isinstance(error, PermissionError) else otherwise
