import hashlib
import os
import pathlib
import shutil
import socket
import stat

import pytest

from artifacts import closure, expansion, lock, tree
from manifest import provisions
from tests.unit import children


def artifact(path: object, **changes: object) -> provisions.ArtifactPlan:
    return provisions.ArtifactPlan("x", str(path), True, **changes)  # type: ignore[arg-type]


def expand(path: object, here: object = "/nowhere", **changes: object) -> closure.Closure:
    """Return the closure, after a way through the file's form: what boot could not read is no closure."""
    found = expansion.expand(artifact(path, **changes), str(here))
    assert lock.parse(lock.dump(closure.Lock((found,))), "x").closures == (found,)
    return found


def problems(path: object, here: object = "/nowhere", **changes: object) -> tuple[str, ...]:
    with pytest.raises(expansion.NotLockable) as caught:
        expansion.expand(artifact(path, **changes), str(here))
    return caught.value.problems


def shown(found: closure.Closure) -> dict[str, str]:
    """Return the entries as path → type, with a link's target."""
    return {entry.path: entry.type + entry.target for entry in found.entries}


def test_a_tree_is_listed_whole_with_type_mode_size_and_digest(tmp_path: pathlib.Path):
    (tmp_path / "app" / "empty").mkdir(parents=True)
    (tmp_path / "app" / "run").write_bytes(b"content")
    os.chmod(tmp_path / "app" / "run", 0o4751)
    os.chmod(tmp_path / "app" / "empty", 0o1777)
    os.chmod(tmp_path / "app", 0o755)
    os.symlink("../elsewhere", tmp_path / "app" / "link")
    found = expand(tmp_path / "app", tmp_path)
    digest = hashlib.sha256(b"content").hexdigest()
    assert (found.kind, found.path) == (provisions.TREE, "./app")
    assert found.entries == (
        closure.directory("./app", 0o755),
        closure.directory("./app/empty", 0o1777),
        closure.link("./app/link", "../elsewhere"),
        closure.file("./app/run", 0o4751, 7, digest),
    )
    assert found.sha256 == closure.root_digest(found.entries)


def test_the_same_tree_gives_the_same_closure_wherever_it_lies(tmp_path: pathlib.Path):
    for place in ("one", "two"):
        folder = tmp_path / place / "app"
        folder.mkdir(parents=True)
        for name in sorted("abc", reverse=place == "two"):
            (folder / name).write_text(name)
    assert expand(tmp_path / "one" / "app", tmp_path / "one") == expand(tmp_path / "two" / "app", tmp_path / "two")


def test_what_leads_to_the_manifest_is_no_part_of_it_and_what_leads_on_from_there_is(tmp_path: pathlib.Path):
    (tmp_path / "real" / "releases" / "7").mkdir(parents=True)
    (tmp_path / "real" / "releases" / "7" / "main").write_text("x")
    os.symlink("real", tmp_path / "here")
    os.symlink("releases/7", tmp_path / "real" / "now")
    assert shown(expand(tmp_path / "here" / "now", tmp_path / "here")) == {
        "./now": "lreleases/7", "./releases/7": "d", "./releases/7/main": "f",
    }  # fmt: skip
    assert shown(expand(tmp_path / "here", tmp_path / "here"))["."] == "d"


def test_every_symlink_on_the_way_is_an_entry_and_no_path_leads_through_one(tmp_path: pathlib.Path):
    (tmp_path / "b" / "c").mkdir(parents=True)
    (tmp_path / "b" / "c" / "file").write_text("x")
    os.symlink("b", tmp_path / "a")
    os.symlink(f"{tmp_path}/a/c", tmp_path / "b" / "absolute")
    os.symlink("../b/absolute/file", tmp_path / "b" / "last")
    found = shown(expand(tmp_path / "a" / "last", tmp_path))
    assert found == {
        "./a": "lb", "./b/absolute": f"l{tmp_path}/a/c", "./b/last": "l../b/absolute/file", "./b/c/file": "f",
    } | {str(path): f"l{os.readlink(path)}" for path in tmp_path.parents if path.is_symlink()}  # fmt: skip


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda path: shutil.copy("/bin/ls", path), provisions.ELF),
        (lambda path: path.write_text("#!/bin/sh\n"), provisions.SCRIPT),
        (lambda path: path.write_text("# !/bin/sh\n"), provisions.FILE),
        (lambda path: path.write_text(""), provisions.FILE),
        (lambda path: path.mkdir(), provisions.TREE),
        (lambda path: (path.mkdir(), (path / "package.json").write_text("{}")), provisions.NODE),
    ],
)
def test_a_kind_that_is_left_open_is_what_is_found(tmp_path: pathlib.Path, make: object, kind: str):
    make(tmp_path / "it")  # type: ignore[operator]
    assert expand(tmp_path / "it", tmp_path).kind == kind


def test_a_kind_that_is_given_is_taken_at_its_word(tmp_path: pathlib.Path):
    (tmp_path / "script").write_text("#!/no/such/interpreter\n")
    assert shown(expand(tmp_path / "script", tmp_path, kind=provisions.FILE)) == {"./script": "f"}
    assert problems(tmp_path / "script", kind=provisions.TREE) == (f"{tmp_path}/script is a file, and no tree",)
    assert problems(tmp_path, kind=provisions.ELF) == (f"{tmp_path} is a directory, and no elf",)
    assert problems(tmp_path / "script", kind=provisions.ELF) == (f"{tmp_path}/script: it is no ELF file",)
    assert problems(tmp_path, kind=provisions.NODE) == (f"{tmp_path} holds no package.json, and is no node package",)


