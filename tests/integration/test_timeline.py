"""When programs were spawned, RUNNING and ready, and why they were started again: of real processes, as readers see it."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tree as trees
from programs import puppeteer

from contract import boot_record, clock, snapshot

READY = ("notify", {"text": "READY=1"})
SOON = {"backoff": "20ms", "cap": "40ms"}
STEPS = ("spawned", "running", "ready")


def build(tree: trees.Tree, programs: dict[str, Any], **sections: Any) -> None:
    tree.build({"programs": programs, "boot": {"writable": [f"{tree.root}/work"]}, **sections})


def views(tree: trees.Tree) -> dict[str, snapshot.ProgramView]:
    """Return the programs of the ledger once supervisor has called everything RUNNING that is."""

    def settled() -> bool:
        return all(view.supervisor_state != "STARTING" for view in tree.snapshot().programs)

    trees.wait_until(settled, "supervisor's own RUNNING")
    return {view.name: view for view in tree.snapshot().programs}


def moment(timeline: snapshot.Timeline, step: str) -> float:
    value = getattr(timeline, step)
    assert isinstance(value, float), (step, timeline)
    return value


# --- timelines ----------------------------------------------------------------------------------------------------


def test_the_steps_of_a_boot_are_in_order_after_stage_a(tree: trees.Tree) -> None:
    ready_soon = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "200ms"}}
    tree.build({
        "programs": {
            "migrate": {"command": ["sleep", "0.2"], "oneshot": True},
            "api": {**ready_soon, "after": ["migrate"]},
            "web": {**ready_soon, "after": ["api"]},
            "broken": {"command": ["/nowhere/at/all"], "required": False},
        }
    })  # fmt: skip
    tree.start().wait_ready()
    found = views(tree)
    for name in ("probes", "bootstrap", "migrate", "api", "web", "bootstrap-seal"):
        view = found[name]
        assert view.first == view.latest, name
        spawned = moment(view.first, "spawned")
        assert spawned < moment(view.first, "ready"), name
        assert spawned <= moment(view.first, "running"), name
        assert moment(view.first, "ready") < clock.monotonic() - boot_record.read(tree.run).started_monotonic
    assert found["broken"].first == snapshot.NO_TIMELINE
    last_phase = boot_record.read(tree.run).phases[-1]
    in_order = [
        last_phase.started_seconds + last_phase.duration_ms / 1000,
        moment(found["probes"].first, "spawned"),
        moment(found["bootstrap"].first, "ready"),
        moment(found["migrate"].first, "spawned"),
        moment(found["migrate"].first, "ready"),
        moment(found["api"].first, "spawned"),
        moment(found["api"].first, "ready"),
        moment(found["web"].first, "spawned"),
        moment(found["web"].first, "ready"),
        moment(found["bootstrap-seal"].first, "ready"),
    ]
    assert in_order == sorted(in_order)


def test_the_probe_server_is_told_every_step(tree: trees.Tree) -> None:
    """What it serves is its own copy, made of changes."""
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    known = {view.name: view for view in views(tree).values()}

    def served() -> bool:
        _, body = tree.get("/health")
        found = {view["name"]: view["latest"] for view in (body or {}).get("programs", [])}
        return found == {name: vars(view.latest) for name, view in known.items()}

    trees.wait_until(served, "the probe server knows every step", lambda: str((known, tree.get("/health"))))


def test_a_restart_begins_a_timeline_and_a_reload_begins_both_on_the_same_clock(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start().wait_ready()
    before = views(tree)["api"]
    assert before.pid is not None
    os.kill(before.pid, signal.SIGKILL)
    after = puppeteer.wait_for(tree, "api", lambda view: view.restarts == 1 and view.supervisor_state == "RUNNING")
    assert after.first == before.first
    assert all(moment(after.latest, step) > moment(before.latest, step) for step in STEPS)
    tree.client().call("supervisor.restart")
    trees.wait_until(lambda: len(tree.events("BootstrapCompleted")) == 2, "sealed again")
    again = views(tree)["api"]
    assert (again.restarts, again.restart_reasons, again.first) == (0, {}, again.latest)
    assert moment(again.first, "spawned") > moment(after.latest, "running")


# --- why it was started again ---------------------------------------------------------------------------------------


@pytest.fixture
def api(tree: trees.Tree) -> puppeteer.Puppet:
    return puppeteer.Puppet(tree, "api")


@contextlib.contextmanager
def restarted(tree: trees.Tree, name: str, reason: str, times: int = 1) -> Iterator[None]:
    """Expect that what is done within restarts ``name`` so often, for ``reason``, and that it is ready again."""
    before = tree.program(name)
    yield
    count = before.restarts + times
    view = puppeteer.wait_for(tree, name, lambda one: one.restarts >= count and one.state == snapshot.READY)
    counted = {**before.restart_reasons, reason: before.restart_reasons.get(reason, 0) + times}
    assert (view.restarts, view.restart_reasons) == (count, counted)


def test_an_exit_a_signal_and_an_operator(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(READY, ready={"notify": True}, restart=SOON)})
    tree.start().wait_ready()
    with restarted(tree, "api", snapshot.ENDED):
        api.do("exit", code=3)
    with restarted(tree, "api", snapshot.KILLED):
        api.do("die", number=signal.SIGSEGV)
    with restarted(tree, "api", snapshot.OPERATOR):
        tree.client().call("supervisor.stopProcess", "api", timeout_seconds=trees.PATIENCE_SECONDS)
        tree.client().call("supervisor.startProcess", "api", timeout_seconds=trees.PATIENCE_SECONDS)
    with restarted(tree, "api", snapshot.KILLED):
        tree.client().call("supervisor.signalProcess", "api", "KILL")
    assert tree.program("api").restart_reasons == {snapshot.ENDED: 1, snapshot.KILLED: 2, snapshot.OPERATOR: 1}


def test_an_end_before_readiness_is_a_failed_start(tree: trees.Tree) -> None:
    flag = tree.root / "work" / "flag"
    stumbles = f"test -e {flag} && exec sleep 1000; touch {flag}; exit 3"
    ready = {"running": True, "for": "200ms"}
    build(tree, {"api": {"command": ["sh", "-c", stumbles], "ready": ready, "restart": SOON}})
    tree.start().wait_ready()
    view = tree.program("api")
    assert view.restart_reasons == {snapshot.UNSTARTED: 1}
    assert moment(view.first, "spawned") < moment(view.latest, "spawned") <= moment(view.first, "ready")


def test_a_program_that_could_not_be_executed_is_a_failed_start(tree: trees.Tree) -> None:
    script = tree.root / "script"
    script.write_text("#!/bin/sh\nexec sleep 1000\n")
    script.chmod(0o755)
    build(tree, {
        "api": {**trees.QUICK, "command": [str(script)], "on_fatal": "restart", "restart": SOON}, "base": trees.QUICK,
    })  # fmt: skip
    tree.start().wait_ready()
    away = script.rename(tree.root / "away")
    pid = tree.program("api").pid
    assert pid is not None
    with restarted(tree, "api", snapshot.UNSTARTED):
        os.kill(pid, signal.SIGKILL)
        puppeteer.wait_for(tree, "api", lambda view: "could not be spawned" in view.reason)
        away.rename(script)


def test_a_start_that_took_too_long_was_unready(tree: trees.Tree) -> None:
    work = tree.root / "work"
    slow = f"test -e {work}/flag && touch {work}/ready; touch {work}/flag; exec sleep 1000"
    ready = {"file": f"{work}/ready", "timeout": "1s"}
    build(tree, {"api": {"command": ["sh", "-c", slow], "ready": ready, "restart": SOON}})
    tree.start().wait_ready()
    counted = tree.program("api").restart_reasons
    assert set(counted) == {snapshot.UNREADY}
    assert len(tree.events("ProgramKilled")) == counted[snapshot.UNREADY]


def test_a_silent_watchdog_and_a_failing_live_check_were_unready(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    port, live = trees.free_port(), puppeteer.Puppet(tree, "live")
    url = f"http://127.0.0.1:{port}/livez"
    check = {"http": url, "period": "100ms", "failures": 2, "restart": True}
    build(tree, {
        "api": api.entry(READY, ready={"notify": True, "watchdog": "1h"}, restart=SOON),
        "live": live.entry(("http", {"port": port}), ready={"http": url}, live=check, restart=SOON),
    })  # fmt: skip
    tree.start().wait_ready()
    with restarted(tree, "api", snapshot.UNREADY):
        api.do("notify", text="WATCHDOG=trigger")
    with restarted(tree, "live", snapshot.UNREADY):
        live.do("answer", status=503)


def test_what_comes_back_with_what_it_is_bound_to(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    web = puppeteer.Puppet(tree, "web")
    bound = web.entry(READY, ready={"notify": True}, after={"api": {"bind": True}}, restart=SOON)
    build(tree, {"api": api.entry(READY, ready={"notify": True}, restart=SOON), "web": bound})
    tree.start().wait_ready()
    with restarted(tree, "web", snapshot.BOUND), restarted(tree, "api", snapshot.ENDED):
        api.do("exit", code=0)
    with restarted(tree, "web", snapshot.BOUND), restarted(tree, "api", snapshot.OPERATOR):
        tree.client().call("supervisor.stopProcess", "api", timeout_seconds=trees.PATIENCE_SECONDS)
        tree.client().call("supervisor.startProcess", "api", timeout_seconds=trees.PATIENCE_SECONDS)
    with restarted(tree, "web", snapshot.OPERATOR):
        tree.client().call("supervisor.stopProcess", "web", timeout_seconds=trees.PATIENCE_SECONDS)
        tree.client().call("supervisor.startProcess", "web", timeout_seconds=trees.PATIENCE_SECONDS)


def test_bootseals_own_programs_have_reasons_and_steps_too(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(ready={"notify": True})})
    tree.start()
    trees.wait_until(lambda: Path(tree.run.supervisor_socket).exists(), "supervisord listens")
    for name in ("bootstrap-seal", "probes"):
        view = puppeteer.wait_for(
            tree, name, lambda one: one.pid and (one.role == "seal" or one.state == snapshot.READY)
        )
        assert view.pid is not None
        os.kill(view.pid, signal.SIGKILL)
        again = puppeteer.wait_for(tree, name, lambda one, pid=view.pid: one.pid not in {None, pid})
        assert again.restart_reasons == {snapshot.KILLED: 1}
        assert again.first.spawned == view.first.spawned
    api.do("notify", text="READY=1")
    tree.wait_ready()
    seal = tree.program("bootstrap-seal")
    assert moment(seal.latest, "spawned") > moment(seal.first, "spawned")
    assert seal.first.ready == seal.latest.ready
