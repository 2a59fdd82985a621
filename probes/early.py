"""/livez on the bound socket while the HTTP server is still being loaded (0.2 s of CPU), with the standard library alone.

Rules
-----
* Only /livez is answered: 200, because this process lives and answers. It is one answer a connection.
* Every other connection is kept with the bytes that were read from it, and handed to the server when it stands: no request
  is answered by anybody who does not know the answer.
* A client that says nothing is kept after 50 ms like any other, so that none can hold up the next.
"""

import contextlib
import json
import select
import socket
import threading
import time

_TURN_MS = 20
_CLIENT_SECONDS = 0.05
_REQUEST_LIMIT = 8192
_KEPT_LIMIT = 128


class EarlyAnswers:
    """Answers on ``listener`` from ``begin`` to ``end``."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._over = threading.Event()
        self._started = time.monotonic()
        self._kept: list[tuple[socket.socket, bytes]] = []
        self._thread = threading.Thread(target=self._serve, name="early-answers", daemon=True)

    def begin(self) -> None:
        """Answer from now on."""
        self._thread.start()

    def end(self) -> list[tuple[socket.socket, bytes]]:
        """Answer no more; return the connections that were kept, each with what was read from it."""
        self._over.set()
        self._thread.join()
        return self._kept

    def _serve(self) -> None:
        poller = select.poll()
        poller.register(self._listener, select.POLLIN)
        while not self._over.is_set():
            if poller.poll(_TURN_MS) and len(self._kept) < _KEPT_LIMIT:
                with contextlib.suppress(OSError):
                    self._accept_one()

    def _accept_one(self) -> None:
        connection, _ = self._listener.accept()
        try:
            head = _read_head(connection)
            if is_for_us(head):
                connection.sendall(answer(head, time.monotonic() - self._started))
                connection.close()
            else:
                connection.setblocking(False)
                self._kept.append((connection, head))
        except OSError:
            connection.close()


def _read_head(connection: socket.socket) -> bytes:
    """Return what the client sent until its request line was complete, it ended, or 50 ms passed."""
    deadline = time.monotonic() + _CLIENT_SECONDS
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _REQUEST_LIMIT:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        connection.settimeout(left)
        try:
            data = connection.recv(_REQUEST_LIMIT)
        except TimeoutError:
            break
        if not data:
            break
        head += data
    return head


def is_for_us(head: bytes) -> bool:
    """Say whether ``head`` is a whole request for /livez without a body."""
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].rstrip(b"/")
    return method in {b"GET", b"HEAD"} and path == b"/livez" and head.endswith(b"\r\n\r\n")


def answer(head: bytes, uptime_seconds: float) -> bytes:
    """Return the whole HTTP/1.1 response to the request for /livez ``head``."""
    age = round(uptime_seconds, 3)
    value = {"live": True, "uptime_seconds": age, "loop_lag_seconds": 0.0, "heartbeat_age_seconds": age}
    body = json.dumps(value).encode()
    lines = [
        "HTTP/1.1 200 OK",
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (b"" if head.startswith(b"HEAD") else body)
