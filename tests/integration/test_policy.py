"""What follows when programs end or are given up: restarts and their pauses, the container's end, its exit code and its cause."""

import itertools
import os
import signal
from typing import Any

import pytest
import tree as trees
from programs import puppeteer

from contract import snapshot
from seal import verification

READY = ("notify", {"text": "READY=1"})
SOON = {"backoff": "20ms", "cap": "40ms"}


@pytest.fixture
def api(tree: trees.Tree) -> puppeteer.Puppet:
    return puppeteer.Puppet(tree, "api")


def sealed(tree: trees.Tree, api: puppeteer.Puppet, others: dict[str, Any] | None = None, **keys: Any) -> None:
    """Boot ``api`` under the policy ``keys``, ready by notify and in its second second, and ``others``."""
    entry = api.entry(READY, ready={"notify": True}, **keys)
    tree.build({"programs": {"api": entry, **(others or {})}})
    tree.start().wait_ready()
    puppeteer.wait_for(tree, "api", lambda view: view.supervisor_state == "RUNNING")


def ending(tree: trees.Tree) -> dict[str, Any]:
    [event] = tree.events("ContainerEnding")
    return event


# --- on_exit ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("what", "number", "code", "how"), [
    ("exit", 7, 7, "exited with code 7"),
    ("exit", 0, 0, "exited with code 0"),
    ("die", 9, 137, "was killed by signal 9"),
    ("die", 11, 139, "was killed by signal 11"),
])  # fmt: skip
def test_on_exit_exit_ends_the_container_with_the_programs_own_code(
    tree: trees.Tree, api: puppeteer.Puppet, what: str, number: int, code: int, how: str
) -> None:
    base, web = puppeteer.Puppet(tree, "base"), puppeteer.Puppet(tree, "web")
    base_entry = base.entry(("on_term", {"code": 5}), READY, ready={"notify": True})
    web_entry = web.entry(READY, ready={"notify": True}, after=["base"])
    sealed(tree, api, {"base": base_entry, "web": web_entry}, on_exit="exit")
    api.do(what, **({"code": number} if what == "exit" else {"number": number}))
    assert tree.exit_code() == code
    assert ending(tree)["program"] == "api"
    assert ending(tree)["cause"] == f"program api {how}, and its on_exit is exit"
    assert ending(tree)["exit_code"] == code
    assert [one.name for one in puppeteer.stamps(tree, "stopped")] == ["web", "base"]
    assert tree.events("BootstrapFailed") == []
    assert len(puppeteer.stamps(tree, "started", "api")) == 1


