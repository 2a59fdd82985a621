"""Requests that are held until this boot is sealed: ``/startupz?wait=25s`` and ``/ready?wait=25s``.

Rules
-----
* A wait is a number with a unit, ``500ms``, ``25s`` or ``1m``; more than a minute is cut to a minute.
* At most 1,024 requests wait, whatever their path; the next one is answered at once. A client that goes away gives its place back.
* All are released when there is nothing more to wait for: sealed, or ending. Nobody is held from then on, so that no held
  answer ever hides an outage.
"""

import asyncio
import itertools
import re
from collections.abc import Callable

from contract import errors

LONGEST_SECONDS = 60.0
WAITERS_LIMIT = 1024
_TURN = 128
"""So many are released in a turn of the loop: whoever else asks is answered between them."""
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0}
_DURATION = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m)", re.ASCII)


class BadDuration(errors.BootsealError):
    """The client's ``wait`` is no duration."""


def parse(text: str) -> float:
    """Return the seconds of the duration ``text``, at most ``LONGEST_SECONDS``; raises BadDuration."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise BadDuration("wait", "it is not a duration", "write it like wait=25s, with the unit ms, s or m")
    return min(float(found[1]) * _UNITS[found[2]], LONGEST_SECONDS)


class Place:
    """One request's place in a room; ``leave`` gives it back."""

    __slots__ = ("_released", "_room", "_timer")

    def __init__(self, room: "WaitingRoom", seconds: float, released: Callable[[], None]) -> None:
        self._room = room
        self._released = released
        self._timer = asyncio.get_running_loop().call_later(seconds, self.release)

    def leave(self) -> None:
        """Wait no more."""
        self._timer.cancel()
        self._room.forget(self)

    def release(self) -> None:
        """Leave, and tell who waited."""
        self.leave()
        self._released()


class WaitingRoom:
    """Where requests wait for one event."""

    def __init__(self, limit: int = WAITERS_LIMIT) -> None:
        """Hold at most ``limit`` requests."""
        self._limit = limit
        self._is_open = True
        self._places: dict[Place, None] = {}

    @property
    def waiters(self) -> int:
        """How many requests wait now."""
        return len(self._places)

    def narrow(self, limit: int) -> None:
        """Hold at most ``limit`` requests from now on, where that is fewer."""
        self._limit = min(self._limit, limit)

    def enter(self, seconds: float, released: Callable[[], None]) -> Place | None:
        """Return a place until the room is released or ``seconds`` passed, and then call ``released``; None: nobody is held."""
        if not self._is_open or len(self._places) >= self._limit:
            return None
        place = Place(self, seconds, released)
        self._places[place] = None
        return place

    def forget(self, place: Place) -> None:
        """``place`` is empty."""
        self._places.pop(place, None)

    def release(self) -> None:
        """Release all in the next turns of the loop, and hold nobody from now on."""
        self._is_open = False
        if self._places:
            asyncio.get_running_loop().call_soon(self._release_some)

    def _release_some(self) -> None:
        for place in list(itertools.islice(self._places, _TURN)):
            if place in self._places:  # the answer to one may have ended another
                place.release()
        if self._places:
            asyncio.get_running_loop().call_soon(self._release_some)
