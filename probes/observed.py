"""All that this process knows at one moment, in one place: the event loop writes it, every answer reads it.

Rules
-----
* One thread: everything here runs in the event loop; the watchers' threads hand their findings over.
* Readiness is decided anew at every question and at every piece of news, never remembered: only the moment of its last
  change is.
* Once this boot is sealed it stays so for the life of the boot; a boot whose first seal came in this generation counts as
  sealed only when that seal was accepted.
"""

import collections
import dataclasses
from collections.abc import Callable

from contract import boot_record, clock, events, snapshot
from manifest import plan
from probes import feed, ledger_copy, liveness, readiness, seal_watch, waiting
from probes.checks import tally


@dataclasses.dataclass(frozen=True)
class Startup:
    """Whether this boot was ever sealed; ``sealed_at`` is RFC 3339 and ``generation`` the one in which we learnt it."""

    sealed: bool
    sealed_at: str = ""
    generation: int = 0


class Observed:
    """What is known, and what follows from it."""

    def __init__(
        self,
        boot: boot_record.BootRecord,
        loaded: plan.LoadedPlan,
        emitter: events.Emitter,
        now: Callable[[], float] = clock.monotonic,
    ) -> None:
        """Begin without any news; ``now`` is the monotonic clock."""
        self.boot = boot
        self.loaded = loaded
        self.copy = ledger_copy.LedgerCopy(boot.boot_id, boot.pid1_start, now(), clock.rfc3339())
        self.heartbeat = liveness.Heartbeat(now())
        self.seal = readiness.Verdict(False, seal_watch.NOT_JUDGED, clock.rfc3339())
        self.startup = Startup(False)
        self.room = waiting.WaitingRoom()
        self.transitions: collections.Counter[str] = collections.Counter(ready=0, unready=0)
        self.requests: collections.Counter[tuple[str, int]] = collections.Counter()
        self.checks = tally.Tally()
        self.on_ledger: Callable[[], None] = lambda: None
        self.on_gap: Callable[[], None] = lambda: None
        self._emitter = emitter
        self._now = now
        self._was_ready = False
        self._since = clock.rfc3339()

    @property
    def since(self) -> str:
        """When readiness last changed, RFC 3339."""
        return self._since

    def take_message(self, message: feed.Message) -> None:
        """Take what PID 1 told on the feed."""
        now, wall = self._now(), clock.rfc3339()
        self.heartbeat.hear(now)
        match message:
            case feed.Whole(ledger):
                known = self.copy.take(ledger, now, wall)
            case feed.Change(after, ledger):
                known = self.copy.apply(ledger, after, now, wall)
            case feed.Beat(revision):
                known = self.copy.confirm(revision, now, wall)
            case feed.Unknown():
                known = True
        if not known:
            self.on_gap()
        if known and not isinstance(message, feed.Beat):
            self.on_ledger()
        self.readiness()

    def take_reread(self, ledger: snapshot.Snapshot, asked: float) -> None:
        """Take the whole ledger that was asked for at the monotonic moment ``asked``."""
        if self.copy.take(ledger, asked, clock.rfc3339()):
            self.on_ledger()
        self.readiness()

    def take_verdict(self, verdict: readiness.Verdict) -> None:
        """Take a new verdict on the seal."""
        self.seal = verdict
        self.readiness()

    def reading(self) -> readiness.Reading:
        """Return PID 1's ledger as it stands now."""
        return self.copy.reading(self._now())

    def liveness(self) -> liveness.Liveness:
        """Decide whether this process is alive."""
        return self.heartbeat.judge(self._now())

    def readiness(self) -> readiness.Readiness:
        """Decide readiness now, and tell when it changed."""
        decided = readiness.judge(self.loaded.plan, self.boot.boot_id, self.reading(), self.seal)
        self._remember_startup()
        if decided.ready != self._was_ready:
            self._was_ready = decided.ready
            self._since = clock.rfc3339()
            self.transitions["ready" if decided.ready else "unready"] += 1
            self._emitter.emit(
                "ReadinessChanged",
                ready=decided.ready,
                reason=decided.reason,
                missing=[row.id for row in decided.missing],
            )
        return decided

    def _remember_startup(self) -> None:
        ledger = self.copy.ledger
        if self.startup.sealed or ledger is None:
            return
        if ledger.phase == snapshot.STOPPING:
            self.room.release()
        if ledger.boot_sealed_at is None:
            return
        sealed_before = ledger.seal is None or ledger.seal.at != ledger.boot_sealed_at
        accepted = self.seal.is_accepted and self.seal.generation == ledger.generation
        if sealed_before or accepted:
            self.startup = Startup(True, ledger.boot_sealed_at, ledger.generation)
            self.room.release()
