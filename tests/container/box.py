"""A container under test: started hardened, looked at from inside (testinfra) and from the host (/proc).

Rules
-----
* Every container is started by ``container/engine``, where the engine's options are chosen, and removed by whoever
  started it, also on failure.
* Waiting has a generous deadline and ends with the container's log; nothing asserts on how long something took.
* Facts that a program inside could hide (environments, capabilities) are read on the host.
"""

import dataclasses
import itertools
import json
import os
import pathlib
import subprocess
import time
from collections.abc import Callable
from typing import Any, TypeVar

import testinfra

PROJECT = pathlib.Path(__file__).resolve().parents[2]
ENGINE = PROJECT / "container" / "engine"
PATIENCE_SECONDS = 60.0
Seen = TypeVar("Seen")
_numbers = itertools.count()

HARDENED = (
    "--read-only",
    "--read-only-tmpfs=false",
    "--cap-drop=ALL",
    "--security-opt=no-new-privileges",
    "--network=none",
    "--memory=1g",
    "--pids-limit=1024",
    "--ulimit=nofile=4096:4096",
)
TMPFS = ("--tmpfs=/run:U,size=64m,noexec", "--tmpfs=/tmp:U,size=64m,noexec")
USER = ("--user=1000:1000",)

FETCH = """
import json, sys, urllib.error, urllib.request
def fetch(url, body):
    data = None if body is None else body.encode()
    try:
        answer = urllib.request.urlopen(urllib.request.Request(url, data), timeout=30)
    except urllib.error.HTTPError as error:
        answer = error
    except OSError as error:
        return [0, "", str(error)]
    with answer:
        return [answer.status, answer.headers.get_content_type(), answer.read().decode()]
json.dump([fetch(*request) for request in json.load(sys.stdin)], sys.stdout)
"""


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 stands for no answer, with the reason as its text."""

    status: int
    content_type: str
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)


def engine(*arguments: str, stdin: str | None = None, timeout: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Run the container engine; the caller judges the exit code."""
    command = [str(ENGINE), *arguments]
    return subprocess.run(
        command, input=stdin, capture_output=True, text=True, errors="surrogateescape", timeout=timeout, check=False
    )


def engine_ok(*arguments: str, stdin: str | None = None) -> str:
    """Run the container engine, which must succeed, and return its output."""
    done = engine(*arguments, stdin=stdin)
    assert done.returncode == 0, f"container/engine {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run one of the scripts of container/; the caller judges the exit code."""
    command = [str(PROJECT / "container" / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


class Box:
    """One container."""

    def __init__(self, image: str, *options: str, started: bool = True) -> None:
        """Create a container of ``image``, and start it unless told otherwise."""
        self.name = f"bootseal-test-{os.getpid()}-{next(_numbers)}"
        try:
            engine_ok(*(["run", "--detach"] if started else ["create"]), "--name", self.name, *options, image)
        except BaseException:
            self.remove()  # an engine that cannot start a container leaves it behind
            raise
        self.host = testinfra.get_host(f"podman://{self.name}")

    def remove(self) -> None:
        """Remove the container, running or not."""
        engine("rm", "--force", "--time=0", "--ignore", self.name)

    def run(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """Run a program in the container, as its user."""
        return engine("exec", *(["--interactive"] if stdin is not None else []), self.name, *argv, stdin=stdin)

    def python(self, program: str, stdin: str = "") -> str:
        """Run a Python program with the product's interpreter and return what it prints."""
        done = self.run("/opt/bootseal/bin/python", "-I", "-c", program, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def fetch(self, *requests: str | tuple[str, str]) -> list[Answer]:
        """Fetch ``PORT/path`` from inside, each in turn; a pair is a POST of its second item."""
        pairs = [(item, None) if isinstance(item, str) else item for item in requests]
        wanted = [[f"http://127.0.0.1:{place}", body] for place, body in pairs]
        return [Answer(*values) for values in json.loads(self.python(FETCH, json.dumps(wanted)))]

    def fetch_until(self, place: str, is_right: Callable[[Answer], bool]) -> Answer:
        """Fetch ``PORT/path`` again and again until it is right; fail with the log when it never is."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            [answer] = self.fetch(place)
            if is_right(answer):
                return answer
            assert self.is_running(), f"the container ended\n{self.log()}"
            assert time.monotonic() < deadline, f"{place} stayed {answer}\n{self.log()}"
            time.sleep(0.05)

    def wait_until_sealed(self) -> None:
        """Wait for this boot's seal and readiness; fail with the log when it does not come."""
        self.fetch_until("8080/startupz?wait=10s", lambda answer: answer.status == 200)
        self.fetch_until("8080/ready", lambda answer: answer.status == 200)

    def wait_until_exited(self) -> int:
        """Wait until PID 1 has exited by itself and return its code."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.is_running():
            assert time.monotonic() < deadline, f"it never exited\n{self.log()}"
            time.sleep(0.05)
        return int(self.inspect("{{.State.ExitCode}}"))

    def inspect(self, form: str) -> str:
        """Return one fact of the engine about the container."""
        return engine_ok("inspect", "--type=container", "--format", form, self.name)

    def is_up(self) -> bool:
        """Whether the engine has started PID 1 and sees it alive."""
        return self.inspect("{{.State.Status}}") == "running"

    def is_running(self) -> bool:
        """Whether the engine sees PID 1 alive."""
        return self.inspect("{{.State.Status}}") in {"created", "running", "stopping"}

    def log(self) -> str:
        """Return everything the container printed, both streams in one."""
        done = engine("logs", self.name)
        return done.stdout + done.stderr

    def events(self) -> list[dict[str, Any]]:
        """Return the events that the container printed."""
        lines = [line for line in self.log().splitlines() if line.startswith('{"time"')]
        return [json.loads(line) for line in lines]

    def host_pids(self) -> list[int]:
        """Return the host's pids of all processes in the container, PID 1 first."""
        first = int(self.inspect("{{.State.Pid}}"))
        namespace = os.readlink(f"/proc/{first}/ns/pid")
        others = [int(name) for name in os.listdir("/proc") if name.isdecimal() and int(name) != first]
        return [first, *(pid for pid in others if _pid_namespace(pid) == namespace)]

    def status_of(self, pid: int) -> dict[str, str]:
        """Return ``/proc/PID/status`` by the host's pid."""
        lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
        return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}

    def supervisor_states(self) -> dict[str, str]:
        """Return each program's state as ``supervisorctl status`` prints it, without any option."""
        done = self.run("supervisorctl", "status")
        # 3: some program does not run, which a completed one-shot never does.
        assert done.returncode in {0, 3}, done.stdout + done.stderr
        return {line.split()[0]: line.split()[1] for line in done.stdout.splitlines()}


def wait_for(look: Callable[[], Seen], is_right: Callable[[Seen], bool]) -> Seen:
    """Return what ``look`` sees once it is right, or the last of it when it never is: the caller's assertion then shows it."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not is_right(seen := look()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return seen


def _pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:  # it ended meanwhile
        return ""
