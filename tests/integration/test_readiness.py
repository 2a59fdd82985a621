"""Readiness that is proven, each kind by real processes: never before its proof, at once after it, and anew for a new pid."""

import base64
import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tree as trees
from programs import puppeteer

from contract import snapshot

SUBREAPER = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1, 0, 0, 0); "
    "os.execv(sys.executable, [sys.executable, '-I', '-X', 'utf8', '-m', 'entrypoint', 'boot', *sys.argv[1:]])"
)
"""PID 1 gets orphans; a test's tree does too, once it is their subreaper (prctl(2))."""


@pytest.fixture
def api(tree: trees.Tree) -> puppeteer.Puppet:
    return puppeteer.Puppet(tree, "api")


def build(tree: trees.Tree, programs: dict[str, Any], **sections: Any) -> None:
    tree.build({"programs": programs, "boot": {"writable": [f"{tree.root}/work"]}, **sections})


def missing(tree: trees.Tree) -> list[str]:
    return [row["id"] for row in (tree.get("/ready")[1] or {}).get("missing", []) if row["kind"] == "program"]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def descriptors(tree: trees.Tree) -> int:
    return len(os.listdir(f"/proc/{tree.pid}/fd"))


# --- every kind -------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of proof: what stands under ``ready``, what the ledger says before and after, and the order that proves."""

    ready: Callable[[str, int], dict[str, Any]]
    lacks: str
    ready_by: str
    order: Callable[[str, int], tuple[str, dict[str, Any]]]


KINDS = {
    "notify": Kind(
        lambda _root, _port: {"notify": True},
        "has not said READY=1 yet",
        "READY=1",
        lambda _root, _port: ("notify", {"text": "READY=1"}),
    ),
    "fd": Kind(
        lambda _root, _port: {"fd": 7},
        "has not written a newline to descriptor 7 yet",
        "newline on fd 7",
        lambda _root, _port: ("write", {"fd": 7, "text": "\n"}),
    ),
    "log": Kind(
        lambda _root, _port: {"log": "^ready to (accept|serve)$"},
        "a line that matches",
        "log line",
        lambda _root, _port: ("write", {"fd": 2, "text": "not ready to serve\nready to serve\n"}),
    ),
    "file": Kind(
        lambda root, _port: {"file": f"{root}/work/ready"},
        "has not made ",
        "file {root}/work/ready",
        lambda root, _port: ("touch", {"path": f"{root}/work/ready"}),
    ),
    "http": Kind(
        lambda _root, port: {"http": f"http://127.0.0.1:{port}/livez"},
        "its http check has not passed yet: connection refused",
        "http check",
        lambda _root, port: ("http", {"port": port}),
    ),
    "tcp": Kind(
        lambda _root, port: {"tcp": port},
        "its tcp check has not passed yet: connection refused",
        "tcp check",
        lambda _root, port: ("tcp", {"port": port}),
    ),
    "unix": Kind(
        lambda root, _port: {"unix": f"{root}/work/api.sock"},
        "its unix check has not passed yet: ",
        "unix check",
        lambda root, _port: ("unix", {"path": f"{root}/work/api.sock"}),
    ),
    "exec": Kind(
        lambda root, _port: {"exec": ["test", "-e", f"{root}/work/go"]},
        "its exec check has not passed yet: test exited with code 1",
        "exec check",
        lambda root, _port: ("touch", {"path": f"{root}/work/go"}),
    ),
}


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_ready_before_its_proof_and_a_new_process_proves_itself_again(
    tree: trees.Tree, api: puppeteer.Puppet, name: str
) -> None:
    kind, root, port = KINDS[name], str(tree.root), trees.free_port()
    what, arguments = kind.order(root, port)
    build(tree, {"api": api.entry(ready=kind.ready(root, port), live=False)})
    plant(tree, "ready")  # an earlier boot's file proves nothing
    first = 0
    for seals in (0, 1):
        if not first:
            tree.start()
        else:
            Path(f"{root}/work/go").unlink(missing_ok=True)
            os.kill(first, signal.SIGKILL)
        pid = api.renewed(first)
        view = puppeteer.wait_for(tree, "api", lambda view, pid=pid: view.pid == pid and kind.lacks in view.reason)
        assert (view.state, view.restarts) == (snapshot.PENDING, seals)
        assert len(tree.events("BootstrapCompleted")) == seals
        assert trees.wait_until(lambda: missing(tree), "/ready names it") == ["api"]
        assert tree.get("/ready")[0] == 503
        api.do(what, **arguments)
        tree.wait_ready()
        view = tree.program("api")
        assert (view.pid, view.ready_by) == (pid, kind.ready_by.format(root=root))
        first = pid
    assert sealed_by(tree)["api"] == kind.ready_by.format(root=root)
    assert [event["pid"] for event in tree.events("ProgramReady") if event["program"] == "api"][-1] == pid


