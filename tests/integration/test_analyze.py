"""``bootseal analyze`` of real boots: sealed, late, held, in a second generation, and of what cannot be asked."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
import tree as trees

from contract import snapshot

SOON = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "100ms"}}
STACK = {
    "migrate": {"command": ["sleep", "0.3"], "oneshot": True},
    "redis": SOON,
    "api": {**SOON, "after": ["migrate", "redis"]},
    "web": {**SOON, "after": ["api"]},
}


def analyze(tree: trees.Tree, *words: str) -> subprocess.CompletedProcess[str]:
    command = [f"{sys.prefix}/bin/bootseal", "analyze", "--run-dir", tree.run.path, *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=trees.PATIENCE_SECONDS)


def told(tree: trees.Tree) -> dict[str, Any]:
    done = analyze(tree, "--format", "json")
    assert (done.returncode, done.stderr) == (0, "")
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def chain(value: dict[str, Any]) -> list[str]:
    return [link["name"] for link in value["chain"]]


def test_a_sealed_boot_is_told_from_its_seal_to_stage_a(tree: trees.Tree) -> None:
    tree.build({"programs": STACK})
    tree.start().wait_ready()
    value = told(tree)
    names = chain(value)
    assert names[:4] == ["seal", "web", "api", "migrate"]
    assert names[-2:] == ["supervisord", "Stage A"]
    moments = [link["at"] for link in value["chain"]]
    assert moments == sorted(moments, reverse=True)
    seal = json.loads(Path(tree.run.seal).read_text())["elapsed_seconds"]
    assert seal < tree.program("bootstrap-seal").first.ready
    assert value["sealed"] == seal
    assert sum(link["seconds"] + (link["lag"] or 0.0) for link in value["chain"]) == pytest.approx(seal, abs=1e-4)
    rows = {row["name"]: row["seconds"] for row in value["blame"]}
    assert {"migrate", "web", "probes", "identity", "preflight", "supervisord"} <= set(rows)
    assert rows["migrate"] > 0.2  # the child may begin its 0.3 s before its parent notes the fork
    text = analyze(tree).stdout
    assert text.startswith("sealed ")
    assert "└─web @" in text


def test_the_picture_is_written_whole_or_printed(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    path = tree.root / "boot.svg"
    done = analyze(tree, "--svg", str(path), "--format", "yaml")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "schema: bootseal.analysis/1")
    assert ET.fromstring(path.read_text()).tag.endswith("svg")
    printed = analyze(tree, "--svg", "-").stdout
    assert ET.fromstring(printed).tag.endswith("svg")
    assert list(tree.root.glob(".boot.svg*")) == []
    done = analyze(tree, "--svg", "/nowhere/at/all.svg")
    assert (done.returncode, done.stdout) == (1, "")
    assert "/nowhere/at" in done.stderr


def test_a_boot_that_is_held_names_who_keeps_it_from_its_seal(tree: trees.Tree) -> None:
    late = {"command": ["sleep", "1000"], "ready": {"file": f"{tree.run.path}/never"}}
    programs = {**STACK, "late": late, "last": {**SOON, "after": ["late"]}}
    tree.build({"programs": programs, "boot": {"on_failure": "hold", "seal_timeout": "3s"}})
    tree.start()
    tree.wait_for_event("BootstrapFailed")
    value = told(tree)
    assert (value["phase"], value["sealed"], value["sealed_at"]) == (snapshot.HELD, None, None)
    assert "not ready within 3 s" in value["failure"]
    assert chain(value)[:3] == ["seal", "last", "late"]
    assert [link["at"] for link in value["chain"][:3]] == [None] * 3
    assert chain(value)[-1] == "Stage A"
    assert "held: not ready within 3 s" in analyze(tree).stdout.splitlines()[0]
    Path(f"{tree.run.path}/never").touch()
    tree.wait_ready()
    value = told(tree)
    assert (value["late"], chain(value)[:3]) == (True, ["seal", "last", "late"])
    assert analyze(tree).stdout.startswith("sealed, late, ")


def test_a_second_generation_begins_with_its_first_program(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    tree.client().call("supervisor.restart")
    trees.wait_until(lambda: len(tree.events("BootstrapCompleted")) == 2, "sealed again")
    tree.wait_ready()
    value = told(tree)
    assert (value["generation"], value["phases"], value["stage_a"]) == (2, [], None)
    assert chain(value)[0] == "seal"
    assert chain(value)[-1] == "supervisord"
    assert min(step["spawned"] for step in value["steps"]) == 0.0


def test_what_cannot_be_asked_is_told_with_what_to_do(tree: trees.Tree) -> None:
    done = analyze(tree)
    assert (done.returncode, done.stdout) == (6, "")
    assert "no boot lives there" in done.stderr
    assert "--run-dir" in done.stderr
    assert analyze(tree, "--format", "xml").returncode == 2
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    os.kill(tree.pid, signal.SIGSTOP)
    done = analyze(tree)
    os.kill(tree.pid, signal.SIGCONT)
    assert (done.returncode, done.stdout) == (6, "")
    assert "no answer within 3 s" in done.stderr
    assert "stopped, blocked or overloaded" in done.stderr
    record = Path(tree.run.boot_record)
    record.rename(tree.root / "boot.json.kept")
    done = analyze(tree)
    assert (done.returncode, "boot.json: No such file or directory" in done.stderr) == (6, True)
    kept = json.loads((tree.root / "boot.json.kept").read_text())
    record.write_text(json.dumps({**kept, "boot_id": "f" * 32}))
    done = analyze(tree)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"it is of boot {'f' * 32}" in done.stderr
    record.write_text("{")
    done = analyze(tree)
    assert (done.returncode, done.stdout, "Traceback" in done.stderr) == (1, "", False)
