"""Secrets in the hardened container: each where the manifest names it, and no byte of it anywhere else.

Rules
-----
* The application is ``vault/``: secrets from every source, for two of its three programs, and a key from one.
* Everything is searched for each secret in every form of ``secret_search``, and what is found is compared with the whole list
  of places where it may be: one too few is a failure as well, because then the search itself is broken.
* Processes and files are read on the host, as root, while nothing is executed in the container: ``podman exec`` gives what it
  starts the container's own environment.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import secrets
import tarfile
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from tests.container import box, secret_search
from tests.container.conftest import Boxes, Start, build
from tests.container.test_refusals import BOOT_FAILURE, derive, refusal

pytestmark = pytest.mark.container

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
READING = ("get", "read", "tail", "snapshot", "summary")

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


@pytest.fixture(scope="module")
def image(machine: None) -> str:
    return build(str(VAULT))


@pytest.fixture(scope="module")
def given(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    """Secrets that nobody has had before, in a file, as the engine's secret, as a mount and as a variable."""
    folder = tmp_path_factory.mktemp("given")
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


@pytest.fixture(scope="module")
def own() -> Iterator[Boxes]:
    """The containers of this file."""
    made = Boxes()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def vault(own: Boxes, image: str, given: Given) -> box.Box:
    """The vault, hardened and sealed; tests look at it and change nothing."""
    started = own.start(image, *box.HARDENED, *box.USER, *box.TMPFS, *given.options)
    started.wait_until_sealed()
    return started


@pytest.fixture(scope="module")
def search(vault: box.Box, given: Given) -> secret_search.Search:
    return search_for(vault, given)


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


def processes(ours: box.Box) -> dict[int, list[str]]:
    """Return the command lines of the container's processes by the host's pids."""
    found = {}
    for pid in ours.host_pids():
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        found[pid] = [word.decode() for word in words]
    return found


def pid_of(ours: box.Box, *words: str) -> int:
    """Return the host's pid of the one process with ``words`` in its command line."""
    [pid] = [pid for pid, line in processes(ours).items() if set(words) <= set(line)]
    return pid


def calls(ours: box.Box, *wanted: tuple[Any, ...]) -> list[dict[str, Any]]:
    """Return the answers, or faults, of RPC calls ``(method, *arguments)``."""
    lines = ours.python(CALL, "".join(json.dumps([method, arguments]) + "\n" for method, *arguments in wanted))
    return [json.loads(line) for line in lines.splitlines()]


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
    for pid in seen:
        environment = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert search.found(environment) == VARIABLES.get(owners.get(pid, ""), set()), seen[pid]
        assert search.found(pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()) == set(), seen[pid]


# --- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", range(4))
def test_the_search_finds_a_secret_in_every_form_and_place(before: int) -> None:
    core = secrets.token_bytes(21)
    other = secrets.token_bytes(21)
    search = secret_search.Search({"it": core, "other": other})
    text = secret_search.base64.b64encode(b"x" * before + core + b"yz")
    for data in (core, core.hex(), core.hex().upper(), text, text.translate(bytes.maketrans(b"+/", b"-_"))):
        assert search.found(b"a" + (data if isinstance(data, bytes) else data.encode()) + b"b") == {"it"}
    assert search.found(b"x" * 100) == set()


# --- what is delivered ------------------------------------------------------------------------------------------------


def test_each_program_is_given_exactly_what_it_is_named_for(vault: box.Box, given: Given) -> None:
    seen = {name: one["given"] for name, one in told(vault).items()}
    assert {name: set(one) for name, one in seen.items()} == PROGRAMS
    values = inside(vault, f"{RUN}/secrets/.values")
    wanted = {path.name: path.read_bytes() for path in values.iterdir()}
    assert (wanted["db-password"], wanted["tls-key"]) == (given.password, given.tls_key)
    assert wanted["token"] == given.token.encode()
    variables = {"$API_KEY": "api-key", "$SPARE": "spare", "$TOKEN": "token"}
    for one in seen.values():
        for name, digest in one.items():
            assert digest == hashlib.sha256(wanted[variables.get(name, name)]).hexdigest(), name


