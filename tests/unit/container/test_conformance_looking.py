"""How the suite looks at a container: the question, the collector, what is seen from outside, and the report."""

import json
import os
import pathlib
import socket
import subprocess
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from container.conformance import collecting, collector, confinement, facts, outside, plugin, promise, report
from manifest import plan, serving
from tests.unit import boots
from tests.unit.container import conforming

SOURCE = pathlib.Path(collector.__file__)


def asked(tmp_path: pathlib.Path, **changes: Any) -> dict[str, Any]:
    """Return a question about a run directory of the test's own."""
    return {
        **collecting.question(conforming.the_plan(), conforming.RUN),
        "run": str(tmp_path), "plan_directory": str(tmp_path), "requests": {}, "commands": {}, "attempts": [], "known": ["/"],
        "entries": [], **changes,
    }  # fmt: skip


def run_collector(question: dict[str, Any]) -> facts.Inside:
    """Run the collector as the suite does, by source, in an isolated interpreter."""
    command = [sys.executable, "-I", "-c", SOURCE.read_text(), json.dumps(question)]
    done = subprocess.run(command, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return facts.parse(done.stdout, "this machine")


# --- the collector ----------------------------------------------------------------------------------------------------


def test_the_collector_needs_nothing_of_ours_and_fits_one_argument() -> None:
    source = SOURCE.read_text()
    imported = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imported <= set(sys.stdlib_module_names)
    assert len(source.encode()) < 64 * 1024  # MAX_ARG_STRLEN is 128 KiB (execve(2)), and a shell's quoting costs some


def test_what_the_collector_sends_is_what_the_suite_reads(tmp_path: pathlib.Path) -> None:
    record = {"boot_id": boots.BOOT_ID, "pid1": os.getpid(), "plan_directory": str(tmp_path)}
    (tmp_path / "boot.json").write_text(json.dumps(record))
    (tmp_path / "plan.json").write_bytes(b"{}")
    (tmp_path / "keys").mkdir(mode=0o700)
    events = [
        {"boot_id": boots.BOOT_ID, "level": "error", "event": "ProgramFailed", "program": "api", "reason": "exited 3"},
        {"boot_id": boots.BOOT_ID, "level": "info", "event": "ProgramReady"},
        {"boot_id": "another", "level": "error", "event": "BootstrapFailed"},
    ]
    (tmp_path / "events.jsonl").write_text("\n".join(json.dumps(one) for one in events))
    found = run_collector(asked(tmp_path))
    assert found.told.plan_sha256 == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    assert found.told.lock_sha256 is None
    assert found.entries[f"{tmp_path}/keys"].mode == 0o700
    assert found.told.errors == ("ProgramFailed api: exited 3",)
    assert found.told.error_count == 1
    assert found.told.ledger is None
    assert "FileNotFoundError" in found.told.ledger_error
    main = found.process(os.getpid())
    assert main is not None
    assert main.uids[1] == os.geteuid()
    assert [one for one in found.processes if one.parent == main.pid], (
        "the collector is this process's child, and is told"
    )


def test_a_listener_of_the_boot_is_told_with_its_owner(tmp_path: pathlib.Path) -> None:
    (tmp_path / "boot.json").write_text(json.dumps({"pid1": os.getpid()}))
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
    ):
        found = run_collector(asked(tmp_path)).listeners
        port, other = listener.getsockname()[1], six.getsockname()[1]
        assert facts.Listener("tcp", "127.0.0.1", port, os.getpid()) in found
        assert facts.Listener("tcp", "::1", other, os.getpid()) in found


def test_a_write_that_succeeds_is_told_and_leaves_nothing(tmp_path: pathlib.Path) -> None:
    file = tmp_path / "file"
    file.write_text("kept")
    missing = str(tmp_path / "missing")
    found = run_collector(asked(tmp_path, attempts=[str(tmp_path), str(file), missing]))
    assert {one.path: one.error for one in found.told.attempts} == {str(tmp_path): "", str(file): "", missing: "ENOENT"}
    assert file.read_text() == "kept"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_what_can_be_written_is_found_below_what_cannot_and_known_places_are_left_out(tmp_path: pathlib.Path) -> None:
    mine, known = tmp_path / "deep" / "mine", tmp_path / "known"
    mine.mkdir(parents=True)
    known.mkdir()
    table = f"1 0 0:1 / {tmp_path} rw - ext4 /dev/x rw\n2 0 0:2 / /proc rw - proc proc rw"
    found, looked = collector.writable(table, [str(known)])
    assert found == [str(tmp_path)], "who can write to a directory is told of it, and not of all that is in it"
    assert looked == 1
    assert collector.writable(table, [str(tmp_path)]) == ([], 0)


