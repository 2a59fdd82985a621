"""All that this process knows at one moment, in one place: the event loop writes it, every answer reads it.

Rules
-----
* One thread: everything here runs in the event loop; the watchers' threads hand their findings over.
* Readiness is decided anew at every question and at every piece of news, never remembered: only the moment of its last
  change is, and since when nothing was missing, where it must settle.
* What time alone has changed is noticed before any news is taken: news never hides an outage.
* A boot that was sealed before this process learnt of it had its first readiness: what we see first comes after an outage.
* Once this boot is sealed it stays so for the life of the boot; a boot whose first seal came in this generation counts as
  sealed only when that seal was accepted.
"""

import collections
import dataclasses
import time
from collections.abc import Callable

from contract import boot_record, clock, events, snapshot
from manifest import plan
from probes import feed, ledger_copy, liveness, readiness, traffic, waiting
from probes.checks import tally, verdict
from probes.requirements import board, settling


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
        self.heartbeat = liveness.Heartbeat(now(), loaded.plan.probes.liveness_deadline_seconds)
        self._seal = self._seal_now = readiness.not_judged(clock.rfc3339())
        self._seal_looked = now()
        self.startup = Startup(False)
        self.room = waiting.WaitingRoom()
        self.transitions: collections.Counter[str] = collections.Counter(ready=0, unready=0)
        self.traffic = traffic.Traffic()
        self.checks = tally.Tally()
        self.on_ledger: Callable[[], None] = lambda: None
        self.on_gap: Callable[[], None] = lambda: None
        self._emitter = emitter
        self._now = now
        self._judge = readiness.Judge(loaded.plan, boot.boot_id)
        self._board = board.Board(board.of(loaded.plan.readiness), now(), self._wall)
        self._settled = settling.Settled(loaded.plan.readiness.settle_seconds, self._wall)
        self._named: tuple[board.Row, ...] | None = None
        self._names: list[str] = []
        self._was_live = True
        self._was_ready = False
        self._since = clock.rfc3339()

    def now(self) -> float:
        """Return the monotonic moment that this is."""
        return self._now()

    @property
    def since(self) -> str:
        """When readiness last changed, RFC 3339."""
        return self._since

    def take_message(self, message: feed.Message) -> None:
        """Take what PID 1 told on the feed."""
        self.readiness()
        now, wall = self._now(), clock.rfc3339()
        self.heartbeat.hear(now)
        was_told = self.copy.ledger is not None
        match message:
            case feed.Whole(ledger):
                known = self.copy.take(ledger, now, wall)
            case feed.Change(after, ledger):
                known = self.copy.apply(ledger, after, now, wall)
            case feed.Beat(revision):
                known = self.copy.confirm(revision, now, wall)
            case feed.Unknown():
                known = True
        self._begin_settled(was_told=was_told)
        if not known:
            self.on_gap()
        if known and not isinstance(message, feed.Beat):
            self.on_ledger()
        self.readiness()

    def take_reread(self, ledger: snapshot.Snapshot, asked: float) -> None:
        """Take the whole ledger that was asked for at the monotonic moment ``asked``."""
        self.readiness()
        was_told = self.copy.ledger is not None
        if self.copy.take(ledger, asked, clock.rfc3339()):
            self._begin_settled(was_told=was_told)
            self.on_ledger()
        self.readiness()

    @property
    def seal(self) -> readiness.Verdict:
        """The verdict on the seal as it stands now; the same object while nothing changes."""
        until = self._seal_looked + readiness.SEAL_STALE_AFTER_SECONDS
        if self._seal.is_judged and self._seal_now is self._seal and self._now() > until:
            why = f"no look at the seal that began after {self._wall(self._seal_looked)} has ended"
            since = self._wall(until) if self._seal.is_accepted else self._seal.since
            reason = f"{self._seal.reason}; {why}" if self._seal.reason else why
            self._seal_now = readiness.not_judged(since, reason)
        return self._seal_now

    def take_verdict(self, verdict: readiness.Verdict, began: float) -> None:
        """Take the verdict on the seal of a look that began at the monotonic moment ``began``."""
        self.readiness()
        self._seal = self._seal_now = verdict
        self._seal_looked = began
        self.readiness()

    def require(self, requirement: board.Requirement) -> None:
        """Require ``requirement`` beside what the plan says."""
        self._board.add(requirement, self._now())
        self.readiness()

    def take_requirement(self, kind: str, name: str, found: verdict.Outcome, began: float) -> None:
        """Take what a look at the requirement ``name`` of ``kind`` found that began at the monotonic moment ``began``."""
        self.readiness()
        self._board.take(kind, name, found, began, self._now())
        self.readiness()

    def requirements(self) -> tuple[board.Row, ...]:
        """Return every mount, check and the identity as they stand now; the same tuple while nothing changes."""
        return self._board.rows(self._now())

    def required_names(self) -> list[str]:
        """Return what readiness needs: the required programs in start order, then the rows of ``requirements`` by label."""
        rows = self.requirements()
        if rows is not self._named:
            programs = (program.name for program in self.loaded.plan.required_programs)
            self._names = [*programs, *(row.label for row in rows if row.required)]
            self._named = rows
        return self._names

    def age_seconds(self, row: board.Row) -> float | None:
        """Return how old is what ``row`` of ``requirements`` says; None before the first look."""
        return self._board.age_seconds(row, self._now())

    def reading(self) -> readiness.Reading:
        """Return PID 1's ledger as it stands now."""
        return self.copy.reading(self._now())

    def liveness(self) -> liveness.Liveness:
        """Decide whether this container turns, and tell when it changed."""
        decided = self.heartbeat.judge(self._now())
        if decided.live != self._was_live:
            self._was_live = decided.live
            self._emitter.emit(
                "LivenessChanged",
                live=decided.live,
                reason=decided.reason,
                heartbeat_age_seconds=round(decided.heartbeat_age_seconds, 3),
            )
        return decided

    def readiness(self) -> readiness.Readiness:
        """Decide readiness now, and tell when it changed."""
        now = self._now()
        whole = self._judge.judge(self.copy.reading(now), self.seal, self._board.rows(now))
        decided = self._settled.judge(whole, now)
        self._remember_startup()
        if decided.ready != self._was_ready:
            self._was_ready = decided.ready
            self._since = clock.rfc3339()
            self.transitions["ready" if decided.ready else "unready"] += 1
            self._emitter.emit(
                "ReadinessChanged",
                ready=decided.ready,
                reason=decided.reason,
                missing=[row.label for row in decided.missing],
            )
        return decided

    def _begin_settled(self, *, was_told: bool) -> None:
        """Note, at the first ledger, whether the boot's first readiness was before our time."""
        ledger = self.copy.ledger
        if not was_told and ledger is not None and ledger.boot_sealed_at is not None:
            self._settled.begin_late()

    def _wall(self, moment: float) -> str:
        """Return the monotonic ``moment`` in RFC 3339."""
        return clock.rfc3339(time.time() - (self._now() - moment))

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