def test_the_container_is_who_its_secret_key_says(vault: box.Box, given: Given) -> None:
    record = json.loads(inside(vault, f"{RUN}/bootstrap.done").read_text())
    public = given.seal_key.public_key().public_bytes_raw()
    assert secret_search.base64.b64decode(record["identity"]["ed25519"]) == public
    done = vault.run("bootseal", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


# --- where no byte of it is -------------------------------------------------------------------------------------------


def test_only_the_named_programs_have_a_secret_in_their_environment_and_no_process_in_its_arguments(
    vault: box.Box, search: secret_search.Search
) -> None:
    check_environments(vault, search)


def test_only_the_named_files_hold_a_secret(vault: box.Box, search: secret_search.Search) -> None:
    seen, wanted = {}, {f"{RUN}/keys/ed25519.key": {"seal-key"}, **{path: {name} for path, name in SOURCES.items()}}
    for program, names in {**PROGRAMS, ".values": PROGRAMS["api"] | PROGRAMS["worker"]}.items():
        wanted.update({f"{RUN}/secrets/{program}/{name}": {name} for name in names if not name.startswith("$")})
    root = inside(vault, "")
    read = set()
    for top in WRITTEN:
        for folder, _, names in os.walk(f"{root}{top}"):
            for path in (pathlib.Path(folder, name) for name in names):
                if path.is_file() and not path.is_symlink():
                    place = str(path).removeprefix(str(root))
                    read.add(place)
                    if names_found := search.found(path.read_bytes()):
                        seen[place] = names_found
    assert seen == wanted
    written = {"boot.json", "bootstrap.done", "bootstrap.intoto.jsonl", "env", "events.jsonl", "runtimes.json"}
    assert {f"{RUN}/{name}" for name in written} <= read
    assert {f"/opt/bootseal/etc/{name}" for name in ("plan.json", "supervisord.conf", "closures.lock")} <= read


def test_each_delivered_file_is_the_users_alone(vault: box.Box) -> None:
    folder = inside(vault, f"{RUN}/secrets")
    modes = {path.relative_to(folder): path.stat().st_mode & 0o7777 for path in [folder, *folder.rglob("*")]}
    directories = {path for path in modes if (folder / path).is_dir()}
    assert {str(path) for path in directories} == {".", ".values", "api", "worker"}
    for path, mode in modes.items():
        assert mode == (0o700 if path in directories else 0o400), path
        assert (folder / path).stat().st_uid == 1000


def test_no_log_line_holds_a_secret(vault: box.Box, search: secret_search.Search) -> None:
    log = vault.log()
    assert search.found(log) == set()
    assert "SecretsDelivered" in log
    [event] = [event for event in vault.events() if event["event"] == "SecretsDelivered"]
    assert event["programs"] == {"api": 3, "worker": 4}


def test_no_rpc_answer_holds_a_secret(vault: box.Box, search: secret_search.Search) -> None:
    listed = methods(vault)
    wanted = [("system.methodHelp", method) for method in listed] + [
        ("system.methodSignature", method) for method in listed
    ]
    names = ("api", "worker", "neighbour", "probes", "bootstrap-seal")
    for method in filter(is_reading, listed):
        if not method.startswith("system.method"):
            shapes = ((), (0, 100_000), *((name,) for name in names), *((name, 0, 100_000) for name in names))
            wanted += [(method, *arguments) for arguments in shapes]
    wanted.append(
        ("system.multicall", [{"methodName": method, "params": ["api"]} for method in listed if is_reading(method)])
    )
    answers = calls(vault, *wanted)
    assert len(answers) == len(wanted)
    answered = {answer["method"] for answer in answers if "answer" in answer}
    assert {
        "supervisor.getAllConfigInfo",
        "supervisor.getProcessInfo",
        "bootseal.snapshot",
        "bootseal.summary",
    } <= answered
    for answer in answers:
        assert search.found(json.dumps(answer)) == set(), answer


def test_no_http_answer_holds_a_secret(vault: box.Box, search: secret_search.Search) -> None:
    [nothing] = vault.fetch("8080/nothing")
    paths = nothing.json["error"].partition("the paths are ")[2].split(", ")
    assert {"/health", "/v1/meta", "/metrics"} <= set(paths)
    places = [f"8080{path}" for path in paths] + ["9091/metrics", "9091/nothing", "8080/startupz?wait=1s"]
    answers = vault.fetch(*places)
    for place, answer in zip(places, answers, strict=True):
        assert answer.status in {200, 404}, place
        assert search.found(answer.text) == set(), place


def test_supervisorctl_prints_no_secret(vault: box.Box, search: secret_search.Search) -> None:
    lines = [["status"], ["ready"], ["why", *PROGRAMS, "probes"], ["avail"], ["pid", "api"], ["maintail", "-100000"]]
    lines += [["tail", "-100000", name, channel] for name in PROGRAMS for channel in ("stdout", "stderr")]
    for line in lines:
        done = vault.run("supervisorctl", *line)
        assert search.found(done.stdout + done.stderr) == set(), line
        assert done.stdout, line


def test_no_layer_and_no_configuration_of_the_image_holds_a_secret(
    vault: box.Box, image: str, search: secret_search.Search, tmp_path: pathlib.Path
) -> None:
    """The container runs: what was given to it and what it generated never went into the image."""
    saved, known = tmp_path / "image.tar", secret_search.Search({"program": (VAULT / "program.py").read_bytes()[:200]})
    box.engine_ok("save", "--format=docker-archive", f"--output={saved}", image)
    holders, layers = [], 0
    with tarfile.open(saved) as archive:
        for member in archive:
            if member.isfile() and (file := archive.extractfile(member)) is not None:  # not the links to what was seen
                data = file.read()
                layers += member.name.endswith(".tar")
                assert search.found(data) == set(), member.name
                holders += [member.name] if known.found(data) else []
    assert layers > 3
    assert holders, "the search sees nothing in a layer"


# --- who can look -----------------------------------------------------------------------------------------------------


def test_a_program_of_the_same_uid_opens_nothing_of_pid_1_the_seal_and_the_probe_server(vault: box.Box) -> None:
    seen = told(vault)["neighbour"]["opened"]
    closed, opened = (
        dict.fromkeys(("environ", "mem", "maps", "fd"), "EACCES"),
        dict.fromkeys(("environ", "mem", "maps", "fd"), "opened"),
    )
    assert seen == {"pid1": closed, "seal": closed, "probes": closed, "neighbour": opened, "api": opened}


# --- what does not go well --------------------------------------------------------------------------------------------


def test_a_secret_that_a_program_prints_as_it_dies_is_hidden_in_the_cause_and_the_termination_log(
    start: Start, image: str, given: Given, tmp_path: pathlib.Path
) -> None:
    word = tmp_path / "termination-log"
    word.touch()
    word.chmod(0o666)
    mounted = f"--volume={word}:/dev/termination-log"
    ours = start(image, *box.HARDENED, *box.USER, *box.TMPFS, *given.options, mounted, "--env=VAULT_LEAKS=yes")
    seen = refusal(ours)
    assert seen.code == BOOT_FAILURE
    search = secret_search.Search(given.cores)
    lines = ours.log().splitlines()
    assert "db-password" in search.found("\n".join(line for line in lines if line.startswith("the api leaks ")))
    ends = [line for line in lines if not line.startswith("the api leaks ")]
    assert search.found("\n".join(ends)) == set()
    assert "the api leaks ***" in word.read_text()
    assert search.found(word.read_bytes()) == set()


@pytest.mark.parametrize(
    ("forgotten", "cause"),
    [
        ("variables", "secret token from variable TOKEN: it is not set"),
        ("password_mount", "secret db-password from file /etc/vault/password: "),
        ("tls_key_mount", "secret tls-key from file /etc/vault/tls-key: "),
        ("seal_key_mount", "secret seal-key from file /etc/vault/keys/seal-key: "),
    ],
)
def test_a_secret_that_was_forgotten_ends_the_boot_and_is_named(
    start: Start, image: str, given: Given, forgotten: str, cause: str
) -> None:
    kept = [option for option in given.options if option not in getattr(given, forgotten)]
    ours = start(image, *box.HARDENED, *box.USER, *box.TMPFS, *kept)
    seen = refusal(ours)
    assert (seen.code, seen.phase) == (BOOT_FAILURE, "secrets")
    assert seen.cause.startswith(cause)
    assert "set" in seen.cause or "No such file or directory" in seen.cause
    assert secret_search.Search(given.cores).found(ours.log()) == set()


def test_a_forgotten_mount_is_no_secret_of_the_images(start: Start, image: str, given: Given) -> None:
    """An example that everybody has, where the mounted file belongs, is not taken for it."""
    with_example = derive(image, "example", "RUN mkdir -p /etc/vault && echo an-example-of-a-key > /etc/vault/tls-key")
    kept = [option for option in given.options if option not in given.tls_key_mount]
    seen = refusal(start(with_example, *box.HARDENED, *box.USER, *box.TMPFS, *kept))
    assert (seen.code, seen.phase) == (BOOT_FAILURE, "secrets")
    assert seen.cause.startswith("secret tls-key from file /etc/vault/tls-key: it is the image's")
    assert "an-example" not in seen.cause


# --- what operators do ------------------------------------------------------------------------------------------------


def test_whatever_operators_do_is_answered_without_a_secret_and_delivers_them_again(
    start: Start, image: str, given: Given
) -> None:
    ours = start(image, *box.HARDENED, *box.USER, *box.TMPFS, *given.options)
    ours.wait_until_sealed()
    search = search_for(ours, given)
    done = [
        ("supervisor.signalProcess", "api", "CONT"),
        ("supervisor.signalProcessGroup", "api", "CONT"),
        ("supervisor.signalAllProcesses", "CONT"),
        ("supervisor.sendProcessStdin", "api", "hello"),
        ("supervisor.sendRemoteCommEvent", "hello", "hello"),
        ("supervisor.clearLog",),
        ("supervisor.clearProcessLog", "api"),
        ("supervisor.clearProcessLogs", "api"),
        ("supervisor.clearAllProcessLogs",),
        ("supervisor.stopProcess", "worker"),
        ("supervisor.startProcess", "worker"),
        ("supervisor.stopProcessGroup", "api"),
        ("supervisor.startProcessGroup", "api"),
        ("supervisor.reloadConfig",),
        ("supervisor.stopProcess", "worker"),
        ("supervisor.removeProcessGroup", "worker"),
        ("supervisor.addProcessGroup", "worker"),
        ("supervisor.stopAllProcesses",),
        ("supervisor.startAllProcesses",),
    ]
    last = {"supervisor.restart", "supervisor.shutdown", "bootseal.fail"}
    assert {method for method in methods(ours) if not is_reading(method)} == {call[0] for call in done} | last
    for answer in calls(ours, *done):
        assert search.found(json.dumps(answer)) == set(), answer
    ours.fetch_until("8080/ready", lambda answer: answer.status == 200)
    check_environments(ours, search)

    assert [answer["answer"] for answer in calls(ours, ("supervisor.restart",))] == [True]
    box.wait_for(ours.events, lambda events: [event["event"] for event in events].count("BootstrapCompleted") == 2)
    ours.fetch_until("8080/ready", lambda answer: answer.status == 200)
    check_environments(ours, search)
    assert {name: set(one["given"]) for name, one in told(ours).items()} == PROGRAMS

    assert [answer["answer"] for answer in calls(ours, ("supervisor.shutdown",))] == [True]
    assert ours.wait_until_exited() == 0
    assert search.found(ours.log()) == set()
