"""A program that needs an artifact which cannot be used is never started, whoever asks, and everybody is told why."""

import json
import types

import pytest
from supervisor import states

from contract import events, snapshot
from manifest import plan
from seal import decision
from supervisord import desk, entries, gate, ledger, output, readiness_book, telling
from tests.unit import boots

UNUSABLE = {"tool": "/opt/tool is not there", "other": "nobody needs it"}
LACK = "cannot run: artifact tool cannot be used: /opt/tool is not there"
REMEDY = "put it right and start the container again: artifacts are verified at boot"
REASON = f"{LACK} ({REMEDY})"
WORKER = boots.program("worker", required=False, artifacts=("fine", "tool"))
NEEDY = boots.program("needy", required=False, after=boots.needs("worker"))
BOUND = boots.program("bound", required=False, after=boots.needs("worker", condition=plan.STARTED, bind=True))
API = boots.program("api", artifacts=("fine",))
PROGRAMS = (API, WORKER, NEEDY, BOUND)


def at(seconds: float) -> entries.Moment:
    return entries.Moment(seconds, f"wall-{seconds:g}")


class Box:
    """A booted book with its gate, desk and telling; everything that would be spawned is noted."""

    def __init__(self, *programs, unusable=UNUSABLE) -> None:
        the_plan = boots.make_plan(*(programs or PROGRAMS))
        self.plan = the_plan
        self.book = readiness_book.Book(the_plan.programs, at(0), lambda: 0.0, unusable=unusable)
        self.book.change(plan.PROBES, at(0), lambda one: one)
        self._run(plan.PROBES)
        self.book.change(plan.PROBES, at(0), lambda one: ledger.on_subscription(one, True, at(0)))
        self._run(plan.STAGE_B)
        self.book.on_supervisor_state(plan.STAGE_B, entries.EXITED, at(0), snapshot.Exit(0, None), "")
        self.book.advance(at(0))
        sealing = types.SimpleNamespace(restart_at=0.0, may_revive=True, is_stopping=False)
        faults = types.SimpleNamespace(report=lambda where, error: pytest.fail(f"{where}: {error}"))
        self.desk = desk.Desk(the_plan, self.book, sealing, faults)
        self.lines: list[dict[str, object]] = []
        emitter = events.Emitter("test", "b", None, lambda line: self.lines.append(json.loads(line)) or True)
        channels = (output.Channel(1), output.Channel(2))
        self.telling = telling.Telling(the_plan, self.book, sealing, emitter, channels)
        self.spawned: list[str] = []
        self.states: list[str] = []
        options = types.SimpleNamespace(mood=states.SupervisorStates.RUNNING)
        self.members = {program.name: self._member(program.name, options) for program in the_plan.programs}
        gate.Gate(self.book, sealing, faults).install(types.SimpleNamespace(processes=self.members))

    def _member(self, name: str, options) -> types.SimpleNamespace:
        state = states.getProcessStateDescription
        current = getattr(states.ProcessStates, self.book.entries[name].supervisor_state)
        assert state(current)
        return types.SimpleNamespace(
            config=types.SimpleNamespace(name=name, options=options), state=current, backoff=0, pid=0, dispatchers={},
            spawnerr="", transition=lambda: None, finish=lambda _pid, _status: None,
            spawn=lambda: self.spawned.append(name), change_state=self.states.append, give_up=lambda: self.states.append(name),
        )  # fmt: skip

    def _run(self, name: str) -> None:
        self.book.on_supervisor_state(name, entries.STARTING, at(0), None, "")
        self.book.on_spawn(name, 10, 7, at(0))

    def turn(self, seconds: float) -> None:
        self.book.advance(at(seconds))
        for member in self.members.values():
            member.transition()

    def told(self) -> list[tuple[object, ...]]:
        self.telling.report_changes()
        told = [(line["event"], line["program"], line.get("artifact"), line.get("reason")) for line in self.lines]
        self.lines.clear()
        return told

    def entry(self, name: str) -> entries.Entry:
        return self.book.entries[name]


