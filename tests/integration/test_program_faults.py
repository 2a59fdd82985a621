"""Programs that fail before the seal, or after it; and stop signals at any moment."""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import tree as trees

from contract import snapshot
from seal import verification

QUICK = trees.QUICK
ONE = trees.ONE


FAILING = {
    "FATAL": ({"command": ["sh", "-c", "exit 1"], "start_retries": 1}, "is FATAL after 2 tries"),
    "exits 3 at once": ({"command": ["sh", "-c", "echo the reason >&2; exit 3"], "start_retries": 0}, "code 3"),
    "exits 3 later": (
        {"command": ["sh", "-c", "sleep 1.3; exit 3"], "ready": {"running": True, "for": "1h"}},
        "code 3",
    ),
    "exits 0 though not a one-shot": (
        {"command": ["sh", "-c", "sleep 1.3"], "ready": {"running": True, "for": "1h"}},
        "exited with code 0",
    ),
    "killed": (
        {"command": ["sh", "-c", "sleep 1.3; kill -9 $$"], "ready": {"running": True, "for": "1h"}},
        "killed by signal 9",
    ),
    "one-shot exits 7": ({"command": ["sh", "-c", "exit 7"], "oneshot": True}, "code 7"),
}


@pytest.mark.parametrize("how", FAILING)
def test_a_required_program_that_fails_ends_the_boot_with_its_cause(tree: trees.Tree, how: str) -> None:
    program, why = FAILING[how]
    tree.build({"programs": {"bad": program, "good": QUICK}, "boot": {"seal_timeout": "10m"}})
    assert tree.start().exit_code() == 6
    failure = tree.failure()
    assert failure["phase"] == "seal"
    assert "program bad" in failure["cause"]
    assert why in failure["cause"]
    assert not Path(tree.run.seal).exists()


def test_a_failed_programs_last_words_are_in_the_cause(tree: trees.Tree) -> None:
    tree.build({"programs": {"bad": FAILING["exits 3 at once"][0]}})
    assert tree.start().exit_code() == 6
    assert "the reason" in tree.failure()["cause"]


def test_a_failed_dependency_fails_its_dependants_by_name_without_starting_them(tree: trees.Tree) -> None:
    tree.build(
        {
            "programs": {
                "migrate": {"command": ["false"], "oneshot": True},
                "api": {**QUICK, "after": ["migrate"]},
                "web": {**QUICK, "after": ["api"]},
            },
            "boot": {"on_failure": "hold"},
        }
    )
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    web = tree.program("web")
    assert (web.state, web.pid, web.restarts) == (snapshot.FAILED, None, 0)
    assert "migrate" in web.reason


def test_a_failed_boot_is_held_unready_and_says_why(tree: trees.Tree) -> None:
    tree.build({"programs": {"bad": FAILING["one-shot exits 7"][0]}, "boot": {"on_failure": "hold"}})
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    trees.wait_until(lambda: "code 7" in (tree.get("/ready")[1] or {}).get("reason", ""), "/ready names the cause")
    assert tree.get("/ready")[0] == 503
    assert tree.get("/livez")[0] == 200
    assert tree.snapshot().phase == snapshot.HELD
    assert tree.stop() == 0


def test_a_held_boot_that_becomes_ready_later_is_sealed_late(tree: trees.Tree) -> None:
    flag = tree.root / "repaired"
    command = f"test -e {flag}"
    tree.build(
        {"programs": {"check": {"command": ["sh", "-c", command], "oneshot": True}}, "boot": {"on_failure": "hold"}}
    )
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    flag.touch()
    tree.client().call("supervisor.startProcess", "check")
    tree.wait_ready()
    assert verification.verify(tree.run).late


def test_a_required_program_that_supervisord_does_not_know_ends_the_boot(tree: trees.Tree) -> None:
    tree.build(ONE)
    path = tree.plan_directory / "plan.json"
    config = tree.plan_directory / "supervisord.conf"
    text = config.read_text()
    start = text.index("[program:api]")
    end = text.index("[program:", start + 1)
    config.write_text(text[:start] + text[end:])
    whole = json.loads(path.read_text())
    whole["config_sha256"] = hashlib.sha256(config.read_bytes()).hexdigest()
    path.write_text(json.dumps(whole))
    assert tree.start().exit_code() == 6
    assert "unknown" in tree.failure()["cause"]


def test_the_deadline_ends_a_boot_that_never_gets_ready_and_names_who_is_missing(tree: trees.Tree) -> None:
    slow = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
    tree.build({"programs": {"slow": slow, "good": QUICK}, "boot": {"seal_timeout": "3s"}})
    assert tree.start().exit_code() == 6
    assert list(tree.events("BootstrapSealTimeout")[0]["missing"]) == ["slow"]
    assert "slow" in tree.failure()["cause"]


def test_a_required_program_killed_after_the_seal_is_named_and_ready_again_when_it_is_back(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": {"command": ["sleep", "1000"]}, "other": QUICK}})
    tree.start().wait_ready()
    pid = tree.program("api").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    body = tree.wait_unready()
    assert [(item["id"], item["kind"], item["required"]) for item in body["missing"]] == [("api", "program", True)]
    tree.wait_ready()
    changes = verification.changes_since(verification.verify(tree.run), tree.snapshot())
    assert [change.program for change in changes] == ["api"]
    assert tree.get("/startupz")[0] == 200


def test_an_optional_program_that_fails_takes_nothing_away(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK, "extra": {"command": ["false"], "required": False, "start_retries": 0}}})
    tree.start().wait_ready()
    trees.wait_until(lambda: tree.program("extra").state == snapshot.FAILED, "extra failed")
    assert tree.get("/ready")[0] == 200


def test_a_reload_is_a_new_generation_that_is_sealed_again(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    first = verification.verify(tree.run)
    os.kill(tree.pid, signal.SIGHUP)
    trees.wait_until(lambda: len(tree.events("BootstrapCompleted")) == 2, "sealed again")
    tree.wait_ready()
    second = verification.verify(tree.run)
    assert (second.generation, second.boot_id) == (first.generation + 1, first.boot_id)
    assert tree.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_at_any_moment_of_the_boot_ends_it_cleanly(tree: trees.Tree, number: int) -> None:
    tree.build(ONE)
    blocked = ["/usr/bin/env", "--block-signal=TERM,INT,QUIT,HUP", sys.executable, "-I", "-m", "entrypoint", "boot"]
    codes = []
    for step in range(24):
        tree.start(argv=list(blocked))
        time.sleep(0.02 * step)
        assert tree.process is not None
        below = trees.descendants(tree.pid)
        tree.process.send_signal(number)
        code = tree.exit_code()
        codes.append(code)
        assert code in {0, 128 + number, -number}, (step, tree.stderr()[-2000:])
        assert tree.events("BootstrapFailed") == []
        assert not Path(tree.run.seal).exists() or code == 0
        trees.wait_until_gone(below)
    assert 128 + number in codes
    assert codes[-1] == 0
