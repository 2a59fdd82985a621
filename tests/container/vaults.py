"""The application ``vault/``, what its operator gives it, and looking at a container of it from the host.

Rules
-----
* Processes and files are read on the host, as root, while nothing is executed in the container: ``podman exec`` gives what it
  starts the container's own environment.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.container import box, secret_search

VAULT = pathlib.Path(__file__).parent / "vault"
RUN = "/run/bootseal"
PROGRAMS = {
    "api": {"api-key", "db-password", "tls-key", "$API_KEY"},
    "worker": {"api-key", "spare", "tls-key", "token", "$API_KEY", "$SPARE", "$TOKEN"},
    "neighbour": set(),
}
"""What each program is given: a file by its name, a variable as ``$NAME``."""
VARIABLES = {"api": {"api-key"}, "worker": {"api-key", "spare", "token"}}
SOURCES = {
    "/etc/vault/password": "db-password",
    "/etc/vault/tls-key": "tls-key",
    "/etc/vault/keys/seal-key": "seal-key",
}
WRITTEN = ("/run", "/tmp", "/dev/shm", "/etc", "/opt/bootseal/etc", "/opt/vault", "/var")
READING = ("get", "read", "tail", "snapshot", "summary", "output")

CALL = """
import json, sys
from contract import errors, rundir
from supervisord import client
ours = client.Client(rundir.RunDirectory("/run/bootseal").supervisor_socket)
for line in sys.stdin:
    method, arguments = json.loads(line)
    try:
        answer = {"answer": ours.call(method, *arguments, timeout_seconds=50.0)}
    except errors.BootsealError as error:
        answer = {"fault": str(error)}
    print(json.dumps({"method": method, **answer}, default=str), flush=True)
"""


@dataclasses.dataclass(frozen=True)
class Given:
    """What the operator gives: the secrets that are not generated, and how the engine is told."""

    token: str
    password: bytes
    tls_key: bytes
    seal_key: ed25519.Ed25519PrivateKey
    variables: tuple[str, ...]
    password_mount: tuple[str, ...]
    tls_key_mount: tuple[str, ...]
    seal_key_mount: tuple[str, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """All of it."""
        return (*self.variables, *self.password_mount, *self.tls_key_mount, *self.seal_key_mount)

    @property
    def cores(self) -> dict[str, bytes]:
        """What is looked for."""
        return {
            "token": self.token.encode(),
            "db-password": self.password.strip(),
            "tls-key": self.tls_key,
            "seal-key": self.seal_key.private_bytes_raw(),
        }


@contextlib.contextmanager
def give(folder: pathlib.Path) -> Iterator[Given]:
    """Give secrets that nobody has had before: a file, a secret of the engine's, a mounted directory and a variable."""
    for directory in (folder, folder / "keys"):
        directory.mkdir(exist_ok=True)
        directory.chmod(0o755)
    password, tls_key, key = (
        secrets.token_urlsafe(24).encode() + b"\n",
        os.urandom(48),
        ed25519.Ed25519PrivateKey.generate(),
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for name, data in (("password", password), ("tls-key", tls_key), ("keys/seal-key", pem)):
        (folder / name).write_bytes(data)
        (folder / name).chmod(0o400)
        os.chown(folder / name, 1000, 1000)
    token, engines = secrets.token_urlsafe(24), f"bootseal-test-{os.getpid()}-tls-key"
    box.engine_ok("secret", "create", engines, str(folder / "tls-key"))
    yield Given(
        token,
        password,
        tls_key,
        key,
        (f"--env=TOKEN={token}",),
        (f"--volume={folder}/password:/etc/vault/password:ro",),
        (f"--secret={engines},uid=1000,gid=1000,mode=0400,target=/etc/vault/tls-key",),
        (f"--volume={folder}/keys:/etc/vault/keys:ro",),
    )
    box.engine("secret", "rm", engines)


def inside(ours: box.Box, path: str) -> pathlib.Path:
    """Return where the host sees ``path`` of the container."""
    return pathlib.Path(f"/proc/{ours.host_pids()[0]}/root{path}")


def search_for(ours: box.Box, given: Given) -> secret_search.Search:
    """Return the search for every secret of a container, the generated ones too, which only root outside can read."""
    folder = inside(ours, f"{RUN}/secrets/.values")
    generated = {name: (folder / name).read_bytes() for name in ("api-key", "spare")}
    assert {name: len(value) for name, value in generated.items()} == {"api-key": 64, "spare": 32}
    return secret_search.Search({**given.cores, **generated})


def told(ours: box.Box) -> dict[str, dict[str, Any]]:
    """Return what the programs told, the last of each."""
    lines = [json.loads(line) for line in ours.log().splitlines() if line.startswith('{"program"')]
    return {line["program"]: line for line in lines}


def fact(pid: int, name: str) -> bytes:
    """Return ``/proc/PID/name`` by the host's pid; nothing of a process that ended."""
    try:
        return pathlib.Path(f"/proc/{pid}/{name}").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def processes(ours: box.Box) -> dict[int, list[str]]:
    """Return the command lines of the container's processes by the host's pids."""
    return {pid: fact(pid, "cmdline").decode().split("\0") for pid in ours.host_pids()}


def pid_of(ours: box.Box, *words: str) -> int:
    """Return the host's pid of the one process with ``words`` in its command line."""
    [pid] = [pid for pid, line in processes(ours).items() if set(words) <= set(line)]
    return pid


def calls(ours: box.Box, *wanted: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return the answers, or faults, of RPC calls ``(method, *arguments)``."""
    lines = ours.python(CALL, "".join(json.dumps([method, arguments]) + "\n" for method, *arguments in wanted))
    return [json.loads(line) for line in lines.splitlines()]


def shut_down(ours: box.Box) -> None:
    """Ask supervisord to end; whoever asks inside ends with the container, often before it can print the answer."""
    ours.run("/opt/bootseal/bin/python", "-I", "-c", CALL, stdin='["supervisor.shutdown", []]\n')


def methods(ours: box.Box) -> list[str]:
    [listed] = calls(ours, ("system.listMethods",))
    return list(listed["answer"])


def is_reading(method: str) -> bool:
    return method.startswith("system.") or method.partition(".")[2].startswith(READING)


def check_environments(ours: box.Box, search: secret_search.Search) -> None:
    """See that each process has in its environment what its program is named for, and in its arguments nothing."""
    owners = {pid_of(ours, "/opt/vault/program.py", name): name for name in PROGRAMS}
    seen = processes(ours)
    assert {*owners, ours.host_pids()[0], pid_of(ours, "probes")} <= set(seen)
    for pid, line in seen.items():
        assert search.found(fact(pid, "environ")) == VARIABLES.get(owners.get(pid, ""), set()), line
        assert search.found(fact(pid, "cmdline")) == set(), line
