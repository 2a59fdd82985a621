"""Takes what programs say of themselves and what the probe server checks into the ledger.

It is the sink of ``supervisord.evidence``: names are programs, and all of it concerns the process they have now.
"""

from collections.abc import Callable
from typing import Any

from contract import events
from supervisord import entries, ledger, notify, readiness_book

_REFUSALS_TOLD = 20
_REASON_LIMIT = 300


class Proofs:
    """Notes evidence of readiness in the book."""

    def __init__(self, book: readiness_book.Book, emitter: events.Emitter) -> None:
        self._book = book
        self._emitter = emitter
        self._refusals = 0
        self.on_longer_stop: Callable[[str, float], None] = lambda _name, _seconds: None
        self.hide: Callable[[str, str], str] = lambda _name, text: text
        """Takes secrets out of what a program says."""

    def proven(self, name: str, by: str) -> None:
        """The program proved that it is ready, by ``by``."""
        now = entries.now()
        run = self._run(name)
        if run is not None:
            proven_at = now.monotonic if run.proven_at is None else run.proven_at
            watchdog_at = None if run.watchdog_seconds is None else now.monotonic
            self._book.note(name, now, proof=by, proven_at=proven_at, watchdog_at=watchdog_at, doubt="")

    def withdrawn(self, name: str, reason: str) -> None:
        """The program's proof does not count for now."""
        self._book.note(name, entries.now(), doubt=reason)

    def stopping(self, name: str) -> None:
        """The program says that it ends."""
        self._book.note(name, entries.now(), doubt="said STOPPING=1")

    def said(self, name: str, status: str) -> None:
        """The program says what it does."""
        line = notify.one_line(self.hide(name, status))
        shown = notify.clean(self.hide(name, line))  # hidden before it is cut, and in what drawing together makes of it

        def to(entry: entries.Entry) -> entries.Entry:
            return ledger.with_status(entry, shown)

        self._book.change(name, entries.now(), to)

    def extended(self, name: str, seconds: float) -> None:
        """The program needs ``seconds`` more from now: to become ready, for its watchdog, or to stop."""
        run, now = self._run(name), entries.now()
        if run is None:
            return
        if self._book.entries[name].supervisor_state == entries.STOPPING:
            self.on_longer_stop(name, seconds)
            return
        until = now.monotonic + seconds
        facts: dict[str, object] = {}
        if run.start_deadline is not None:
            facts["start_deadline"] = max(run.start_deadline, until)
        if run.watchdog_seconds is not None and run.watchdog_at is not None:
            facts["watchdog_at"] = max(run.watchdog_at, until - run.watchdog_seconds)
        self._book.note(name, now, **facts)

    def main_pid(self, name: str, pid: int) -> None:
        """The program's main process is ``pid``."""
        self._book.note(name, entries.now(), main_pid=pid)

    def alive(self, name: str) -> None:
        """The program fed its watchdog."""
        now, run = entries.now(), self._run(name)
        if run is not None and run.watchdog_at is not None:
            self._book.note(name, now, watchdog_at=max(run.watchdog_at, now.monotonic))

    def alarmed(self, name: str) -> None:
        """The program's own watchdog says that it is stuck."""
        run = self._run(name)
        if run is not None and run.watchdog_seconds is not None:
            self._book.note(name, entries.now(), watchdog_at=float("-inf"))

    def watchdog_interval(self, name: str, seconds: float) -> None:
        """The program changed how often it feeds its watchdog."""
        run = self._run(name)
        if run is not None and run.watchdog_seconds is not None and seconds > 0:  # nobody turns it off but the manifest
            self._book.note(name, entries.now(), watchdog_seconds=seconds)

    def refused(self, reason: str) -> None:
        """A message was not believed."""
        self._refusals += 1
        if self._refusals <= _REFUSALS_TOLD:
            self._emitter.emit("NotificationRefused", reason=reason)

    def verdict(self, verdict: dict[str, Any]) -> None:
        """Take a verdict of the probe server; one of a process that is not the program's any more is nobody's."""
        match verdict:
            case {
                "program": str(name), "pid": int(pid), "pid_start": int(start), "purpose": str(purpose), "ok": bool(ok),
                "reason": str(reason),
            }:  # fmt: skip
                run = self._run(name)
            case _:
                self.refused("a verdict of the probe server is incomplete")
                return
        if run is None or (run.pid, run.pid_start) != (pid, start):
            return
        kind = self._book.entries[name].program.ready.kind
        now = entries.now()
        shown = self.hide(name, reason)[:_REASON_LIMIT]
        match purpose:
            case "ready" if self._book.entries[name].program.ready.check is None:
                self.refused(f"a verdict on {name}, whose readiness is not checked from outside")
            case "ready" if ok:
                self.proven(name, f"{kind} check")
            case "ready":
                self._book.note(name, now, check_reason=shown)
            case "live":
                self._book.note(name, now, live_ok=ok, live_reason=shown, live_at=now.monotonic)

    def _run(self, name: str) -> entries.Run | None:
        entry = self._book.entries.get(name)
        return entry.run if entry is not None else None
