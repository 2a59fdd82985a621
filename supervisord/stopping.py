"""How everything stops: unready first, then the drain, then rank after rank, and never longer than the budget.

supervisor 4.3.0 stops one group after another and waits for each (``ordered_stop_groups_phase_1`` and ``_2``), so that the sum
of all timeouts is the time a stop may take. The two methods are ours here.

Rules
-----
* Nothing is asked to stop before the probe server has taken in that the container stops, so that nobody reads "ready" of a
  container whose programs are going; a probe server that does not say so within 0.1 s is not waited for.
* Our own seal and Stage B, and what is in nobody's rank, stop with the highest rank; the probe server stops last.
* Programs of equal rank stop together; a lower rank begins when the higher one is down, or could not be killed within a
  second. Without the speed-up ``stop`` the programs of a rank stop one after another.
* A program that left its process group is signalled all the same.
* A second stop signal shortens every wait that is left to SIGKILL.
* When the budget is spent supervisord ends whatever is left: as PID 1 it takes the rest with it.
"""

import contextlib
import os
import signal
from collections.abc import Callable, Iterable
from typing import Any

from supervisor import states
from supervisor.medusa import asyncore_25 as asyncore

from contract import clock, exit_codes
from manifest import budget, plan
from supervisord import generation, guard, steady_clock

_READER_SECONDS = 0.1
_STOPPABLE = frozenset({states.ProcessStates.RUNNING, states.ProcessStates.STARTING})


def _one_by_one(the_plan: plan.Plan) -> float:
    """Return the longest that a stop may take when programs of equal rank do not stop together."""
    each = sum(program.stop_timeout_seconds + budget.DYING_SECONDS for program in the_plan.programs)
    return the_plan.stop.drain_seconds + each


def ranks(programs: Iterable[plan.ProgramPlan]) -> list[frozenset[str]]:
    """Return the names that stop together, in the order in which they stop."""
    by_rank: dict[int, set[str]] = {}
    own: set[str] = set()
    last: set[str] = set()
    for program in programs:
        if program.role == "program":
            by_rank.setdefault(program.rank, set()).add(program.name)
        else:
            (last if program.role == "probes" else own).add(program.name)
    ordered = [by_rank[rank] for rank in sorted(by_rank, reverse=True)] or [set()]
    ordered[0] |= own
    return [frozenset(names) for names in (*ordered, last)]


def kill_group(pid: int, number: int, send: Callable[[int, int], None] = os.kill) -> None:
    """Send ``number`` to the process group of our child ``pid``, and to ``pid`` itself where that has left the group.

    A process may join every group of its session (setpgid(2)), a neighbour's too: a signal to the group alone would never
    reach it again. Raises OSError when there is nobody.
    """
    has_left = _has_left_its_group(pid)
    try:
        send(-pid, number)
    except ProcessLookupError:
        if not has_left:
            raise
    if has_left:
        send(pid, number)


def _has_left_its_group(pid: int) -> bool:
    try:
        return os.getpgid(pid) != pid
    except ProcessLookupError:
        return False