def test_the_gate_never_starts_it_and_starts_all_others():
    box = Box()
    for seconds in (1.0, 5.0, 1000.0):
        box.turn(seconds)
    assert set(box.spawned) == {"api", plan.SEAL}
    assert box.states == [], "it is held, not given up: nothing that its on_fatal says follows"


def test_it_has_failed_for_good_from_the_first_moment_with_the_artifact_as_the_reason():
    entry = Box().entry("worker")
    assert (entry.state, entry.reason, entry.final, entry.start_at) == (snapshot.FAILED, REASON, True, None)
    assert entry.view(()).reason == REASON


def test_every_artifact_that_it_lacks_is_named():
    both = boots.program("api", artifacts=("tool", "other"))
    entry = Box(both).entry("api")
    assert entry.reason == f"{LACK}; artifact other cannot be used: nobody needs it ({REMEDY})"


def test_who_needs_it_fails_with_it_at_once_and_by_name():
    box = Box()
    for name in ("needy", "bound"):
        entry = box.entry(name)
        assert (entry.state, entry.final) == (snapshot.FAILED, True)
        assert entry.reason == f"needs worker, which {REASON}"


def test_it_is_told_once_a_generation_and_as_withheld_alone():
    box = Box()
    told = box.told()
    assert told[0] == ("ProgramWithheld", "worker", "tool", "/opt/tool is not there")
    assert sorted(name for event, name, *_ in told if event == "ProgramFailed") == ["bound", "needy"]
    box.book.remove("worker", at(2))
    box.book.add(WORKER, at(3))
    assert [line for line in box.told() if line[1] == "worker"] == []
    assert box.entry("worker").reason == REASON, "nor does removing it and adding it again start it"
    box.turn(4)
    assert "worker" not in box.spawned


def test_an_operators_start_is_refused_with_the_reason_and_changes_nothing():
    box = Box()
    assert box.desk.obstacle("worker") == (snapshot.FAILED, REASON)
    assert box.desk.describe("worker") == REASON
    for wish in (box.desk.want, box.desk.unwant, box.desk.want):
        before = box.entry("worker")
        wish("worker")
        assert box.entry("worker") == before
    box.turn(5)
    assert "worker" not in box.spawned


def test_an_optional_one_does_not_keep_the_container_from_being_ready():
    box = Box()
    assert "worker" not in box.book.missing()
    box._run("api")
    box.book.advance(at(2))
    assert not box.book.is_waiting()
    views = tuple(entry.view(()) for entry in box.book.entries.values())
    assert isinstance(decision.decide(box.plan, boots.ledger(*views)), decision.Complete)


def test_a_required_one_fails_the_boot_at_once_with_that_cause():
    box = Box(boots.program("api", artifacts=("tool",)))
    assert box.book.waiting(0) == (1, True), "the seal program looks when somebody is in trouble"
    views = tuple(entry.view(()) for entry in box.book.entries.values())
    assert decision.decide(box.plan, boots.ledger(*views)) == decision.Failed("api", f"program api {REASON}")


def test_when_every_artifact_can_be_used_nobody_is_withheld():
    box = Box(unusable={})
    box.turn(1)
    assert {"api", "worker"} <= set(box.spawned)
    assert [line for line in box.told() if line[0] == "ProgramWithheld"] == []


def test_what_a_check_printed_stays_one_bounded_line_in_the_reason():
    box = Box(boots.program("api", artifacts=("tool",)), unusable={"tool": "failed:\n\x1b[2Jno\tuse " + "x" * 5000})
    reason = box.entry("api").reason
    assert reason.startswith("cannot run: artifact tool cannot be used: failed: ?[2Jno use xxx")
    assert reason.isprintable() and len(reason) < 500
