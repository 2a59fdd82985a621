"""Secrets in the hardened container: each where the manifest names it, and no byte of it anywhere else.

Rules
-----
* The application is ``vault/``: secrets from every source, for two of its three programs, and a key from one.
* Everything is searched for each secret in every form of ``secret_search``, and what is found is compared with the whole list
  of places where it may be: one too few is a failure as well, because then the search itself is broken.
"""

import base64
import hashlib
import json
import os
import pathlib
import secrets
import tarfile
from collections.abc import Iterator

import pytest

from tests.container import box, secret_search, vaults
from tests.container.conftest import Boxes, Start, build
from tests.container.test_refusals import BOOT_FAILURE, derive, refusal
from tests.container.vaults import PROGRAMS, RUN, Given

pytestmark = pytest.mark.container


@pytest.fixture(scope="module")
def image(machine: None) -> str:
    return build(str(vaults.VAULT))


@pytest.fixture(scope="module")
def given(machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Given]:
    with vaults.give(tmp_path_factory.mktemp("given")) as gifts:
        yield gifts


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
    return vaults.search_for(vault, given)


# --- the search -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", range(4))
def test_the_search_finds_a_secret_in_every_form_and_place(before: int) -> None:
    core = secrets.token_bytes(21)
    other = secrets.token_bytes(21)
    search = secret_search.Search({"it": core, "other": other})
    text = base64.b64encode(b"x" * before + core + b"yz")
    for data in (core, core.hex(), core.hex().upper(), text, text.translate(bytes.maketrans(b"+/", b"-_"))):
        assert search.found(b"a" + (data if isinstance(data, bytes) else data.encode()) + b"b") == {"it"}
    assert search.found(b"x" * 100) == set()


# --- what is delivered ------------------------------------------------------------------------------------------------


def test_each_program_is_given_exactly_what_it_is_named_for(vault: box.Box, given: Given) -> None:
    seen = {name: one["given"] for name, one in vaults.told(vault).items()}
    assert {name: set(one) for name, one in seen.items()} == PROGRAMS
    values = vaults.inside(vault, f"{RUN}/secrets/.values")
    wanted = {path.name: path.read_bytes() for path in values.iterdir()}
    assert (wanted["db-password"], wanted["tls-key"]) == (given.password, given.tls_key)
    assert wanted["token"] == given.token.encode()
    variables = {"$API_KEY": "api-key", "$SPARE": "spare", "$TOKEN": "token"}
    for one in seen.values():
        for name, digest in one.items():
            assert digest == hashlib.sha256(wanted[variables.get(name, name)]).hexdigest(), name


