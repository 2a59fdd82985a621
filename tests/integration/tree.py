"""A real tree under test: a manifest compiled to a plan, booted by a real supervisord, looked at from outside.

Nothing of the product is mocked. When the tests run as root and everything is reachable for it, the tree runs as
uid 65534, so that it is an unprivileged supervisord as in a container.
"""

import contextlib
import dataclasses
import functools
import http.client
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from contract import rundir
from contract import snapshot as snapshots
from entrypoint import building, locked_manifest
from manifest import compile as compiling
from supervisord import client

PATIENCE_SECONDS = 60.0
"""How long a test waits for what must happen; never a measure of speed."""
NOBODY = 65534

QUICK = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}
ONE = {"programs": {"api": QUICK}}
"""A program that is ready at once, and the manifest of it alone."""


@functools.cache
def other_uid() -> int | None:
    """Return the uid that trees run as when the tests run as root, or None to run as ourselves."""
    if os.geteuid() != 0:
        return None
    probe = "import contract.events, supervisor.supervisord"
    try:
        result = subprocess.run(
            [sys.executable, "-I", "-c", probe],
            user=NOBODY,
            group=NOBODY,
            extra_groups=[],
            check=False,
            capture_output=True,
        )
    except PermissionError:
        return None
    return NOBODY if result.returncode == 0 else None


@contextlib.contextmanager
def directory() -> Iterator[Path]:
    """Give a short directory owned by the uid that trees run as; AF_UNIX paths must fit."""
    path = Path(tempfile.mkdtemp(prefix="bs-", dir="/tmp"))
    uid = other_uid()
    if uid is not None:
        os.chown(path, uid, uid)
    path.chmod(0o755)
    try:
        yield path
    finally:
        shutil.rmtree(path)


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(claim: Callable[[], Any], what: str, evidence: Callable[[], str] = lambda: "") -> Any:
    """Return the first true value of ``claim``; fail the test naming ``what`` when it stays false."""
    end = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < end:
        value = claim()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"never happened: {what}\n{evidence()}")


def wait_until_gone(pids: list[int]) -> None:
    """Wait until none of ``pids`` runs any more; a zombie that somebody else must reap does not run."""

    def running() -> list[int]:
        return [pid for pid in pids if is_running(pid)]

    wait_until(lambda: not running(), "every process is gone", lambda: str([cmdline(pid) for pid in running()]))


def is_running(pid: int) -> bool:
    """Say whether ``pid`` runs, by its state in /proc."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def processes_of(argument: str) -> list[int]:
    """Return the processes that have ``argument`` on their command line."""
    found = []
    for pid in (int(name) for name in os.listdir("/proc") if name.isdigit()):
        with contextlib.suppress(OSError):
            if argument.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") and is_running(pid):
                found.append(pid)
    return found


def cmdline(pid: int) -> str:
    """Return the command line of ``pid``, "" when there is no such process (any more)."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@dataclasses.dataclass
