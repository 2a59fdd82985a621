"""supervisord's loop, woken when something is due instead of once a second.

supervisor 4.3.0 polls with a timeout of one second, waits that second before it starts anything, and is not woken
by a signal (PEP 475 restarts the poll). Two speed-ups cure that from outside, and two duties live here too.

Rules
-----
* Duty: ``Turn`` sits in supervisord's socket map, so its hook runs in every turn of the loop, at least once a second,
  with or without the speed-ups.
* Speed-up ``wake``: a signal writes a byte to a pipe of ours (``signal.set_wakeup_fd``), which ends the poll.
* Speed-up ``poll``: the poll's timeout is cut to the moment the next transition is due, and to zero for one turn after each
  change of state. A moment counts only while something will act on it: one that stays in the past would let the loop spin.
* Speed-up ``stop``: programs of equal rank stop together (``supervisord.stopping``).
* ``BOOTSEAL_SPEEDUPS`` names those that are on (``poll,wake``; ``on`` is all of them, ``off`` none): without one everything is as
  correct, and slower. One that breaks stands aside by itself.
"""

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Any

from supervisor import states

from contract import errors
from supervisord import steady_clock

POLL, WAKE, STOP = "poll", "wake", "stop"
SPEEDUPS = frozenset({POLL, WAKE, STOP})
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

    def __init__(
        self, supervisor: Any, next_due: Callable[[], float | None], on_fault: Callable[[Exception], None]
    ) -> None:
        """``next_due`` gives seconds until a transition of ours is due, or None; ``on_fault`` learns why it stood aside."""
        self._supervisor = supervisor
        self._next_due = next_due
        self._on_fault = on_fault
        self._poll = supervisor.options.poller.poll
        self._changed = True
        self._is_broken = False

    def install(self) -> None:
        """Wrap the poller's ``poll``."""
        self._supervisor.options.poller.poll = self.poll

    def note_change(self) -> None:
        """A program or a gate changed state: the next turn follows at once."""
        self._changed = True

    def poll(self, timeout: float) -> Any:
        """Poll for at most ``timeout`` seconds, less where something is due before."""
        return self._poll(timeout if self._is_broken else self._cut(timeout))

    def _cut(self, timeout: float) -> float:
        changed, self._changed = self._changed, False
        if changed:
            return 0
        try:
            return max(0.0, min(timeout, self._timeout(timeout)))
        except Exception as error:
            self._is_broken = True
            self._on_fault(error)
            return timeout

    def _timeout(self, limit: float) -> float:
        now = steady_clock.CLOCK.time()
        moments = [ours] if (ours := self._next_due()) is not None else []
        for group in self._supervisor.process_groups.values():
            moments.extend(
                due - now + _MARGIN_SECONDS
                for process in group.processes.values()
                if (due := _due(process)) is not None
            )
        return min(moments, default=limit)


def _due(process: Any) -> float | None:
    """Return the moment on the steady clock at which supervisor will move ``process`` on, or None."""
    match process.state:
        case states.ProcessStates.STARTING:
            return float(process.laststart + process.config.startsecs)
        case states.ProcessStates.STOPPING:
            return float(process.delay)
        case _:
            return None


def speedups() -> frozenset[str]:
    """Return the speed-ups that are wanted; raises BootsealError when BOOTSEAL_SPEEDUPS names another."""
    text = os.environ.get("BOOTSEAL_SPEEDUPS", "on")
    if text in {"on", "off"}:
        return SPEEDUPS if text == "on" else frozenset()
    names = frozenset(text.split(","))
    if unknown := names - SPEEDUPS:
        what = f"BOOTSEAL_SPEEDUPS={text}"
        raise errors.BootsealError(
            what, f"there is no {min(unknown)!r}", f"write on, off or some of {', '.join(sorted(SPEEDUPS))}"
        )
    return names
