"""The ledger's book: every program's entry, who is held back, and what changed since somebody looked."""

import random
from collections.abc import Callable, Iterable, Mapping

from contract import snapshot
from manifest import plan
from supervisord import entries, ledger, verdicts

_ABOUT_TO_START = (snapshot.PENDING, "is about to be started", False)
_NO_LINES: tuple[str, ...] = ()
_NOBODY: frozenset[str] = frozenset()


class Book:
    """All entries of one generation. ``revision`` grows with every change that a reader could see.

    What is asked in every turn of supervisord's loop costs nothing while nothing changes, also at 500 programs: the
    entries that time may change (``_due``) and those whose obstacle may have changed (``_doubtful``) are kept apart.
    """

    def __init__(
        self,
        programs: Iterable[plan.ProgramPlan],
        now: entries.Moment,
        draw: Callable[[], float] = random.random,
        *,
        unusable: Mapping[str, str] | None = None,
        origin: float = 0.0,
    ) -> None:
        """Begin with ``programs``, none of them started; ``draw`` is chance, 0 to 1.

        ``unusable`` maps the artifacts that cannot be used in this boot to the reason: a program that needs one is withheld.
        ``origin`` is the start of Stage A in monotonic seconds, from which steps are counted.
        """
        self.entries: dict[str, entries.Entry] = {}
        self.revision = 0
        self.last_lines: Callable[[str], tuple[str, ...]] = lambda _name: _NO_LINES
        self._draw = draw
        self._unusable = unusable or {}
        self._origin = origin
        self._due: dict[str, float] = {}
        self._starts: dict[str, float] = {}
        self._held: set[str] = set()
        self._doubtful: set[str] = set()
        self._unbound: set[str] = set()
        self._suspects: set[str] = set()
        self._dependants: dict[str, set[str]] = {}
        self._changes: list[entries.Entry] = []
        self._unsent: set[str] = set()
        self._lost_one = False
        self._text = ""
        self._text_revision = -1
        for program in programs:
            self._put(ledger.first_entry(program, now, self._unusable, origin=origin))
        self._changes = [entry for entry in self._changes if entry.withheld]

    # --- what happened ----------------------------------------------------------------------------------------

    def on_supervisor_state(
        self, name: str, state: str, now: entries.Moment, ended: snapshot.Exit | None, spawn_error: str
    ) -> None:
        """Supervisor reported ``state`` for the program ``name``; unknown names are none of ours."""
        entry = self.entries.get(name)
        if entry is not None:
            draw = self._draw()
            self._put(ledger.on_supervisor_state(entry, state, now, ended=ended, spawn_error=spawn_error, draw=draw))
            self.advance(now)

    def on_spawn(self, name: str, pid: int, pid_start: int | None, now: entries.Moment) -> None:
        """The process of ``name`` was forked."""
        self.change(name, now, lambda entry: ledger.on_spawn(entry, pid, pid_start, now))

    def change(self, name: str, now: entries.Moment, to: Callable[[entries.Entry], entries.Entry]) -> None:
        """Replace the entry of ``name`` by what ``to`` makes of it; unknown names are none of ours."""
        entry = self.entries.get(name)
        if entry is not None:
            self._put(to(entry))
            self.advance(now)

    def note(self, name: str, now: entries.Moment, **facts: object) -> None:
        """Note ``facts`` (fields of entries.Run) about the process of ``name``."""
        self.change(name, now, lambda entry: ledger.with_run(entry, now, **facts))

    def add(self, program: plan.ProgramPlan, now: entries.Moment) -> None:
        """A group came: its program is known from now on."""
        self._put(ledger.first_entry(program, now, self._unusable, origin=self._origin))
        self.advance(now)

    def remove(self, name: str, now: entries.Moment) -> None:
        """A group went: its program is unknown from now on."""
        if self.entries.pop(name, None) is not None:
            self._due.pop(name, None)
            self._starts.pop(name, None)
            self._held.discard(name)
            self._suspects.discard(name)
            self._doubt(name)
            self._lost_one = True
            self.touch()
            self.advance(now)

    def advance(self, now: entries.Moment) -> None:
        """Re-judge what time or a dependency may have changed, until nothing changes."""
        if self._due and min(self._due.values()) <= now.monotonic:
            for name in [name for name, due in self._due.items() if due <= now.monotonic]:
                self._put(ledger.judge(self.entries[name], now))
        while self._doubtful:
            name = self._doubtful.pop()
            entry = self.entries.get(name)
            if entry is None:
                continue
            if name in self._starts:
                self._judge_start(entry, now)
            elif entry.run is not None and self._lost_bond(entry):
                self._unbound.add(name)

    def take_overdue(self, now: entries.Moment) -> list[tuple[str, int, str]]:
        """Return ``(name, pid, why)`` of each process that must be killed now; each is returned once."""
        late: list[tuple[str, int, str]] = []
        suspects, self._suspects = self._suspects, set()
        for name in suspects | {name for name, due in self._due.items() if due <= now.monotonic}:
            entry = self.entries[name]
            why = verdicts.overdue(entry, now.monotonic)
            if why is not None and entry.pid is not None:
                late.append((name, entry.pid, why))
                self.note(name, now, killed_for=why)
            else:
                self._put_due(entry, now.monotonic)
        return late

    # --- who may start, who must stop ---------------------------------------------------------------------------

    def may_start(self, name: str, now: float) -> bool:
        """Say whether PID 1 starts ``name`` at the monotonic moment ``now``.

        Asked for every program in every turn of supervisord's loop, so ``advance`` has the answer ready.
        """
        at = self._starts.get(name)
        return at is not None and at <= now and name not in self._held and name not in self._doubtful

    def is_ready(self, name: str) -> bool:
        """Say whether ``name`` is ready now."""
        return name in self.entries and self.entries[name].is_ready

    def obstacle(self, name: str) -> tuple[str, str, bool] | None:
        """Return ``(state, reason, final)`` of what stands against starting ``name`` now, or None."""
        entry = self.entries[name]
        if entry.withheld:
            return entry.state, entry.reason, entry.final
        return ledger.obstacle(needs(entry.program), self.entries)

    def take_unbound(self, name: str) -> bool:
        """Say, once, whether ``name`` must stop because what it is bound to is gone."""
        if name not in self._unbound:
            return False
        self._unbound.discard(name)
        entry = self.entries.get(name)
        return entry is not None and entry.run is not None

    def next_due(self, now: float) -> float | None:
        """Return the next monotonic moment at which time alone changes an entry or starts a program, or None."""
        moments = [*self._due.values()]
        moments += [at for name, at in self._starts.items() if at > now and name not in self._held]
        return min(moments, default=None)

    # --- what readers see ---------------------------------------------------------------------------------------

    def missing(self) -> dict[str, str]:
        """Return each program that must be ready and is not, with the reason."""
        return {
            name: entry.reason for name, entry in self.entries.items() if entry.must_be_ready and not entry.is_ready
        }

    def is_waiting(self) -> bool:
        """Say whether some program that must be ready is not."""
        return any(entry.must_be_ready and not entry.is_ready for entry in self.entries.values())

    def waiting(self, unknown: int) -> tuple[int, bool]:
        """Return how many programs must be ready and are not, and whether one of them is in trouble.

        ``unknown`` is the number of required programs that the book does not hold.
        """
        late = [entry for entry in self.entries.values() if entry.must_be_ready and not entry.is_ready]
        troubled = any(entry.state == snapshot.FAILED or entry.exits for entry in late)
        return len(late) + unknown, troubled or unknown > 0

    def take_changes(self) -> list[entries.Entry]:
        """Return the entries whose readiness state changed since the last call, oldest first."""
        changes, self._changes = self._changes, []
        return changes

    def touch(self) -> None:
        """Something beside the entries changed that a reader sees."""
        self.revision += 1

    def take_unsent(self) -> tuple[snapshot.ProgramView, ...] | None:
        """Return the views of the programs that changed since the last call.

        None when a program went away, which a change cannot say: then the whole snapshot is due.
        """
        names, self._unsent = self._unsent, set()
        lost_one, self._lost_one = self._lost_one, False
        if lost_one:
            return None
        return tuple(entry.view(self.last_lines(name)) for name, entry in self.entries.items() if name in names)

    def text(self, build: Callable[[int, tuple[snapshot.ProgramView, ...]], snapshot.Snapshot]) -> str:
        """Return the whole snapshot as JSON text; ``build`` is called only when something changed."""
        if self._text_revision != self.revision:
            views = tuple(entry.view(self.last_lines(name)) for name, entry in self.entries.items())
            self._text = snapshot.dump(build(self.revision, views))
            self._text_revision = self.revision
        return self._text

    # --- keeping it ---------------------------------------------------------------------------------------------

    def _judge_start(self, entry: entries.Entry, now: entries.Moment) -> None:
        name = entry.program.name
        obstacle = self.obstacle(name)
        if obstacle is None:
            self._held.discard(name)
        else:
            self._held.add(name)
        if entry.supervisor_state == entries.STOPPED or obstacle is not None:
            state, reason, final = obstacle or _ABOUT_TO_START
            self._put(ledger.held(entry, state, reason, now, final=final))
        else:
            self._put(ledger.judge(entry, now))

    def _lost_bond(self, entry: entries.Entry) -> bool:
        bonds = [self.entries.get(need.name) for need in entry.program.after if need.bind]
        return any(other is None or not other.is_started for other in bonds)

    def _doubt(self, name: str) -> None:
        """``name`` changed: whether it and those that need it may run must be asked again."""
        self._doubtful |= {name} | self._dependants.get(name, _NOBODY)

    def _put(self, entry: entries.Entry) -> None:
        name = entry.program.name
        before = self.entries.get(name)
        if before == entry:
            return
        if before is None:
            for need in needs(entry.program):
                self._dependants.setdefault(need, set()).add(name)
        self.entries[name] = entry
        if before is None or before.visible != entry.visible:
            self.revision += 1
            self._unsent.add(name)
        if before is None or _matters(before) != _matters(entry):
            self._doubt(name)
        if before is None or before.state != entry.state:
            self._changes.append(entry)
        is_startable = entry.start_at is not None and entry.supervisor_state in entries.STARTABLE
        if is_startable and entry.start_at is not None:
            self._starts[name] = entry.start_at
        else:
            self._starts.pop(name, None)
            self._held.discard(name)
        if entry.run is None:
            self._unbound.discard(name)
        elif entry.run.live_ok is False:
            self._suspects.add(name)
        self._put_due(entry, None)

    def _put_due(self, entry: entries.Entry, after: float | None) -> None:
        """Keep when time alone changes ``entry`` next; a moment up to ``after`` has acted and is left out."""
        due = verdicts.due(entry, after)
        if due is None:
            self._due.pop(entry.program.name, None)
        else:
            self._due[entry.program.name] = due


def needs(program: plan.ProgramPlan) -> dict[str, str]:
    """Return what ``program`` waits for, each with its condition: its own dependencies, and before all others the boot's own."""
    own = {plan.PROBES: plan.READY, plan.STAGE_B: plan.READY} if program.role == "program" else {}
    return own | {need.name: need.condition for need in program.after}


def _matters(entry: entries.Entry) -> tuple[object, ...]:
    """Return what other programs' starts and stops may depend on."""
    return entry.state, entry.reason, entry.final, entry.is_started, entry.start_at
