import errno
import hashlib
import os
import socket
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as some

from artifacts import closure, descent, examination, inspection, verification
from artifacts.inspection import Fault
from manifest import provisions
from tests.unit import children

WAYS = ["digest", "metadata"]


def locked(root: Path, artifact: str = "api", outside: tuple[str, ...] = ()) -> closure.Closure:
    """Return the closure of the tree ``root``/app, and of the paths ``outside`` of it."""
    found = [root / "app", *sorted((root / "app").rglob("*")), *(root / path for path in outside)]
    return closure.make(artifact, "tree", "./app", [entry(root, path) for path in found])


def entry(root: Path, path: Path) -> closure.Entry:
    status, recorded = path.lstat(), closure.recorded(str(path), str(root))
    if stat.S_ISLNK(status.st_mode):
        return closure.link(recorded, os.readlink(path))
    if stat.S_ISDIR(status.st_mode):
        return closure.directory(recorded, stat.S_IMODE(status.st_mode))
    return closure.file(
        recorded, stat.S_IMODE(status.st_mode), status.st_size, hashlib.sha256(path.read_bytes()).hexdigest()
    )


def artifact(root: Path, way: str = "digest", name: str = "api", path: str = "app") -> provisions.ArtifactPlan:
    return provisions.ArtifactPlan(name, f"{root}/{path}", required=True, kind="tree", verify=way)


def verify(root: Path, closed: closure.Closure, way: str = "digest", processes: int | None = 0) -> verification.Verdict:
    [verdict] = verification.verify(closure.Lock((closed,)), (artifact(root, way),), str(root), processes)
    return verdict


def told(root: Path, closed: closure.Closure, way: str = "digest") -> list[tuple[str, str]]:
    """Return the kind and path of each fault, which must be the same with workers and without."""
    faults = verify(root, closed, way).faults
    assert verify(root, closed, way, processes=3).faults == faults
    return [(fault.kind, fault.path) for fault in faults]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    app = tmp_path / "app"
    for folder in (app, app / "lib", app / "lib" / "deep"):
        folder.mkdir()
        folder.chmod(0o755)
    for name, data in (("main", b"main"), ("empty", b""), ("lib/a", b"a" * 300_000), ("lib/deep/b", b"b")):
        (app / name).write_bytes(data)
        (app / name).chmod(0o644)
    (app / "now").symlink_to("lib/deep")
    return tmp_path


@pytest.mark.parametrize("way", WAYS)
def test_what_is_as_it_was_locked_has_no_fault(root, way):
    closed = locked(root)
    verdict = verify(root, closed, way)
    assert verdict == verification.Verdict(artifact(root, way), closed.sha256, way, (), str(root))
    assert verdict.reason == ""
    assert told(root, closed, way) == []


@pytest.mark.parametrize("way", WAYS)
def test_a_missing_file_link_or_directory_is_missing_and_so_is_what_lay_in_it(root, way):
    closed = locked(root)
    (root / "app/main").unlink()
    (root / "app/now").unlink()
    (root / "app/lib/deep/b").unlink()
    (root / "app/lib/deep").rmdir()
    assert told(root, closed, way) == [
        ("missing", path) for path in ("./app/lib/deep", "./app/lib/deep/b", "./app/main", "./app/now")
    ]
    assert verify(root, closed, way).faults[1].detail == "./app/lib/deep cannot be entered: No such file or directory"


def test_content_that_differs_in_one_bit_is_changed_also_when_nothing_else_did(root):
    closed, path = locked(root), root / "app/lib/a"
    status = path.stat()
    with path.open("r+b") as file:
        file.seek(299_999)
        file.write(b"b")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert told(root, closed) == [("changed", "./app/lib/a")]
    assert told(root, closed, "metadata") == []
    assert closed.entries[3].sha256[:16] in verify(root, closed).faults[0].detail


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("size", [0, 299_999, 300_001, 9_000_000])
def test_a_file_of_another_size_is_changed(root, way, size):
    closed = locked(root)
    os.truncate(root / "app/lib/a", size)
    assert told(root, closed, way) == [("changed", "./app/lib/a")]
    assert verify(root, closed, way).faults[0].detail == f"has {size} bytes, locked with 300000"


