"""An entry of the readiness ledger: one program, and all that is known of it. Data only."""

import dataclasses

from contract import clock, snapshot
from manifest import plan
from supervisord import chronicle, restarts

STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, UNKNOWN = (
    "STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN",
)  # fmt: skip
ALIVE = frozenset({STARTING, RUNNING})
STARTABLE = frozenset({STOPPED, BACKOFF, EXITED, FATAL})
PUT_RIGHT = "put it right and start the container again: artifacts are verified at boot"
"""What to do about an artifact that a program lacks: no start that is asked for helps."""


@dataclasses.dataclass(frozen=True)
class Moment:
    """Now: monotonic seconds for decisions, RFC 3339 for people."""

    monotonic: float
    wall: str


def now() -> Moment:
    """Return this moment."""
    return Moment(clock.monotonic(), clock.rfc3339())


@dataclasses.dataclass(frozen=True)
class Run:
    """What is known of one process of a program; every process begins with nothing proven.

    ``proof`` says what proved readiness and ``proven_at`` when, ``doubt`` why it does not count now. ``check_reason`` is why
    the check from outside does not pass yet. ``live_ok`` is the live check's standing verdict, None before the first.
    ``killed_for`` is why we killed it. Moments are monotonic seconds.
    """

    pid: int
    pid_start: int | None
    spawned_at: float
    proof: str | None = None
    proven_at: float | None = None
    doubt: str = ""
    check_reason: str = ""
    live_ok: bool | None = None
    live_reason: str = ""
    live_at: float | None = None
    start_deadline: float | None = None
    watchdog_seconds: float | None = None
    watchdog_at: float | None = None
    main_pid: int | None = None
    killed_for: str = ""


@dataclasses.dataclass(frozen=True)
class Lack:
    """An artifact that a program needs and that cannot be used in this boot, and why."""

    artifact: str
    why: str

    def __str__(self) -> str:
        return f"artifact {self.artifact} cannot be used: {self.why}"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One program: its plan, what supervisor says of it, and what follows.

    ``start_at`` is the monotonic moment from which PID 1 starts it as soon as what it needs is there, None: not by itself.
    ``comes_back``: it is being stopped only because what it is bound to is. ``given_up`` says why it is not started again.
    ``withheld`` are the artifacts that it lacks: with any of them it is never started, whoever asks.
    """

    program: plan.ProgramPlan
    state: str
    reason: str
    since: str
    final: bool = False
    supervisor_state: str = STOPPED
    run: Run | None = None
    subscribed: bool = False
    status: str = ""
    ready_by: str | None = None
    ready_at: str | None = None
    was_ready: bool = False
    last_exit: snapshot.Exit | None = None
    end_cause: str = ""
    spawn_error: str = ""
    exits: int = 0
    spawns: int = 0
    failed_starts: int = 0
    start_at: float | None = 0.0
    comes_back: bool = False
    given_up: str | None = None
    withheld: tuple[Lack, ...] = ()
    history: restarts.History = dataclasses.field(default_factory=restarts.History)
    past: chronicle.Chronicle = dataclasses.field(default_factory=chronicle.Chronicle)

    @property
    def pid(self) -> int | None:
        """The program's process, or None."""
        return self.run.pid if self.run else None

    @property
    def pid_start(self) -> int | None:
        """When that process started (proc_pid_stat(5), field 22)."""
        return self.run.pid_start if self.run else None

    @property
    def is_ready(self) -> bool:
        """Whether readiness is proven now."""
        return self.state == snapshot.READY

    @property
    def has_completed(self) -> bool:
        """Whether it is a one-shot that exited 0."""
        ended = self.last_exit
        return self.program.oneshot and self.supervisor_state == EXITED and ended is not None and ended.code == 0

    @property
    def is_started(self) -> bool:
        """Whether it was started and still counts as such: it has a process, or is a one-shot that completed."""
        return self.has_completed or (self.run is not None and self.supervisor_state in ALIVE)

    @property
    def must_be_ready(self) -> bool:
        """Whether the boot waits for it: a required program, the probe server, Stage B; never the seal itself."""
        return self.program.required and self.program.role != "seal"

    @property
    def visible(self) -> tuple[object, ...]:
        """What of ``view`` may change: a cheap way to ask whether a reader would see a difference."""
        return (
            self.state,
            self.reason,
            self.since,
            self.final,
            self.supervisor_state,
            self.pid,
            self.pid_start,
            self.ready_by,
            self.ready_at,
            self.last_exit,
            self.exits,
            self.spawns,
            self.status,
            self.past.latest,  # ``first`` changes only with it, and the reasons only with ``spawns``
        )

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
            status=self.status,
            final=self.final,
            restart_reasons=dict(self.past.reasons),
            first=self.past.first,
            latest=self.past.latest,
        )
