import ctypes
import errno
import importlib
import itertools
import os
import shutil
import socket
import stat
import tempfile

import pytest

from contract import directories, errors
from tests.unit import children, swapping


@pytest.fixture(params=["openat2", "walk"], autouse=True)
def way(request, monkeypatch) -> str:
    """Every promise is kept by the kernel's resolution and by the walk."""
    importlib.import_module("ctypes")
    monkeypatch.setattr(directories, "_absent", [] if request.param == "openat2" else [errno.ENOSYS])
    return request.param


def test_a_missing_directory_is_made_with_its_mode_and_its_parents_with_theirs(tmp_path):
    before = os.umask(0o077)
    try:
        fd, created = directories.open_confined(f"{tmp_path}/a/b/c", create=True, parents_mode=0o751, mode=0o2770)
    finally:
        os.umask(before)
    os.close(fd)
    assert created
    assert [stat.S_IMODE(os.stat(tmp_path / name).st_mode) for name in ("a", "a/b", "a/b/c")] == [0o751, 0o751, 0o2770]


def test_a_directory_that_exists_keeps_its_mode(tmp_path):
    (tmp_path / "a").mkdir(mode=0o700)
    fd, created = directories.open_confined(f"{tmp_path}/a", create=True, mode=0o755)
    os.close(fd)
    assert not created
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o700


def test_the_descriptor_is_of_the_directory_that_was_named(tmp_path):
    (tmp_path / "a").mkdir()
    fd, _ = directories.open_confined(f"{tmp_path}/a")
    try:
        assert os.fstat(fd).st_ino == os.stat(tmp_path / "a").st_ino
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_a_missing_directory_is_not_made_unasked(tmp_path):
    with pytest.raises(FileNotFoundError):
        directories.open_confined(f"{tmp_path}/a/b")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("place", [0, 1, 2, 3])
@pytest.mark.parametrize("create", [False, True])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_symlink_planted_at_any_component_ends_the_walk(tmp_path, place, create, dangling):
    outside = tmp_path / "outside"
    if not dangling:
        (outside / "b" / "c" / "d").mkdir(parents=True)
    parts = ["a", "b", "c", "d"]
    os.makedirs(tmp_path / "in" / "/".join(parts[:place]))
    link = tmp_path / "in" / "/".join(parts[: place + 1])
    os.symlink(outside, link)
    with pytest.raises(errors.UnsafePath, match="is a symlink") as located:
        directories.locate(f"{tmp_path}/in/a/b/c/d")
    with pytest.raises(errors.UnsafePath, match="is a symlink") as caught:
        directories.open_confined(f"{tmp_path}/in/a/b/c/d", create=create)
    assert located.value.why == caught.value.why
    assert str(link) in caught.value.why
    assert outside.exists() is not dangling
    assert link.is_symlink()


@pytest.mark.parametrize("kind", ["file", "fifo", "socket"])
@pytest.mark.parametrize("place", ["a", "a/b"])
@pytest.mark.parametrize("create", [False, True])
def test_anything_but_a_directory_in_the_way_ends_the_walk_without_waiting(tmp_path, kind, place, create):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        match kind:
            case "file":
                (tmp_path / place).write_bytes(b"x")
            case "fifo":
                os.mkfifo(tmp_path / place)
            case _:
                listener.bind(str(tmp_path / place))
        with pytest.raises(errors.UnsafePath, match=f"{tmp_path}/{place} is not a directory"):
            directories.open_confined(f"{tmp_path}/a/b", create=create)


@pytest.mark.parametrize(
    "path", ["", "a", "./a", "/a/", "//a", "/a//b", "/a/./b", "/a/../b", "/..", "/.", "/", "/a\0b", "~", "/a/.."]
)
def test_a_path_that_is_not_absolute_and_normal_is_refused(path):
    with pytest.raises(errors.UnsafePath, match="not an absolute normal path"):
        directories.open_confined(path, create=True)


