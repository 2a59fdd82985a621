"""A secret reaches the programs that the manifest names, and no byte of it any other process, file, line or answer."""

import contextlib
import http.client
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tree as trees

from contract import errors, prctl
from supervisord import credentials

FROM_FILE, FROM_MOUNT, FROM_VARIABLE = "file-hunter2-aaaa", "mount-hunter2-bbbb", "variable-hunter2-cccc"
SLEEP = {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}


@pytest.fixture
def mounted() -> Iterator[Path]:
    """Give a directory on a mount that every machine has."""
    path = Path(tempfile.mkdtemp(prefix="bs-", dir="/dev/shm"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def manifest(tree: trees.Tree, mounted: Path, **programs: Any) -> dict[str, Any]:
    """Return a manifest of secrets from every source, for two of three programs."""
    (tree.root / "password").write_text(f"{FROM_FILE}\n")
    (mounted / "key").write_text(FROM_MOUNT)
    for path in (tree.root / "password", mounted / "key"):
        path.chmod(0o444)
    check = '[ -n "$API_KEY" ] && [ "$(cat $CREDENTIALS_DIRECTORY/api-key)" = "$API_KEY" ] && [ -z "$MAYBE" ]'
    return {
        "secrets": {
            "db-password": {"file": str(tree.root / "password"), "env": "DB_PASSWORD", "programs": ["api"]},
            "tls-key": {"mounted": str(mounted / "key"), "programs": ["api", "worker"]},
            "token": {"variable": "TOKEN", "env": "TOKEN", "programs": ["worker"]},
            "api-key": {"generate": 32, "env": "API_KEY", "programs": ["api", "worker"]},
            "maybe": {"variable": "MAYBE", "generate": 16, "env": "MAYBE", "programs": ["worker"]},
        },
        "programs": {
            "api": {**SLEEP, "ready": {"exec": ["sh", "-c", check]}},
            "worker": {**SLEEP, "after": ["api"]},
            "neighbour": SLEEP,
            **programs,
        },
    }


def start(tree: trees.Tree) -> trees.Tree:
    return tree.start({"TOKEN": FROM_VARIABLE})


@pytest.fixture
def booted(tree: trees.Tree, mounted: Path) -> trees.Tree:
    tree.build(manifest(tree, mounted))
    start(tree).wait_ready()
    return tree


def values(tree: trees.Tree) -> dict[str, bytes]:
    """Return the secrets as they were delivered."""
    folder = Path(credentials.values_directory(tree.run))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def environ(pid: int | None) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode()
    return dict(item.split("=", 1) for item in text.split("\0") if item)


def expected(tree: trees.Tree) -> dict[str, dict[str, str]]:
    """Return the variables that each program is to have."""
    held = {name: value.decode() for name, value in values(tree).items()}
    return {
        "api": {"DB_PASSWORD": FROM_FILE, "API_KEY": held["api-key"]},
        "worker": {"TOKEN": FROM_VARIABLE, "API_KEY": held["api-key"], "MAYBE": held["maybe"]},
        "neighbour": {},
    }


VARIABLES = ("DB_PASSWORD", "API_KEY", "TOKEN", "MAYBE", credentials.DIRECTORY)


def check_delivered(tree: trees.Tree) -> None:
    for name, wanted in expected(tree).items():
        seen = environ(tree.program(name).pid)
        folder = {credentials.DIRECTORY: tree.run.secrets_of(name)} if wanted else {}
        assert {key: seen[key] for key in VARIABLES if key in seen} == {**wanted, **folder}, name


def test_each_program_has_what_it_is_named_for_from_every_source(booted: trees.Tree) -> None:
    check_delivered(booted)
    held = values(booted)
    assert held["db-password"] == f"{FROM_FILE}\n".encode()
    assert (held["tls-key"], held["token"]) == (FROM_MOUNT.encode(), FROM_VARIABLE.encode())
    assert (len(held["api-key"]), len(held["maybe"])) == (64, 32)
    folders = {path.name: {file.name for file in path.iterdir()} for path in Path(booted.run.secrets).iterdir()}
    assert folders == {
        ".values": set(held), "api": {"db-password", "tls-key", "api-key"},
        "worker": {"tls-key", "token", "api-key", "maybe"},
    }  # fmt: skip
    for name in ("api", "worker"):
        for file in Path(booted.run.secrets_of(name)).iterdir():
            assert file.read_bytes() == held[file.name]
            assert file.stat().st_mode & 0o777 == 0o400


def test_no_secret_byte_is_anywhere_else(booted: trees.Tree) -> None:
    held = {value.strip() for value in values(booted).values()}
    assert len(held) == 5

    def is_clean(what: bytes | str) -> bool:
        data = what.encode() if isinstance(what, str) else what
        return not any(value in data for value in held)

    owners = {booted.program(name).pid: wanted for name, wanted in expected(booted).items()}
    pids = [booted.pid, *trees.descendants(booted.pid)]
    assert {*owners} < {*pids}
    for pid in pids:
        data = Path(f"/proc/{pid}/environ").read_bytes()
        for value in held:
            assert (value in data) == (value.decode() in owners.get(pid, {}).values()), (trees.cmdline(pid), value[:4])
        assert is_clean(Path(f"/proc/{pid}/cmdline").read_bytes())

    assert is_clean(booted.stdout() + booted.stderr())
    seen = []
    for folder, _, names in os.walk(booted.root):
        for path in (Path(folder, name) for name in names):
            if path.is_file() and not path.is_relative_to(booted.run.secrets) and path.name != "password":
                seen.append(path.name)
                assert is_clean(path.read_bytes()), path
    assert {"plan.json", "supervisord.conf", "events.jsonl", "boot.json", "bootstrap.done", "stdout", "stderr"} <= {
        *seen
    }

    asked = 0
    for answer in answers(booted):
        asked += 1
        assert is_clean(answer), answer[:200]
    assert asked > 40
    for path in ("/health", "/ready", "/startupz", "/livez", "/metrics", "/v1/meta", "/whoami", "/", "/nothing"):
        assert is_clean(page(booted, path)), path

    told = booted.events("SecretsDelivered")[0]
    assert told["programs"] == {"api": 3, "worker": 4}
    assert booted.stop() == 0
    assert is_clean(booted.stdout() + booted.stderr())


def answers(tree: trees.Tree) -> Iterator[str]:
    """Yield what every RPC method that changes nothing answers."""
    calls = tree.client()
    for method in calls.call("system.listMethods"):
        verbs = ("start", "stop", "shutdown", "restart", "clear", "signal", "send", "add", "remove", "reload")
        if method.startswith(("system.", "bootseal.fail")) or method.partition(".")[2].startswith(verbs):
            continue
        for arguments in ((), ("api",), ("worker",), ("api", 0, 10_000), (0, 10_000)):
            try:
                yield repr(calls.call(method, *arguments))
            except errors.BootsealError as error:
                yield str(error)


def page(tree: trees.Tree, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", tree.port, timeout=trees.PATIENCE_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return repr(response.getheaders()).encode() + response.read()


def test_a_program_that_is_started_again_however_has_its_secrets_again(booted: trees.Tree) -> None:
    def renewed(act: Callable[[int], object]) -> None:
        before = booted.program("api").pid
        assert before is not None
        act(before)
        trees.wait_until(lambda: booted.program("api").pid not in {None, before}, "a new process")
        trees.wait_until(lambda: environ(booted.program("api").pid).get("API_KEY"), "it was executed")
        check_delivered(booted)

    def call(*names: str) -> None:
        for name in names:
            booted.client().call(f"supervisor.{name}", "api")

    renewed(lambda pid: os.kill(pid, signal.SIGKILL))
    renewed(lambda _: call("stopProcess", "startProcess"))
    renewed(lambda _: call("stopProcess", "removeProcessGroup", "addProcessGroup"))
    trees.wait_until(lambda: booted.get("/ready")[0] == 200, "ready again")

    held = values(booted)
    os.kill(booted.pid, signal.SIGHUP)
    trees.wait_until(lambda: len(booted.events("BootstrapCompleted")) == 2, "the next generation's seal")
    assert values(booted) == held
    check_delivered(booted)


def test_a_secret_that_is_gone_fails_the_start_and_is_its_cause(tree: trees.Tree, mounted: Path) -> None:
    wanted = manifest(tree, mounted)
    wanted["programs"]["api"] |= {"ready": SLEEP["ready"], "start_retries": 1, "on_fatal": "exit"}
    tree.build(wanted)
    start(tree).wait_ready()
    Path(credentials.values_directory(tree.run), "api-key").unlink()
    pid = tree.program("api").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    ended = tree.wait_for_event("ContainerEnding", program="api")
    assert "spawn: secret api-key: " in str(ended["last_output"])
    assert "No such file" in str(ended["last_output"])
    assert tree.exit_code() == 6


def test_a_secret_that_a_program_prints_is_in_no_event_page_answer_or_termination_log(
    tree: trees.Tree, mounted: Path
) -> None:
    script = 'echo "mine $API_KEY" >&2; cat $CREDENTIALS_DIRECTORY/db-password >&2; exit 7'
    heard = tree.root / "heard"
    heard.write_text(f"heard {FROM_MOUNT} {FROM_VARIABLE}\n")
    neighbours = f"cat {heard} >&2; exit 8"
    wanted = manifest(
        tree,
        mounted,
        api={"command": ["sh", "-c", script], "required": False, "start_retries": 0, "ready": SLEEP["ready"]},
        worker=SLEEP,
        neighbour={"command": ["sh", "-c", neighbours], "oneshot": True},
    )
    word = tree.root / "termination-log"
    word.touch()
    word.chmod(0o666)
    tree.patch(f"from contract import termination; termination.write.__defaults__ = ({str(word)!r},)")
    tree.build({**wanted, "boot": {"on_failure": "hold"}})
    start(tree)
    failed = tree.wait_for_event("BootstrapFailed")
    tree.wait_for_event("ProgramFailed", program="api")
    held = {value.strip().decode() for value in values(tree).values()}
    assert any(value in tree.stderr() for value in held), "the programs' own output is theirs"
    assert "heard *** ***" in failed["cause"] + str(failed.get("last_output"))
    texts = [*map(str, tree.events()), word.read_text(), Path(tree.run.events).read_text(), *answers(tree)]
    texts += [page(tree, path).decode() for path in ("/health", "/ready", "/")]
    assert "***" in word.read_text()
    assert any("mine ***" in text for text in texts)
    for text in texts:
        assert not any(value in text for value in held), text[:500]


def test_a_boot_without_a_secret_ends_and_names_it(tree: trees.Tree, mounted: Path) -> None:
    tree.build(manifest(tree, mounted))
    tree.start()
    assert tree.exit_code() == 6
    failure = tree.failure()
    assert failure["phase"] == "secrets"
    assert failure["cause"].startswith("secret token from variable TOKEN: it is not set")


def test_nobody_of_the_same_user_can_look_into_our_processes(tree: trees.Tree) -> None:
    """The seal is caught while it waits: a program is never ready."""
    never = {"command": ["sleep", "1000"], "ready": {"file": "${run}/never"}}
    tree.build({"programs": {"api": SLEEP, "late": never}})
    tree.start()

    def all_there() -> dict[str, int] | None:
        found = {
            trees.cmdline(pid): pid for pid in trees.descendants(tree.pid)
        }  # forked, it has PID 1's until the exec
        wanted = {"probes": "-m probes ", "seal": "-m seal ", "api": "sleep 1000"}
        pids = {name: next((pid for line, pid in found.items() if mark in line), 0) for name, mark in wanted.items()}
        pids["pid1"] = tree.pid if "-m supervisord.pid1 " in trees.cmdline(tree.pid) else 0
        return pids if all(pids.values()) and tree.get("/livez")[0] == 200 else None

    pids = trees.wait_until(all_there, "every process of ours runs")
    tree.wait_for_event("BootstrapSealStarted")
    closed = dict.fromkeys(("pid1", "probes", "seal"), ())
    assert opened(pids) == {**closed, "api": ("environ", "mem", "maps")}
    for name in closed:
        status = Path(f"/proc/{pids[name]}/environ").stat()
        assert status.st_uid == 0, "the kernel gives what is not dumpable to root"
    assert opened(pids) == {**closed, "api": ("environ", "mem", "maps")}


def opened(pids: dict[str, int]) -> dict[str, tuple[str, ...]]:
    """Return what an ordinary process of the tree's user can open of each of ``pids``."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            uid = trees.other_uid()
            if uid is not None:
                os.setgroups([])
                os.setresgid(uid, uid, uid)
                os.setresuid(uid, uid, uid)
            prctl.call(prctl.SET_DUMPABLE, 1)
            for name, pid in pids.items():
                for place in ("environ", "mem", "maps"):
                    with contextlib.suppress(PermissionError):
                        os.close(os.open(f"/proc/{pid}/{place}", os.O_RDONLY))
                        os.write(writer, f"{name} {place}\n".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, encoding="ascii") as file:
        lines = [line.split() for line in file]
    os.waitpid(child, 0)
    return {name: tuple(place for one, place in lines if one == name) for name in pids}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give programs users of their own")
def test_each_program_user_has_its_own_secrets_at_every_start_and_no_others(
    tree: trees.Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PID 1 is root without any right over files, as in a container under the exception."""
    monkeypatch.setattr(trees, "other_uid", lambda: None)
    os.chown(tree.root, 0, 0)
    own = 'test "$(cat $CREDENTIALS_DIRECTORY/key-of-$0)" = "$KEY" && test "$(id -u)" = $1 && ! cat $2/*/key-of-$3'
    tree.build(
        {
            "security": {"exceptions": {"program-users": {"reason": "a test"}}},
            "secrets": {f"key-of-{name}": {"generate": 16, "env": "KEY", "programs": [name]} for name in ("a", "b")},
            "programs": {
                name: {
                    "command": [
                        "sh",
                        "-c",
                        f"{own}; echo done >/dev/stdout; exec sleep 1000",
                        name,
                        uid,
                        "${run}/secrets",
                        other,
                    ],
                    "user": f"{uid}:2000",
                    "ready": {"exec": ["sh", "-c", own, name, uid, "${run}/secrets", other]},
                }
                for name, uid, other in (("a", "1001", "b"), ("b", "1002", "a"))
            },
        }
    )
    drop = ["setpriv", "--bounding-set=-all,+chown,+kill,+setgid,+setuid", "--inh-caps=-all", "--groups=0,4242"]
    tree.start(argv=[*drop, sys.executable, "-I", "-X", "utf8", "-m", "entrypoint", "boot"]).wait_ready()

    def check() -> None:
        for name, uid in (("a", 1001), ("b", 1002)):
            pid = tree.program(name).pid
            trees.wait_until(lambda pid=pid: "sleep 1000" in trees.cmdline(pid), "it is executed")
            status = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
            assert status["Uid"].split() == [str(uid)] * 4
            assert (status["Groups"].split(), status["NoNewPrivs"]) == ([], "1")
            assert int(status["CapPrm"], 16) | int(status["CapEff"], 16) == 0
            assert environ(pid)["KEY"].encode() == values(tree)[f"key-of-{name}"]

    check()
    assert "done" in tree.stdout()
    os.kill(tree.pid, signal.SIGHUP)
    trees.wait_until(lambda: len(tree.events("BootstrapCompleted")) == 2, "the next generation's seal")
    check()
    assert not tree.events("ExtensionFault")
    assert not any(value.decode() in tree.stdout() + tree.stderr() for value in values(tree).values())
