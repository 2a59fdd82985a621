"""Stopping: unready first, then the drain, then rank after rank, SIGKILL at the timeout, and nothing is left behind.

Order is told by the programs themselves, on the clock that all processes share; no test has a clock to beat but the budget.
"""

import contextlib
import dataclasses
import http.client
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tree as trees

from manifest import plan as plans

WORKER = Path(__file__).parent / "programs" / "stop_worker.py"
LONG = "1h"


@dataclasses.dataclass(frozen=True)
class Told:
    """What a worker told: ``what`` at the monotonic moment ``at``, from the process ``pid``."""

    name: str
    what: str
    at: float
    pid: int
    ready: int = 0
    live: int = 0


def worker(tree: trees.Tree, name: str, *options: str, timeout: str = "30s", **keys: Any) -> dict[str, Any]:
    command = [sys.executable, "-I", "-S", str(WORKER), f"{tree.root}/log", name, *options]
    return {"command": command, "ready": {"fd": 3}, "stop": {"timeout": timeout}, **keys}


def told(tree: trees.Tree, what: str | None = None) -> list[Told]:
    with contextlib.suppress(FileNotFoundError):
        lines = [Told(**json.loads(line)) for line in (tree.root / "log").read_text().splitlines()]
        return [line for line in lines if what in {None, line.what}]
    return []


def boot(tree: trees.Tree, programs: dict[str, Any], **sections: Any) -> None:
    tree.build({"programs": programs, **sections})
    tree.start().wait_ready()


def everybody(tree: trees.Tree) -> list[int]:
    return [tree.pid, *trees.descendants(tree.pid), *(line.pid for line in told(tree))]


def budget_seconds(tree: trees.Tree) -> float:
    text = (tree.plan_directory / plans.PLAN_FILE).read_text()
    return float(json.loads(text)["stop"]["budget_seconds"])


def stop(tree: trees.Tree, ask: Callable[[], object] | None = None) -> None:
    """Stop ``tree`` by ``ask`` (SIGTERM): with 0, within its budget, and so that no process is left."""
    before = everybody(tree)
    began = time.monotonic()
    (ask or (lambda: os.kill(tree.pid, signal.SIGTERM)))()
    assert tree.exit_code() == 0, tree.stdout() + tree.stderr()
    # The budget is counted from the signal's taking to the last SIGKILL; the exit itself and a busy machine come on top.
    assert time.monotonic() - began <= budget_seconds(tree) + 2
    trees.wait_until_gone([*before, *everybody(tree)[1:]])


@contextlib.contextmanager
def watching(tree: trees.Tree) -> Iterator[list[tuple[float, str, int]]]:
    """Collect ``(moment of the question, path, status)`` of /ready and /livez all along; status 0 is no answer."""
    seen: list[tuple[float, str, int]] = []
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.01):
            for path in ("/ready", "/livez"):
                asked = time.monotonic()
                try:
                    status = tree.get(path)[0]
                except (OSError, http.client.HTTPException):
                    status = 0
                seen.append((asked, path, status))

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield seen
    finally:
        is_over.set()
        thread.join()


# --- unready first ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drain", ["0s", "400ms"])
def test_ready_is_503_before_the_first_program_is_told_to_stop(tree: trees.Tree, drain: str) -> None:
    """The first one asks, and nobody needs it: what is required still runs, and is ready but for the stop."""
    programs = {
        "api": worker(tree, "api"),
        "asks": worker(tree, "asks", f"port={tree.port}", after=["api"], required=False),
    }
    boot(tree, programs, stop={"drain": drain})
    trees.wait_until(lambda: tree.program("asks").state == "ready", "the one that asks")
    stop(tree)
    [seen] = told(tree, "seen")
    assert (seen.ready, seen.live) == (503, 200)
    assert [line.name for line in told(tree, "term")] == ["asks", "api"]


def test_the_drain_is_unready_alive_and_otherwise_untouched(tree: trees.Tree) -> None:
    boot(tree, {"api": worker(tree, "api", "takes=0.3")}, stop={"drain": "500ms"})
    with watching(tree) as seen:
        trees.wait_until(lambda: any(path == "/livez" for _, path, _ in seen), "watching")
        asked_at = time.monotonic()
        stop(tree)
    [term], [end] = told(tree, "term"), told(tree, "end")
    assert term.at - asked_at >= 0.5
    ready = [(at, status) for at, path, status in seen if path == "/ready"]
    unready_at = min(at for at, status in ready if status == 503)
    assert unready_at < term.at
    assert not [at for at, status in ready if status == 200 and at > unready_at]
    alive = [status for at, path, status in seen if path == "/livez" and at < end.at]
    assert set(alive) == {200}


