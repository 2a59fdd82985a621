import os
import types

import pytest
from supervisor import dispatchers, states

from contract import clock, snapshot
from manifest import plan
from supervisord import entries, gate, ledger, readiness_book
from tests.unit import boots, supervisors

STATES = states.ProcessStates
MOODS = states.SupervisorStates
OK, KILLED = snapshot.Exit(0, None), snapshot.Exit(None, 9)
DOWN = (STATES.STOPPED, STATES.BACKOFF, STATES.EXITED, STATES.FATAL)
ALIVE = (STATES.STARTING, STATES.RUNNING, STATES.STOPPING)


class Member:
    """One of supervisor's process objects: what the gate uses, and what was done with it."""

    def __init__(self, name: str, options, state: int = STATES.STOPPED) -> None:
        self.config = types.SimpleNamespace(name=name, options=options)
        self.state = state
        self.backoff = 7
        self.delay = 5.0
        self.system_stop = False
        self.killing = False
        self.pid = 0
        self.dispatchers: dict[int, object] = {}
        self.pipes: dict[str, int] = {}
        self.done: list[str] = []

    def transition(self) -> None:
        self.done.append("supervisor's own")

    def finish(self, _pid: int, _status: int) -> None:
        assert self.state != STATES.UNKNOWN, "as supervisor asserts"
        self.done.append("finish")

    def spawn(self) -> None:
        self.done.append("spawn")

    def stop(self) -> None:
        self.done.append("stop")

    def give_up(self) -> None:
        assert self.state == STATES.BACKOFF, "supervisor gives up from BACKOFF only"
        self.change_state(STATES.FATAL)

    def change_state(self, state: int) -> None:
        self.done.append(states.getProcessStateDescription(state))
        self.state = state


class Box:
    """A book, a gate over it and its members; time stands still until it is moved."""

    def __init__(self, *programs) -> None:
        self.now = 100.0
        self.faults: list[tuple[str, str]] = []
        self.logged: list[str] = []
        self.options = types.SimpleNamespace(
            mood=MOODS.RUNNING, logger=types.SimpleNamespace(info=lambda text: self.logged.append(text))
        )
        self.sealing = types.SimpleNamespace(restart_at=0.0, may_revive=False)
        self.book = readiness_book.Book((*boots.own_programs(), *programs), self.moment(), lambda: 0.0)
        self.book.advance(self.moment())
        faults = types.SimpleNamespace(report=lambda where, error: self.faults.append((where, str(error))))
        the_gate = gate.Gate(self.book, self.sealing, faults)
        self.members = {name: Member(name, self.options) for name in (*self.book.entries, "stranger")}
        the_gate.install(types.SimpleNamespace(processes=self.members))

    def moment(self) -> entries.Moment:
        return entries.Moment(self.now, "wall")

    def turn(self, name: str) -> list[str]:
        """Let the member make its transition; return what was done."""
        member = self.members[name]
        member.done.clear()
        member.transition()
        return list(member.done)

    def tell(self, name: str, state: str, ended=None) -> None:
        self.members[name].state = getattr(STATES, state)
        self.book.on_supervisor_state(name, state, self.moment(), ended, "")

    def start(self, name: str, pid: int = 42) -> None:
        self.tell(name, entries.STARTING)
        self.book.on_spawn(name, pid, 7, self.moment())

    def boot(self) -> "Box":
        """Make the probe server and Stage B ready."""
        self.start(plan.PROBES)
        self.book.change(plan.PROBES, self.moment(), lambda one: ledger.on_subscription(one, True, self.moment()))
        self.start(plan.STAGE_B)
        self.tell(plan.STAGE_B, entries.EXITED, OK)
        return self


@pytest.fixture
def make(monkeypatch):
    def made(*programs) -> Box:
        box = Box(*programs)
        monkeypatch.setattr(clock, "monotonic", lambda: box.now)
        return box

    return made


def test_a_program_is_started_once_what_it_needs_is_there_and_not_before(make):
    box = make(boots.program("db"), boots.program("api", after=boots.needs("db")))
    assert [box.turn(name) for name in (plan.PROBES, "db", "api")] == [["spawn"], [], []]
    box.boot()
    assert [box.turn(name) for name in ("db", "api")] == [["spawn"], []]
    box.start("db")
    box.now += 1.0
    assert box.turn("api") == [], "nobody looked at the time yet"
    box.book.advance(box.moment())
    assert box.turn("api") == ["spawn"]


