import ctypes
import errno
import os
import subprocess
import sys

import pytest

from contract import errors
from entrypoint import landlock
from tests.unit import children


def absence() -> str:
    try:
        landlock.version()
    except landlock.Unavailable as error:
        return error.why
    return ""


IS_REQUIRED = os.environ.get("CI") == "true"
"""CI's kernel has Landlock, as Debian's have: there a kernel without it fails these tests."""
needs_landlock = pytest.mark.skipif(bool(absence()) and not IS_REQUIRED, reason=f"confinement: {absence()}")


def denied(work) -> bool:
    """Say whether ``work`` is forbidden: EACCES, or EXDEV for a move between directories."""
    try:
        work()
    except OSError as error:
        assert error.errno in {errno.EACCES, errno.EXDEV}, error
        return True
    return False


def touch(path) -> None:
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))


def in_a_child(work) -> None:
    assert children.run(lambda: work() is None) == 0


@pytest.fixture
def trees(tmp_path):
    """A tree inside the list and one outside, each with a file and a directory."""
    for name in ("in", "out"):
        (tmp_path / name / "folder").mkdir(parents=True)
        (tmp_path / name / "file").write_bytes(b"x")
    return tmp_path


@needs_landlock
def test_a_process_writes_in_the_list_and_nowhere_else(trees):
    def work() -> None:
        landlock.restrict_process([f"{trees}/in"])
        forbidden = {
            "write": lambda: os.close(os.open(trees / "out/file", os.O_WRONLY)),
            "create": lambda: touch(trees / "out/new"),
            "mkdir": lambda: os.mkdir(trees / "out/new"),
            "symlink": lambda: os.symlink("x", trees / "out/new"),
            "fifo": lambda: os.mkfifo(trees / "out/new"),
            "unlink": lambda: os.unlink(trees / "out/file"),
            "rmdir": lambda: os.rmdir(trees / "out/folder"),
            "rename": lambda: os.rename(trees / "out/file", trees / "out/new"),
            "move out": lambda: os.rename(trees / "in/file", trees / "out/new"),
            "move in": lambda: os.rename(trees / "out/file", trees / "in/new"),
            "link": lambda: os.link(trees / "out/file", trees / "in/new"),
            "replace the root": lambda: os.rename(trees / "in", trees / "away"),
        }
        if landlock.version() >= 3:
            forbidden["truncate"] = lambda: os.truncate(trees / "out/file", 0)
        assert [name for name, attempt in forbidden.items() if not denied(attempt)] == []
        touch(trees / "in/new")
        os.rename(trees / "in/new", trees / "in/newer")
        os.symlink("x", trees / "in/link")
        os.mkdir(trees / "in/folder/deep")
        if landlock.version() >= 2:
            os.rename(trees / "in/newer", trees / "in/folder/deep/moved")
        os.truncate(trees / "in/file", 0)

    in_a_child(work)
    assert (trees / "out/file").read_bytes() == b"x"
    assert sorted(os.listdir(trees / "out")) == ["file", "folder"]


@needs_landlock
def test_reading_executing_dev_null_and_what_is_open_stay_free(trees):
    opened = os.open(trees / "out/file", os.O_WRONLY)

    def work() -> None:
        landlock.restrict_process([])
        assert (trees / "out/file").read_bytes() == b"x"
        assert sorted(os.listdir(trees / "out")) == ["file", "folder"]
        os.write(opened, b"y")
        touch(os.devnull)
        subprocess.run([sys.executable, "-c", ""], check=True, stdout=subprocess.DEVNULL)

    in_a_child(work)
    os.close(opened)
    assert (trees / "out/file").read_bytes() == b"y"


@needs_landlock
def test_children_and_what_they_execute_are_confined_and_gain_no_privilege(trees):
    def work() -> None:
        landlock.restrict_process([f"{trees}/in"])
        shell = f"echo y > {trees}/in/made; echo y > {trees}/out/made; grep NoNewPrivs /proc/self/status"
        done = subprocess.run(["/bin/sh", "-c", shell], capture_output=True, text=True, check=True)
        assert "Permission denied" in done.stderr
        assert done.stdout.split() == ["NoNewPrivs:", "1"]

    in_a_child(work)
    assert [os.path.exists(trees / name / "made") for name in ("in", "out")] == [True, False]


