"""The operators' desk: what ``supervisorctl`` may ask of the ledger, and what it may ask the ledger to want."""

from typing import Any

from contract import reasons, snapshot
from manifest import plan
from supervisord import entries, guard, ledger, readiness_book, sealing

STOPPED = "stopped"
"""An obstacle that does not go away by itself: a program that is needed was stopped by an operator."""


class Desk:
    """Answers ``supervisord.operators``; set as ``bootseal_desk`` on supervisord's object."""

    def __init__(
        self,
        the_plan: plan.Plan,
        book: readiness_book.Book,
        the_sealing: sealing.Sealing,
        faults: guard.Faults,
    ) -> None:
        self._plan = the_plan
        self._book = book
        self._sealing = the_sealing
        self._faults = faults

    def knows(self, name: str) -> bool:
        """Say whether the plan has the program ``name``."""
        return self._plan.program(name) is not None

    def is_own(self, name: str) -> bool:
        """Say whether ``name`` is one of bootseal's own programs."""
        program = self._plan.program(name)
        return program is not None and program.role != "program"

    def rank(self, name: str) -> int:
        """Return the rank of ``name``, 0 for an unknown one."""
        program = self._plan.program(name)
        return program.rank if program else 0

    def obstacle(self, name: str) -> tuple[str, str] | None:
        """Return ``(kind, reason)`` of what stands against starting ``name`` now, or None.

        The kind is "failed" (for good), "stopped" (what it needs does not start by itself) or "pending".
        """
        if name not in self._book.entries:
            return None
        found = self._book.obstacle(name)
        if found is None:
            return None
        state, reason, final = found
        if final:
            return snapshot.FAILED, reason
        stopped = self._stopped_need(name)
        if stopped is not None:
            return STOPPED, reasons.needs(stopped, f"{reasons.STOPPED}; start {stopped} first")
        return state, reason

    def want(self, name: str) -> None:
        """Start ``name`` as soon as what it needs is there."""
        now = entries.now()
        self._book.change(name, now, lambda entry: ledger.wanted(entry, now))

    def unwant(self, name: str) -> None:
        """Keep ``name`` stopped."""
        now = entries.now()
        self._book.change(name, now, lambda entry: ledger.unwanted(entry, now))

    def bound(self, name: str) -> list[str]:
        """Return who is bound to ``name``, directly or not, and runs or is to run: dependants before what they need."""
        found: set[str] = set()
        front = {name}
        while front:
            front = {
                program.name
                for program in self._plan.programs
                if program.name not in found and any(need.bind and need.name in front for need in program.after)
            }
            found |= front
        alive = [one for one in found if one in self._book.entries and _is_active(self._book.entries[one])]
        return sorted(alive, key=lambda one: (-self.rank(one), one))

    def pause_bound(self, name: str) -> None:
        """``name`` is stopped because what it is bound to is: it comes back with it."""
        now = entries.now()
        self._book.change(name, now, lambda entry: ledger.paused(entry, now))

    def describe(self, name: str) -> str:
        """Return what the ledger says of ``name``, in a few words."""
        entry = self._book.entries.get(name)
        if entry is None:
            return "not in the plan"
        words = f"ready ({entry.ready_by})" if entry.is_ready else entry.reason
        return f"{words} [{entry.status}]" if entry.status else words

    def is_stopping(self) -> bool:
        """Say whether the container or this generation stops."""
        return self._sealing.is_stopping

    def faults(self) -> Any:
        """Return where faults are reported."""
        return self._faults

    def _stopped_need(self, name: str) -> str | None:
        """Return a program that ``name`` needs and that does not start by itself, or None."""
        seen: set[str] = set()
        front = [name]
        while front:
            for need in self._book.entries[front.pop()].program.after:
                entry = self._book.entries.get(need.name)
                if (
                    entry is None
                    or need.name in seen
                    or (entry.is_ready if need.condition == plan.READY else entry.is_started)
                ):
                    continue
                seen.add(need.name)
                if entry.supervisor_state in entries.STARTABLE and entry.start_at is None:
                    return need.name
                front.append(need.name)
        return None


def _is_active(entry: entries.Entry) -> bool:
    return entry.run is not None or entry.start_at is not None
