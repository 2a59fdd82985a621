"""The wall clock is stepped by an hour, forward and back, in every state of a program: nothing follows from it.

libfaketime (Debian's package) lies to PID 1 alone, about the wall clock alone; CLOCK_MONOTONIC stays the truth.
"""

import contextlib
import glob
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree as trees

WORKER = Path(__file__).parent / "programs" / "stop_worker.py"
LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"
SETTINGS = ("FAKETIME_TIMESTAMP_FILE", "FAKETIME_NO_CACHE", "DONT_FAKE_MONOTONIC", "NO_FAKE_STAT")
ITS_OWN = "FAKETIME_SHARED"
STEPS = {"forward": "+3600s", "back": "-3600s"}
HOUR = 3600.0


@pytest.fixture(scope="module")
def library() -> str:
    found = glob.glob(LIBRARY)
    if not found and os.environ.get("CI"):
        pytest.fail("libfaketime is required here (apt-get install libfaketime)", pytrace=False)
    if not found:
        pytest.skip("needs libfaketime (apt-get install libfaketime)")
    return found[0]


class Clock:
    """The wall clock of one tree's PID 1."""

    def __init__(self, tree: trees.Tree, library: str) -> None:
        self._tree = tree
        self._file = tree.root / "clock"
        self.step("+0s")
        values = (str(self._file), "1", "1", "1")
        # The programs of the tree tell the time truly: only the preload is PID 1's alone, the rest is without effect.
        settings = dict(zip(SETTINGS, values, strict=True))
        tree.patch("import os\ndel os.environ['LD_PRELOAD']\n", {"LD_PRELOAD": library, **settings})

    def step(self, by: str) -> None:
        """Set the clock, at once."""
        fresh = self._file.with_suffix(".new")
        fresh.write_text(f"{by}\n")
        fresh.rename(self._file)

    def offset_at_the_end(self) -> float:
        """Return how far PID 1's clock was from ours, by the last line of its log."""
        last = self._tree.stdout().splitlines()[-1]
        return time.mktime(time.strptime(last[:19], "%Y-%m-%d %H:%M:%S")) - time.time()


@pytest.fixture
def clock(tree: trees.Tree, library: str, step: str) -> Iterator[Clock]:
    """A clock that the test steps before it stops its tree."""
    made = Clock(tree, library)
    yield made
    wanted = HOUR if step == "forward" else -HOUR
    assert abs(made.offset_at_the_end() - wanted) < HOUR / 4, "PID 1's clock was stepped"


def build(tree: trees.Tree, programs: dict[str, Any], **sections: Any) -> None:
    tree.build({"boot": {"environment": [*SETTINGS, ITS_OWN]}, "programs": programs, **sections})


def worker(tree: trees.Tree, name: str, *options: str, **keys: Any) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", str(WORKER), f"{tree.root}/log", name, *options]
    return {"command": command, "ready": {"fd": 3}, **keys}


def told(tree: trees.Tree, what: str) -> list[float]:
    with contextlib.suppress(FileNotFoundError):
        lines = map(json.loads, (tree.root / "log").read_text().splitlines())
        return [line["at"] for line in lines if line["what"] == what]
    return []


def names(tree: trees.Tree, event: str) -> list[str]:
    return [one["program"] for one in tree.events(event)]


pytestmark = pytest.mark.parametrize("step", STEPS)


def test_during_the_boot_it_changes_no_deadline(tree: trees.Tree, clock: Clock, step: str) -> None:
    programs = {
        "opened": {"command": ["sleep", "1000"], "ready": {"file": "${run}/open", "timeout": "10m"}},
        "api": worker(tree, "api"),
    }
    build(tree, programs, boot={"environment": [*SETTINGS, ITS_OWN], "seal_timeout": "20m"})
    tree.start()
    trees.wait_until(lambda: "api" in names(tree, "ProgramReady"), "the boot is under way")
    clock.step(STEPS[step])
    turns(tree, 3)
    (Path(tree.run.path) / "open").touch()
    tree.wait_ready()
    assert names(tree, "ProgramStarted").count("opened") == 1
    assert not tree.events("BootstrapSealTimeout")
    assert tree.stop() == 0