@needs_landlock
def test_a_list_is_of_directories_and_not_of_what_their_names_lead_to_later(trees):
    def work() -> None:
        fd = os.open(trees / "in", os.O_RDONLY | os.O_DIRECTORY)
        os.rename(trees / "in", trees / "moved")
        os.rename(trees / "out", trees / "in")
        ruleset = landlock.Ruleset([fd])
        ruleset.restrict_this_thread()
        ruleset.close()
        assert denied(lambda: touch(trees / "in/new"))
        touch(trees / "moved/new")

    in_a_child(work)


@needs_landlock
def test_a_list_with_a_symlink_or_a_missing_directory_confines_nobody(trees):
    os.symlink("in", trees / "link")

    def work() -> None:
        for path, kind in ((f"{trees}/link", errors.UnsafePath), (f"{trees}/none", FileNotFoundError)):
            before = len(os.listdir("/proc/self/fd"))
            with pytest.raises(kind):
                landlock.restrict_process([f"{trees}/in", path])
            assert len(os.listdir("/proc/self/fd")) == before
        touch(trees / "out/new")

    in_a_child(work)


@needs_landlock
def test_no_more_than_sixteen_layers_are_an_absence_and_not_an_error(trees):
    def work() -> None:
        for _ in range(16):
            landlock.restrict_process([f"{trees}/in"])
        with pytest.raises(landlock.Unavailable, match="confined 16 times already"):
            landlock.restrict_process([f"{trees}/in"])

    in_a_child(work)


@needs_landlock
def test_a_process_of_several_threads_is_not_called_confined():
    import threading

    over = threading.Event()
    thread = threading.Thread(target=over.wait)
    thread.start()
    try:
        with pytest.raises(RuntimeError, match="threads run"):
            landlock.restrict_process([])
    finally:
        over.set()
        thread.join()


def test_only_writing_is_given_up_and_only_what_the_version_knows():
    write_file, refer, truncate, ioctl_dev = 1 << 1, 1 << 13, 1 << 14, 1 << 15
    execute_and_read = 1 << 0 | 1 << 2 | 1 << 3
    rights = {version: landlock.handled(version) for version in range(1, 10)}
    assert all(right & write_file and not right & (execute_and_read | ioctl_dev) for right in rights.values())
    assert [bool(rights[version] & refer) for version in (1, 2)] == [False, True]
    assert [bool(rights[version] & truncate) for version in (2, 3)] == [False, True]
    assert len({rights[version] for version in range(3, 10)}) == 1
    assert rights[1].bit_length() == 13


@needs_landlock
@pytest.mark.parametrize("known", [1, 2, 3])
def test_an_older_version_confines_with_what_it_knows(trees, known, monkeypatch):
    """The rights of an older version are asked of this kernel, as that one would be."""
    monkeypatch.setattr(landlock, "version", lambda: known)

    def work() -> None:
        landlock.restrict_process([f"{trees}/in"])
        assert denied(lambda: touch(trees / "out/new"))
        touch(trees / "in/new")
        assert denied(lambda: os.rename(trees / "in/new", trees / "in/folder/new")) is (known == 1)

    in_a_child(work)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (errno.ENOSYS, "this kernel has no Landlock"),
        (errno.EOPNOTSUPP, "Landlock is off"),
        (errno.EPERM, "a seccomp filter forbids"),
    ],
)
def test_a_kernel_without_it_says_why(code, why, monkeypatch):
    class Library:
        @staticmethod
        def syscall(*arguments):
            ctypes.set_errno(code)
            return -1

    monkeypatch.setattr(landlock, "_LIBC", Library)
    for attempt in (landlock.version, lambda: landlock.Ruleset([]), lambda: landlock.restrict_process([])):
        with pytest.raises(landlock.Unavailable, match=why):
            attempt()
