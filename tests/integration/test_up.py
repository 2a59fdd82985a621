"""``bootseal up``: the same boot without a container, and nothing outlives it, whatever kills it."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree as trees
import yaml

UP = [sys.executable, "-I", "-m", "entrypoint", "up"]
SLOW = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "1h"}}
QUICK = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}


@pytest.fixture
def place() -> Iterator[Path]:
    with trees.directory() as root:
        yield root


def write(place: Path, manifest: dict[str, object]) -> Path:
    path = place / "bootseal.yaml"
    probes = {"listen": f"0.0.0.0:{trees.free_port()}"}
    path.write_text(yaml.safe_dump({"version": 1, "name": "tree", "probes": probes, **manifest}))
    return path


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [*UP, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=trees.PATIENCE_SECONDS, check=False)


@contextlib.contextmanager
def running(place: Path, manifest: dict[str, object], *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run ``bootseal up`` in the background until it said READY."""
    path = write(place, manifest)
    with (place / "up.log").open("wb") as log:
        up = subprocess.Popen(
            [*UP, str(path), "--state", str(place / "state"), *arguments], stdout=log, stderr=log, process_group=0
        )
    try:
        trees.wait_until(lambda: "READY" in (place / "up.log").read_text(), "READY", (place / "up.log").read_text)
        yield up
    finally:
        below = trees.descendants(up.pid)
        if up.poll() is None:
            up.kill()
            up.wait()
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def test_until_ready_exits_0_and_leaves_nothing(place: Path) -> None:
    result = run(write(place, {"programs": {"api": QUICK}}), "--until-ready", "--state", place / "state")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "READY" in result.stdout
    told = dict(line.split(None, 1) for line in result.stdout.split("READY\n")[1].splitlines()[:5])
    assert told["page"].startswith("http://127.0.0.1:") and told["page"].endswith("/")
    assert told["probes"] == f"{told['page']}ready  {told['page']}health"
    assert told["status"] == f"{sys.prefix}/bin/bootseal status --run-dir {place / 'state'}/run"
    assert not (place / "state/run/bootstrap.done").is_symlink()


def test_a_failed_boot_exits_6_and_says_why(place: Path) -> None:
    bad = {"command": ["sh", "-c", "echo no such luck >&2; exit 7"], "oneshot": True}
    result = run(write(place, {"programs": {"bad": bad}}))
    assert result.returncode == 6
    assert "FAILED seal: program bad exited with code 7" in result.stdout
    assert "no such luck" in result.stdout


def test_a_manifest_with_errors_exits_2_and_starts_nothing(place: Path) -> None:
    result = run(write(place, {"programs": {"api": {"comand": ["true"]}}}), "--state", place / "state")
    assert result.returncode == 2
    assert "bootseal.yaml:" in result.stderr
    assert "command" in result.stderr
    assert not (place / "state/run").exists()


def test_the_timeout_ends_it_with_6(place: Path) -> None:
    result = run(write(place, {"programs": {"slow": SLOW}}), "--timeout", "2s")
    assert result.returncode == 6
    assert "not ready within 2 s" in result.stdout


def test_the_events_of_an_earlier_boot_are_not_taken_for_this_ones(place: Path) -> None:
    state = place / "state"
    first = run(write(place, {"programs": {"api": QUICK}}), "--until-ready", "--state", state)
    assert first.returncode == 0, first.stdout
    second = run(write(place, {"programs": {"api": SLOW}}), "--until-ready", "--timeout", "2s", "--state", state)
    assert second.returncode == 6, second.stdout
    assert "READY" not in second.stdout


def test_without_a_container_nothing_is_attested_and_nothing_warned_of_also_where_the_profile_is_enforced(
    place: Path,
) -> None:
    with running(place, {"programs": {"api": QUICK}, "security": {"enforce": True}}):
        run_directory = place / "state/run"
        told = [json.loads(line) for line in (run_directory / "events.jsonl").read_text().splitlines()]
        assert not [
            one for one in told if "SecurityProfileApplied" in one["event"] or one.get("phase") == "security-profile"
        ]
        assert json.loads((run_directory / "boot.json").read_text())["security"] is None
        assert json.loads((run_directory / "bootstrap.done").read_text())["security"] is None
        judge = [sys.executable, "-I", "-m", "entrypoint", "verify", "--run-dir", str(run_directory)]
        said = subprocess.run(judge, capture_output=True, text=True, timeout=trees.PATIENCE_SECONDS, check=True)
        assert "security  no container: nothing confined it" in said.stdout


def test_two_cannot_share_a_state_directory(place: Path) -> None:
    with running(place, {"programs": {"api": QUICK}}):
        second = run(place / "bootseal.yaml", "--until-ready", "--state", place / "state")
        assert second.returncode == 2, second.stdout
        assert "another `bootseal up` runs there" in second.stderr
        assert (place / "state/run/bootstrap.done").exists()


