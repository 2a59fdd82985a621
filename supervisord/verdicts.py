"""What an entry of the ledger means now: its state, why, and what would prove it. Pure; the tables of the ledger."""

from contract import reasons, records, snapshot
from manifest import plan
from supervisord import entries

_STALE_MARGIN_SECONDS = 2.0
"""A live verdict that two periods, a timeout and this did not renew is stale."""


@records.dataclass(frozen=True)
class Verdict:
    """``proof`` is what proved readiness; ``final``: waiting does not mend it."""

    state: str
    reason: str = ""
    proof: str | None = None
    final: bool = False


def of(entry: entries.Entry, now: float) -> Verdict:
    """Return what ``entry`` means at the monotonic moment ``now``, by supervisor's state."""
    program = entry.program
    is_over = entry.start_at is None  # else somebody asked for its start, and it only waits
    if entry.withheld:
        return _failed(f"cannot run: {'; '.join(map(str, entry.withheld))} ({entries.PUT_RIGHT})", final=True)
    match entry.supervisor_state:
        case entries.STARTING | entries.RUNNING:
            return _alive(entry, now)
        case entries.EXITED if entry.has_completed:
            return Verdict(snapshot.READY, proof="exit 0")
        case entries.EXITED if program.oneshot:
            return _failed(f"{_ended(entry)}, and a one-shot must exit 0", final=is_over)
        case entries.EXITED if entry.given_up is not None:
            return _failed(_given_up(entry), final=is_over)
        case entries.EXITED if not entry.was_ready:
            return Verdict(snapshot.PENDING, f"{_ended(entry)} before it was ready{_again(entry)}")
        case entries.EXITED if program.on_exit != plan.RESTART:
            return _failed(f"{_ended(entry)}, and its on_exit is {program.on_exit}", final=is_over)
        case entries.EXITED:
            why = ", and it is not a one-shot" if entry.last_exit is None or entry.last_exit.code == 0 else ""
            return _failed(f"{_ended(entry)}{why}", final=False)
        case entries.BACKOFF:
            return Verdict(snapshot.PENDING, f"{_early_end(entry)}{_again(entry)}")
        case entries.FATAL:
            return _failed(_given_up(entry), final=is_over)
        case entries.STOPPING:
            return Verdict(snapshot.PENDING, "is being stopped")
        case entries.STOPPED:
            return Verdict(snapshot.PENDING, reasons.STOPPED if entry.spawns else "not started yet")
        case unknown:
            return _failed(f"is in supervisord's state {unknown}", final=True)


def _failed(reason: str, *, final: bool) -> Verdict:
    return Verdict(snapshot.FAILED, reason, final=final)


def _alive(entry: entries.Entry, now: float) -> Verdict:
    run, program = entry.run, entry.program
    again = f" again after it {entry.last_exit}" if entry.last_exit else ""
    if run is None:
        return Verdict(snapshot.PENDING, f"is being started{again}")
    if run.killed_for:
        return _failed(f"{run.killed_for} and was killed", final=False)
    if program.ready.kind == plan.SUBSCRIPTION:
        if entry.subscribed:
            return Verdict(snapshot.READY, proof="subscription")
        return Verdict(snapshot.PENDING, f"was started{again} and has not connected to PID 1 yet")
    if program.oneshot:
        return Verdict(snapshot.PENDING, "has not completed yet")
    if run.doubt:
        return Verdict(snapshot.PENDING, run.doubt)
    proof = _proof(program.ready, run, now)
    if proof is None:
        return Verdict(snapshot.PENDING, f"was started{again} and {_lacks(program.ready, run)}")
    return _live(program, run, now) or Verdict(snapshot.READY, proof=proof)


def _proof(ready: plan.ReadyPlan, run: entries.Run, now: float) -> str | None:
    if ready.kind == plan.RUNNING:
        return f"running for {ready.for_seconds:g}s" if now - run.spawned_at >= ready.for_seconds else None
    return run.proof


def _lacks(ready: plan.ReadyPlan, run: entries.Run) -> str:
    """Say what is not proven yet, as a verb phrase."""
    match ready.kind:
        case plan.RUNNING:
            return f"must stay up for {ready.for_seconds:g}s"
        case plan.NOTIFY:
            return "has not said READY=1 yet"
        case plan.DESCRIPTOR:
            return f"has not written a newline to descriptor {ready.descriptor} yet"
        case plan.LOG:
            return f"a line that matches {ready.pattern!r} was not printed yet"
        case plan.FILE:
            return f"has not made {ready.path} yet"
        case plan.PROTOCOL:
            return "has not said READY as an event listener yet"
        case kind:
            why = f": {run.check_reason}" if run.check_reason else ""
            return f"its {kind} check has not passed yet{why}"


