"""Order: who needs another starts when that is ready, fails with it, and where it is bound stops and comes back with it."""

import os
import signal
from typing import Any

import pytest
import tree as trees
from programs import puppeteer

from contract import snapshot

READY = ("notify", {"text": "READY=1"})
NOTIFY = {"ready": {"notify": True}}
REASON = "waits for {}"


def puppets(tree: trees.Tree, *names: str) -> tuple[puppeteer.Puppet, ...]:
    return tuple(puppeteer.Puppet(tree, name) for name in names)


def stamp(tree: trees.Tree, what: str, name: str, number: int = 0) -> puppeteer.Stamp:
    """Return when ``name`` did ``what`` for the time ``number``."""
    found: puppeteer.Stamp = trees.wait_until(
        lambda: puppeteer.stamps(tree, what, name)[number:][:1], f"{name} {what}"
    )[0]
    return found


def starts(tree: trees.Tree, name: str) -> int:
    return len([event for event in tree.events("ProgramStarted") if event["program"] == name])


# --- starting ---------------------------------------------------------------------------------------------------


def test_one_waits_for_readiness_and_another_only_for_the_start(tree: trees.Tree) -> None:
    base, strict, eager = puppets(tree, "base", "strict", "eager")
    tree.build(
        {
            "programs": {
                "base": base.entry(**NOTIFY),
                "strict": strict.entry(READY, after=["base"], **NOTIFY),
                "eager": eager.entry(READY, after={"base": "started"}, **NOTIFY),
            }
        }
    )
    tree.start()
    eager.is_up()
    view = puppeteer.wait_for(tree, "eager", lambda view: view.state == snapshot.READY)
    view = tree.program("strict")
    assert (view.state, view.reason, view.pid) == (snapshot.PENDING, REASON.format("base"), None)
    base.do("notify", text="READY=1")
    tree.wait_ready()
    assert stamp(tree, "started", "strict").at > stamp(tree, "ready", "base").at
    assert stamp(tree, "ready", "base").at > stamp(tree, "ready", "eager").at


def test_a_chain_of_five_starts_one_after_the_other(tree: trees.Tree) -> None:
    names = ["one", "two", "three", "four", "five"]
    programs: dict[str, Any] = {}
    for name, before in zip(names, [None, *names], strict=False):
        [puppet] = puppets(tree, name)
        after = [before] if before else []
        programs[name] = puppet.entry(("sleep", {"seconds": 0.05}), READY, after=after, **NOTIFY)
    tree.build({"programs": dict(sorted(programs.items()))})
    tree.start().wait_ready()
    moments = [(stamp(tree, "started", name).at, stamp(tree, "ready", name).at) for name in names]
    line = [moment for pair in moments for moment in pair]
    assert line == sorted(line)
    assert len(line) == 10


def test_a_one_shot_lets_go_when_it_has_completed(tree: trees.Tree) -> None:
    migrate, api, early = puppets(tree, "migrate", "api", "early")
    tree.build(
        {
            "programs": {
                "migrate": migrate.entry(oneshot=True),
                "api": api.entry(READY, after=["migrate"], **NOTIFY),
                "early": early.entry(READY, after={"migrate": "started"}, **NOTIFY),
            }
        }
    )
    tree.start()
    migrate.is_up()
    puppeteer.wait_for(tree, "early", lambda view: view.state == snapshot.READY)
    assert tree.program("api").reason == "waits for migrate"
    assert starts(tree, "api") == 0
    migrate.do("exit", code=0)
    tree.wait_ready()
    assert tree.program("migrate").ready_by == "exit 0"
    assert starts(tree, "migrate") == 1


def test_a_restart_waits_for_what_it_needs_like_the_first_start(tree: trees.Tree) -> None:
    base, api = puppets(tree, "base", "api")
    tree.build({"programs": {"base": base.entry(**NOTIFY), "api": api.entry(READY, after=["base"], **NOTIFY)}})
    tree.start()
    base.do("notify", text="READY=1")
    tree.wait_ready()
    pid = api.is_up()
    base.do("notify", text="RELOADING=1")
    base.do("barrier")
    os.kill(pid, signal.SIGKILL)
    puppeteer.wait_for(tree, "api", lambda view: view.supervisor_state in {"EXITED", "BACKOFF"})
    assert starts(tree, "api") == 1
    base.do("notify", text="READY=1")
    tree.wait_ready()
    assert starts(tree, "api") == 2
    assert stamp(tree, "started", "api", 1).at > stamp(tree, "ready", "base", 1).at


# --- failing ----------------------------------------------------------------------------------------------------


FAILURES: dict[str, tuple[dict[str, Any], str]] = {
    "a one-shot that exits 3": ({"command": ["sh", "-c", "exit 3"], "oneshot": True}, "exited with code 3"),
    "given up": ({"command": ["false"], "start_retries": 0}, "is FATAL"),
    "never ready": (
        {"command": ["sleep", "1000"], "ready": {"notify": True, "timeout": "200ms"}, "start_retries": 0},
        "was not ready in time (has not said READY=1 yet)",
    ),
    "ends and stays so": (
        {
            "command": ["sleep", "0.1"],
            "ready": {"running": True, "for": "1h"},
            "on_exit": "degrade",
            "start_retries": 0,
        },
        "exited with code 0",
    ),
}


