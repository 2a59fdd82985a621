"""When a check runs again, and what a row of outcomes means. Pure; time is given.

Rules
-----
* A program that is not ready yet is checked at once, then after a pause that grows from 10 ms to 200 ms.
* A live check begins every period, the first one a period after readiness. One that takes longer than its period is
  followed at once by the next, and none is made up for.
* ``failures`` in a row end readiness and ``successes`` in a row restore it; until then the standing verdict stands.
"""

import dataclasses

from manifest import plan, serving
from probes.checks import verdict

FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.2
_GROWTH = 1.5


def pause_after(pause_seconds: float | None) -> float:
    """Return the pause that follows ``pause_seconds``, None before the first."""
    if pause_seconds is None:
        return FIRST_PAUSE_SECONDS
    return min(pause_seconds * _GROWTH, LONGEST_PAUSE_SECONDS)


def next_start(started: float, period_seconds: float, now: float) -> float:
    """Return the moment for the check after the one that began at ``started``."""
    return max(started + period_seconds, now)


@dataclasses.dataclass(frozen=True)
class Streak:
    """The standing verdict of a live check, and how many outcomes in a row speak against it."""

    is_up: bool = True
    against: int = 0
    reason: str = ""

    def after(self, live: plan.LivePlan | serving.ConditionPlan, outcome: verdict.Outcome) -> "Streak":
        """Return what stands after ``outcome``; ``reason`` is the last failure's while down, else empty."""
        reason = outcome.reason or self.reason
        if outcome.ok == self.is_up:
            return Streak(self.is_up, 0, "" if self.is_up else reason)
        if self.against + 1 >= (live.failures if self.is_up else live.successes):
            return Streak(outcome.ok, 0, "" if outcome.ok else reason)
        return Streak(self.is_up, self.against + 1, "" if self.is_up else reason)
