"""What ends the seal program's pause between two polls: news on PID 1's feed, or time.

The feed only says that asking is worth while; what counts is the answer to the poll. Without it (no socket, a feed that ended)
the pause is ``PAUSE_SECONDS``.
"""

import contextlib
import json
import os
import select
import socket
import time

from contract import rundir
from manifest import plan

PAUSE_SECONDS = 0.02
_LONGEST_SECONDS = 0.5
"""Also without news it is asked this often: a silent feed is not the last word."""
_CHUNK = 1 << 16


class Doorbell:
    """A subscription to PID 1's feed, of which nothing is read but that there is something."""

    def __init__(self, run: rundir.RunDirectory) -> None:
        """Subscribe; when that cannot be done every wait is a plain pause."""
        self._socket: socket.socket | None = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(run.ledger_socket)
            self._socket.sendall(json.dumps({"subscribe": plan.SEAL, "pid": os.getpid()}).encode() + b"\n")
            self._socket.setblocking(False)
        except OSError:
            self.close()

    def wait(self) -> None:
        """Return at the next news, or after a while."""
        if self._socket is None:
            time.sleep(PAUSE_SECONDS)
            return
        select.select([self._socket], [], [], _LONGEST_SECONDS)
        with contextlib.suppress(BlockingIOError):
            while True:
                try:
                    data = self._socket.recv(_CHUNK)
                except ConnectionError:
                    data = b""
                if not data:
                    self.close()
                    return

    def close(self) -> None:
        """End the subscription."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None