class Stopping:
    """One generation's stop; nothing happens before supervisord's mood says so."""

    def __init__(self, supervisor: Any, the_plan: plan.Plan, faults: guard.Faults, *, together: bool) -> None:
        """``together``: the programs of a rank stop at the same time."""
        self._supervisor = supervisor
        self._ranks = ranks(the_plan.programs)
        self._drain = the_plan.stop.drain_seconds
        self._budget = the_plan.stop.budget_seconds if together else _one_by_one(the_plan)
        self._together = together
        self._drained_at: float | None = None
        self._ends_at: float | None = None
        self._reader_until = 0.0
        self._killed_at: dict[int, float] = {}
        self._requests = 0
        self._faults = faults
        self._is_broken = False

    def install(self) -> None:
        """Take supervisor's two phases over, and its signals to groups.

        Each SIGKILL is seen: supervisor waits another whole timeout after it.
        """
        options = self._supervisor.options
        original = options.kill

        def kill(pid: int, number: int) -> None:
            if number == signal.SIGKILL and self._ends_at is not None:  # those before a stop would only add up
                self._killed_at.setdefault(abs(pid), clock.monotonic())
            if pid < 0:
                kill_group(-pid, number, original)
            else:
                original(pid, number)

        options.kill = kill
        for name, ours in (
            ("ordered_stop_groups_phase_1", self.phase_1),
            ("ordered_stop_groups_phase_2", self.phase_2),
        ):
            setattr(self._supervisor, name, self._guarded(getattr(self._supervisor, name), ours))

    def _guarded(self, original: Callable[[], None], ours: Callable[[], None]) -> Callable[[], None]:
        """Return ``ours``; when it breaks, supervisor's own ``original`` takes over: slower, and nothing is left running."""

        def phase() -> None:
            if not self._is_broken:
                try:
                    ours()
                except asyncore.ExitNow:
                    raise
                except Exception as error:
                    self._is_broken = True
                    self._faults.report("stopping", error)
            if self._is_broken:
                original()

        return phase

    @property
    def is_hurried(self) -> bool:
        """Whether a second stop signal came."""
        return self._requests > 1

    def note_signal(self) -> None:
        """A stop signal was taken; the second one shortens every wait."""
        self._requests += 1
        if self._requests == 2:
            self._drained_at = self._reader_until = 0.0

    def wait_for_reader(self) -> None:
        """Let nothing stop before the probe server has seen it, or its time is up."""
        self._reader_until = clock.monotonic() + _READER_SECONDS

    def stop_waiting(self) -> None:
        """The probe server has seen it."""
        self._reader_until = 0.0

    def next_due(self) -> float | None:
        """Return the next monotonic moment at which the stop goes on by time alone, or None."""
        now = clock.monotonic()
        moments = (
            self._reader_until,
            self._drained_at,
            self._ends_at,
            *(at + budget.DYING_SECONDS for at in self._killed_at.values()),
        )
        return min((at for at in moments if at is not None and at > now), default=None)

    def phase_1(self) -> None:
        """Once a turn, before supervisord waits: ask the programs whose turn it is to stop."""
        now = clock.monotonic()
        if self._ends_at is None:
            self._killed_at.clear()  # a pid may come again
            is_reload = self._supervisor.options.mood == states.SupervisorStates.RESTARTING
            drain = 0.0 if is_reload or self.is_hurried else self._drain
            self._drained_at, self._ends_at = now + drain, now + drain - self._drain + self._budget
            for member in self._unstopped():  # what an operator's stop was granted does not lengthen this one
                member.delay = min(member.delay, steady_clock.CLOCK.time() + member.config.stopwaitsecs)
        if now < self._reader_until or (self._drained_at is not None and now < self._drained_at):
            return
        for member in self._due_members(now):
            if member.state in _STOPPABLE:
                member.stop()
            elif member.state == states.ProcessStates.BACKOFF:
                member.give_up()
            is_waited_for = member.state == states.ProcessStates.STOPPING and member.pid not in self._killed_at
            if self.is_hurried and is_waited_for:
                member.delay = 0

    def phase_2(self) -> None:
        """Once a turn, at its end: end supervisord when nothing but the unkillable is left, or the budget is spent."""
        now = clock.monotonic()
        if self._ends_at is None or self._drained_at is None or now < self._drained_at:
            return
        if now >= self._ends_at or (not self._due_members(now) and self._unstopped()):
            self._leave()

    def _leave(self) -> None:
        names = ", ".join(member.config.name for member in self._unstopped())
        if names:
            words = f"could not be stopped in time: {names}"
            self._supervisor.options.logger.critical(words)
            for member in self._unstopped():
                if member.pid:
                    with contextlib.suppress(OSError):
                        kill_group(member.pid, signal.SIGKILL)
            if self._supervisor.options.mood == states.SupervisorStates.RESTARTING:
                # A generation beside the rest of the last one would be two of each: the container ends instead.
                self._supervisor.options.mood = states.SupervisorStates.SHUTDOWN
                generation.BOOT.exit_code = exit_codes.INFRASTRUCTURE_FAILURE
        raise asyncore.ExitNow

    def _due_members(self, now: float) -> list[Any]:
        """Return the members of the rank whose turn it is."""
        waiting = {
            member.config.name: member
            for member in self._unstopped()
            if now < self._killed_at.get(member.pid, now) + budget.DYING_SECONDS
        }
        known = frozenset[str]().union(*self._ranks)
        strangers = [member for name, member in waiting.items() if name not in known]
        for index, names in enumerate(self._ranks):
            due = [waiting[name] for name in sorted(names) if name in waiting]
            due += strangers if index == 0 else []
            if due:
                return due if self._together else due[:1]
        return []

    def _unstopped(self) -> list[Any]:
        return [
            member for group in self._supervisor.process_groups.values() for member in group.get_unstopped_processes()
        ]
