"""Output that nobody reads must not freeze PID 1.

supervisord writes its log with a blocking write in its only thread: when the container's stdout pipe is full,
it answers no RPC and ignores SIGTERM. So everything PID 1 prints goes through a ``Channel``: what the descriptor
takes at once is written, the rest waits in a bounded backlog, and what does not fit is dropped whole line by
whole line and counted.

Rules
-----
* The descriptor's flags are left alone: they are shared with other processes. poll(2) says whether a write would
  block, and a write of at most PIPE_BUF bytes after POLLOUT does not (pipe(7)). Such a write is whole, so it ends with a line
  where it can: stdout and stderr may be one pipe, and no line of up to PIPE_BUF bytes is then torn by another.
* Lines are formatted when the descriptor has room for them, some at a time: what is dropped costs nothing, the backlog is
  counted as it came, and one turn of supervisord's loop formats a bounded amount, whatever programs print.
* The backlog is bounded in memory: what the interpreter needs for each piece counts. Lines that are printed as they are, and come one
  by one, wait together.
"""

import collections
import os
import select
import time
from collections.abc import Callable

_PIPE_BUF = 4096
BACKLOG_LIMIT = 1024 * 1024
PIECE_BYTES = 480
"""What a piece of the backlog takes beside its lines: mostly how they are to be formatted, and from whom and when they came."""
_SLICE_BYTES = 2048
"""What is formatted at once. A byte can be a line, and a line of JSON be a hundred bytes."""
FORMATTED_LIMIT = 64 * 1024
"""The most bytes that are made of lines in one go; the loop comes back for the rest."""

Render = Callable[[bytes, bool], bytes]
"""Makes of whole lines what is printed; the second argument says that these are the last of what was written. Never raises."""


class _Waiting:
    """Lines in the backlog, those from ``at`` on; printed as they are, or as ``render`` makes them."""

    __slots__ = ("at", "data", "render")

    def __init__(self, data: bytes, render: Render | None) -> None:
        self.data = data
        self.at = 0
        self.render = render

    def joins(self, data: bytes) -> bool:
        """Add ``data``, which is printed as it is, where it fits into one write with what waits here; say whether it was added."""
        if self.render is not None or len(self.data) + len(data) > _PIPE_BUF:
            return False
        self.data += data
        return True

    @property
    def is_done(self) -> bool:
        return self.at >= len(self.data)

    def take(self) -> bytes:
        """Return some whole lines."""
        begin, left = self.at, len(self.data) - self.at
        end = len(self.data)
        if left > _SLICE_BYTES:
            end = 1 + self.data.rfind(b"\n", begin, begin + _SLICE_BYTES) or 1 + self.data.find(b"\n", begin) or end
        self.at = end
        return self.data[begin:end]


class Channel:
    """A descriptor of PID 1 (1 or 2) that never blocks; lives in supervisord's socket map while it has a backlog."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._backlog: collections.deque[_Waiting] = collections.deque()
        self._printed = b""
        self._size = 0
        self._broken = False
        self.dropped = 0

    @property
    def is_broken(self) -> bool:
        """Whether the reader is gone for good."""
        return self._broken

    @property
    def _has_some(self) -> bool:
        return bool(self._printed or self._backlog)

    def write(self, data: bytes, render: Render | None = None) -> bool:
        """Write or keep ``data``, whole lines, as they are or as ``render`` makes them; say whether it was kept."""
        if self._broken or self._size + len(data) + PIECE_BYTES > BACKLOG_LIMIT:
            self.dropped += data.count(b"\n") or 1
            return False
        self._size += len(data)
        if render is not None or not self._backlog or not self._backlog[-1].joins(data):
            self._backlog.append(_Waiting(data, render))
            self._size += PIECE_BYTES
        self.flush()
        return not self._broken

    def flush(self, patience_seconds: float = 0.0) -> None:
        """Write what the descriptor takes, waiting at most ``patience_seconds`` in all while it is full.

        Without patience some of what must be formatted may be left for the next time.
        """
        deadline = time.monotonic() + patience_seconds
        budget = FORMATTED_LIMIT
        poller = select.poll()
        try:
            poller.register(self._fd, select.POLLOUT)
            while self._has_some and not self._broken:
                events = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
                if not events:
                    return
                if not events[0][1] & select.POLLOUT:
                    self._give_up()
                    return
                if not self._printed:
                    if budget <= 0 and not patience_seconds:
                        return
                    budget -= self._take_next()
                self._write_piece()
        except BlockingIOError:
            return  # another process made the shared descriptor non-blocking, and was faster: it is only full
        except OSError:
            self._give_up()

    def _take_next(self) -> int:
        """Make the next lines ready to be written; return how many bytes were formatted."""
        first = self._backlog[0]
        if first.render is None:
            self._printed = self._backlog.popleft().data
            self._size -= PIECE_BYTES
            return 0
        lines = first.take()
        if first.is_done:
            self._backlog.popleft()
            self._size -= PIECE_BYTES
        self._printed = first.render(lines, first.is_done)
        self._size += len(self._printed) - len(lines)
        return len(self._printed)

    def _write_piece(self) -> None:
        end = len(self._printed)
        if end > _PIPE_BUF:
            end = 1 + self._printed.rfind(b"\n", 0, _PIPE_BUF) or _PIPE_BUF
        written = os.write(self._fd, self._printed[:end])
        self._size -= written
        self._printed = self._printed[written:]

    def _give_up(self) -> None:
        """The reader is gone for good (EPIPE, closed descriptor)."""
        self._broken = True
        self.dropped += self._printed.count(b"\n")
        self.dropped += sum(waiting.data.count(b"\n", waiting.at) for waiting in self._backlog)
        self._backlog.clear()
        self._printed = b""
        self._size = 0

    def readable(self) -> bool:
        """Never: supervisord's loop asks every object of its socket map."""
        return False

    def writable(self) -> bool:
        """Whether a backlog waits for the descriptor.

        A full pipe whose reader is gone is in error and never writable (poll(2)): supervisor's loop, which looks at
        readable and writable only, would spin on it.
        """
        if self._has_some and _is_in_error(self._fd):
            self._give_up()
        return self._has_some

    def handle_write_event(self) -> None:
        """Supervisord's loop says that the descriptor takes bytes again."""
        self.flush()

    def handle_read_event(self) -> None:
        """Never called: ``readable`` is false."""

    def handle_error(self) -> None:
        """Supervisord's loop caught an exception of ours: stop writing."""
        self._give_up()


def _is_in_error(fd: int) -> bool:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    events = poller.poll(0)
    return bool(events) and not events[0][1] & select.POLLOUT
