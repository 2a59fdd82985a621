"""The readiness ledger: what PID 1 knows of every program, as pure state without any I/O.

Rules
-----
* supervisor's state is evidence, never readiness. A program is ready when its own proof came, under the pid it has now:
  it lived for its time, it said so, its check passed; a one-shot when it exited 0; the probe server when it subscribed.
* Pessimistic: pending until proven; any exit, stop or new pid takes readiness away at once, and so does a live check that
  fails. A live check that nobody renews makes the proof stale.
* An end before readiness is a failed start and is tried again; an end after it is an exit. ``exits`` counts those that
  nobody asked for, so that a reader that polls misses none.
* Failed for good (``final``) is what waiting does not mend. Who needs such a program fails with it, at once and by name; who
  needs one that is only not ready yet is pending and says what it waits for.
* A program that lacks an artifact failed for good before it began: nobody's wish starts it, and nothing else is told of it.
* Time is given by the caller: ``monotonic`` for decisions, ``wall`` (RFC 3339) for people.
"""

import dataclasses
from collections.abc import Mapping

from contract import reasons, snapshot
from manifest import plan
from supervisord import chronicle, entries, restarts, verdicts

_SCARCE = ("too many open files", "Too many processes")
"""How supervisor says that there was no descriptor or process left (4.3.0, ``Subprocess.spawn``): no fault of the program."""
_SCARCE_SECONDS = 0.5


def first_entry(
    program: plan.ProgramPlan, now: entries.Moment, unusable: Mapping[str, str] | None = None, *, origin: float = 0.0
) -> entries.Entry:
    """Return the entry of a program that was never started.

    ``unusable`` maps artifacts to why they cannot be used; ``origin`` is the start of Stage A in monotonic seconds.
    """
    why = unusable or {}
    withheld = tuple(entries.Lack(name, _one_line(why[name])) for name in program.artifacts if name in why)
    begun = chronicle.Chronicle(origin)
    entry = entries.Entry(program, snapshot.PENDING, "not started yet", now.wall, withheld=withheld, past=begun)
    return judge(dataclasses.replace(entry, start_at=None), now) if withheld else entry


def on_supervisor_state(
    entry: entries.Entry,
    state: str,
    now: entries.Moment,
    *,
    ended: snapshot.Exit | None = None,
    spawn_error: str = "",
    draw: float = 0.0,
) -> entries.Entry:
    """Return ``entry`` after supervisor reported ``state``.

    ``ended`` is how the process ended, where this change of state follows from its end; ``spawn_error`` is supervisor's
    reason where no process could be made; ``draw`` is chance, 0 to 1, for the pause before the next start.
    """
    run = entry.run
    entry = dataclasses.replace(entry, supervisor_state=state)
    if state not in {entries.RUNNING, entries.STOPPING}:
        entry = dataclasses.replace(entry, run=None, subscribed=False)
    if state == entries.RUNNING:
        failed_starts = 0 if entry.was_ready else entry.failed_starts
        reached = chronicle.running(entry.past, now.monotonic)
        entry = dataclasses.replace(entry, failed_starts=failed_starts, past=reached)
    if ended is not None or state == entries.EXITED:
        cause = run.killed_for if run else ""
        entry = dataclasses.replace(entry, last_exit=ended, end_cause=cause, spawn_error="")
    elif state == entries.BACKOFF:
        entry = dataclasses.replace(
            entry, last_exit=None, end_cause="", spawn_error=spawn_error or "it could not be spawned"
        )
    if state in {entries.EXITED, entries.BACKOFF}:
        entry = _after_end(entry, run, now.monotonic, draw)
    elif state in {entries.STOPPING, entries.STOPPED}:
        entry = dataclasses.replace(entry, start_at=0.0 if entry.comes_back else None, given_up=None)
    elif state == entries.FATAL:
        entry = dataclasses.replace(entry, start_at=None)
    return judge(entry, now)


def _after_end(entry: entries.Entry, run: entries.Run | None, now: float, draw: float) -> entries.Entry:
    """Count an end that nobody asked for and decide what follows.

    One after readiness is an exit, one before it, or within supervisor's first second, a failed start.
    """
    program = entry.program
    cause = chronicle.cause_of_end(
        entry.last_exit,
        is_oneshot=program.oneshot,
        was_made=entry.supervisor_state == entries.EXITED or entry.last_exit is not None,
        was_ready=entry.was_ready,
        was_ours=bool(entry.end_cause),
    )
    entry = dataclasses.replace(entry, past=chronicle.because(entry.past, cause))
    is_failed_start = entry.supervisor_state == entries.BACKOFF or not (program.oneshot or entry.was_ready)
    if is_failed_start:
        entry = dataclasses.replace(entry, failed_starts=entry.failed_starts + 1)
    elif not entry.has_completed:
        entry = dataclasses.replace(entry, exits=entry.exits + 1)
    stays_down = program.oneshot or (program.on_exit != plan.RESTART and not is_failed_start)
    if entry.supervisor_state == entries.EXITED and stays_down:
        return dataclasses.replace(entry, start_at=None)
    if entry.spawn_error.startswith(_SCARCE):
        return dataclasses.replace(entry, failed_starts=entry.failed_starts - 1, start_at=now + _SCARCE_SECONDS)
    lived = now - run.spawned_at if run else 0.0
    end = restarts.End(now, lived, entry.was_ready, entry.failed_starts)
    history, follows = restarts.after(program, entry.history, end, draw)
    match follows:
        case restarts.Again(at):
            return dataclasses.replace(entry, history=history, start_at=at)
        case restarts.GivenUp(why):
            return dataclasses.replace(entry, history=history, start_at=None, given_up=why)


