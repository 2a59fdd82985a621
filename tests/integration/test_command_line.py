"""The command line against real trees: what a person is told is what is so."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import tree as trees
import yaml

from contract import rundir

SCRIPT = f"{sys.prefix}/bin/bootseal"
QUICK = trees.QUICK
SLOW = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1000s"}}
STACK = {"programs": {"redis": QUICK, "api": {**QUICK, "after": ["redis"]}}}


def environment(**changes: str) -> dict[str, str]:
    known = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("BOOTSEAL", "NO_COLOR", "FORCE_COLOR"))
    }
    return {**known, **changes}


def call(tree: trees.Tree, *words: str, **changes: str) -> subprocess.CompletedProcess[str]:
    """Run ``bootseal WORDS`` for the tree."""
    return subprocess.run(
        [SCRIPT, *words], capture_output=True, text=True, check=False, timeout=2 * trees.PATIENCE_SECONDS,
        env=environment(BOOTSEAL_RUN_DIR=tree.run.path, **changes),
    )  # fmt: skip


@contextlib.contextmanager
def running(tree: trees.Tree, *words: str) -> Iterator[subprocess.Popen[str]]:
    """Run ``bootseal WORDS`` beside the test; ended with it."""
    process = subprocess.Popen(
        [SCRIPT, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(BOOTSEAL_RUN_DIR=tree.run.path),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def lines_until(process: subprocess.Popen[str], wanted: str) -> list[str]:
    """Return the lines up to one that holds ``wanted``; the test's own patience ends a wait in vain by killing the process."""
    import threading

    watch = threading.Timer(trees.PATIENCE_SECONDS, process.kill)
    watch.start()
    told = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            told.append(line.rstrip("\n"))
            if wanted in line:
                return told
    finally:
        watch.cancel()
    raise AssertionError(f"never said: {wanted}\n" + "\n".join(told))


def data(done: subprocess.CompletedProcess[str], code: int) -> Any:
    assert done.returncode == code, done
    return json.loads(done.stdout)