# --- order ------------------------------------------------------------------------------------------------------------


def test_ranks_stop_from_the_highest_and_each_all_together(tree: trees.Tree) -> None:
    ranks = [["a0", "b0", "c0"], ["a1", "b1", "c1"], ["a2", "b2", "c2"]]
    programs = {
        name: worker(tree, name, "takes=0.4", after=ranks[rank - 1] if rank else [])
        for rank, names in enumerate(ranks)
        for name in names
    }
    boot(tree, programs)
    stop(tree)
    terms = {line.name: line.at for line in told(tree, "term")}
    ends = {line.name: line.at for line in told(tree, "end")}
    for names in ranks:
        assert max(terms[name] for name in names) < min(ends[name] for name in names), "they stop together"
    for below, above in itertools.pairwise(ranks):
        assert max(ends[name] for name in above) < min(terms[name] for name in below), "the higher rank is down first"


def test_twelve_programs_that_need_long_take_as_long_as_one(tree: trees.Tree) -> None:
    boot(tree, {f"p{number}": worker(tree, f"p{number}", "takes=1.5") for number in range(12)})
    stop(tree)
    terms, ends = ({line.name: line.at for line in told(tree, what)} for what in ("term", "end"))
    assert len(terms) == len(ends) == 12
    each = [ends[name] - terms[name] for name in terms]
    whole = max(ends.values()) - min(terms.values())
    assert whole < 2 * max(each)
    assert whole < sum(each) / 4


# --- who does not listen ----------------------------------------------------------------------------------------------


def test_a_deaf_program_is_killed_with_its_group_at_its_timeout_while_lower_ranks_wait(tree: trees.Tree) -> None:
    programs = {
        "base": worker(tree, "base"),
        "deaf": worker(tree, "deaf", "deaf", "group", timeout="1s", after=["base"]),
        "twin": worker(tree, "twin", after=["base"]),
    }
    boot(tree, programs)
    trees.wait_until(lambda: told(tree, "group"), "the grandchild sits")
    [child] = told(tree, "group")
    left: list[int] = []

    def ask() -> None:
        os.kill(tree.pid, signal.SIGTERM)
        trees.wait_until(lambda: any(line.name == "base" for line in told(tree, "term")), "the lower rank's turn")
        left.extend(pid for pid in (child.pid, tree_pid["deaf"]) if trees.is_running(pid))

    tree_pid = {line.name: line.pid for line in told(tree, "start")}
    stop(tree, ask)
    terms = {line.name: line.at for line in told(tree, "term")}
    assert terms["base"] - terms["deaf"] >= 1.0 - 0.05, "killed before its timeout"
    assert terms["twin"] < terms["base"]
    assert left == []


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_kills_who_is_waited_for(
    tree: trees.Tree, first: signal.Signals, second: signal.Signals
) -> None:
    programs = {
        "base": worker(tree, "base", "deaf", timeout=LONG),
        "deaf": worker(tree, "deaf", "deaf", timeout=LONG, after=["base"]),
    }
    boot(tree, programs)
    os.kill(tree.pid, first)
    trees.wait_until(lambda: told(tree, "term"), "told to stop")
    assert [line.name for line in told(tree, "term")] == ["deaf"]
    stop(tree, lambda: os.kill(tree.pid, second))


def test_a_second_signal_ends_the_drain(tree: trees.Tree) -> None:
    boot(tree, {"api": worker(tree, "api", "deaf", timeout=LONG)}, stop={"drain": "10m"})
    os.kill(tree.pid, signal.SIGTERM)
    tree.wait_unready()
    assert tree.get("/livez")[0] == 200
    assert not told(tree, "term")
    stop(tree, lambda: os.kill(tree.pid, signal.SIGTERM))


def test_a_program_stopped_by_sigstop_is_killed_all_the_same(tree: trees.Tree) -> None:
    boot(tree, {"api": worker(tree, "api", timeout="1s")})
    [started] = told(tree, "start")
    os.kill(started.pid, signal.SIGSTOP)
    stop(tree)
    assert not told(tree, "end")


