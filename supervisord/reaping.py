"""How a process ended, remembered where it is reaped: supervisor forgets the status of one that died too early.

supervisor 4.3.0, ``Subprocess.finish``: ``exitstatus`` is None then, and -1 for any signal.
"""

import os
from collections.abc import Callable
from typing import Any

from contract import snapshot


class Reaper:
    """Wraps ``options.waitpid``; supervisor handles each end right after it reaped it, so the last one is enough."""

    def __init__(self, on_reaped: Callable[[int], None]) -> None:
        """``on_reaped`` learns of each process that was reaped; supervisor takes at most 100 a turn, so another may wait."""
        self._on_reaped = on_reaped
        self._last: tuple[int, snapshot.Exit] | None = None

    def install(self, options: Any) -> None:
        """Wrap supervisor's ``waitpid``."""
        original = options.waitpid

        def waitpid() -> tuple[int | None, int | None]:
            pid, status = original()
            if pid:
                self._last = (pid, how(status))
                self._on_reaped(pid)
            return pid, status

        options.waitpid = waitpid

    def end_of(self, pid: int) -> snapshot.Exit | None:
        """Return how ``pid`` ended if it was the last that was reaped, else None."""
        return self._last[1] if self._last and pid and self._last[0] == pid else None


def how(status: int) -> snapshot.Exit:
    """Return what the wait status ``status`` says (wait(2))."""
    if os.WIFSIGNALED(status):
        return snapshot.Exit(None, os.WTERMSIG(status))
    return snapshot.Exit(os.waitstatus_to_exitcode(status), None)
