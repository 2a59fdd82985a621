"""The container's output in each of its formats, as the engine keeps it, and where nobody reads it.

Rules
-----
* The image is the hello example's with a plan of this file's; everything runs hardened.
* A reader that does not read is a pipe that the engine hands to PID 1 as it is (``passthrough``), or a full one that its log goes to.
  There the engine's own monitor hangs as well and learns of PID 1's end only when somebody reads: PID 1 is looked at on the host.
"""

import array
import contextlib
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import termios
from collections.abc import Iterator
from typing import Any

import pytest

from manifest import serving
from tests.container import box, plans
from tests.container.conftest import Boxes

pytestmark = pytest.mark.container

LONG = 70_000
TALKER = f"""
import os, sys, time
out, err = (lambda data, fd=fd: os.write(fd, data) for fd in (1, 2))
for number in range(2000):
    out(b'{{"number": %d}}\\n' % number)
    err(b"error %d\\n" % number)
out("caf\\u00e9 ".encode() + b"\\x1b[31m\\xff\\x00 end\\n")
out(b"l" * {LONG} + b"\\n")
out(b"no newline")
os.close(1)
time.sleep(1000)
"""
FLOOD = "seq 1 400000; exec sleep 1000"
LAST = "400000\n"
OWN_LINES = 20
"""More than PID 1 says of its own on stdout meanwhile."""
READY = {"running": True, "for": "0s"}
HARDENED = (*box.HARDENED, *box.USER, *box.TMPFS)
PIPE_BYTES = 65536


@pytest.fixture(scope="module")
def own() -> Iterator[Boxes]:
    """The containers of this file."""
    made = Boxes()
    yield made
    made.remove()


def plan(directory: pathlib.Path, form: str, programs: dict[str, Any]) -> str:
    made = directory / form
    made.mkdir()
    return plans.mounted(made, {"version": 1, "name": "output", "logs": form, "programs": programs})


# --- formats --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=serving.LOG_FORMATS)
def printed(
    request: pytest.FixtureRequest, own: Boxes, hello_image: str, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, list[str], list[str]]:
    """What a whole life printed: the format, and the lines of stdout and of stderr."""
    talker = {"command": ["python3", "-I", "-S", "-c", TALKER], "ready": READY}
    sick = {"command": ["sh", "-c", "echo so sick; exit 3"], "required": False, "start_retries": 1}
    programs = {"talker": talker, "sick": sick}
    started = own.start(hello_image, *HARDENED, plan(tmp_path_factory.mktemp("format"), request.param, programs))
    started.wait_until_sealed()
    wanted = ("error 1999", "l" * 1000, "FATAL")
    said = box.wait_for(started.log, lambda log: all(word in log for word in wanted))
    assert [word for word in wanted if word not in said] == []
    box.engine_ok("stop", "--time=60", started.name)
    done = box.engine("logs", started.name)
    return request.param, lines_of(done.stdout), lines_of(done.stderr)


def lines_of(text: str) -> list[str]:
    assert text.endswith("\n")
    return text[:-1].split("\n")


def test_every_program_line_is_whole_in_order_and_on_its_stream(printed: tuple[str, list[str], list[str]]) -> None:
    form, out, err = printed
    assert numbered(form, out, '{"number": %d}') == list(range(2000))
    assert numbered(form, err, "error %d") == list(range(2000))


def numbered(form: str, lines: list[str], pattern: str) -> list[int]:
    """Return the numbers in the talker's lines that are exactly as ``pattern`` says."""
    wanted = {pattern % number: number for number in range(2000)}
    match form:
        case serving.JSON:
            objects = [json.loads(line) for line in lines]
            said = [one["message"] for one in objects if one.get("program") == "talker" and "event" not in one]
        case serving.PREFIXED:
            said = [line.removeprefix("talker         | ") for line in lines if line.startswith("talker ")]
        case _:
            said = lines
    return [wanted[line] for line in said if line in wanted]


def test_in_json_every_line_of_everybody_is_an_object(printed: tuple[str, list[str], list[str]]) -> None:
    form, out, err = printed
    if form != serving.JSON:
        assert any(not line.startswith("{") for line in out)
        return
    objects = [json.loads(line) for line in out + err]
    assert all(isinstance(one, dict) for one in objects)
    programs = {one["program"] for one in objects if "event" not in one and "program" in one}
    assert {"talker", "sick", "supervisord"} <= programs
    events = {one["event"] for one in objects if "event" in one}
    assert {"BootstrapStarted", "SupervisorStarted", "ReadinessChanged", "BootstrapCompleted"} <= events
    for one in objects:
        assert "event" in one or {"time", "program", "stream", "message"} <= set(one) or "level" in one, one


def test_events_are_the_same_json_lines_in_every_format(printed: tuple[str, list[str], list[str]]) -> None:
    _, out, err = printed
    events = [json.loads(line) for line in out + err if line.startswith('{"time"') and '"event": ' in line]
    names = [event["event"] for event in events]
    for name in ("BootstrapStarted", "SupervisorStarted", "BootstrapCompleted", "StopRequested"):
        assert names.count(name) == 1, name
    assert {event["source"] for event in events} >= {"stage-a", "supervisord", "probes"}