def plant(tree: trees.Tree, name: str) -> None:
    """Put a file into the writable root where an earlier boot would have left it."""
    work = tree.root / "work"
    work.mkdir()
    (work / name).touch()
    uid = trees.other_uid()
    if uid is not None:
        os.chown(work, uid, uid)
        os.chown(work / name, uid, uid)


def sealed_by(tree: trees.Tree) -> dict[str, str]:
    """Return the proofs that the seal names."""
    programs = json.loads(Path(tree.run.seal).read_text())["programs"]
    return {program["name"]: program["ready_by"] for program in programs}


def test_running_is_proven_by_one_process_that_lives_long_enough(tree: trees.Tree) -> None:
    build(tree, {"api": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "700ms"}}})
    tree.start().wait_ready()
    first = tree.program("api")
    assert first.ready_by == sealed_by(tree)["api"] == "running for 0.7s"
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    view = puppeteer.wait_for(tree, "api", lambda view: view.pid not in {None, first.pid})
    assert (view.state, "must stay up for 0.7s" in view.reason) == (snapshot.PENDING, True)
    tree.wait_ready()
    assert tree.program("api").pid == view.pid


def test_a_file_ends_readiness_when_it_goes_and_restores_it(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    path = f"{tree.root}/work/ready"
    build(tree, {"api": api.entry(ready={"file": path})})
    tree.start()
    api.do("touch", path=path)
    tree.wait_ready()
    api.do("remove", path=path)
    assert "has lost its file" in tree.wait_unready()["reason"]
    api.do("touch", path=path)
    tree.wait_ready()


def test_a_descriptor_that_is_closed_without_a_newline_proves_nothing(tree: trees.Tree) -> None:
    shell = "printf ready >&5; exec 5>&-; exec sleep 1000"
    build(tree, {"api": {"command": ["sh", "-c", shell], "ready": {"fd": 5}}})
    tree.start()
    view = puppeteer.wait_for(tree, "api", lambda view: view.reason == "closed fd 5 without a newline")
    assert view.state == snapshot.PENDING


# --- notify -----------------------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("systemd-notify") is None, reason="Debian's package systemd is not installed")
def test_systemd_notify_is_believed_and_its_barrier_answered_after_that(tree: trees.Tree) -> None:
    seen = tree.root / "seen"
    shell = (
        f"systemd-notify --ready; echo $? $(grep -c ProgramReady.*READY=1 {tree.run.events}) > {seen}; exec sleep 1000"
    )
    build(tree, {"api": {"command": ["sh", "-c", shell], "ready": {"notify": True}}})
    tree.start().wait_ready()
    assert tree.program("api").ready_by == "READY=1"
    assert trees.wait_until(lambda: seen.exists() and seen.read_text(), "systemd-notify came back") == "0 1\n"


def test_a_barrier_is_answered_after_everything_before_it_was_taken(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(ready={"notify": True})})
    tree.start()
    api.do("notify", text="READY=1\nSTATUS=serving 3 shops")
    api.do("barrier")
    view = tree.program("api")
    assert (view.state, view.status) == (snapshot.READY, "serving 3 shops")


