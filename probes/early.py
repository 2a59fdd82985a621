"""/livez on the bound socket while the HTTP server is still being loaded (0.2 s of CPU), with the standard library alone.

Rules
-----
* Only /livez is answered: 200, because this process lives and answers, and 503 once loading the server takes longer than the
  deadline for liveness. It is one answer a connection. What nobody measured yet is null.
* Only a request that the server would answer like that is: one whole, plain head without a body. Every other connection is kept with
  the bytes that were read from it, and handed to the server when it stands: what is in doubt, refused or malformed is its to say.
* Nobody holds up the next, however little they say. At most ``KEPT_LIMIT`` are kept; one more, and the oldest must go.
"""

import contextlib
import re
import selectors
import socket
import threading
import time
from typing import Any

from probes import heads, response

KEPT_LIMIT = 512
_TURN_SECONDS = 0.02
_READ_BYTES = 4096
_REQUEST = re.compile(rb"(GET|HEAD) /(?:livez|healthz)/?(?:\?[!-~]*)? HTTP/1\.([01])")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ \t!-~]*)")
_HOST = re.compile(rb"[A-Za-z0-9._:\[\]-]+[ \t]*")
_DOUBTFUL = frozenset({b"content-length", b"transfer-encoding", b"expect", b"upgrade", b"connection"})
"""Fields with which a request may have a body, or be more than a question."""
_PLAIN_CONNECTION = frozenset({b"close", b"keep-alive"})


class EarlyAnswers:
    """Answers on ``listener`` from ``begin`` to ``end``."""

    def __init__(self, listener: socket.socket, deadline_seconds: float) -> None:
        """Prepare; loading the server should take less than ``deadline_seconds`` from now on."""
        self._listener = listener
        self._deadline = deadline_seconds
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
                client.send(answer(self._kept[client], time.monotonic() - self._started, self._deadline))
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


def is_for_us(data: bytes) -> bool:
    """Say whether ``data`` is one whole request for /livez, in which nothing is in doubt."""
    if not data.endswith(b"\r\n\r\n"):
        return False
    inbox = heads.Inbox()
    inbox.take(data)
    try:
        head = inbox.next_head()
    except heads.BadHead:
        return False
    if head is None or inbox.was_cut or not inbox.is_empty:
        return False
    first, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    request, fields = _REQUEST.fullmatch(first), [_FIELD.fullmatch(line) for line in lines]
    hosts = [field[2] for field in fields if field is not None and field[1].lower() == b"host"]
    is_plain = request is not None and all(field is not None and not _is_doubtful(field) for field in fields)
    return is_plain and len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None


def _is_doubtful(field: re.Match[bytes]) -> bool:
    name, value = field[1].lower(), field[2].strip().lower()
    return name in _DOUBTFUL and not (name == b"connection" and value in _PLAIN_CONNECTION)


def answer(head: bytes, uptime_seconds: float, deadline_seconds: float) -> bytes:
    """Return the whole HTTP/1.1 response to the request for /livez ``head``."""
    is_live = uptime_seconds <= deadline_seconds
    value: dict[str, Any] = {"live": is_live}
    if not is_live:
        late = f"{uptime_seconds:.1f} s, and the deadline is {deadline_seconds:g} s"
        value["reason"] = f"the probe server has been loading for {late}"
    value |= {"uptime_seconds": round(uptime_seconds, 3), "loop_lag_seconds": None, "heartbeat_age_seconds": None}
    status, headers = (200, None) if is_live else (503, {"Retry-After": "1"})
    return response.whole(status, response.dump(value), headers, with_body=not head.lstrip(b"\r\n").startswith(b"HEAD"))