@pytest.mark.parametrize("size", [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 512 * 1024, 700_000])
def test_files_of_any_size_are_read_to_their_end(root, size):
    path = root / "app/lib/a"
    path.write_bytes(os.urandom(size))
    closed = locked(root)
    assert told(root, closed) == []
    if size:
        with path.open("r+b") as file:
            file.seek(size - 1)
            last = path.read_bytes()[-1]
            file.write(bytes([last ^ 1]))
        assert told(root, closed) == [("changed", "./app/lib/a")]


@pytest.mark.parametrize("way", WAYS)
def test_what_was_not_locked_is_extra_wherever_a_listing_is_complete(root, way):
    closed = locked(root)
    (root / "app/lib/new").write_bytes(b"")
    (root / "app/lib/deep/.hidden").symlink_to("/")
    (root / "app/more").mkdir()
    (root / "app/more/inner").write_bytes(b"")
    os.mkfifo(root / "app/lib/deep/\udcff")
    (root / "beside").write_bytes(b"")
    assert told(root, closed, way) == [
        ("extra", "./app/lib/deep/.hidden"), ("extra", "./app/lib/deep/\udcff"), ("extra", "./app/lib/new"), ("extra", "./app/more"),
    ]  # fmt: skip
    assert [fault.detail for fault in verify(root, closed, way).faults] == [
        "is a symlink and was not locked", "is a FIFO and was not locked", "is a file and was not locked",
        "is a directory and was not locked",
    ]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_link_that_points_elsewhere_is_retargeted_and_both_targets_are_said(root, way):
    closed = locked(root)
    (root / "app/now").unlink()
    (root / "app/now").symlink_to("lib")
    assert verify(root, closed, way).faults == (Fault("retargeted", "./app/now", "points to lib, locked to lib/deep"),)


@pytest.mark.parametrize("way", WAYS)
def test_a_mode_that_differs_is_a_fault_of_files_and_directories_and_both_modes_are_said(root, way):
    closed = locked(root)
    (root / "app/main").chmod(0o4644)
    (root / "app/lib").chmod(0o775)
    assert verify(root, closed, way).faults == (
        Fault("mode", "./app/lib", "has mode 0775, locked as 0755"),
        Fault("mode", "./app/main", "has mode 4644, locked as 0644"),
    )
    os.truncate(root / "app/main", 1)
    assert told(root, closed, way) == [("mode", "./app/lib"), ("changed", "./app/main"), ("mode", "./app/main")]


def put(path: Path, what: str) -> None:
    """Put ``what`` in the place of the file ``path``."""
    path.unlink()
    if what == "FIFO":
        os.mkfifo(path)
    elif what == "socket":
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
    elif what == "directory":
        path.mkdir()
    elif what == "symlink":
        path.symlink_to("/dev/zero")
    else:
        os.mknod(path, stat.S_IFCHR | 0o644, os.makedev(1, 5))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", ["main", "empty"])
@pytest.mark.parametrize("what", ["FIFO", "socket", "directory", "symlink", "device"])
def test_what_is_no_file_any_more_is_said_and_never_blocks_or_is_followed(root, way, what, name):
    closed = locked(root)
    if what == "device" and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    put(root / "app" / name, what)
    assert told(root, closed, way) == [("type", f"./app/{name}")]
    assert verify(root, closed, way).faults[0].detail == f"is a {what}, locked as a file"


@pytest.mark.parametrize("way", WAYS)
def test_a_link_or_directory_that_became_something_else_is_said(root, way):
    closed = locked(root)
    (root / "app/now").unlink()
    (root / "app/now").write_bytes(b"")
    (root / "app/lib/deep/b").unlink()
    (root / "app/lib/deep").rmdir()
    (root / "app/lib/deep").write_bytes(b"")
    assert verify(root, closed, way).faults == (
        Fault("type", "./app/lib/deep", "is a file, locked as a directory"),
        Fault("missing", "./app/lib/deep/b", "./app/lib/deep is a file, not a directory"),
        Fault("type", "./app/now", "is a file, locked as a symlink"),
    )


