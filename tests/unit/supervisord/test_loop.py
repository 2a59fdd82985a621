import os
import select
import signal
import time
import types

import pytest
from supervisor import poller as supervisor_poller
from supervisor import states

from supervisord import loop

STATES = states.ProcessStates
RUNNING, SHUTDOWN = states.SupervisorStates.RUNNING, states.SupervisorStates.SHUTDOWN


def process(state: int, *, laststart: float = 0.0, delay: float = 0.0, startsecs: int = 1):
    return types.SimpleNamespace(
        state=state, laststart=laststart, delay=delay, config=types.SimpleNamespace(startsecs=startsecs)
    )


class Group:
    def __init__(self, *processes) -> None:
        self.processes = dict(enumerate(processes))

    def get_unstopped_processes(self):
        return [one for one in self.processes.values() if one.state not in states.STOPPED_STATES]


class Supervisor:
    """What PromptPoll uses of supervisord; the timeouts given to the real poll are kept."""

    def __init__(self, *processes, mood: int = RUNNING) -> None:
        self.timeouts: list[float] = []
        self.process_groups = {"all": Group(*processes)}
        self.stop_groups: list[Group] = []
        self.options = types.SimpleNamespace(mood=mood, poller=types.SimpleNamespace(poll=self._poll))

    def _poll(self, timeout: float):
        self.timeouts.append(timeout)
        return [], []


def settled(supervisor: Supervisor, due: float | None = None) -> loop.PromptPoll:
    """Return an installed PromptPoll whose first turn, which never waits, is over."""
    prompt = loop.PromptPoll(supervisor, lambda: due)
    prompt.install()
    supervisor.options.poller.poll(1)
    supervisor.timeouts.clear()
    return prompt


def test_the_first_turn_and_each_after_a_change_follow_at_once_and_only_one():
    supervisor = Supervisor(process(STATES.RUNNING))
    prompt = loop.PromptPoll(supervisor, lambda: None)
    prompt.install()
    for _ in range(3):
        assert supervisor.options.poller.poll(1) == ([], [])
    prompt.note_change()
    prompt.note_change()
    supervisor.options.poller.poll(1)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0, 1, 1, 0, 1]


def test_a_poll_never_waits_longer_than_supervisord_wanted():
    supervisor = Supervisor(process(STATES.STARTING, laststart=time.time() + 1000))
    settled(supervisor, due=500.0)
    supervisor.options.poller.poll(0.25)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0.25, 1]


@pytest.mark.parametrize(
    "one",
    [
        process(STATES.STARTING, laststart=1000.0, startsecs=2),
        process(STATES.BACKOFF, delay=1002.0),
        process(STATES.STOPPING, delay=1002.0),
    ],
)
def test_a_poll_ends_just_after_the_next_transition_is_due(monkeypatch, one):
    monkeypatch.setattr(time, "time", lambda: 1001.5)
    supervisor = Supervisor(process(STATES.RUNNING), one, process(STATES.BACKOFF, delay=5000.0))
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [pytest.approx(0.501)]


def test_what_is_overdue_is_polled_without_waiting_and_never_with_a_negative_timeout(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1001.5)
    supervisor = Supervisor(process(STATES.STARTING, laststart=900.0))
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0.0]


def test_a_moment_of_ours_ends_the_poll_too():
    supervisor = Supervisor(process(STATES.RUNNING))
    settled(supervisor, due=0.125)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0.125]


def test_a_program_in_backoff_does_not_make_a_stop_spin():
    """Supervisor starts nothing once a stop began, so its retry moment would stay in the past."""
    supervisor = Supervisor(process(STATES.BACKOFF, delay=1.0), mood=SHUTDOWN)
    supervisor.stop_groups = [Group(process(STATES.STOPPING, delay=time.time() + 100))]
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [1]


@pytest.mark.parametrize("state", [STATES.RUNNING, STATES.STOPPED, STATES.EXITED, STATES.FATAL, STATES.UNKNOWN])
def test_a_state_that_time_does_not_change_makes_no_turn(state):
    supervisor = Supervisor(process(state, laststart=1.0, delay=1.0))
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [1]


def test_while_stopping_a_group_that_is_stopped_already_costs_no_wait():
    supervisor = Supervisor(mood=SHUTDOWN)
    settled(supervisor)
    supervisor.stop_groups = [Group(process(STATES.RUNNING)), Group(process(STATES.EXITED))]
    supervisor.options.poller.poll(1)
    supervisor.stop_groups.pop()
    supervisor.options.poller.poll(1)
    supervisor.stop_groups.pop()
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0.0, 1, 1]


def test_the_hook_runs_once_a_turn():
    turns: list[int] = []
    turn = loop.Turn(lambda: turns.append(1))
    try:
        assert turn.readable()
        assert turn.readable()
        assert not turn.writable()
        turn.handle_read_event()
        turn.handle_write_event()
        turn.handle_error()
    finally:
        turn.close()
    assert turns == [1, 1]


def test_a_signal_ends_the_poll_of_supervisors_own_poller():
    """PEP 475 restarts poll(2) after a signal; the byte in the pipe ends it."""
    turn = loop.Turn(lambda: None)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    real = supervisor_poller.PollPoller(None)
    try:
        turn.arm()
        real.register_readable(turn.fd)
        signal.raise_signal(signal.SIGUSR1)
        readable, writable = real.poll(20)
        assert (readable, writable) == ([turn.fd], [])
        turn.handle_read_event()
        assert real.poll(0) == ([], [])
    finally:
        turn.close()
        signal.signal(signal.SIGUSR1, before)


def test_a_flood_of_signals_never_blocks_and_one_turn_takes_it():
    turn = loop.Turn(lambda: None)
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        turn.arm()
        for _ in range(3000):
            signal.raise_signal(signal.SIGUSR1)
        turn.handle_read_event()
        assert select.select([turn.fd], [], [], 0)[0] == []
    finally:
        turn.close()
        signal.signal(signal.SIGUSR1, before)


def test_a_closed_turn_leaves_no_descriptor_and_no_wakeup_behind():
    before = set(os.listdir("/proc/self/fd"))
    turn = loop.Turn(lambda: None)
    turn.arm()
    turn.close()
    assert set(os.listdir("/proc/self/fd")) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_no_descriptor_of_a_turn_is_inherited():
    turn = loop.Turn(lambda: None)
    try:
        assert not os.get_inheritable(turn.fd)
        assert not os.get_inheritable(turn._write)
    finally:
        turn.close()


def test_the_speed_ups_can_be_turned_off(monkeypatch):
    monkeypatch.delenv("BOOTSEAL_SPEEDUPS", raising=False)
    assert loop.speedups_wanted()
    monkeypatch.setenv("BOOTSEAL_SPEEDUPS", "off")
    assert not loop.speedups_wanted()