def test_no_value_of_a_variable_leaves_the_container(tmp_path: pathlib.Path) -> None:
    secret = "correct-horse-battery-staple"
    program = "import subprocess, sys; subprocess.run([sys.executable, '-I', '-c', *sys.argv[1:]])"
    command = [sys.executable, "-I", "-c", program, SOURCE.read_text(), json.dumps(asked(tmp_path))]
    (tmp_path / "boot.json").write_text(json.dumps({"pid1": os.getpid()}))
    done = subprocess.run(command, env={"SECRET_TOKEN": secret}, capture_output=True, check=True)
    assert b"SECRET_TOKEN" in done.stdout
    assert secret.encode() not in done.stdout


def test_no_line_of_a_program_leaves_the_container() -> None:
    said = json.dumps({"programs": [{"name": "api", "last_output": ["the password is x"]}]})
    assert json.loads(collector.without_output(said)) == {"programs": [{"name": "api", "last_output": []}]}
    assert collector.without_output("<html>") == "<html>"


def test_a_command_that_is_missing_or_hangs_is_told(tmp_path: pathlib.Path) -> None:
    found = run_collector(asked(tmp_path, commands={"a": ["/no/such/program"], "b": ["sh", "-c", "echo said; exit 3"]}))
    assert found.told.ran["a"].code == -1
    assert found.told.ran["b"] == facts.Ran(3, "said\n")


# --- the question -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "reached"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("127.0.0.1", "127.0.0.1"), ("10.1.2.3", "10.1.2.3")]
)
def test_a_listener_is_asked_where_it_is_reached_from_within(host: str, reached: str) -> None:
    made = boots.make_plan(probes=boots.listening(host=host))
    asked_for = collecting.question(made, conforming.RUN)["requests"]
    assert asked_for["livez"] == {"host": reached, "port": 8080, "path": "/livez"}


def test_the_question_comes_from_the_plan() -> None:
    wanted = collecting.question(conforming.the_plan(), conforming.RUN)
    assert {"/", "/etc", "/usr", "/opt/bootseal", "/opt/box"} == set(wanted["attempts"])
    assert {"/run", "/tmp", "/run/api", "/data"} <= set(wanted["known"])
    assert wanted["requests"]["metrics"]["port"] == 9091
    assert wanted["requests"]["detail"] == {"host": "127.0.0.1", "port": 8081, "path": "/health", "detail": True}
    assert wanted["requests"]["health"]["socket"] == "/run/bootseal/probes.sock"
    assert wanted["commands"]["verify"][-2:] == ["--run-dir", "/run/bootseal"]


class Host:
    """A testinfra host whose only command answers as the test says."""

    def __init__(self, code: int, stdout: str, stderr: str = "") -> None:
        self.backend = types.SimpleNamespace(NAME="ssh", name="far")
        self.answer = types.SimpleNamespace(rc=code, stdout=stdout, stderr=stderr)

    def run(self, *command: str) -> Any:
        return self.answer


def loaded() -> plan.LoadedPlan:
    return plan.LoadedPlan(conforming.the_plan(), "/x", conforming.PLAN_SHA256)


def test_a_container_is_looked_at_by_one_command() -> None:
    found = collecting.look(Host(0, json.dumps(conforming.collected())), loaded(), "/elsewhere", shared_network=False)
    assert found.run.path == "/elsewhere"
    assert found.main.pid == 1
    assert "ssh" in found.outside.why


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (Host(127, "", "no such container"), "did not run in it: no such container"),
        (Host(0, "Segmentation fault"), "what its interpreter told is not understood"),
        (Host(0, "{}"), "what its interpreter told is not understood"),
        (
            Host(0, json.dumps({**conforming.collected(), "mountinfo": "nonsense"})),
            "the kernel's text is not as expected",
        ),
    ],
)
def test_a_container_that_cannot_be_asked_is_told_as_that(host: Host, words: str) -> None:
    with pytest.raises(collecting.Unreachable) as caught:
        collecting.look(host, loaded(), None, shared_network=False)
    assert words in str(caught.value)


# --- from outside -----------------------------------------------------------------------------------------------------


def test_user_ids_are_told_as_the_container_sees_them() -> None:
    assert outside.mapped((100999, 1000, 5), "0 1000 1\n1 100000 65536\n") == (1000, 0, -1)
    assert outside.mapped((0, 1000), "0 0 4294967295") == (0, 1000)


