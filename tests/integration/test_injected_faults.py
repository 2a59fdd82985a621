"""A fault of ours, injected at each place where supervisord reaches us: PID 1 lives, is never ready wrongly, and stops in time.

Rules
-----
* Every method that ``guard.guarded`` wraps is found by looking, so that a new one is covered by itself; so is every method of the
  classes named here. What a constructor or an ``attach`` calls may refuse the boot instead, with 6 and its cause.
* A fault comes always; or once, at the third call; or once, in the moment when a program is killed.
* The boots are independent, and run beside each other.
"""

import concurrent.futures
import contextlib
import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree as trees

import supervisord
from manifest import plan as plans
from supervisord import (
    container_signals,
    evidence,
    feed,
    gate,
    guard,
    proofs,
    reaping,
    stopping,
    telling,
)

WORKER = Path(__file__).parent / "programs" / "stop_worker.py"
AT_ONCE = 4
WAIT_SECONDS = 20.0
ALWAYS, THIRD, AT_THE_KILL = "always", "at the third call", "at the kill"

CLASSES = (
    gate.Gate,
    stopping.Stopping,
    evidence.Evidence,
    proofs.Proofs,
    container_signals.ContainerSignals,
    feed.Feed,
    feed.Subscriber,
    telling.Telling,
    reaping.Reaper,
)
VITAL = ("supervisord.gate.", "supervisord.stopping.", "supervisord.reaping.")
"""Those without which no program starts, stops or ends."""
TRIVIAL = {"readable", "writable", "is_waiting"}
"""Constant answers: nothing in them can break."""

PATCH = """
import functools, importlib, os
from supervisord import guard

MODULE, CLASS, METHOD = {target!r}.rsplit(".", 2)
WHEN, ARMED = {when!r}, {armed!r}
calls = 0

def faulty(method):
    @functools.wraps(method)
    def wrapper(*arguments, **options):
        global calls
        if WHEN == "at the kill":
            is_due = calls == 0 and os.path.exists(ARMED)
            calls += is_due
        else:
            calls += 1
            is_due = WHEN == "always" or WHEN == "at the third call" and calls == 3
        if is_due:
            raise RuntimeError("injected")
        return method(*arguments, **options)
    return wrapper

original = guard.guarded

def guarded(method):
    here = method.__module__ == MODULE and method.__qualname__ == f"{{CLASS}}.{{METHOD}}"
    return original(faulty(method) if here else method)

guard.guarded = guarded
owner = getattr(importlib.import_module(MODULE), CLASS)
if not hasattr(owner.__dict__[METHOD], "__wrapped__"):
    setattr(owner, METHOD, faulty(owner.__dict__[METHOD]))
"""


def guarded_methods() -> list[str]:
    """Return each method that ``guard.guarded`` wraps, by its whole name."""

    @guard.guarded
    def wrapped(_self: object) -> None: ...

    found = []
    for module in pkgutil.iter_modules(supervisord.__path__, "supervisord."):
        for _, owner in inspect.getmembers(importlib.import_module(module.name), inspect.isclass):
            if owner.__module__ == module.name:
                found += [
                    f"{module.name}.{owner.__name__}.{name}"
                    for name, method in vars(owner).items()
                    if getattr(method, "__code__", None) is wrapped.__code__
                ]
    return found


def other_methods() -> list[str]:
    """Return the methods of ``CLASSES`` that somebody else calls, and the gate's one step."""
    return [
        f"{owner.__module__}.{owner.__name__}.{name}"
        for owner in CLASSES
        for name, method in vars(owner).items()
        if inspect.isfunction(method) and name not in TRIVIAL
        if not name.startswith("_") or name in {"_step", "_pass_on"}
    ]


def cases() -> list[tuple[str, str]]:
    """Return each place with the times at which a fault there is another story."""
    guarded, others = guarded_methods(), other_methods()
    vital = [name for name in others if name.startswith(VITAL)]
    return [
        *((name, ALWAYS) for name in (*guarded, *others)),
        *((name, THIRD) for name in (*guarded, *vital)),
        *((name, AT_THE_KILL) for name in (*guarded, *vital)),
    ]


@dataclasses.dataclass
class Seen:
    """What became of one boot with a fault."""

    wrongly_ready: bool = False
    was_ready: bool = False
    is_ready_of_a_dead_program: bool = False
    exit_code: int | None = None
    stop_seconds: float = 0.0
    budget_seconds: float = 0.0
    left: tuple[str, ...] = ()
    evidence: str = ""
    causes: tuple[str, ...] = ()


