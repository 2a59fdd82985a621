"""Running the checks of the plan's programs against their processes in the ledger, and telling the verdicts.

Rules
-----
* A process is checked while the ledger shows it alive and the container is not stopping. Its end, or a new pid, ends its
  checks at once, and what was said of it is forgotten: no verdict is told of a process that is gone.
* A ready check runs until it passed once; while it fails, PID 1 learns each new reason. What the ledger shows as proven is
  not checked again.
* Live checks begin with readiness and go on as long as the process. Every outcome is told: it renews the standing verdict,
  so that a verdict that is not renewed means that nobody checks.
* A check is never run twice at a time, and one that has not ended at its timeout has failed: nobody hears its late answer.
* A fault of ours in a check is a failed check, and is logged once for each program.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from contract import clock, snapshot
from manifest import plan, serving
from probes.checks import connect, execute, http, outbox, schedule, slots, tally, verdict

_ALIVE = frozenset({"STARTING", "RUNNING"})

_FAILED_BEFORE = schedule.Streak(is_up=False, reason="it failed before this probe server began")

_QUICK_SECONDS = 1.0
"""A check that may take longer proves first that it does not."""

_log = logging.getLogger(__name__)


class Runner:
    """All checks; it belongs to the event loop."""

    def __init__(self, wanted: plan.Plan, box: outbox.Outbox, counted: tally.Tally) -> None:
        """Check the programs of ``wanted`` that have checks, and tell verdicts through ``box``."""
        self._programs = [program for program in wanted.programs if program.ready.check or program.live]
        self._box = box
        self._attempts = Attempts(counted)
        self._lives: dict[str, Life] = {}
        self._has_begun = False

    def take(self, ledger: snapshot.Snapshot | None) -> None:
        """Begin and end checks as ``ledger``, the newest, demands."""
        if ledger is None or not self._programs:
            return
        views = {view.name: view for view in ledger.programs} if ledger.phase != snapshot.STOPPING else {}
        for program in self._programs:
            self._follow(program, views.get(program.name))
        self._has_begun = True

    def stop(self) -> None:
        """End every check."""
        for name in list(self._lives):
            self._end(name)

    def _follow(self, program: plan.ProgramPlan, view: snapshot.ProgramView | None) -> None:
        process = _process(view)
        life = self._lives.get(program.name)
        if life is not None and life.process != process:
            self._end(program.name)
            life = None
        if view is None or process is None:
            return
        if life is None:
            life = self._lives[program.name] = Life(program, process, self._attempts, self._box)
        life.see(view.state, is_news=self._has_begun)

    def _end(self, name: str) -> None:
        self._lives.pop(name).end()
        self._box.forget(name)


def _process(view: snapshot.ProgramView | None) -> tuple[int, int] | None:
    """Return pid and start time of the living process that ``view`` shows, or None."""
    if view is None or view.pid is None or view.pid_start is None or view.supervisor_state not in _ALIVE:
        return None
    return view.pid, view.pid_start


class Life:
    """The checks of one process of one program."""

    def __init__(
        self, program: plan.ProgramPlan, process: tuple[int, int], attempts: "Attempts", box: outbox.Outbox
    ) -> None:
        self.process = process
        self._program = program
        self._attempts = attempts
        self._box = box
        self._readying: asyncio.Task[None] | None = None
        self._living: asyncio.Task[None] | None = None

    def see(self, state: str, *, is_news: bool) -> None:
        """Take the ledger's word on the process; ``is_news`` is false for what was so before we came."""
        if state == snapshot.PENDING:
            if self._program.ready.check is not None and self._readying is None and self._living is None:
                self._readying = _task(self._until_ready(self._program.ready.check))
            return
        if self._readying is not None:
            self._readying.cancel()
        if self._program.live is not None and self._living is None:
            wait = self._program.live.period_seconds if is_news else 0.0
            standing = schedule.Streak() if state != snapshot.FAILED else _FAILED_BEFORE
            self._living = _task(self._while_alive(self._program.live, standing, wait))

    def end(self) -> None:
        """End the checks."""
        for task in (self._readying, self._living):
            if task is not None:
                task.cancel()

    async def _until_ready(self, check: plan.CheckPlan) -> None:
        told, pause = None, None
        while True:
            outcome, _ = await self._attempts.make(self._program, verdict.READY, check)
            if outcome.ok or outcome.reason != told:
                self._tell(verdict.READY, outcome.ok, outcome.reason)
                told = outcome.reason
            if outcome.ok:
                return
            pause = schedule.pause_after(pause)
            await asyncio.sleep(pause)

    async def _while_alive(self, live: plan.LivePlan, streak: schedule.Streak, wait_seconds: float) -> None:
        while True:
            await asyncio.sleep(wait_seconds)
            outcome, started = await self._attempts.make(self._program, verdict.LIVE, live.check)
            streak = streak.after(live, outcome)
            self._tell(verdict.LIVE, streak.is_up, streak.reason)
            now = clock.monotonic()
            wait_seconds = schedule.next_start(started, live.period_seconds, now) - now

    def _tell(self, purpose: str, ok: bool, reason: str) -> None:
        self._box.tell(verdict.Verdict(self._program.name, *self.process, purpose, ok, reason))


class Attempts:
    """Single checks: each has its place, its deadline and its count."""

    def __init__(self, counted: tally.Tally) -> None:
        self._slots = slots.Slots()
        self._tally = counted
        self._slow: set[tuple[str, str]] = set()
        self._known: set[tuple[str, str]] = set()
        self._faulty: set[str] = set()

    async def make(
        self, subject: plan.ProgramPlan | serving.ConditionPlan, purpose: str, check: plan.CheckPlan
    ) -> tuple[verdict.Outcome, float]:
        """Check once, for ``subject``; return the outcome and the monotonic moment at which it began."""
        key = (subject.name, purpose)
        is_unknown = key not in self._known and check.timeout_seconds > _QUICK_SECONDS
        async with self._slots.take(is_slow=is_unknown or key in self._slow):
            self._slow.discard(key)
            self._known.add(key)
            started = clock.monotonic()
            try:
                async with asyncio.timeout(check.timeout_seconds):
                    outcome = await _KINDS[check.kind](check, subject)
            except TimeoutError:
                self._slow.add(key)
                outcome = verdict.failed(f"no answer within {check.timeout_seconds:g} s")
            except Exception as error:
                if subject.name not in self._faulty:
                    self._faulty.add(subject.name)
                    _log.exception("the %s check of %s broke", check.kind, subject.name)
                outcome = verdict.failed(f"it could not be run: {type(error).__name__}")
            self._tally.note(*key, clock.monotonic() - started, ok=outcome.ok)
        return outcome, started


_Kind = Callable[[plan.CheckPlan, Any], Coroutine[None, None, verdict.Outcome]]
"""Takes the check and whom it is for; only exec, which no condition is, asks for more of that than its name."""

_KINDS: dict[str, _Kind] = {
    plan.HTTP: lambda check, _: http.check(check),
    plan.TCP: lambda check, _: connect.tcp(check),
    plan.UNIX: lambda check, _: connect.unix(check),
    plan.EXEC: execute.check,
}


def _task(work: Coroutine[None, None, None]) -> asyncio.Task[None]:
    """Run ``work``; whoever calls keeps it."""
    return asyncio.get_running_loop().create_task(work)
