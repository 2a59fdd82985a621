"""supervisor's own namespace, processes and reaping; only the system calls and the ledger are ours here."""

import types
from collections.abc import Iterator
from typing import Any

import pytest
from supervisor import events, http, options, rpcinterface, states, web, xmlrpc
from supervisor import supervisord as supervisor_module

from contract import errors
from manifest import plan
from supervisord import operators, render, waits
from tests.unit import boots

STATES, FAULTS = states.ProcessStates, xmlrpc.Faults


class Faults:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def report(self, where: str, error: Exception) -> None:
        self.told.append((where, str(error)))


class Desk:
    """A ledger in which what runs is ready; it hears of changes after the operators, as the extension does."""

    def __init__(self, box: "Box") -> None:
        events.subscribe(events.ProcessStateStoppedEvent, self.on_stopped)
        self.paused: set[str] = set()
        self.box = box
        self.wanted = {program.name for program in box.plan.programs}
        self.words: dict[str, str] = {}
        self.stopping = False
        self.reports = Faults()
        self.broken = False

    def knows(self, name: str) -> bool:
        if self.broken:
            raise ZeroDivisionError("the desk broke")
        return self.box.plan.program(name) is not None

    def is_own(self, name: str) -> bool:
        program = self.box.plan.program(name)
        return program is not None and program.role != "program"

    def rank(self, name: str) -> int:
        program = self.box.plan.program(name)
        return program.rank if program else 0

    def obstacle(self, name: str) -> tuple[str, str] | None:
        program = self.box.plan.program(name)
        assert program is not None
        for need in program.after:
            process = self.box.process(need.name)
            state = process.get_state()
            if state == STATES.RUNNING or (state == STATES.EXITED and process.exitstatus == 0):
                continue
            if state == STATES.FATAL:
                return "failed", f"needs {need.name}, which is FATAL"
            if state not in {STATES.STARTING, STATES.RUNNING} and need.name not in self.wanted:
                return "stopped", f"needs {need.name}, which was stopped; start {need.name} first"
            return "pending", f"waits for {need.name}"
        return None

    def want(self, name: str) -> None:
        self.wanted.add(name)
        self.paused.discard(name)

    def unwant(self, name: str) -> None:
        self.wanted.discard(name)
        self.paused.discard(name)

    def on_stopped(self, event: Any) -> None:
        name = event.process.config.name
        (self.wanted.add if name in self.paused else self.wanted.discard)(name)

    def bound(self, name: str) -> list[str]:
        found = []
        for program in self.box.plan.programs:
            if any(need.bind and need.name == name for need in program.after):
                found += [*self.bound(program.name), program.name]
        alive = states.RUNNING_STATES
        return [one for one in found if one in self.wanted or self.box.process(one).get_state() in alive]

    def pause_bound(self, name: str) -> None:
        self.paused.add(name)

    def describe(self, name: str) -> str:
        return self.words.get(name, "ready (READY=1)")

    def is_stopping(self) -> bool:
        return self.stopping

    def faults(self) -> Faults:
        return self.reports


class Box:
    """A supervisord that never forks: pids are numbers, signals are noted, ends are told."""

    def __init__(self, path: str, *programs: plan.ProgramPlan) -> None:
        self.plan = boots.make_plan(*programs, run_directory=f"{path}/run")
        with open(f"{path}/supervisord.conf", "w") as file:
            file.write(render.render(self.plan))
        server = options.ServerOptions()
        server.realize(["-c", file.name, "-n"], doc="")
        self.server = server
        server.logger = types.SimpleNamespace(
            **dict.fromkeys(("info", "warn", "debug", "critical"), lambda _text: None)
        )
        self.pids = iter(range(1000, 2000))
        self.signals: list[tuple[str, int]] = []
        self.ends: list[tuple[int, int]] = []
        server.fork = lambda: next(self.pids)
        server.kill = lambda pid, number: self.signals.append((server.pidhistory[abs(pid)].config.name, number))
        server.waitpid = lambda: self.ends.pop(0) if self.ends else (None, None)
        server.close_child_pipes = server.close_parent_pipes = lambda _pipes: None
        self.supervisor = supervisor_module.Supervisor(server)
        for group in server.process_group_configs:
            for config in group.process_configs:
                config.make_dispatchers = lambda _process: ({}, {})
            self.supervisor.add_process_group(group)
        self.rpc = operators.make(self.supervisor)
        self.desk = self.supervisor.bootseal_desk = Desk(self)

    def process(self, name: str) -> Any:
        return self.supervisor.process_groups[name].processes[name]

    def states(self, *names: str) -> list[str]:
        return [states.getProcessStateDescription(self.process(name).get_state()) for name in names]

    def up(self, *names: str) -> None:
        """Let ``names`` run: spawned where they are not yet, and past supervisor's first second."""
        for name in names:
            process = self.process(name)
            if not process.pid:
                process.spawn()
            process.laststart -= 10
            process.transition()
            assert process.get_state() == STATES.RUNNING

    def dies(self, name: str, code: int = 0) -> None:
        """Tell supervisord that the process of ``name`` ended; then PID 1 starts what may start, as its gate does."""
        process = self.process(name)
        self.ends.append((process.pid, code << 8))
        self.turn()

    def turn(self) -> None:
        self.supervisor.reap()
        for program in self.plan.programs:
            process = self.process(program.name)
            is_down = process.get_state() in {STATES.STOPPED, STATES.FATAL} or program.name in self.desk.words
            if (
                is_down
                and not process.pid
                and program.name in self.desk.wanted
                and not self.desk.obstacle(program.name)
            ):
                process.spawn()

    def stopped(self) -> list[str]:
        """Return who was sent a signal since the last call, in order."""
        names, self.signals = [name for name, _ in self.signals], []
        return names


