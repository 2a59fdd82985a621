import errno
import os
import resource
import socket
import stat
import subprocess
import sys

import pytest

from contract import errors, files

IS_ROOT = os.geteuid() == 0
OLD, NEW = b"old\n" * 30_000, b"new\n" * 20_000


def in_a_child(work) -> int:
    """Run ``work`` in a forked child; return its exit code: 0 when it returned true."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_a_file_is_written_with_its_mode_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        files.write_atomically(str(tmp_path / "a"), b"x", 0o644)
        files.write_atomically(str(tmp_path / "b"), b"", 0o444)
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o644
    assert stat.S_IMODE(os.stat(tmp_path / "b").st_mode) == 0o444
    assert (tmp_path / "a").read_bytes() == b"x"


def test_a_file_is_replaced_and_never_written_through(tmp_path):
    """A reader that holds the old file, and a link in its place, keep what they had."""
    target = tmp_path / "target"
    target.write_bytes(OLD)
    os.symlink(target, tmp_path / "link")
    with open(target, "rb") as reader:
        files.write_atomically(str(tmp_path / "link"), NEW, 0o600)
        assert reader.read() == OLD
    assert target.read_bytes() == OLD
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "link").read_bytes() == NEW


def test_a_path_is_taken_relative_to_its_directory(tmp_path):
    (tmp_path / "inner").mkdir()
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        files.write_atomically("a", b"1", 0o600, dir_fd=fd)
        files.write_atomically("inner/b", b"2", 0o600, dir_fd=fd)
        assert files.read_bounded("a", 10, dir_fd=fd) == b"1"
        os.symlink("inner", tmp_path / "elsewhere")
        with pytest.raises(NotADirectoryError):
            files.write_atomically("elsewhere/c", b"3", 0o600, dir_fd=fd)
    finally:
        os.close(fd)
    assert (tmp_path / "inner" / "b").read_bytes() == b"2"
    assert sorted(os.listdir(tmp_path / "inner")) == ["b"]


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def limited() -> bool:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
        try:
            files.write_atomically(str(path), NEW, 0o600)
        except OSError as error:
            return error.errno == errno.EFBIG and error.filename == str(path)
        return False

    assert in_a_child(limited) == 0
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(not IS_ROOT, reason="mounting a small tmpfs needs root; the limit above covers the rest")
def test_a_full_disk_leaves_the_old_file_and_no_temporary(tmp_path):
    script = f"""
set -e
mount -t tmpfs -o size=64k none {tmp_path}
cd {tmp_path}
printf old > file
{sys.executable} -c '
import sys; sys.path.insert(0, "{os.getcwd()}")
import errno
from contract import files
try:
    files.write_atomically("{tmp_path}/file", b"x" * 200000, 0o600)
except OSError as error:
    sys.exit(0 if error.errno == errno.ENOSPC else 3)
