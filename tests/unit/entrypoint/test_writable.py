import os
import shutil
import socket
import stat
import tempfile

import pytest

from contract import errors
from entrypoint import mounts, writable
from manifest import plan
from tests.unit import children

IS_ROOT = os.geteuid() == 0


def root(
    path: str, *, mode: int = 0o755, skeleton: str | None = None, mount_required: bool = False
) -> plan.WritableRoot:
    return plan.WritableRoot(path, mode, skeleton, mount_required)


def mode_of(path) -> int:
    return stat.S_IMODE(os.lstat(path).st_mode)


@pytest.fixture
def skeleton(tmp_path) -> str:
    """A tree with a file, a program, a nested directory and a symlink."""
    source = tmp_path / "skel"
    (source / "etc" / "inner").mkdir(parents=True)
    (source / "etc" / "conf").write_bytes(b"conf")
    (source / "etc" / "inner" / "big").write_bytes(b"x" * 3_000_000)
    (source / "tool").write_bytes(b"#!/bin/sh\n")
    (source / "tool").chmod(0o755)
    (source / "etc" / "conf").chmod(0o640)
    (source / "etc" / "inner").chmod(0o750)
    os.symlink("../nowhere", source / "etc" / "link")
    return str(source)


def test_a_root_is_made_with_its_mode_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        writable.prepare(root(f"{tmp_path}/a/b", mode=0o2775), ())
    finally:
        os.umask(before)
    assert (mode_of(tmp_path / "a"), mode_of(tmp_path / "a" / "b")) == (0o755, 0o2775)


def test_a_root_that_exists_keeps_its_content_and_gets_its_mode(tmp_path):
    (tmp_path / "a").mkdir(mode=0o700)
    (tmp_path / "a" / "data").write_bytes(b"kept")
    writable.prepare(root(f"{tmp_path}/a", mode=0o750), ())
    assert mode_of(tmp_path / "a") == 0o750
    assert (tmp_path / "a" / "data").read_bytes() == b"kept"


def test_a_skeleton_is_copied_with_its_modes_and_links_as_links(tmp_path, skeleton):
    writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())
    made = tmp_path / "w"
    assert (made / "etc" / "conf").read_bytes() == b"conf"
    assert (made / "etc" / "inner" / "big").read_bytes() == b"x" * 3_000_000
    assert os.readlink(made / "etc" / "link") == "../nowhere"
    assert [mode_of(made / name) for name in ("tool", "etc/conf", "etc/inner")] == [0o755, 0o640, 0o750]
    assert sorted(os.listdir(made / "etc")) == ["conf", "inner", "link"]


def test_nothing_that_stands_is_overwritten_and_what_is_missing_is_added(tmp_path, skeleton):
    made = tmp_path / "w"
    (made / "etc").mkdir(parents=True, mode=0o711)
    (made / "etc" / "conf").write_bytes(b"mine")
    os.symlink("mine", made / "tool")
    (made / "etc" / "link").write_bytes(b"a file now")
    for _ in range(2):
        writable.prepare(root(str(made), skeleton=skeleton), ())
    assert (made / "etc" / "conf").read_bytes() == b"mine"
    assert os.readlink(made / "tool") == "mine"
    assert (made / "etc" / "link").read_bytes() == b"a file now"
    assert (made / "etc" / "inner" / "big").exists()
    assert mode_of(made / "etc") == 0o711


@pytest.mark.parametrize("kind", ["fifo", "socket"])
def test_a_skeleton_holds_only_directories_files_and_links(tmp_path, skeleton, kind):
    with socket.socket(socket.AF_UNIX) as listener:
        if kind == "fifo":
            os.mkfifo(f"{skeleton}/odd")
        else:
            listener.bind(f"{skeleton}/odd")
        with pytest.raises(errors.UnsafePath, match="neither a directory, a regular file nor a symlink"):
            writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())


def test_a_link_planted_where_a_directory_goes_is_never_followed(tmp_path, skeleton):
    (tmp_path / "w").mkdir()
    (tmp_path / "outside").mkdir()
    os.symlink(tmp_path / "outside", tmp_path / "w" / "etc")
    with pytest.raises(errors.UnsafePath, match="cannot be entered"):
        writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())
    assert os.listdir(tmp_path / "outside") == []


def test_a_link_planted_at_the_root_or_above_it_is_never_followed(tmp_path, skeleton):
    (tmp_path / "outside").mkdir()
    os.symlink("outside", tmp_path / "w")
    for path in (f"{tmp_path}/w", f"{tmp_path}/w/inner"):
        with pytest.raises(errors.UnsafePath, match="symlink"):
            writable.prepare(root(path, skeleton=skeleton), ())
    assert os.listdir(tmp_path / "outside") == []


def test_a_missing_or_linked_skeleton_is_an_error_that_names_it(tmp_path, skeleton):
    os.symlink(skeleton, tmp_path / "link")
    for bad in (f"{tmp_path}/none", f"{tmp_path}/link", f"{skeleton}/tool"):
        with pytest.raises(errors.BootsealError, match=f"skeleton {bad}"):
            writable.prepare(root(f"{tmp_path}/w", skeleton=bad), ())


def test_a_copy_that_fails_leaves_no_half_file(tmp_path, skeleton, monkeypatch):
    real, calls = os.sendfile, []

    def sendfile(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    before = len(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "sendfile", sendfile)
        with pytest.raises(OSError, match="No space left"):
            writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())
    left = [name for _, _, names in os.walk(tmp_path / "w") for name in names]
    assert left == []
    assert len(os.listdir("/proc/self/fd")) == before
    writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())
    assert (tmp_path / "w" / "etc" / "conf").read_bytes() == b"conf"


def test_no_bit_of_a_skeleton_grants_more_than_reading_writing_and_executing(tmp_path, skeleton):
    os.chmod(f"{skeleton}/tool", 0o6755)
    writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())
    assert mode_of(tmp_path / "w" / "tool") == 0o755


def test_a_root_that_must_be_mounted_and_is_not_is_refused_before_anything_is_made(tmp_path):
    with pytest.raises(writable.NotMounted, match="not a mount of its own"):
        writable.prepare(root(f"{tmp_path}/w", mount_required=True), (mounts.Mount("/", "ext4", False),))
    assert os.listdir(tmp_path) == []
    writable.prepare(root(f"{tmp_path}/w", mount_required=True), (mounts.Mount(f"{tmp_path}/w", "tmpfs", False),))
    assert os.listdir(tmp_path) == ["w"]


@pytest.mark.skipif(not IS_ROOT, reason="another user's directory is made by root")
def test_a_root_of_another_user_is_used_as_it_is_or_refused_with_what_to_do():
    path = tempfile.mkdtemp(prefix="writable")
    try:
        os.chmod(path, 0o755)

        def refused() -> bool:
            try:
                writable.prepare(root(path), ())
            except errors.UnsafePath as error:
                return "may not write to it: it is owned by uid 0 with mode 0755" in error.why and bool(error.remedy)
            return False

        def used() -> bool:
            writable.prepare(root(path, mode=0o700), ())
            return True

        assert children.run_as_nobody(refused) == 0
        os.chmod(path, 0o777)
        assert children.run_as_nobody(used) == 0
        assert mode_of(path) == 0o777
    finally:
        shutil.rmtree(path)
