"""What happens to programs: supervisor's events, forks and ends, and what the probe server says of them, into the ledger.

Every method that supervisord reaches is guarded: no exception of ours reaches it.
"""

from collections.abc import Callable
from typing import Any

from supervisor.states import getProcessStateDescription

from contract import events, process, snapshot
from supervisord import (
    entries,
    evidence,
    forwarding,
    generation,
    guard,
    ledger,
    loop,
    outcome,
    proofs,
    readiness_book,
    reaping,
)


class Programs:
    """The programs of one generation, as supervisord sees them."""

    def __init__(
        self,
        book: readiness_book.Book,
        the_outcome: outcome.Outcome,
        forwarder: forwarding.LineForwarder,
        emitter: events.Emitter,
        *,
        poll: loop.PromptPoll,
        report_changes: Callable[[], bool],
    ) -> None:
        """``report_changes`` tells who became ready or failed since the last call, and says whether anybody did."""
        self.faults = guard.Faults(emitter)
        self.proofs = proofs.Proofs(book, emitter)
        self.reaper = reaping.Reaper(self.on_reaped)
        self.evidence: evidence.Evidence | None = None
        self.on_stop_seen: Callable[[], None] = lambda: None
        self._book = book
        self._outcome = the_outcome
        self._forwarder = forwarder
        self._emitter = emitter
        self._poll = poll
        self._report_changes = report_changes
        self._spawning = ""

    @guard.guarded
    def on_process_state(self, event: Any) -> None:
        """Supervisord changed the state of a program."""
        name = event.process.config.name
        state = getProcessStateDescription(event.process.state)
        if state == entries.STARTING:
            self._spawning = name
        is_alive = state in {entries.RUNNING, entries.STARTING, entries.STOPPING}
        ended = None if is_alive else self.reaper.end_of(event.process.pid)
        if ended is not None:
            self._forwarder.end(name)
        self._book.on_supervisor_state(name, state, entries.now(), ended, event.process.spawnerr or "")
        if not is_alive and self.evidence is not None:
            self.evidence.ended(name)
        self._tell_changes()
        self._follow(name, state, ended)
        self._poll.note_change()

    def _follow(self, name: str, state: str, ended: snapshot.Exit | None) -> None:
        """Let what a program's end means for the container follow."""
        entry = self._book.entries.get(name)
        if entry is None:
            return
        if entry.program.role == "seal" and state == entries.EXITED:
            self._outcome.on_seal_exit(ended)
            generation.BOOT.boot_sealed_at = self._outcome.boot_sealed_at
        elif state == entries.FATAL:
            self._outcome.on_program_fatal(entry)
        elif state == entries.EXITED or (state == entries.BACKOFF and ended is not None):
            self._outcome.on_program_exit(entry)

    def before_fork(self) -> evidence.Passing:
        """Return what the child of the next fork gets: of the program whose state became STARTING just before."""
        nothing = evidence.Passing({}, {})
        return nothing if self.evidence is None else self.evidence.before_spawn(self._spawning)

    @guard.guarded
    def on_fork(self, pid: int) -> None:
        """A program's process was forked, the one whose state became STARTING just before; -1: it could not be."""
        name, self._spawning = self._spawning, ""  # the next fork is another's, also where we failed to hear whose
        if pid > 0:
            self._book.on_spawn(name, pid, process.start_time(pid), entries.now())
            entry = self._book.entries.get(name)
            if entry is not None:
                self._emitter.emit("ProgramStarted", program=name, pid=pid, pid_start=entry.pid_start)
        if self.evidence is not None:
            self.evidence.after_fork(name, pid)
        self._poll.note_change()

    @guard.guarded
    def on_reaped(self, pid: int) -> None:
        """A process was reaped, an orphan perhaps: a program whose main process it was is not ready any more."""
        for name, entry in self._book.entries.items():
            if entry.run is not None and entry.run.main_pid == pid and entry.pid != pid:
                self._book.note(name, entries.now(), doubt=f"has lost its main process {pid}")
                break
        self._poll.note_change()

    def pid_of(self, name: str) -> int | None:
        """Return the process of ``name``, or None."""
        entry = self._book.entries.get(name)
        return entry.pid if entry is not None else None

    @guard.guarded
    def on_report(self, name: str, pid: int, report: dict[str, Any]) -> None:
        """A subscriber reports something; only the probe server is believed, and what is not known is ignored."""
        entry = self._book.entries.get(name)
        if entry is not None and entry.program.role == "probes" and entry.pid == pid:
            match report:
                case {"verdict": dict(verdict)}:
                    self.proofs.verdict(verdict)
                case {"seen": "stopping"}:
                    self.on_stop_seen()
            self._tell_changes()
        self._poll.note_change()

    @guard.guarded
    def on_subscriber(self, name: str, pid: int, began: bool) -> None:
        """A process subscribed to the ledger, or its subscription ended; the probe server so says that it serves."""
        entry = self._book.entries.get(name)
        if entry is not None and entry.program.role == "probes" and entry.pid == pid:
            now = entries.now()
            self._book.change(name, now, lambda one: ledger.on_subscription(one, began, now))
            self._tell_changes()
        self._poll.note_change()

    @guard.guarded
    def on_output(self, event: Any) -> None:
        """A program wrote to its stdout or stderr."""
        name = event.process.config.name
        if self.evidence is not None:
            self.evidence.output(name, event.channel, event.data)
        self._forwarder.take(name, event.channel, event.pid, event.data)

    def _tell_changes(self) -> None:
        if self._report_changes():
            self._poll.note_change()