@pytest.fixture(autouse=True)
def alone() -> Iterator[None]:
    """Leave nothing of a test in supervisor's modules."""
    before = web.SupervisorNamespaceRPCInterface
    events.clear()
    yield
    events.clear()
    web.SupervisorNamespaceRPCInterface = before


REDIS = boots.program("redis")
API = boots.program("api", after=boots.needs("redis", bind=True), rank=1)
WORKER = boots.program("worker", after=boots.needs("redis", bind=True), rank=1)
EDGE = boots.program("edge", after=boots.needs("api", bind=True), rank=2)
LOOSE = boots.program("loose", after=boots.needs("redis"), rank=1)
MIGRATE = boots.program("migrate", oneshot=True)


@pytest.fixture
def box(tmp_path) -> Box:
    (tmp_path / "run" / "tmp").mkdir(parents=True)
    return Box(str(tmp_path), REDIS, API, WORKER, EDGE, LOOSE, MIGRATE)


def refusal(call: Any) -> tuple[int, str]:
    with pytest.raises(xmlrpc.RPCError) as caught:
        call()
    return caught.value.code, caught.value.text


# --- starting ---------------------------------------------------------------------------------------------------


def test_a_start_with_nothing_against_it_is_supervisors_own(box):
    answer = box.rpc.startProcess("redis")
    assert box.states("redis") == ["STARTING"]
    assert answer() is http.NOT_DONE_YET
    box.up("redis")
    assert answer() is True
    assert "redis" in box.desk.wanted
    assert refusal(lambda: box.rpc.startProcess("redis")) == (FAULTS.ALREADY_STARTED, "ALREADY_STARTED: redis")


def test_a_start_waits_for_what_is_needed_and_never_goes_past_it(box):
    box.process("redis").spawn()
    box.desk.unwant("api")
    answer = box.rpc.startProcess("api")
    assert answer() is http.NOT_DONE_YET
    assert "api" in box.desk.wanted
    assert box.states("api") == ["STOPPED"]
    box.up("redis")
    assert answer() is http.NOT_DONE_YET
    box.turn()
    assert answer() is http.NOT_DONE_YET
    box.up("api")
    assert answer() is True


def test_a_start_that_nobody_waits_for_is_answered_at_once(box):
    assert box.rpc.startProcess("api", False) is True
    assert box.states("api") == ["STOPPED"]
    assert "api" in box.desk.wanted


def test_a_start_is_refused_with_what_was_stopped(box):
    box.desk.unwant("redis")
    box.desk.unwant("api")
    why = "needs redis, which was stopped; start redis first"
    assert refusal(lambda: box.rpc.startProcess("api")) == (FAULTS.SPAWN_ERROR, why)
    assert refusal(lambda: box.rpc.startProcess("api", False)) == (FAULTS.SPAWN_ERROR, why)
    assert "api" not in box.desk.wanted
    assert box.states("api") == ["STOPPED"]


