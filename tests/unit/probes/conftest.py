"""A real boot on disk, a small PID 1 that a test speaks through, and the real server against them."""

import asyncio
import base64
import contextlib
import dataclasses
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import boot_record, clock, files, process, rundir, snapshot
from manifest import hardening, plan, serving
from seal import record, signing_key
from tests.unit import boots

ROOT = Path(__file__).resolve().parents[3]
BOOT_ID = "c0ffee00" * 4
PATIENCE_SECONDS = 30.0
PID1_START = 4711


def make_plan(
    *, required: tuple[str, ...] = ("migrate", "api"), optional: tuple[str, ...] = ("worker",), **changes: Any
) -> plan.Plan:
    """Return a plan with these programs beside bootseal's own."""

    def program(name: str, role: str, required: bool) -> plan.ProgramPlan:
        return boots.program(name, role=role, required=required)

    programs = (
        program(plan.PROBES, "probes", True),
        program(plan.STAGE_B, "stage-b", True),
        *(program(name, "program", True) for name in required),
        *(program(name, "program", False) for name in optional),
        program(plan.SEAL, "seal", True),
    )
    fields: dict[str, Any] = {
        "schema": plan.SCHEMA, "bootseal": "0.1.0", "name": "box", "manifest_sha256": "1" * 64, "config_sha256": "2" * 64,
        "proven_with": "4.3.0", "prefix": plan.PREFIX, "run_directory": "/run/bootseal", "relocated": False,
        "boot": plan.BootPlan((), True, (), 60.0, "exit", ()),
        "identity": boots.identity(None, "box", None), "secrets": (), "artifacts": (), "lock": None, "runtimes": (),
        "exceptions": (), "security": boots.security(), "deploy": hardening.DeployPlan(None, 1, ()), "programs": programs, "readiness": serving.ReadinessPlan((), (), 0.0),
        "observability": serving.ObservabilityPlan("info", None), "logs": serving.PLAIN,
        "empty_required_set": not required, "probes": boots.listening(port=1),
        "stop": plan.StopPlan(0.0, None, 30.0), "signals": (),
    }  # fmt: skip
    return plan.Plan(**(fields | changes))


def make_view(name: str, state: str = snapshot.READY, **changes: Any) -> snapshot.ProgramView:
    """Return a program in the ledger, ready unless said otherwise."""
    fields: dict[str, Any] = {
        "name": name, "role": "program", "required": True, "oneshot": False, "state": state,
        "reason": "" if state == snapshot.READY else f"is {state} for a test", "since": "2026-01-01T00:00:01.000Z",
        "supervisor_state": "RUNNING", "pid": 100, "pid_start": 1000, "ready_by": "running for 1s",
        "ready_at": "2026-01-01T00:00:02.000Z", "last_exit": None, "exits": 0, "restarts": 0,
        "last_output": ("the last line it wrote",), "status": "", "final": False, "restart_reasons": {},
        "first": snapshot.NO_TIMELINE, "latest": snapshot.Timeline(0.1, 1.1, 1.2),
    }  # fmt: skip
    return snapshot.ProgramView(**(fields | changes))


