import itertools
import os
import socket
import stat

import pytest

from contract import errors
from entrypoint import skeleton as skeletons
from entrypoint import writable
from manifest import plan, provisions
from tests.unit import swapping

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="what belongs to several users is made by root")


def root(
    path: str, *, mode: int = 0o755, skeleton: str | None = None, owner: provisions.User | None = None
) -> plan.WritableRoot:
    return plan.WritableRoot(path, mode, skeleton, False, owner)


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


def test_a_missing_or_linked_skeleton_is_an_error_that_names_it(tmp_path, skeleton):
    os.symlink(skeleton, tmp_path / "link")
    for bad in (f"{tmp_path}/none", f"{tmp_path}/link", f"{tmp_path}/link/etc", f"{skeleton}/tool"):
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


def test_a_link_on_the_way_to_a_skeleton_is_named(tmp_path, skeleton):
    os.symlink("skel", tmp_path / "link")
    with pytest.raises(errors.BootsealError, match=f"{tmp_path}/link is a symlink to skel"):
        writable.prepare(root(f"{tmp_path}/w", skeleton=f"{tmp_path}/link/etc"), ())


@needs_root
def test_entries_of_a_setgid_root_inherit_its_group_and_directories_its_setgid(tmp_path, skeleton):
    (tmp_path / "w").mkdir()
    os.chown(tmp_path / "w", 0, 5001)
    writable.prepare(root(f"{tmp_path}/w", mode=0o2770, skeleton=skeleton), ())
    made = tmp_path / "w"
    names = ("etc", "etc/inner", "etc/conf", "tool")
    assert [mode_of(made / name) for name in names] == [0o2755, 0o2750, 0o640, 0o755]
    assert {os.lstat(made / name).st_gid for name in names} == {5001}


@needs_root
def test_an_owner_gets_what_is_made_and_not_what_stood(tmp_path, skeleton):
    made = tmp_path / "w"
    (made / "etc").mkdir(parents=True)
    (made / "etc" / "conf").write_bytes(b"mine")
    writable.prepare(root(str(made), mode=0o2770, skeleton=skeleton, owner=provisions.User(4001, 5001)), ())
    owners = {name: os.lstat(made / name).st_uid for name in ("etc", "etc/conf", "etc/link", "etc/inner", "tool")}
    assert owners == {"etc": 0, "etc/conf": 0, "etc/link": 4001, "etc/inner": 4001, "tool": 4001}
    assert mode_of(made / "etc" / "inner") == 0o2750 & ~0o2000  # it stands in a directory that was not setgid
    assert mode_of(made) == 0o2770


def test_a_file_that_turned_into_a_fifo_after_it_was_listed_stops_nobody(tmp_path, skeleton, monkeypatch):
    real = os.stat

    def swap_then_stat(name, **options):
        status = real(name, **options)
        if name == "tool" and stat.S_ISREG(status.st_mode):
            os.unlink(f"{skeleton}/tool")
            os.mkfifo(f"{skeleton}/tool")
        return status

    with monkeypatch.context() as patch:
        patch.setattr(skeletons.os, "stat", swap_then_stat)
        with pytest.raises(errors.UnsafePath, match=f"{skeleton}/tool: it is neither"):
            writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())


def test_a_directory_of_the_root_swapped_for_a_symlink_meanwhile_leads_nowhere_else(tmp_path, skeleton):
    (tmp_path / "outside").mkdir()
    (tmp_path / "w" / "etc").mkdir(parents=True)
    os.symlink(tmp_path / "outside", tmp_path / "link")
    outcomes = set()
    with swapping.swapped(tmp_path / "w" / "etc", tmp_path / "link"):
        for number in itertools.count():
            try:
                writable.prepare(root(f"{tmp_path}/w", skeleton=skeleton), ())
            except errors.UnsafePath as error:
                assert f"{skeleton}/etc" in error.what
                outcomes.add("refused")
            else:
                outcomes.add("filled")
            assert os.listdir(tmp_path / "outside") == []
            if number >= 300 and outcomes == {"filled", "refused"}:
                break


def interrupt_as_it_opens(monkeypatch) -> None:
    """Have a stop come just as open(2) has made a file."""
    real = os.open

    def interrupted(path, flags, *arguments, **keywords):
        fd = real(path, flags, *arguments, **keywords)
        if flags & os.O_EXCL:
            os.close(fd)
            raise KeyboardInterrupt
        return fd

    monkeypatch.setattr(os, "open", interrupted)


def test_a_stop_just_as_a_copy_was_begun_leaves_no_temporary_file(tmp_path, monkeypatch):
    for name in ("from", "to"):
        (tmp_path / name).mkdir()
    (tmp_path / "from" / "file").write_text("x")
    fd = os.open(tmp_path / "to", os.O_RDONLY)
    with monkeypatch.context() as patch:
        interrupt_as_it_opens(patch)
        with pytest.raises(KeyboardInterrupt):
            skeletons.copy(str(tmp_path / "from"), fd)
    os.close(fd)
    assert os.listdir(tmp_path / "to") == []