def test_a_start_that_waits_is_refused_when_what_it_needs_fails(box):
    box.process("redis").spawn()
    answer = box.rpc.startProcess("api")
    assert answer() is http.NOT_DONE_YET
    box.process("redis").change_state(STATES.BACKOFF)
    box.process("redis").give_up()
    assert refusal(answer) == (FAULTS.SPAWN_ERROR, "needs redis, which is FATAL")


def test_a_start_that_waits_is_refused_when_it_is_stopped_meanwhile(box):
    answer = box.rpc.startProcess("api")
    assert box.rpc.stopProcess("api") is True
    assert refusal(answer) == (FAULTS.ABNORMAL_TERMINATION, "was stopped before it could start")
    assert "api" not in box.desk.wanted


def test_a_start_that_waits_ends_with_the_container(box):
    answer = box.rpc.startProcess("api")
    box.desk.stopping = True
    assert refusal(answer) == (FAULTS.ABNORMAL_TERMINATION, "the container is stopping")


def test_a_program_that_still_stops_is_started_when_it_is_down(box):
    box.up("redis")
    box.rpc.stopProcess("redis", False)
    answer = box.rpc.startProcess("redis")
    assert answer() is http.NOT_DONE_YET
    box.dies("redis")
    assert answer() is http.NOT_DONE_YET
    box.turn()
    assert box.states("redis") == ["STARTING"]
    box.up("redis")
    assert answer() is True


def test_a_start_that_fails_says_why_in_the_ledgers_words(box):
    answer = box.rpc.startProcess("redis")
    box.desk.words["redis"] = "exited with code 3 too early"
    box.ends.append((box.process("redis").pid, 3 << 8))
    box.supervisor.reap()
    assert box.states("redis") == ["BACKOFF"]
    assert refusal(answer) == (FAULTS.ABNORMAL_TERMINATION, "exited with code 3 too early")


def test_a_program_that_cannot_be_spawned_says_why_in_the_ledgers_words(box):
    def fork() -> int:
        raise OSError(11, "again")

    box.server.fork = fork
    box.desk.words["redis"] = "could not be\nspawned"
    assert refusal(lambda: box.rpc.startProcess("redis")) == (FAULTS.SPAWN_ERROR, "could not be spawned")


def test_a_missing_file_is_supervisors_fault_and_nothing_is_wanted(box):
    box.process("redis").config.command = "/nowhere/redis"
    box.desk.unwant("redis")
    assert refusal(lambda: box.rpc.startProcess("redis"))[0] == FAULTS.NO_FILE
    assert "redis" not in box.desk.wanted


@pytest.mark.parametrize("ends_at_once", [True, False])
def test_a_one_shot_that_completed_may_be_started_again(box, ends_at_once):
    box.up("migrate")
    box.dies("migrate")
    box.server.fork = lambda: 7000
    if ends_at_once:
        box.ends.append((7000, 0))
    answer = box.rpc.startProcess("migrate")
    assert answer is True or answer() is True
    assert box.process("migrate").pid == (0 if ends_at_once else 7000)


def test_start_all_starts_what_is_needed_first_and_answers_when_all_run(box):
    for program in box.plan.programs:
        box.desk.unwant(program.name)
    box.up("probes", "bootstrap", "bootstrap-seal")
    box.dies("bootstrap")
    box.dies("bootstrap-seal")
    answer = box.rpc.startAllProcesses()
    assert answer() is http.NOT_DONE_YET
    assert box.states("redis", "api", "edge") == ["STARTING", "STOPPED", "STOPPED"]
    for names in (("redis",), ("api", "worker", "loose"), ("edge",)):
        box.turn()
        assert answer() is http.NOT_DONE_YET
        box.up(*names)
    told = {one["name"]: one["status"] for one in answer()}
    assert told == dict.fromkeys(("redis", "api", "worker", "edge", "loose", "migrate"), FAULTS.SUCCESS)
    assert box.states("bootstrap", "bootstrap-seal", "probes") == ["EXITED", "EXITED", "RUNNING"]


def test_start_all_starts_bootseals_own_when_they_were_stopped_and_tells_refusals(box):
    box.up("redis", "bootstrap", "bootstrap-seal")
    box.process("redis").change_state(STATES.BACKOFF)
    box.process("redis").pid = 0
    answer = box.rpc.startAllProcesses(False)
    box.process("redis").give_up()
    told = {one["name"]: (one["status"], one["description"]) for one in answer()}
    assert told["probes"] == (FAULTS.SUCCESS, "OK")
    assert told["redis"] == (FAULTS.SUCCESS, "OK")
    box.process("redis").change_state(STATES.BACKOFF)
    box.process("redis").give_up()
    told = {one["name"]: (one["status"], one["description"]) for one in box.rpc.startProcessGroup("api")()}
    assert told == {"api": (FAULTS.SPAWN_ERROR, "needs redis, which is FATAL")}


