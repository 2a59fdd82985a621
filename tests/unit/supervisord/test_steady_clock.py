"""The wall clock is stepped under supervisor's own process object: nothing it decides may change."""

import itertools
import time
import types

import pytest
from supervisor import events as supervisor_events
from supervisor import process as supervisor_process
from supervisor import rpcinterface, states
from supervisor import supervisord as supervisor_main

from contract import errors
from supervisord import loop, steady_clock

STATES = states.ProcessStates
STEPS = (-3600.0, -2.0, 0.0, 2.0, 3600.0)
MODULES = (supervisor_process, rpcinterface, supervisor_main)


class Clocks:
    """The machine's two clocks: both go on by ``tick``, and only the wall clock is set by ``step``."""

    def __init__(self) -> None:
        self.elapsed, self.stepped = 0.0, 0.0

    def tick(self, seconds: float) -> None:
        self.elapsed += seconds

    def step(self, seconds: float) -> None:
        self.stepped += seconds


@pytest.fixture
def clocks(monkeypatch):
    made = Clocks()
    wall, monotonic = time.time(), time.monotonic()
    monkeypatch.setattr(time, "time", lambda: wall + made.elapsed + made.stepped)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic + made.elapsed)
    for module in MODULES:
        monkeypatch.setattr(module, "time", time)
    monkeypatch.setattr(steady_clock, "CLOCK", steady_clock.SteadyClock())
    steady_clock.install()
    supervisor_events.clear()
    return made


class Process:
    """supervisor's Subprocess without a process: forks give numbers, and what was sent is kept."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.warned: list[str] = []
        pids = itertools.count(100)
        logger = types.SimpleNamespace(
            **dict.fromkeys(("info", "debug", "blather", "critical"), lambda *_a, **_k: None)
        )
        logger.warn = self.warned.append
        options = types.SimpleNamespace(
            logger=logger, mood=states.SupervisorStates.RUNNING, pidhistory={}, fork=lambda: next(pids),
            kill=lambda _pid, number: self.sent.append(number), close_parent_pipes=lambda _: None,
            close_child_pipes=lambda _: None, stat=None, check_execv_args=lambda *_: None,
        )  # fmt: skip
        config = types.SimpleNamespace(
            name="api", startsecs=1, startretries=3, exitcodes=(0,), stopsignal=15, priority=1, stopwaitsecs=10,
            stopasgroup=True, killasgroup=True, autorestart=False, autostart=True, options=options,
            make_dispatchers=lambda _process: ({}, {}),
        )  # fmt: skip
        self.one = supervisor_process.Subprocess(config)
        self.one.get_execv_args = lambda: ("/bin/true", ["true"])
        self.supervisor = types.SimpleNamespace(
            options=types.SimpleNamespace(poller=types.SimpleNamespace(poll=lambda timeout: timeout)),
            process_groups={"api": types.SimpleNamespace(processes={"api": self.one})},
        )

    @property
    def state(self) -> int:
        return self.one.state

    def turn(self) -> int:
        self.one.transition()
        return self.one.state

    def wait(self) -> float:
        """Return how long supervisord's poll would wait."""
        poll = loop.PromptPoll(self.supervisor, lambda: None, lambda _error: None)
        poll.poll(0)
        return poll.poll(20.0)


@pytest.mark.parametrize("step", STEPS)
def test_the_first_second_is_a_second_whatever_is_done_to_the_clock(clocks, step):
    process = Process()
    process.one.spawn()
    clocks.tick(0.4)
    clocks.step(step)
    assert process.turn() == STATES.STARTING
    assert process.wait() == pytest.approx(0.6, abs=0.01)
    clocks.tick(0.5)
    assert process.turn() == STATES.STARTING
    clocks.tick(0.11)
    assert process.turn() == STATES.RUNNING


@pytest.mark.parametrize("step", STEPS)
def test_a_program_that_dies_at_once_died_too_early_whatever_is_done_to_the_clock(clocks, step):
    process = Process()
    process.one.spawn()
    clocks.tick(0.1)
    clocks.step(step)
    process.one.finish(process.one.pid, 0)
    assert process.state == STATES.BACKOFF


@pytest.mark.parametrize("step", STEPS)
def test_a_program_that_ran_a_while_exited_whatever_is_done_to_the_clock(clocks, step):
    process = Process()
    process.one.spawn()
    clocks.tick(1.5)
    process.turn()
    clocks.tick(5)
    clocks.step(step)
    process.one.finish(process.one.pid, 0)
    assert process.state == STATES.EXITED
    assert process.warned == []


@pytest.mark.parametrize("step", STEPS)
def test_a_program_that_is_asked_to_stop_has_its_whole_time_and_no_more(clocks, step):
    process = Process()
    process.one.spawn()
    clocks.tick(1.5)
    process.turn()
    process.one.stop()
    clocks.step(step)
    clocks.tick(9.9)
    process.turn()
    assert process.sent == [15]
    assert process.wait() == pytest.approx(0.1, abs=0.01)
    clocks.tick(0.2)
    process.turn()
    assert process.sent == [15, 9]


def test_without_the_steady_clock_the_same_steps_do_change_what_supervisor_decides(clocks, monkeypatch):
    """So that the tests above are known to look at the right thing."""
    monkeypatch.setattr(supervisor_process, "time", time)
    process = Process()
    process.one.spawn()
    clocks.tick(1.5)
    process.turn()
    process.one.stop()
    clocks.step(3600)
    process.turn()
    assert process.sent == [15, 9]


def test_the_steady_clock_begins_with_the_wall_clock_and_is_never_set(clocks):
    before = steady_clock.CLOCK.time()
    assert before == pytest.approx(time.time(), abs=0.5)
    clocks.step(-3600)
    clocks.tick(2)
    assert steady_clock.CLOCK.time() == pytest.approx(before + 2, abs=0.5)


def test_all_else_of_time_is_the_modules_own():
    assert steady_clock.CLOCK.strftime is time.strftime
    assert steady_clock.CLOCK.sleep is time.sleep
    with pytest.raises(AttributeError):
        _ = steady_clock.CLOCK.nothing_of_the_kind


def test_it_is_installed_again_with_each_generation(clocks):
    steady_clock.install()
    assert all(module.time is steady_clock.CLOCK for module in MODULES)


@pytest.mark.parametrize("foreign", [None, time.time])
def test_a_supervisor_that_measures_in_another_way_is_refused(clocks, monkeypatch, foreign):
    monkeypatch.setattr(rpcinterface, "time", foreign)
    with pytest.raises(errors.BootsealError, match=r"supervisor\.rpcinterface"):
        steady_clock.install()


def test_log_lines_keep_the_real_time():
    from supervisor import loggers

    assert loggers.time is time
