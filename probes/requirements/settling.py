"""After an outage, ready again only when everything was so for a while: where the manifest asks for it. Pure; time is given.

Rules
-----
* The end of readiness counts at once, and so does the first readiness.
* Everything must have been ready without a break; a break begins the time anew.
* With nothing to settle for, everything ready is ready.
"""

import dataclasses
import math
from collections.abc import Callable

from probes import readiness


@dataclasses.dataclass(frozen=True)
class Settling:
    """``is_ready`` is the answer; ``whole_since`` the monotonic moment since which nothing was missing, None while something is.

    ``was_ready``: what comes is not the first readiness.
    """

    was_ready: bool = False
    is_ready: bool = False
    whole_since: float | None = None

    def after(self, *, is_whole: bool, now: float, settle_seconds: float) -> "Settling":
        """Return what stands when at ``now`` nothing is missing, or something is."""
        if not is_whole:
            return self if self.whole_since is None else Settling(self.was_ready)
        since = now if self.whole_since is None else self.whole_since
        if self.is_ready or not self.was_ready or now - since >= settle_seconds:
            return self if self.is_ready else Settling(True, True, since)
        return self if since == self.whole_since else Settling(True, False, since)


class Settled:
    """What is decided of one container after another decision said whether anything is missing.

    ``wall`` tells a monotonic moment in RFC 3339.
    """

    def __init__(self, settle_seconds: float, wall: Callable[[float], str]) -> None:
        """Begin before the first readiness."""
        self._seconds = settle_seconds
        self._wall = wall
        self._now = Settling()
        self._since = ""

    def begin_late(self) -> None:
        """Take it that the first readiness was before our time."""
        self._now = Settling(was_ready=True)

    def judge(self, whole: readiness.Readiness, now: float) -> readiness.Readiness:
        """Return ``whole``, or, when nothing is missing, for how long that must be so yet."""
        before = self._now
        self._now = after = before.after(is_whole=whole.ready, now=now, settle_seconds=self._seconds)
        if after.is_ready or after.whole_since is None:
            return whole
        if after.whole_since != before.whole_since:
            self._since = self._wall(after.whole_since)
        elapsed = now - after.whole_since
        why = f"ready for {elapsed:.1f} s of the {self._seconds:g} s that it must settle"
        row = readiness.Missing(readiness.SETTLE_ID, readiness.BOOT, why, self._since)
        return readiness.unready((row,), max(1, math.ceil(self._seconds - elapsed)))
