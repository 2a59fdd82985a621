"""Telling: the ledger to who asks, its changes to subscribers, and what people must know as events."""

import json

from contract import clock, events, snapshot
from manifest import plan
from supervisord import entries, feed, output, readiness_book, sealing

_BEAT_SECONDS = 0.9
_TOLD_LIMIT, _TOLD_WITHIN_SECONDS = 20, 60.0
_BOOTING_PAUSE_SECONDS = 0.02
"""While booting nobody can be ready, so changes may gather this long: a hundred starts are a few messages. That nobody is
waited for any more is told at once: the seal program waits for it."""


class Telling:
    """Everything that one generation says about its ledger."""

    def __init__(
        self,
        the_plan: plan.Plan,
        book: readiness_book.Book,
        the_sealing: sealing.Sealing,
        emitter: events.Emitter,
        channels: tuple[output.Channel, output.Channel],
    ) -> None:
        """``channels`` are PID 1's stdout and stderr."""
        self._plan = the_plan
        self._book = book
        self._sealing = the_sealing
        self._emitter = emitter
        self._channels = channels
        self._told_dropped = tuple(channel.dropped for channel in channels)
        self._told: dict[str, list[float]] = {}
        self._told_withheld: set[str] = set()
        self._sent_revision = -1
        self._last_beat = 0.0
        self._last_change = 0.0

    def snapshot_text(self) -> str:
        """Return the ledger as JSON text; made anew only after a change."""
        return self._book.text(self._sealing.snapshot)

    def summary_text(self) -> str:
        """Return the ledger's summary as JSON text."""
        unknown = sum(program.name not in self._book.entries for program in self._plan.required_programs)
        waiting, troubled = self._book.waiting(unknown)
        state = self._sealing.snapshot(self._book.revision, ())
        summary = snapshot.Summary(state.boot_id, state.generation, state.revision, state.phase, waiting, troubled)
        return json.dumps(vars(summary))

    def whole_line(self) -> bytes:
        """Return the feed's line that holds the whole ledger."""
        return b'{"type": "snapshot", "snapshot": ' + self.snapshot_text().encode() + b"}\n"

    def publish(self, subscribers: feed.Feed) -> None:
        """Tell ``subscribers`` what changed, and that PID 1 lives once a second."""
        now = clock.monotonic()
        revision = self._book.revision
        if revision != self._sent_revision:
            due = self.next_due()
            if due is not None and now < due:
                return
            line = self._change_line(revision, self._book.take_unsent())
            self._sent_revision, self._last_change = revision, now
        elif now - self._last_beat >= _BEAT_SECONDS:
            line = f'{{"type": "beat", "revision": {revision}}}\n'.encode()
        else:
            return
        self._last_beat = now
        subscribers.broadcast(line)

    def next_due(self) -> float | None:
        """Return the monotonic moment at which changes that gathered while booting must be told, or None."""
        if self._sealing.is_booting and self._book.revision != self._sent_revision:
            return self._last_change + (_BOOTING_PAUSE_SECONDS if self._book.is_waiting() else 0.0)
        return None

    def _change_line(self, revision: int, changed: tuple[snapshot.ProgramView, ...] | None) -> bytes:
        if changed is None:
            return self.whole_line()
        change = snapshot.dump(self._sealing.snapshot(revision, changed))
        return f'{{"type": "change", "after": {self._sent_revision}, "snapshot": {change}}}\n'.encode()

    def report_changes(self) -> bool:
        """Emit each readiness and failure since the last call; say whether anything changed."""
        changes = self._book.take_changes()
        for entry in changes:
            name = entry.program.name
            if entry.withheld:
                self._tell_withheld(entry)
                continue
            if not self._may_tell(name):
                continue
            if entry.state == snapshot.READY:
                self._emitter.emit("ProgramReady", program=name, ready_by=entry.ready_by, pid=entry.pid)
            elif entry.state == snapshot.FAILED:
                last = self._book.last_lines(name)
                self._emitter.emit("ProgramFailed", program=name, reason=entry.reason, last_output=last)
        return bool(changes)

    def _tell_withheld(self, entry: entries.Entry) -> None:
        """Say, once a generation, which artifacts a program lacks: it may be removed and come again."""
        name = entry.program.name
        if name not in self._told_withheld:
            self._told_withheld.add(name)
            for lack in entry.withheld:
                self._emitter.emit("ProgramWithheld", program=name, artifact=lack.artifact, reason=lack.why)

    def _may_tell(self, name: str) -> bool:
        """Say whether another change of ``name`` is told: one that changes all the time would push the boot out of the log."""
        now = clock.monotonic()
        told = [at for at in self._told.get(name, ()) if now - at < _TOLD_WITHIN_SECONDS]
        self._told[name] = [*told, now][-_TOLD_LIMIT - 1 :]
        if len(told) == _TOLD_LIMIT:
            self._emitter.emit(
                "ProgramFlapping", program=name, changes=_TOLD_LIMIT, within_seconds=_TOLD_WITHIN_SECONDS
            )
        return len(told) < _TOLD_LIMIT

    def report_dropped(self) -> None:
        """Say how much output nobody read, once somebody reads again; where a reader is gone for good nobody is told."""
        if any(channel.writable() or channel.is_broken for channel in self._channels):
            return
        dropped = tuple(channel.dropped for channel in self._channels)
        if dropped != self._told_dropped:
            self._emitter.emit("OutputDropped", stdout=dropped[0], stderr=dropped[1])
            self._told_dropped = tuple(channel.dropped for channel in self._channels)