def test_what_cannot_be_killed_costs_no_more_than_the_budget(tree: trees.Tree) -> None:
    """A process in state D outlives SIGKILL: here supervisord's kill(2) does nothing to the one program."""
    tree.patch(
        "from supervisor import options\n"
        "kill = options.ServerOptions.kill\n"
        "def dud(self, pid, number):\n"
        f"    if abs(pid) != int(open({f'{tree.root}/dud'!r}).read()): kill(self, pid, number)\n"
        "options.ServerOptions.kill = dud\n"
    )
    (tree.root / "dud").write_text("0")
    programs = {"base": worker(tree, "base"), "dud": worker(tree, "dud", timeout="1s", after=["base"])}
    boot(tree, programs)
    [pid] = [line.pid for line in told(tree, "start") if line.name == "dud"]
    (tree.root / "dud").write_text(str(pid))
    stop(tree)
    assert [line.name for line in told(tree, "end")] == ["base"], "the lower rank has its turn"
    assert "could not be stopped in time: dud" in tree.stdout()


# --- at any moment ----------------------------------------------------------------------------------------------------


def test_a_stop_during_the_boot_stops_what_was_started_and_nothing_starts_any_more(tree: trees.Tree) -> None:
    never = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
    programs = {"first": worker(tree, "first"), "never": never, "held": worker(tree, "held", after=["never"])}
    tree.build({"programs": programs})
    tree.start()
    trees.wait_until(lambda: told(tree, "start"), "started")
    stop(tree)
    assert [line.name for line in told(tree, "end")] == ["first"]
    assert not tree.events("BootstrapFailed")
    assert not Path(tree.run.seal).exists()


def test_a_stop_during_a_reload_ends_the_container(tree: trees.Tree) -> None:
    boot(tree, {"api": worker(tree, "api", "takes=0.5")}, stop={"drain": "300ms"})
    os.kill(tree.pid, signal.SIGHUP)
    trees.wait_until(lambda: told(tree, "term"), "told to stop by the reload")
    stop(tree)
    assert len(told(tree, "start")) == 1
    assert len(tree.events("SupervisorStarted")) == 1
    assert not Path(tree.run.seal).exists()


def test_a_stop_right_after_a_reload_ends_the_next_generation(tree: trees.Tree) -> None:
    boot(tree, {"api": worker(tree, "api")})
    os.kill(tree.pid, signal.SIGHUP)
    trees.wait_until(lambda: len(tree.events("SupervisorStarted")) == 2, "the next generation")
    stop(tree)


def test_supervisorctl_shutdown_is_a_stop_like_any_other(tree: trees.Tree) -> None:
    boot(tree, {"base": worker(tree, "base"), "api": worker(tree, "api", after=["base"])}, stop={"drain": "200ms"})

    def ask() -> None:
        command = [f"{sys.prefix}/bin/supervisorctl", "-c", f"{tree.plan_directory}/supervisord.conf", "shutdown"]
        assert subprocess.run(command, check=False, capture_output=True, timeout=trees.PATIENCE_SECONDS).returncode == 0

    stop(tree, ask)
    assert [line.name for line in told(tree, "end")] == ["api", "base"]
    assert len(tree.events("StopRequested")) == 1


# --- nothing is left --------------------------------------------------------------------------------------------------


def test_who_holds_stdout_open_hides_no_end_and_keeps_nothing_alive(tree: trees.Tree) -> None:
    boot(tree, {"api": worker(tree, "api", "orphan")})
    trees.wait_until(lambda: told(tree, "orphan"), "the orphan sits")
    [started] = told(tree, "start")
    os.kill(started.pid, signal.SIGKILL)
    trees.wait_until(lambda: len(told(tree, "start")) == 2, "started again")
    trees.wait_until(lambda: len(told(tree, "orphan")) == 2, "the second orphan sits")
    tree.wait_ready()
    assert all(trees.is_running(line.pid) for line in told(tree, "orphan"))
    stop(tree)


def test_the_codes_of_programs_that_are_stopped_change_nothing(tree: trees.Tree) -> None:
    boot(tree, {"api": worker(tree, "api", "exits=3", on_exit="exit")})
    stop(tree)
    assert not tree.events("ContainerEnding")