def test_what_a_seccomp_profile_allows_is_read_as_each_engine_tells_it(tmp_path: pathlib.Path) -> None:
    rules = [
        {"names": ["read", "ptrace"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["clone"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0}]},
        {"names": ["reboot"], "action": "SCMP_ACT_ERRNO"},
    ]
    text = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules})
    file = tmp_path / "profile.json"
    file.write_text(text)
    assert outside.allowed_syscalls(["no-new-privileges", f"seccomp={file}"]) == ("ptrace", "read")
    assert outside.allowed_syscalls([f"seccomp={text}"]) == ("ptrace", "read")
    assert outside.allowed_syscalls(["no-new-privileges"]) is None
    assert outside.allowed_syscalls(["seccomp=unconfined"]) is None
    logged = [{"names": ["ptrace"], "action": "SCMP_ACT_LOG"}]
    assert outside.allowed_syscalls(
        ["seccomp=" + json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": logged})]
    ) == ("ptrace",)
    for action in ("SCMP_ACT_ALLOW", "SCMP_ACT_LOG"):
        assert outside.allowed_syscalls(["seccomp=" + json.dumps({"defaultAction": action, "syscalls": []})]) is None


Engine = Callable[[dict[str, Any]], Any]


@pytest.fixture
def engine(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A podman on PATH that tells what the test says, and the host that it has."""

    def make(described: dict[str, Any]) -> Any:
        (tmp_path / "described.json").write_text(json.dumps([described]))
        client = tmp_path / "podman"
        client.write_text(
            f"#!/bin/sh\ncase $1 in\ninspect) cat {tmp_path}/described.json ;;\nlogs) echo said; echo aside >&2 ;;\n"
            f'stop) echo "$@" >{tmp_path}/stopped ;;\n*) exit 9 ;;\nesac\n'
        )
        client.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        return types.SimpleNamespace(backend=types.SimpleNamespace(NAME="podman", name="box"))

    return make


def described(pid: int = 0, code: int = 0, **settings: Any) -> dict[str, Any]:
    return {"Id": "0123abc", "State": {"Pid": pid, "ExitCode": code}, "HostConfig": {"Privileged": False, **settings}}


def test_the_engine_is_asked_for_its_log_and_whether_it_holds_back(engine: Engine) -> None:
    seen = outside.look(engine(described(Privileged=True)))
    assert (seen.log, seen.privileged, seen.main) == ("said\naside\n", True, None)


def test_a_process_that_is_not_the_containers_is_not_taken_for_it(engine: Engine) -> None:
    """An engine on another machine tells a pid of that machine; here it is somebody else's."""
    seen = outside.look(engine(described(os.getpid())))
    assert (seen.main, seen.shared) == (None, None)
    assert "not this machine's" in seen.why


def test_the_containers_own_process_is_seen_by_the_host(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    read = outside._text
    monkeypatch.setattr(outside, "_text", lambda path: "0::/libpod-0123abc" if path.endswith("/cgroup") else read(path))
    seen = outside.look(engine(described(os.getpid())))
    assert seen.main is not None
    assert seen.main.pid == os.getpid()
    assert seen.shared == confinement.NAMESPACES, "this process shares all its namespaces with itself"


def stopping(host: Any) -> promise.Verdict:
    judged = promise.Promise("stop", "", lambda subject: outside.stop(host, subject.plan))
    return promise.verdict(judged, conforming.subject())


def test_a_stop_is_given_the_budget_of_the_plan_and_must_end_with_0(engine: Engine, tmp_path: pathlib.Path) -> None:
    found = stopping(engine(described()))
    assert found.violations == ()
    assert (tmp_path / "stopped").read_text().split() == ["stop", "--time", "31", "box"]


@pytest.mark.parametrize(
    ("code", "words"), [(137, "exited 137, not 0: it was killed after 31 s"), (6, "exited 6, not 0")]
)
def test_a_stop_that_took_too_long_or_failed_is_a_broken_promise(engine: Engine, code: int, words: str) -> None:
    [violation] = stopping(engine(described(code=code))).violations
    assert words in str(violation)


def test_a_container_whose_exit_code_nobody_keeps_is_not_stopped(engine: Engine, tmp_path: pathlib.Path) -> None:
    assert "it removes itself" in stopping(engine(described(AutoRemove=True))).unseen
    assert not (tmp_path / "stopped").exists()
    pod = types.SimpleNamespace(backend=types.SimpleNamespace(NAME="kubectl", name="pod"))
    assert "the backend kubectl tells no exit code" in stopping(pod).unseen


def test_kubectl_is_given_the_options_of_the_host() -> None:
    backend = types.SimpleNamespace(
        NAME="kubectl", name="pod", namespace="prod", container="app", kubeconfig=None, context=None
    )
    assert outside._kubectl_options(backend) == ["--namespace=prod", "--container=app"]


# --- the report and the options ---------------------------------------------------------------------------------------


ROWS = (
    report.Row("podman://a", "user", "Every process…", report.KEPT, ("1000:1000",)),
    report.Row("podman://a", "seal", "The seal…", report.BROKEN, ("a | b", "c\nd")),
    report.Row("podman://b", "stop", "It stops…", report.UNSEEN, ("it ends the container",)),
)


def test_the_report_tells_every_promise_of_every_host_in_both_forms() -> None:
    value = json.loads(report.render(ROWS, "box", "ab", ".json", boots.WALL))
    assert value["counts"] == {"kept": 1, "broken": 1, "not judged": 1}
    assert [one["promise"] for one in value["promises"]] == ["user", "seal", "stop"]
    assert value["at"] == boots.WALL
    text = report.render(ROWS, "box", "ab", ".md", boots.WALL)
    assert text.startswith("# box: 1 of 3 promises broken\n")
    assert "## podman://a" in text and "## podman://b" in text
    [row] = [line for line in text.splitlines() if "seal:" in line]
    assert row.endswith("**broken** | a \\| b<br>c\\\\nd |"), "what was seen breaks no table"


class Options:
    """A pytest configuration with these options."""

    def __init__(self, plan: str | None = None, report: str | None = None) -> None:
        self.given = {"--plan": plan, "--report": report}
        self.stash: dict[Any, Any] = {}
        self.registered: list[Any] = []
        self.pluginmanager = types.SimpleNamespace(register=self.registered.append)

    def getoption(self, name: str) -> Any:
        return self.given[name]


@pytest.fixture
def plan_file(tmp_path: pathlib.Path) -> str:
    file = tmp_path / "given.json"
    file.write_bytes(plan.dump(boots.make_plan()))
    return str(file)


def prepare(options: Options) -> None:
    plugin.prepare(options)  # type: ignore[arg-type]


def test_the_plan_is_taken_from_a_file_of_any_name_or_a_directory(plan_file: str, tmp_path: pathlib.Path) -> None:
    os.link(plan_file, tmp_path / "plan.json")
    by_file, by_directory = Options(plan_file), Options(str(tmp_path))
    prepare(by_file)
    prepare(by_directory)
    [one], [other] = by_file.stash.values(), by_directory.stash.values()
    assert one.plan == other.plan == boots.make_plan()
    assert one.sha256 == other.sha256
    assert by_file.registered == []


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "--plan: it is not given"),
        ({"plan": "/no/such/plan.json"}, "plan /no/such/plan.json: No such file"),
        ({"plan": __file__}, "name the plan.json"),
        ({"report": "x.html"}, "--report x.html: it is neither .json nor .md"),
        ({"report": "/no/such/directory/x.md"}, "its directory is not there"),
    ],
)  # fmt: skip
def test_a_wrong_option_ends_the_run_before_a_container_is_asked(
    plan_file: str, options: dict[str, str], words: str
) -> None:
    with pytest.raises(pytest.UsageError) as caught:
        prepare(Options(**{"plan": plan_file if options else None, **options}))  # type: ignore[arg-type]
    assert words in str(caught.value) or (options.get("plan") == __file__ and "--plan: " in str(caught.value))