def test_binary_and_over_long_lines_are_safe(printed: tuple[str, list[str], list[str]]) -> None:
    form, out, _ = printed
    match form:
        case serving.JSON:
            said = [json.loads(line) for line in out]
            mine = [one for one in said if one.get("program") == "talker" and one["message"].startswith("l")]
            assert "".join(one["message"] for one in mine) == "l" * LONG
            assert [one.get("partial", False) for one in mine] == [True] * (len(mine) - 1) + [False]
            assert [one["message"] for one in said if one.get("message", "").startswith("caf")] == [
                "café \x1b[31m\\xff\x00 end"
            ]
        case serving.PREFIXED:
            mine = [line.partition(" | ")[2] for line in out if line.startswith("talker ")]
            assert "".join(line for line in mine if line.startswith("ll")) == "l" * LONG
            assert "café \\x1b[31m\\xff\\x00 end" in mine
            assert not any("\x1b" in line for line in out)
        case _:
            assert "".join(line for line in out if line.startswith("ll")) == "l" * LONG
            assert any(line.startswith("café \x1b[31m") for line in out)
    assert any("no newline" in line for line in out), "what was left without a newline is a line in the end"


# --- nobody reads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", serving.LOG_FORMATS)
def test_a_pipe_that_nobody_reads_freezes_nothing(
    own: Boxes, hello_image: str, tmp_path: pathlib.Path, form: str
) -> None:
    mounted = plan(tmp_path, form, {"flood": {"command": ["sh", "-c", FLOOD], "ready": READY}})
    ours = own.start(hello_image, *HARDENED, mounted, "--log-driver=passthrough", started=False)
    reader, writer = os.pipe()
    with contextlib.ExitStack() as after:
        after.callback(os.close, reader)
        attached = subprocess.Popen([box.ENGINE, "start", "--attach", ours.name], stdout=writer, stderr=writer)
        after.callback(attached.wait, box.PATIENCE_SECONDS)
        after.callback(ours.remove)
        os.close(writer)
        box.wait_for(ours.is_up, bool)
        answers(ours)
        assert waiting_in(reader) > PIPE_BYTES // 2, "the pipe is full"
        box.engine_ok("stop", "--time=60", ours.name)
        assert ours.wait_until_exited() == 0
        os.set_blocking(reader, False)
        assert waiting_in(reader) > PIPE_BYTES // 2, "and nobody read it"


@pytest.fixture
def target(tmp_path: pathlib.Path) -> Iterator[tuple[int, tuple[str, ...]]]:
    """A full pipe for the engine's log: the end that nobody reads, and the options."""
    path = tmp_path / "log"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield reader, ("--log-driver=k8s-file", f"--log-opt=path={path}")
    os.close(reader)


def test_an_engine_log_that_nobody_takes_freezes_nothing(
    own: Boxes, hello_image: str, tmp_path: pathlib.Path, target: tuple[int, tuple[str, ...]]
) -> None:
    reader, options = target
    mounted = plan(tmp_path, serving.JSON, {"flood": {"command": ["sh", "-c", FLOOD], "ready": READY}})
    ours = own.start(hello_image, *HARDENED, mounted, *options)
    answers(ours)
    assert waiting_in(reader) > PIPE_BYTES // 2
    first = ours.host_pids()[0]
    os.kill(first, signal.SIGTERM)
    assert box.wait_for(lambda: ended(first), lambda code: code is not None) == 0
    log = Drain(reader)
    assert box.wait_for(lambda: log.take() or ours.is_running(), lambda runs: not runs) is False
    assert ours.inspect("{{.State.ExitCode}}") == "0"


def test_what_was_dropped_is_counted_and_told_once_the_engine_is_read_again(
    own: Boxes, hello_image: str, tmp_path: pathlib.Path, target: tuple[int, tuple[str, ...]]
) -> None:
    reader, options = target
    mounted = plan(tmp_path, serving.JSON, {"flood": {"command": ["sh", "-c", FLOOD], "ready": READY}})
    ours = own.start(hello_image, *HARDENED, mounted, *options)
    answers(ours)
    log = Drain(reader)

    def dropped() -> list[int]:
        log.take()
        lines = ours.run("bootseal", "events", "--format", "json").stdout.splitlines()
        return [event["stdout"] for event in map(json.loads, lines) if event["event"] == "OutputDropped"]

    told = box.wait_for(dropped, bool)
    box.wait_for(lambda: log.take() or '"OutputDropped"' in "".join(log.lines()), bool)
    objects = [json.loads(line) for line in log.lines()]
    kept = [int(one["message"]) for one in objects if one.get("program") == "flood" and "event" not in one]
    assert kept == sorted(set(kept))
    missing = int(LAST) - len(kept)
    assert 0 < missing <= told[-1] <= missing + OWN_LINES


class Drain:
    """What is read of an engine's log in podman's k8s-file format: ``TIME STREAM F|P TEXT``, P for a line's part."""

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe
        self._data = b""

    def take(self) -> None:
        """Read what is there."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(self._pipe, 1 << 20):
                self._data += chunk

    def lines(self) -> list[str]:
        """Return the lines that are whole, of both streams."""
        found: list[str] = []
        parts = {"stdout": "", "stderr": ""}
        for line in self._data.decode().split("\n")[:-1]:
            _, stream, kind, text = line.split(" ", 3)
            parts[stream] += text
            if kind == "F":
                found.append(parts[stream])
                parts[stream] = ""
        return found


def answers(ours: box.Box) -> None:
    """Seal, be ready, have taken everything the flood says, and answer whoever asks."""
    ours.wait_until_sealed()
    newest = box.wait_for(lambda: ours.run("bootseal", "logs", "-n", "1", "flood").stdout, lambda line: line == LAST)
    assert newest == LAST
    assert ours.run("supervisorctl", "ready").stdout == "ready\n"
    assert ours.run("bootseal", "status").returncode == 0


def waiting_in(pipe: int) -> int:
    """Return how many bytes nobody has read yet."""
    count = array.array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, count)
    return count[0]


def ended(pid: int) -> int | None:
    """Return the exit code of ``pid``, which its parent does not ask for; None while it runs."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return os.waitstatus_to_exitcode(int(fields[-1])) if fields[0] == "Z" else None
