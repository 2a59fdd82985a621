"""The ledger's book: every program's entry, who is held back, and what changed since somebody looked."""

from collections.abc import Callable, Iterable

from contract import snapshot
from manifest import plan
from supervisord import ledger

_ABOUT_TO_START = (snapshot.PENDING, "is about to be started")
_NO_LINES: tuple[str, ...] = ()
_NOBODY: frozenset[str] = frozenset()


class Book:
    """All entries of one generation. ``revision`` grows with every change that a reader could see.

    What is asked in every turn of supervisord's loop costs nothing while nothing changes, also at 500 programs: the
    entries that time may change (``_due``) and those whose obstacle may have changed (``_doubtful``) are kept apart.
    """

    def __init__(self, programs: Iterable[plan.ProgramPlan], now: ledger.Moment) -> None:
        """Begin with ``programs``, none of them started."""
        self.entries: dict[str, ledger.Entry] = {}
        self.revision = 0
        self.last_lines: Callable[[str], tuple[str, ...]] = lambda _name: _NO_LINES
        self._due: dict[str, float] = {}
        self._unstarted: set[str] = set()
        self._held: set[str] = set()
        self._doubtful: set[str] = set()
        self._dependants: dict[str, set[str]] = {}
        self._changes: list[ledger.Entry] = []
        self._unsent: set[str] = set()
        self._lost_one = False
        self._text = ""
        self._text_revision = -1
        for program in programs:
            self._put(ledger.first_entry(program, now))
        self._changes.clear()

    def on_supervisor_state(
        self, name: str, state: str, now: ledger.Moment, ended: snapshot.Exit | None, spawn_error: str
    ) -> None:
        """Supervisor reported ``state`` for the program ``name``; unknown names are none of ours."""
        entry = self.entries.get(name)
        if entry is not None:
            self._put(ledger.on_supervisor_state(entry, state, now, ended=ended, spawn_error=spawn_error))
            self.advance(now)

    def on_spawn(self, name: str, pid: int, pid_start: int | None, now: ledger.Moment) -> None:
        """The process of ``name`` was forked."""
        entry = self.entries.get(name)
        if entry is not None:
            self._put(ledger.on_spawn(entry, pid, pid_start, now))

    def on_subscription(self, name: str, began: bool, now: ledger.Moment) -> None:
        """``name`` subscribed to the ledger, or its subscription ended."""
        self._put(ledger.on_subscription(self.entries[name], began, now))
        self.advance(now)

    def add(self, program: plan.ProgramPlan, now: ledger.Moment) -> None:
        """A group came: its program is known from now on."""
        self._put(ledger.first_entry(program, now))
        self.advance(now)

    def remove(self, name: str) -> None:
        """A group went: its program is unknown from now on."""
        if self.entries.pop(name, None) is not None:
            self._due.pop(name, None)
            self._unstarted.discard(name)
            self._held.discard(name)
            self._doubt(name)
            self._lost_one = True
            self.touch()

    def advance(self, now: ledger.Moment) -> None:
        """Re-judge what time or a dependency may have changed, until nothing changes."""
        if self._due and min(self._due.values()) <= now.monotonic:
            for name in [name for name, due in self._due.items() if due <= now.monotonic]:
                self._put(ledger.judge(self.entries[name], now))
        while self._doubtful:
            name = self._doubtful.pop()
            if name in self._unstarted:
                entry = self.entries[name]
                obstacle = self._obstacle(entry)
                if obstacle is None:
                    self._held.discard(name)
                else:
                    self._held.add(name)
                self._put(ledger.held(entry, *(obstacle or _ABOUT_TO_START), now))

    def is_held(self, name: str) -> bool:
        """Say whether the program ``name``, never started, must wait for what it needs.

        Asked for every program in every turn of supervisord's loop, so ``advance`` has the answer ready.
        """
        if name not in self._doubtful:
            return name in self._held
        entry = self.entries.get(name)
        return entry is not None and self._obstacle(entry) is not None

    def next_due(self) -> float | None:
        """Return the next monotonic moment at which time alone changes an entry, or None."""
        return min(self._due.values(), default=None)

    def missing(self) -> dict[str, str]:
        """Return each program that must be ready and is not, with the reason."""
        return {
            name: entry.reason for name, entry in self.entries.items() if entry.must_be_ready and not entry.is_ready
        }

    def waiting(self, unknown: int) -> tuple[int, bool]:
        """Return how many programs must be ready and are not, and whether one of them is in trouble.

        ``unknown`` is the number of required programs that the book does not hold.
        """
        late = [entry for entry in self.entries.values() if entry.must_be_ready and not entry.is_ready]
        troubled = any(entry.state == snapshot.FAILED or entry.exits for entry in late)
        return len(late) + unknown, troubled or unknown > 0

    def take_changes(self) -> list[ledger.Entry]:
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

    def _obstacle(self, entry: ledger.Entry) -> tuple[str, str] | None:
        return ledger.obstacle(self._needs(entry.program), self.entries)

    def _needs(self, program: plan.ProgramPlan) -> tuple[str, ...]:
        """Return what ``program`` waits for: its own dependencies, and the boot's own programs before all others."""
        return (plan.PROBES, plan.STAGE_B, *program.after) if program.role == "program" else program.after

    def _doubt(self, name: str) -> None:
        """``name`` changed: whether it and those that need it may start must be asked again."""
        self._doubtful |= {name} | self._dependants.get(name, _NOBODY)

    def _put(self, entry: ledger.Entry) -> None:
        name = entry.program.name
        before = self.entries.get(name)
        if before == entry:
            return
        if before is None:
            for need in self._needs(entry.program):
                self._dependants.setdefault(need, set()).add(name)
        self.entries[name] = entry
        self.revision += 1
        self._unsent.add(name)
        if before is None or before.state != entry.state or before.reason != entry.reason:
            self._doubt(name)
        if before is None or before.state != entry.state:
            self._changes.append(entry)
        if entry.supervisor_state == ledger.STOPPED and entry.spawns == 0:
            self._unstarted.add(name)
        else:
            self._unstarted.discard(name)
            self._held.discard(name)
        due = ledger.due(entry)
        if due is None:
            self._due.pop(name, None)
        else:
            self._due[name] = due