# --- stopping ---------------------------------------------------------------------------------------------------


def test_a_stopped_program_stays_stopped(box):
    box.up("loose")
    answer = box.rpc.stopProcess("loose")
    assert "loose" not in box.desk.wanted
    assert answer() is http.NOT_DONE_YET
    box.dies("loose")
    assert answer() is True
    box.turn()
    assert box.states("loose") == ["STOPPED"]
    assert refusal(lambda: box.rpc.stopProcess("loose")) == (FAULTS.NOT_RUNNING, "NOT_RUNNING: loose")


def test_a_program_that_only_waits_to_start_stays_stopped(box):
    assert box.rpc.stopProcess("api") is True
    assert "api" not in box.desk.wanted
    box.up("redis")
    box.turn()
    assert box.states("api") == ["STOPPED"]
    assert refusal(lambda: box.rpc.stopProcess("api"))[0] == FAULTS.NOT_RUNNING


def test_a_program_in_its_pause_is_stopped(box):
    box.process("redis").spawn()
    box.process("redis").change_state(STATES.BACKOFF)
    box.process("redis").pid = 0
    assert box.rpc.stopProcess("redis") is True
    assert box.states("redis") == ["STOPPED"]
    box.up("loose")
    box.dies("loose", 1)
    assert box.states("loose") == ["EXITED"]
    assert box.rpc.stopProcess("loose") is True
    assert "loose" not in box.desk.wanted


def test_what_is_bound_stops_first_and_comes_back_with_it(box):
    box.up("redis", "api", "worker", "edge", "loose")
    answer = box.rpc.stopProcess("redis")
    assert box.stopped() == ["edge"]
    box.dies("edge")
    assert sorted(box.stopped()) == ["api", "worker"]
    box.dies("api")
    assert box.states("api", "worker", "redis") == ["STOPPED", "STOPPING", "RUNNING"]
    assert (box.stopped(), answer()) == ([], http.NOT_DONE_YET)
    box.dies("worker")
    assert box.stopped() == ["redis"]
    assert box.states("api", "worker", "edge") == ["STOPPED", "STOPPED", "STOPPED"]
    assert answer() is http.NOT_DONE_YET
    box.dies("redis")
    assert answer() is True
    assert box.desk.wanted >= {"api", "worker", "edge"}
    assert "redis" not in box.desk.wanted
    assert box.states("redis", "api", "loose") == ["STOPPED", "STOPPED", "RUNNING"]
    box.rpc.startProcess("redis", False)
    box.up("redis")
    box.turn()
    assert box.states("api", "worker", "edge") == ["STARTING", "STARTING", "STOPPED"]


def test_what_is_stopped_for_its_own_sake_meanwhile_does_not_come_back(box):
    box.up("redis", "api", "worker")
    box.rpc.stopProcess("redis", False)
    box.rpc.stopProcess("api", False)
    for name in ("api", "worker", "redis"):
        box.dies(name)
    assert "api" not in box.desk.wanted
    assert "worker" in box.desk.wanted


def test_what_is_bound_and_only_waits_does_not_start_while_its_neighbour_still_stops(box):
    box.up("redis", "api")
    box.rpc.stopProcess("redis")
    box.turn()
    assert box.states("api", "worker") == ["STOPPING", "STOPPED"]
    box.dies("api")
    box.dies("redis")
    assert "worker" in box.desk.wanted


def test_a_stop_goes_on_when_its_caller_is_gone(box):
    box.up("redis", "api")
    box.rpc.stopProcess("redis")
    box.dies("api")
    assert box.states("redis") == ["STOPPING"]


def test_stop_all_goes_rank_after_rank_and_leaves_bootseals_own_alone(box):
    box.up("probes", "redis", "api", "worker", "edge", "loose")
    answer = box.rpc.stopAllProcesses()
    assert box.stopped() == ["edge"]
    box.dies("edge")
    assert sorted(box.stopped()) == ["api", "loose", "worker"]
    for name in ("api", "loose", "worker"):
        assert "redis" not in box.stopped()
        box.dies(name)
    assert box.stopped() == ["redis"]
    assert answer() is http.NOT_DONE_YET
    box.dies("redis")
    told = {one["name"]: one["status"] for one in answer()}
    assert told == dict.fromkeys(("redis", "api", "worker", "edge", "loose", "migrate"), FAULTS.SUCCESS)
    assert box.states("probes") == ["RUNNING"]
    assert box.desk.wanted == {"probes", "bootstrap", "bootstrap-seal"}
    assert box.rpc.stopAllProcesses()() == []