@pytest.mark.parametrize("way", WAYS)
def test_a_directory_swapped_for_a_link_to_the_same_files_is_found(root, way):
    closed = locked(root)
    (root / "app/lib").rename(root / "elsewhere")
    (root / "app/lib").symlink_to("../elsewhere")
    assert (root / "app/lib/deep/b").read_bytes() == b"b"
    faults = verify(root, closed, way).faults
    assert faults[0] == Fault("type", "./app/lib", "is a symlink, locked as a directory")
    assert faults[1] == Fault("missing", "./app/lib/a", "./app/lib is a symlink, not a directory")
    assert told(root, closed, way)[1:] == [
        ("missing", path) for path in ("./app/lib/a", "./app/lib/deep", "./app/lib/deep/b")
    ]


@pytest.mark.parametrize("way", WAYS)
def test_a_link_above_a_file_without_its_directory_is_found(root, way):
    (root / "usr").mkdir()
    (root / "usr/libc").write_bytes(b"c")
    closed = locked(root, outside=("usr/libc",))
    assert told(root, closed, way) == []
    (root / "usr").rename(root / "other")
    (root / "usr").symlink_to("other")
    assert verify(root, closed, way).faults == (Fault("missing", "./usr/libc", "./usr is a symlink, not a directory"),)


def test_absolute_paths_are_verified_too_and_the_directory_of_the_manifest_itself(root):
    whole = closure.make(
        "whole", "tree", ".", [closure.directory(".", stat.S_IMODE(root.stat().st_mode)), *locked(root).entries]
    )
    parts = str(root).split("/")
    assert not any(os.path.islink("/".join(parts[:count])) for count in range(2, len(parts) + 1))
    far = closure.make("far", "file", f"{root}/app/main", [entry(Path("/nowhere"), root / "app/main")])
    lock = closure.Lock((far, whole))
    artifacts = (
        artifact(root, name="far", path="app/main"),
        provisions.ArtifactPlan("whole", str(root), True, "tree", "digest"),
    )
    assert [verdict.faults for verdict in verification.verify(lock, artifacts, str(root))] == [(), ()]
    (root / "new").write_bytes(b"")
    (root / "app/main").write_bytes(b"niam")
    assert [[(fault.kind, fault.path) for fault in verdict.faults] for verdict in verification.verify(lock, artifacts, str(root))] == [
        [("changed", f"{root}/app/main")], [("changed", "./app/main"), ("extra", "./new")],
    ]  # fmt: skip


def test_all_faults_of_all_artifacts_are_found_and_their_order_is_the_plan_s(root):
    (root / "web").mkdir()
    (root / "web/page").write_bytes(b"page")
    web = closure.make("web", "tree", "./web", [entry(root, root / "web"), entry(root, root / "web/page")])
    lock = closure.Lock((locked(root), web))
    (root / "web/page").write_bytes(b"egap")
    (root / "app/main").unlink()
    artifacts = (artifact(root, "digest", "web", "web"), artifact(root, "metadata"))
    verdicts = verification.verify(lock, artifacts, str(root))
    assert tuple(verdict.artifact for verdict in verdicts) == artifacts
    assert [[fault.kind for fault in verdict.faults] for verdict in verdicts] == [["changed"], ["missing"]]


def test_what_two_artifacts_share_is_read_once_and_told_in_both(root, monkeypatch):
    other = closure.make("other", "file", "./app/main", [entry(root, root / "app/main")])
    third = closure.make("third", "file", "./app/main", other.entries)
    lock = closure.Lock((locked(root), other, third))
    (root / "app/main").write_bytes(b"niam")
    reads, read = [], inspection.Inspector.read
    monkeypatch.setattr(
        inspection.Inspector, "read", lambda self, entry: (reads.append(entry.path), read(self, entry))[1]
    )
    artifacts = (
        artifact(root), artifact(root, "metadata", "other", "app/main"), artifact(root, "digest", "third", "app/main"),
    )  # fmt: skip
    verdicts = verification.verify(lock, artifacts, str(root))
    assert reads.count("./app/main") == 1
    assert [[fault.kind for fault in verdict.faults] for verdict in verdicts] == [["changed"]] * 3


@pytest.mark.parametrize("ways", [("metadata", "metadata"), ("digest", "metadata"), ("digest", "digest")])
def test_a_fault_of_what_two_artifacts_share_is_told_once_in_each(root, ways):
    lock = closure.Lock((locked(root), closure.make("other", "file", "./app/main", [entry(root, root / "app/main")])))
    (root / "app/main").write_bytes(b"longer")
    artifacts = (artifact(root, ways[0]), artifact(root, ways[1], "other", "app/main"))
    verdicts = verification.verify(lock, artifacts, str(root))
    assert [[fault.path for fault in verdict.faults] for verdict in verdicts] == [["./app/main"]] * 2


