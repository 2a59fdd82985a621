"""The signals PID 1 is sent: stop signals are counted, and those the manifest maps are passed on to programs.

supervisord takes one signal a turn of its loop (``options.get_signal``); a signal that the manifest maps never reaches it, so
SIGHUP then means what the manifest says, not a reload.
"""

import os
import signal
from collections.abc import Callable
from typing import Any

from manifest import plan

_STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})


class ContainerSignals:
    """Stands between supervisord and the signals it received."""

    def __init__(
        self, signals: tuple[plan.SignalPlan, ...], pid_of: Callable[[str], int | None], on_stop: Callable[[], None]
    ) -> None:
        """``pid_of`` gives a program's process, or None; ``on_stop`` learns of each stop signal."""
        self._mapped = {int(signal.Signals[f"SIG{one.signal}"]): one for one in signals}
        self._pid_of = pid_of
        self._on_stop = on_stop
        self.on_taken: Callable[[], None] = lambda: None
        self.report: Callable[[str, Exception], None] = lambda _where, _error: None
        """Where faults are reported: supervisord asks for its signals outside of any try."""
        self.on_passed: Callable[[plan.SignalPlan, list[str]], None] = lambda _signal, _names: None

    def install(self, options: Any) -> None:
        """Wrap ``options.get_signal``."""
        original = options.get_signal

        def get_signal() -> int | None:
            number = original()
            while number in self._mapped:
                self._attempt(self._pass_on, self._mapped[number])
                number = original()
            if number in _STOP:
                self._attempt(self._on_stop)
            if number:
                self._attempt(self.on_taken)  # the byte that woke the loop is spent, and another signal may wait
            return int(number) if number else None

        options.get_signal = get_signal

    def _attempt(self, act: Callable[..., None], *arguments: plan.SignalPlan) -> None:
        try:
            act(*arguments)
        except Exception as error:
            self.report("signals", error)

    def listen(self, options: Any) -> None:
        """Take the mapped signals that supervisord itself leaves alone, once its own handlers are installed."""
        for number in self._mapped:
            signal.signal(number, options.signal_receiver.receive)

    def _pass_on(self, mapped: plan.SignalPlan) -> None:
        reached = []
        for name in mapped.programs:
            pid = self._pid_of(name)
            if pid is not None:
                try:
                    os.kill(pid, signal.Signals[f"SIG{mapped.sent}"])
                except OSError:  # it is gone, or it changed its user
                    continue
                reached.append(name)
        self.on_passed(mapped, reached)
