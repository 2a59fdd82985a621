"""The gate: a program is held back on its process object until what it needs is ready.

supervisor's loop asks every process to make its next transition. A gated process whose obstacle remains is simply not
asked, so its configuration stays as it was and ``supervisorctl update`` sees no difference.

Rules
-----
* Only a program that was never started is held. A crashed seal program waits for its pause to end.
* A FATAL probe server is tried again once the generation is sealed or held: a container without probes is blind. Before the
  seal FATAL ends the boot.
* A fault of ours holds the program: nothing starts because we failed to look.
"""

from collections.abc import Callable
from typing import Any

from supervisor import states

from contract import clock
from manifest import plan
from supervisord import guard, readiness_book, sealing

_REVIVE_SECONDS = 5.0


class Gate:
    """Decides for every process whether supervisor may move it on."""

    def __init__(self, book: readiness_book.Book, the_sealing: sealing.Sealing, faults: guard.Faults) -> None:
        self._book = book
        self._sealing = the_sealing
        self._faults = faults
        self._revive_at: float | None = None

    def install(self, group: Any) -> None:
        """Gate each process of supervisor's ``group``."""
        for member in group.processes.values():
            member.transition = self._gated(member, member.transition)

    def _gated(self, member: Any, original: Callable[[], None]) -> Callable[[], None]:
        name = member.config.name

        def transition() -> None:
            try:
                is_held = self._is_held(name, member.state, member.laststart)
                is_revived = self._is_revived(name, member.state)
            except Exception as error:
                self._faults.report("gate", error)
                return
            if is_held:
                return
            if is_revived:
                member.spawn()
            original()

        return transition

    def _is_held(self, name: str, state: int, laststart: float) -> bool:
        if state == states.ProcessStates.STOPPED and not laststart:
            return self._book.is_held(name)
        if state == states.ProcessStates.EXITED and name == plan.SEAL:
            return clock.monotonic() < self._sealing.restart_at
        return False

    def _is_revived(self, name: str, state: int) -> bool:
        if name != plan.PROBES or state != states.ProcessStates.FATAL or not self._sealing.may_revive:
            return False
        now = clock.monotonic()
        if self._revive_at is None:
            self._revive_at = now + _REVIVE_SECONDS
        if now < self._revive_at:
            return False
        self._revive_at = None
        return True
