"""The extension in PID 1: it refuses with a cause when it cannot do its duties, and no fault of ours reaches supervisord."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tree as trees

SLEEPER = {"command": ["sleep", "1000"]}
QUICK = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}


def supervisord_without_stage_a(tree: trees.Tree, code: str = "") -> subprocess.CompletedProcess[str]:
    """Run supervisord on the tree's configuration without Stage A before it, after running ``code`` in its process."""
    script = f"{code}\nimport sys\nfrom supervisord import pid1\nsys.exit(pid1.main(sys.argv[1:]))"
    config = str(tree.plan_directory / "supervisord.conf")
    return subprocess.run(
        [sys.executable, "-I", "-c", script, "--nodaemon", "--configuration", config],
        capture_output=True,
        text=True,
        timeout=trees.PATIENCE_SECONDS,
        check=False,
        env={"PATH": os.environ["PATH"], "TMPDIR": str(tree.root)},
    )


def refusal(result: subprocess.CompletedProcess[str]) -> str:
    events = [json.loads(line) for line in result.stderr.splitlines() if line.startswith("{")]
    [failure] = [event for event in events if event["event"] == "BootstrapFailed"]
    assert failure["phase"] == "supervise"
    return str(failure["cause"])


def test_without_a_boot_record_it_refuses_with_6_and_spawns_nothing(tree: trees.Tree) -> None:
    witness = tree.root / "spawned"
    tree.build({"programs": {"api": {"command": ["touch", str(witness)], "oneshot": True}}})
    Path(tree.run.temporary).mkdir(parents=True)
    result = supervisord_without_stage_a(tree)
    assert result.returncode == 6, result.stderr
    assert "boot.json" in refusal(result)
    assert not witness.exists()


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (
            "from supervisor import options\noptions.ServerOptions.openhttpservers = lambda *_: 1 / 0",
            "ZeroDivisionError",
        ),
        ("import os, sys\nsys.argv[-1] = '/nonexistent.conf'", "/nonexistent.conf"),
    ],
)
def test_a_supervisord_that_cannot_begin_is_a_failed_boot_with_its_cause(tree: trees.Tree, code: str, why: str) -> None:
    tree.build({"programs": {"api": QUICK}})
    Path(tree.run.temporary).mkdir(parents=True)
    result = supervisord_without_stage_a(tree, code)
    assert result.returncode == 6, result.stderr
    assert why in refusal(result)


@pytest.mark.parametrize(
    "missing", ["ServerOptions.execve", "ServerOptions.waitpid", "ServerOptions.close_httpservers"]
)
def test_an_unfamiliar_supervisor_is_refused(tree: trees.Tree, missing: str) -> None:
    tree.build({"programs": {"api": QUICK}})
    tree.start().wait_ready()
    record = Path(tree.run.boot_record).read_bytes()
    assert tree.stop() == 0
    Path(tree.run.boot_record).unlink()
    Path(tree.run.boot_record).write_bytes(record)
    result = supervisord_without_stage_a(tree, f"from supervisor import options\ndel options.{missing}")
    assert result.returncode == 6, result.stderr
    assert missing.rpartition(".")[2] in refusal(result)


def test_without_the_speed_ups_everything_is_as_correct(tree: trees.Tree) -> None:
    tree.build(
        {"programs": {"migrate": {"command": ["true"], "oneshot": True}, "api": {**SLEEPER, "after": ["migrate"]}}}
    )
    tree.start({"BOOTSEAL_SPEEDUPS": "off"}).wait_ready()
    pid = tree.program("api").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    tree.wait_unready()
    tree.wait_ready()
    os.kill(tree.pid, signal.SIGHUP)
    trees.wait_until(lambda: len(tree.events("BootstrapCompleted")) == 2, "sealed again")
    assert tree.stop() == 0


def test_an_idle_tree_does_not_spin(tree: trees.Tree) -> None:
    held = {**QUICK, "after": ["never"]}
    never = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
    tree.build({"programs": {"never": never, "held": held}})
    tree.start()
    trees.wait_until(lambda: tree.get("/livez")[0] == 200 and tree.program("never").pid, "started")
    before = cpu_ticks(tree.pid)
    time.sleep(3)
    used = cpu_ticks(tree.pid) - before
    assert used < 3 * os.sysconf("SC_CLK_TCK") / 2, f"PID 1 used {used} ticks in 3 s"


def cpu_ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_reloads_leak_no_descriptor(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": QUICK}})
    tree.start().wait_ready()
    counts = []
    for generation in range(2, 6):
        os.kill(tree.pid, signal.SIGHUP)
        trees.wait_until(lambda wanted=generation: len(tree.events("BootstrapCompleted")) == wanted, "sealed again")
        trees.wait_until(lambda: tree.snapshot().phase == "sealed", "PID 1 knows")
        tree.wait_ready()
        time.sleep(0.5)
        counts.append(len(os.listdir(f"/proc/{tree.pid}/fd")))
    assert max(counts) - min(counts) <= 1, counts