class Tree:
    """One boot of one manifest."""

    root: Path
    port: int
    process: subprocess.Popen[bytes] | None = None
    prefix: str = sys.prefix
    """Where the interpreter of PID 1 and of our programs is: ``PREFIX/bin/python``."""

    @property
    def run(self) -> rundir.RunDirectory:
        return rundir.RunDirectory(f"{self.root}/run")

    @property
    def plan_directory(self) -> Path:
        return self.root / "plan"

    def build(self, manifest: dict[str, Any], *, prove: bool = False, lock: bool = False) -> None:
        """Compile ``manifest`` (name, version and probes are added) into the plan directory, its artifacts locked first."""
        whole = {"version": 1, "name": "tree", "probes": {"listen": f"127.0.0.1:{self.port}"}, **manifest}
        path = self.root / "bootseal.yaml"
        path.write_text(yaml.safe_dump(whole))
        if lock:
            subprocess.run([f"{sys.prefix}/bin/bootseal", "lock", str(path)], check=True, stdout=subprocess.DEVNULL)
        result, lock = locked_manifest.load(str(path), compiling.BuildOptions(self.prefix, self.run.path, None))
        assert result.plan is not None, "\n".join(str(item) for item in result.diagnostics)
        self.plan_directory.mkdir(exist_ok=True)
        building.write(building.finish(result.plan, lock, prove=prove), str(self.plan_directory))

    def patch(self, code: str, environment: dict[str, str] | None = None) -> None:
        """Before ``build``: let PID 1 run ``code``, with ``environment`` besides, before it becomes supervisord."""
        first = self.root / "first.py"
        first.write_text(code)
        assignments = " ".join(shlex.quote(f"{name}={value}") for name, value in (environment or {}).items())
        run = "import runpy, sys; exec(open(sys.argv.pop(1)).read(), {}); runpy.run_module('supervisord.pid1', None, '__main__', True)"
        wrapper = self.root / "prefix" / "bin" / "python"
        wrapper.parent.mkdir(parents=True)
        wrapper.write_text(
            "#!/bin/sh\n"
            f'case "$*" in "-I -X utf8 -m supervisord.pid1 "*) shift 5\n'
            f'exec env -u PWD -u OLDPWD {assignments} {self.prefix}/bin/python -I -X utf8 -c "{run}" {first} "$@" ;;\nesac\n'
            f'exec env -u PWD -u OLDPWD {self.prefix}/bin/python "$@"\n'
        )
        wrapper.chmod(0o755)
        self.prefix = str(self.root / "prefix")

    def start(self, environment: dict[str, str] | None = None, argv: list[str] | None = None) -> "Tree":
        """Boot; the output goes to files beside the plan."""
        uid = other_uid()
        command = argv or [sys.executable, "-I", "-X", "utf8", "-m", "entrypoint", "boot"]
        command += ["--plan", str(self.plan_directory), "--run-dir", self.run.path]
        identity: dict[str, Any] = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
        with (self.root / "stdout").open("wb") as out, (self.root / "stderr").open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdout=out,
                stderr=err,
                stdin=subprocess.DEVNULL,
                env={"PATH": os.environ["PATH"], "HOME": "/", **(environment or {})},
                cwd="/",
                process_group=0,
                **identity,
            )
        return self

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for the end and return the exit code; negative for a signal."""
        assert self.process is not None
        return self.process.wait(seconds)

    def stop(self) -> int:
        """Ask for a stop and return the exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.exit_code()

    def stdout(self) -> str:
        return (self.root / "stdout").read_text()

    def stderr(self) -> str:
        return (self.root / "stderr").read_text()

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the events that came over stderr so far, all or those called ``name``."""
        lines = [line for line in self.stderr().splitlines() if line.startswith('{"time"') and line.endswith("}")]
        found = [event for line in lines if "event" in (event := json.loads(line))]
        return [event for event in found if name is None or event["event"] == name]

    def wait_for_event(self, name: str, **fields: Any) -> dict[str, Any]:
        """Return the first event called ``name`` with these ``fields``."""

        def look() -> dict[str, Any] | None:
            return next((event for event in self.events(name) if fields.items() <= event.items()), None)

        return wait_until(look, f"event {name} {fields}", self._evidence)

    def _evidence(self) -> str:
        return self.stdout()[-2000:] + self.stderr()[-4000:]

    def _answers(self, path: str, status: int) -> Any:
        assert self.process is not None
        assert self.process.poll() is None, f"the tree ended with {self.process.returncode}\n{self._evidence()}"
        found, body = self.get(path)
        return found == status and body

    def failure(self) -> dict[str, Any]:
        """Return the one BootstrapFailed of this boot, which is all a reader needs."""
        found = self.events("BootstrapFailed")
        assert len(found) == 1, found
        return found[0]

    def get(self, path: str) -> tuple[int, Any]:
        """Return (status, JSON body) of a GET, or (0, None) while nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE_SECONDS)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (ConnectionError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def wait_ready(self) -> dict[str, Any]:
        """Return the body of the first /ready that is 200."""
        return wait_until(lambda: self._answers("/ready", 200), "/ready 200", self._evidence)

    def wait_unready(self) -> dict[str, Any]:
        """Return the body of the first /ready that is 503."""
        return wait_until(lambda: self._answers("/ready", 503), "/ready 503", self._evidence)

    def client(self) -> client.Client:
        return client.Client(self.run.supervisor_socket)

    def snapshot(self) -> snapshots.Snapshot:
        return self.client().snapshot(timeout_seconds=PATIENCE_SECONDS)

    def program(self, name: str) -> snapshots.ProgramView:
        view = self.snapshot().program(name)
        assert view is not None
        return view

    def destroy(self) -> None:
        """End whatever is left of this boot."""
        if self.process is None or self.process.poll() is not None:
            return
        pids = descendants(self.process.pid)
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Return the pids below ``pid``, by /proc."""
    try:
        below = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*below, *(pid for child in below for pid in descendants(child))]


def plant_earlier_seal(tree: Tree) -> Path:
    """Put a seal where an earlier boot would have left it."""
    run = Path(tree.run.path)
    run.mkdir(mode=0o755)
    seal = Path(tree.run.seal)
    seal.write_text("{}")
    uid = other_uid()
    if uid is not None:
        os.chown(run, uid, uid)
        os.chown(seal, uid, uid)
    return seal