def test_a_terminal_that_is_gone_ends_it(place: Path) -> None:
    """Even where no SIGHUP tells it, as under ``su -c``: nobody could stop it any more."""
    path = write(place, {"programs": {"api": QUICK}})
    master, terminal = os.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    up = subprocess.Popen(
        [*UP, str(path), "--state", str(place / "state")],
        stdin=subprocess.DEVNULL,
        stdout=terminal,
        stderr=terminal,
        env=environment,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        trees.wait_until((place / "state/run/bootstrap.done").exists, "the seal")
        os.close(master)
        assert up.wait(trees.PATIENCE_SECONDS) == 1
    finally:
        if up.poll() is None:
            up.kill()
            up.wait()


def test_a_bad_timeout_is_a_usage_error(place: Path) -> None:
    result = run(write(place, {"programs": {"slow": SLOW}}), "--timeout", "soon")
    assert result.returncode == 2
    assert "--timeout" in result.stderr


def test_json_is_one_event_a_line_and_nothing_else(place: Path) -> None:
    result = run(write(place, {"programs": {"api": QUICK}}), "--until-ready", "--format", "json")
    assert result.returncode == 0, result.stderr
    events = [json.loads(line) for line in result.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names[0] == "BootstrapStarted"
    assert {"ProgramReady", "BootstrapCompleted", "ReadinessChanged", "StopRequested"} <= set(names)


def test_a_port_in_use_is_named(place: Path) -> None:
    import socket

    path = write(place, {"programs": {"api": QUICK}})
    port = int(yaml.safe_load(path.read_text())["probes"]["listen"].rpartition(":")[2])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", port))
        taken.listen()
        result = run(path, "--until-ready")
    assert result.returncode == 6
    assert f"127.0.0.1:{port}" in result.stdout
    assert "in use" in result.stdout


def test_writable_roots_move_below_the_state_and_ports_to_loopback(place: Path) -> None:
    manifest = {
        "boot": {"writable": ["/var/lib/somewhere"]},
        "programs": {
            "api": {
                **QUICK,
                "command": ["sh", "-c", "echo $0 > $0/out; exec sleep 1000", "${writable:/var/lib/somewhere}"],
            }
        },
    }
    with running(place, manifest):
        moved = place / "state/root/var/lib/somewhere"
        assert (moved / "out").read_text().strip() == str(moved.resolve())
    assert not Path("/var/lib/somewhere").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_stop_signal_stops_the_tree_in_order_and_exits_0(place: Path, number: int) -> None:
    with running(place, {"programs": {"api": QUICK}}) as up:
        below = trees.descendants(up.pid)
        assert len(below) >= 3
        up.send_signal(number)
        assert up.wait(trees.PATIENCE_SECONDS) == 0
        trees.wait_until_gone(below)


def test_a_second_ctrl_c_does_not_wait_for_a_stubborn_program(place: Path) -> None:
    stubborn = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"], "stop": {"timeout": "10m"}}
    with running(place, {"programs": {"stubborn": stubborn}}) as up:
        below = trees.descendants(up.pid)
        up.send_signal(signal.SIGINT)
        time.sleep(1)
        up.send_signal(signal.SIGINT)
        assert up.wait(trees.PATIENCE_SECONDS) == 128 + signal.SIGKILL
        trees.wait_until_gone(below)


@pytest.mark.parametrize("victims", [{"up"}, {"supervisord"}, {"up", "supervisord"}])
def test_nothing_outlives_it_when_it_is_killed(place: Path, victims: set[str]) -> None:
    escaping = {"command": ["sh", "-c", "setsid sleep 1000 & exec sleep 1000"]}
    manifest = {"programs": {"plain": QUICK, **({} if len(victims) == 2 else {"escaping": escaping})}}
    with running(place, manifest) as up:
        below = trees.descendants(up.pid)
        assert len(below) >= 3
        if "up" in victims:
            os.kill(up.pid, signal.SIGKILL)
        if "supervisord" in victims:
            os.kill(below[0], signal.SIGKILL)
        up.wait(trees.PATIENCE_SECONDS)
        trees.wait_until_gone(below)


def test_its_own_directory_is_removed(place: Path) -> None:
    path = write(place, {"programs": {"api": QUICK}})
    result = subprocess.run(
        [*UP, str(path), "--until-ready"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "XDG_RUNTIME_DIR": str(place)},
    )
    assert result.returncode == 0, result.stdout
    assert [item.name for item in place.iterdir() if item.name.startswith("bootseal-")] == []


def test_the_lock_beside_the_manifest_is_honoured(place: Path) -> None:
    (place / "tool").write_text("one")
    path = write(place, {"artifacts": {"tool": "${here}/tool"}, "programs": {"a": {**QUICK, "artifacts": ["tool"]}}})
    subprocess.run([*UP[:-1], "lock", str(path)], check=True, capture_output=True)
    assert run(path, "--until-ready").returncode == 0
    (place / "tool").write_text("two")
    changed = run(path, "--until-ready")
    assert changed.returncode == 6
    assert f"{place}/tool (changed)" in changed.stdout + changed.stderr
    (place / "closures.lock").write_text("")
    emptied = run(path, "--until-ready")
    assert emptied.returncode == 2
    assert "E085" in emptied.stderr
