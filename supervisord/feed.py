"""The ledger's subscribers: PID 1 tells each of them every change, in its own loop, without ever waiting.

One JSON object a line on a unix stream socket of mode 0700. To a subscriber: ``{"type": "snapshot", "snapshot": …}``,
the whole ledger, on subscription; ``{"type": "change", "after": N, "snapshot": …}`` after each turn that changed
something, with only the programs that changed since revision N (``contract.snapshot.merge``); and
``{"type": "beat", "revision": N}`` at least once a second. From a subscriber, first:
``{"subscribe": NAME, "pid": PID}``; the probe server so says that it serves. Then, from the probe server, a line for each
verdict of a check: ``{"verdict": {"program", "pid", "pid_start", "purpose": "ready" | "live", "ok", "reason"}}``; and
``{"seen": "stopping"}`` once it has taken in that the container stops.

Rules
-----
* A subscriber that does not read is dropped when its backlog passes ``BACKLOG_LIMIT``; it may come again.
* Only processes of this uid, and root's, are let in; the socket's mode says the same, from its bind on.
* A subscriber is known by the kernel's word (SO_PEERCRED), not by its own: name and pid must agree with the ledger.
* A line from a subscriber has at most ``LINE_LIMIT`` bytes; a longer one, or one that is no JSON object, ends the connection.
"""

import contextlib
import json
import os
import socket
import struct
import time
from collections.abc import Callable
from typing import Any

BACKLOG_LIMIT = 4 * 1024 * 1024
SUBSCRIBER_LIMIT = 8
LINE_LIMIT = 4096
_CHUNK = 65536
_CREDENTIALS = struct.Struct("=iII")
_DEAF_SECONDS = 1.0


class Subscriber:
    """One connection."""

    def __init__(self, connection: socket.socket, feed: "Feed") -> None:
        self._socket = connection
        self._feed = feed
        self._backlog = bytearray()
        self._partial = b""
        self.is_subscribed = False
        self.pid, _ = _peer(connection)

    @property
    def fd(self) -> int:
        """The descriptor in supervisord's socket map."""
        return self._socket.fileno()

    def send(self, line: bytes) -> None:
        """Send ``line`` now or when the peer reads; end the connection when too much waits."""
        if len(self._backlog) + len(line) > BACKLOG_LIMIT:
            self._feed.drop(self)
            return
        self._backlog += line
        self.handle_write_event()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def readable(self) -> bool:
        """Always: the peer's end of the connection is news."""
        return True

    def writable(self) -> bool:
        """Whether something waits for the peer to read."""
        return bool(self._backlog)

    def handle_read_event(self) -> None:
        """Take whole lines: the hello first, then verdicts; an end of file ends the subscription."""
        try:
            data = self._socket.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._feed.drop(self)
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        if any(len(line) > LINE_LIMIT for line in (*lines, self._partial)):
            self._feed.drop(self)
            return
        for line in lines:
            self._feed.take_line(self, line)

    def handle_write_event(self) -> None:
        """Send what the peer's buffer takes."""
        try:
            while self._backlog:
                sent = self._socket.send(self._backlog[:_CHUNK])
                del self._backlog[:sent]
        except BlockingIOError:
            return
        except OSError:
            self._feed.drop(self)

    def handle_error(self) -> None:
        """Supervisord's loop caught an exception of ours: end this connection only, whatever else breaks."""
        self._feed.cut(self)