def test_the_way_down_is_right_again_after_one_that_ended(root):
    way = descent.Descent(str(root))
    folder, name = way.parent("./app/lib/a")
    assert (os.listdir(f"/proc/self/fd/{folder}"), name) == (os.listdir(root / "app/lib"), "a")
    with pytest.raises(descent.Unreachable, match=r"^\./app/none cannot be entered: No such file or directory$"):
        way.parent("./app/none/deeper/x")
    folder, _ = way.parent("./app/lib/a")
    assert os.path.samestat(os.stat(folder), (root / "app/lib").stat())
    folder, name = way.parent(str(root))
    assert (os.path.samestat(os.stat(folder), root.parent.stat()), name) == (True, root.name)
    way.close()


def test_presence_asks_no_more_than_whether_it_is_there(root):
    closed = locked(root)
    (root / "app/main").unlink()
    assert verify(root, closed, "presence").faults == ()
    assert verify(root, closed, "presence").sha256 == closed.sha256
    [verdict] = verification.verify(None, (artifact(root, "presence", path="none"),), str(root))
    assert (verdict.sha256, [fault.kind for fault in verdict.faults]) == (None, ["missing"])
    assert verdict.reason == f"{root}/none: No such file or directory"


@pytest.mark.parametrize("way", WAYS)
def test_what_is_to_be_verified_and_is_not_locked_is_not_verified(root, way):
    other = locked(root, "other")
    for lock in (None, closure.Lock(()), closure.Lock((other,))):
        [verdict] = verification.verify(lock, (artifact(root, way),), str(root))
        assert (verdict.sha256, [fault.kind for fault in verdict.faults]) == (None, ["missing"])
        assert "`bootseal lock`" in verdict.reason


def test_a_closure_of_another_path_is_not_this_artifact_s(root):
    closed = locked(root)
    [verdict] = verification.verify(closure.Lock((closed,)), (artifact(root, path="application"),), str(root))
    assert "closures.lock has ./app by this name" in verdict.reason


def test_what_may_not_be_read_listed_or_entered_is_a_fault_and_no_exception():
    with tempfile.TemporaryDirectory() as path:
        root = Path(path)
        root.chmod(0o755)
        for folder in ("app", "app/unlistable", "app/closed"):
            (root / folder).mkdir(0o755)
        for name in ("app/secret", "app/unlistable/x", "app/closed/y"):
            (root / name).write_bytes(b"x")
        (root / "app/secret").chmod(0o600)
        (root / "app/unlistable").chmod(0o711)
        (root / "app/closed").chmod(0o700)
        closed = locked(root)

        def work() -> bool:
            expected = [
                ("unreadable", "./app/closed"), ("unreadable", "./app/closed/y"), ("unreadable", "./app/secret"),
                ("unreadable", "./app/unlistable"),
            ]  # fmt: skip
            assert told(root, closed) == expected
            assert told(root, closed, "metadata") == [one for one in expected if one[1] != "./app/secret"]
            assert verify(root, closed).faults[2].detail == "Permission denied"
            return True

        if os.geteuid() != 0:
            pytest.skip("files of another user are needed: run as root")
        assert children.run_as_nobody(work) == 0


@pytest.mark.parametrize("size", [300_000, 256 * 1024])
def test_a_file_that_changes_while_it_is_read_is_changed(root, monkeypatch, size):
    path, readv = root / "app/lib/a", os.readv
    path.write_bytes(b"a" * size)
    closed = locked(root)

    def changing(change: Callable[[], object]) -> Callable[[int, list[memoryview]], int]:
        def read(fd: int, buffers: list[memoryview]) -> int:
            count = readv(fd, buffers)
            if os.path.samestat(os.fstat(fd), path.stat()):
                change()
            return count

        return read

    def grow() -> None:
        with path.open("ab") as file:
            file.write(b"more")

    changed = (Fault("changed", "./app/lib/a", "it changed while it was read"),)
    monkeypatch.setattr(os, "readv", changing(grow))
    assert verify(root, closed).faults == changed
    if size > inspection._BUFFER:
        path.write_bytes(b"a" * size)
        monkeypatch.setattr(os, "readv", changing(lambda: os.truncate(path, 10)))
        assert verify(root, closed).faults == changed