def test_a_node_package_is_its_tree_with_its_modules(tmp_path: pathlib.Path):
    modules = tmp_path / "app" / "node_modules"
    (modules / ".bin").mkdir(parents=True)
    (modules / "left-pad").mkdir()
    (modules / "left-pad" / "index.js").write_text("x")
    os.symlink("../left-pad/index.js", modules / ".bin" / "left-pad")
    (tmp_path / "app" / "package.json").write_text("{}")
    assert shown(expand(tmp_path / "app", tmp_path)) == {
        "./app": "d", "./app/package.json": "f", "./app/node_modules": "d", "./app/node_modules/.bin": "d",
        "./app/node_modules/.bin/left-pad": "l../left-pad/index.js", "./app/node_modules/left-pad": "d",
        "./app/node_modules/left-pad/index.js": "f",
    }  # fmt: skip


def test_what_is_no_content_is_named_all_of_it_and_nothing_blocks(tmp_path: pathlib.Path):
    app = tmp_path / "app"
    app.mkdir()
    os.mkfifo(app / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{app}/socket")
    expected = [f"{app}/fifo is a FIFO", f"{app}/socket is a socket"]
    if os.geteuid() == 0:
        os.mknod(app / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
        expected.insert(0, f"{app}/device is a device")
    assert sorted(problems(app)) == expected
    assert problems(app / "fifo") == (f"{app}/fifo is a FIFO, neither a file nor a directory",)
    assert problems("/dev/null") == ("/dev/null is a device, neither a file nor a directory",)


def test_what_cannot_be_read_is_named(tmp_path: pathlib.Path):
    os.chmod(tmp_path, 0o755)
    app = tmp_path / "app"
    (app / "closed").mkdir(parents=True)
    (app / "secret").write_text("x")
    os.chmod(app / "secret", 0)
    os.chmod(app / "closed", 0)

    def work() -> bool:
        found = problems(app)
        return sorted(found) == [f"{app}/closed: Permission denied", f"{app}/secret: Permission denied"] and problems(
            app / "closed" / "file"
        ) == (f"{app}/closed/file: Permission denied",)

    assert children.run_as_nobody(work) == 0


def test_many_problems_are_all_counted_and_some_shown(tmp_path: pathlib.Path):
    for number in range(30):
        os.mkfifo(tmp_path / str(number))
    with pytest.raises(expansion.NotLockable, match="; and 10 more") as caught:
        expansion.expand(artifact(tmp_path), "/nowhere")
    assert len(caught.value.problems) == 30


@pytest.mark.parametrize("kind", ["nothing", "dangling", "beneath a file"])
def test_what_is_not_there_is_missing(tmp_path: pathlib.Path, kind: str):
    (tmp_path / "file").write_text("x")
    os.symlink("nowhere", tmp_path / "link")
    path = {"nothing": "none", "dangling": "link", "beneath a file": "file/x"}[kind]
    with pytest.raises(expansion.Missing, match=f"artifact x: {tmp_path}/{path}: "):
        expansion.expand(artifact(tmp_path / path), "/nowhere")


def test_a_circle_of_symlinks_ends(tmp_path: pathlib.Path):
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    assert problems(tmp_path / "a") == (f"{tmp_path}/a: Too many levels of symbolic links",)


def test_a_circle_of_directories_inside_a_tree_is_not_followed(tmp_path: pathlib.Path):
    (tmp_path / "app").mkdir()
    os.symlink(".", tmp_path / "app" / "again")
    os.symlink("/", tmp_path / "app" / "root")
    assert shown(expand(tmp_path / "app", tmp_path)) == {"./app": "d", "./app/again": "l.", "./app/root": "l/"}


def test_names_of_any_bytes_are_written_down_as_they_are(tmp_path: pathlib.Path):
    (tmp_path / "app").mkdir()
    names = [b"\xff\xfe", b"new\nline", b'quote"\\', "ü".encode(), b"\x1b[31m"]
    for name in names:
        with open(os.fsencode(tmp_path / "app") + b"/" + name, "wb"):
            pass
    found = {closure.as_bytes(entry.path) for entry in expand(tmp_path / "app", tmp_path).entries}
    assert found == {b"./app", *(b"./app/" + name for name in names)}


def test_a_path_that_is_no_normal_one_is_refused():
    assert problems("/etc/../etc/passwd") == ("its path /etc/../etc/passwd is not a normal one",)


def test_a_file_that_changes_while_it_is_read_is_a_problem(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_bytes(b"before")
    digest = hashlib.file_digest

    def meddling(file: object, name: str) -> object:
        found = digest(file, name)  # type: ignore[arg-type]
        (tmp_path / "file").write_bytes(b"after it was read")
        return found

    monkeypatch.setattr(hashlib, "file_digest", meddling)
    assert problems(tmp_path / "file") == (f"{tmp_path}/file: it changed while it was read",)


def test_a_file_of_two_artifacts_is_read_once(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").write_bytes(b"x")
    reads = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, name: (reads.append(name), digest(file, name))[1])
    digests = tree.Digests()
    for _ in range(2):
        expansion.expand(artifact(tmp_path / "file"), "/nowhere", digests=digests)
    assert len(reads) == 1
    (tmp_path / "file").write_bytes(b"y")
    os.utime(tmp_path / "file", ns=(1, 1))
    [entry] = [
        entry
        for entry in expansion.expand(artifact(tmp_path / "file"), "/nowhere", digests=digests).entries
        if entry.type == closure.FILE
    ]
    assert entry.sha256 == hashlib.sha256(b"y").hexdigest()
