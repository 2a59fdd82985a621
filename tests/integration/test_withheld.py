"""A program that needs an artifact which cannot be used: held back with that reason, in a real tree."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tree as trees

from contract import snapshot
from supervisord import entries

QUICK = trees.QUICK
TOOL = {"path": "/no/such/tool", "required": False}


def control(tree: trees.Tree, *words: str) -> tuple[int, str]:
    config = str(tree.plan_directory / "supervisord.conf")
    command = [f"{sys.prefix}/bin/supervisorctl", "-c", config, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=trees.PATIENCE_SECONDS)
    return done.returncode, done.stdout


def withheld(tree: trees.Tree, **worker: Any) -> trees.Tree:
    """Boot a tree whose ``worker`` needs an artifact that is not there."""
    programs = {
        "api": QUICK,
        "worker": {**QUICK, "required": False, "artifacts": ["tool"], **worker},
        "needy": {**QUICK, "required": False, "after": ["worker"]},
    }
    tree.build({"programs": programs, "artifacts": {"tool": TOOL}})
    return tree.start()


@pytest.fixture
def box(tree: trees.Tree) -> trees.Tree:
    withheld(tree).wait_ready()
    return tree


def test_the_container_is_ready_and_sealed_without_it(box: trees.Tree) -> None:
    view = box.program("worker")
    assert (view.state, view.final, view.pid, view.supervisor_state) == (snapshot.FAILED, True, None, "STOPPED")
    assert view.reason.startswith("cannot run: artifact tool cannot be used: ")
    assert box.program("needy").reason == f"needs worker, which {view.reason}"
    [sealed] = json.loads(Path(box.run.seal).read_text())["artifacts"]
    assert (sealed["id"], sealed["usable"], sealed["required"]) == ("tool", False, False)
    assert box.stop() == 0
    started = {event["program"] for event in box.events("ProgramStarted")}
    assert not started & {"worker", "needy"}


def test_it_is_told_once_a_generation_and_to_everybody_who_asks(box: trees.Tree) -> None:
    reason = box.program("worker").reason
    [event] = box.events("ProgramWithheld")
    assert (event["program"], event["artifact"]) == ("worker", "tool")
    assert reason.endswith(f"{event['reason']} ({entries.PUT_RIGHT})")
    assert "worker" not in {event["program"] for event in box.events("ProgramFailed")}
    code, said = control(box, "why", "worker")
    assert code == 0 and reason in said
    _, health = box.get("/health")
    assert {row["name"]: row["reason"] for row in health["programs"]}["worker"] == reason
    assert control(box, "ready") == (0, "ready\n")
    assert box.process is not None
    box.process.send_signal(signal.SIGHUP)
    trees.wait_until(lambda: len(box.events("ProgramWithheld")) == 2, "told again in the next generation")
    box.wait_ready()
    assert len(box.events("ProgramWithheld")) == 2


@pytest.mark.parametrize("words", [["start", "worker"], ["start", "needy"], ["start", "all"], ["restart", "worker"]])
def test_an_operator_cannot_start_it(box: trees.Tree, words: list[str]) -> None:
    _, said = control(box, *words)
    assert "artifact tool cannot be used" in said
    assert box.program("worker").pid is None
    assert box.program("needy").pid is None


def test_removing_it_and_adding_it_again_does_not_start_it(box: trees.Tree) -> None:
    reason = box.program("worker").reason
    for words in (["stop", "worker"], ["remove", "worker"], ["add", "worker"]):
        control(box, *words)
    assert box.program("worker").reason == reason
    assert box.get("/ready")[0] == 200
    assert len(box.events("ProgramWithheld")) == 1


def test_a_required_program_that_lacks_an_artifact_ends_the_boot_with_that_cause(tree: trees.Tree) -> None:
    withheld(tree, required=True)
    assert tree.exit_code() == 6
    assert tree.failure()["cause"].startswith("program worker cannot run: artifact tool cannot be used: ")
    assert not Path(tree.run.seal).exists()
    assert not Path(tree.run.attestation).exists()