def _live(program: plan.ProgramPlan, run: entries.Run, now: float) -> Verdict | None:
    """Return why a proven program is not ready by its live check, or None."""
    live = program.live
    if live is None:
        return None
    if run.live_ok is False:
        return _failed(f"its live check fails: {run.live_reason}", final=False)
    if now >= _stale_at(live, run, program.ready.for_seconds):
        return Verdict(snapshot.STALE, "its live check was not renewed in time: nobody checks it")
    return None


def _stale_at(live: plan.LivePlan, run: entries.Run, for_seconds: float) -> float:
    since = next(at for at in (run.live_at, run.proven_at, run.spawned_at + for_seconds) if at is not None)
    return since + 2 * live.period_seconds + live.check.timeout_seconds + _STALE_MARGIN_SECONDS


def due(entry: entries.Entry, after: float | None = None) -> float | None:
    """Return the next monotonic moment later than ``after`` at which time alone changes what ``entry`` means, or None.

    A moment that has come and changed nothing more would let supervisord's loop spin: each is left out once it has acted,
    and hides no later one.
    """
    run, ready = entry.run, entry.program.ready
    if run is None or entry.program.oneshot or entry.supervisor_state not in entries.ALIVE or run.killed_for:
        return None
    moments: list[float | None] = []
    if ready.kind == plan.RUNNING and not entry.was_ready:
        moments.append(run.spawned_at + ready.for_seconds)
    if not entry.was_ready:
        moments.append(run.start_deadline)
    if run.watchdog_seconds is not None and run.watchdog_at is not None:
        moments.append(run.watchdog_at + run.watchdog_seconds)
    if entry.program.live is not None and entry.is_ready:
        moments.append(_stale_at(entry.program.live, run, ready.for_seconds))
    later = [moment for moment in moments if moment is not None and (after is None or moment > after)]
    return min(later, default=None)


def overdue(entry: entries.Entry, now: float) -> str | None:
    """Return why the process of ``entry`` must be killed at the monotonic moment ``now``, as a verb phrase, or None."""
    run, program = entry.run, entry.program
    if run is None or run.killed_for or entry.supervisor_state not in entries.ALIVE:
        return None
    if not entry.was_ready and run.start_deadline is not None and now >= run.start_deadline:
        return f"was not ready in time ({run.doubt or _lacks(program.ready, run)})"
    watchdog_at = (
        None if run.watchdog_seconds is None or run.watchdog_at is None else run.watchdog_at + run.watchdog_seconds
    )
    if watchdog_at is not None and now >= watchdog_at:
        return f"did not say WATCHDOG=1 within {run.watchdog_seconds:g}s"
    if program.live is not None and program.live.restart and run.live_ok is False and entry.was_ready and not run.doubt:
        return f"failed its live check ({run.live_reason})"
    return None


def _ended(entry: entries.Entry) -> str:
    """Say how its last process ended, as a verb phrase: why we killed it, where we did."""
    return f"{entry.end_cause} and was killed" if entry.end_cause else str(entry.last_exit or "exited")


def _again(entry: entries.Entry) -> str:
    return "; it is not started again" if entry.start_at is None else "; supervisord will try again"


def _early_end(entry: entries.Entry) -> str:
    """Say how the last try ended, as a verb phrase."""
    if entry.last_exit is not None:
        return _ended(entry) if entry.end_cause else f"{entry.last_exit} too early"
    return f"could not be spawned: {entry.spawn_error}"


def _given_up(entry: entries.Entry) -> str:
    if entry.given_up:
        how = _ended(entry) if entry.last_exit else entry.spawn_error
        return f"is FATAL: it {entry.given_up}, the last time it {how}"
    return f"is FATAL{_tries(entry)}: it {_early_end(entry)}"


def _tries(entry: entries.Entry) -> str:
    """Say how often it was tried, where that is known: a process that could not be made was never counted."""
    if entry.last_exit is None:
        return ""
    return f" after {entry.failed_starts} tries" if entry.failed_starts > 1 else " after its only try"