@pytest.mark.parametrize("how", FAILURES)
def test_who_needs_what_failed_fails_with_it_at_once_and_by_name(tree: trees.Tree, how: str) -> None:
    failing, why = FAILURES[how]
    tree.build(
        {
            "programs": {
                "base": {**failing, "required": False},
                "api": {**trees.QUICK, "after": ["base"], "required": False},
                "web": {**trees.QUICK, "after": ["api"], "required": False},
                "side": {**trees.QUICK, "after": {"base": "started"}, "required": False},
                "shop": trees.QUICK,
            },
            "boot": {"seal_timeout": "10m"},
        }
    )
    tree.start().wait_ready()
    view = puppeteer.wait_for(tree, "web", lambda view: view.state == snapshot.FAILED)
    assert view.final
    assert view.reason.startswith("needs api, which needs base, which ")
    assert why in view.reason
    assert tree.program("api").reason.startswith("needs base, which ")
    assert [starts(tree, name) for name in ("api", "web")] == [0, 0]
    told = {event["program"]: event["reason"] for event in tree.events("ProgramFailed")}
    assert why in told["web"]


def test_a_required_dependant_ends_the_boot_with_the_first_cause(tree: trees.Tree) -> None:
    base = {"command": ["sh", "-c", "echo no database >&2; exit 1"], "required": False, "start_retries": 0}
    programs = {"base": base, "api": {**trees.QUICK, "after": ["base"]}, "web": {**trees.QUICK, "after": ["api"]}}
    tree.build({"programs": programs, "boot": {"seal_timeout": "10m"}})
    assert tree.start().exit_code() == 6
    assert "needs base, which is FATAL" in tree.failure()["cause"]
    assert [starts(tree, name) for name in ("api", "web")] == [0, 0]


# --- bound ------------------------------------------------------------------------------------------------------


def bound_tree(tree: trees.Tree, **redis: Any) -> tuple[puppeteer.Puppet, ...]:
    """Boot api bound to redis, web bound to api, and other, which only comes after redis."""
    made = puppets(tree, "redis", "api", "web", "other")
    entry, *_ = made
    tree.build(
        {
            "programs": {
                "redis": entry.entry(**{**NOTIFY, **redis}),
                "api": made[1].entry(READY, after={"redis": {"bind": True}}, **NOTIFY),
                "web": made[2].entry(READY, after={"api": {"is": "started", "bind": True}}, **NOTIFY),
                "other": made[3].entry(READY, after=["redis"], **NOTIFY),
            }
        }
    )
    tree.start()
    entry.do("notify", text="READY=1")
    tree.wait_ready()
    return made


def test_who_is_bound_stops_and_comes_back_in_order_and_who_is_not_stays(tree: trees.Tree) -> None:
    redis, api, web, other = bound_tree(tree)
    before = {puppet.name: puppet.is_up() for puppet in (redis, api, web, other)}
    os.kill(before["redis"], signal.SIGKILL)
    redis.renewed(before["redis"])
    for name in ("api", "web"):
        assert stamp(tree, "stopped", name).pid == before[name]
        puppeteer.wait_for(tree, name, lambda view: view.supervisor_state == "STOPPED")
    assert tree.program("api").reason == "waits for redis"
    assert tree.program("web").reason == "waits for api"
    assert [starts(tree, name) for name in ("api", "web")] == [1, 1]
    redis.do("notify", text="READY=1")
    tree.wait_ready()
    told = [(event["event"], event.get("program")) for event in tree.events()]
    back = [("ProgramReady", "redis"), ("ProgramStarted", "api"), ("ProgramStarted", "web")]
    assert [one for one in told[told.index(("BootstrapCompleted", None)) :] if one in back] == back
    assert stamp(tree, "started", "api", 1).at > stamp(tree, "ready", "redis", 1).at
    assert other.is_up() == before["other"]
    assert (tree.program("api").exits, tree.program("web").exits) == (0, 0)
    assert puppeteer.stamps(tree, "stopped", "other") == []


def test_who_is_bound_to_what_is_given_up_stops_and_fails_naming_it(tree: trees.Tree) -> None:
    redis, api, web, other = bound_tree(tree, on_fatal="degrade", restart={"limit": 1})
    pids = [puppet.is_up() for puppet in (api, web, other)]
    first = redis.is_up()
    redis.do("exit", code=1)
    assert redis.renewed(first)
    redis.do("exit", code=1)
    view = puppeteer.wait_for(tree, "web", lambda view: view.final)
    assert view.reason.startswith("needs api, which needs redis, which is FATAL")
    trees.wait_until_gone(pids[:2])
    assert tree.program("other").pid == pids[2]
    assert tree.wait_unready()["missing"][0]["id"] == "redis"


def test_who_is_bound_stays_up_while_what_it_needs_is_only_unready(tree: trees.Tree) -> None:
    redis, api, web, other = bound_tree(tree)
    before = [puppet.is_up() for puppet in (redis, api, web, other)]
    redis.do("notify", text="RELOADING=1")
    assert "is reloading" in tree.wait_unready()["reason"]
    redis.do("notify", text="READY=1")
    tree.wait_ready()
    assert [puppet.is_up() for puppet in (redis, api, web, other)] == before