@pytest.mark.parametrize("call", ["readv", "fstat"])
def test_an_error_of_the_disk_is_a_fault(root, monkeypatch, call):
    closed = locked(root)

    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        faults = verify(root, closed).faults
    assert {fault.kind for fault in faults} == {"unreadable"}
    assert {fault.detail for fault in faults} == {"Input/output error"}
    assert len(faults) == 4


def test_a_file_that_vanishes_between_two_looks_is_missing(root, monkeypatch):
    closed, reach = locked(root), os.open

    def vanish(path: str, *rest: int, dir_fd: int | None = None) -> int:
        if path == "main":
            (root / "app/main").unlink()
        return reach(path, *rest, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", vanish)
    assert verify(root, closed).faults == (Fault("missing", "./app/main", "is not there"),)


def test_no_descriptor_stays_open(root):
    closed = locked(root)
    before = os.listdir("/proc/self/fd")
    for processes in (0, 3):
        verify(root, closed, processes=processes)
    put(root / "app/main", "FIFO")
    verify(root, closed)
    assert os.listdir("/proc/self/fd") == before


def test_what_is_shown_is_bounded_and_what_is_counted_is_not(root):
    closed = locked(root)
    for number in range(50):
        (root / f"app/new\n{number:02}").write_bytes(b"")
    (root / "app/main").unlink()
    verdict = verify(root, closed)
    assert len(verdict.faults) == 51
    assert verdict.reason == f"51 faults (1 missing, 50 extra), the first: {root}/app/main (missing): is not there"
    shown = verdict.shown()
    assert (len(shown), shown[-1]) == (21, "and 31 more")
    assert shown[1] == rf"{root}/app/new\n00 (extra): is a file and was not locked"
    assert verdict.shown(51)[-1] == rf"{root}/app/new\n49 (extra): is a file and was not locked"


@hypothesis.given(some.lists(some.integers(0, 2**33), max_size=40) | some.just([1] * 5000) | some.just([2**40] * 3000))
def test_units_are_few_the_heaviest_first_and_together_they_are_all_files(sizes):
    files = [closure.file(f"/{number:04}", 0o644, size, "ab" * 32) for number, size in enumerate(sizes)]
    units = examination.units(files)
    assert len(units) <= examination.workers.MOST_UNITS
    assert sorted(entry for unit in units for entry in unit) == files
    weights = [sum(entry.size + 16384 for entry in unit) for unit in units]
    assert weights == sorted(weights, reverse=True)


@hypothesis.given(some.data())
@hypothesis.settings(max_examples=30)
def test_any_one_change_of_a_tree_is_found_with_workers_and_without(data):
    with tempfile.TemporaryDirectory() as path:
        root = Path(path)
        names = ["app/a", "app/a-b", "app/a/b", "app/a/c", "app/d", "app/d/e", "app/d/e/f", "app/g"]
        (root / "app").mkdir()
        for name in names:
            if any(other.startswith(f"{name}/") for other in names):
                (root / name).mkdir()
            else:
                (root / name).write_bytes(name.encode())
        closed = locked(root)
        files = [name for name in names if (root / name).is_file()]
        change = data.draw(some.sampled_from(["append", "chmod", "unlink", "add", "link", "flip"]))
        name = data.draw(some.sampled_from(files))
        target = root / name
        expected = [("changed", f"./{name}")]
        if change == "append":
            target.write_bytes(target.read_bytes() + b"x")
        elif change == "flip":
            target.write_bytes(target.read_bytes()[:-1] + b"!")
        elif change == "chmod":
            target.chmod(0o611)
            expected = [("mode", f"./{name}")]
        elif change == "unlink":
            target.unlink()
            expected = [("missing", f"./{name}")]
        elif change == "link":
            target.rename(root / "moved")
            target.symlink_to(root / "moved")
            expected = [("type", f"./{name}")]
        else:
            target.with_name("new").write_bytes(b"")
            expected = [("extra", f"./{os.path.dirname(name)}/new")]
        assert told(root, closed) == expected
