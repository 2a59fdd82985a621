"""A mount: what a look finds in a real file system, and what of that does not do."""

import errno
import os
import resource
import tempfile
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifest import serving
from probes.requirements import mount

MIB = 1024 * 1024
SOUND = mount.Facts(is_mount=True, free_bytes=200 * MIB)


def wanted(path="/workspace", **changes):
    fields = {"is_mount": True, "writable": True, "free_bytes": 100 * MIB, "required": True} | changes
    return serving.MountPlan(path=str(path), **fields)


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"absent": "it is not there"}, "it is not there"),
        ({"is_mount": False}, "nothing is mounted there: it is a directory of what lies above it"),
        ({"is_mount": None}, "whether something is mounted there cannot be told: /proc/self/fdinfo names no mount"),
        ({"read_only": True}, "it is read-only, and must be writable"),
        ({"denied": "uid 7 may not write there"}, "uid 7 may not write there"),
        ({"lasting": "its test file x cannot be removed: y"}, "its test file x cannot be removed: y"),
        ({"free_bytes": 12897485}, "12.3 MiB are free, 100 MiB must be"),
        ({"free_bytes": 100 * MIB - 1}, "99.9 MiB are free, 100 MiB must be"),
        ({"free_bytes": None}, "its file system does not say how much is free, and 100 MiB must be"),
        ({"unwritable": "no quota"}, "a test file cannot be written there: no quota; 200 MiB are free"),
    ],
)
def test_each_fact_that_does_not_do_is_named_with_its_numbers(facts, reason):
    found = mount.judge(wanted(), mount.Facts(**(vars(SOUND) | facts)))

    assert (found.ok, found.reason) == (False, reason)


def test_what_is_as_it_must_be_is_met():
    assert mount.judge(wanted(), SOUND).ok


def test_sizes_that_look_alike_are_told_in_bytes():
    found = mount.judge(wanted(free_bytes=100 * MIB + 2), mount.Facts(is_mount=True, free_bytes=100 * MIB + 1))

    assert found.reason == "104857601 bytes are free, 104857602 bytes must be"


@pytest.mark.parametrize(
    "facts", [{"is_mount": False}, {"is_mount": None}, {"read_only": True}, {"denied": "x"}, {"free_bytes": 0}]
)
def test_what_is_not_asked_for_is_not_judged(facts):
    undemanding = wanted(is_mount=False, writable=False, free_bytes=0)

    assert mount.judge(undemanding, mount.Facts(**facts)).ok


@given(st.integers(0, 2**60))
def test_a_size_is_never_told_as_more_than_it_is(count):
    number, unit = mount.size(count).split()
    units = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"]

    assert float(number) * 1024 ** units.index(unit) <= count * (1 + 1e-12)
    assert float(number) < 1024 or unit == "PiB"


def look(path, *ours, **changes):
    return mount.Look(wanted(path, **({"is_mount": False, "free_bytes": 0} | changes)), tuple(map(str, ours)))


def test_a_directory_where_we_may_write_is_written_to_and_nothing_stays(tmp_path):
    written = []
    real = os.write

    def write(fd, data):
        written.append((os.fstat(fd).st_nlink, len(data)))
        return real(fd, data)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "write", write)
        assert look(tmp_path, tmp_path).once().ok

    assert written == [(0, 4096)]
    assert os.listdir(tmp_path) == []


def test_nothing_is_written_where_we_may_not_write(tmp_path, monkeypatch):
    """Invariant: nothing outside boot.writable and the run directory is written."""
    (tmp_path / "ours").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "ours" / "link").symlink_to(tmp_path / "theirs")
    (tmp_path / "theirs" / "data").mkdir()
    (tmp_path / "ours-too").mkdir()
    written = []
    monkeypatch.setattr(os, "write", lambda fd, data: written.append(os.readlink(f"/proc/self/fd/{fd}")) or len(data))
    ours = tmp_path / "ours"

    for path in (tmp_path, tmp_path / "theirs", ours / "link" / "data", tmp_path / "ours-too"):
        assert look(path, ours).once().ok
    assert written == []

    assert look(ours, ours).once().ok
    assert len(written) == 1


def test_a_mount_that_need_not_be_writable_is_not_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda *_: pytest.fail("it was written to"))

    assert look(tmp_path, tmp_path, writable=False).once().ok


def refuse_unnamed(monkeypatch, number=errno.EOPNOTSUPP):
    real = os.open

    def refusing(path, flags, *rest, **named):
        if flags & os.O_TMPFILE == os.O_TMPFILE:
            raise OSError(number, os.strerror(number))
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refusing)


def test_without_unnamed_files_a_random_name_is_taken_and_removed_before_it_is_written_to(tmp_path, monkeypatch):
    refuse_unnamed(monkeypatch)
    seen = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: seen.append(os.listdir(tmp_path)) or real(fd, data))

    assert look(tmp_path, tmp_path).once().ok
    assert seen == [[]]


class Names:
    """Counts the names that are made, in a moment that a test sets."""

    def __init__(self, monkeypatch):
        self.moment, self.made = 100.0, 0
        refuse_unnamed(monkeypatch)
        real = os.unlink
        monkeypatch.setattr(os, "unlink", lambda *args, **named: (self.note(), real(*args, **named)))

    def note(self):
        self.made += 1

    def clock(self):
        return self.moment