def wait(claim: Any, seconds: float = WAIT_SECONDS) -> bool:
    """Say whether ``claim`` became true in time: with a fault nothing is sure to."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if claim():
            return True
        time.sleep(0.02)
    return False


def catches(pid: int, number: signal.Signals) -> bool:
    """Say whether ``pid`` has a handler for the signal."""
    found = re.search(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


def manifest(tree: trees.Tree) -> dict[str, Any]:
    def worker(name: str, *options: str) -> list[str]:
        return [sys.executable, "-I", "-S", str(WORKER), f"{tree.root}/log", name, *options]

    stop = {"timeout": "1s"}
    checked = {"http": f"http://127.0.0.1:{tree.port}/livez"}
    return {
        "signals": {"USR1": ["notifies"]},
        "programs": {
            "first": {"command": ["true"], "oneshot": True},
            "dies": {"command": worker("dies"), "ready": {"fd": 3}, "on_exit": "degrade", "stop": stop},
            "notifies": {"command": worker("notifies", "notify"), "ready": {"notify": True}, "after": ["first"], "stop": stop},
            "checked": {"command": ["sleep", "1000"], "ready": checked, "live": {"period": "100ms"}, "stop": stop},
            "opened": {"command": ["sleep", "1000"], "ready": {"file": "${run}/open"}, "stop": stop},
        },
    }  # fmt: skip


def live_with(target: str, when: str) -> Seen:
    """Boot with a fault, open what is closed, kill a program, stop; and tell what was seen."""
    with trees.directory() as root:
        tree = trees.Tree(root, trees.free_port())
        tree.patch(PATCH.format(target=target, when=when, armed=f"{root}/armed"))
        tree.build(manifest(tree))
        text = (tree.plan_directory / plans.PLAN_FILE).read_text()
        seen = Seen(budget_seconds=json.loads(text)["stop"]["budget_seconds"])
        try:
            live(tree.start(), seen)
        finally:
            seen.evidence = tree.stdout()[-3000:] + "\n".join(str(event) for event in tree.events())[-6000:]
            tree.destroy()
        return seen


def live(tree: trees.Tree, seen: Seen) -> None:
    process = tree.process
    assert process is not None

    def is_over() -> bool:
        return process.poll() is not None

    def started(name: str) -> list[int]:
        with contextlib.suppress(FileNotFoundError):
            lines = map(json.loads, (tree.root / "log").read_text().splitlines())
            return [line["pid"] for line in lines if (line["name"], line["what"]) == (name, "start")]
        return []

    begun = wait(lambda: is_over() or (started("dies") and started("notifies")), 4.0)
    if begun and not is_over():  # all but one thing is proven, and /ready says so
        wait(lambda: tree.get("/ready")[0] == 200, 0.3)
    seen.wrongly_ready = tree.get("/ready")[0] == 200
    opened = Path(tree.run.path) / "open"
    with contextlib.suppress(FileNotFoundError):
        opened.touch()
        opened.chmod(0o666)
    seen.was_ready = begun and wait(lambda: is_over() or tree.get("/ready")[0] == 200, 4.0) and not is_over()
    if seen.was_ready:
        if catches(tree.pid, signal.SIGUSR1):  # else it would end a process that is not PID 1 of its namespace
            os.kill(tree.pid, signal.SIGUSR1)
        (tree.root / "armed").touch()
        os.kill(started("dies")[-1], signal.SIGKILL)
        seen.is_ready_of_a_dead_program = not wait(lambda: is_over() or tree.get("/ready")[0] != 200)
    pids = [tree.pid, *trees.descendants(tree.pid)]
    began = time.monotonic()
    if not is_over():
        process.send_signal(signal.SIGTERM)
    wait(is_over, seen.budget_seconds + 10)
    seen.stop_seconds = time.monotonic() - began
    seen.exit_code = process.poll()
    seen.causes = tuple(event["cause"] for event in tree.events("BootstrapFailed"))
    wait(lambda: not any(map(trees.is_running, pids)), 5.0)
    seen.left = tuple(trees.cmdline(pid) for pid in pids if trees.is_running(pid))


@pytest.fixture(scope="module")
def lives(request: pytest.FixtureRequest) -> Iterator[dict[tuple[str, str], "concurrent.futures.Future[Seen]"]]:
    """The boot of each case that this session wants, begun before anybody asks."""
    wanted = [
        item.callspec.params["case"]
        for item in request.session.items
        if item.path == request.path and "case" in getattr(getattr(item, "callspec", None), "params", {})
    ]
    with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
        yield {case: pool.submit(live_with, *case) for case in wanted}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case[0].removeprefix('supervisord.')} {case[1]}")
def test_pid_1_survives_is_never_wrongly_ready_and_stops_in_time(
    lives: dict[tuple[str, str], "concurrent.futures.Future[Seen]"], case: tuple[str, str]
) -> None:
    seen = lives[case].result()
    assert not seen.wrongly_ready, seen.evidence
    assert not seen.is_ready_of_a_dead_program, seen.evidence
    assert not [cause for cause in seen.causes if "crashed" in cause], seen.evidence
    assert seen.exit_code == (6 if seen.causes else 0), seen.evidence
    assert seen.stop_seconds <= seen.budget_seconds + 2, seen.evidence
    assert not seen.left, seen.evidence


def test_without_a_fault_all_of_that_is_ready(lives: object) -> None:
    """Else the cases above would prove nothing."""
    seen = live_with("supervisord.gate.Gate.install", "never")
    assert seen.was_ready, seen.evidence
    assert (seen.exit_code, seen.causes) == (0, ())
    assert not seen.is_ready_of_a_dead_program


def test_every_place_is_found() -> None:
    assert {"supervisord.extension.Extension.on_turn", "supervisord.programs.Programs.on_fork"} <= set(
        guarded_methods()
    )
    assert "supervisord.gate.Gate._step" in other_methods()
