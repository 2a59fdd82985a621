"""Readiness beside programs, with real file systems, sockets and files: what goes away is named, and what comes back counts."""

import contextlib
import ctypes
import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tree as trees

from contract import files

OTHERS = "0" * 32
MOUNT_FLAGS = 2  # MS_NOSUID


def mounted(*arguments: str) -> None:
    """Run mount(8); where it may not, that is the reason to skip, and under CI to fail."""
    result = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if result.returncode == 0:
        return
    reason = f"needs root and the right to mount: {result.stderr.strip()}"
    pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)


@pytest.fixture
def volume(tree: trees.Tree) -> Iterator[Path]:
    """A tmpfs of 4 MiB that belongs to the tree's user."""
    path = tree.root / "workspace"
    path.mkdir()
    uid = os.geteuid() if trees.other_uid() is None else trees.other_uid()
    mounted("-t", "tmpfs", "-o", f"size=4m,mode=755,uid={uid},gid={uid}", "bootseal-test", str(path))
    yield path
    while path.is_mount():
        subprocess.run(["umount", "-l", str(path)], check=True)


def build(tree: trees.Tree, ready: dict[str, Any], *writable: Path) -> None:
    roots = [{"path": str(path), "mode": "0755"} for path in writable]
    tree.build({**trees.ONE, "boot": {"writable": roots}, "ready": ready})


