"""The stop, with supervisor's own process objects and a clock that only moves when nothing happens."""

import dataclasses
import itertools
import os
import select
import signal
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st
from supervisor import process as supervisor_process
from supervisor import states
from supervisor.medusa import asyncore_25 as asyncore

from contract import clock
from manifest import budget, plan
from supervisord import steady_clock, stopping
from tests.unit import boots, children

STATES = states.ProcessStates
NEVER = float("inf")
START = 1000.0
PATIENCE_SECONDS = 10.0


@dataclasses.dataclass(frozen=True)
class Behaviour:
    """How long a program lives after it was asked to stop, and after SIGKILL."""

    term: float = 0.01
    kill: float = 0.01


class Faults:
    def __init__(self) -> None:
        self.reported: list[tuple[str, Exception]] = []

    def report(self, where: str, error: Exception) -> None:
        self.reported.append((where, error))


class Stop:
    """supervisord while it stops: its loop in the order of ``Supervisor.runforever`` (4.3.0), its processes, and time."""

    def __init__(self, the_plan: plan.Plan, behaviours: dict[str, Behaviour], *, together: bool = True) -> None:
        self.now = START
        self.sent: list[tuple[float, str, int]] = []
        self.ended: dict[str, float] = {}
        self.behaviours = behaviours
        self._deaths: dict[str, float] = {}
        self._pids = itertools.count(5_000_000)  # beyond the kernel's highest, so that nobody has them
        quiet = types.SimpleNamespace(**dict.fromkeys(("info", "warn", "debug", "critical", "blather"), self._say))
        self.said: list[str] = []
        self.options = types.SimpleNamespace(
            kill=self._kill, logger=quiet, pidhistory={}, close_parent_pipes=lambda _pipes: None,
            mood=states.SupervisorStates.SHUTDOWN,
        )  # fmt: skip
        self.supervisor = types.SimpleNamespace(
            options=self.options,
            process_groups={one.name: self._group(one) for one in the_plan.programs},
            ordered_stop_groups_phase_1=self._phase_of_supervisors_own,
            ordered_stop_groups_phase_2=self._phase_of_supervisors_own,
        )
        self.own_phases = 0
        self.faults = Faults()
        self.stopping = stopping.Stopping(self.supervisor, the_plan, self.faults, together=together)
        self.stopping.install()
        self.is_over = False

    def _say(self, text: str, **_more) -> None:
        self.said.append(text)

    def _phase_of_supervisors_own(self) -> None:
        self.own_phases += 1

    def _group(self, program: plan.ProgramPlan) -> types.SimpleNamespace:
        config = types.SimpleNamespace(
            name=program.name, startsecs=1, startretries=3, exitcodes=(0,), stopsignal=signal.SIGTERM, priority=1,
            stopwaitsecs=int(program.stop_timeout_seconds), stopasgroup=True, killasgroup=True, options=self.options,
        )  # fmt: skip
        member = supervisor_process.Subprocess(config)
        member.state, member.pid, member.laststart = STATES.RUNNING, next(self._pids), START - 100
        one = types.SimpleNamespace(processes={program.name: member})
        one.get_unstopped_processes = lambda: [member] if member.state not in states.STOPPED_STATES else []
        return one

    def member(self, name: str) -> supervisor_process.Subprocess:
        return self.supervisor.process_groups[name].processes[name]

    def _kill(self, pid: int, number: int) -> None:
        [name] = [name for name in self.supervisor.process_groups if self.member(name).pid == abs(pid)]
        self.sent.append((self.now, name, number))
        behaviour = self.behaviours.get(name, Behaviour())
        after = behaviour.kill if number == signal.SIGKILL else behaviour.term
        self._deaths[name] = min(self._deaths.get(name, NEVER), self.now + after)

    def unstopped(self) -> list[str]:
        return [name for name, group in self.supervisor.process_groups.items() if group.get_unstopped_processes()]

    def turn(self) -> None:
        """One turn of supervisord's loop; time moves on as long as its poll would wait."""
        self.supervisor.ordered_stop_groups_phase_1()
        if not self.unstopped():
            self.is_over = True
            return
        moments = [self.now + 1.0]
        due = self.stopping.next_due()
        moments += [due + 0.001] if due is not None else []
        moments += self._deaths.values()
        moments += [
            self.member(name).delay + 0.001 for name in self.unstopped() if self.member(name).state == STATES.STOPPING
        ]
        self.now = max(self.now, min(moments))
        for name in self.supervisor.process_groups:
            self.member(name).transition()
        for name, at in list(self._deaths.items()):
            if at <= self.now:
                del self._deaths[name]
                self.ended[name] = self.now
                self.member(name).finish(self.member(name).pid, 0)
        try:
            self.supervisor.ordered_stop_groups_phase_2()
        except asyncore.ExitNow:
            self.is_over = True

    def run(self, *, at: dict[float, object] | None = None, turns: int = 3000) -> float:
        """Turn to the end, doing ``at`` what it says so many seconds after the start; return how long it took."""
        for moment, what in sorted((at or {}).items()):
            while not self.is_over and self.now < START + moment:
                self.turn()
            what()
        for _ in range(turns):
            if self.is_over:
                return self.now - START
            self.turn()
        raise AssertionError("it does not end")

    def asked(self, number: int = signal.SIGTERM) -> dict[str, float]:
        """Return when each program was first sent ``number``, in seconds since the start."""
        found: dict[str, float] = {}
        for at, name, sent in self.sent:
            if sent == number:
                found.setdefault(name, at - START)
        return found