def test_a_further_start_waits_for_the_needs_and_for_its_pause(make):
    box = make(boots.program("db"), boots.program("api", after=boots.needs("db"))).boot()
    box.start("db")
    box.now += 1.0
    box.book.advance(box.moment())
    box.start("api")
    box.tell("api", entries.BACKOFF, KILLED)
    assert box.turn("api") == []
    box.now += 0.25
    assert box.turn("api") == ["spawn"]
    box.tell("db", entries.EXITED, KILLED)
    assert box.turn("api") == []


@pytest.mark.parametrize("mood", [MOODS.SHUTDOWN, MOODS.RESTARTING])
@pytest.mark.parametrize("state", DOWN)
def test_no_program_is_started_or_given_up_while_supervisord_stops_or_reloads(make, mood, state):
    box = make(boots.program("api", start_retries=0)).boot()
    box.sealing.may_revive = True
    box.options.mood = mood
    for name in ("api", plan.PROBES, plan.SEAL, plan.STAGE_B):
        box.tell(name, states.getProcessStateDescription(state))
        box.book.change(name, box.moment(), lambda one: ledger.wanted(one, box.moment()))
        assert box.turn(name) == [], name


@pytest.mark.parametrize("state", ALIVE)
@pytest.mark.parametrize("mood", [MOODS.RUNNING, MOODS.SHUTDOWN])
def test_what_supervisor_does_with_a_living_process_stays_its_own(make, state, mood):
    box = make(boots.program("api")).boot()
    box.options.mood = mood
    box.members["api"].state = state
    assert box.turn("api") == ["supervisor's own"]


def test_a_process_that_is_none_of_the_plans_is_supervisors_own(make):
    assert make().turn("stranger") == ["supervisor's own"]


def test_supervisors_own_count_of_tries_never_gives_up(make):
    box = make(boots.program("api")).boot()
    box.tell("api", entries.BACKOFF)
    box.now += 1
    box.turn("api")
    assert box.members["api"].backoff == 0


@pytest.mark.parametrize("state", ["BACKOFF", "EXITED"])
def test_a_program_that_is_given_up_becomes_fatal_once_from_whatever_state_it_ended_in(make, state):
    box = make(boots.program("api", start_retries=0)).boot()
    box.start("api")
    box.tell("api", state, KILLED)
    assert box.turn("api") == ["FATAL"]
    assert box.logged == ["gave up: api entered FATAL state"]
    box.tell("api", entries.FATAL)
    assert box.turn("api") == []
    box.now += 1e6
    assert box.turn("api") == []


def test_a_program_that_was_given_up_is_started_when_somebody_wants_it(make):
    box = make(boots.program("api", start_retries=0)).boot()
    box.start("api")
    box.tell("api", entries.BACKOFF, KILLED)
    box.turn("api")
    box.tell("api", entries.FATAL)
    box.book.change("api", box.moment(), lambda one: ledger.wanted(one, box.moment()))
    assert box.turn("api") == ["spawn"]


def test_a_stop_that_came_before_the_giving_up_leaves_the_program_stopped(make):
    box = make(boots.program("api", start_retries=0, on_fatal=plan.END)).boot()
    box.start("api")
    box.tell("api", entries.BACKOFF, KILLED)
    box.tell("api", entries.STOPPED)
    assert box.turn("api") == []
    assert box.members["api"].state == STATES.STOPPED


def test_a_program_an_operator_stopped_is_not_started(make):
    box = make(boots.program("api")).boot()
    box.start("api")
    box.tell("api", entries.STOPPED, KILLED)
    box.now += 1e6
    assert box.turn("api") == []


def test_a_bound_program_is_stopped_once_when_its_need_went_and_comes_back_with_it(make):
    box = make(boots.program("a"), boots.program("b", after=boots.needs("a", bind=True))).boot()
    box.start("a")
    box.now += 1
    box.book.advance(box.moment())
    box.start("b")
    box.tell("b", entries.RUNNING)
    box.tell("a", entries.EXITED, KILLED)
    assert box.turn("b") == ["stop"]
    assert box.turn("b") == ["supervisor's own"]
    box.tell("b", entries.STOPPING)
    assert box.turn("b") == ["supervisor's own"]
    box.tell("b", entries.STOPPED, KILLED)
    assert box.turn("b") == []
    box.start("a")
    box.now += 1
    box.book.advance(box.moment())
    assert box.turn("b") == ["spawn"]


