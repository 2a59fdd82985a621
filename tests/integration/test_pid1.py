"""PID 1's daily duties, seen from outside: it idles when nothing is due, leaks no descriptor, and passes signals on."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tree as trees

from supervisord import loop

WORKER = Path(__file__).parent / "programs" / "stop_worker.py"
NEVER = {"running": True, "for": "1h"}
OPTIONAL = {"required": False, "on_fatal": "degrade"}
WATCHED_SECONDS = 4.0
TURNS_A_SECOND = 6.0
"""A beat each 0.9 s, every 2 s the probe server's question with its answer, and while a boot is held the seal program's: two to
four in all. A loop that spins makes thousands.
"""


def worker(tree: trees.Tree, name: str, *options: str, **keys: Any) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", str(WORKER), f"{tree.root}/log", name, *options]
    return {"command": command, "ready": {"fd": 3}, **keys}


def told(tree: trees.Tree, name: str, what: str) -> list[int]:
    with contextlib.suppress(FileNotFoundError):
        lines = map(json.loads, (tree.root / "log").read_text().splitlines())
        return [line["pid"] for line in lines if (line["name"], line["what"]) == (name, what)]
    return []


def states(tree: trees.Tree) -> dict[str, str]:
    return {view.name: view.supervisor_state for view in tree.snapshot().programs if view.role == "program"}


# --- idle -------------------------------------------------------------------------------------------------------------


def turns(pid: int) -> int:
    """Return how often ``pid`` went to sleep: once a turn of its loop."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(re.findall(r"^voluntary_ctxt_switches:\s*(\d+)$", text, re.MULTILINE)[0])


def processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def assert_idle(tree: trees.Tree) -> None:
    """Let time pass, for that is what is measured; the claims are shares of it and far from what a spinning loop does."""
    before = time.monotonic(), turns(tree.pid), processor_seconds(tree.pid)
    time.sleep(WATCHED_SECONDS)
    seconds, turned, used = (
        now - then
        for now, then in zip((time.monotonic(), turns(tree.pid), processor_seconds(tree.pid)), before, strict=True)
    )
    assert turned <= TURNS_A_SECOND * seconds, f"{turned} turns in {seconds:.1f} s"
    assert used <= 0.05 * seconds, f"{used} s of processor time in {seconds:.1f} s"


RESTING = {
    "FATAL": {"command": ["false"], "start_retries": 0, "ready": NEVER, **OPTIONAL},
    "BACKOFF": {"command": ["false"], "ready": NEVER, "restart": {"backoff": "1h", "cap": "1h"}, **OPTIONAL},
    "EXITED": {"command": ["sh", "-c", "sleep 1.2"], "ready": NEVER, "on_exit": "degrade", **OPTIONAL},
    "RUNNING": {"command": ["sleep", "1000"], "ready": {"file": "${run}/never"}, **OPTIONAL},
}


@pytest.mark.parametrize("speedups", ["on", "off"])
def test_pid_1_sleeps_whatever_its_programs_wait_for(tree: trees.Tree, speedups: str) -> None:
    programs = {state.lower(): program for state, program in RESTING.items()}
    held = {**trees.QUICK, "after": ["running"], "required": False}
    tree.build({"programs": {"api": trees.QUICK, "stopped": {**trees.QUICK, **OPTIONAL}, "held": held, **programs}})
    tree.start({"BOOTSEAL_SPEEDUPS": speedups}).wait_ready()
    stop = [f"{sys.prefix}/bin/supervisorctl", "-c", f"{tree.plan_directory}/supervisord.conf", "stop", "stopped"]
    assert subprocess.run(stop, check=False, capture_output=True, timeout=trees.PATIENCE_SECONDS).returncode == 0
    wanted = {"api": "RUNNING", "stopped": "STOPPED", "held": "STOPPED", **{state.lower(): state for state in RESTING}}
    trees.wait_until(lambda: states(tree) == wanted, "everybody rests", lambda: str(states(tree)))
    assert_idle(tree)
    assert tree.stop() == 0


def test_pid_1_sleeps_while_a_deaf_program_stops(tree: trees.Tree) -> None:
    tree.build({"programs": {"deaf": worker(tree, "deaf", "deaf", stop={"timeout": "1h"})}})
    tree.start().wait_ready()
    os.kill(tree.pid, signal.SIGTERM)
    trees.wait_until(lambda: told(tree, "deaf", "term"), "told to stop")
    assert_idle(tree)
    assert tree.stop() == 0


