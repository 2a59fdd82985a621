"""When the steps of a program were reached, and why it was started again. Pure.

Rules
-----
* A step has the moment in which PID 1 took note of it, in seconds since Stage A began, in later generations too.
* ``first`` keeps each step from whichever process reached it first in this generation; ``latest`` is of the present process, or
  of the last one. A process that is ready a second time keeps its first readiness.
* A restart has one reason: the last thing before it that let it come. So the reasons add up to the restarts.
* Readiness tells an exit from a failed start, not supervisor's first second. A one-shot, whose readiness is its end, has no
  failed start but one that could not be made.
"""

import dataclasses

from contract import records, snapshot

_DIGITS = 6
"""Microseconds: more is noise, and every digit is sent to every reader."""


@records.dataclass(frozen=True)
class Chronicle:
    """The steps of one program; ``origin`` is the start of Stage A in monotonic seconds.

    ``cause`` is what lets the next start come, one of RESTART_REASONS, "" before anything did. ``reasons`` counts those that came.
    """

    origin: float = 0.0
    first: snapshot.Timeline = snapshot.NO_TIMELINE
    latest: snapshot.Timeline = snapshot.NO_TIMELINE
    cause: str = ""
    reasons: dict[str, int] = dataclasses.field(default_factory=dict)


def spawned(chronicle: Chronicle, now: float, *, is_restart: bool) -> Chronicle:
    """Return ``chronicle`` after a process was forked at the monotonic moment ``now``."""
    moment = _since(chronicle, now)
    first, reasons = chronicle.first, chronicle.reasons
    if first.spawned is None:
        first = dataclasses.replace(first, spawned=moment)
    if is_restart:
        reason = chronicle.cause or snapshot.ENDED  # an end that nobody saw
        reasons = {**reasons, reason: reasons.get(reason, 0) + 1}
    latest = snapshot.Timeline(moment, None, None)
    return dataclasses.replace(chronicle, first=first, latest=latest, cause="", reasons=reasons)


def running(chronicle: Chronicle, now: float) -> Chronicle:
    """Return ``chronicle`` after supervisor said RUNNING."""
    return chronicle if chronicle.latest.running is not None else _reached(chronicle, "running", now)


def ready(chronicle: Chronicle, now: float) -> Chronicle:
    """Return ``chronicle`` after the present process was proven ready for the first time."""
    return _reached(chronicle, "ready", now)


def because(chronicle: Chronicle, cause: str) -> Chronicle:
    """Return ``chronicle`` after ``cause`` let the next start come, whatever did so before."""
    return chronicle if chronicle.cause == cause else dataclasses.replace(chronicle, cause=cause)


def cause_of_end(
    ended: snapshot.Exit | None, *, is_oneshot: bool, was_made: bool, was_ready: bool, was_ours: bool
) -> str:
    """Return why a program is started again after an end that no operator asked for.

    ``was_made``: there was a process; ``was_ready``: it ever was; ``was_ours``: we killed it.
    """
    if was_ours:
        return snapshot.UNREADY
    if not was_made or not (was_ready or is_oneshot):
        return snapshot.UNSTARTED
    return snapshot.KILLED if ended is not None and ended.signal is not None else snapshot.ENDED


def _reached(chronicle: Chronicle, step: str, now: float) -> Chronicle:
    moment = _since(chronicle, now)
    latest = dataclasses.replace(chronicle.latest, **{step: moment})
    if getattr(chronicle.first, step) is not None:
        return dataclasses.replace(chronicle, latest=latest)
    return dataclasses.replace(chronicle, latest=latest, first=dataclasses.replace(chronicle.first, **{step: moment}))


def _since(chronicle: Chronicle, now: float) -> float:
    return round(now - chronicle.origin, _DIGITS)