def test_no_program_speaks_for_another(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    mute, other = puppeteer.Puppet(tree, "mute"), puppeteer.Puppet(tree, "other")
    programs = {
        "api": api.entry(ready={"notify": True}),
        "other": other.entry(ready={"notify": True}),
        "mute": mute.entry(ready={"running": True, "for": "0s"}),
    }
    build(tree, programs)
    tree.start()
    pid = api.is_up()
    assert mute.do("environment", name="NOTIFY_SOCKET") is None
    mute.do("notify", text="READY=1\nSTATUS=forged", to=tree.run.notify_socket)
    refusal = tree.wait_for_event("NotificationRefused")
    assert f"pid {mute.is_up()}" in refusal["reason"]
    assert "belongs to no program that is ready by notify" in refusal["reason"]
    other.do("notify", text=f"READY=1\nMAINPID={pid}\nSTATUS=mine")
    other.do("barrier")
    assert f"MAINPID {pid} is no process of other" in tree.events("NotificationRefused")[-1]["reason"]
    assert (tree.program("other").state, tree.program("other").status) == (snapshot.READY, "mine")
    assert (tree.program("api").state, tree.program("api").status) == (snapshot.PENDING, "")
    assert trees.wait_until(lambda: missing(tree), "/ready names it") == ["api"]
    assert tree.events("BootstrapCompleted") == []


def test_a_sender_that_is_dead_is_not_believed(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(ready={"notify": True})})
    tree.start()
    api.is_up()
    os.kill(tree.pid, signal.SIGSTOP)
    pid = api.do("last_words", text="READY=1", to=tree.run.notify_socket)
    os.kill(tree.pid, signal.SIGCONT)
    assert tree.wait_for_event("NotificationRefused")["reason"] == f"a datagram of pid {pid}: its sender is gone"
    assert tree.program("api").state == snapshot.PENDING


def test_what_a_program_says_of_itself_is_shown(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(ready={"notify": True})})
    tree.start()
    api.do("notify", text="STATUS=warming \x1b[31m the cache\nREADY=1")
    tree.wait_ready()
    shown = {view["name"]: view["status"] for view in tree.get("/health")[1]["programs"]}
    assert shown["api"] == tree.program("api").status == "warming [31m the cache"
    config = str(tree.plan_directory / "supervisord.conf")
    command = [f"{sys.prefix}/bin/supervisorctl", "-c", config, "status", "api"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=trees.PATIENCE_SECONDS)
    assert "warming [31m the cache" in done.stdout


def test_a_missed_watchdog_kills_the_program_and_names_the_cause(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(("notify", {"text": "READY=1"}), ready={"notify": True, "watchdog": "600ms"})})
    tree.start().wait_ready()
    first = api.is_up()
    assert api.do("environment", name="WATCHDOG_USEC") == "600000"
    assert int(api.do("environment", name="WATCHDOG_PID")) == api.is_up()
    killed = tree.wait_for_event("ProgramKilled", program="api", pid=first)
    assert killed["reason"] == "did not say WATCHDOG=1 within 0.6s"
    [failed, *_] = tree.events("ProgramFailed")
    assert "did not say WATCHDOG=1 within 0.6s and was killed" in failed["reason"]
    assert api.renewed(first)
    tree.wait_ready()


def test_a_watchdog_that_is_fed_kills_nobody_and_a_trigger_kills_at_once(
    tree: trees.Tree, api: puppeteer.Puppet
) -> None:
    build(tree, {"api": api.entry(ready={"notify": True, "watchdog": "1s"})})
    tree.start()
    pid = api.is_up()
    api.do("notify", text="READY=1")
    for _ in range(8):
        api.do("sleep", seconds=0.2)
        api.do("notify", text="WATCHDOG=1")
    assert tree.program("api").pid == pid
    assert tree.events("ProgramKilled") == []
    api.do("notify", text="WATCHDOG_USEC=3600000000")
    api.do("notify", text="WATCHDOG=trigger")
    assert tree.wait_for_event("ProgramKilled")["pid"] == pid


def test_a_reloading_program_is_unready_until_it_says_ready_again(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(ready={"notify": True})})
    tree.start()
    api.do("notify", text="READY=1")
    tree.wait_ready()
    pid = api.is_up()
    api.do("notify", text="RELOADING=1\nMONOTONIC_USEC=1")
    assert "is reloading" in tree.wait_unready()["reason"]
    api.do("notify", text="READY=1")
    tree.wait_ready()
    api.do("notify", text="STOPPING=1")
    assert "said STOPPING=1" in tree.wait_unready()["reason"]
    assert tree.program("api").pid == pid


