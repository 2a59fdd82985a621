import os
import select
import signal
import types

import pytest
from supervisor import poller as supervisor_poller
from supervisor import states

from contract import errors
from supervisord import loop, steady_clock

STATES = states.ProcessStates


def process(state: int, *, laststart: float = 0.0, delay: float = 0.0, startsecs: int = 1):
    return types.SimpleNamespace(
        state=state, laststart=laststart, delay=delay, config=types.SimpleNamespace(startsecs=startsecs)
    )


def now() -> float:
    """Return the moment on the clock that supervisor's modules have."""
    return steady_clock.CLOCK.time()


def no_fault(error: Exception) -> None:
    raise AssertionError(error)


class Supervisor:
    """What PromptPoll uses of supervisord; the timeouts given to the real poll are kept."""

    def __init__(self, *processes) -> None:
        self.timeouts: list[float] = []
        self.process_groups = {"all": types.SimpleNamespace(processes=dict(enumerate(processes)))}
        self.options = types.SimpleNamespace(poller=types.SimpleNamespace(poll=self._poll))

    def _poll(self, timeout: float):
        self.timeouts.append(timeout)
        return [], []


def settled(supervisor: Supervisor, due: float | None = None) -> loop.PromptPoll:
    """Return an installed PromptPoll whose first turn, which never waits, is over."""
    prompt = loop.PromptPoll(supervisor, lambda: due, no_fault)
    prompt.install()
    supervisor.options.poller.poll(1)
    supervisor.timeouts.clear()
    return prompt


def test_the_first_turn_and_each_after_a_change_follow_at_once_and_only_one():
    supervisor = Supervisor(process(STATES.RUNNING))
    prompt = loop.PromptPoll(supervisor, lambda: None, no_fault)
    prompt.install()
    for _ in range(3):
        assert supervisor.options.poller.poll(1) == ([], [])
    prompt.note_change()
    prompt.note_change()
    supervisor.options.poller.poll(1)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0, 1, 1, 0, 1]


def test_a_poll_never_waits_longer_than_supervisord_wanted():
    supervisor = Supervisor(process(STATES.STARTING, laststart=now() + 1000))
    settled(supervisor, due=500.0)
    supervisor.options.poller.poll(0.25)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0.25, 1]


@pytest.fixture
def steady(monkeypatch):
    """The clock of supervisor's modules, stopped at 1001.5."""
    monkeypatch.setattr(steady_clock.CLOCK, "time", lambda: 1001.5)


@pytest.mark.parametrize(
    "one", [process(STATES.STARTING, laststart=1000.0, startsecs=2), process(STATES.STOPPING, delay=1002.0)]
)
def test_a_poll_ends_just_after_the_next_transition_is_due(steady, one):
    supervisor = Supervisor(process(STATES.RUNNING), one, process(STATES.STOPPING, delay=5000.0))
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [pytest.approx(0.501)]


def test_what_is_overdue_is_polled_without_waiting_and_never_with_a_negative_timeout(steady):
    supervisor = Supervisor(process(STATES.STARTING, laststart=900.0))
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0.0]


def test_a_moment_of_ours_ends_the_poll_too():
    supervisor = Supervisor(process(STATES.RUNNING))
    settled(supervisor, due=0.125)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [0.125]


def test_a_program_in_backoff_does_not_make_the_loop_spin():
    """On purpose: when it is tried again is the ledger's to say, so supervisor's own moment, often past, means nothing."""
    supervisor = Supervisor(process(STATES.BACKOFF, delay=1.0))
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [1]


@pytest.mark.parametrize("broken", [{}, {"process_groups": None}])
def test_a_speed_up_that_breaks_stands_aside_says_so_once_and_the_poll_goes_on(broken):
    faults: list[Exception] = []

    def next_due() -> float:
        raise ValueError("broken")

    supervisor = Supervisor(process(STATES.RUNNING))
    vars(supervisor).update(broken)
    prompt = loop.PromptPoll(supervisor, (lambda: None) if broken else next_due, faults.append)
    prompt.install()
    for _ in range(4):
        prompt.note_change()
        assert supervisor.options.poller.poll(1) == ([], [])
        assert supervisor.options.poller.poll(1) == ([], [])
    assert supervisor.timeouts == [0, *[1] * 7]
    assert len(faults) == 1


def test_an_error_of_supervisors_own_poll_is_not_taken_for_ours():
    supervisor = Supervisor()
    faults: list[Exception] = []

    def poll(_timeout: float):
        raise OSError("the poller's")

    supervisor.options.poller.poll = poll
    prompt = loop.PromptPoll(supervisor, lambda: None, faults.append)
    for _ in range(2):
        with pytest.raises(OSError, match="the poller's"):
            prompt.poll(1)
    assert faults == []


@pytest.mark.parametrize("state", [STATES.RUNNING, STATES.STOPPED, STATES.EXITED, STATES.FATAL, STATES.UNKNOWN])
def test_a_state_that_time_does_not_change_makes_no_turn(state):
    supervisor = Supervisor(process(state, laststart=1.0, delay=1.0))
    settled(supervisor)
    supervisor.options.poller.poll(1)
    assert supervisor.timeouts == [1]


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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (None, {"poll", "wake", "stop"}), ("on", {"poll", "wake", "stop"}), ("off", set()), ("poll", {"poll"}),
        ("wake,stop", {"wake", "stop"}), ("stop,wake,poll", {"poll", "wake", "stop"}),
    ],
)  # fmt: skip
def test_each_speed_up_can_be_turned_off_alone_and_all_together(monkeypatch, text, names):
    monkeypatch.delenv("BOOTSEAL_SPEEDUPS", raising=False)
    if text is not None:
        monkeypatch.setenv("BOOTSEAL_SPEEDUPS", text)
    assert loop.speedups() == names


@pytest.mark.parametrize("text", ["", "no", "poll,", "poll,weak", "ON", "off,poll"])
def test_a_speed_up_that_does_not_exist_is_refused_with_those_that_do(monkeypatch, text):
    monkeypatch.setenv("BOOTSEAL_SPEEDUPS", text)
    with pytest.raises(errors.BootsealError, match="write on, off or some of poll, stop, wake"):
        loop.speedups()
