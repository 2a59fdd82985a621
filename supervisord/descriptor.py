"""Readiness as s6 has it: a newline on a descriptor that the program was born with.

Rules
-----
* Each process gets a pipe of its own: what an earlier one left cannot prove the next.
* A newline proves; what follows it is read and thrown away, for a closed pipe would kill the program with SIGPIPE.
* The end of the pipe before a newline proves nothing, ever.
* One read a turn, at most ``_CHUNK`` bytes.
"""

import fcntl
import os
from collections.abc import Callable
from typing import Any

_CHUNK = 4096


class Pipe:
    """A pipe from one process of a program; its reading end is in supervisord's socket map."""

    def __init__(
        self,
        number: int,
        socket_map: dict[int, Any],
        on_newline: Callable[[], None],
        on_end: Callable[[], None],
        report: Callable[[str, Exception], None],
    ) -> None:
        """Make the pipe whose writing end is to be descriptor ``number`` in the child; raises OSError.

        ``on_newline`` is called at the first newline, ``on_end`` when the pipe ended without one.
        """
        self._map = socket_map
        self._on_newline = on_newline
        self._on_end = on_end
        self._report = report
        self._is_proven = False
        read, write = os.pipe2(os.O_CLOEXEC)
        try:
            os.set_blocking(read, False)  # the reading end only: the program's must block as any pipe does
            if write == number:  # dup2 onto itself would leave it closed on exec
                other = fcntl.fcntl(write, fcntl.F_DUPFD_CLOEXEC, number + 1)
                os.close(write)
                write = other
        except BaseException:
            os.close(read)
            os.close(write)
            raise
        self._read: int | None = read
        self._write: int | None = write
        self._map[read] = self

    @property
    def child_end(self) -> int:
        """The writing end; never the number that it gets in the child. Raises ValueError once it is closed here."""
        if self._write is None:
            raise ValueError("the child's end of this pipe is closed")
        return self._write

    def close_child_end(self) -> None:
        """Close the writing end here: the child has its copy, and the end of the pipe can be seen."""
        if self._write is not None:
            os.close(self._write)
            self._write = None

    def close(self) -> None:
        """Close both ends; nothing is called any more."""
        self.close_child_end()
        if self._read is not None:
            self._map.pop(self._read, None)
            os.close(self._read)
            self._read = None

    def readable(self) -> bool:
        """Until it is closed."""
        return self._read is not None

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """Read once and look for the newline."""
        try:
            self._take()
        except Exception as error:
            self._report("readiness descriptor", error)

    def handle_write_event(self) -> None:
        """Never called: ``writable`` is false."""

    def handle_error(self) -> None:
        """Nothing to undo: reading keeps no state."""

    def _take(self) -> None:
        if self._read is None:
            return  # closed in this very turn
        try:
            data = os.read(self._read, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            self.close()
            if not self._is_proven:
                self._on_end()
        elif not self._is_proven and b"\n" in data:
            self._is_proven = True
            self._on_newline()
