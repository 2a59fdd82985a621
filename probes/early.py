"""/livez on the bound socket while the HTTP server is still being loaded (0.2 s of CPU), with the standard library alone.

Rules
-----
* Only /livez is answered: 200, because this process lives and answers. It is one answer a connection.
* Every other connection is kept with the bytes that were read from it, and handed to the server when it stands: no request
  is answered by anybody who does not know the answer.
* Nobody holds up the next, however little they say. At most ``KEPT_LIMIT`` are kept; one more, and the oldest must go.
"""

import contextlib
import selectors
import socket
import threading
import time

from probes import heads, response

KEPT_LIMIT = 512
_TURN_SECONDS = 0.02
_READ_BYTES = 4096


class EarlyAnswers:
    """Answers on ``listener`` from ``begin`` to ``end``."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._over = threading.Event()
        self._started = time.monotonic()
        self._kept: dict[socket.socket, bytes] = {}
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._serve, name="early-answers", daemon=True)

    def begin(self) -> None:
        """Answer from now on."""
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def end(self) -> list[tuple[socket.socket, bytes]]:
        """Answer no more; return the connections that were kept, each with what was read from it."""
        self._over.set()
        self._thread.join()
        self._selector.close()
        return list(self._kept.items())

    def _serve(self) -> None:
        while not self._over.is_set():
            for key, _ in self._selector.select(_TURN_SECONDS):
                ready = key.fileobj
                assert isinstance(ready, socket.socket)  # noqa: S101  # nothing else is registered
                if ready is self._listener:
                    self._accept()
                elif ready in self._kept:
                    self._read(ready)

    def _accept(self) -> None:
        try:
            accepted, _ = self._listener.accept()
        except BlockingIOError:
            return
        except OSError:  # the client left, or no descriptor is left: the server will know what to do
            self._over.wait(_TURN_SECONDS)
            return
        accepted.setblocking(False)
        if len(self._kept) >= KEPT_LIMIT:
            self._drop(next(iter(self._kept)))
        self._kept[accepted] = b""
        self._selector.register(accepted, selectors.EVENT_READ)

    def _read(self, client: socket.socket) -> None:
        try:
            data = client.recv(_READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._kept[client] += data
        if is_for_us(self._kept[client]):
            with contextlib.suppress(OSError):
                client.send(answer(self._kept[client], time.monotonic() - self._started))
            self._drop(client)
        elif not data and not self._kept[client]:
            self._drop(client)
        elif not data or b"\r\n\r\n" in self._kept[client] or len(self._kept[client]) >= heads.LIMIT:
            self._selector.unregister(client)  # it said what it had to say: the server answers

    def _drop(self, client: socket.socket) -> None:
        del self._kept[client]
        with contextlib.suppress(KeyError):
            self._selector.unregister(client)
        client.close()


def is_for_us(head: bytes) -> bool:
    """Say whether ``head`` is a whole request for /livez without a body."""
    method, _, rest = head.partition(b" ")
    path = rest.partition(b" ")[0].partition(b"?")[0].removesuffix(b"/")
    return method in {b"GET", b"HEAD"} and path in {b"/livez", b"/healthz"} and head.endswith(b"\r\n\r\n")


def answer(head: bytes, uptime_seconds: float) -> bytes:
    """Return the whole HTTP/1.1 response to the request for /livez ``head``."""
    age = round(uptime_seconds, 3)
    value = {"live": True, "uptime_seconds": age, "loop_lag_seconds": 0.0, "heartbeat_age_seconds": age}
    return response.whole(200, response.dump(value), with_body=not head.startswith(b"HEAD"))