def on_spawn(entry: entries.Entry, pid: int, pid_start: int | None, now: entries.Moment) -> entries.Entry:
    """Return ``entry`` after its process was forked: nothing is proven of it."""
    ready = entry.program.ready
    run = entries.Run(
        pid,
        pid_start,
        now.monotonic,
        start_deadline=None if ready.timeout_seconds is None else now.monotonic + ready.timeout_seconds,
        watchdog_seconds=ready.watchdog_seconds,
    )
    reached = chronicle.spawned(entry.past, now.monotonic, is_restart=entry.spawns > 0)
    entry = dataclasses.replace(
        entry,
        run=run,
        spawns=entry.spawns + 1,
        was_ready=False,
        status="",
        comes_back=False,
        given_up=None,
        past=reached,
    )
    return judge(entry, now)


def wanted(entry: entries.Entry, now: entries.Moment) -> entries.Entry:
    """Return ``entry`` after somebody asked for its start: it begins anew, and starts when what it needs is there."""
    if entry.withheld:
        return entry
    entry = dataclasses.replace(
        entry,
        start_at=0.0,
        given_up=None,
        failed_starts=0,
        history=restarts.History(),
        comes_back=False,
        past=chronicle.because(entry.past, snapshot.OPERATOR),
    )
    return judge(entry, now)


def unwanted(entry: entries.Entry, now: entries.Moment) -> entries.Entry:
    """Return ``entry`` after somebody asked for its stop: it stays stopped."""
    return judge(dataclasses.replace(entry, start_at=None, comes_back=False), now)


def paused(entry: entries.Entry, now: entries.Moment) -> entries.Entry:
    """Return ``entry`` that stops because what it is bound to does: it comes back with it."""
    bound = chronicle.because(entry.past, snapshot.BOUND)
    return judge(dataclasses.replace(entry, comes_back=True, past=bound), now)


def on_subscription(entry: entries.Entry, subscribed: bool, now: entries.Moment) -> entries.Entry:
    """Return ``entry`` after the probe server's subscription began or ended."""
    return judge(dataclasses.replace(entry, subscribed=subscribed), now)


def with_status(entry: entries.Entry, status: str) -> entries.Entry:
    """Return ``entry`` with what the program says of itself."""
    return dataclasses.replace(entry, status=status)


def with_run(entry: entries.Entry, now: entries.Moment, **changes: object) -> entries.Entry:
    """Return ``entry`` with ``changes`` to what is known of its process; without a process nothing changes."""
    if entry.run is None:
        return entry
    return judge(dataclasses.replace(entry, run=dataclasses.replace(entry.run, **changes)), now)  # type: ignore[arg-type]


def judge(entry: entries.Entry, now: entries.Moment) -> entries.Entry:
    """Return ``entry`` with the state, reason and proof that its facts mean now."""
    verdict = verdicts.of(entry, now.monotonic)
    if verdict.state == snapshot.READY and not entry.is_ready:
        entry = dataclasses.replace(entry, ready_by=verdict.proof, ready_at=now.wall)
    if verdict.state == snapshot.READY and not entry.was_ready:
        failed_starts = 0 if entry.supervisor_state == entries.RUNNING else entry.failed_starts
        reached = chronicle.ready(entry.past, now.monotonic)
        entry = dataclasses.replace(entry, was_ready=True, failed_starts=failed_starts, past=reached)
    since = entry.since if verdict.state == entry.state else now.wall
    after = (verdict.state, verdict.reason, since, verdict.final)
    if after == (entry.state, entry.reason, entry.since, entry.final):
        return entry
    return dataclasses.replace(entry, state=after[0], reason=after[1], since=after[2], final=after[3])


def obstacle(needs: Mapping[str, str], known: Mapping[str, entries.Entry]) -> tuple[str, str, bool] | None:
    """Return ``(state, reason, final)`` while one of ``needs`` keeps a program from starting, else None.

    ``needs`` maps names to plan.READY or plan.STARTED. Final when what it needs failed for good: then waiting on is of no
    use.
    """
    missing = [name for name, condition in needs.items() if not _is_met(known.get(name), condition)]
    for name in missing:
        if name not in known:
            return snapshot.FAILED, reasons.needs(name, "is unknown to supervisord"), True
        if known[name].final:
            return snapshot.FAILED, reasons.needs(name, first_cause(known[name].reason)), True
    if missing:
        return snapshot.PENDING, reasons.waits_for(missing), False
    return None


def _is_met(entry: entries.Entry | None, condition: str) -> bool:
    if entry is None:
        return False
    return entry.is_started if condition == plan.STARTED else entry.is_ready


def held(entry: entries.Entry, state: str, reason: str, now: entries.Moment, *, final: bool = False) -> entries.Entry:
    """Return ``entry`` while it is held back in ``state`` for ``reason``."""
    if (entry.state, entry.reason, entry.final) == (state, reason, final):
        return entry
    since = entry.since if entry.state == state else now.wall
    return dataclasses.replace(entry, state=state, reason=reason, since=since, final=final)


def _one_line(text: str) -> str:
    """Return what a check printed, or a file is called, as it may stand within a reason."""
    return first_cause("".join(one if one.isprintable() else "?" for one in " ".join(text.split())))


def first_cause(reason: str) -> str:
    """Return ``reason`` short enough to stand within another one."""
    return reason if len(reason) <= 300 else f"{reason[:300]}…"
