import os
import socket
import stat

import pytest

from contract import directories, errors


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
    with pytest.raises(errors.UnsafePath, match="is a symlink") as caught:
        directories.open_confined(f"{tmp_path}/in/a/b/c/d", create=create)
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
