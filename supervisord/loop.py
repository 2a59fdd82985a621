"""supervisord's loop, woken when something is due instead of once a second.

supervisor 4.3.0 polls with a timeout of one second, waits that second before it starts anything, and is not woken
by a signal (PEP 475 restarts the poll). Two speed-ups cure that from outside, and two duties live here too.

Rules
-----
* Duty: ``Turn`` sits in supervisord's socket map, so its hook runs in every turn of the loop, at least once a second,
  with or without the speed-ups.
* Speed-up: a signal writes a byte to a pipe of ours (``signal.set_wakeup_fd``), which ends the poll.
* Speed-up: the poll's timeout is cut to the moment the next transition is due, and to zero for one turn after each
  change of state. A moment counts only while supervisor will act on it: one that stays in the past would let the loop
  spin (a program in BACKOFF is not started again, and so never moved on, once a stop began).
* ``BOOTSEAL_SPEEDUPS=off`` turns both off: everything is as correct, and slower.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from supervisor import states

_DRAIN_BYTES = 4096
_MARGIN_SECONDS = 0.001
"""Supervisor compares with ``>``, so a poll that ends exactly when something is due is a little early."""


class Turn:
    """A pipe in supervisord's socket map: its hook runs once a turn, and a signal's byte wakes the loop."""

    def __init__(self, hook: Callable[[], None]) -> None:
        self._hook = hook
        self._read, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)

    @property
    def fd(self) -> int:
        """The descriptor to register in the socket map."""
        return self._read

    def arm(self) -> None:
        """Let signals wake the loop; only once their handlers are installed."""
        signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)

    def close(self) -> None:
        """Close both ends, once nothing writes to them any more."""
        signal.set_wakeup_fd(-1)
        os.close(self._read)
        os.close(self._write)

    def readable(self) -> bool:
        """Run the hook: supervisord asks this of every object of its socket map, once a turn."""
        self._hook()
        return True

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """Empty the pipe: the byte has done its work by ending the poll."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._read, _DRAIN_BYTES)

    def handle_write_event(self) -> None:
        """Never called: ``writable`` is false."""

    def handle_error(self) -> None:
        """Nothing to undo: the pipe holds no state."""


class PromptPoll:
    """Cuts the timeout of supervisord's poll to what is due."""

    def __init__(self, supervisor: Any, next_due: Callable[[], float | None]) -> None:
        """``next_due`` gives seconds until a transition of ours is due, or None."""
        self._supervisor = supervisor
        self._next_due = next_due
        self._poll = supervisor.options.poller.poll
        self._changed = True

    def install(self) -> None:
        """Wrap the poller's ``poll``."""
        self._supervisor.options.poller.poll = self.poll

    def note_change(self) -> None:
        """A program or a gate changed state: the next turn follows at once."""
        self._changed = True

    def poll(self, timeout: float) -> Any:
        """Poll for at most ``timeout`` seconds, less where something is due before."""
        changed, self._changed = self._changed, False
        return self._poll(0 if changed else max(0.0, min(timeout, self._timeout(timeout))))

    def _timeout(self, limit: float) -> float:
        supervisor = self._supervisor
        is_stopping = supervisor.options.mood < states.SupervisorStates.RUNNING
        if is_stopping:
            groups = supervisor.stop_groups
            if groups and not groups[-1].get_unstopped_processes():
                return 0.0  # a group that is already stopped would cost a whole poll
        now = time.time()
        moments = [ours] if (ours := self._next_due()) is not None else []
        for group in supervisor.process_groups.values():
            moments.extend(
                due - now + _MARGIN_SECONDS
                for process in group.processes.values()
                if (due := _due(process, is_stopping=is_stopping)) is not None
            )
        return min(moments, default=limit)


def _due(process: Any, *, is_stopping: bool) -> float | None:
    """Return the wall-clock moment at which supervisor will move ``process`` on, or None."""
    match process.state:
        case states.ProcessStates.STARTING:
            return float(process.laststart + process.config.startsecs)
        case states.ProcessStates.BACKOFF:
            return None if is_stopping else float(process.delay)
        case states.ProcessStates.STOPPING:
            return float(process.delay)
        case _:
            return None


def speedups_wanted() -> bool:
    """Say whether the speed-ups may be installed."""
    return os.environ.get("BOOTSEAL_SPEEDUPS", "on") != "off"
