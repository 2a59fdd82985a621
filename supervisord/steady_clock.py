"""supervisord's timers on a clock that nobody sets.

supervisor 4.3.0 measures every duration with ``time.time()``: when the clock is set forward a program that was just asked to
stop is killed at once, and one that dies at once counts as one that ran for an hour. So the modules of supervisor that
measure get a clock of their own: the wall clock of this process's start, moved on by CLOCK_MONOTONIC. Log lines and events
keep the real time.
"""

import time
from typing import Any

from supervisor import process, rpcinterface, supervisord

from contract import errors

_MODULES = (process, rpcinterface, supervisord)


class SteadyClock:
    """Stands for the module ``time``: all of it, but ``time()`` is steady."""

    def __init__(self) -> None:
        self._offset = time.time() - time.monotonic()

    def time(self) -> float:
        """Return seconds since the epoch as of this process's start, whatever was done to the clock since."""
        return self._offset + time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(time, name)


CLOCK = SteadyClock()


def install() -> None:
    """Give supervisor's modules the steady clock; raises BootsealError when one does not measure as we know it."""
    for module in _MODULES:
        if getattr(module, "time", None) not in {time, CLOCK}:
            raise errors.BootsealError(
                f"supervisor's module {module.__name__}",
                "it does not measure time as every known version does",
                "install supervisor 4.2.5 or 4.3",
            )
        module.time = CLOCK