def until(tree: trees.Tree, claim: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the body of the first /ready that is 503 and of which ``claim`` holds; /livez is 200 all the while."""

    def look() -> Any:
        assert tree.get("/livez")[0] == 200
        status, body = tree.get("/ready")
        return status == 503 and claim(body) and body

    return trees.wait_until(look, "/ready 503 as claimed", lambda: str(tree.get("/ready")) + tree.stderr()[-3000:])


def unmet(kind: str, text: str) -> Callable[[dict[str, Any]], bool]:
    return lambda body: [row["kind"] for row in body["missing"]] == [kind] and text in body["reason"]


def changes(tree: trees.Tree) -> list[tuple[bool, list[str]]]:
    return [(event["ready"], event["missing"]) for event in tree.events("ReadinessChanged")]


def fill(path: Path) -> None:
    with open(path / "ballast", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"\0" * 65536):
            pass


@pytest.mark.parametrize(
    ("free", "words"),
    [("1MiB", "0 bytes are free, 1 MiB must be"), ("0", "a test file cannot be written there: no space left")],
)
def test_a_mount_that_fills_up_ends_readiness_until_it_is_freed(
    tree: trees.Tree, volume: Path, free: str, words: str
) -> None:
    build(tree, {"mounts": [{"path": str(volume), "mounted": True, "free": free}]}, volume)
    tree.start()
    assert tree.wait_ready()["requirements"] == ["api", f"mount:{volume}", "identity"]

    fill(volume)
    first = until(tree, unmet("mount", words))
    again = until(tree, unmet("mount", words))
    assert first["missing"] == again["missing"]
    assert first["missing"][0] | {"reason": "", "since": ""} == {
        "id": str(volume), "kind": "mount", "reason": "", "since": "", "required": True,
    }  # fmt: skip
    (volume / "ballast").unlink()
    tree.wait_ready()

    assert changes(tree) == [(True, []), (False, [f"mount:{volume}"]), (True, [])]
    assert os.listdir(volume) == []


def test_a_mount_that_turns_read_only_or_goes_away_is_named(tree: trees.Tree, volume: Path) -> None:
    build(tree, {"mounts": [{"path": str(volume), "mounted": True}]}, volume)
    tree.start().wait_ready()

    mounted("-o", "remount,ro", str(volume))
    until(tree, unmet("mount", "it is read-only, and must be writable"))
    mounted("-o", "remount,rw", str(volume))
    tree.wait_ready()
    subprocess.run(["umount", str(volume)], check=True)
    until(tree, unmet("mount", "nothing is mounted there"))


def test_a_bind_mount_of_the_same_file_system_is_a_mount(tree: trees.Tree) -> None:
    """Its device is that of the directory above it: devices do not tell."""
    path, source = tree.root / "bound", tree.root / "source"
    for one in (path, source):
        one.mkdir(mode=0o755)
    mounted("--bind", str(source), str(path))
    try:
        assert path.stat().st_dev == tree.root.stat().st_dev
        build(tree, {"mounts": [{"path": str(path), "mounted": True, "writable": False}]})
        tree.start().wait_ready()
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)
    until(tree, unmet("mount", "nothing is mounted there"))


@contextlib.contextmanager
def hung(path: Path) -> Iterator[None]:
    """Mount a FUSE file system on ``path`` that never answers."""
    try:
        fd = os.open("/dev/fuse", os.O_RDWR)
    except OSError as error:
        reason = f"needs FUSE: /dev/fuse: {error.strerror}"
        pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
    libc = ctypes.CDLL(None, use_errno=True)
    options = f"fd={fd},rootmode=40755,user_id=0,group_id=0,allow_other".encode()
    try:
        if libc.mount(b"bootseal-test", os.fsencode(path), b"fuse", MOUNT_FLAGS, options) != 0:
            reason = f"needs root and the right to mount: {os.strerror(ctypes.get_errno())}"
            pytest.fail(reason, pytrace=False) if os.environ.get("CI") else pytest.skip(reason)
        yield
    finally:
        os.close(fd)  # the kernel ends every request of a connection that nobody serves
        subprocess.run(["umount", "-l", str(path)], check=False)


def test_a_mount_that_hangs_is_not_ready_and_holds_up_nothing_else(tree: trees.Tree, volume: Path) -> None:
    stuck = tree.root / "stuck"
    stuck.mkdir(mode=0o755)
    mounts = [{"path": str(stuck), "writable": False}, {"path": str(volume), "free": "1MiB"}]
    build(tree, {"mounts": mounts}, volume)
    tree.start().wait_ready()
    server = tree.program("probes").pid
    assert server is not None
    threads = len(os.listdir(f"/proc/{server}/task"))

    with hung(stuck):
        until(tree, unmet("mount", "has ended: its file system may hang"))
        fill(volume)
        both = until(tree, lambda body: len(body["missing"]) == 2)
        assert "1 MiB must be" in both["missing"][1]["reason"]
        (volume / "ballast").unlink()
        until(tree, lambda body: len(body["missing"]) == 1)
        rows = {row["id"]: row for row in tree.get("/health")[1]["requirements"]}
        assert rows[str(stuck)]["age_seconds"] > rows[str(volume)]["age_seconds"]
        assert len(os.listdir(f"/proc/{server}/task")) <= threads
    tree.wait_ready()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


def test_a_check_whose_server_goes_away_ends_readiness_until_it_has_settled_again(
    tree: trees.Tree, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    check = {"tcp": f"127.0.0.1:{port}", "period": "1s", "failures": 2}
    build(tree, {"checks": {"relay": check}, "settle": "2s"})
    tree.start()
    assert tree.wait_ready()["requirements"] == ["api", "check:relay", "identity"]

    listener.close()
    until(tree, unmet("check", "required check relay: connection refused"))
    with socket.create_server(("127.0.0.1", port)):
        settling = until(tree, lambda body: body["missing"][0]["id"] == "settle")
        assert settling["missing"][0]["kind"] == "boot"
        assert settling["reason"].endswith("s of the 2 s that it must settle")
        tree.wait_ready()

    assert changes(tree)[:3] == [(True, []), (False, ["check:relay"]), (True, [])]


def test_an_optional_check_is_shown_and_takes_nothing_away(tree: trees.Tree, listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    build(tree, {"checks": {"relay": {"tcp": f"127.0.0.1:{port}", "required": False}}})
    tree.start()

    assert tree.wait_ready()["requirements"] == ["api", "identity"]
    [relay, identity] = trees.wait_until(
        lambda: (rows := tree.get("/health")[1]["requirements"])[0]["age_seconds"] is not None and rows,
        "it was checked",
    )
    assert (relay["met"], relay["required"], relay["reason"]) == (False, False, "connection refused")
    assert identity["met"]


def test_an_identity_that_is_not_this_boots_ends_readiness_until_it_is(tree: trees.Tree) -> None:
    tree.build(trees.ONE)
    tree.start().wait_ready()
    path = Path(tree.run.identity) / "boot-id"
    ours = path.read_bytes()

    files.write_atomically(str(path), OTHERS.encode(), 0o444)
    until(tree, unmet("identity", f"{path}: it is not the one that this boot began with"))
    path.unlink()
    until(tree, unmet("identity", f"{path}: it is missing"))
    files.write_atomically(str(path), ours, 0o444)
    tree.wait_ready()

    assert changes(tree) == [(True, []), (False, ["identity"]), (True, [])]


def test_the_seal_does_not_wait_for_what_readiness_needs_besides(tree: trees.Tree) -> None:
    """/startupz says that the boot completed; /ready that the container can be used now."""
    missing = tree.root / "missing"
    build(tree, {"mounts": [{"path": str(missing), "writable": False}]})
    tree.start()
    trees.wait_until(lambda: tree.get("/startupz")[0] == 200, "the boot is sealed", tree.stderr)

    until(tree, unmet("mount", f"required mount {missing}: it is not there"))
    missing.mkdir()
    tree.wait_ready()