def make_ledger(**changes: Any) -> snapshot.Snapshot:
    """Return a sealed ledger in which everything is ready."""
    fields: dict[str, Any] = {
        "schema": snapshot.SCHEMA, "boot_id": BOOT_ID, "generation": 1, "pid1": 1, "pid1_start": PID1_START,
        "revision": 10, "phase": snapshot.SEALED, "boot_sealed_at": "2026-01-01T00:00:05.000Z",
        "seal": snapshot.SealView("a" * 64, "2026-01-01T00:00:05.000Z", False), "failure": None,
        "deadline_monotonic": None, "programs": tuple(make_view(name) for name in ("migrate", "api", "worker")),
    }  # fmt: skip
    return snapshot.Snapshot(**(fields | changes))


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(claim: Any, what: str) -> Any:
    """Return the first true value of ``claim()``; fail, naming ``what``, when none comes for a long time."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError):
            if value := claim():
                return value
        assert time.monotonic() < deadline, f"it never happened: {what}"
        time.sleep(0.01)


@dataclasses.dataclass(frozen=True)
class Reply:
    """An HTTP answer."""

    status: int
    headers: Any
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Boot:
    """boot.json, the plan, the identity and the key of a boot that could be real."""

    def __init__(self, folder: Path, **plan_changes: Any) -> None:
        self.run = rundir.open_or_create(str(folder / "run"))
        self.port = free_port()
        self.metrics_port = free_port()
        where = boots.listening(port=self.port, metrics_port=self.metrics_port)
        self.plan = make_plan(**({"probes": where} | plan_changes))
        data = plan.dump(self.plan)
        (folder / "plan").mkdir()
        (folder / "plan" / plan.PLAN_FILE).write_bytes(data)
        self.plan_sha256 = hashlib.sha256(data).hexdigest()
        self.key = ed25519.Ed25519PrivateKey.generate()
        os.mkdir(self.run.identity)
        for name, content in (
            ("id", b"box-7"),
            ("boot-id", BOOT_ID.encode()),
            ("ed25519.pub", signing_key.public_pem(self.key)),
        ):
            files.write_atomically(f"{self.run.identity}/{name}", content, 0o444)
        self.record = boot_record.BootRecord(
            boot_record.SCHEMA, BOOT_ID, 1, 1, PID1_START, clock.monotonic(), clock.rfc3339(), str(folder / "plan"),
            self.plan_sha256, (boot_record.PhaseTiming("writable", 0.02, 12.5),), ("ImmutableRootWritable /opt/box",),
            base64.b64encode(self.key.public_key().public_bytes_raw()).decode(), (), boots.attested_security(),
        )  # fmt: skip
        boot_record.write(self.run, self.record)

    @property
    def loaded(self) -> plan.LoadedPlan:
        """The plan as it was read."""
        return plan.load(self.record.plan_directory)

    def seal_bytes(self, **changes: Any) -> bytes:
        """Return a seal of this boot, signed."""
        unsigned = {
            "schema": record.SCHEMA, "boot_id": BOOT_ID, "generation": 1, "pid1_start": PID1_START,
            "sealed_at": "2026-01-01T00:00:05.000Z", "elapsed_seconds": 1.5, "manifest_sha256": "1" * 64,
            "plan_sha256": self.plan_sha256, "lock_sha256": None, "identity": dataclasses.asdict(record.public_identity(self.run, self.record)),
            "artifacts": [], "security": None, "programs": [], "late": False,
        }  # fmt: skip
        return record.sign(unsigned | changes, self.key)

    def write_seal(self, data: bytes) -> snapshot.SealView:
        """Write ``data`` as the seal; return what PID 1 would have seen."""
        files.write_atomically(self.run.seal, data, 0o444)
        return snapshot.SealView(hashlib.sha256(data).hexdigest(), "2026-01-01T00:00:05.000Z", False)

    def sealed_ledger(self, **changes: Any) -> snapshot.Snapshot:
        """Write the seal and return the ledger that names it."""
        return make_ledger(seal=self.write_seal(self.seal_bytes()), **changes)


class FakePid1:
    """A ledger socket and an RPC socket: says what the test tells it to, and beats as PID 1 does."""

    def __init__(self, run: rundir.RunDirectory) -> None:
        self.run = run
        self.ledger: snapshot.Snapshot | None = None
        self.rpc_ledger: snapshot.Snapshot | None = None
        self.is_beating = True
        self.rpc_calls = 0
        self.hellos: list[dict[str, Any]] = []
        self.verdicts: list[dict[str, Any]] = []
        self._writers: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._begin())

    def tell(self, ledger: snapshot.Snapshot) -> None:
        """Send the whole ``ledger`` to every subscriber, and answer with it over RPC."""
        self.ledger = self.rpc_ledger = ledger
        self.send({"type": "snapshot", "snapshot": snapshot.to_json(ledger)})

    def send(self, value: Any) -> None:
        """Send one line."""
        self.send_bytes(json.dumps(value).encode() + b"\n")

    def send_bytes(self, data: bytes) -> None:
        """Send ``data`` as it is."""

        async def write() -> None:
            for writer in self._writers:
                writer.write(data)

        self._do(write())

    def read_on(self, is_reading: bool) -> None:
        """Read what subscribers send, or stop reading it."""

        async def turn() -> None:
            for writer in self._writers:
                (writer.transport.resume_reading if is_reading else writer.transport.pause_reading)()

        self._do(turn())

    def hang_up(self) -> None:
        """End every connection of the feed."""

        async def close() -> None:
            for writer in self._writers:
                writer.close()

        self._do(close())

    def stop(self) -> None:
        """End everything."""
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _do(self, work: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)

    async def _begin(self) -> None:
        self._feed = await asyncio.start_unix_server(self._subscribed, self.run.ledger_socket)
        self._rpc = await asyncio.start_unix_server(self._called, self.run.supervisor_socket)
        self._beats = self._loop.create_task(self._beat())

    async def _end(self) -> None:
        self._beats.cancel()
        for server in (self._feed, self._rpc):
            server.close()
        for writer in list(self._writers):
            writer.close()
        await asyncio.sleep(0)

    async def _subscribed(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hellos.append(json.loads(await reader.readline()))
        if self.ledger is not None:
            whole = {"type": "snapshot", "snapshot": snapshot.to_json(self.ledger)}
            writer.write(json.dumps(whole).encode() + b"\n")
        self._writers.add(writer)
        async for line in reader:
            value = json.loads(line)
            if "verdict" in value:
                self.verdicts.append(value["verdict"])
        self._writers.discard(writer)
        writer.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(0.2)
            if self.is_beating and self.ledger is not None:
                line = json.dumps({"type": "beat", "revision": self.ledger.revision}).encode() + b"\n"
                for writer in self._writers:
                    writer.write(line)

    async def _called(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            await reader.readuntil(b"</methodCall>")
            self.rpc_calls += 1
            if self.rpc_ledger is not None:
                import xmlrpc.client

                body = xmlrpc.client.dumps((snapshot.dump(self.rpc_ledger),), methodresponse=True).encode()
                head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                await writer.drain()
        writer.close()


class Server:
    """The real server in a process of its own."""

    def __init__(self, boot: Boot, stderr: Path) -> None:
        self.boot = boot
        self.stderr = stderr
        with stderr.open("wb") as errors_file:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "probes", "--run-dir", boot.run.path],
                cwd=ROOT,
                stderr=errors_file,
                env={**os.environ, **serving.environment(boot.plan.probes, boot.plan.observability)},
            )

    def get(self, path: str, *, method: str = "GET", port: int | None = None, headers: Any = None) -> Reply:
        """Ask once."""
        url = f"http://127.0.0.1:{port or self.boot.port}{path}"
        request = urllib.request.Request(url, method=method, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS) as answer:
                return Reply(answer.status, answer.headers, answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return Reply(error.code, error.headers, error.read())

    def until(self, path: str, status: int, claim: Any = lambda _reply: True) -> Reply:
        """Ask ``path`` until it answers ``status`` and ``claim`` holds."""

        def ask() -> Reply | None:
            reply = self.get(path)
            return reply if reply.status == status and claim(reply) else None

        return until(ask, f"{path} answers {status}")

    def events(self) -> list[Any]:
        """Return what was emitted so far."""
        path = Path(self.boot.run.events)
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def end(self) -> int:
        """Stop it, for certain; return its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        return self.process.wait(PATIENCE_SECONDS)


