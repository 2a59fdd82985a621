"""Starting, stopping and restarting programs through supervisor's RPC, and waiting for what follows.

Rules
-----
* What may be done is PID 1's to say (``supervisord.operators``): a refusal is told in its words.
* A start is done when the program is ready, a stop when it is down, with what is bound to it. A start that was accepted stays
  wanted, also when nobody waits any more: a first try that failed is not its end while PID 1 tries again.
* Several programs are asked for one after the other, in the order given; one that is refused keeps no other from its turn.
* bootseal's own programs are not stopped unless that is insisted on: without them the container is never ready.
"""

import dataclasses
import time
from collections.abc import Callable

from contract import clock, errors, reasons, rundir, snapshot
from entrypoint import asking, causes, unknown
from supervisord import client

ALREADY_STARTED, NOT_RUNNING, ABNORMAL_TERMINATION = 60, 70, 40
"""supervisor's fault codes (supervisor.xmlrpc.Faults)."""

_ASK_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_STOPPED = "STOPPED"
_LOST = {
    "probes": "without it nobody answers whether the container is ready",
    "stage-b": "without it the container is never ready",
    "seal": "without it the container is never sealed",
}
"""What a container loses with each role of bootseal's own programs."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one program; ``what`` is one line about it."""

    name: str
    done: bool
    what: str


class _Deadline:
    """The moment by which something is to be done, and how long that was when it was asked for: so it is told."""

    def __init__(self, seconds: float) -> None:
        self.asked = seconds
        self.end = clock.monotonic() + seconds

    @property
    def left(self) -> float:
        return max(0.0, self.end - clock.monotonic())


class Controls:
    """The programs of one container, by its supervisord."""

    def __init__(self, run: rundir.RunDirectory, sleep: Callable[[float], None] = time.sleep) -> None:
        self._run = run
        self._client = client.Client(run.supervisor_socket)
        self._sleep = sleep

    def check(self, names: tuple[str, ...], timeout_seconds: float, *, spare_own: bool = False) -> None:
        """Raise Unknown naming the first of ``names`` that the container does not have; NotThere when it cannot be asked.

        With ``spare_own`` raises BootsealError for the first that is one of bootseal's own programs.
        """
        views = {view.name: view for view in self._snapshot(_Deadline(timeout_seconds)).programs}
        unknown.check(unknown.PROGRAM, names, views)
        for view in [views[name] for name in names if spare_own and views[name].role != "program"]:
            why = f"it is bootseal's own: {_LOST.get(view.role, 'the container needs it')}"
            raise errors.BootsealError(f"program {view.name}", why, "restart it, or insist with --force")

    def stop(self, name: str, timeout_seconds: float, *, wait: bool) -> Outcome:
        """Stop ``name``, and what is bound to it before it."""
        return self._stop(name, _Deadline(timeout_seconds), wait=wait)

    def start(self, name: str, timeout_seconds: float, *, wait: bool) -> Outcome:
        """Start ``name`` once what it needs is there."""
        return self._start(name, _Deadline(timeout_seconds), wait=wait)

    def restart(self, name: str, timeout_seconds: float, *, wait: bool) -> Outcome:
        """Stop ``name`` and start it again; without ``wait`` only the stop is waited for."""
        by = _Deadline(timeout_seconds)
        stopped = self._stop(name, by, wait=True)
        if not stopped.done:
            return stopped
        started = self._start(name, by, wait=wait)
        return dataclasses.replace(started, what=started.what.replace("is ready", "was restarted, and is ready"))

    def _stop(self, name: str, by: _Deadline, *, wait: bool) -> Outcome:
        try:
            self._client.call(
                "supervisor.stopProcess", name, wait, timeout_seconds=_patience(by) if wait else _ASK_SECONDS
            )
        except client.Refused as refusal:
            if refusal.code == NOT_RUNNING:
                return Outcome(name, True, "was not running")
            return Outcome(name, False, refusal.why)
        except client.Unreachable as error:
            if not wait or not isinstance(error.__cause__, TimeoutError):
                raise asking.not_there(error) from error
            view = self._snapshot(by).program(name)  # raises when it is supervisord that does not answer
            state = f": {causes.clause(view)}" if view and view.reason else ""
            return Outcome(name, False, f"is not done within {by.asked:g} s{state}; it is still asked for")
        return Outcome(name, True, "stopped" if wait else "is being stopped")

    def _start(self, name: str, by: _Deadline, *, wait: bool) -> Outcome:
        refusal = self._ask_start(name)
        while refusal is not None and refusal.code == ABNORMAL_TERMINATION and wait and by.left:
            self._sleep(_PAUSE_SECONDS)  # it is being stopped: that is the one thing for which it cannot be wanted yet
            refusal = self._ask_start(name)
        if refusal is not None and refusal.code != ALREADY_STARTED:
            return Outcome(name, False, refusal.why)
        if not wait:
            return Outcome(name, True, "runs already" if refusal else "is being started")
        return self._until_ready(name, by, "is ready already" if refusal else "is ready")

    def _ask_start(self, name: str) -> client.Refused | None:
        """Let PID 1 want ``name``; return its refusal. Raises NotThere."""
        try:
            self._client.call("supervisor.startProcess", name, False, timeout_seconds=_ASK_SECONDS)
        except client.Refused as refusal:
            return refusal
        except client.Unreachable as error:
            raise asking.not_there(error) from error
        return None

    def _until_ready(self, name: str, by: _Deadline, words: str) -> Outcome:
        while True:
            ledger = self._snapshot(by)
            view = ledger.program(name)
            if view is None:
                return Outcome(name, False, "was removed")
            if view.state == snapshot.READY:
                return Outcome(name, True, f"{words} by {view.ready_by}")
            is_stopped = view.supervisor_state == _STOPPED and view.reason == reasons.STOPPED
            if view.final or ledger.phase == snapshot.STOPPING or is_stopped:
                return Outcome(name, False, view.reason or f"is {view.state}")
            if not by.left:
                return Outcome(name, False, f"is not ready within {by.asked:g} s: {causes.clause(view)}")
            self._sleep(_PAUSE_SECONDS)

    def _snapshot(self, by: _Deadline) -> snapshot.Snapshot:
        return asking.ledger(self._run, asking.allowed(by.end, _ASK_SECONDS))


def _patience(by: _Deadline) -> float:
    """Return how long a call may take that PID 1 answers when all is done."""
    return max(by.left, _PAUSE_SECONDS)