def test_bootseals_own_can_be_stopped_by_name(box):
    box.up("probes")
    box.rpc.stopProcess("probes", False)
    assert box.states("probes") == ["STOPPING"]


def test_a_completed_one_shot_is_not_running_and_takes_nobody_along(box):
    box.up("migrate")
    box.dies("migrate")
    assert refusal(lambda: box.rpc.stopProcess("migrate"))[0] == FAULTS.NOT_RUNNING


def test_a_group_is_its_programs(box):
    box.up("redis", "api")
    answer = box.rpc.stopProcess("redis:*")
    assert box.stopped() == ["api"]
    box.dies("api")
    box.dies("redis")
    assert answer() == [{"name": "redis", "group": "redis", "status": FAULTS.SUCCESS, "description": "OK"}]
    assert box.rpc.startProcess("redis:*")() is http.NOT_DONE_YET


def test_a_signal_that_cannot_be_sent_is_told(box):
    def kill(_pid: int, _number: int) -> None:
        raise PermissionError(1, "no")

    box.up("loose")
    box.server.kill = kill
    code, text = refusal(lambda: box.rpc.stopProcess("loose"))
    assert (code, "unknown problem killing loose" in text) == (FAULTS.FAILED, True)


# --- signals, groups, telling -------------------------------------------------------------------------------------


def test_signal_all_leaves_bootseals_own_alone(box):
    box.up("probes", "redis")
    told = box.rpc.signalAllProcesses("HUP")
    assert ([one["name"] for one in told], box.stopped()) == (["redis"], ["redis"])
    assert box.rpc.signalProcess("probes", "HUP") is True
    assert refusal(lambda: box.rpc.signalProcess("redis", "NOPE"))[0] == FAULTS.BAD_SIGNAL


def test_what_the_plan_does_not_know_is_not_added(box):
    def group(name: str, program: str) -> types.SimpleNamespace:
        return types.SimpleNamespace(name=name, process_configs=[types.SimpleNamespace(name=program)])

    box.supervisor.remove_process_group("api")
    for name, program in (("evil", "evil"), ("api", "evil"), ("api", "redis")):
        box.server.process_group_configs = [group(name, program)]
        why = f"the plan has no group {name} of {program}: add it to the manifest and build again"
        assert refusal(lambda name=name: box.rpc.addProcessGroup(name)) == (FAULTS.BAD_NAME, why)
    assert refusal(lambda: box.rpc.addProcessGroup("other"))[0] == FAULTS.BAD_NAME


def test_a_group_of_the_plan_is_removed_and_added_again(box):
    assert box.rpc.removeProcessGroup("api") is True
    assert box.rpc.addProcessGroup("api") is True
    assert refusal(lambda: box.rpc.addProcessGroup("api"))[0] == FAULTS.ALREADY_ADDED


def test_the_description_keeps_the_pid_first_and_adds_the_ledgers_words(box):
    box.up("redis")
    box.desk.words = {"api": "waits\nfor \x1b[1mredis", "worker": "not started yet", "loose": ""}
    told = {one["name"]: one["description"] for one in box.rpc.getAllProcessInfo()}
    pid, _, rest = told["redis"].partition(", uptime ")
    assert (pid, rest.partition("; ")[2]) == ("pid 1000", "ready (READY=1)")
    assert told["api"] == "waits for ?[1mredis (Not started)"
    assert told["worker"] == "not started yet"
    assert told["loose"] == "Not started"


@pytest.mark.parametrize(
    ("state", "stock", "words", "text"),
    [
        (STATES.RUNNING, "pid 7, uptime 0:00:01", "", "pid 7, uptime 0:00:01"),
        (STATES.EXITED, "Nov 21 09:47 AM", "ready (exit 0)", "ready (exit 0) (Nov 21 09:47 AM)"),
        (STATES.FATAL, 'unknown error (try "tail a")', "is FATAL after 3 tries", "is FATAL after 3 tries"),
        (STATES.BACKOFF, "Exited too quickly", "", "Exited too quickly"),
        (STATES.STARTING, "", "is being started", "is being started"),
        (STATES.STARTING, "", "", ""),
    ],
)
def test_descriptions_by_state(state, stock, words, text):
    assert operators.described(state, stock, words) == text


