"""supervisorctl as an operator uses it, against a real tree: everything within the dependency graph."""

import contextlib
import http.client
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import tree as trees

from contract import snapshot
from supervisord import client

QUICK = trees.QUICK
STACK = {
    "programs": {
        "redis": QUICK,
        "api": {**QUICK, "after": {"redis": {"bind": True}}},
        "worker": {
            "command": ["sh", "-c", "trap 'sleep 0.3; exit 0' TERM; while :; do sleep 0.05; done"],
            "ready": {"running": True, "for": "0s"},
            "after": {"redis": {"bind": True}},
        },
        "migrate": {"command": ["true"], "oneshot": True},
    }
}


def control(tree: trees.Tree, *words: str) -> subprocess.CompletedProcess[str]:
    config = str(tree.plan_directory / "supervisord.conf")
    command = [f"{sys.prefix}/bin/supervisorctl", "-c", config, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=trees.PATIENCE_SECONDS)


def has_socket(pid: int) -> bool:
    """Say whether ``pid`` talks to somebody; a descriptor may go while it is looked at."""
    with contextlib.suppress(FileNotFoundError):
        return any(os.readlink(f"/proc/{pid}/fd/{one}").startswith("socket:") for one in os.listdir(f"/proc/{pid}/fd"))
    return False


def said(done: subprocess.CompletedProcess[str]) -> tuple[int, str]:
    assert done.stderr == ""
    return done.returncode, done.stdout.strip()


def pids(tree: trees.Tree) -> dict[str, int | None]:
    return {view.name: view.pid for view in tree.snapshot().programs if view.role == "program"}


@pytest.fixture
def stack(tree: trees.Tree) -> trees.Tree:
    tree.build(STACK)
    tree.start().wait_ready()
    return tree


def test_status_keeps_supervisors_first_words_and_adds_the_ledgers(stack: trees.Tree) -> None:
    trees.wait_until(lambda: stack.program("api").supervisor_state == "RUNNING", "supervisor's own RUNNING")
    assert control(stack, "status").returncode == 3
    lines = {line.split()[0]: line.split(maxsplit=2)[1:] for line in control(stack, "status").stdout.splitlines()}
    state, words = lines["api"]
    assert state == "RUNNING"
    assert words.startswith(f"pid {stack.program('api').pid}, uptime 0:00:")
    assert words.endswith("; ready (running for 0s)")
    state, words = lines["migrate"]
    assert (state, words.startswith("ready (exit 0) (")) == ("EXITED", True)


def test_ready_is_for_scripts(tree: trees.Tree) -> None:
    tree.build(STACK)
    status, words = said(control(tree, "ready"))
    assert (status, words) == (4, f"unix://{tree.run.supervisor_socket}: no such file")
    tree.start()
    assert said(control(tree, "ready", "--wait", "60s")) == (0, "ready")
    assert said(control(tree, "stop", "redis"))[0] == 0
    status, words = said(control(tree, "ready"))
    assert (status, [line.split()[0] for line in words.splitlines()]) == (1, ["redis", "api", "worker"])
    assert control(tree, "ready", "now").returncode == 2
    assert "was stopped" in said(control(tree, "why", "redis"))[1]


def test_seal_tells_this_generations_seal_and_looks_at_its_record(stack: trees.Tree) -> None:
    status, words = said(control(stack, "seal"))
    assert (status, words.splitlines()[0].split(" at ")[0]) == (0, "sealed")
    assert words.endswith(f"{stack.run.seal} is that record; `bootseal verify` judges its signature")
    Path(stack.run.seal).rename(f"{stack.run.seal}.away")
    status, words = said(control(stack, "seal"))
    assert (status, words.splitlines()[0]) == (1, f"not accepted: {stack.run.seal}: it is gone")
    assert stack.stop() == 0
    assert said(control(stack, "seal"))[0] == 4


def test_what_is_bound_stops_first_stays_down_and_comes_back_with_it(stack: trees.Tree) -> None:
    before = pids(stack)
    assert said(control(stack, "stop", "redis")) == (0, "redis: stopped")
    after = stack.snapshot()
    assert {view.name for view in after.programs if view.supervisor_state == "STOPPED"} == {"redis", "api", "worker"}
    assert {view.name: view.restarts for view in after.programs if view.name in before} == dict.fromkeys(before, 0)
    assert said(control(stack, "start", "redis")) == (0, "redis: started")
    stack.wait_ready()
    assert {name for name, pid in pids(stack).items() if pid != before[name]} == {"redis", "api", "worker"}


def test_a_stopped_program_stays_stopped_and_refuses_what_needs_it(stack: trees.Tree) -> None:
    assert said(control(stack, "stop", "api")) == (0, "api: stopped")
    assert said(control(stack, "stop", "redis")) == (0, "redis: stopped")
    status, words = said(control(stack, "start", "api"))
    assert (status, words) == (7, "api: ERROR (needs redis, which was stopped; start redis first)")
    assert said(control(stack, "start", "redis")) == (0, "redis: started")
    trees.wait_until(lambda: stack.program("worker").state == snapshot.READY, "worker is back")
    assert stack.program("api").supervisor_state == "STOPPED"
    assert said(control(stack, "start", "api")) == (0, "api: started")
    stack.wait_ready()


def test_restart_takes_along_what_is_bound(stack: trees.Tree) -> None:
    before = pids(stack)
    assert said(control(stack, "restart", "redis")) == (0, "redis: stopped\nredis: started")
    stack.wait_ready()
    assert {name for name, pid in pids(stack).items() if pid != before[name]} == {"redis", "api", "worker"}