@pytest.fixture(autouse=True)
def simulated(monkeypatch):
    """Time is that of the stop that was made last."""
    current: list[Stop] = []
    original = Stop.__init__

    def made(self, *arguments, **named) -> None:
        current[:] = [self]
        original(self, *arguments, **named)

    monkeypatch.setattr(Stop, "__init__", made)
    monkeypatch.setattr(clock, "monotonic", lambda: current[0].now)
    monkeypatch.setattr(steady_clock.CLOCK, "time", lambda: current[0].now)
    monkeypatch.setattr(supervisor_process, "time", steady_clock.CLOCK)


def programs(*ranks: int, timeout: float = 10.0) -> list[plan.ProgramPlan]:
    """Return a program of each of ``ranks``, named p0, p1 and so on."""
    return [boots.program(f"p{number}", rank=rank, stop_timeout_seconds=timeout) for number, rank in enumerate(ranks)]


def plan_of(*ranks: int, drain: float = 0.0, timeout: float = 10.0, **changes) -> plan.Plan:
    the_plan = boots.make_plan(*programs(*ranks, timeout=timeout))
    seconds = budget.seconds(the_plan.programs, drain)
    return dataclasses.replace(the_plan, stop=plan.StopPlan(**{
        "drain_seconds": drain, "grace_seconds": None, "budget_seconds": seconds, **changes
    }))  # fmt: skip


def test_ranks_stop_from_the_highest_our_own_with_the_first_and_the_probe_server_last():
    assert stopping.ranks(plan_of(0, 2, 1, 2).programs) == [
        {"p1", "p3", plan.STAGE_B, plan.SEAL}, {"p2"}, {"p0"}, {plan.PROBES},
    ]  # fmt: skip
    assert stopping.ranks(boots.own_programs()) == [{plan.STAGE_B, plan.SEAL}, {plan.PROBES}]


def test_programs_of_equal_rank_stop_together_and_a_lower_rank_when_the_higher_is_down():
    stop = Stop(plan_of(1, 1, 0), {"p0": Behaviour(term=1.5), "p1": Behaviour(term=1.0)})
    took = stop.run()
    asked = stop.asked()
    assert asked["p0"] == asked["p1"] == asked[plan.SEAL] == 0
    assert asked["p2"] == stop.ended["p0"] - START >= 1.5
    assert asked[plan.PROBES] == stop.ended["p2"] - START
    assert took < 1.6
    assert signal.SIGKILL not in {number for _, _, number in stop.sent}


def test_without_the_speed_up_the_programs_of_a_rank_stop_one_after_another():
    the_plan = plan_of(0, 0, 0)
    stop = Stop(the_plan, dict.fromkeys(("p0", "p1", "p2"), Behaviour(term=1.0)), together=False)
    took = stop.run()
    assert len({stop.asked()[name] for name in ("p0", "p1", "p2")}) == 3
    assert took >= 3.0


def test_who_ignores_the_request_is_killed_at_its_timeout_and_the_next_rank_follows_at_once():
    stop = Stop(plan_of(1, 0, timeout=3.0), {"p0": Behaviour(term=NEVER)})
    stop.run()
    assert stop.asked(signal.SIGKILL)["p0"] == pytest.approx(3.0, abs=0.01)
    assert stop.asked()["p1"] == pytest.approx(3.01, abs=0.02)


