"""Requests that are held until the boot is sealed: ``/startupz?wait=25s``.

Rules
-----
* A wait is a number with a unit, ``500ms``, ``25s`` or ``1m``; more than a minute is cut to a minute.
* At most 256 requests wait; the next one is answered at once. A client that goes away gives its place back.
* All are released at once when there is nothing more to wait for: sealed, or ending.
"""

import asyncio
import re

from contract import errors

LONGEST_SECONDS = 60.0
WAITERS_LIMIT = 256
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m)", re.ASCII)


class BadDuration(errors.BootsealError):
    """The client's ``wait`` is no duration."""


def parse(text: str) -> float:
    """Return the seconds of the duration ``text``, at most ``LONGEST_SECONDS``; raises BadDuration."""
    found = _DURATION.fullmatch(text)
    if found is None:
        shown = repr(text[:40])
        raise BadDuration("wait", f"{shown} is not a duration", "write it like wait=25s, with the unit ms, s or m")
    return min(float(found[1]) * _UNITS[found[2]], LONGEST_SECONDS)


class WaitingRoom:
    """Where requests wait for one event."""

    def __init__(self, limit: int = WAITERS_LIMIT) -> None:
        """Hold at most ``limit`` requests."""
        self._limit = limit
        self._released = asyncio.Event()
        self._waiters = 0

    @property
    def waiters(self) -> int:
        """How many requests wait now."""
        return self._waiters

    def release(self) -> None:
        """Release all, and hold nobody from now on."""
        self._released.set()

    async def wait(self, seconds: float) -> None:
        """Return when released, after ``seconds``, or at once when the room is full."""
        if self._waiters >= self._limit:
            return
        self._waiters += 1
        try:
            async with asyncio.timeout(seconds):
                await self._released.wait()
        except TimeoutError:
            return
        finally:
            self._waiters -= 1
