"""What operators may ask of the ledger, and starts that wait for what a program needs.

Rules
-----
* A start that was accepted stays wanted, also when its caller is gone; only a stop takes it back.
* A refusal says in the ledger's words why, and has a fault code that a stock ``supervisorctl`` can print.
"""

from collections.abc import Callable
from typing import Any, Protocol

from supervisor import states, xmlrpc

PENDING = "pending"
"""The obstacle that goes away by itself; every other one refuses a start."""


class Desk(Protocol):
    """What operators may ask of the ledger and have it want; ``bootseal_desk`` on supervisord's object."""

    def knows(self, name: str) -> bool:
        """Say whether the plan has the program ``name``."""

    def is_own(self, name: str) -> bool:
        """Say whether ``name`` is one of bootseal's own programs."""

    def rank(self, name: str) -> int:
        """Return how long the longest chain of dependencies before ``name`` is."""

    def obstacle(self, name: str) -> tuple[str, str] | None:
        """Return ``(kind, reason)`` of what stands against starting ``name``: "pending", "failed" or "stopped"; or None."""

    def want(self, name: str) -> None:
        """Start ``name`` as soon as nothing stands against it."""

    def unwant(self, name: str) -> None:
        """Keep ``name`` stopped."""

    def bound(self, name: str) -> list[str]:
        """Return who is bound to ``name``, directly or not, and runs or is wanted; dependants first."""

    def pause_bound(self, name: str) -> None:
        """``name`` stops because what it is bound to stops: it comes back with it."""

    def describe(self, name: str) -> str:
        """Return what the ledger says of ``name``, in a few words."""

    def is_stopping(self) -> bool:
        """Say whether the container or this generation stops."""

    def faults(self) -> Any:
        """Return where faults are reported: ``report(where, error)``."""


class Refused(xmlrpc.RPCError):  # type: ignore[misc]
    """A fault whose text is ours alone: supervisor's begin with the name of their code."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(code)
        self.text = plain(why)


def plain(text: str) -> str:
    """Return ``text`` as one line that XML and a terminal carry; programs have a say in it."""
    return "".join(one if one.isprintable() else "?" for one in " ".join(text.split()))


class Start:
    """One start that was asked for, and what became of it."""

    def __init__(self, desk: Desk, process: Any, is_standing: Callable[[], bool]) -> None:
        """``is_standing`` says whether nobody asked for a stop since."""
        self._desk = desk
        self._process = process
        self._name = process.config.name
        self._is_standing = is_standing
        self._spawned_before = process.laststart
        self._is_asked = False

    def ask(self) -> None:
        """Let PID 1 want it; raises Refused when it cannot become startable by itself."""
        self._refuse_hopeless()
        self._desk.want(self._name)
        self._is_asked = True

    def look(self) -> bool:
        """Say whether it runs, or ran and ended as it should; raises Refused when it will not."""
        state = self._process.get_state()
        if state == states.ProcessStates.RUNNING:
            return True
        if self._desk.is_stopping():
            raise Refused(xmlrpc.Faults.ABNORMAL_TERMINATION, "the container is stopping")
        if self._process.laststart != self._spawned_before:
            return self._look_at_run(state)
        if not self._is_standing():
            raise Refused(xmlrpc.Faults.ABNORMAL_TERMINATION, "was stopped before it could start")
        if not self._is_asked and state != states.ProcessStates.STOPPING:
            self.ask()
        elif self._is_asked:
            self._refuse_hopeless()
        return False

    def _look_at_run(self, state: int) -> bool:
        if state == states.ProcessStates.STARTING:
            return False
        if state == states.ProcessStates.EXITED and self._process.exitstatus in self._process.config.exitcodes:
            return True
        raise Refused(xmlrpc.Faults.ABNORMAL_TERMINATION, self._desk.describe(self._name))

    def _refuse_hopeless(self) -> None:
        obstacle = self._desk.obstacle(self._name)
        if obstacle is not None and obstacle[0] != PENDING:
            raise Refused(xmlrpc.Faults.SPAWN_ERROR, obstacle[1])
