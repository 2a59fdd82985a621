"""The commands as a real supervisorctl runs them; only its connection is ours here."""

import hashlib
import io
import json
import os
import socket
from typing import Any

import pytest
from supervisor import options, supervisorctl, xmlrpc
from supervisor.compat import xmlrpclib

from contract import rundir, snapshot
from supervisord import ctl, render
from tests.unit import boots

FAULTS = xmlrpc.Faults


class Server:
    """What supervisord answers: a value, or an exception to raise."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {"supervisor.getVersion": "3.0"}
        self.timeouts: list[float | None] = []

    def __getattr__(self, namespace: str) -> Any:
        server = self

        class Namespace:
            def __getattr__(self, method: str) -> Any:
                return lambda *arguments: server.answer(f"{namespace}.{method}", *arguments)

        return Namespace()

    def answer(self, method: str, *arguments: Any) -> Any:
        self.timeouts.append(socket.getdefaulttimeout())
        answer = self.answers[method]
        if callable(answer):
            answer = answer(*arguments)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def tell(self, ledger: snapshot.Snapshot, **changes: Any) -> None:
        """Answer with ``ledger`` and the summary that PID 1 would make of it."""
        late = sum(view.required and view.role != "seal" and view.state != snapshot.READY for view in ledger.programs)
        summary = snapshot.Summary(ledger.boot_id, ledger.generation, ledger.revision, ledger.phase, late, False)
        self.answers["bootseal.snapshot"] = snapshot.dump(ledger)
        self.answers["bootseal.summary"] = json.dumps({**vars(summary), **changes})


class Control:
    """A supervisorctl with our configuration."""

    def __init__(self, path: str) -> None:
        config = f"{path}/supervisord.conf"
        with open(config, "w") as file:
            file.write(render.render(boots.make_plan(run_directory="/nowhere/run")))
        client = options.ClientOptions()
        client.realize(["-c", config, "status"], doc="")
        self.server = Server()
        client.getServerProxy = lambda: self.server
        self.controller = supervisorctl.Controller(client, stdout=io.StringIO())

    def run(self, line: str) -> tuple[int, list[str]]:
        """Return the exit status of the command ``line`` and what it printed."""
        self.controller.exitstatus = 0
        self.controller.stdout = io.StringIO()
        self.controller.onecmd(line)
        return self.controller.exitstatus, self.controller.stdout.getvalue().splitlines()


@pytest.fixture
def control(tmp_path) -> Control:
    return Control(str(tmp_path))


SEALED = boots.ledger(boots.view("redis"), boots.view("api"), phase=snapshot.SEALED)
LATE = boots.ledger(
    boots.view("redis", state=snapshot.PENDING, reason="waits for disk"),
    boots.view("api", state=snapshot.FAILED, reason="exited with code 3"),
    boots.view("extra", required=False, state=snapshot.FAILED, reason="whatever"),
    phase=snapshot.SEALED,
)


def test_ready_is_one_word_and_exit_status_0(control):
    control.server.tell(SEALED)
    assert control.run("ready") == (0, ["ready"])


def test_not_ready_is_exit_status_1_and_a_line_for_each_cause(control):
    control.server.tell(LATE)
    assert control.run("ready") == (1, ["redis  pending  waits for disk", "api    failed   exited with code 3"])


@pytest.mark.parametrize(
    ("phase", "failure", "line"),
    [
        (snapshot.BOOTING, None, "(boot)  booting  is not sealed yet"),
        (snapshot.STOPPING, None, "(boot)  stopping  everything stops"),
        (snapshot.HELD, "api exited with code 3", "(boot)  held     api exited with code 3"),
    ],
)
def test_without_a_seal_nothing_is_ready_though_every_program_is(control, phase, failure, line):
    control.server.tell(boots.ledger(boots.view("api"), phase=phase, failure=failure))
    assert control.run("ready") == (1, [line])


def test_a_required_program_that_supervisord_does_not_know_any_more_is_missing(control):
    control.server.tell(SEALED, waiting=1)
    assert control.run("ready") == (1, ["(removed)  failed   required programs unknown to supervisord: 1"])


def test_the_seal_program_is_not_waited_for_and_the_probe_server_is(control):
    seal = boots.view("bootstrap-seal", role="seal", state=snapshot.PENDING, reason="was stopped")
    probes = boots.view("probes", role="probes", state=snapshot.PENDING, reason="was stopped")
    control.server.tell(boots.ledger(seal, phase=snapshot.SEALED))
    assert control.run("ready") == (0, ["ready"])
    control.server.tell(boots.ledger(seal, probes, phase=snapshot.SEALED))
    assert control.run("ready") == (1, ["probes  pending  was stopped"])


@pytest.mark.parametrize(
    "line",
    ["ready now", "ready --wait", "ready --wait soon", "ready --wait 3", "ready --wait 1s 2s", "why", "seal now"],
)
def test_wrong_arguments_are_exit_status_2_with_the_usage(control, line):
    status, printed = control.run(line)
    assert (status, printed[0]) == (2, f"Error: wrong arguments for {line.split()[0]}")
    assert len(printed) > 1


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (FileNotFoundError(2, "No such file or directory"), "no such file"),
        (ConnectionRefusedError(111, "Connection refused"), "refused connection"),
        (TimeoutError("timed out"), "no answer within 5 s"),
        (PermissionError(13, "Permission denied"), "Permission denied"),
        (xmlrpclib.Fault(FAULTS.UNKNOWN_METHOD, "UNKNOWN_METHOD"), "this supervisord has no bootseal in it"),
        (xmlrpclib.Fault(FAULTS.FAILED, "broken"), "it refused: broken"),
        (xmlrpclib.ProtocolError("x", 500, "Internal", {}), "it answered HTTP status 500"),
    ],
)
@pytest.mark.parametrize("line", ["ready", "why api", "seal"])
def test_a_supervisord_that_cannot_be_asked_is_exit_status_4(control, line, error, words):
    control.server.answers |= {"bootseal.summary": error, "bootseal.snapshot": error}
    assert control.run(line) == (4, [f"unix:///nowhere/run/supervisor.sock: {words}"])


@pytest.mark.parametrize("line", ["ready", "why api", "seal"])
def test_an_answer_that_is_no_ledger_is_exit_status_4(control, line):
    control.server.answers |= {"bootseal.summary": "{}", "bootseal.snapshot": "[]"}
    assert control.run(line)[0] == 4


def test_each_call_has_a_deadline_and_nothing_else_in_supervisorctl_gets_one(control):
    control.server.tell(SEALED)
    control.run("ready")
    assert control.server.timeouts == [5.0]
    assert socket.getdefaulttimeout() is None


def test_waiting_ends_when_it_is_ready(control, monkeypatch):
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            control.server.tell(LATE)
        else:
            control.server.tell(SEALED)

    monkeypatch.setattr(ctl.time, "sleep", sleep)
    control.server.answers["bootseal.summary"] = FileNotFoundError(2, "not there yet")
    assert control.run("ready --wait 1h") == (0, ["ready"])
    assert len(pauses) == 2


def test_waiting_ends_at_its_deadline_with_the_last_answer(control, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(ctl.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(ctl.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))
    control.server.tell(LATE)
    status, printed = control.run("ready --wait=2s")
    assert (status, len(printed)) == (1, 2)
    assert 102.0 <= now[0] < 102.2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500ms", 0.5),
        ("30s", 30.0),
        ("1m30s", 90.0),
        ("1.5m", None),
        ("1h", 3600.0),
        ("3", None),
        ("-1s", None),
        ("", None),
    ],
)
def test_durations(text, value):
    assert ctl.seconds(text) == value


def test_why_tells_all_that_is_known_without_control_characters(control):
    view = boots.view(
        "api", state=snapshot.FAILED, reason="exited with code 3", supervisor_state="BACKOFF", pid=None, exits=2, restarts=4,
        restart_reasons={"signal": 1, "exit": 3}, latest=snapshot.Timeline(10.0, 11.0, 12.5),
        last_exit=snapshot.Exit(3, None), status="loading", last_output=("one", "\x1b[31mtwo"),
    )  # fmt: skip
    control.server.tell(boots.ledger(view, phase=snapshot.SEALED))
    status, printed = control.run("why api")
    assert (status, printed) == (
        0,
        [
            "api: failed: exited with code 3",
            f"  required; supervisord says BACKOFF; failed since {boots.WALL}",
            f"  last ready at {boots.WALL} by running for 1s",
            "  its last process exited with code 3; ended unasked 2 times, 4 restarts",
            "  started again because of: 3 exit, 1 signal",
            "  its latest process was ready 2.500 s after its start",
            "  it says: loading",
            "  | one",
            "  | ?[31mtwo",
        ],
    )
    assert control.run("why nobody") == (1, ["nobody: ERROR (no such process)"])


RECORD = b'{"a": "record"}'
SEAL = snapshot.SealView(hashlib.sha256(RECORD).hexdigest(), "2026-01-02T03:04:06.000Z", False)


@pytest.fixture
def run(control, tmp_path) -> rundir.RunDirectory:
    """Give the run directory of the supervisord that is asked, with a record in it."""
    made = rundir.RunDirectory(str(tmp_path))
    control.controller.options.serverurl = f"unix://{made.supervisor_socket}"
    (tmp_path / "boot.json").write_text("{}")
    (tmp_path / "bootstrap.done").write_bytes(RECORD)
    return made


def of_seal(seal: snapshot.SealView | None = SEAL, **changes: Any) -> snapshot.Snapshot:
    return boots.ledger(boots.view("api"), **{"phase": snapshot.SEALED, "seal": seal, **changes})


def test_a_seal_that_pid_1_accepted_is_exit_status_0_and_says_who_judges_its_signature(control, run):
    control.server.tell(of_seal())
    assert control.run("seal") == (
        0,
        [
            f"sealed at {SEAL.at}",
            f"  generation 1 of boot {boots.BOOT_ID}",
            f"  PID 1 accepted a record of sha256 {SEAL.sha256}",
            f"  {run.seal} is that record; `bootseal verify` judges its signature",
        ],
    )
    control.server.tell(of_seal(snapshot.SealView(SEAL.sha256, SEAL.at, late=True)))
    assert control.run("seal")[1][0] == f"sealed, late, at {SEAL.at}"


@pytest.mark.parametrize(
    ("phase", "failure", "why"),
    [
        (snapshot.BOOTING, None, "booting: is not sealed yet"),
        (snapshot.STOPPING, None, "stopping: everything stops"),
        (snapshot.HELD, "api exited with code 3", "held: api exited with code 3"),
    ],
)
def test_a_generation_without_a_seal_is_exit_status_1_with_the_reason(control, run, phase, failure, why):
    """Whatever lies in the run directory."""
    control.server.tell(of_seal(None, phase=phase, failure=failure))
    assert control.run("seal") == (1, [f"not sealed: {why}", f"  generation 1 of boot {boots.BOOT_ID}"])
    assert os.path.exists(run.seal)


def test_the_first_seal_of_a_boot_is_told_while_a_later_generation_is_not_sealed(control):
    control.server.tell(of_seal(None, phase=snapshot.BOOTING, generation=2, boot_sealed_at=boots.WALL))
    assert control.run("seal")[1][-1] == f"  this boot was first sealed at {boots.WALL}"


def another(path: str) -> None:
    with open(path, "wb") as file:
        file.write(RECORD + b" ")


def link(path: str) -> None:
    os.rename(path, f"{path}.real")
    os.symlink(f"{path}.real", path)


def fifo(path: str) -> None:
    os.remove(path)
    os.mkfifo(path)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (another, "it holds other bytes than PID 1 accepted"),
        (os.remove, "it is gone"),
        (link, "Too many levels of symbolic links"),
        (fifo, "it is not a regular file"),
    ],
)
def test_a_record_that_is_not_what_pid_1_accepted_is_exit_status_1(control, run, change, why):
    control.server.tell(of_seal())
    change(run.seal)
    status, printed = control.run("seal")
    assert (status, printed[:2]) == (1, [f"not accepted: {run.seal}: {why}", f"sealed at {SEAL.at}"])


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001 does not say where the run directory is"),
        ("unix:///nowhere/at/all.sock", "/nowhere/at is no run directory"),
    ],
)
def test_a_record_that_cannot_be_looked_at_is_told_and_pid_1_is_believed(control, url, why):
    control.controller.options.serverurl = url
    control.server.tell(of_seal())
    status, printed = control.run("seal")
    assert (status, printed[-1]) == (0, f"  the record itself was not looked at: {why}")


def test_help_knows_our_commands_and_the_stock_ones_once(control):
    for command in ("ready", "why", "seal"):
        status, printed = control.run(f"help {command}")
        assert (status, printed[0].split()[0]) == (0, command)
        assert not any("No help" in line for line in printed)
    assert not any("No help" in line for line in control.run("help start")[1])
    listed = " ".join(control.run("help")[1]).split()
    assert {"ready", "why", "seal", "start"} <= set(listed)
    assert {"ready", "why", "seal"} <= set(control.controller.vocab)


def test_the_reason_of_a_refused_start_is_printed(control):
    why = "needs redis, which was stopped; start redis first"
    refused = {"name": "api", "group": "api", "status": FAULTS.SPAWN_ERROR, "description": why}
    stock = {"name": "web", "group": "web", "status": FAULTS.SPAWN_ERROR, "description": "SPAWN_ERROR: web"}
    good = {"name": "job", "group": "job", "status": FAULTS.SUCCESS, "description": "OK"}
    line = f"api: ERROR ({why})"
    control.server.answers["supervisor.startProcess"] = xmlrpclib.Fault(FAULTS.SPAWN_ERROR, why)
    assert control.run("start api") == (7, [line])
    control.server.answers["supervisor.stopProcess"] = True
    assert control.run("restart api") == (7, ["api: stopped", line])
    control.server.answers["supervisor.startAllProcesses"] = [refused, stock, good]
    assert control.run("start all") == (7, [line, "web: ERROR (spawn error)", "job: started"])
    control.server.answers["supervisor.startProcess"] = xmlrpclib.Fault(FAULTS.ALREADY_STARTED, "ALREADY_STARTED: api")
    assert control.run("start api") == (0, ["api: ERROR (already started)"])


def test_a_fault_of_ours_in_a_start_is_printed_and_does_not_end_the_list(control):
    fault = {"name": "api", "group": "api", "status": FAULTS.FAILED, "description": "a fault in bootseal: x"}
    good = {"name": "job", "group": "job", "status": FAULTS.SUCCESS, "description": "OK"}
    control.server.answers["supervisor.startAllProcesses"] = [fault, good]
    assert control.run("start all") == (1, ["api: ERROR (a fault in bootseal: x)", "job: started"])


def test_a_stock_supervisorctl_prints_our_refusals_sanely():
    plain = supervisorctl.DefaultControllerPlugin(None)
    for code in (FAULTS.SPAWN_ERROR, FAULTS.ABNORMAL_TERMINATION):
        assert "ERROR" in plain._startresult({"name": "a", "group": "a", "status": code, "description": "needs b"})


def test_what_the_terminal_cannot_show_is_replaced(control, monkeypatch):
    monkeypatch.setattr(ctl.sys, "stdout", type("Ascii", (io.StringIO,), {"encoding": "ascii"})())
    control.server.tell(boots.ledger(boots.view("api", state=snapshot.PENDING, reason="é…"), phase=snapshot.SEALED))
    assert control.run("ready") == (1, ["api  pending  ??"])