def test_rows_reach_the_report_by_the_tests_properties(plan_file: str, tmp_path: pathlib.Path) -> None:
    options = Options(plan_file, str(tmp_path / "report.json"))
    prepare(options)
    [reporter] = options.registered
    told: list[tuple[str, Any]] = []
    plugin.tell(lambda name, value: told.append((name, value)), ROWS[1])
    reporter.pytest_runtest_logreport(types.SimpleNamespace(when="call", user_properties=[*told, ("other", "x")]))
    reporter.pytest_runtest_logreport(types.SimpleNamespace(when="teardown", user_properties=told))
    session = types.SimpleNamespace(exitstatus=1)
    reporter.pytest_sessionfinish(session)
    assert json.loads((tmp_path / "report.json").read_text())["promises"] == [
        {"host": "podman://a", "promise": "seal", "says": "The seal…", "outcome": "broken", "seen": ["a | b", "c\nd"]}
    ]
    assert session.exitstatus == 1


def test_a_report_that_cannot_be_written_fails_the_run(plan_file: str, tmp_path: pathlib.Path) -> None:
    options = Options(plan_file, str(tmp_path / "report.md"))
    prepare(options)
    (tmp_path / "report.md").mkdir()
    session = types.SimpleNamespace(exitstatus=0)
    options.registered[0].pytest_sessionfinish(session)
    assert session.exitstatus != 0


def test_detail_of_its_own_is_asked_for_on_both_addresses() -> None:
    own = serving.DetailPlan(serving.OWN, "10.0.0.1", 8081, None)
    wanted = collecting.question(boots.make_plan(probes=boots.listening(detail=own)), conforming.RUN)["requests"]
    assert (wanted["detail"]["host"], wanted["detail"]["port"]) == ("10.0.0.1", 8081)
    assert (wanted["elsewhere"]["host"], wanted["elsewhere"]["port"]) == ("127.0.0.1", 8080)


def test_a_violation_prints_as_every_error_does() -> None:
    one = promise.Violation("/run", "it is\x1b[2J open", "chmod go-w it")
    assert str(one) == r"/run: it is\x1b[2J open (chmod go-w it)"