def test_while_a_program_is_starting_it_neither_proves_it_nor_fails_it(
    tree: trees.Tree, clock: Clock, step: str
) -> None:
    """Within supervisor's first second; and ``running for`` is counted on the monotonic clock."""
    build(tree, {"api": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1500ms"}}})
    tree.start()
    trees.wait_until(lambda: "api" in names(tree, "ProgramStarted"), "spawned")
    clock.step(STEPS[step])
    began = time.monotonic()
    tree.wait_ready()
    view = tree.program("api")
    assert view.ready_by == "running for 1.5s"
    assert view.supervisor_state == "RUNNING"
    assert view.restarts == 0
    # The program was spawned at most as long before ``began`` as it takes to see an event in a file.
    assert time.monotonic() - began > 0.75
    assert tree.stop() == 0


def test_a_program_that_dies_at_once_is_still_a_failed_start(tree: trees.Tree, clock: Clock, step: str) -> None:
    script = "until [ -e $0 ]; do sleep 0.02; done; exit 1"
    command = ["sh", "-c", script, f"{tree.root}/die"]
    build(tree, {"api": {"command": command, "start_retries": 0, "ready": {"running": True, "for": "1h"}}})
    tree.start()
    trees.wait_until(lambda: "api" in names(tree, "ProgramStarted"), "spawned")
    clock.step(STEPS[step])
    (tree.root / "die").touch()
    assert tree.exit_code() == 6
    assert "FATAL" in tree.failure()["cause"]


def test_a_pause_before_the_next_start_is_as_long_as_it_was(tree: trees.Tree, clock: Clock, step: str) -> None:
    build(
        tree,
        {
            "long": {"command": ["false"], "required": False, "restart": {"backoff": "1h", "cap": "1h"}},
            "back": {
                "command": ["sh", "-c", "[ -e $0 ] && exec sleep 1000", f"{tree.root}/go"],
                "ready": {"running": True, "for": "0s"},
                "start_retries": 10,
                "restart": {"backoff": "1500ms"},
                "on_fatal": "degrade",
            },
        },
    )
    tree.start()
    trees.wait_until(
        lambda: tree.get("/livez")[0] == 200 and state(tree, "back") == state(tree, "long") == "BACKOFF", "paused"
    )
    clock.step(STEPS[step])
    (tree.root / "go").touch()
    trees.wait_until(lambda: names(tree, "ProgramStarted").count("back") >= 2, "tried again")
    tree.wait_ready()
    assert names(tree, "ProgramStarted").count("long") == 1
    assert tree.stop() == 0


def test_while_a_program_stops_it_keeps_its_time(tree: trees.Tree, clock: Clock, step: str) -> None:
    programs = {
        "slow": worker(tree, "slow", "takes=1", stop={"timeout": "30s"}),
        "deaf": worker(tree, "deaf", "deaf", stop={"timeout": "2s"}),
    }
    build(tree, programs)
    tree.start().wait_ready()
    os.kill(tree.pid, signal.SIGTERM)
    trees.wait_until(lambda: len(told(tree, "term")) == 2, "told to stop")
    clock.step(STEPS[step])
    assert tree.exit_code() == 0
    assert told(tree, "end"), "it was killed early"
    lines = tree.stdout().splitlines()
    assert len([line for line in lines if "with SIGKILL" in line]) == 1, "the deaf one, at its own time"


def test_after_the_seal_everything_stays_ready(tree: trees.Tree, clock: Clock, step: str) -> None:
    checked = {"http": f"http://127.0.0.1:{tree.port}/livez"}
    live = {"period": "200ms", "failures": 1, "restart": True}
    notify = {"ready": {"notify": True, "watchdog": "1h"}, "command": worker(tree, "notify", "notify")["command"]}
    build(tree, {"api": worker(tree, "api"), "checked": {**trees.QUICK, "live": {**checked, **live}}, "notify": notify})
    tree.start().wait_ready()
    ready = tree.get("/ready")[1]
    clock.step(STEPS[step])
    for _ in range(10):
        turns(tree, 1)
        assert tree.get("/ready") == (200, ready)
        assert tree.get("/livez")[0] == 200
    assert len(tree.events("ReadinessChanged")) == 1
    assert tree.stop() == 0


def state(tree: trees.Tree, name: str) -> str:
    return tree.program(name).supervisor_state


def turns(tree: trees.Tree, count: int) -> None:
    """Let PID 1 answer ``count`` questions, so that its loop turned with the clock as it is now; each some 0.1 s apart."""
    for _ in range(count):
        tree.snapshot()
        time.sleep(0.1)