def test_a_crashed_seal_program_waits_for_its_pause_and_supervisor_starts_it(make):
    box = make().boot()
    box.tell(plan.SEAL, entries.EXITED, KILLED)
    box.sealing.restart_at = box.now + 1
    assert box.turn(plan.SEAL) == []
    box.now += 1
    assert box.turn(plan.SEAL) == ["supervisor's own"]


def test_a_probe_server_that_was_given_up_is_revived_only_once_the_generation_is_sealed_or_held_and_not_in_a_loop(make):
    box = make().boot()
    box.tell(plan.PROBES, entries.FATAL)
    box.now += 1000
    assert box.turn(plan.PROBES) == []
    box.sealing.may_revive = True
    assert box.turn(plan.PROBES) == []
    box.now += 4.9
    assert box.turn(plan.PROBES) == []
    box.now += 0.1
    assert box.turn(plan.PROBES) == ["spawn"]
    assert box.turn(plan.PROBES) == []


def test_another_program_that_was_given_up_is_not_revived(make):
    box = make(boots.program("api")).boot()
    box.sealing.may_revive = True
    box.tell("api", entries.FATAL)
    for _ in range(3):
        box.now += 100
        assert box.turn("api") == []


@pytest.mark.parametrize("state", DOWN)
def test_a_fault_of_ours_starts_nothing(make, monkeypatch, state):
    box = make(boots.program("api")).boot()
    monkeypatch.setattr(box.book, "may_start", lambda *_: 1 / 0)
    monkeypatch.setattr(box.book, "entries", {"api": None})
    box.members["api"].state = state
    assert box.turn("api") == []
    assert [where for where, _ in box.faults] == ["gate"]


@pytest.mark.parametrize("state", ALIVE)
def test_a_fault_of_ours_keeps_no_living_process_from_its_transition(make, monkeypatch, state):
    """Else its moment would stay due and the loop would spin, and a stop would never come to SIGKILL."""
    box = make(boots.program("api")).boot()
    monkeypatch.setattr(gate.Gate, "_step", lambda *_: 1 / 0)
    box.members["api"].state = state
    assert box.turn("api") == ["supervisor's own"]
    assert [where for where, _ in box.faults] == ["gate"]


def test_a_thousand_idle_programs_are_not_judged_by_the_gate(make, monkeypatch):
    box = make(*(boots.program(f"p{number}") for number in range(1000))).boot()
    for number in range(500):
        box.start(f"p{number}", pid=number + 1000)
        box.tell(f"p{number}", entries.RUNNING)
    for number in range(500, 1000):
        box.tell(f"p{number}", entries.STOPPED)
    asked: list[int] = []
    for name in ("judge", "obstacle"):
        monkeypatch.setattr(ledger, name, lambda *_: asked.append(1))
    for name in box.members:
        box.turn(name)
    assert asked == []


def test_a_fork_that_failed_leaves_nothing_that_the_loop_would_poll():
    box = Box(boots.program("api"))
    box.tell("api", "BACKOFF")
    box.members["api"].dispatchers, box.members["api"].pipes = {9: object()}, {"stdout": 9}
    box.turn("api")
    assert (box.members["api"].dispatchers, box.members["api"].pipes) == ({}, {})


@pytest.mark.parametrize(("killing", "becomes"), [(True, STATES.STOPPING), (False, STATES.RUNNING)])
def test_the_end_of_a_process_that_could_not_be_signalled_does_not_end_supervisord(killing, becomes):
    member = Box(boots.program("api")).members["api"]
    member.state, member.killing = STATES.UNKNOWN, killing
    member.finish(42, 0)
    assert (member.state, member.done) == (becomes, ["finish"])


def test_a_full_stdin_that_somebody_else_holds_does_not_end_supervisord_and_hides_no_last_words():
    """What supervisor's own dispatchers do, with a pipe that nobody reads and that its program left to a child."""
    options = supervisors.Options()
    member = Box(boots.program("api")).members["api"]
    member.config.options = options
    inside, outside = os.pipe()
    os.set_blocking(outside, False)
    stdin = dispatchers.PInputDispatcher(member, "stdin", outside)
    stdin.input_buffer = b"x" * (1 << 20)
    said = []
    stdout = types.SimpleNamespace(
        readable=lambda: True, writable=lambda: False, handle_read_event=lambda: said.append("last words")
    )
    member.dispatchers = {outside: stdin, 99: stdout}
    member.drain()
    left = len(stdin.input_buffer)
    member.drain()
    os.close(inside), os.close(outside)
    assert said == ["last words"] * 2
    assert 0 < left == len(stdin.input_buffer) < 1 << 20