def test_the_container_is_who_its_secret_key_says(vault: box.Box, given: Given) -> None:
    record = json.loads(vaults.inside(vault, f"{RUN}/bootstrap.done").read_text())
    public = given.seal_key.public_key().public_bytes_raw()
    assert base64.b64decode(record["identity"]["ed25519"]) == public
    done = vault.run("bootseal", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


# --- where no byte of it is -------------------------------------------------------------------------------------------


def test_only_the_named_programs_have_a_secret_in_their_environment_and_no_process_in_its_arguments(
    vault: box.Box, search: secret_search.Search
) -> None:
    vaults.check_environments(vault, search)


def test_only_the_named_files_hold_a_secret(vault: box.Box, search: secret_search.Search) -> None:
    wanted = {path: {name} for path, name in vaults.SOURCES.items()}
    wanted[f"{RUN}/keys/ed25519.key"] = {"seal-key"}
    for program, names in {**PROGRAMS, ".values": PROGRAMS["api"] | PROGRAMS["worker"]}.items():
        wanted.update({f"{RUN}/secrets/{program}/{name}": {name} for name in names if not name.startswith("$")})
    root = vaults.inside(vault, "")
    seen, read = {}, set()
    for top in vaults.WRITTEN:
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
    folder = vaults.inside(vault, f"{RUN}/secrets")
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
    listed = vaults.methods(vault)
    wanted = [("system.methodHelp", method) for method in listed] + [
        ("system.methodSignature", method) for method in listed
    ]
    names = ("api", "worker", "neighbour", "probes", "bootstrap-seal")
    for method in filter(vaults.is_reading, listed):
        if not method.startswith("system.method"):
            shapes = ((), (0, 100_000), *((name,) for name in names), *((name, 0, 100_000) for name in names))
            wanted += [(method, *arguments) for arguments in shapes]
    wanted += [("bootseal.output", "0", "100000"), *(("bootseal.output", "-1", "1000", [name]) for name in names)]
    together = [{"methodName": method, "params": ["api"]} for method in filter(vaults.is_reading, listed)]
    wanted.append(("system.multicall", together))
    answers = vaults.calls(vault, *wanted)
    assert len(answers) == len(wanted)
    answered = {answer["method"] for answer in answers if "answer" in answer}
    assert {
        "supervisor.getAllConfigInfo",
        "supervisor.getProcessInfo",
        "bootseal.snapshot",
        "bootseal.summary",
        "bootseal.output",
    } <= answered
    for answer in answers:
        assert search.found(json.dumps(answer)) == set(), answer


def test_no_http_answer_holds_a_secret(vault: box.Box, search: secret_search.Search) -> None:
    [nothing] = vault.fetch("8080/nothing")
    paths = nothing.json["error"].partition("the paths are ")[2].split(", ")
    assert {"/health", "/v1/meta", "/metrics"} <= set(paths)
    assert {"/", "/v1/events", "/openapi.json"} <= set(paths)
    places = [f"8080{path}{'?follow=false' * (path == '/v1/events')}" for path in paths]
    places += ["9091/metrics", "9091/nothing", "8080/startupz?wait=1s"]
    answers = vault.fetch(*places)
    for place, answer in zip(places, answers, strict=True):
        assert answer.status in {200, 404}, place
        assert search.found(answer.text) == set(), place


def test_supervisorctl_prints_no_secret(vault: box.Box, search: secret_search.Search) -> None:
    lines = [["status"], ["ready"], ["seal"], ["why", *PROGRAMS, "probes"], ["avail"], ["pid", "api"]]
    lines += [["maintail", "-100000"]]
    lines += [["tail", "-100000", name, channel] for name in PROGRAMS for channel in ("stdout", "stderr")]
    for line in lines:
        done = vault.run("supervisorctl", *line)
        assert search.found(done.stdout + done.stderr) == set(), line
        assert done.stdout, line


@pytest.mark.parametrize("form", ["text", "json"])
def test_the_command_line_prints_no_secret(vault: box.Box, search: secret_search.Search, form: str) -> None:
    lines = [["status", "--all"], ["why"], *(["why", name] for name in PROGRAMS), ["logs", "--all"], ["events"]]
    lines += [["analyze"], ["doctor"], ["verify"], ["wait", "--for", "ready"]]
    for line in lines:
        done = vault.run("bootseal", *line, "--format", form)
        assert (done.returncode, search.found(done.stdout + done.stderr)) == (0, set()), line
        assert done.stdout, line


def test_no_layer_and_no_configuration_of_the_image_holds_a_secret(
    vault: box.Box, image: str, search: secret_search.Search, tmp_path: pathlib.Path
) -> None:
    """The container runs: what was given to it and what it generated never went into the image."""
    saved = tmp_path / "image.tar"
    known = secret_search.Search({"program": (vaults.VAULT / "program.py").read_bytes()[:200]})
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
    seen = vaults.told(vault)["neighbour"]["opened"]
    closed, opened = (dict.fromkeys(("environ", "mem", "maps", "fd"), outcome) for outcome in ("EACCES", "opened"))
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
        ("tls_key_mount", "secret tls-key from mounted file /etc/vault/tls-key: "),
        ("seal_key_mount", "secret seal-key from mounted file /etc/vault/keys/seal-key: "),
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
    assert seen.cause.startswith("secret tls-key from mounted file /etc/vault/tls-key: it is the image's")
    assert "an-example" not in seen.cause


# --- what operators do ------------------------------------------------------------------------------------------------


def test_whatever_operators_do_is_answered_without_a_secret_and_delivers_them_again(
    start: Start, image: str, given: Given
) -> None:
    ours = start(image, *box.HARDENED, *box.USER, *box.TMPFS, *given.options)
    ours.wait_until_sealed()
    search = vaults.search_for(ours, given)
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
    changing = {method for method in vaults.methods(ours) if not vaults.is_reading(method)}
    assert changing == {method for method, *_ in done} | {"supervisor.restart", "supervisor.shutdown", "bootseal.fail"}
    for answer in vaults.calls(ours, *done):
        assert search.found(json.dumps(answer)) == set(), answer
    ours.fetch_until("8080/ready", lambda answer: answer.status == 200)
    vaults.check_environments(ours, search)

    assert [answer["answer"] for answer in vaults.calls(ours, ("supervisor.restart",))] == [True]
    box.wait_for(ours.log, lambda log: log.count('"BootstrapCompleted"') == 2)
    ours.fetch_until("8080/ready", lambda answer: answer.status == 200)
    vaults.check_environments(ours, search)
    assert {name: set(one["given"]) for name, one in vaults.told(ours).items()} == PROGRAMS

    vaults.shut_down(ours)
    assert ours.wait_until_exited() == 0
    assert search.found(ours.log()) == set()
