import os
import signal
import subprocess
import sys
import types

import pytest

from manifest import plan
from supervisord import container_signals

HUP_TO_API = plan.SignalPlan("HUP", ("api", "web"), "USR1")


class Box:
    """supervisord's queue of signals, the programs' pids, and what was told."""

    def __init__(self, *signals: plan.SignalPlan) -> None:
        self.queue: list[int] = []
        self.pids: dict[str, int] = {}
        self.stops = 0
        self.taken = 0
        self.passed: list[tuple[plan.SignalPlan, list[str]]] = []
        self.options = types.SimpleNamespace(get_signal=lambda: self.queue.pop(0) if self.queue else None)
        made = container_signals.ContainerSignals(signals, lambda name: self.pids.get(name), self._stop)
        made.on_taken = self._take
        made.on_passed = lambda mapped, reached: self.passed.append((mapped, reached))
        made.install(self.options)
        self.made = made

    def _stop(self) -> None:
        self.stops += 1

    def _take(self) -> None:
        self.taken += 1

    def get(self, *numbers: int) -> list[int | None]:
        """Queue ``numbers`` and take until there is none."""
        self.queue += numbers
        found = []
        while (number := self.options.get_signal()) is not None:
            found.append(number)
        return found


@pytest.fixture
def child():
    """A process that says which signal it was sent."""
    script = (
        "import signal, sys\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2})\n"
        "print('up', flush=True)\n"
        "print(signal.sigwait({signal.SIGUSR1, signal.SIGUSR2}).name, flush=True)\n"
    )
    one = subprocess.Popen([sys.executable, "-I", "-S", "-c", script], stdout=subprocess.PIPE, text=True)
    assert one.stdout.readline() == "up\n"
    yield one
    one.kill()
    one.wait()
    one.stdout.close()


def test_signals_reach_supervisord_one_at_a_time_and_in_order():
    box = Box()
    assert box.get(signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR2) == [signal.SIGCHLD, signal.SIGHUP, signal.SIGUSR2]
    assert box.taken == 3, "another may wait: the next turn must follow at once"
    assert box.get() == []
    assert box.taken == 3


def test_each_stop_signal_is_counted_and_still_reaches_supervisord():
    box = Box()
    stops = [signal.SIGTERM, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT]
    assert box.get(*stops) == stops
    assert box.stops == 4
    box.get(signal.SIGHUP, signal.SIGCHLD)
    assert box.stops == 4, "a reload is no stop"


def test_a_mapped_signal_goes_to_the_programs_and_not_to_supervisord(child):
    box = Box(HUP_TO_API)
    box.pids = {"api": child.pid}
    assert box.get(signal.SIGHUP) == []
    assert child.stdout.readline() == "SIGUSR1\n"
    assert box.passed == [(HUP_TO_API, ["api"])]


def test_what_stands_behind_a_mapped_signal_is_not_delayed():
    box = Box(HUP_TO_API)
    box.queue = [signal.SIGHUP, signal.SIGHUP, signal.SIGTERM]
    assert box.options.get_signal() == signal.SIGTERM
    assert box.stops == 1
    assert [reached for _, reached in box.passed] == [[], []]


@pytest.mark.parametrize("error", [ProcessLookupError, PermissionError])
def test_a_program_that_cannot_be_sent_a_signal_harms_nobody(monkeypatch, error):
    """It ended, or it changed its user: an exception here would end PID 1."""
    sent = []

    def kill(pid: int, number: int) -> None:
        if pid == 1001:
            raise error
        sent.append((pid, number))

    monkeypatch.setattr(os, "kill", kill)
    box = Box(HUP_TO_API)
    box.pids = {"api": 1001, "web": 1002}
    assert box.get(signal.SIGHUP) == []
    assert sent == [(1002, signal.SIGUSR1)]
    assert box.passed == [(HUP_TO_API, ["web"])]


def test_without_a_listener_nothing_is_told_and_nothing_breaks():
    options = types.SimpleNamespace(get_signal=lambda: None)
    made = container_signals.ContainerSignals((HUP_TO_API,), lambda _name: None, lambda: None)
    queue = [signal.SIGHUP, signal.SIGTERM]
    options.get_signal = lambda: queue.pop(0) if queue else None
    made.install(options)
    assert options.get_signal() == signal.SIGTERM


def test_a_signal_that_supervisord_leaves_alone_is_taken_when_it_is_mapped():
    before = signal.getsignal(signal.SIGWINCH)
    received: list[int] = []
    receiver = types.SimpleNamespace(receive=lambda number, _frame: received.append(number))
    box = Box(plan.SignalPlan("WINCH", ("api",), "USR2"))
    try:
        box.made.listen(types.SimpleNamespace(signal_receiver=receiver))
        signal.raise_signal(signal.SIGWINCH)
    finally:
        signal.signal(signal.SIGWINCH, before)
    assert received == [signal.SIGWINCH]


def test_a_signal_that_does_not_exist_is_refused_before_anything_runs():
    with pytest.raises(KeyError):
        container_signals.ContainerSignals((plan.SignalPlan("NONE", (), "USR1"),), lambda _name: None, lambda: None)
