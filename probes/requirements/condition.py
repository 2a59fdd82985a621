"""A check of the container as a whole, again and again.

Rules
-----
* It is unmet until it first passed. Until then it is checked at once, after 10 ms, and then after pauses that double up to its
  period: what comes late is found as fast as later on.
* Afterwards it is checked every period; ``failures`` in a row make it unmet, ``successes`` met again.
* Never twice at a time; one that has not ended at its timeout has failed.
"""

import asyncio
from collections.abc import Callable

from contract import clock
from manifest import serving
from probes.checks import runner, schedule, verdict

_FIRST_PAUSE_SECONDS = 0.01

Tell = Callable[[verdict.Outcome, float], None]
"""Learns what stands after a check, and the monotonic moment at which that check began."""


async def follow(wanted: serving.ConditionPlan, attempts: runner.Attempts, tell: Tell) -> None:
    """Check ``wanted`` until cancelled, and tell after each check what stands."""
    standing: schedule.Streak | None = None
    pause = _FIRST_PAUSE_SECONDS
    while True:
        outcome, began = await attempts.make(wanted, verdict.CONDITION, wanted.check)
        standing = after(standing, wanted, outcome)
        tell(outcome if standing is None else verdict.Outcome(standing.is_up, standing.reason), began)
        if standing is None:
            wait = min(pause, wanted.period_seconds)
            pause = 2 * wait
        else:
            now = clock.monotonic()
            wait = schedule.next_start(began, wanted.period_seconds, now) - now
        await asyncio.sleep(wait)


def after(
    standing: schedule.Streak | None, wanted: serving.ConditionPlan, outcome: verdict.Outcome
) -> schedule.Streak | None:
    """Return what stands after ``outcome``, None until the first pass. Pure."""
    if standing is None:
        return schedule.Streak() if outcome.ok else None
    return standing.after(wanted, outcome)
