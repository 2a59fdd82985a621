"""The end of a program's main process (MAINPID=), whoever its parent is.

Rules
-----
* PID 1 reaps its own children only; a main process is mostly the child of the program's first one, so a pidfd tells its end.
* A pidfd names a process and never its number's next owner: it is opened before it is asked whose process that is.
* It is readable once the process has ended, also as a zombie that nobody reaps (pidfd_open(2)); that is told once.
"""

import os
from collections.abc import Callable
from typing import Any


class Watch:
    """A pidfd of one process, in supervisord's socket map."""

    def __init__(
        self, pid: int, socket_map: dict[int, Any], on_end: Callable[[], None], report: Callable[[str, Exception], None]
    ) -> None:
        """Call ``on_end`` when ``pid`` ends; raises OSError when it is gone or cannot be watched."""
        self._map = socket_map
        self._on_end = on_end
        self._report = report
        self._fd: int | None = os.pidfd_open(pid)  # closed on exec, by the kernel's rule
        self._map[self._fd] = self

    def close(self) -> None:
        """Watch no more."""
        if self._fd is not None:
            self._map.pop(self._fd, None)
            os.close(self._fd)
            self._fd = None

    def readable(self) -> bool:
        """Until it is closed."""
        return self._fd is not None

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """The process has ended."""
        if self._fd is None:
            return  # closed in this very turn
        try:
            self.close()
            self._on_end()
        except Exception as error:
            self._report("main process", error)

    def handle_write_event(self) -> None:
        """Never called: ``writable`` is false."""

    def handle_error(self) -> None:
        """Nothing to undo: watching keeps no state."""