class Feed:
    """The listening socket and its subscribers."""

    def __init__(
        self,
        path: str,
        socket_map: dict[int, Any],
        current: Callable[[], bytes],
        on_subscriber: Callable[[str, int, bool], None],
        on_report: Callable[[str, int, dict[str, Any]], None],
    ) -> None:
        """Listen at ``path``.

        ``current`` gives the line to send to a new subscriber; ``on_subscriber(name, pid, began)`` learns when
        a subscription began or ended, ``on_report(name, pid, report)`` each later line of a subscriber. Raises
        OSError when the socket cannot be made.
        """
        self._map = socket_map
        self._current = current
        self._on_subscriber = on_subscriber
        self._on_report = on_report
        self.report: Callable[[str, Exception], None] = lambda _where, _error: None
        """Where faults are reported."""
        self._deaf_until = 0.0
        self._names: dict[int, str] = {}
        self._subscribers: dict[int, Subscriber] = {}
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        before = os.umask(0o077)
        try:
            self._socket.bind(path)
        finally:
            os.umask(before)
        self._socket.listen(SUBSCRIBER_LIMIT)
        self._map[self._socket.fileno()] = self

    def broadcast(self, line: bytes) -> None:
        """Send ``line`` to every subscriber."""
        for subscriber in list(self._subscribers.values()):
            if subscriber.is_subscribed:
                subscriber.send(line)

    def take_line(self, subscriber: Subscriber, line: bytes) -> None:
        """Take one line of a subscriber that may be gone by now."""
        if subscriber.fd not in self._subscribers:
            return
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            value = None
        match value:
            case {"subscribe": str(name)} if not subscriber.is_subscribed:
                subscriber.is_subscribed = True
                self._names[subscriber.fd] = name
                self._on_subscriber(name, subscriber.pid, True)
                subscriber.send(self._current())
            case dict() if subscriber.is_subscribed:
                self._on_report(self._names[subscriber.fd], subscriber.pid, value)
            case _:
                self.drop(subscriber)

    def drop(self, subscriber: Subscriber) -> None:
        """End a connection."""
        fd = subscriber.fd
        if self._subscribers.pop(fd, None) is None:
            return
        self._map.pop(fd, None)
        subscriber.close()
        name = self._names.pop(fd, None)
        if name is not None and not self._is_subscribed(name, subscriber.pid):
            self._on_subscriber(name, subscriber.pid, False)

    def cut(self, subscriber: Subscriber) -> None:
        """End a connection after a fault, its socket with the last that knows it: an exception here would reach supervisord."""
        try:
            self.drop(subscriber)
        except Exception as error:
            self.report("feed", error)
        for fd in [fd for fd, one in self._map.items() if one is subscriber]:
            del self._map[fd]
        self._subscribers = {fd: one for fd, one in self._subscribers.items() if one is not subscriber}

    def _is_subscribed(self, name: str, pid: int) -> bool:
        """Say whether ``pid`` has another subscription as ``name``: who comes again may come before the old one ended."""
        return any(self._names.get(fd) == name and other.pid == pid for fd, other in self._subscribers.items())

    def close(self) -> None:
        """Close everything; the socket file stays for the next generation to replace."""
        for subscriber in list(self._subscribers.values()):
            self._map.pop(subscriber.fd, None)
            subscriber.close()
        self._subscribers.clear()
        self._map.pop(self._socket.fileno(), None)
        self._socket.close()

    def readable(self) -> bool:
        """Whether new subscribers may come."""
        return time.monotonic() >= self._deaf_until

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """Accept a connection; one too many, or a stranger's, is closed at once."""
        try:
            connection, _ = self._socket.accept()
        except BlockingIOError:
            return
        except OSError:  # no descriptor is left: asking again at once would let the loop spin
            self._deaf_until = time.monotonic() + _DEAF_SECONDS
            return
        connection.setblocking(False)
        _, uid = _peer(connection)
        if len(self._subscribers) >= SUBSCRIBER_LIMIT or uid not in {0, os.geteuid()}:
            connection.close()
            return
        subscriber = Subscriber(connection, self)
        self._subscribers[subscriber.fd] = subscriber
        self._map[subscriber.fd] = subscriber

    def handle_write_event(self) -> None:
        """Never called: ``writable`` is false."""

    def handle_error(self) -> None:
        """Nothing to undo: accepting keeps no state."""


def _peer(connection: socket.socket) -> tuple[int, int]:
    """Return pid and uid of the connecting process by SO_PEERCRED (unix(7): struct ucred)."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(credentials)
    return int(pid), int(uid)
