"""Stops that follow one another by themselves.

Rules
-----
* What is bound to a program stops before it, and comes back with it; of ``all`` the highest rank stops first.
* A step begins in the very event in which the last program of the one before goes down: no caller has to keep asking, and
  nothing that is bound comes back while what it is bound to still runs.
* What an operator stops stays stopped, also what only waited to start.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from supervisor import states

from supervisord import waits

_SETTLED = frozenset(states.STOPPED_STATES)


class Descent:
    """Stops programs step by step; ``advance`` is called at every change of state."""

    def __init__(self, steps: Iterable[Sequence[Any]], comes_back: Iterable[str], bring: Callable[[str], None]) -> None:
        """``comes_back`` names those that ``bring`` is called for once the last step was asked to stop."""
        self._steps = [list(step) for step in steps if step]
        self._comes_back = list(comes_back)
        self._bring = bring
        self._is_advancing = False
        self.waited: list[Any] = []
        self.failures: dict[str, str] = {}
        self.is_done = False

    def forget(self, name: str) -> None:
        """``name`` was stopped for its own sake: it does not come back with the others."""
        if name in self._comes_back:
            self._comes_back.remove(name)

    def advance(self) -> None:
        """Begin every step whose turn it is. Stopping changes states, so this is called again from within: once is enough."""
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            self.waited = _unsettled(self.waited)
            while not self.waited and self._steps:
                self.waited = _unsettled(self._begin(self._steps.pop(0)))
            self.is_done = not self.waited and not self._steps
        finally:
            self._is_advancing = False

    def _begin(self, step: list[Any]) -> list[Any]:
        for process in step:
            if process.get_state() in states.RUNNING_STATES:
                problem = process.stop()
                if problem is not None:
                    self.failures[process.config.name] = problem
        if not self._steps:
            for name in self._comes_back:
                self._bring(name)
        return step


def _unsettled(processes: Iterable[Any]) -> list[Any]:
    return [process for process in processes if process.get_state() not in _SETTLED]


def by_rank(processes: Iterable[Any], rank: Callable[[str], int]) -> list[list[Any]]:
    """Return ``processes`` as steps of a stop: highest rank first, those of equal rank together."""
    steps: dict[int, list[Any]] = {}
    for process in processes:
        steps.setdefault(rank(process.config.name), []).append(process)
    return [steps[one] for one in sorted(steps, reverse=True)]


class Descents:
    """Every stop under way, and whom operators asked to start or to stop."""

    def __init__(self, supervisor: Any) -> None:
        self._supervisor = supervisor
        self._active: list[Descent] = []
        self._standing: dict[str, object] = {}
        self._stopped_after: dict[str, float] = {}

    def stand(self, program: str) -> Callable[[], bool]:
        """Note that a start of ``program`` was asked for; the answer says whether no stop came since."""
        token = self._standing.setdefault(program, object())
        return lambda: self._standing.get(program) is token

    def has_use(self, process: Any) -> bool:
        """Say whether stopping ``process`` changes anything: it runs, or may yet be started by PID 1."""
        name, state = process.config.name, process.get_state()
        if state == states.ProcessStates.EXITED:
            return process.config.autorestart is not False
        if state == states.ProcessStates.STOPPED:
            return self._stopped_after.get(name) != process.laststart or name in self._standing
        return state in states.RUNNING_STATES or state == states.ProcessStates.STOPPING

    def begin(self, desk: waits.Desk, processes: Iterable[Any]) -> Descent:
        """Stop ``processes`` for good, and before them what is bound to them.

        What is bound is unwanted until the last of them was asked to stop: were it to come back from the beginning, the
        first that is down would be started again while its neighbour still stops, for what both are bound to is ready
        until then.
        """
        members = list(processes)
        stopped = [process for process in members if self.has_use(process)]
        names = [process.config.name for process in stopped]
        followers = {one for name in names for one in desk.bound(name)} - {one.config.name for one in members}
        for process in members:
            self._note(desk, process)
        for name in followers:
            desk.unwant(name)
        bound = [one for one in map(self._process, sorted(followers)) if one is not None]

        def bring(name: str) -> None:
            desk.want(name)
            desk.pause_bound(name)  # the last one's end has not reached the ledger yet, which would forget the want

        descent = Descent(by_rank([*bound, *stopped], desk.rank), sorted(followers), bring)
        self._active.append(descent)
        self.advance()
        return descent

    def advance(self) -> None:
        """Go on with every stop; called at every change of a program's state."""
        for descent in list(self._active):
            descent.advance()
            if descent.is_done and descent in self._active:
                self._active.remove(descent)

    def _note(self, desk: waits.Desk, process: Any) -> None:
        name = process.config.name
        self._standing.pop(name, None)
        self._stopped_after[name] = process.laststart
        for other in self._active:
            other.forget(name)
        desk.unwant(name)

    def _process(self, program: str) -> Any:
        group = self._supervisor.process_groups.get(program)
        return None if group is None else group.processes.get(program)
