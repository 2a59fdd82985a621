"""Seals that are not this boot's, and our own processes killed and stopped: never a wrong ready."""

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import tree as trees

from contract import errors
from seal import record, verification

QUICK = trees.QUICK
ONE = trees.ONE


def sealed_elsewhere(other: trees.Tree) -> bytes:
    """Return the real seal of another boot that has ended."""
    other.build(ONE)
    other.start().wait_ready()
    data = Path(other.run.seal).read_bytes()
    assert other.stop() == 0
    return data


def put_seal(tree: trees.Tree, data: bytes) -> None:
    """Replace the seal by ``data``, as a program of the same uid could."""
    path = Path(tree.run.seal)
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def test_a_seal_of_another_container_is_never_accepted(tree: trees.Tree) -> None:
    with trees.directory() as root:
        data = sealed_elsewhere(trees.Tree(root, trees.free_port()))
    tree.build({"programs": {"api": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200, "live")
    put_seal(tree, data)
    time.sleep(1.2)
    assert tree.get("/startupz")[0] == 503
    assert tree.get("/ready")[0] == 503
    with pytest.raises(record.BadSignature):
        verification.verify(tree.run)


@pytest.mark.parametrize("damage", ["edit", "truncate", "remove"])
def test_a_damaged_seal_takes_readiness_away_until_it_is_whole_again(tree: trees.Tree, damage: str) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    whole = Path(tree.run.seal).read_bytes()
    if damage == "remove":
        Path(tree.run.seal).unlink()
    else:
        put_seal(tree, whole[:100] if damage == "truncate" else whole.replace(b'"late": false', b'"late": true'))
    body = tree.wait_unready()
    assert [item["kind"] for item in body["missing"]] == ["seal"]
    with pytest.raises(errors.BootsealError):
        verification.verify(tree.run)
    assert tree.get("/startupz")[0] == 200
    put_seal(tree, whole)
    tree.wait_ready()


def test_the_seal_of_an_earlier_boot_is_gone_before_anything_else(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}}})
    seal = trees.plant_earlier_seal(tree)
    tree.start()
    trees.wait_until(lambda: tree.get("/startupz")[0] == 503, "unsealed")
    assert tree.get("/ready")[0] == 503
    assert not seal.exists()


def slow_tree(tree: trees.Tree, **boot: Any) -> None:
    slow = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "3s"}}
    tree.build({"programs": {"slow": slow}, "boot": boot})
    tree.start()


def test_a_killed_seal_is_started_again_and_seals(tree: trees.Tree) -> None:
    slow_tree(tree)
    first = trees.wait_until(lambda: seal_pid(tree), "the seal runs")
    os.kill(first, signal.SIGKILL)
    tree.wait_ready()
    assert tree.program("bootstrap-seal").restarts >= 1


def seal_pid(tree: trees.Tree) -> int | None:
    try:
        return tree.program("bootstrap-seal").pid
    except errors.BootsealError:
        return None


def test_a_stopped_seal_cannot_extend_the_deadline(tree: trees.Tree) -> None:
    slow_tree(tree, seal_timeout="6s")
    pid = trees.wait_until(lambda: seal_pid(tree), "the seal runs")
    os.kill(pid, signal.SIGSTOP)
    assert tree.exit_code() == 6
    assert "the seal was not written: bootstrap-seal has not completed" in tree.failure()["cause"]
    assert not Path(tree.run.seal).exists()


def test_a_seal_that_cannot_be_signed_ends_the_boot_with_the_reason(tree: trees.Tree) -> None:
    tree.build({"programs": {"one": {"command": ["sh", "-c", "echo x > $0/keys/ed25519.key; exec sleep 1000", tree.run.path]}},
                "boot": {"seal_timeout": "6s"}})  # fmt: skip
    assert tree.start().exit_code() == 6
    assert "ed25519.key: it is not a PEM private key" in tree.failure()["cause"]
    assert not Path(tree.run.seal).exists()


def test_killed_probes_come_back_and_say_ready_again(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    before = tree.program("probes").pid
    assert before is not None
    os.kill(before, signal.SIGKILL)
    trees.wait_until(lambda: tree.program("probes").pid not in {None, before}, "probes restarted")
    tree.wait_ready()


def test_probes_that_were_given_up_after_the_seal_are_tried_again(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    identity = Path(tree.run.boot_record)
    whole = identity.read_bytes()
    identity.unlink()
    pid = tree.program("probes").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    trees.wait_until(lambda: tree.program("probes").supervisor_state == "FATAL", "probes FATAL")
    assert tree.get("/ready") == (0, None)
    identity.write_bytes(whole)
    tree.wait_ready()


def test_a_failing_stage_b_ends_the_boot_and_starts_no_program(tree: trees.Tree) -> None:
    workspace = tree.root / "workspace"
    command = tree.root / "program"
    command.write_text("#!/bin/sh\nsleep 1000\n")
    tree.build({"programs": {"api": {**QUICK, "command": [str(command)]}}, "boot": {"writable": [str(workspace)]}})
    assert tree.start().exit_code() == 6
    assert "program bootstrap exited with code 6" in tree.failure()["cause"]
    assert str(command) in tree.failure()["cause"]
    assert [event["program"] for event in tree.events("ProgramStarted") if event["program"] == "api"] == []


def test_a_stopped_supervisord_is_not_ready_for_long(tree: trees.Tree) -> None:
    tree.build(ONE)
    tree.start().wait_ready()
    os.kill(tree.pid, signal.SIGSTOP)
    try:
        body = tree.wait_unready()
        assert body["missing"][0]["kind"] == "ledger"
        assert tree.get("/livez")[0] == 200
    finally:
        os.kill(tree.pid, signal.SIGCONT)
    tree.wait_ready()