def test_stop_all_leaves_bootseals_own_and_start_all_brings_everything_back(stack: trees.Tree) -> None:
    probes = stack.program("probes").pid
    status, words = said(control(stack, "stop", "all"))
    assert (status, sorted(words.splitlines())) == (0, ["api: stopped", "redis: stopped", "worker: stopped"])
    assert stack.program("probes").pid == probes
    assert stack.wait_unready()["ready"] is False
    status, words = said(control(stack, "start", "all"))
    assert status == 0
    assert sorted(words.splitlines()) == [f"{name}: started" for name in ("api", "migrate", "redis", "worker")]
    stack.wait_ready()


def test_a_program_that_waits_to_start_can_be_stopped_and_started_again(tree: trees.Tree) -> None:
    flag = tree.root / "go"
    gate = {"command": ["sh", "-c", f"until test -e {flag}; do sleep 0.02; done"], "oneshot": True}
    tree.build({"programs": {"gate": gate, "api": {**QUICK, "after": ["gate"], "required": False}, "base": QUICK}})
    tree.start()
    waiting = lambda: tree.program("api").reason == "waits for gate"  # noqa: E731
    trees.wait_until(lambda: Path(tree.run.supervisor_socket).exists(), "supervisord listens")
    trees.wait_until(waiting, "api waits")
    assert "waits for gate (Not started)" in control(tree, "status", "api").stdout
    assert said(control(tree, "stop", "api")) == (0, "api: stopped")
    flag.touch()
    tree.wait_ready()
    assert tree.program("api").supervisor_state == "STOPPED"
    assert said(control(tree, "start", "api")) == (0, "api: started")


def test_a_start_waits_for_what_it_needs(tree: trees.Tree) -> None:
    flag = tree.root / "go"
    gate = {"command": ["sh", "-c", f"until test -e {flag}; do sleep 0.02; done"], "oneshot": True}
    tree.build({"programs": {"gate": gate, "api": {**QUICK, "after": ["gate"]}}})
    tree.start()
    trees.wait_until(lambda: Path(tree.run.supervisor_socket).exists(), "supervisord listens")
    trees.wait_until(lambda: tree.program("api").reason == "waits for gate", "api waits")
    config = str(tree.plan_directory / "supervisord.conf")
    command = [f"{sys.prefix}/bin/supervisorctl", "-c", config, "start", "api"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as start:
        trees.wait_until(lambda: has_socket(start.pid), "supervisorctl asks")
        with pytest.raises(subprocess.TimeoutExpired):
            start.wait(0.3)
        flag.touch()
        assert start.communicate(timeout=trees.PATIENCE_SECONDS)[0] == "api: started\n"
    tree.wait_ready()


def test_signal_all_leaves_the_probe_server_alone(stack: trees.Tree) -> None:
    probes = stack.program("probes").pid
    status, words = said(control(stack, "signal", "KILL", "all"))
    assert (status, sorted(words.splitlines())) == (0, [f"{name}: signalled" for name in ("api", "redis", "worker")])
    stack.wait_ready()
    assert stack.program("probes").pid == probes


def test_what_the_plan_does_not_know_is_not_added(stack: trees.Tree) -> None:
    config = stack.plan_directory / "supervisord.conf"
    config.write_text(f"{config.read_text()}\n[program:evil]\ncommand=sleep 1000\n")
    assert said(control(stack, "reread")) == (0, "evil: available")
    assert said(control(stack, "add", "evil")) == (1, "ERROR: no such process/group: evil")
    done = control(stack, "update")
    assert done.returncode == 1
    assert "the plan has no group evil of evil: add it to the manifest and build again" in done.stdout
    assert "evil" not in control(stack, "status").stdout


def test_update_takes_away_what_is_gone_and_replaces_what_changed(stack: trees.Tree) -> None:
    config = stack.plan_directory / "supervisord.conf"
    text = config.read_text()
    worker = text.index("[program:worker]")
    end = text.index("[program:", worker + 1)
    config.write_text(text[:worker] + text[end:])
    before = pids(stack)
    assert said(control(stack, "update")) == (0, "worker: stopped\nworker: removed process group")
    assert said(control(stack, "ready"))[0] == 1
    config.write_text(text.replace("stopwaitsecs=10", "stopwaitsecs=11"))
    status, words = said(control(stack, "update", "redis", "worker"))
    assert status == 0
    assert words.splitlines() == ["redis: stopped", "redis: updated process group", "worker: added process group"]
    stack.wait_ready()
    assert {name for name, pid in pids(stack).items() if pid != before[name]} == {"redis", "api", "worker"}


class _Web(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=trees.PATIENCE_SECONDS)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def test_supervisors_web_pages_do_not_go_past_the_graph(stack: trees.Tree) -> None:
    probes = stack.program("probes").pid
    with contextlib.closing(_Web(stack.run.supervisor_socket)) as page:
        page.request("GET", "/index.html?action=stopall")
        page.getresponse().read()
    assert stack.program("probes").pid == probes
    assert {stack.program(name).supervisor_state for name in ("redis", "api", "worker")} == {"STOPPED"}


def test_a_bad_call_ends_nothing(stack: trees.Tree) -> None:
    for method, arguments in (("startProcess", ()), ("startProcess", (7,)), ("stopProcess", ("nobody",))):
        with pytest.raises(client.Refused):
            stack.client().call(f"supervisor.{method}", *arguments)
    assert stack.events("ExtensionFault") == []
    stack.wait_ready()


def test_operators_survive_a_reload(stack: trees.Tree) -> None:
    assert said(control(stack, "reload")) == (0, "Restarted supervisord")
    trees.wait_until(lambda: len(stack.events("BootstrapCompleted")) == 2, "sealed again")
    stack.wait_ready()
    assert said(control(stack, "stop", "redis")) == (0, "redis: stopped")
    assert stack.program("api").supervisor_state == "STOPPED"
    assert stack.stop() == 0