sys.exit(4)'
test "$(cat file)" = old
test "$(ls -A)" = file
"""
    done = subprocess.run(["unshare", "-m", "/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"mount namespaces cannot be made here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("call", ["fchmod", "write", "fsync", "rename"])
def test_whatever_step_fails_nothing_is_left_behind(tmp_path, monkeypatch, call):
    (tmp_path / "file").write_bytes(OLD)

    def fail(*_arguments, **_keywords):
        raise OSError(errno.EIO, "broken")

    before = set(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(os, call, fail)
        with pytest.raises(OSError, match="broken"):
            files.write_atomically(str(tmp_path / "file"), NEW, 0o600)
    assert (tmp_path / "file").read_bytes() == OLD
    assert os.listdir(tmp_path) == ["file"]
    assert set(os.listdir("/proc/self/fd")) == before


def test_file_and_directory_are_synced_in_that_order_around_the_rename(tmp_path, monkeypatch):
    steps = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(fd):
        steps.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        real_fsync(fd)

    def rename(*arguments, **keywords):
        steps.append("rename")
        real_rename(*arguments, **keywords)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    files.write_atomically(str(tmp_path / "file"), b"x", 0o600)
    assert steps == ["file", "rename", "directory"]


def test_the_mode_is_narrow_until_the_content_is_whole(tmp_path, monkeypatch):
    """A key is at no moment readable for others, under no name."""
    modes = []
    real = os.fchmod

    def fchmod(fd, mode):
        modes.append(stat.S_IMODE(os.fstat(fd).st_mode))
        real(fd, mode)

    monkeypatch.setattr(os, "fchmod", fchmod)
    files.write_atomically(str(tmp_path / "key"), b"secret", 0o644)
    assert modes == [0o600]


def test_a_reader_never_sees_a_torn_file_also_when_the_writer_is_killed(tmp_path):
    """Writers alternate two contents and are killed wherever they are; a reader sees only whole ones."""
    path = str(tmp_path / "file")
    files.write_atomically(path, OLD, 0o600)
    seen = {OLD: 0, NEW: 0}
    for _ in range(8):
        writer = os.fork()
        if writer == 0:
            try:
                while True:
                    files.write_atomically(path, NEW, 0o600)
                    files.write_atomically(path, OLD, 0o600)
            finally:
                os._exit(1)
        try:
            for _ in range(60):
                seen[files.read_bounded(path, 1_000_000)] += 1
        finally:
            os.kill(writer, 9)
            os.waitpid(writer, 0)
        seen[files.read_bounded(path, 1_000_000)] += 1
    assert set(seen) == {OLD, NEW}
    assert sum(seen.values()) == 8 * 61
    assert all(name == "file" or name.startswith(".file.") for name in os.listdir(tmp_path))


def test_a_symlink_is_never_read(tmp_path):
    (tmp_path / "real").write_bytes(b"x")
    os.symlink("real", tmp_path / "link")
    with pytest.raises(OSError, match=r"symbolic links") as caught:
        files.read_bounded(str(tmp_path / "link"), 10)
    assert caught.value.errno == errno.ELOOP


def test_a_fifo_a_directory_or_a_device_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (str(tmp_path / "fifo"), str(tmp_path), "/dev/zero", "/dev/null"):
        with pytest.raises(errors.UnsafePath, match="not a regular file"):
            files.read_bounded(path, 10)


def test_a_socket_is_refused(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        with pytest.raises(OSError, match=r"."):
            files.read_bounded(str(tmp_path / "socket"), 10)


def test_reading_is_bounded_to_the_byte(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert files.read_bounded(str(path), 5) == b"12345"
    with pytest.raises(errors.UnsafePath, match="it has 5 bytes, more than the 4 allowed"):
        files.read_bounded(str(path), 4)
    path.write_bytes(b"")
    assert files.read_bounded(str(path), 0) == b""


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    real = os.fstat

    def fstat(fd):
        status = real(fd)
        with open(path, "ab") as file:
            file.write(b"6" * 100)
        return status

    monkeypatch.setattr(os, "fstat", fstat)
    with pytest.raises(errors.UnsafePath, match="grew past"):
        files.read_bounded(str(path), 10)


def test_a_short_write_is_continued(monkeypatch):
    reader, writer = os.pipe()
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, bytes(data)[:3]))
    try:
        files.write_all(writer, b"0123456789")
        assert os.read(reader, 100) == b"0123456789"
    finally:
        os.close(reader)
        os.close(writer)


def test_no_descriptor_is_left_open_by_a_refusal(tmp_path):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(errors.UnsafePath):
            files.read_bounded(str(tmp_path), 10)
        with pytest.raises(FileNotFoundError):
            files.write_atomically(str(tmp_path / "missing" / "file"), b"", 0o600)
    assert len(os.listdir("/proc/self/fd")) == before


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


def test_a_stop_just_as_the_temporary_file_was_made_leaves_none(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(OLD)
    with monkeypatch.context() as patch:
        interrupt_as_it_opens(patch)
        with pytest.raises(KeyboardInterrupt):
            files.write_atomically(str(tmp_path / "file"), NEW, 0o600)
    assert os.listdir(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == OLD
