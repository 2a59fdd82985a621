"""The speed-ups change the speed and nothing else: each on, off, alone, missing, and broken on purpose; and with supervisor 4.2.5.

Every way of running lives the same life: boot, kill -9 and respawn, reload, stop. What PID 1 says of each program in what order,
what must come before what, the exit code, and the ledger before the stop are compared with those of the default.
"""

import concurrent.futures
import dataclasses
import os
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree as trees

WORKER = Path(__file__).parent / "programs" / "stop_worker.py"
AT_ONCE = 4
OLD_SUPERVISOR = "4.2.5"

BREAK = "from supervisord import {module}\ndef broken(*_):\n    raise RuntimeError('broken on purpose')\n{module}.{name} = broken\n"
NAMED = ("on", "off", "poll", "wake", "stop", "wake,stop", "poll,stop", "poll,wake")
BROKEN = {
    "poll broken": ("loop", "PromptPoll._timeout"),
    "wake broken": ("loop", "Turn.arm"),
    "stop broken": ("stopping", "Stopping._due_members"),
}
OLD = ("old", "old off")
WAYS = (*NAMED, *BROKEN, *OLD)


@dataclasses.dataclass(frozen=True)
class Life:
    """What one life came to."""

    lanes: dict[str, list[tuple[str, str]]]
    """By program, "" for the container: (event, what it said)."""
    order: list[tuple[str, str]]
    """(event, program) of PID 1, as they came."""
    ledger: dict[str, tuple[Any, ...]]
    exit_code: int
    stopped: list[str]
    faults: list[tuple[str, str]]
    version: str


def manifest(tree: trees.Tree) -> dict[str, Any]:
    def worker(name: str, **keys: Any) -> dict[str, Any]:
        return {
            "command": [sys.executable, "-I", "-S", str(WORKER), f"{tree.root}/log", name],
            "ready": {"fd": 3},
            **keys,
        }

    return {
        "programs": {
            "migrate": {"command": ["true"], "oneshot": True},
            "api": worker("api", after=["migrate"]),
            "bound": worker("bound", after={"api": {"bind": True}}),
            "beside": worker("beside", after=["api"]),
            "optional": {
                "command": ["sh", "-c", "exit 3"],
                "required": False,
                "start_retries": 1,
                "restart": {"backoff": "10ms"},
            },
        }
    }


def live(way: str, old_prefix: str) -> Life:
    """Boot, kill, reload and stop a tree in this ``way``."""
    with trees.directory() as root:
        tree = trees.Tree(root, trees.free_port())
        if way in OLD:
            tree.prefix = old_prefix
        if way in BROKEN:
            module, name = BROKEN[way]
            tree.patch(BREAK.format(module=module, name=name))
        speedups = way if way in NAMED else "off" if way == "old off" else "on"
        tree.build(manifest(tree))
        try:
            return lived(tree.start({"BOOTSEAL_SPEEDUPS": speedups}))
        finally:
            tree.destroy()


def lived(tree: trees.Tree) -> Life:
    """Live the life of ``tree``; each step is awaited by what PID 1 itself says."""
    for generation in (1, 2):
        sealed = {"event": "ProgramReady", "program": "bootstrap-seal"}
        settle(tree, "sealed", lambda: len(matching(tree, **sealed)) == generation)  # noqa: B023
        failed = {"event": "ProgramFailed", "program": "optional"}
        settle(tree, "given up", lambda: len(matching(tree, **failed)) == generation)  # noqa: B023
        tree.wait_ready()
        settle(tree, "supervisor's own first second is over", lambda: states(tree) == {"RUNNING", "EXITED", "FATAL"})
        if generation == 1:
            kill_and_wait(tree)
            os.kill(tree.pid, signal.SIGHUP)
    ledger = {
        view.name: (view.state, view.reason, view.supervisor_state, view.ready_by, view.final, view.exits, view.restarts, view.last_exit)
        for view in tree.snapshot().programs
    }  # fmt: skip
    code = tree.stop()
    ours = [event for event in tree.events() if event["source"] == "supervisord"]
    lanes: dict[str, list[tuple[str, str]]] = {}
    for event in ours:
        words = str(event.get("reason") or event.get("ready_by") or event.get("generation") or event.get("exit_code"))
        if event["event"] not in {"SpeedupStoodAside", "ExtensionFault"}:
            lanes.setdefault(event.get("program", ""), []).append((event["event"], words))
    return Life(
        lanes=lanes,
        order=[(event["event"], event.get("program", "")) for event in ours],
        ledger=ledger,
        exit_code=code,
        stopped=[line.split("stopped: ")[1].split()[0] for line in tree.stdout().splitlines() if "stopped: " in line],
        faults=[(event["event"], event.get("speedup") or event["where"]) for event in ours if event["event"] in {"SpeedupStoodAside", "ExtensionFault"}],
        version=next(str(event["proof"]) for event in tree.events("CapabilityValidated")).split()[-1],
    )  # fmt: skip


def states(tree: trees.Tree) -> set[str]:
    return {view.supervisor_state for view in tree.snapshot().programs}


