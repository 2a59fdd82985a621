"""Does this container turn: our event loop does, and PID 1's heartbeat reaches it. Pure; time is given.

Rules
-----
* Nothing is asked of anyone: the heartbeat is what PID 1 sends anyway, and age is a subtraction.
* The deadline is long, because a 503 here makes Kubernetes kill the container: it says that PID 1 is wedged, not that
  something is unready.
* Time in which our own loop stood still (a paused container, a suspended machine) is not held against PID 1: not more often
  than ``STANDSTILLS_FORGIVEN`` times without a word from it. A loop that is only busy (a flood of requests) stands still again
  and again, and must not hide a PID 1 that is wedged.
"""

import dataclasses

STANDSTILL_SECONDS = 1.0
"""A loop later than this was not scheduled; what it did not hear meanwhile proves nothing."""

STANDSTILLS_FORGIVEN = 3


@dataclasses.dataclass(frozen=True)
class Liveness:
    """The decision; ``reason`` is empty when live."""

    live: bool
    reason: str
    uptime_seconds: float
    loop_lag_seconds: float
    heartbeat_age_seconds: float


class Heartbeat:
    """When PID 1 was last heard, and how late our own loop is."""

    def __init__(self, now: float, deadline_seconds: float) -> None:
        """Begin at the monotonic moment ``now``; until the first message the age counts from here."""
        self._started = now
        self._heard = now
        self._turned = now
        self._deadline = deadline_seconds
        self._lag = 0.0
        self._forgiven = 0

    def hear(self, now: float) -> None:
        """PID 1 was alive at ``now``."""
        self._heard = max(self._heard, now)
        self._forgiven = 0

    def note_lag(self, lag_seconds: float, now: float) -> None:
        """Our loop turned at ``now``, ``lag_seconds`` later than it meant to; it says so many times a second."""
        self._lag = lag_seconds
        self._turned = now
        if self._forgives(lag_seconds):
            self._forgiven += 1
            self._heard = min(now, self._heard + lag_seconds)

    def judge(self, now: float) -> Liveness:
        """Decide at ``now``."""
        still = now - self._turned  # a question may come before the turn that tells how long we stood still
        age = max(0.0, now - self._heard - (still if self._forgives(still) else 0.0))
        live = age <= self._deadline
        why = "" if live else f"PID 1 was last heard {age:.1f} s ago, and the deadline is {self._deadline:g} s"
        return Liveness(live, why, max(0.0, now - self._started), self._lag, age)

    def _forgives(self, still_seconds: float) -> bool:
        return still_seconds > STANDSTILL_SECONDS and self._forgiven < STANDSTILLS_FORGIVEN
