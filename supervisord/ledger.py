"""The readiness ledger: what PID 1 knows of every program, as pure state without any I/O.

Rules
-----
* supervisor's state is evidence, never readiness. A program is ready when it has lived, under one pid, for its
  ``ready_for_seconds``; a one-shot when it exited 0; the probe server when it has subscribed.
* Pessimistic: pending until proven; any exit, stop or new pid takes readiness away at once.
* A program whose dependency failed fails with it, at once and by name; one whose dependency is only not yet ready
  is pending and says what it waits for.
* ``exits`` counts the exits nobody asked for, so that a reader that polls misses none.
* Time is given by the caller: ``monotonic`` for decisions, ``wall`` (RFC 3339) for people.
"""

import dataclasses
from collections.abc import Iterable

from contract import snapshot
from manifest import plan

STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, UNKNOWN = (
    "STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Moment:
    """Now: monotonic seconds for decisions, RFC 3339 for people."""

    monotonic: float
    wall: str


@dataclasses.dataclass(frozen=True)
class Entry:
    """One program: its plan, what supervisor says of it, and what follows."""

    program: plan.ProgramPlan
    state: str
    reason: str
    since: str
    supervisor_state: str = STOPPED
    pid: int | None = None
    pid_start: int | None = None
    spawned_at: float | None = None
    subscribed: bool = False
    ready_by: str | None = None
    ready_at: str | None = None
    last_exit: snapshot.Exit | None = None
    spawn_error: str = ""
    exits: int = 0
    spawns: int = 0

    @property
    def is_ready(self) -> bool:
        """Whether readiness is proven now."""
        return self.state == snapshot.READY

    @property
    def must_be_ready(self) -> bool:
        """Whether the boot waits for it: a required program, the probe server, Stage B; never the seal itself."""
        return self.program.required and self.program.role != "seal"

    def view(self, last_output: tuple[str, ...]) -> snapshot.ProgramView:
        """Return what other processes see of this entry."""
        return snapshot.ProgramView(
            name=self.program.name,
            role=self.program.role,
            required=self.program.required,
            oneshot=self.program.oneshot,
            state=self.state,
            reason=self.reason,
            since=self.since,
            supervisor_state=self.supervisor_state,
            pid=self.pid,
            pid_start=self.pid_start,
            ready_by=self.ready_by,
            ready_at=self.ready_at,
            last_exit=self.last_exit,
            exits=self.exits,
            restarts=max(0, self.spawns - 1),
            last_output=last_output,
        )


def first_entry(program: plan.ProgramPlan, now: Moment) -> Entry:
    """Return the entry of a program that was never started."""
    return Entry(program, snapshot.PENDING, "not started yet", now.wall)


def on_supervisor_state(
    entry: Entry, state: str, now: Moment, *, ended: snapshot.Exit | None = None, spawn_error: str = ""
) -> Entry:
    """Return ``entry`` after supervisor reported ``state``.

    ``ended`` is how the process ended, where this change of state follows from its end; ``spawn_error`` is
    supervisor's reason where no process could be made.
    """
    entry = dataclasses.replace(entry, supervisor_state=state)
    if state not in {RUNNING, STOPPING}:
        entry = dataclasses.replace(entry, pid=None, pid_start=None, spawned_at=None, subscribed=False)
    if ended is None and state == EXITED:  # nobody knows how: not as the run before it did
        entry = dataclasses.replace(entry, last_exit=None, spawn_error="", exits=entry.exits + 1)
    elif ended is not None:
        completed = entry.program.oneshot and ended.code == 0
        unasked = state == EXITED and not completed
        entry = dataclasses.replace(entry, last_exit=ended, spawn_error="", exits=entry.exits + int(unasked))
    elif state == BACKOFF:
        entry = dataclasses.replace(entry, last_exit=None, spawn_error=spawn_error or "it could not be spawned")
    return judge(entry, now)


def on_spawn(entry: Entry, pid: int, pid_start: int | None, now: Moment) -> Entry:
    """Return ``entry`` after its process was forked."""
    entry = dataclasses.replace(entry, pid=pid, pid_start=pid_start, spawned_at=now.monotonic, spawns=entry.spawns + 1)
    return judge(entry, now)


def on_subscription(entry: Entry, subscribed: bool, now: Moment) -> Entry:
    """Return ``entry`` after the probe server's subscription began or ended."""
    return judge(dataclasses.replace(entry, subscribed=subscribed), now)


def judge(entry: Entry, now: Moment) -> Entry:
    """Return ``entry`` with the state, reason and proof that its facts mean now."""
    state, reason, proof = _verdict(entry, now.monotonic)
    if state == snapshot.READY and not entry.is_ready:
        entry = dataclasses.replace(entry, ready_by=proof, ready_at=now.wall)
    since = entry.since if state == entry.state else now.wall
    if (state, reason, since) == (entry.state, entry.reason, entry.since):
        return entry
    return dataclasses.replace(entry, state=state, reason=reason, since=since)


def due(entry: Entry) -> float | None:
    """Return the monotonic moment at which ``entry`` may become ready by living on, or None."""
    if entry.is_ready or entry.program.oneshot or entry.program.role != "program":
        return None
    if entry.spawned_at is None or entry.supervisor_state not in {STARTING, RUNNING}:
        return None
    return entry.spawned_at + entry.program.ready_for_seconds


def obstacle(needs: Iterable[str], entries: dict[str, Entry]) -> tuple[str, str] | None:
    """Return ``(state, reason)`` while one of ``needs`` keeps a program from starting, else None.

    The state is failed when what it needs failed: then waiting on is of no use.
    """
    missing = [name for name in needs if name not in entries or not entries[name].is_ready]
    for name in missing:
        if name not in entries:
            return snapshot.FAILED, f"needs {name}, which is unknown to supervisord"
        if entries[name].state == snapshot.FAILED:
            return snapshot.FAILED, f"needs {name}, which {_first_cause(entries[name].reason)}"
    if missing:
        return snapshot.PENDING, f"waits for {', '.join(missing)}"
    return None


def held(entry: Entry, state: str, reason: str, now: Moment) -> Entry:
    """Return ``entry`` while it is held back in ``state`` for ``reason``."""
    if (entry.state, entry.reason) == (state, reason):
        return entry
    since = entry.since if entry.state == state else now.wall
    return dataclasses.replace(entry, state=state, reason=reason, since=since)


def _first_cause(reason: str) -> str:
    return reason if len(reason) <= 300 else f"{reason[:300]}…"


def _verdict(entry: Entry, now: float) -> tuple[str, str, str | None]:
    """Return (state, reason, proof) by supervisor's state; the one table of this module."""
    program, ended = entry.program, entry.last_exit
    match entry.supervisor_state:
        case "STARTING" | "RUNNING":
            return _verdict_alive(entry, now)
        case "EXITED" if program.oneshot and ended is not None and ended.code == 0:
            return snapshot.READY, "", "exit 0"
        case "EXITED" if program.oneshot:
            return snapshot.FAILED, f"{ended or 'exited'}, and a one-shot must exit 0", None
        case "EXITED":
            return snapshot.FAILED, f"{ended or 'exited'}, and it is not a one-shot", None
        case "BACKOFF":
            return snapshot.PENDING, f"{_early_end(entry)}; supervisord will try again", None
        case "FATAL":
            return snapshot.FAILED, f"is FATAL{_tries(entry)}: it {_early_end(entry)}", None
        case "STOPPING":
            return snapshot.PENDING, "is being stopped", None
        case "STOPPED":
            return snapshot.PENDING, "was stopped" if entry.spawns else "not started yet", None
        case unknown:
            return snapshot.FAILED, f"is in supervisord's state {unknown}", None


def _verdict_alive(entry: Entry, now: float) -> tuple[str, str, str | None]:
    program = entry.program
    again = f" again after it {entry.last_exit}" if entry.last_exit else ""
    if entry.spawned_at is None:
        return snapshot.PENDING, f"is being started{again}", None
    if program.role == "probes":
        if entry.subscribed:
            return snapshot.READY, "", "subscription"
        return snapshot.PENDING, f"was started{again} and has not connected to PID 1 yet", None
    if program.oneshot:
        return snapshot.PENDING, "has not completed yet", None
    if now - entry.spawned_at >= program.ready_for_seconds:
        return snapshot.READY, "", f"running for {program.ready_for_seconds:g}s"
    return snapshot.PENDING, f"was started{again} and must stay up for {program.ready_for_seconds:g}s", None


def _early_end(entry: Entry) -> str:
    """Say how the last try ended, as a verb phrase."""
    if entry.last_exit is not None:
        return f"{entry.last_exit} too early"
    return f"could not be spawned: {entry.spawn_error}"


def _tries(entry: Entry) -> str:
    """Say how often it was tried, where that is known: a process that could not be made was never counted."""
    if entry.last_exit is None:
        return ""
    return f" after {entry.spawns} tries" if entry.spawns > 1 else " after its only try"
