"""The gate: each program's next step is asked of the ledger, on its process object.

supervisor's loop asks every process to make its next transition. What it does with a living process (the first second,
the SIGKILL of one that does not stop) stays supervisor's; whether one that does not run is started is the ledger's to say,
so its configuration stays as it was and ``supervisorctl update`` sees no difference.

Rules
-----
* Every start, the first, a further one or an operator's, waits until what the program needs is there.
* No program is started that lacks an artifact, nor any while supervisord stops or reloads.
* A crashed seal program waits for its own pause, and supervisor starts it again.
* A FATAL probe server is tried again once the generation is sealed or held: a container without probes is blind. Before the
  seal FATAL ends the boot.
* A fault of ours holds the program: nothing starts because we failed to look. One that lives still makes its transitions.
* A change of state that the ledger missed, by a fault of ours, it learns here: no program that is gone stays ready.
"""

import contextlib
from collections.abc import Callable
from typing import Any

from supervisor import states

from contract import clock
from manifest import plan
from supervisord import entries, guard, ledger, readiness_book, sealing

_REVIVE_SECONDS = 5.0
_OURS = frozenset(
    {
        states.ProcessStates.STOPPED,
        states.ProcessStates.BACKOFF,
        states.ProcessStates.EXITED,
        states.ProcessStates.FATAL,
    }
)
_STOPPABLE = frozenset({states.ProcessStates.STARTING, states.ProcessStates.RUNNING})


class Gate:
    """Decides for every process that does not run whether it is started."""

    def __init__(self, book: readiness_book.Book, the_sealing: sealing.Sealing, faults: guard.Faults) -> None:
        self._book = book
        self._sealing = the_sealing
        self._faults = faults
        self._revive_at: float | None = None

    def install(self, group: Any) -> None:
        """Gate each process of supervisor's ``group``."""
        for member in group.processes.values():
            member.transition = self._gated(member, member.transition)
            member.finish = _tolerant(member, member.finish)
            member.drain = _unblocked(member)
            # It would cut a longer stop that a program asked for, and the steady clock leaves it nothing to do.
            member._check_and_adjust_for_system_clock_rollback = lambda _now: None

    def _gated(self, member: Any, original: Callable[[], None]) -> Callable[[], None]:
        name = member.config.name

        def transition() -> None:
            try:
                is_asked = name not in self._book.entries or self._step(name, member)
            except Exception as error:
                self._faults.report("gate", error)
                is_asked = member.state not in _OURS  # what lives stays supervisor's: else its moment would stay due
            if is_asked:
                original()

        return transition

    def _step(self, name: str, member: Any) -> bool:
        """Do what is ours to do with ``member``; say whether supervisor is to make its own transition."""
        state = states.getProcessStateDescription(member.state)
        if self._book.entries[name].supervisor_state != state:
            self._book.on_supervisor_state(name, state, entries.now(), None, member.spawnerr or "")
        if member.state not in _OURS:
            if member.state in _STOPPABLE and self._book.take_unbound(name):
                moment = entries.now()
                self._book.change(name, moment, lambda entry: ledger.paused(entry, moment))
                member.stop()
                return False
            return True
        if (
            not member.pid and member.dispatchers
        ):  # a fork that failed: supervisor closed the pipes, and would poll them for ever
            member.dispatchers, member.pipes = {}, {}
        if member.config.options.mood < states.SupervisorStates.RUNNING:
            return False
        now = clock.monotonic()
        if name == plan.SEAL and member.state == states.ProcessStates.EXITED:
            return now >= self._sealing.restart_at
        entry = self._book.entries[name]
        if entry.given_up is not None and member.state != states.ProcessStates.FATAL:
            _give_up(member)
        elif self._book.may_start(name, now) or self._is_revived(name, member.state, now):
            member.backoff = 0  # how often it is tried is the ledger's to count
            member.spawn()
        return False

    def _is_revived(self, name: str, state: int, now: float) -> bool:
        if name != plan.PROBES or state != states.ProcessStates.FATAL or not self._sealing.may_revive:
            return False
        if self._revive_at is None:
            self._revive_at = now + _REVIVE_SECONDS
        if now < self._revive_at:
            return False
        self._revive_at = None
        return True


def _tolerant(member: Any, original: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Return ``finish`` that also takes the end of a process that could not be signalled (EPERM).

    supervisor calls such a process UNKNOWN and asserts at its end that it is not (4.3.0, ``Subprocess.finish``): PID 1 dies.
    """

    def finish(pid: int, status: int) -> None:
        if member.state == states.ProcessStates.UNKNOWN:
            member.state = states.ProcessStates.STOPPING if member.killing else states.ProcessStates.RUNNING
        original(pid, status)

    return finish


def _unblocked(member: Any) -> Callable[[], None]:
    """Return ``drain`` that leaves what a full stdin does not take, and takes everything that was said.

    supervisor lets EAGAIN out of it when a process has ended whose stdin somebody else still holds (4.3.0, ``Subprocess.drain``,
    ``PInputDispatcher.handle_write_event``): PID 1 dies.
    """

    def drain() -> None:
        for dispatcher in list(member.dispatchers.values()):
            if dispatcher.readable():
                dispatcher.handle_read_event()
            if dispatcher.writable():
                with contextlib.suppress(BlockingIOError):
                    dispatcher.handle_write_event()

    return drain


def _give_up(member: Any) -> None:
    """Make ``member`` FATAL: supervisor itself does so from BACKOFF only (4.3.0, ``Subprocess.give_up``)."""
    if member.state == states.ProcessStates.BACKOFF:
        member.give_up()
    else:
        member.delay = 0
        member.backoff = 0
        member.system_stop = True
        member.change_state(states.ProcessStates.FATAL)
    words = f"gave up: {member.config.name} entered FATAL state"
    member.config.options.logger.info(words)