def test_a_ready_container_is_told_to_be_so_with_its_programs_and_where_it_listens(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    said = call(tree, "status")
    assert said.returncode == 0 and said.stderr == ""
    assert said.stdout.startswith("READY for ")
    assert re.search(r"^redis +ready +\S+ +0 +running for 0s$", said.stdout, re.MULTILINE)
    value = data(call(tree, "status", "--format", "json"), 0)
    assert (value["state"], value["told_by"], value["phase"], value["name"]) == ("ready", "probes", "sealed", "tree")
    assert value["boot_id"] == tree.snapshot().boot_id
    assert value["programs"] == json.loads(json.dumps(tree.get("/health")[1]["programs"]))
    assert value["log_level"] == "info" and str(tree.port) in json.dumps(value["endpoints"]["probes"])
    assert yaml.safe_load(call(tree, "status", "--format", "yaml").stdout)["boot_id"] == value["boot_id"]
    for words in (["why"], ["wait"], ["wait", "--for", "sealed"], ["wait", "--for", "program=api"], ["why", "redis"]):
        assert call(tree, *words).returncode == 0, words
    assert call(tree, "why").stdout.startswith("ready for ")


def test_why_names_the_program_at_the_end_of_the_chain_and_its_last_words(tree: trees.Tree) -> None:
    broken = {
        "command": ["sh", "-c", "echo one; printf 'cannot \\033[31mbind\\n'; sleep 0.2; exit 3"],
        "ready": {"running": True, "for": "900s"},
    }
    programs = {"redis": broken, "api": {**QUICK, "after": ["redis"]}, "web": {**QUICK, "after": ["api"]}}
    tree.build({"boot": {"on_failure": "hold"}, "programs": programs})
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    said = call(tree, "why")
    assert said.returncode == 1
    first, *rest = said.stdout.splitlines()
    assert "redis" in first and "exited with code 3" in first
    assert rest[-1] == "  | cannot \\x1b[31mbind"
    cause = data(call(tree, "why", "--format", "json"), 1)["causes"][0]
    assert cause["chain"][-1] == "redis" and cause["lines"][-1].startswith("cannot ")
    about = call(tree, "why", "web").stdout
    assert "web waits for api, api waits for redis" in about.splitlines()[0]
    assert "web" in call(tree, "why", "--all").stdout
    assert "did you mean redis?" in call(tree, "why", "redus").stderr
    status = call(tree, "status")
    assert status.returncode == 1 and status.stdout.startswith("UNREADY")
    waited = call(tree, "wait", "--timeout", "50s")
    assert waited.returncode == 1 and "never ready: the boot failed" in waited.stderr


def test_wait_begins_before_the_container_and_ends_with_its_seal(tree: trees.Tree) -> None:
    tree.build(STACK)
    with running(tree, "wait", "--for", "sealed") as sealed, running(tree, "wait", "--for", "program=api") as program:
        assert sealed.poll() is None
        tree.start()
        assert (sealed.wait(trees.PATIENCE_SECONDS), program.wait(trees.PATIENCE_SECONDS)) == (0, 0)
        assert tree.snapshot().boot_sealed_at in sealed.communicate()[0]


def test_wait_for_what_can_never_be_ends_with_the_cause_before_its_time(tree: trees.Tree) -> None:
    failing = {"command": ["sh", "-c", "echo no; exit 3"], "oneshot": True}
    tree.build({"programs": {"migrate": failing, "api": {**QUICK, "after": ["migrate"]}}})
    with running(tree, "wait", "--timeout", "1h") as waiting:
        tree.start()
        assert waiting.wait(2 * trees.PATIENCE_SECONDS) == 1
        told = waiting.communicate()[1]
    assert told.startswith("bootseal wait: never ready: ") and "migrate" in told
    assert tree.exit_code() == 6
    ended = call(tree, "status")
    assert ended.returncode == 6 and ended.stdout.startswith("ENDED for ") and "migrate" in ended.stdout
    why = call(tree, "why")
    assert why.returncode == 1 and "migrate" in why.stdout.splitlines()[0] and "  | no" in why.stdout


def test_a_time_that_is_over_is_1_and_says_what_lacks(tree: trees.Tree) -> None:
    tree.build({"programs": {"slow": SLOW}})
    tree.start()
    tree.wait_unready()
    trees.wait_until(lambda: "must stay up" in call(tree, "why").stdout, "the reason is the program's")
    said = call(tree, "wait", "--timeout", "300ms")
    assert said.returncode == 1 and said.stdout == ""
    assert re.fullmatch(r"bootseal wait: not ready within 0\.3 s: slow .*must stay up for 1000s\n", said.stderr)
    assert call(tree, "wait", "--for", "program=slaw").returncode == 2


def test_without_the_probe_server_the_ledger_is_shown_and_readiness_is_unknown(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    refused = call(tree, "stop", "api", "probes")
    assert refused.returncode == 1 and "nobody answers whether the container is ready" in refused.stderr
    assert call(tree, "status").returncode == 0, "and nothing was stopped"
    assert call(tree, "stop", "probes", "--force").returncode == 0
    said = call(tree, "status")
    assert said.returncode == 1
    assert said.stdout.startswith("READINESS UNKNOWN: the probe server at ") and re.search(
        r"^api +ready", said.stdout, re.MULTILINE
    )
    value = data(call(tree, "status", "--format", "json"), 1)
    assert (value["state"], value["ready"], value["told_by"]) == ("unknown", None, "ledger")
    assert call(tree, "why").stdout.splitlines()[1].startswith("  PID 1 says: probes was stopped")
    assert call(tree, "why", "mount:/x").returncode == 1, "what is required is not known"
    assert call(tree, "wait", "--timeout", "300ms").returncode == 1
    assert call(tree, "start", "probes").returncode == 0
    assert call(tree, "wait").returncode == 0


def test_a_probe_server_that_is_stopped_is_all_that_lacks(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    server = tree.program("probes").pid
    assert server is not None
    os.kill(server, signal.SIGSTOP)
    try:
        lines = call(tree, "why").stdout.splitlines()
    finally:
        os.kill(server, signal.SIGCONT)
    assert lines[0].startswith("readiness unknown: the probe server at ")
    assert lines[1:] == ["  PID 1 says: every required program is ready", "  → bootseal restart probes"]


def test_a_pid_1_that_is_stopped_is_not_ready(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    os.kill(tree.pid, signal.SIGSTOP)
    try:
        trees.wait_until(lambda: call(tree, "status").returncode == 1, "status says so")
        why = call(tree, "why").stdout
        assert "PID 1 has not confirmed its ledger" in why
        stopped = f"PID 1 is process {tree.pid} and is stopped"
        assert f"  {stopped} (kill -CONT {tree.pid})\n" in why
        status = call(tree, "status").stdout
        assert stopped in status and re.search(r"^as PID 1 last told, \d+s ago\nPROGRAM ", status, re.MULTILINE), status
        one = call(tree, "why", "api")
        known = r"not known: PID 1 has not confirmed its ledger for \d+ s; it last said: ready\n"
        assert one.returncode == 1 and re.match(known, one.stdout), one
        assert call(tree, "why", "identity").stdout.startswith("identity is met\n")
        doctor = call(tree, "doctor")
        assert doctor.returncode == 1 and re.search(rf"^FAIL  boot +{stopped}$", doctor.stdout, re.MULTILINE), doctor
        refused = call(tree, "stop", "api", "--timeout", "500ms")
        assert refused.returncode == 6 and "no answer within" in refused.stderr
    finally:
        os.kill(tree.pid, signal.SIGCONT)
    trees.wait_until(lambda: call(tree, "status").returncode == 0, "and takes it back")


def test_a_sealed_container_of_which_nobody_answers_is_told_so_in_time(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    sealed_at, probes = tree.events("BootstrapCompleted")[0]["time"], tree.program("probes").pid
    assert probes is not None
    for pid in (tree.pid, probes):
        os.kill(pid, signal.SIGSTOP)
    try:
        said = call(tree, "status")
        assert said.returncode == 1
        assert re.match(
            rf"READINESS UNKNOWN for \S+: it was sealed at {sealed_at}; PID 1 does not answer\n", said.stdout
        ), said
        why = call(tree, "why")
        assert why.returncode == 1 and "supervisord at " in why.stdout and "boots" not in why.stdout
        waited = call(tree, "wait", "--timeout", "1s")
        assert waited.returncode == 1 and waited.stderr.startswith(
            "bootseal wait: not ready within 1 s: it was sealed at "
        )
        assert call(tree, "wait", "--for", "sealed").returncode == 0
        doctor = call(tree, "doctor")
        assert (
            doctor.returncode == 1
            and len(re.findall(r"^FAIL  socket .*no answer within 2 s$", doctor.stdout, re.MULTILINE)) == 2
        )
        assert call(tree, "logs").returncode == 6
    finally:
        for pid in (probes, tree.pid):
            os.kill(pid, signal.SIGCONT)
    trees.wait_until(lambda: call(tree, "status").returncode == 0, "and takes it back")


def test_another_user_is_told_that_it_runs_and_whom_to_be(tree: trees.Tree) -> None:
    if os.geteuid() != 0:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("only root can become another user")
    tree.build(STACK)
    tree.start().wait_ready()

    def call_as_nobody(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [SCRIPT, *words], capture_output=True, text=True, check=False, timeout=2 * trees.PATIENCE_SECONDS,
            env=environment(BOOTSEAL_RUN_DIR=tree.run.path), user=65533, group=65533, extra_groups=[],
        )  # fmt: skip

    remedy = "(run it as the container's user or as root)"
    for words in (["status"], ["why"]):
        said = call_as_nobody(*words)
        assert said.returncode == 1 and "it runs and cannot be asked: Permission denied" in said.stdout, said
        assert remedy in said.stdout and "boots" not in said.stdout
    for words in (["stop", "api"], ["logs"], ["analyze"], ["events"]):
        said = call_as_nobody(*words)
        assert said.returncode == 6 and said.stderr.endswith(f"Permission denied {remedy}\n"), said
    if trees.other_uid() is not None:
        found = {one["what"]: one for one in json.loads(call(tree, "doctor", "--format", "json").stdout)["findings"]}
        assert "owned by" not in found["run directory"]["found"], "it is the boot's own"


def test_a_start_whose_first_try_fails_is_waited_for_while_pid_1_tries_again(tree: trees.Tree) -> None:
    code = "test -e $0 || { touch $0; exit 4; }; exec sleep 1000"
    once = {"command": ["sh", "-c", code, "${run}/tried"], "ready": {"running": True, "for": "300ms"}}
    tree.build({"programs": {"api": once}})
    tree.start().wait_ready()
    os.unlink(f"{tree.run.path}/tried")
    said = call(tree, "restart", "api")
    assert said.returncode == 0 and said.stdout.startswith("api: was restarted, and is ready"), said


def test_start_stop_and_restart_wait_until_it_is_so_and_say_why_not(tree: trees.Tree) -> None:
    stays = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1s"}}
    tree.build(
        {
            "programs": {
                "redis": stays,
                "api": {**QUICK, "after": {"redis": {"bind": True}}},
                "job": {"command": ["true"], "oneshot": True},
            }
        }
    )
    tree.start().wait_ready()
    assert call(tree, "stop", "redis", "api").stdout == "redis: stopped\napi: stopped\n"
    assert tree.program("api").supervisor_state == "STOPPED", "it was bound to it"
    assert call(tree, "stop", "redis").stdout == "redis: was not running\n"
    refused = call(tree, "start", "api")
    assert refused.returncode == 1 and refused.stdout == ""
    assert refused.stderr == "bootseal start: api: needs redis, which was stopped; start redis first\n"
    started = call(tree, "start", "redis", "api")
    assert (
        started.returncode == 0
        and started.stdout == "redis: is ready by running for 1s\napi: is ready by running for 0s\n"
    )
    assert tree.program("redis").state == "ready", "RUNNING alone would have been told a second earlier"
    assert call(tree, "start", "redis").stdout == "redis: is ready already by running for 1s\n"
    before = tree.program("redis").pid
    restarted = call(tree, "restart", "redis", "--format", "json")
    assert data(restarted, 0)["programs"] == [
        {"name": "redis", "done": True, "what": "was restarted, and is ready by running for 1s"}
    ]
    assert tree.program("redis").pid != before
    assert call(tree, "restart", "redis", "--no-wait").stdout == "redis: is being started\n"
    late = call(tree, "start", "redis", "--timeout", "200ms")
    assert late.returncode in {0, 1} and (late.returncode == 0 or "within" in late.stderr)
    unknown = call(tree, "restart", "redis", "redus")
    assert (
        unknown.returncode == 2
        and unknown.stderr
        == "bootseal restart: program redus: this container has none of that name (did you mean redis?)\n"
    )


def test_a_start_is_done_when_it_is_ready_and_not_when_it_runs(tree: trees.Tree) -> None:
    slow = {
        "command": ["sh", "-c", "sleep 3; touch $0; exec sleep 1000", "${run}/made"],
        "ready": {"file": "${run}/made"},
    }
    tree.build({"programs": {"slow": slow, "other": QUICK}})
    tree.start().wait_ready()
    said = call(tree, "restart", "slow")
    assert said.returncode == 0 and said.stdout.startswith("slow: was restarted, and is ready by "), said
    assert os.path.exists(f"{tree.run.path}/made") and tree.program("slow").state == "ready"
    call(tree, "restart", "slow", "--no-wait")
    late = call(tree, "start", "slow", "--timeout", "1500ms")
    assert late.returncode == 1 and "within" in late.stderr and "has not made" in late.stderr, late


def test_a_start_that_fails_is_told_with_its_cause(tree: trees.Tree) -> None:
    flag = tree.root / "broken"
    code = f"test ! -e {flag} || {{ echo it is broken; exit 4; }}; exec sleep 1000"
    tree.build(
        {
            "programs": {
                "api": {"command": ["sh", "-c", code], "ready": {"running": True, "for": "500ms"}, "required": False},
                "other": QUICK,
            }
        }
    )
    tree.start().wait_ready()
    call(tree, "wait", "--for", "program=api")
    flag.touch()
    said = call(tree, "restart", "api", "--timeout", "50s")
    assert said.returncode == 1 and said.stderr.startswith("bootseal restart: api: ") and "code 4" in said.stderr, said


def test_events_are_told_short_whole_and_as_they_come(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    stored = rundir.RunDirectory(tree.run.path).events
    whole = call(tree, "events", "--format", "json")
    listed = yaml.safe_load(call(tree, "events", "--format", "yaml").stdout)
    assert listed[: len(whole.stdout.splitlines())] == [json.loads(line) for line in whole.stdout.splitlines()]
    with open(stored) as file:
        assert whole.stdout.splitlines() == file.read().splitlines()[: whole.stdout.count("\n")]
    assert whole.returncode == 0
    text = call(tree, "events", "--abs-time").stdout
    assert re.search(r"^\S+Z  info   BootstrapStarted ", text, re.MULTILINE)
    assert re.search(r"^\S+Z  info   ProgramReady +api \(ready by running for 0s, pid \d+\)$", text, re.MULTILINE)
    assert call(tree, "events", "-n", "2").stdout.count("\n") == 2
    with running(tree, "events", "-f", "-n", "1") as following:
        lines_until(following, "s  ")
        call(tree, "restart", "api", "--no-wait")
        trees.wait_until(lambda: tree.program("api").restarts, "it was restarted")
        told = lines_until(following, "ProgramStarted")
    assert "BootstrapStarted" not in "\n".join(told)


def test_logs_tell_what_programs_said_and_what_they_say(tree: trees.Tree) -> None:
    talk = "printf 'hello\\033[2J\\nfrom me\\n'; echo wrong >&2; while :; do sleep 0.1; echo tick; done"
    tree.build(
        {
            "programs": {
                "talker": {"command": ["sh", "-c", talk]},
                "api": {"command": ["sh", "-c", "echo api here; exec sleep 1000"]},
            }
        }
    )
    tree.start().wait_ready()
    every = call(tree, "logs")
    assert every.returncode == 0
    assert (
        "talker | from me" in every.stdout and "api    | api here" in every.stdout and "talker ! wrong" in every.stdout
    )
    assert "probes" not in every.stdout and "probes" in call(tree, "logs", "--all").stdout
    assert call(tree, "logs", "api").stdout == "api here\n"
    assert call(tree, "logs", "-n", "1", "api").stdout == "api here\n"
    assert call(tree, "logs", "-n", "0", "api").stdout == ""
    one = json.loads(call(tree, "logs", "api", "--format", "json").stdout)
    assert yaml.safe_load(call(tree, "logs", "api", "--format", "yaml").stdout) == [one]
    assert (one["program"], one["stream"], one["message"], one["pid"]) == (
        "api",
        "stdout",
        "api here",
        tree.program("api").pid,
    )
    wrong = call(tree, "logs", "apj")
    assert wrong.returncode == 2 and "did you mean api?" in wrong.stderr
    why = call(tree, "why", "apj")
    assert why.returncode == 2 and "did you mean api?" in why.stderr
    with running(tree, "logs", "-f", "-n", "0", "talker") as following:
        assert lines_until(following, "tick")[-1] == "tick"


def test_on_a_terminal_nothing_that_a_program_said_acts_on_it(tree: trees.Tree) -> None:
    tree.build(
        {
            "programs": {
                "evil": {"command": ["sh", "-c", "printf 'before\\033]0;owned\\007\\033[2Jafter\\n'; exec sleep 1000"]}
            }
        }
    )
    tree.start().wait_ready()
    for words, coloured in ((["logs", "evil"], False), (["why", "evil"], True), (["status"], True)):
        shown = on_terminal(tree, *words)
        assert ("\x1b[1" in shown) == coloured, words
        assert "\x07" not in shown and "\x1b]" not in shown and "\x1b[2J" not in shown
        assert "\x1b" not in on_terminal(tree, *words, NO_COLOR="1")
    assert "before\\x1b]0;owned\\x07\\x1b[2Jafter" in on_terminal(tree, "logs", "evil")


def on_terminal(tree: trees.Tree, *words: str, **changes: str) -> str:
    """Return what ``bootseal WORDS`` prints on a terminal of its own."""
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(
            [SCRIPT, *words],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=environment(TERM="xterm", BOOTSEAL_RUN_DIR=tree.run.path, **changes),
        ) as process:
            os.close(theirs)
            theirs = -1
            told = b""
            with contextlib.suppress(OSError):  # EIO: the other end was closed
                while chunk := os.read(ours, 65536):
                    told += chunk
            process.wait(trees.PATIENCE_SECONDS)
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)
    return told.decode()


def test_a_watched_status_tells_each_change(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK, "other": QUICK}})
    tree.start().wait_ready()
    with running(tree, "status", "-w") as watching:
        lines_until(watching, "READY for")
        call(tree, "stop", "api")
        assert any("api" in line for line in lines_until(watching, "UNREADY for"))
        call(tree, "start", "api")
        lines_until(watching, "READY for")


@pytest.mark.parametrize("words", [["status"], ["events"], ["why", "--all"], ["doctor"]])
def test_a_reader_that_leaves_early_is_no_traceback(tree: trees.Tree, words: list[str]) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    shell = f"{SCRIPT} {' '.join(words)} | head -c 1"
    done = subprocess.run(
        ["bash", "-c", shell],
        capture_output=True,
        text=True,
        env=environment(BOOTSEAL_RUN_DIR=tree.run.path),
        check=False,
    )
    assert done.stderr == ""


def test_doctor_finds_the_boot_its_plan_and_its_sockets(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    value = json.loads(call(tree, "doctor", "--format", "json").stdout)
    found = {one["what"]: one for one in value["findings"]}
    assert found["boot"]["level"] == "OK" and str(tree.pid) in found["boot"]["found"]
    assert [one["level"] for one in value["findings"] if one["what"] == "socket"] == ["OK"] * 3
    assert found["plan"]["found"] == f"tree in {tree.plan_directory}"


def test_programs_are_completed_from_the_ledger(tree: trees.Tree) -> None:
    tree.build(STACK)
    tree.start().wait_ready()
    asked = {"COMP_WORDS": "bootseal restart re", "COMP_CWORD": "2", "_BOOTSEAL_COMPLETE": "bash_complete"}
    assert call(tree, **asked).stdout.split() == ["plain,redis"]


def test_hundreds_of_programs_are_told_whole(tree: trees.Tree) -> None:
    programs = {f"p{number:03}": {**QUICK, "required": number == 0} for number in range(150)}
    tree.build({"programs": {**programs, "last": {**SLOW, "after": ["p000"]}}})
    tree.start()
    assert call(tree, "wait", "--for", "program=p149", "--timeout", "120s").returncode == 0
    value = data(call(tree, "status", "--format", "json"), 1)
    assert len([one for one in value["programs"] if one["role"] == "program"]) == 151
    assert "last" in call(tree, "why").stdout.splitlines()[0]
