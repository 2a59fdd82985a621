"""The path that must work: Stage A, supervisord, Stage B, programs in order, the seal, the probes, a clean stop."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import tree as trees

from contract import rundir
from seal import verification

GLIBC_OWN = 1 << 31 | 1 << 32
"""Signals 32 and 33: glibc ignores them in whatever it spawns (posix_spawn, as make uses it), and lets nobody reset them."""
SLEEPER = {"command": ["sleep", "1000"]}
QUICK = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}


def test_a_tree_boots_to_sealed_and_ready_and_stops_with_0(tree: trees.Tree) -> None:
    tree.build(
        {"programs": {"migrate": {"command": ["true"], "oneshot": True}, "api": {**SLEEPER, "after": ["migrate"]}}}
    )
    tree.start()
    body = tree.wait_ready()
    assert body["requirements"] == ["migrate", "api", "identity"]
    sealed = verification.verify(tree.run)
    assert [(program.name, program.state, program.ready_by) for program in sealed.programs] == [
        ("migrate", "EXITED", "exit 0"),
        ("api", "RUNNING", "running for 1s"),
    ]
    assert sealed.generation == 1
    assert not sealed.late
    assert tree.get("/startupz")[0] == 200
    assert tree.stop() == 0
    assert tree.events("BootstrapFailed") == []


def test_events_tell_the_boot_in_order(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK}})
    tree.start().wait_ready()
    names = [event["event"] for event in tree.events()]
    milestones = [
        "BootstrapStarted",
        "RuntimeClosureValidated",
        "SupervisorStarted",
        "BootstrapSealStarted",
        "BootstrapCompleted",
    ]
    assert [name for name in names if name in milestones] == milestones
    phases = [event["phase"] for event in tree.events("PhaseCompleted")]
    assert phases == [
        "run-directory",
        "plan",
        "security-profile",
        "immutable-root",
        "writable-roots",
        "artifacts",
        "identity",
        "preflight",
    ]
    assert {event["boot_id"] for event in tree.events()} == {tree.snapshot().boot_id}
    for source in ("stage-a", "supervisord"):
        numbers = [event["seq"] for event in tree.events() if event["source"] == source]
        assert numbers == list(range(1, len(numbers) + 1))
    stored = [json.loads(line) for line in Path(tree.run.events).read_text().splitlines()]
    assert {event["event"] for event in stored} >= set(milestones)


def test_a_program_waits_until_what_it_needs_is_ready(tree: trees.Tree) -> None:
    log = tree.root / "order"
    log.mkdir()
    log.chmod(0o777)
    programs = {
        "first": {"command": ["sh", "-c", f"sleep 0.3; touch {log}/first"], "oneshot": True},
        "second": {
            "command": ["sh", "-c", f"test -e {log}/first && touch {log}/second && exec sleep 1000"],
            "after": ["first"],
        },
        "third": {"command": ["sh", "-c", f"test -e {log}/second && exec sleep 1000"], "after": ["second"]},
    }
    tree.build({"programs": programs})
    tree.start().wait_ready()
    views = {view.name: view for view in tree.snapshot().programs}
    assert [views[name].restarts for name in programs] == [0, 0, 0]


def test_the_probe_server_is_live_before_any_program_of_the_manifest_and_while_they_stop(tree: trees.Tree) -> None:
    url = f"http://127.0.0.1:{tree.port}"
    ask = f"import urllib.request,urllib.error,sys\nprint(urllib.request.urlopen('{url}/livez').status, flush=True)\n"
    on_term = (
        "import signal,time\n"
        "def stop(*_):\n"
        f"    live = urllib.request.urlopen('{url}/livez').status\n"
        "    try:\n"
        f"        ready = urllib.request.urlopen('{url}/ready').status\n"
        "    except urllib.error.HTTPError as error:\n"
        "        ready = error.code\n"
        "    print('stopping', live, ready, flush=True)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "while True: time.sleep(1000)\n"
    )
    tree.build({"programs": {"witness": {"command": [sys.executable, "-c", ask + on_term]}}})
    tree.start().wait_ready()
    assert tree.stop() == 0
    said = [line for line in tree.stdout().splitlines() if line == "200" or line.startswith("stopping")]
    assert said == ["200", "stopping 200 503"]


def test_the_run_directory_holds_what_it_should_with_the_modes_it_should(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK}})
    tree.start().wait_ready()
    modes = {name: stat.S_IMODE(os.lstat(f"{tree.run.path}/{name}").st_mode) for name in os.listdir(tree.run.path)}
    assert modes == {
        "boot.claim": 0o444, "boot.json": 0o444, "bootstrap.done": 0o444, "bootstrap.intoto.jsonl": 0o444, "env": 0o444, "events.jsonl": 0o600, "identity": 0o755, "keys": 0o700,
        "ledger.sock": 0o700, "probes.sock": 0o600, "supervisor.sock": 0o700, "supervisord.pid": 0o644, "tmp": 0o700,
    }  # fmt: skip
    identity = Path(tree.run.identity)
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in identity.iterdir()} == {
        "id": 0o444, "boot-id": 0o444, "ed25519.pub": 0o444,
    }  # fmt: skip
    assert not (identity / "id").read_text().endswith("\n")
    key = Path(tree.run.keys) / "ed25519.key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600


def test_the_environment_is_an_allow_list_and_a_programs_own_reaches_it_alone(tree: trees.Tree) -> None:
    tree.build(
        {
            "boot": {"environment": ["PASSED_ON"]},
            "programs": {"api": {**QUICK, "environment": {"OWN": "it's %(ENV_HOME)s; # 100%"}}, "other": QUICK},
        }
    )
    tree.start({"PASSED_ON": "yes", "SECRET_TOKEN": "hunter2", "LC_ALL": "C.UTF-8"}).wait_ready()
    environments = {
        pid: dict(item.split("=", 1) for item in Path(f"/proc/{pid}/environ").read_text().split("\0") if item)
        for pid in [tree.pid, *trees.descendants(tree.pid)]
    }
    api, other = tree.program("api").pid, tree.program("other").pid
    assert environments[api]["OWN"] == "it's %(ENV_HOME)s; # 100%"
    assert [pid for pid, variables in environments.items() if "OWN" in variables] == [api]
    assert environments[other]["PASSED_ON"] == "yes"
    assert not any("SECRET_TOKEN" in variables for variables in environments.values())
    assert "TMPDIR" not in environments[other]
    assert environments[tree.pid]["TMPDIR"] == tree.run.temporary
    assert set(environments[tree.pid]) == {"PATH", "HOME", "LC_ALL", "PASSED_ON", "TMPDIR", "BOOTSEAL_RUN_DIR"}


def test_arguments_reach_the_program_exactly(tree: trees.Tree) -> None:
    hard = ["%s", "%(ENV_PATH)s", "a ; b", "a # b", "two\nlines", "'\"\\", "", "ü☃", "$HOME"]
    show = "import json, sys, time; print('ARGV ' + json.dumps(sys.argv[1:]), flush=True); time.sleep(1000)"
    tree.build({"programs": {"api": {"command": [sys.executable, "-c", show, *hard]}}})
    tree.start().wait_ready()
    line = next(line for line in tree.stdout().splitlines() if line.startswith("ARGV "))
    assert json.loads(line.removeprefix("ARGV ")) == hard


def test_programs_start_with_default_signals_and_no_descriptor_of_ours(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK}})
    tree.start(
        argv=["/usr/bin/env", "--block-signal=TERM,INT,QUIT,HUP", sys.executable, "-I", "-m", "entrypoint", "boot"]
    )
    tree.wait_ready()
    pid = tree.program("api").pid
    assert pid is not None
    trees.wait_until(lambda: trees.cmdline(pid).startswith("sleep"), "the program was executed")
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    assert int(status["SigBlk"], 16) & ~GLIBC_OWN == 0
    assert int(status["SigIgn"], 16) & ~GLIBC_OWN == 0
    assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]


def test_writable_roots_are_made_with_mode_and_skeleton(tree: trees.Tree) -> None:
    skeleton = tree.root / "skel"
    (skeleton / "deep").mkdir(parents=True)
    (skeleton / "deep/file").write_text("content")
    (skeleton / "link").symlink_to("/etc/passwd")
    workspace = tree.root / "made/workspace"
    tree.build(
        {
            "boot": {"writable": [{"path": str(workspace), "mode": "0750", "from": str(skeleton)}]},
            "programs": {"api": QUICK},
        }
    )
    tree.start().wait_ready()
    assert stat.S_IMODE(workspace.stat().st_mode) == 0o750
    assert (workspace / "deep/file").read_text() == "content"
    assert os.readlink(workspace / "link") == "/etc/passwd"


def test_supervisorctl_and_verify_read_the_same_truth(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK, "migrate": {"command": ["true"], "oneshot": True}}})
    tree.start().wait_ready()
    control = [
        sys.executable,
        "-I",
        "-m",
        "supervisor.supervisorctl",
        "-c",
        str(tree.plan_directory / "supervisord.conf"),
    ]
    wanted = {
        "api": "RUNNING", "probes": "RUNNING", "migrate": "EXITED", "bootstrap": "EXITED", "bootstrap-seal": "EXITED",
    }  # fmt: skip

    def states() -> dict[str, str]:
        status = subprocess.run([*control, "status"], capture_output=True, text=True, check=False)
        return {line.split()[0]: line.split()[1] for line in status.stdout.splitlines()}

    trees.wait_until(lambda: states() == wanted, "supervisor's own states")
    judge = [sys.executable, "-I", "-m", "entrypoint", "verify", "--run-dir", tree.run.path, "--live"]
    verdict = subprocess.run(judge, capture_output=True, text=True, check=False)
    assert verdict.returncode == 0, verdict.stderr
    assert "nothing restarted" in verdict.stdout


def test_the_log_of_a_good_boot_and_stop_alarms_nobody(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK, "migrate": {"command": ["true"], "oneshot": True}}})
    tree.start().wait_ready()
    assert tree.stop() == 0
    assert [line for line in tree.stdout().splitlines() if " CRIT " in line or " WARN " in line] == []
    alarms = [event["event"] for event in tree.events() if event["level"] in {"warn", "error"}]
    assert alarms == ["SecurityProfileApplied"], "here is no container"


def test_the_profile_in_force_is_that_of_pid_1_and_the_same_wherever_it_is_told(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK}})
    tree.start().wait_ready()
    [event] = tree.events("SecurityProfileApplied")
    status = dict(line.split(":", 1) for line in Path(f"/proc/{tree.pid}/status").read_text().splitlines())
    effective = event["effective"]
    assert str(effective["uid"]) == status["Uid"].split()[1]
    assert effective["no_new_privileges"] == (status["NoNewPrivs"].strip() == "1")
    assert bool(effective["capabilities"]["bounding"]) == bool(int(status["CapBnd"], 16))
    assert event["differences"], "a tree is no container"
    fields = ("effective", "differences", "unknown")
    told = [json.loads(Path(path).read_text())["security"] for path in (tree.run.boot_record, tree.run.seal)]
    told.append(tree.get("/v1/meta")[1]["security"])
    for one in told:
        assert {name: one[name] for name in fields} == {name: event[name] for name in fields}


def test_nothing_is_left_after_a_stop(tree: trees.Tree) -> None:
    escaping = "setsid sleep 1000 & setsid sleep 1000 & exec sleep 1000"
    tree.build({"programs": {"api": {"command": ["sh", "-c", escaping]}}})
    tree.start().wait_ready()
    below = trees.descendants(tree.pid)
    assert len(below) >= 3
    assert tree.stop() == 0
    trees.wait_until_gone(below)


def test_a_run_directory_that_outlived_a_boot_is_used_again(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK}})
    tree.start().wait_ready()
    first = verification.verify(tree.run)
    assert tree.process is not None
    tree.process.send_signal(signal.SIGKILL)
    tree.exit_code()
    tree.start().wait_ready()
    second = verification.verify(rundir.RunDirectory(tree.run.path))
    assert second.boot_id != first.boot_id
    assert second.identity.ed25519 != first.identity.ed25519
