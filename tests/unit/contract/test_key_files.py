import os
import stat

import pytest

from contract import errors, key_files
from tests.unit import children

OTHER = 65534


@pytest.fixture
def file(tmp_path) -> str:
    path = f"{tmp_path}/key"
    with open(path, "wb") as written:
        written.write(b"secret")
    os.chmod(path, 0o600)
    return path


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")


def test_the_first_key_is_kept_and_then_always_the_same(tmp_path):
    assert key_files.read_or_keep(f"{tmp_path}/a/keys", "k", b"one") == b"one"
    assert key_files.read_or_keep(f"{tmp_path}/a/keys", "k", b"two") == b"one"
    assert os.listdir(tmp_path / "a" / "keys") == ["k"]
    assert stat.S_IMODE(os.stat(tmp_path / "a" / "keys" / "k").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(tmp_path / "a" / "keys").st_mode) == 0o700


def test_of_two_containers_with_one_store_the_first_wins(tmp_path, monkeypatch):
    """The other one saw no key, and then there was one."""
    folder = f"{tmp_path}/keys"
    assert key_files.read_or_keep(folder, "k", b"first") == b"first"
    monkeypatch.setattr(os, "listdir", lambda _fd: [])
    assert key_files.read_or_keep(folder, "k", b"second") == b"first"
    monkeypatch.undo()
    assert os.listdir(folder) == ["k"]


def test_a_key_is_whole_before_it_is_in_its_place(tmp_path, monkeypatch):
    """A full disk leaves nothing behind."""

    def full(_fd: int, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(key_files.files, "write_all", full)
    with pytest.raises(OSError, match="No space"):
        key_files.read_or_keep(f"{tmp_path}/keys", "k", b"one")
    assert os.listdir(tmp_path / "keys") == []


def test_a_file_system_without_hard_links_is_named(tmp_path, monkeypatch):
    def refused(*_arguments: object, **_keywords: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    with pytest.raises(errors.UnsafePath, match="no hard link"):
        key_files.read_or_keep(f"{tmp_path}/keys", "k", b"one")
    assert os.listdir(tmp_path / "keys") == []


@pytest.mark.parametrize("mode", [0o640, 0o620, 0o604, 0o602, 0o610, 0o777])
def test_a_kept_key_is_this_users_alone(file, mode):
    os.chmod(file, mode)
    with pytest.raises(errors.UnsafePath, match="somebody else"):
        key_files.read_kept(file)


@needs_root
def test_a_kept_key_of_another_user_is_refused(file):
    os.chown(file, OTHER, OTHER)
    with pytest.raises(errors.UnsafePath, match=f"uid {OTHER}"):
        key_files.read_kept(file)


def test_a_kept_key_is_never_read_through_a_link(file, tmp_path):
    os.symlink(file, tmp_path / "link")
    with pytest.raises(OSError, match="symbolic links"):
        key_files.read_kept(f"{tmp_path}/link")


@pytest.mark.parametrize("mode", [0o400, 0o440, 0o444, 0o600, 0o644])
def test_a_given_key_may_be_readable_by_others(file, mode):
    os.chmod(file, mode)
    assert key_files.read_given(file) == b"secret"


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_given_key_that_others_can_write_is_refused(file, mode):
    os.chmod(file, mode)
    with pytest.raises(errors.UnsafePath, match="replace"):
        key_files.read_given(file)


@needs_root
def test_a_given_key_may_be_roots_and_no_strangers(file, tmp_path):
    os.chmod(tmp_path, 0o755)
    os.chmod(file, 0o644)
    assert children.run_as_nobody(lambda: key_files.read_given(file) == b"secret") == 0
    os.chown(file, 1234, 1234)
    with pytest.raises(errors.UnsafePath, match="uid 1234"):
        key_files.read_given(file)


@needs_root
def test_on_a_read_only_mount_nobody_here_can_replace_it(file, monkeypatch):
    os.chown(file, 1234, 1234)
    os.chmod(file, 0o666)
    real = os.fstatvfs

    class ReadOnly:
        f_flag = os.ST_RDONLY

    monkeypatch.setattr(os, "fstatvfs", lambda fd: (real(fd), ReadOnly)[1])
    assert key_files.read_given(file) == b"secret"


def test_a_given_key_may_be_a_link_as_kubernetes_makes_them(file, tmp_path):
    os.symlink(file, tmp_path / "link")
    assert key_files.read_given(f"{tmp_path}/link") == b"secret"


@pytest.mark.parametrize("read", [key_files.read_kept, key_files.read_given])
def test_a_fifo_never_blocks_and_a_huge_file_is_refused(tmp_path, file, read):
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(errors.UnsafePath, match="regular"):
        read(f"{tmp_path}/fifo")
    with open(file, "wb") as written:
        written.write(b"x" * 4097)
    with pytest.raises(errors.UnsafePath, match="more than 4096"):
        read(file)


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
    with monkeypatch.context() as patch:
        interrupt_as_it_opens(patch)
        with pytest.raises(KeyboardInterrupt):
            key_files.read_or_keep(str(tmp_path / "keys"), "key", b"fresh")
    assert os.listdir(tmp_path / "keys") == []