def kill_and_wait(tree: trees.Tree) -> None:
    """Kill ``api`` and wait until it, and who is bound to it, is ready again."""
    before = {name: len(matching(tree, event="ProgramReady", program=name)) for name in ("api", "bound")}
    pid = tree.program("api").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for name, count in before.items():
        settle(tree, f"{name} again", lambda: len(matching(tree, event="ProgramReady", program=name)) == count + 1)  # noqa: B023
    tree.wait_ready()


def matching(tree: trees.Tree, **fields: Any) -> list[dict[str, Any]]:
    return [event for event in tree.events() if fields.items() <= event.items()]


def settle(tree: trees.Tree, what: str, claim: Any) -> None:
    trees.wait_until(claim, what, lambda: tree.stdout()[-2000:] + tree.stderr()[-3000:])


@pytest.fixture(scope="module")
def old_prefix(pytestconfig: pytest.Config) -> str:
    """A virtual environment like this one, but for supervisor 4.2.5; made once, and kept with pytest's cache."""
    cache = pytestconfig.cache
    assert cache is not None
    prefix = cache.mkdir(f"supervisor-{OLD_SUPERVISOR}-python{sysconfig.get_python_version()}")
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(prefix), "platbase": str(prefix)}))
    done = prefix / "complete"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", str(prefix)], check=True)
        wanted = [f"supervisor=={OLD_SUPERVISOR}", "setuptools<81"]  # 4.2.5 needs pkg_resources
        quiet = ["--quiet", "--disable-pip-version-check", "--root-user-action=ignore"]
        subprocess.run([sys.executable, "-m", "pip", "install", *quiet, "--target", str(packages), *wanted], check=True)
        product = Path(__file__).parents[2]
        (packages / "rest.pth").write_text(f"{sysconfig.get_path('purelib')}\n{product}\n")
        done.touch()
    return str(prefix)


@pytest.fixture(scope="module")
def lives(old_prefix: str) -> Iterator[dict[str, "concurrent.futures.Future[Life]"]]:
    """Every life, lived beside the others."""
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield {way: pool.submit(live, way, old_prefix) for way in WAYS}
        pool.shutdown(cancel_futures=True)


Lives = dict[str, "concurrent.futures.Future[Life]"]


@pytest.mark.parametrize("way", WAYS)
def test_every_program_lives_the_same_life(lives: Lives, way: str) -> None:
    wanted, found = lives["on"].result(), lives[way].result()
    assert found.lanes == wanted.lanes
    assert found.ledger == wanted.ledger
    assert found.exit_code == 0


CAUSES = (
    [
        ("ProgramReady", "probes"), ("ProgramStarted", "migrate"), ("ProgramReady", "migrate"), ("ProgramStarted", "api"),
        ("ProgramReady", "api"), ("ProgramStarted", "bound"), ("ProgramReady", "bound"), ("ProgramReady", "bootstrap-seal"),
        ("ProgramStarted", "api"), ("ProgramReady", "api"), ("ProgramStarted", "bound"), ("ProgramReady", "bound"),
        ("GenerationEnded", ""), ("SupervisorStarted", ""), ("ProgramReady", "bootstrap"), ("ProgramStarted", "migrate"),
        ("ProgramReady", "api"), ("ProgramStarted", "beside"), ("ProgramReady", "bootstrap-seal"), ("StopRequested", ""),
    ],
)  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_what_must_come_first_comes_first(lives: Lives, way: str) -> None:
    order = iter(lives[way].result().order)
    for causes in CAUSES:
        missed = [step for step in causes if step not in order]  # ``in`` reads on from the last step
        assert not missed, lives[way].result().order


@pytest.mark.parametrize("way", WAYS)
def test_dependants_stop_first_and_the_probe_server_last(lives: Lives, way: str) -> None:
    stopped = lives[way].result().stopped
    last = stopped[-4:]
    assert set(last[:2]) == {"bound", "beside"}, stopped
    assert last[2:] == ["api", "probes"], stopped


@pytest.mark.parametrize(
    ("way", "faults"),
    [
        ("poll broken", [("SpeedupStoodAside", "poll")] * 2),
        ("wake broken", [("SpeedupStoodAside", "wake")] * 2),
        ("stop broken", [("ExtensionFault", "stopping")] * 2),
        *((way, []) for way in (*NAMED, *OLD)),
    ],
)
def test_one_that_breaks_stands_aside_and_says_so_once_a_generation(
    lives: Lives, way: str, faults: list[tuple[str, str]]
) -> None:
    assert lives[way].result().faults == faults


def test_the_old_supervisor_is_the_old_one(lives: Lives) -> None:
    assert [lives[way].result().version for way in OLD] == [OLD_SUPERVISOR] * 2
    assert lives["on"].result().version != OLD_SUPERVISOR


def test_an_unknown_speed_up_is_refused_by_name(tree: trees.Tree) -> None:
    tree.build(trees.ONE)
    assert tree.start({"BOOTSEAL_SPEEDUPS": "poll,wakeup"}).exit_code() == 6
    assert "wakeup" in tree.failure()["cause"]