def test_a_name_is_made_every_half_minute_and_what_was_found_stands_meanwhile(tmp_path, monkeypatch):
    """It wakes whoever watches the directory (inotify(7))."""
    names = Names(monkeypatch)
    made = mount.Look(wanted(str(tmp_path), is_mount=False, free_bytes=0), (str(tmp_path),), names.clock)

    for _ in range(60):
        assert made.once().ok
        names.moment += 1

    assert names.made == 2


def test_a_name_is_made_when_the_file_system_tells_something_new_and_while_writing_fails(tmp_path, monkeypatch):
    names = Names(monkeypatch)
    made = mount.Look(wanted(str(tmp_path), is_mount=False, free_bytes=0), (str(tmp_path),), names.clock)
    assert made.once().ok
    real = os.fstatvfs
    full = {"f_bavail": 0, "f_frsize": 4096, "f_blocks": 9, "f_flag": 0, "f_files": 9, "f_favail": 9}
    monkeypatch.setattr(os, "fstatvfs", lambda _fd: types.SimpleNamespace(**full))
    with monkeypatch.context() as broken:
        broken.setattr(os, "write", lambda *_: 0)
        assert [made.once().ok for _ in range(3)] == [False] * 3
    assert names.made == 4
    assert made.once().ok
    monkeypatch.setattr(os, "fstatvfs", real)
    assert made.once().ok
    assert made.once().ok
    assert names.made == 6


def test_a_test_file_that_cannot_be_removed_is_the_last_one_and_is_told_for_good(tmp_path, monkeypatch):
    refuse_unnamed(monkeypatch)

    def unlink(*_, **__):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "unlink", unlink)
    made = look(tmp_path, tmp_path)

    reasons = {made.once().reason for _ in range(5)}

    [left] = os.listdir(tmp_path)
    assert left.startswith(".bootseal-")
    assert reasons == {f"its test file {left} cannot be removed: operation not permitted"}


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_why_a_test_file_cannot_be_made_is_the_reason_and_no_other_way_is_tried(tmp_path, monkeypatch, number):
    refuse_unnamed(monkeypatch, number)

    reason = look(tmp_path, tmp_path).once().reason

    assert os.strerror(number).lower() in reason.lower()
    assert os.listdir(tmp_path) == []


def test_a_file_that_takes_only_a_part_of_a_block_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda _fd, _data: 1)

    assert "No space left on device" in look(tmp_path, tmp_path).once().reason


def test_a_limit_on_the_size_of_files_is_a_reason(tmp_path):
    """Real, and of the kernel: RLIMIT_FSIZE refuses the write that access(2) promised."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
    try:
        found = look(tmp_path, tmp_path).once()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert not found.ok
    assert "file too large" in found.reason


def test_what_is_not_there_a_file_and_a_symlink_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(tmp_path)

    assert look(tmp_path / "gone").once().reason == "it is not there"
    assert look(tmp_path / "file").once().reason == "it is not a directory"
    assert look(tmp_path / "link").once().reason == f"it is a symlink to {tmp_path}, and the last component may be none"


def test_a_directory_is_no_mount_and_the_root_and_proc_are(tmp_path):
    assert "nothing is mounted there" in look(tmp_path, is_mount=True).once().reason
    assert look("/", is_mount=True, writable=False).once().ok
    assert look("/proc", is_mount=True, writable=False).once().ok
    assert not look("/proc/sys/kernel", is_mount=True, writable=False).once().ok


def test_where_the_kernel_names_no_mount_nothing_is_taken_for_one(monkeypatch):
    monkeypatch.setattr(mount, "_mount_id", lambda _fd: None)

    assert "cannot be told" in look("/proc", is_mount=True, writable=False).once().reason


def test_a_file_system_that_does_not_say_how_much_is_free_is_not_taken_for_full_or_empty():
    assert mount.Look(wanted("/proc"), ()).facts().free_bytes is None


def test_more_than_there_is_cannot_be_free(tmp_path):
    found = look(tmp_path, tmp_path, free_bytes=2**62).once()

    assert found.reason.endswith("are free, 4096 PiB must be")


def test_a_directory_that_we_may_not_write_to_is_refused():
    """By the effective user, as whom everything else is done too."""
    path = tempfile.mkdtemp(dir="/tmp")
    os.chmod(path, 0o555)
    uid = os.geteuid()
    try:
        if uid == 0:
            os.seteuid(65534)
        assert look(path, path).once().reason == f"uid {os.geteuid()} may not write there"
    finally:
        os.seteuid(uid)
        os.rmdir(path)


def test_a_look_leaves_no_descriptor_open(tmp_path, monkeypatch):
    made = look(tmp_path, tmp_path, is_mount=True)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        made.once()
        look(tmp_path, tmp_path).once()
    refuse_unnamed(monkeypatch)
    for _ in range(20):
        look(tmp_path, tmp_path).once()

    assert len(os.listdir("/proc/self/fd")) == before