def test_who_cannot_be_killed_is_waited_for_a_second_and_named_at_the_end():
    stop = Stop(plan_of(1, 0, timeout=3.0), {"p0": Behaviour(NEVER, NEVER)})
    took = stop.run()
    assert stop.asked()["p1"] == pytest.approx(3.0 + budget.DYING_SECONDS, abs=0.02)
    assert took < 5.0, "supervisor itself would wait for ever"
    assert "could not be stopped in time: p0" in stop.said


def test_nothing_is_asked_before_the_drain_is_over():
    stop = Stop(plan_of(0, drain=5.0), {})
    took = stop.run()
    assert min(stop.asked().values()) == pytest.approx(5.0, abs=0.01)
    assert took < 5.2


def test_a_reload_does_not_drain():
    stop = Stop(plan_of(0, drain=5.0), {})
    stop.options.mood = states.SupervisorStates.RESTARTING
    assert stop.run() < 0.5


def test_a_second_signal_ends_the_drain_and_kills_all_and_a_first_one_does_not():
    stop = Stop(plan_of(1, 0, drain=60.0), dict.fromkeys(("p0", "p1"), Behaviour(term=NEVER)))
    note = stop.stopping.note_signal
    note()
    assert not stop.stopping.is_hurried
    took = stop.run(at={2.0: note})
    assert stop.stopping.is_hurried
    assert min(stop.asked().values()) == pytest.approx(2.0, abs=1.01)
    assert set(stop.asked(signal.SIGKILL)) >= {"p0", "p1"}
    assert took < 4.0


def test_a_second_signal_during_a_wait_kills_who_is_waited_for():
    stop = Stop(plan_of(0, timeout=600.0), {"p0": Behaviour(term=NEVER)})
    stop.stopping.note_signal()
    took = stop.run(at={1.0: stop.stopping.note_signal, 2.0: stop.stopping.note_signal})
    assert stop.asked(signal.SIGKILL)["p0"] < 3.0
    assert [number for _, name, number in stop.sent if name == "p0"].count(signal.SIGKILL) == 1
    assert took < 4.0


def test_two_signals_before_the_stop_began_hurry_it_from_the_start():
    stop = Stop(plan_of(0, drain=60.0), {"p0": Behaviour(term=NEVER)})
    stop.stopping.note_signal()
    stop.stopping.note_signal()
    assert stop.run() < 1.0


def test_nothing_stops_before_the_probe_server_has_seen_it_or_its_time_is_up():
    stop = Stop(plan_of(0), {})
    stop.stopping.wait_for_reader()
    stop.turn()
    assert stop.sent == []
    stop.run()
    assert min(stop.asked().values()) == pytest.approx(0.1, abs=0.005)
    prompt = Stop(plan_of(0), {})
    prompt.stopping.wait_for_reader()
    prompt.stopping.stop_waiting()
    prompt.run()
    assert min(prompt.asked().values()) == 0


def test_a_program_between_two_tries_is_given_up_and_not_waited_for():
    stop = Stop(plan_of(0), {})
    stop.member("p0").state, stop.member("p0").pid = STATES.BACKOFF, 0
    assert stop.run() < 0.2
    assert stop.member("p0").state == STATES.FATAL


def test_a_program_of_nobodys_rank_stops_with_the_highest():
    stop = Stop(plan_of(1, 0), {})
    stop.supervisor.process_groups["stranger"] = stop._group(boots.program("stranger"))
    stop.run()
    assert stop.asked()["stranger"] == 0


def test_a_program_that_is_being_stopped_already_is_not_asked_again():
    stop = Stop(plan_of(0), {"p0": Behaviour(term=1.0)})
    stop.member("p0").stop()
    stop.run()
    assert [name for _, name, _ in stop.sent].count("p0") == 1


@pytest.mark.parametrize("phase", ["ordered_stop_groups_phase_1", "ordered_stop_groups_phase_2"])
def test_when_ours_breaks_supervisors_own_takes_over_for_good_and_it_is_said_once(phase):
    stop = Stop(plan_of(0), {})

    def broken() -> None:
        raise ValueError("broken")

    stop.stopping._ranks = None
    setattr(stop.supervisor, phase, stop.stopping._guarded(stop._phase_of_supervisors_own, broken))
    for _ in range(3):
        getattr(stop.supervisor, phase)()
    assert stop.own_phases == 3
    stop.supervisor.ordered_stop_groups_phase_1()
    stop.supervisor.ordered_stop_groups_phase_2()
    assert stop.own_phases == 5
    assert [where for where, _ in stop.faults.reported] == ["stopping"]
    assert stop.sent == []