def test_no_descriptor_is_left_open_by_a_refusal(tmp_path):
    os.symlink("x", tmp_path / "link")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(errors.UnsafePath):
            directories.open_confined(f"{tmp_path}/link/a", create=True)
        with pytest.raises(FileNotFoundError):
            directories.open_confined(f"{tmp_path}/none")
    assert len(os.listdir("/proc/self/fd")) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's directory is made by root")
def test_a_directory_on_the_way_need_not_be_readable():
    path = tempfile.mkdtemp(prefix="bs-")
    try:
        os.chmod(path, 0o711)
        os.mkdir(f"{path}/a", 0o700)
        os.chown(f"{path}/a", children.NOBODY, children.NOBODY)
        for create in (False, True):
            wanted = f"{path}/a/b" if create else f"{path}/a"
            assert children.run_as_nobody(lambda: directories.open_confined(wanted, create=create)[1] is create) == 0  # noqa: B023
        assert children.run_as_nobody(lambda: unopened(path)) == 0
        assert children.run_as_nobody(lambda: os.fstat(directories.locate(path)).st_ino == os.stat(path).st_ino) == 0
    finally:
        shutil.rmtree(path)


def unopened(path: str) -> bool:
    try:
        directories.open_confined(path)
    except PermissionError as error:
        return error.filename == path
    return False


def test_the_kernel_resolves_what_exists_and_the_walk_is_for_the_rest(tmp_path, way, monkeypatch):
    """On a kernel of Linux 5.6 or later; the walk is forced where it must not be needed."""
    (tmp_path / "a").mkdir()
    walked = []
    walk = directories._walk

    def counted(*arguments):
        walked.append(arguments[1])
        return walk(*arguments)

    monkeypatch.setattr(directories, "_walk", counted)
    for path in (f"{tmp_path}/a", f"{tmp_path}/b"):
        fd, _ = directories.open_confined(path, create=True)
        os.close(fd)
    assert walked == ([f"{tmp_path}/b"] if way == "openat2" else [f"{tmp_path}/a", f"{tmp_path}/b"])


def test_nothing_leads_out_of_where_the_resolution_begins(tmp_path, way):
    (tmp_path / "in" / "a" / "b").mkdir(parents=True)
    os.symlink("a", tmp_path / "in" / "link")
    dir_fd = os.open(tmp_path / "in", directories.OPEN_FLAGS)
    try:
        fd = directories.resolve_beneath(dir_fd, "a")
        assert (fd is not None) is (way == "openat2")
        if fd is not None:
            os.close(fd)
        outside = ("..", "../in/a", "/etc", "link", "link/b", "none")
        assert [path for path in outside if directories.resolve_beneath(dir_fd, path) is not None] == []
    finally:
        os.close(dir_fd)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.EPERM])
def test_a_kernel_without_openat2_is_asked_once(tmp_path, monkeypatch, way, code):
    asked = []

    class Library:
        @staticmethod
        def syscall(*arguments):
            asked.append(arguments)
            ctypes.set_errno(code)
            return -1

    monkeypatch.setattr(directories, "_libc", Library)
    for _ in range(3):
        fd, _ = directories.open_confined(str(tmp_path))
        os.close(fd)
    assert len(asked) == (1 if way == "openat2" else 0)


def test_a_directory_swapped_for_a_symlink_meanwhile_leads_nowhere_else(tmp_path, way):
    (tmp_path / "outside").mkdir()
    (tmp_path / "in" / "a").mkdir(parents=True)
    os.symlink(tmp_path / "outside", tmp_path / "link")
    outcomes = set()
    with swapping.swapped(tmp_path / "in" / "a", tmp_path / "link"):
        for number in itertools.count():
            try:
                fd, _ = directories.open_confined(f"{tmp_path}/in/a/{number % 100}", create=True)
            except errors.UnsafePath as error:
                assert f"{tmp_path}/in/a is " in error.why
                outcomes.add("refused")
            else:
                os.close(fd)
                outcomes.add("opened")
            assert os.listdir(tmp_path / "outside") == []
            if number >= 1000 and outcomes == {"opened", "refused"}:
                break
