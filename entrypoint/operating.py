"""Starting, stopping and restarting programs through supervisor's RPC, and waiting for what follows.

Rules
-----
* What may be done is PID 1's to say (``supervisord.operators``): a refusal is told in its words.
* A start is done when the program is ready, a stop when it is down, with what is bound to it. A start that was accepted stays
  wanted, also when nobody waits any more.
* Several programs are asked for one after the other, in the order given; one that is refused keeps no other from its turn.
"""

import dataclasses
import time
from collections.abc import Callable

from contract import clock, errors, snapshot
from entrypoint import asking, causes, presenting
from supervisord import client

ALREADY_STARTED, NOT_RUNNING, BAD_NAME = 60, 70, 10
"""supervisor's fault codes (supervisor.xmlrpc.Faults)."""

_ASK_SECONDS = 5.0
_PAUSE_SECONDS = 0.1
_DOWN = frozenset({"STOPPED", "EXITED", "FATAL"})


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of one program; ``what`` is one line about it."""

    name: str
    done: bool
    what: str


class Controls:
    """The programs of one container, by its supervisord."""

    def __init__(self, socket_path: str, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client.Client(socket_path)
        self._sleep = sleep

    def snapshot(self) -> snapshot.Snapshot:
        """Return the ledger; raises NotThere."""
        try:
            return self._client.snapshot(timeout_seconds=_ASK_SECONDS)
        except client.Refused as error:
            raise errors.BootsealError(
                "supervisord", f"it answers no more: {error.why}", "is it shutting down?"
            ) from error
        except client.Unreachable as error:
            raise asking.NotThere(error.what, error.why, error.remedy) from error

    def check(self, names: tuple[str, ...]) -> None:
        """Raise BootsealError naming the first of ``names`` that the container does not have; NotThere when it cannot be asked."""
        known = [view.name for view in self.snapshot().programs]
        for name in names:
            if name not in known:
                what = f"program {presenting.plain(name)}"
                raise errors.BootsealError(
                    what, "this container has none of that name", presenting.nearest(name, known)
                )

    def stop(self, name: str, timeout_seconds: float, *, wait: bool) -> Outcome:
        """Stop ``name``, and what is bound to it before it."""
        refusal = self._ask("supervisor.stopProcess", name, wait=wait, seconds=timeout_seconds)
        if refusal is None:
            return Outcome(name, True, "stopped" if wait else "is being stopped")
        if refusal.code == NOT_RUNNING:
            return Outcome(name, True, "was not running")
        return Outcome(name, False, refusal.why)

    def start(self, name: str, timeout_seconds: float, *, wait: bool) -> Outcome:
        """Start ``name`` once what it needs is ready, and wait until it is ready itself."""
        end = clock.monotonic() + timeout_seconds
        refusal = self._ask("supervisor.startProcess", name, wait=wait, seconds=timeout_seconds)
        if refusal is not None and refusal.code != ALREADY_STARTED:
            return Outcome(name, False, refusal.why)
        if not wait:
            return Outcome(name, True, "runs already" if refusal else "is being started")
        return self._until_ready(name, end, timeout_seconds, "is ready already" if refusal else "is ready")

    def restart(self, name: str, timeout_seconds: float, *, wait: bool) -> Outcome:
        """Stop ``name`` and start it again; without ``wait`` only the stop is waited for."""
        end = clock.monotonic() + timeout_seconds
        stopped = self.stop(name, timeout_seconds, wait=True)
        if not stopped.done:
            return stopped
        started = self.start(name, max(0.0, end - clock.monotonic()), wait=wait)
        return dataclasses.replace(started, what=started.what.replace("is ready", "was restarted, and is ready"))

    def _until_ready(self, name: str, end: float, seconds: float, words: str) -> Outcome:
        while True:
            ledger = self.snapshot()
            view = ledger.program(name)
            if view is None:
                return Outcome(name, False, "was removed")
            if view.state == snapshot.READY:
                return Outcome(name, True, f"{words} by {view.ready_by}")
            reason = view.reason or f"is {view.state}"
            if view.final or ledger.phase == snapshot.STOPPING:
                return Outcome(name, False, reason)
            if view.supervisor_state in _DOWN and view.reason.startswith("was stopped"):
                return Outcome(name, False, reason)
            if clock.monotonic() >= end:
                return Outcome(name, False, f"is not ready within {seconds:g} s: {causes.clause(view)}")
            self._sleep(_PAUSE_SECONDS)

    def _ask(self, method: str, name: str, *, wait: bool, seconds: float) -> client.Refused | None:
        """Call ``method``; return the refusal, or one of ours when the time is over, or None. Raises NotThere."""
        allowed = max(seconds, _PAUSE_SECONDS) if wait else _ASK_SECONDS
        try:
            self._client.call(method, name, wait, timeout_seconds=allowed)
        except client.Refused as refusal:
            return refusal
        except client.Unreachable as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise asking.NotThere(error.what, error.why, error.remedy) from error
            view = self.snapshot().program(name)  # raises when it is supervisord that does not answer
            state = f": {causes.clause(view)}" if view and view.reason else ""
            return client.Refused(method, f"is not done within {allowed:g} s{state}; it is still asked for", 0)
        return None