def test_supervisords_end_is_no_fault():
    stop = Stop(plan_of(0), {})

    def leave() -> None:
        raise asyncore.ExitNow

    guarded = stop.stopping._guarded(stop._phase_of_supervisors_own, leave)
    with pytest.raises(asyncore.ExitNow):
        guarded()
    assert (stop.own_phases, stop.faults.reported) == (0, [])


def test_an_error_of_the_kill_itself_reaches_supervisor_which_knows_it():
    stop = Stop(plan_of(0), {})
    with pytest.raises(ValueError, match="not enough values"):
        stop.options.kill(99999, signal.SIGKILL)


@pytest.mark.parametrize("stays", [False, True], ids=["empty", "not-empty"])
def test_who_moved_into_a_neighbours_group_is_reached_and_the_neighbour_is_not(stays):
    """Also where a child of it stayed behind, so that its group is not empty."""
    ready, told = os.pipe()

    def hide() -> None:
        os.setpgid(0, 0)
        if stays and os.fork() == 0:
            signal.pause()
        os.setpgid(0, neighbour)
        os.write(told, b"x")
        signal.pause()

    neighbour = children.start(signal.pause)
    os.setpgid(neighbour, neighbour)
    hider = children.start(hide)
    try:
        os.read(ready, 1)
        stopping.kill_group(hider, signal.SIGKILL)
        assert has_ended(hider, PATIENCE_SECONDS)
        assert not has_ended(neighbour, 0)
        stopping.kill_group(neighbour, signal.SIGKILL)
        assert has_ended(neighbour, PATIENCE_SECONDS)
    finally:
        for pid in (hider, neighbour):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(ready)
        os.close(told)
    with pytest.raises(ProcessLookupError):
        stopping.kill_group(neighbour, signal.SIGKILL)


def has_ended(pid: int, seconds: float) -> bool:
    """Say whether our child has ended within ``seconds``; it is not reaped."""
    end = os.pidfd_open(pid)
    try:
        return bool(select.select([end], [], [], seconds)[0])
    finally:
        os.close(end)


def test_before_a_stop_nothing_is_due_and_a_kill_leaves_nothing_behind():
    stop = Stop(plan_of(0), {})
    stop.stopping.phase_2()
    for _ in range(100):
        stop.options.kill(-stop.member("p0").pid, signal.SIGKILL)
        stop.member("p0").pid += 1000
    assert stop.stopping.next_due() is None
    assert stop.stopping._killed_at == {}


BEHAVIOURS = st.builds(Behaviour, st.sampled_from([0.0, 0.3, 2.0, NEVER]), st.sampled_from([0.0, 0.5, NEVER]))
RANKS = st.lists(st.integers(0, 3), min_size=1, max_size=6)


@given(
    RANKS, st.lists(BEHAVIOURS, min_size=7, max_size=7), st.sampled_from([0.0, 4.0]), st.integers(1, 4),
    st.lists(st.floats(0, 20), max_size=3), st.booleans(), st.none() | st.floats(0.5, 3),
)  # fmt: skip
def test_whatever_the_programs_do_a_stop_ends_within_its_budget_and_in_order(
    ranks, behaviours, drain, timeout, signals, together, short
):
    changes = {} if short is None else {"budget_seconds": drain + short}
    the_plan = plan_of(*ranks, drain=drain, timeout=float(timeout), **changes)
    names = [f"p{number}" for number in range(len(ranks))]
    stop = Stop(
        the_plan, {**dict(zip(names, behaviours, strict=False)), plan.PROBES: behaviours[-1]}, together=together
    )
    took = stop.run(at=dict.fromkeys(signals, stop.stopping.note_signal))
    assert took <= stop.stopping._budget + 0.01
    assert stop.stopping._budget == the_plan.stop.budget_seconds or not together
    assert stop.faults.reported == []
    asked, killed = stop.asked(), stop.asked(signal.SIGKILL)
    for (one, high), (other, low) in itertools.product(zip(names, ranks, strict=True), repeat=2):
        if high > low and other in asked:
            down = stop.ended.get(one, NEVER) - START
            assert asked[other] >= min(down, killed.get(one, NEVER) + budget.DYING_SECONDS) - 1e-9
    for name in names:
        if plan.PROBES in asked and name in asked:
            assert asked[plan.PROBES] >= asked[name]
    if len(signals) < 2:
        assert all(at >= drain for at in asked.values())
    if short is None and together and all(behaviour.kill != NEVER for behaviour in behaviours):
        assert not stop.unstopped(), "the budget that was computed is enough"