def test_a_slow_start_that_asks_for_time_gets_it(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    clock = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1500ms"}, "after": {"api": "started"}}
    orders = ("notify", {"text": "EXTEND_TIMEOUT_USEC=60000000"})
    build(tree, {"api": api.entry(orders, ready={"notify": True, "timeout": "1s"}), "clock": clock})
    tree.start()
    pid = api.is_up()
    puppeteer.wait_for(tree, "clock", lambda view: view.state == snapshot.READY)
    assert tree.program("api").pid == pid
    api.do("notify", text="READY=1")
    tree.wait_ready()
    assert tree.events("ProgramKilled") == []
    assert tree.program("api").pid == pid


@pytest.mark.parametrize("is_orphan", [False, True])
def test_a_main_process_speaks_for_its_program_and_takes_readiness_with_it(
    tree: trees.Tree, api: puppeteer.Puppet, is_orphan: bool
) -> None:
    build(tree, {"api": api.entry(ready={"notify": True})})
    tree.start(argv=[sys.executable, "-I", "-c", SUBREAPER])
    between, main = puppeteer.Puppet(tree, "between"), puppeteer.Puppet(tree, "main")
    api.do("child", name="between")
    pid = between.do("child", name="main")
    main.is_up()
    before = descriptors(tree)
    for _ in range(40):
        api.do("notify", text=f"MAINPID={pid}")
    api.do("barrier")
    trees.wait_until(lambda: descriptors(tree) <= before + 1, "no more than one is watched")
    if is_orphan:
        os.kill(between.is_up(), signal.SIGKILL)
        trees.wait_until(lambda: pid in children(tree.pid), "the main process is PID 1's child")
    main.do("notify", text="READY=1\nSTATUS=from the main process")
    main.do("barrier")
    assert tree.events("NotificationRefused") == []
    assert tree.program("api").status == "from the main process"
    tree.wait_ready()
    os.kill(pid, signal.SIGKILL)
    assert f"has lost its main process {pid}" in tree.wait_unready()["reason"]


def test_hostile_datagrams_change_nothing_and_leave_nothing_open(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(ready={"notify": True})})
    tree.start()
    api.do("barrier")
    puppeteer.wait_for(tree, "bootstrap-seal", lambda view: view.pid)
    before = descriptors(tree)
    for data in (
        b"\0",
        b"READY=1\0STATUS=x",
        b"READY=1\n" + b"X=" + b"y" * 5000,
        bytes(range(256)) * 8,
        b"=1\n\n=\nREADY=2\nREADY",
        b"MAINPID=-1\nMAINPID=99999999999999999999999999\nEXTEND_TIMEOUT_USEC=1e9\nWATCHDOG_USEC=0",
        b"STATUS=\xff\xfe",
        b"MAINPID=1",
        b"WATCHDOG=trigger",
        b"BARRIER=1\nREADY=1",
    ):
        api.do("notify", data=base64.b64encode(data).decode())
    for count in (1, 253):
        for _ in range(40):
            api.do("notify", text="X_NOTHING=1", descriptors=count)
    api.do("barrier")
    trees.wait_until(lambda: descriptors(tree) <= before, "all are closed")
    view = tree.program("api")
    assert (view.state, view.status, view.restarts) == (snapshot.PENDING, "", 0)
    assert tree.events("ExtensionFault") == []
    api.do("notify", text="READY=1", descriptors=253)
    tree.wait_ready()
    trees.wait_until(lambda: descriptors(tree) <= before, "all are closed")


@pytest.mark.parametrize("text", ["STATUS=a", "X" * 4000])
def test_a_flood_of_notifications_keeps_nobody_from_booting(tree: trees.Tree, api: puppeteer.Puppet, text: str) -> None:
    flooder = puppeteer.Puppet(tree, "flooder")
    flood = ("flood", {"text": text})
    build(
        tree,
        {
            "flooder": flooder.entry(flood, required=False, ready={"notify": True}),
            "api": api.entry(ready={"notify": True}),
            "web": {**trees.QUICK, "after": ["api"]},
        },
    )
    tree.start()
    trees.wait_until(lambda: flooder.do("flooded") > 1000, "the flood began")
    api.do("notify", text="READY=1")
    tree.wait_ready()
    before, memory = descriptors(tree), resident(tree.pid)
    trees.wait_until(lambda: tree.snapshot() and flooder.do("flooded") > 100_000, "the flood went on")
    trees.wait_until(lambda: abs(descriptors(tree) - before) <= 1, "no descriptor is left over")
    assert resident(tree.pid) < memory + 20_000, "PID 1 grew by more than 20 MB"
    flooder.do("end_flood")
    flooder.do("notify", text="READY=1")
    puppeteer.wait_for(tree, "flooder", lambda view: view.state == snapshot.READY)
    assert len(tree.events("NotificationRefused")) <= 20
    assert tree.events("ExtensionFault") == []
    assert tree.stop() == 0