@pytest.fixture
def boot(tmp_path):
    return Boot(tmp_path)


@pytest.fixture
def pid1(boot):
    fake = FakePid1(boot.run)
    yield fake
    fake.stop()


@pytest.fixture
def start(tmp_path):
    """Start the real server for a boot, and stop it at the end."""
    started = []

    def begin(a_boot, *, wait=True):
        server = Server(a_boot, tmp_path / f"stderr.{len(started)}")
        started.append(server)
        if wait:
            server.until("/health", 200)  # not /livez: that is answered before the server itself stands
        return server

    yield begin
    for server in started:
        server.end()


@pytest.fixture(scope="module")
def steady(tmp_path_factory):
    """A ready server for the tests that only ask: one for all of a module."""
    folder = tmp_path_factory.mktemp("steady")
    a_boot = Boot(folder)
    fake = FakePid1(a_boot.run)
    fake.tell(a_boot.sealed_ledger())
    server = Server(a_boot, folder / "stderr")
    server.until("/ready", 200)
    yield server
    server.end()
    fake.stop()


@pytest.fixture
def make():
    """Give the builders to the tests: with importlib mode no test module imports another."""

    class Make:
        plan = staticmethod(make_plan)
        view = staticmethod(make_view)
        ledger = staticmethod(make_ledger)
        boot = Boot
        pid1 = FakePid1
        until = staticmethod(until)
        free_port = staticmethod(free_port)
        boot_id = BOOT_ID
        pid1_start = PID1_START
        is_alive = staticmethod(process.is_alive)

    return Make
