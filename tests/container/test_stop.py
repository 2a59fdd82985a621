"""Stopping: at any moment from the entrypoint's first act on, a stop signal ends the container, and the code says how."""

import json
import os
import pathlib
import re
import signal
import subprocess
import time

import pytest

from tests.container import box
from tests.container.conftest import Start

pytestmark = pytest.mark.container

STAGE_A_STOPPED = 128 + signal.SIGTERM
MOMENTS_MS = (0, 1, 2, 5, 10, 20, 30, 45, 60, 80, 100, 130, 170, 220, 300, 450, 700, 1100, 1600)
"""After the stop signals are blocked; spread over interpreter, Stage A, hand-over, spawns and readiness."""


def test_podman_stop_ends_with_code_0_and_kills_nothing(start: Start, shop_image: str) -> None:
    shop = start(shop_image, *box.HARDENED, *box.USER, *box.TMPFS)
    shop.wait_until_sealed()
    box.engine_ok("stop", "--time=60", shop.name)
    assert shop.inspect("{{.State.ExitCode}}") == "0", shop.log()
    assert "SIGKILL" not in shop.log()
    for farewell in ("api: stopped", "worker: stopped"):
        assert farewell in shop.log()


def test_a_restarted_container_boots_anew(start: Start, hello_image: str) -> None:
    hello = start(hello_image, *box.HARDENED, *box.USER, *box.TMPFS)
    hello.wait_until_sealed()
    [before] = hello.fetch("8080/whoami")
    box.engine_ok("restart", "--time=60", hello.name)
    hello.wait_until_sealed()
    [after] = hello.fetch("8080/whoami")
    assert after.json["boot_id"] != before.json["boot_id"]


def signal_early(ours: box.Box, pidfile: pathlib.Path, number: int, moment_ms: int) -> None:
    """Start the container and send PID 1 the signal ``moment_ms`` after its entrypoint began."""
    with subprocess.Popen([box.ENGINE, "start", ours.name], stdout=subprocess.DEVNULL) as starting:
        deadline = time.monotonic() + box.PATIENCE_SECONDS
        while not is_guarded(pidfile):
            assert time.monotonic() < deadline, f"{ours.name} never started"
        time.sleep(moment_ms / 1000)
        os.kill(int(pidfile.read_text()), number)
        assert starting.wait(box.PATIENCE_SECONDS) == 0


def is_guarded(pidfile: pathlib.Path) -> bool:
    """Whether env(1) has blocked the stop signals, its first act, or has already become the interpreter.

    Before that PID 1 is the container runtime's, or env for the half millisecond that its loading takes, and the kernel
    drops a signal that PID 1 neither blocks nor handles: no image can change that.
    """
    try:
        process = pathlib.Path(f"/proc/{int(pidfile.read_text())}")
        blocked = int(re.findall(r"^SigBlk:\s*(\w+)$", (process / "status").read_text(), re.MULTILINE)[0], 16)
        command = (process / "cmdline").read_text()
    except (OSError, ValueError):
        return False
    is_blocked = command.startswith("/usr/bin/env\0") and blocked >> (signal.SIGTERM - 1) & 1
    return bool(is_blocked) or command.startswith("/opt/bootseal/bin/python\0")


@pytest.mark.parametrize("moment_ms", MOMENTS_MS)
def test_a_stop_signal_is_never_lost(start: Start, hello_image: str, tmp_path: pathlib.Path, moment_ms: int) -> None:
    pidfile = tmp_path / "pid"
    options = (*box.HARDENED, *box.USER, *box.TMPFS, f"--pidfile={pidfile}")
    ours = start(hello_image, *options, started=False)
    signal_early(ours, pidfile, signal.SIGTERM, moment_ms)
    code = ours.wait_until_exited()
    events = [event["event"] for event in ours.events()]
    assert code in {0, STAGE_A_STOPPED}, ours.log()
    assert ("SupervisorStarted" in events) == (code == 0), ours.log()
    assert "BootstrapFailed" not in events, ours.log()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT], ids=["INT", "QUIT"])
@pytest.mark.parametrize("moment_ms", [0, 30, 1600])
def test_the_other_stop_signals_are_as_good(
    start: Start, hello_image: str, tmp_path: pathlib.Path, number: signal.Signals, moment_ms: int
) -> None:
    pidfile = tmp_path / "pid"
    ours = start(hello_image, *box.HARDENED, *box.USER, *box.TMPFS, f"--pidfile={pidfile}", started=False)
    signal_early(ours, pidfile, number, moment_ms)
    assert ours.wait_until_exited() in {0, 128 + number}, ours.log()


def test_a_run_that_outlives_a_crash_is_booted_into_anew(
    start: Start, hello_image: str, tmp_path: pathlib.Path
) -> None:
    """A Kubernetes emptyDir survives its container: root's, mode 2777 with fsGroup, and full of the last boot."""
    run = tmp_path / "run"
    run.mkdir()
    run.chmod(0o2777)
    seal = run / "bootseal" / "bootstrap.done"
    hello = start(hello_image, *box.HARDENED, *box.USER, f"--volume={run}:/run")
    hello.wait_until_sealed()
    before = json.loads(seal.read_text())
    box.engine_ok("kill", "--signal=KILL", hello.name)
    assert hello.wait_until_exited() == 128 + signal.SIGKILL
    assert json.loads(seal.read_text()) == before, "nothing tidies up after a crash"
    box.engine_ok("start", hello.name)
    hello.wait_until_sealed()
    after = json.loads(seal.read_text())
    assert after["boot_id"] != before["boot_id"]
    assert after["pid1_start"] != before["pid1_start"]
    assert hello.run("bootseal", "verify").returncode == 0


def test_under_an_init_of_the_engine_everything_works_as_well(start: Start, hello_image: str) -> None:
    """``podman run --init``: our process is not PID 1, becomes a subreaper, and passes its code on."""
    hello = start(hello_image, *box.HARDENED, *box.USER, *box.TMPFS, "--init")
    hello.wait_until_sealed()
    assert "supervisord.pid1" not in hello.host.file("/proc/1/cmdline").content_string
    box.engine_ok("stop", "--time=60", hello.name)
    assert hello.inspect("{{.State.ExitCode}}") == "0", hello.log()