def resident(pid: int) -> int:
    """Return the resident memory of ``pid`` in KiB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


# --- not ready in time ------------------------------------------------------------------------------------------


def test_what_is_not_ready_in_time_is_tried_again_and_ends_the_boot_with_the_missing_proof(
    tree: trees.Tree, api: puppeteer.Puppet
) -> None:
    ready = {"notify": True, "timeout": "400ms"}
    build(tree, {"api": api.entry(ready=ready, start_retries=1, restart={"backoff": "50ms"})})
    assert tree.start().exit_code() == 6
    killed = tree.events("ProgramKilled")
    assert [event["reason"] for event in killed] == ["was not ready in time (has not said READY=1 yet)"] * 2
    assert len({event["pid"] for event in killed}) == 2
    assert len(puppeteer.stamps(tree, "started")) == 2
    cause = tree.failure()["cause"]
    assert "program api is FATAL after 2 tries" in cause
    assert "was not ready in time (has not said READY=1 yet)" in cause


def test_a_check_that_answers_after_its_deadline_has_failed(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    port = trees.free_port()
    check = {"url": f"http://127.0.0.1:{port}/", "timeout": "200ms"}
    orders = (("answer", {"delay": 0.5}), ("http", {"port": port}))
    build(tree, {"api": api.entry(*orders, ready={"http": check}, live=False)})
    tree.start()
    view = puppeteer.wait_for(tree, "api", lambda view: "no answer within 0.2 s" in view.reason)
    trees.wait_until(lambda: len(api.do("given")) >= 2, "late answers were given")
    view = tree.program("api")
    assert (view.state, view.ready_by) == (snapshot.PENDING, None)
    api.do("answer")
    tree.wait_ready()


# --- live checks ------------------------------------------------------------------------------------------------


LIVE = {"period": "100ms", "timeout": "400ms", "failures": 3, "successes": 2}


def live_tree(tree: trees.Tree, api: puppeteer.Puppet, **live: Any) -> puppeteer.Puppet:
    """Boot a program that is checked for life over http."""
    port = trees.free_port()
    url = f"http://127.0.0.1:{port}/livez"
    build(tree, {"api": api.entry(("http", {"port": port}), ready={"http": url}, live={**LIVE, **live})})
    tree.start().wait_ready()
    return api


def failures(tree: trees.Tree) -> list[str]:
    return [event["reason"] for event in tree.events("ProgramFailed") if event["program"] == "api"]


def test_a_failing_live_check_ends_readiness_and_a_recovery_restores_it_at_their_thresholds(
    tree: trees.Tree, api: puppeteer.Puppet
) -> None:
    live_tree(tree, api)
    pid = api.is_up()
    answers = [500, 500, 500, 500, 200, 500, 200, 200]
    api.do("answer", first=answers)
    body = trees.wait_until(lambda: failures(tree), "it failed")
    assert len(api.do("given")) >= 3
    assert "its live check fails" in body[0]
    assert "answered 500, not 200-299" in body[0]
    puppeteer.wait_for(tree, "api", lambda view: view.state == snapshot.READY)
    assert api.do("given")[: len(answers)] == answers
    tree.wait_ready()
    assert len(failures(tree)) == 1
    assert api.is_up() == pid
    api.do("answer", status=503)
    assert "answered 503, not 200-299" in tree.wait_unready()["reason"]
    assert missing(tree) == ["api"]
    assert tree.get("/livez")[0] == 200
    api.do("answer")
    tree.wait_ready()


def test_a_check_that_flaps_below_its_threshold_changes_nothing(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    live_tree(tree, api)
    answers = [500, 500, 200] * 4 + [200]
    api.do("answer", first=answers)
    trees.wait_until(lambda: len(api.do("given")) > len(answers), "it flapped")
    assert failures(tree) == []
    assert [event["ready"] for event in tree.events("ReadinessChanged")] == [True]
    assert tree.get("/ready")[0] == 200


@pytest.mark.parametrize("delay", [0.6, 3600.0])
def test_a_live_check_that_hangs_or_answers_late_fails(tree: trees.Tree, api: puppeteer.Puppet, delay: float) -> None:
    live_tree(tree, api)
    api.do("answer", delay=delay)
    assert "no answer within 0.4 s" in tree.wait_unready()["reason"]
    api.do("answer")
    tree.wait_ready()


def test_a_failed_live_check_restarts_the_program_where_the_manifest_says_so(
    tree: trees.Tree, api: puppeteer.Puppet
) -> None:
    live_tree(tree, api, restart=True)
    pid = api.is_up()
    api.do("answer", status=500)
    killed = tree.wait_for_event("ProgramKilled", program="api", pid=pid)
    assert "failed its live check" in killed["reason"]
    assert "answered 500" in killed["reason"]
    assert api.renewed(pid)
    tree.wait_ready()
    assert len(tree.events("ProgramKilled")) == 1


def test_a_stopped_program_fails_its_live_check(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    live_tree(tree, api)
    pid = api.is_up()
    os.kill(pid, signal.SIGSTOP)
    try:
        assert "no answer within 0.4 s" in tree.wait_unready()["reason"]
    finally:
        os.kill(pid, signal.SIGCONT)
    tree.wait_ready()
    assert tree.program("api").pid == pid


def test_what_nobody_checks_any_more_is_stale(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    live_tree(tree, api)
    probes = tree.program("probes").pid
    assert probes is not None
    os.kill(probes, signal.SIGSTOP)
    try:
        view = puppeteer.wait_for(tree, "api", lambda view: view.state == snapshot.STALE)
        assert "nobody checks it" in view.reason
    finally:
        os.kill(probes, signal.SIGCONT)
    puppeteer.wait_for(tree, "api", lambda view: view.state == snapshot.READY)
    tree.wait_ready()


def test_a_failed_live_check_stays_failed_while_the_probe_server_is_replaced(
    tree: trees.Tree, api: puppeteer.Puppet
) -> None:
    live_tree(tree, api)
    api.do("answer", status=500)
    tree.wait_unready()
    probes = tree.program("probes").pid
    assert probes is not None
    os.kill(probes, signal.SIGKILL)
    puppeteer.wait_for(tree, "probes", lambda view: view.pid not in {None, probes} and view.state == snapshot.READY)
    assert tree.program("api").state == snapshot.FAILED
    body = trees.wait_until(lambda: missing(tree) and tree.get("/ready")[1], "/ready names a program")
    assert "its live check fails" in body["reason"]
    api.do("answer")
    tree.wait_ready()
    api.do("answer", status=500)
    tree.wait_unready()


# --- the boot, while somebody dies ------------------------------------------------------------------------------


def test_a_program_killed_before_its_proof_is_tried_again_and_sealed(tree: trees.Tree, api: puppeteer.Puppet) -> None:
    build(tree, {"api": api.entry(ready={"notify": True}, restart={"backoff": "20ms"})})
    tree.start()
    for _ in range(2):
        pid = api.is_up()
        os.kill(pid, signal.SIGKILL)
        api.renewed(pid)
    api.do("notify", text="READY=1")
    tree.wait_ready()
    assert tree.program("api").restarts == 2


def test_a_program_that_was_ready_and_ends_before_the_seal_fails_the_boot(
    tree: trees.Tree, api: puppeteer.Puppet
) -> None:
    never = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
    build(tree, {"api": api.entry(("notify", {"text": "READY=1"}), ready={"notify": True}), "never": never})
    tree.start()
    puppeteer.wait_for(tree, "api", lambda view: view.supervisor_state == "RUNNING" and view.state == snapshot.READY)
    api.do("exit", code=3)
    assert tree.exit_code() == 6
    assert "program api exited with code 3" in tree.failure()["cause"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_boot_survives_a_probe_server_that_dies_or_stands_still(
    tree: trees.Tree, api: puppeteer.Puppet, number: int
) -> None:
    port = trees.free_port()
    build(tree, {"api": api.entry(ready={"tcp": port})})
    tree.start()
    puppeteer.wait_for(tree, "api", lambda view: "connection refused" in view.reason)
    probes = tree.program("probes").pid
    assert probes is not None
    os.kill(probes, number)
    api.do("tcp", port=port)
    if number == signal.SIGSTOP:
        assert tree.program("api").state == snapshot.PENDING
        os.kill(probes, signal.SIGCONT)
    tree.wait_ready()
    assert tree.program("api").restarts == 0