def test_pid_1_sleeps_during_a_drain_and_while_held(tree: trees.Tree) -> None:
    failing = {"command": ["false"], "start_retries": 0, "ready": NEVER}
    tree.build(
        {"programs": {"bad": failing, "api": trees.QUICK}, "boot": {"on_failure": "hold"}, "stop": {"drain": "10m"}}
    )
    tree.start().wait_for_event("BootstrapFailed")
    trees.wait_until(lambda: tree.get("/livez")[0] == 200 and states(tree)["api"] == "RUNNING", "held")
    assert_idle(tree)
    os.kill(tree.pid, signal.SIGTERM)
    tree.wait_for_event("StopRequested")
    assert_idle(tree)
    assert tree.stop() == 0


# --- descriptors ------------------------------------------------------------------------------------------------------


def descriptors(pid: int) -> dict[int, str]:
    folder = Path(f"/proc/{pid}/fd")
    found = {}
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):
            found[int(name)] = os.readlink(folder / name)
    return found


def test_a_program_has_three_descriptors_and_the_one_it_asked_for(tree: trees.Tree) -> None:
    sleep = ["sleep", "1000"]
    proofs: dict[str, Any] = {
        "runs": {"running": True, "for": "0s"},
        "third": {"fd": 3},
        "high": {"fd": 99},
        "notify": {"notify": True},
        "file": {"file": "${run}/never"},
        "log": {"log": "never"},
        "http": {"http": f"http://127.0.0.1:{tree.port}/livez"},
    }
    tree.build(
        {
            "programs": {name: {"command": sleep, "ready": ready, "required": False} for name, ready in proofs.items()},
            "required": [],
        }
    )
    tree.start().wait_ready()
    trees.wait_until(lambda: all(tree.program(name).pid for name in proofs), "all of them run")
    for name in proofs:
        pid = tree.program(name).pid
        assert pid is not None
        trees.wait_until(lambda: trees.cmdline(pid).startswith("sleep"), "the program itself")  # noqa: B023
        assert set(descriptors(pid)) == {0, 1, 2, *{"third": {3}, "high": {99}}.get(name, set())}, name
    assert tree.stop() == 0


def test_two_hundred_restarts_leak_no_descriptor(tree: trees.Tree) -> None:
    """Of every kind of proof that PID 1 holds something open for."""
    marker = tree.root / "die"
    script = "while ! [ -e $0 ]; do sleep 0.05; done; exit 1"
    policy = {"start_retries": 1000, "restart": {"backoff": "1ms", "cap": "1ms", "limit": 1000}, **OPTIONAL}
    proofs: dict[str, Any] = {
        "fd": {"fd": 3}, "notify": {"notify": True}, "file": {"file": "${run}/never"}, "log": {"log": "never"}, "runs": NEVER,
    }  # fmt: skip
    programs = {
        name: {"command": ["sh", "-c", script, str(marker)], "ready": ready, **policy} for name, ready in proofs.items()
    }
    tree.build({"programs": {"api": trees.QUICK, **programs}})
    tree.start().wait_ready()

    def is_quiet() -> bool:
        return set(states(tree).values()) == {"RUNNING"}

    def starts() -> int:
        return len([one for one in tree.events("ProgramStarted") if one["program"] in proofs])

    trees.wait_until(is_quiet, "all of them run")
    before = descriptors(tree.pid)
    marker.touch()
    trees.wait_until(lambda: starts() >= 200 + len(proofs), "two hundred restarts", lambda: f"{starts()}")
    marker.unlink()
    trees.wait_until(is_quiet, "all of them run again")
    # A question in flight of the probe server may have its socket open.
    trees.wait_until(
        lambda: len(descriptors(tree.pid)) == len(before), "as many", lambda: f"{before}\n{descriptors(tree.pid)}"
    )
    assert tree.stop() == 0


# --- signals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("speedups", ["on", "off"])
def test_a_mapped_signal_reaches_its_programs_and_means_nothing_else(tree: trees.Tree, speedups: str) -> None:
    programs = {name: worker(tree, name) for name in ("a", "b", "c")}
    tree.build({"programs": programs, "signals": {"HUP": ["a", "b"], "USR2": {"programs": ["c"], "as": "USR1"}}})
    tree.start({"BOOTSEAL_SPEEDUPS": speedups}).wait_ready()
    for number in (signal.SIGHUP, signal.SIGUSR2):
        os.kill(tree.pid, number)
    trees.wait_until(
        lambda: told(tree, "a", "SIGHUP") and told(tree, "b", "SIGHUP") and told(tree, "c", "SIGUSR1"), "passed on"
    )
    assert tree.stop() == 0
    assert not told(tree, "c", "SIGHUP")
    assert not tree.events("GenerationEnded")
    assert [(one["signal"], one["sent"], one["programs"]) for one in tree.events("SignalPassedOn")] == [
        ("HUP", "HUP", ["a", "b"]),
        ("USR2", "USR1", ["c"]),
    ]


def test_the_speed_ups_are_those_that_are_tested() -> None:
    assert {"poll", "wake", "stop"} == loop.SPEEDUPS
