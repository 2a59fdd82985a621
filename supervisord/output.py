"""Output that nobody reads must not freeze PID 1.

supervisord writes its log with a blocking write in its only thread: when the container's stdout pipe is full,
it answers no RPC and ignores SIGTERM. So everything PID 1 prints goes through a ``Channel``: what the descriptor
takes at once is written, the rest waits in a bounded backlog, and what does not fit is dropped whole line by
whole line and counted.

Rules
-----
* The descriptor's flags are left alone: they are shared with other processes. poll(2) says whether a write would
  block, and a write of at most PIPE_BUF bytes after POLLOUT does not (pipe(7)).
* Lines of different programs never interleave; a line that grows past ``LINE_LIMIT`` before its end came is cut there.
"""

import collections
import os
import select
import time
from collections.abc import Callable
from typing import NamedTuple

from contract import masking

_PIPE_BUF = 4096
BACKLOG_LIMIT = 1024 * 1024
LINE_LIMIT = 16 * 1024
LAST_LINES = 5
_LAST_BYTES = 512
_KEPT_BYTES = 4096
"""Of each line: enough to show _LAST_BYTES of it when secrets are hidden."""


class Channel:
    """A descriptor of PID 1 (1 or 2) that never blocks; lives in supervisord's socket map while it has a backlog."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._backlog: collections.deque[bytes] = collections.deque()
        self._size = 0
        self._broken = False
        self.dropped = 0

    @property
    def is_broken(self) -> bool:
        """Whether the reader is gone for good."""
        return self._broken

    def write(self, data: bytes) -> bool:
        """Write or keep ``data``, whole lines; say whether it was kept."""
        if self._broken or self._size + len(data) > BACKLOG_LIMIT:
            self.dropped += data.count(b"\n") or 1
            return False
        self._backlog.append(data)
        self._size += len(data)
        self.flush()
        return not self._broken

    def flush(self, patience_seconds: float = 0.0) -> None:
        """Write what the descriptor takes, waiting at most ``patience_seconds`` in all while it is full."""
        deadline = time.monotonic() + patience_seconds
        poller = select.poll()
        try:
            poller.register(self._fd, select.POLLOUT)
            while self._backlog and not self._broken:
                events = poller.poll(max(0.0, deadline - time.monotonic()) * 1000)
                if not events:
                    return
                if not events[0][1] & select.POLLOUT:
                    self._give_up()
                    return
                self._write_piece()
        except BlockingIOError:
            return  # another process made the shared descriptor non-blocking, and was faster: it is only full
        except OSError:
            self._give_up()

    def _write_piece(self) -> None:
        first = self._backlog[0]
        written = os.write(self._fd, first[:_PIPE_BUF])
        self._size -= written
        if written == len(first):
            self._backlog.popleft()
        else:
            self._backlog[0] = first[written:]

    def _give_up(self) -> None:
        """The reader is gone for good (EPIPE, closed descriptor)."""
        self._broken = True
        self.dropped += sum(data.count(b"\n") for data in self._backlog)
        self._backlog.clear()
        self._size = 0

    def readable(self) -> bool:
        """Never: supervisord's loop asks every object of its socket map."""
        return False

    def writable(self) -> bool:
        """Whether a backlog waits for the descriptor.

        A full pipe whose reader is gone is in error and never writable (poll(2)): supervisor's loop, which looks at
        readable and writable only, would spin on it.
        """
        if self._backlog and _is_in_error(self._fd):
            self._give_up()
        return bool(self._backlog)

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


class _Said(NamedTuple):
    """A line that a program said, and whether its beginning and its end are where the line was cut."""

    line: bytes
    is_cut_before: bool
    is_cut_behind: bool


class LineForwarder:
    """Forwards programs' output in whole lines and remembers the last lines of each program."""

    def __init__(
        self, channels: dict[str, Channel], mask: Callable[[str, str], str] = lambda _program, text: text
    ) -> None:
        """``channels`` maps "stdout" and "stderr" to where they go; ``mask`` hides a program's secrets in its last lines."""
        self._channels = channels
        self._mask = mask
        self._partial: dict[tuple[str, str], bytes] = {}
        self._cut: set[tuple[str, str]] = set()
        self._last: dict[tuple[str, str], collections.deque[_Said]] = {}

    def take(self, program: str, stream: str, data: bytes) -> None:
        """Forward the complete lines of ``data`` and keep the rest until its line is complete."""
        key = (program, stream)
        whole, separator, rest = (self._partial.pop(key, b"") + data).rpartition(b"\n")
        is_cut = len(rest) > LINE_LIMIT
        if is_cut:
            whole, separator, rest = whole + separator + rest, b"\n", b""
        if rest:
            self._partial[key] = rest
        if whole or separator:
            self._forward(program, stream, whole + b"\n", is_cut)

    def end(self, program: str) -> None:
        """Forward what is left of ``program``'s last line: its process ended."""
        for stream in self._channels:
            rest = self._partial.pop((program, stream), b"")
            if rest:
                self._forward(program, stream, rest + b"\n")

    def last_lines(self, program: str) -> tuple[str, ...]:
        """Return the last lines that ``program`` wrote to stderr, or where it wrote none to stdout, oldest first.

        At most five and 512 bytes.
        """
        lines: list[str] = []
        left = _LAST_BYTES
        said = self._last.get((program, "stderr")) or self._last.get((program, "stdout")) or collections.deque()
        for one in reversed(said):  # masked before it is cut: half a secret is not recognised
            text = self._mask(program, one.line.decode("utf-8", "replace"))
            text = text[masking.MARGIN if one.is_cut_before else 0 :]
            text = text[: -masking.MARGIN] if one.is_cut_behind else text
            shown = text.encode("utf-8", "replace")[:_LAST_BYTES]
            left -= len(shown)
            if left < 0:
                break
            lines.append(shown.decode("utf-8", "ignore"))
        return tuple(reversed(lines))

    def _forward(self, program: str, stream: str, data: bytes, is_cut: bool = False) -> None:
        """Write ``data``, whole lines, of which the last ``is_cut``, and remember its last lines."""
        key = (program, stream)
        self._channels[stream].write(data)
        last = self._last.setdefault(key, collections.deque(maxlen=LAST_LINES))
        pieces = data[:-1].rsplit(b"\n", LAST_LINES)
        lines = b"\n".join(pieces[-LAST_LINES:]).splitlines()
        goes_on = key in self._cut and len(pieces) <= LAST_LINES
        for index, line in list(enumerate(lines))[-LAST_LINES:]:
            is_end_cut = len(line) > _KEPT_BYTES or (is_cut and index == len(lines) - 1)
            last.append(_Said(line[:_KEPT_BYTES], goes_on and index == 0, is_end_cut))
        if is_cut:
            self._cut.add(key)
        else:
            self._cut.discard(key)
