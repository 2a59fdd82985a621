"""When a program that ended is started again: exponential back-off with jitter, a storm limit. Pure.

Rules
-----
* The first end of a program that had been ready is answered at once. Every further end, and every failed start, waits:
  ``first_seconds``, doubling to ``cap_seconds``, less up to a quarter by chance, so that replicas do not move in step.
* A program that lived for ``reset_seconds`` begins anew.
* More than ``limit_times`` ends within ``limit_window_seconds`` is a storm: it is given up. So is the
  ``start_retries + 1``-th failed start in a row.
* Moments are monotonic seconds: a clock that is set changes nothing.
"""

from contract import records
from manifest import plan

_JITTER = 0.25
_DOUBLINGS = 40
"""More than any pause can double before it reaches its cap."""


@records.dataclass(frozen=True)
class History:
    """The ends of one program that count: their moments within the window, and how many came in a row."""

    ends: tuple[float, ...] = ()
    streak: int = 0


@records.dataclass(frozen=True)
class End:
    """One end: when, how long the process had lived, whether it had ever been ready, and how many failed starts that makes."""

    at: float
    lived_seconds: float
    was_ready: bool
    failed_starts: int


@records.dataclass(frozen=True)
class Again:
    """Start it again at the monotonic moment ``at``."""

    at: float


@records.dataclass(frozen=True)
class GivenUp:
    """Do not start it again; ``why`` is a verb phrase."""

    why: str


def after(program: plan.ProgramPlan, history: History, end: End, draw: float) -> tuple[History, Again | GivenUp]:
    """Return what follows ``end``, and the history with it; ``draw`` is chance, 0 to 1."""
    policy = program.restart
    recent = (*(at for at in history.ends if end.at - at < policy.limit_window_seconds), end.at)
    streak = 1 if end.lived_seconds >= policy.reset_seconds else history.streak + 1
    now = History(recent[-policy.limit_times - 1 :], streak)
    is_endless = program.on_fatal == plan.RESTART
    if len(recent) > policy.limit_times and not is_endless:
        return now, GivenUp(f"ended {len(recent)} times within {policy.limit_window_seconds:g}s")
    if end.failed_starts > program.start_retries and not is_endless:
        return now, GivenUp("")
    return now, Again(end.at + _pause(policy, streak, draw, is_first_free=end.was_ready))


def _pause(policy: plan.RestartPlan, streak: int, draw: float, *, is_first_free: bool) -> float:
    doublings = streak - 1 - int(is_first_free)
    if doublings < 0:
        return 0.0
    return min(policy.cap_seconds, policy.first_seconds * 2.0 ** min(doublings, _DOUBLINGS)) * (1 - _JITTER * draw)