def test_the_cause_of_an_end_that_was_ours_is_named(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    tree.build({"programs": {"api": api.entry(READY, ready={"notify": True, "watchdog": "300ms"}, on_exit="exit")}})
    tree.start().wait_ready()
    assert tree.exit_code() == 137
    assert ending(tree)["cause"] == (
        "program api did not say WATCHDOG=1 within 0.3s and was killed, and its on_exit is exit"
    )


def test_the_first_end_decides_the_exit_code(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    other = puppeteer.Puppet(tree, "other")
    other_entry = other.entry(("on_term", {"code": 9}), READY, ready={"notify": True}, on_exit="exit")
    sealed(tree, api, {"other": other_entry}, on_exit="exit")
    api.do("exit", code=7)
    assert tree.exit_code() == 7
    assert ending(tree)["program"] == "api"
    assert [one.name for one in puppeteer.stamps(tree, "stopped")] == ["other"]


def test_a_job_ends_its_container_with_its_own_code(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    tree.build({"programs": {"base": trees.QUICK, "api": api.entry(oneshot=True, on_exit="exit", after=["base"])}})
    tree.start()
    api.do("exit", code=0)
    assert tree.exit_code() == 0
    assert tree.events("BootstrapFailed") == []
    assert ending(tree)["cause"] == "program api exited with code 0, and its on_exit is exit"


def test_a_job_that_fails_ends_its_container_with_its_own_code(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    tree.build({"programs": {"base": trees.QUICK, "api": api.entry(oneshot=True, on_exit="exit", after=["base"])}})
    tree.start()
    api.do("exit", code=3)
    assert tree.exit_code() == 3
    assert ending(tree)["exit_code"] == 3


@pytest.mark.parametrize("required", [True, False])
def test_on_exit_degrade_leaves_it_ended_and_the_container_up(
    tree: trees.Tree, api: puppeteer.Puppet, required: bool
) -> None:
    base = puppeteer.Puppet(tree, "base")
    base_entry = base.entry(READY, ready={"notify": True})
    sealed(tree, api, {"base": base_entry}, on_exit="degrade", required=required)
    pid = base.is_up()
    api.do("exit", code=3)
    view = puppeteer.wait_for(tree, "api", lambda view: view.final)
    assert (view.state, view.supervisor_state, view.pid) == (snapshot.FAILED, "EXITED", None)
    assert "exited with code 3" in view.reason
    if required:
        assert "required program api: exited with code 3" in tree.wait_unready()["reason"]
    else:
        assert tree.get("/ready")[0] == 200
    assert base.is_up() == pid
    tree.client().call("supervisor.startProcess", "api")
    tree.wait_ready()
    assert tree.stop() == 0


# --- on_fatal ---------------------------------------------------------------------------------------------------


def test_on_fatal_exit_ends_a_sealed_container_with_6_and_the_last_words(
    tree: trees.Tree, api: puppeteer.Puppet
) -> None:
    words = "\n".join(f"line {number} " + "x" * 80 for number in range(9)) + "\nlogin with hunter2secret failed\n"
    environment = {"DB_PASSWORD": "hunter2secret"}
    sealed(tree, api, on_fatal="exit", restart={**SOON, "limit": 1}, environment=environment)
    for _ in range(2):
        pid = api.is_up()
        api.do("write", fd=1, text="not these\n")
        api.do("write", fd=2, text=words)
        api.do("exit", code=3)
        if not tree.events("ContainerEnding") and len(puppeteer.stamps(tree, "started", "api")) == 1:
            api.renewed(pid)
    assert tree.exit_code() == 6
    event = ending(tree)
    assert (event["program"], event["exit_code"]) == ("api", 6)
    assert "program api is FATAL: it ended 2 times within 60s" in event["cause"]
    assert "the last time it exited with code 3" in event["cause"]
    assert "its on_fatal is exit" in event["cause"]
    last = event["last_output"]
    assert last[-1] == "login with *** failed"
    assert last[:-1] == [line for line in words.splitlines() if line.startswith("line")][-4:]
    assert sum(len(line.encode()) for line in last) <= 512
    assert "hunter2secret" not in "".join(map(str, tree.events()))
    assert tree.events("BootstrapFailed") == []


def test_last_words_are_bounded_in_bytes(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    sealed(tree, api, on_exit="exit")
    api.do("write", fd=2, text=("ü" * 200 + "\n") * 5)
    api.do("exit", code=3)
    assert tree.exit_code() == 3
    last = ending(tree)["last_output"]
    assert last
    assert sum(len(line.encode()) for line in last) <= 512


def test_on_fatal_degrade_leaves_the_container_up_and_unready(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    sealed(tree, api, on_fatal="degrade", restart={**SOON, "limit": 1})
    first = api.is_up()
    api.do("exit", code=1)
    api.renewed(first)
    api.do("exit", code=1)
    view = puppeteer.wait_for(tree, "api", lambda view: view.final)
    assert view.supervisor_state == "FATAL"
    assert "required program api: is FATAL" in tree.wait_unready()["reason"]
    assert tree.get("/livez")[0] == 200
    assert tree.stop() == 0


def test_on_fatal_restart_never_gives_up(tree: trees.Tree) -> None:
    failing = {"command": ["false"], "required": False, "on_fatal": "restart", "start_retries": 0}
    tree.build({"programs": {"api": {**failing, "restart": {**SOON, "limit": 1}}, "base": trees.QUICK}})
    tree.start()
    puppeteer.wait_for(tree, "api", lambda view: view.restarts >= 8)
    assert tree.program("api").final is False
    tree.wait_ready()


def test_an_optional_program_that_must_not_be_given_up_ends_the_boot(tree: trees.Tree) -> None:
    failing = {
        "command": ["sh", "-c", "echo why >&2; exit 1"],
        "required": False,
        "on_fatal": "exit",
        "start_retries": 0,
    }
    slow = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
    tree.build({"programs": {"api": failing, "slow": slow}})
    assert tree.start().exit_code() == 6
    assert "program api is FATAL" in tree.failure()["cause"]
    assert "why" in tree.failure()["cause"]


# --- storms and pauses ------------------------------------------------------------------------------------------


STORMS = {
    "lives 1.2 s": ({"command": ["sleep", "1.2"]}, 3),
    "ready at once, ends at once": (
        {"command": ["true"], "ready": {"running": True, "for": "0s"}, "start_retries": 1000},
        4,
    ),
}


@pytest.mark.parametrize("how", STORMS)
def test_a_storm_of_ends_is_given_up_whatever_its_pace(tree: trees.Tree, how: str) -> None:
    program, ends = STORMS[how]
    restart = {**SOON, "limit": ends - 1}
    tree.build({"programs": {"api": {**program, "required": False, "restart": restart}, "base": trees.QUICK}})
    tree.start()
    view = puppeteer.wait_for(tree, "api", lambda view: view.supervisor_state == "FATAL")
    assert f"ended {ends} times within 60s" in view.reason
    assert (view.final, view.restarts) == (True, ends - 1)
    assert tree.get("/livez")[0] == 200


def test_the_pauses_before_further_starts_grow(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    restart = {"backoff": "100ms", "cap": "10s", "limit": 100}
    entry = api.entry(("exit", {"code": 1}), required=False, start_retries=4, restart=restart)
    tree.build({"programs": {"api": entry, "base": trees.QUICK}})
    tree.start()
    puppeteer.wait_for(tree, "api", lambda view: view.supervisor_state == "FATAL")
    at = [one.at / 1e9 for one in puppeteer.stamps(tree, "started", "api")]
    gaps = [later - earlier for earlier, later in itertools.pairwise(at)]
    least = [0.75 * 0.1 * 2**number for number in range(4)]  # a slow machine makes a pause longer, never shorter
    assert len(gaps) == len(least)
    assert all(gap >= pause for gap, pause in zip(gaps, least, strict=True)), gaps


def test_the_first_exit_of_what_was_ready_is_answered_at_once(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    sealed(tree, api, restart={"backoff": "1h", "cap": "1h"})
    first = api.is_up()
    os.kill(first, signal.SIGKILL)
    api.renewed(first)
    tree.wait_ready()
    view = tree.program("api")
    assert (view.exits, view.restarts) == (1, 1)


# --- the boot ---------------------------------------------------------------------------------------------------


def test_a_held_boot_is_sealed_late_when_what_failed_is_mended(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    mended = tree.root / "mended"
    shell = f"test -e {mended} || {{ echo not mended >&2; exit 1; }}; exec sleep 1000"
    program = {"command": ["sh", "-c", shell], "start_retries": 0, "ready": {"running": True, "for": "100ms"}}
    web = {**trees.QUICK, "after": ["bad"]}
    tree.build({"programs": {"bad": program, "web": web}, "boot": {"on_failure": "hold"}})
    tree.start()
    failure = tree.wait_for_event("BootstrapFailed")
    assert "program bad is FATAL" in failure["cause"]
    assert "not mended" in failure["cause"]
    assert tree.snapshot().phase == snapshot.HELD
    mended.touch()
    tree.client().call("supervisor.startProcess", "bad")
    tree.wait_ready()
    assert verification.verify(tree.run).late
    assert tree.events("BootstrapCompleted")[0]["late"] is True
    assert tree.stop() == 0


def test_a_requested_stop_is_0_whatever_programs_end_with(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    deaf = {"command": ["sh", "-c", "trap 'kill -9 $$' TERM; while :; do sleep 0.05; done"], "on_exit": "exit"}
    sealed(tree, api, {"deaf": {**deaf, "ready": {"running": True, "for": "0s"}}}, on_exit="exit")
    api.do("on_term", code=42)
    assert tree.stop() == 0
    assert tree.events("ContainerEnding") == []
    assert puppeteer.stamps(tree, "stopped", "api")


def test_who_ends_by_itself_while_the_container_stops_changes_nothing(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    at_once = {"running": True, "for": "0s"}
    watching = f"until grep -q 'api stopped' {tree.root}/stamps; do sleep 0.02; done; exit 9"
    slow = "trap 'sleep 0.5; exit 0' TERM; echo up; while :; do sleep 0.02; done"
    others = {
        "base": {"command": ["sh", "-c", watching], "ready": at_once, "on_exit": "exit"},
        "slow": {"command": ["sh", "-c", slow], "ready": {"log": "up"}, "after": ["base"]},
    }
    sealed(tree, api, others, after=["base"])
    assert tree.stop() == 0
    assert "exited: base (exit status 9" in tree.stdout()
    assert tree.events("ContainerEnding") == []


def test_a_program_whose_exit_ends_the_container_ends_the_boot_too(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    slow = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
    tree.build({"programs": {"api": api.entry(READY, ready={"notify": True}, on_exit="exit"), "slow": slow}})
    tree.start()
    puppeteer.wait_for(tree, "api", lambda view: view.state == snapshot.READY)
    api.do("exit", code=7)
    assert tree.exit_code() == 7
    assert ending(tree)["program"] == "api"