# --- the rim ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call",
    [
        lambda rpc: rpc.startProcess("redis"), lambda rpc: rpc.stopProcess("redis"),
        lambda rpc: rpc.addProcessGroup("redis"),
    ],
)  # fmt: skip
def test_a_fault_of_ours_is_an_answer_and_a_report(box, call):
    box.desk.broken = True
    code, text = refusal(lambda: call(box.rpc))
    assert (code, text) == (FAULTS.FAILED, "a fault in bootseal: ZeroDivisionError: the desk broke")
    assert [text for _, text in box.desk.reports.told] == ["the desk broke"]


def test_a_fault_of_ours_in_an_answer_that_comes_later_or_in_an_event_stays_with_us(box, monkeypatch):
    box.up("redis", "api")
    answer = box.rpc.stopProcess("redis")

    def broken(_self: object) -> None:
        raise ZeroDivisionError("later")

    monkeypatch.setattr(type(box.rpc._descents), "advance", broken)
    box.dies("api")
    assert set(box.desk.reports.told) == {("operators", "later")}
    monkeypatch.setattr(operators, "_still_stopping", broken)
    assert refusal(answer)[0] == FAULTS.FAILED


def test_without_the_extension_every_call_that_needs_it_names_it(box):
    del box.supervisor.bootseal_desk
    for call in (box.rpc.startProcess, box.rpc.stopProcess, box.rpc.getProcessInfo, box.rpc.addProcessGroup):
        assert "bootseal_desk" in refusal(lambda call=call: call("redis"))[1]


def test_a_wrong_call_is_told_as_supervisor_tells_it(box):
    assert refusal(lambda: xmlrpc.traverse(xmlrpc.RootRPCInterface([("s", box.rpc)]), "s.startProcess", ())) == (
        FAULTS.INCORRECT_PARAMETERS,
        "INCORRECT_PARAMETERS",
    )
    assert refusal(lambda: box.rpc.startProcess(7))[0] == FAULTS.INCORRECT_PARAMETERS
    assert refusal(lambda: box.rpc.startProcess("nobody"))[0] == FAULTS.BAD_NAME
    assert box.desk.reports.told == []


def test_every_method_of_supervisor_is_still_listed_and_explained(box):
    stock = xmlrpc.SystemNamespaceRPCInterface([("supervisor", rpcinterface.make_main_rpcinterface(box.supervisor))])
    ours = xmlrpc.SystemNamespaceRPCInterface([("supervisor", box.rpc)])
    assert ours.listMethods() == stock.listMethods()
    for method in stock.listMethods():
        assert stock.methodHelp(method).split()[-8:] == ours.methodHelp(method).split()[-8:]
        if "@return" in stock.methodHelp(method):
            assert ours.methodSignature(method) == stock.methodSignature(method)


def test_deferred_answers_are_what_supervisor_can_defer(box):
    box.up("redis")
    for answer in (box.rpc.startProcess("api"), box.rpc.stopProcess("redis"), box.rpc.startAllProcesses()):
        assert isinstance(answer, types.FunctionType)
        assert float(answer.delay) >= 0


def test_after_a_shutdown_began_supervisors_fault_answers(box):
    box.server.mood = states.SupervisorStates.SHUTDOWN
    assert refusal(lambda: box.rpc.startProcess("redis"))[0] == FAULTS.SHUTDOWN_STATE


def test_the_web_pages_go_through_the_same_namespace(box):
    """supervisor/web.py makes a namespace for each request, by a name of its own."""
    box.up("redis", "api", "probes")
    context = types.SimpleNamespace(supervisord=box.supervisor, template="ui/status.html", form={}, response={})
    callback = web.StatusView(context).make_callback(None, "stopall")
    assert callback() is http.NOT_DONE_YET
    assert (box.stopped(), box.states("probes")) == (["api"], ["RUNNING"])


def test_web_pages_that_could_go_past_us_are_refused(box, monkeypatch):
    monkeypatch.delattr(web, "SupervisorNamespaceRPCInterface")
    with pytest.raises(errors.BootsealError, match="web pages"):
        operators.make(box.supervisor)


def test_text_is_one_line_that_xml_carries():
    assert waits.plain("a\n b\t\x1b[0m\x00é\ud800") == "a b ?[0m?é?"
