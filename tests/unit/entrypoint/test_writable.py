import errno
import itertools
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile

import pytest

from contract import directories, errors
from entrypoint import mounts, writable
from manifest import plan, provisions
from tests.unit import children, rights, swapping

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="what belongs to several users is made by root")
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID = 1 << 0, 1 << 1, 1 << 3, 1 << 4
CAP_KILL, CAP_SETGID, CAP_SETUID = 1 << 5, 1 << 6, 1 << 7
OWNER = (4001, 5001)


def root(
    path: str,
    *,
    mode: int = 0o755,
    skeleton: str | None = None,
    mount_required: bool = False,
    owner: tuple[int, int] | None = None,
) -> plan.WritableRoot:
    return plan.WritableRoot(path, mode, skeleton, mount_required, owner and provisions.User(*owner))


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


def test_a_link_planted_at_the_root_or_above_it_is_never_followed(tmp_path, skeleton):
    (tmp_path / "outside").mkdir()
    os.symlink("outside", tmp_path / "w")
    for path in (f"{tmp_path}/w", f"{tmp_path}/w/inner"):
        with pytest.raises(errors.UnsafePath, match="symlink"):
            writable.prepare(root(path, skeleton=skeleton), ())
    assert os.listdir(tmp_path / "outside") == []


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


def owner_of(path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_uid, status.st_gid


@pytest.fixture
def open_tmp():
    """A directory that everybody can reach and whose owner is root, unlike pytest's own."""
    path = tempfile.mkdtemp(prefix="bs-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@needs_root
def test_a_root_belongs_to_the_owner_that_the_manifest_names_with_its_mode(tmp_path, skeleton):
    for _ in range(2):
        writable.prepare(root(f"{tmp_path}/w", mode=0o3770, skeleton=skeleton, owner=OWNER), ())
        assert (owner_of(tmp_path / "w"), mode_of(tmp_path / "w")) == (OWNER, 0o3770)
        names = ("etc", "etc/conf", "etc/link", "etc/inner", "etc/inner/big", "tool")
        assert {owner_of(tmp_path / "w" / name) for name in names} == {OWNER}
    assert owner_of(tmp_path) == (os.geteuid(), os.getegid())


@needs_root
def test_a_root_and_its_skeleton_are_given_away_with_the_capability_to_do_that_and_no_other(open_tmp, skeleton):
    wanted = root(f"{open_tmp}/w", mode=0o2750, skeleton=skeleton, owner=OWNER)

    def work() -> bool:
        writable.prepare(wanted, ())
        return True

    shutil.copytree(skeleton, f"{open_tmp}/skel", symlinks=True)
    wanted = root(f"{open_tmp}/w", mode=0o2750, skeleton=f"{open_tmp}/skel", owner=OWNER)
    assert rights.run_as(0, [0], CAP_CHOWN, work) == 0
    assert (owner_of(f"{open_tmp}/w"), mode_of(f"{open_tmp}/w")) == (OWNER, 0o2750)
    assert owner_of(f"{open_tmp}/w/etc/conf") == OWNER


def refuses(wanted: plan.WritableRoot, *words: str):
    def work() -> bool:
        try:
            writable.prepare(wanted, ())
        except errors.UnsafePath as error:
            assert all(word in str(error) for word in words), str(error)
            return True
        return False

    return work


@needs_root
@pytest.mark.parametrize("has_skeleton", [False, True])
def test_a_missing_capability_is_named(open_tmp, has_skeleton):
    os.mkdir(f"{open_tmp}/skel")
    if has_skeleton:
        os.symlink("x", f"{open_tmp}/skel/link")
    wanted = root(f"{open_tmp}/w", owner=OWNER, skeleton=f"{open_tmp}/skel")
    named = f"{open_tmp}/skel/link" if has_skeleton else f"{open_tmp}/w"
    everything_else = CAP_DAC_OVERRIDE | CAP_FOWNER | CAP_FSETID
    assert rights.run_as(0, [0], everything_else, refuses(wanted, "lacks CAP_CHOWN", "uid 4001", named)) == 0

    os.mkdir(f"{open_tmp}/theirs", 0o700)
    os.chown(f"{open_tmp}/theirs", *OWNER)
    closed = root(f"{open_tmp}/theirs", mode=0o700, owner=OWNER)
    assert rights.run_as(0, [0], CAP_CHOWN, refuses(closed, "uid 0 may not open", f"{open_tmp}/theirs")) == 0
    os.chmod(f"{open_tmp}/theirs", 0o755)
    os.chown(f"{open_tmp}/theirs", 4002, 4002)
    theirs = root(f"{open_tmp}/theirs", mode=0o750, owner=OWNER)
    assert rights.run_as(0, [0], CAP_CHOWN, refuses(theirs, "lacks CAP_FOWNER", f"{open_tmp}/theirs")) == 0


@needs_root
def test_a_root_that_an_earlier_boot_gave_away_is_filled_with_its_owners_rights(open_tmp, skeleton):
    shutil.copytree(skeleton, f"{open_tmp}/skel", symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", f"{open_tmp}/skel"], check=True)
    os.mkdir(f"{open_tmp}/theirs", 0o700)
    os.chown(f"{open_tmp}/theirs", *OWNER)
    wanted = root(f"{open_tmp}/theirs", mode=0o2700, skeleton=f"{open_tmp}/skel", owner=OWNER)
    the_four = CAP_CHOWN | CAP_KILL | CAP_SETUID | CAP_SETGID
    assert rights.run_as(0, [0], the_four, lambda: writable.prepare(wanted, ()) is None) == 0
    assert (owner_of(f"{open_tmp}/theirs"), mode_of(f"{open_tmp}/theirs")) == (OWNER, 0o2700)
    assert owner_of(f"{open_tmp}/theirs/etc/conf") == OWNER


@needs_root
def test_a_root_within_one_that_an_earlier_boot_gave_away_and_closed_is_found_again(open_tmp):
    roots = [root(f"{open_tmp}/w{below}", mode=0o700, owner=OWNER) for below in ("", "/inner")]
    the_four = CAP_CHOWN | CAP_KILL | CAP_SETUID | CAP_SETGID

    def work() -> bool:
        for _ in range(2):
            for one in roots:
                writable.prepare(one, ())
        return True

    assert rights.run_as(0, [0], the_four, work) == 0
    assert [(owner_of(one.path), mode_of(one.path)) for one in roots] == [(OWNER, 0o700)] * 2


@needs_root
def test_a_setgid_that_the_kernel_drops_without_a_word_is_an_error(open_tmp):
    os.mkdir(f"{open_tmp}/w")
    os.chown(f"{open_tmp}/w", 4001, 5001)
    wanted = root(f"{open_tmp}/w", mode=0o2755)
    assert rights.run_as(4001, [4001], 0, refuses(wanted, "setgid cannot be set", "group 5001")) == 0
    assert rights.run_as(4001, [5001], 0, lambda: writable.prepare(wanted, ()) is None) == 0
    assert mode_of(f"{open_tmp}/w") == 0o2755


@needs_root
def test_a_setgid_that_is_lost_when_the_owner_changes_is_an_error(tmp_path, monkeypatch):
    fchown = os.fchown

    def fchown_and_clear(fd: int, uid: int, gid: int) -> None:
        """As chown(2) does for files, and some filesystems for directories."""
        fchown(fd, uid, gid)
        os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) & ~stat.S_ISGID)

    monkeypatch.setattr(os, "fchown", fchown_and_clear)
    with pytest.raises(errors.UnsafePath, match="setgid cannot be set"):
        writable.prepare(root(f"{tmp_path}/w", mode=0o2770, owner=OWNER), ())


@needs_root
def test_the_group_of_a_setgid_directory_is_inherited_by_a_root_and_the_manifests_mode_wins(tmp_path):
    os.chown(tmp_path, 0, 5001)
    os.chmod(tmp_path, 0o2755)
    writable.prepare(root(f"{tmp_path}/plain", mode=0o755), ())
    writable.prepare(root(f"{tmp_path}/kept", mode=0o2755), ())
    assert [(mode_of(tmp_path / name), owner_of(tmp_path / name)) for name in ("plain", "kept")] == [
        (0o755, (0, 5001)),
        (0o2755, (0, 5001)),
    ]


PARTS = ("a", "b", "c")


def plant(kind: str, path: str, outside: str) -> None:
    """Put what must not be entered at ``path``."""
    match kind:
        case "link":
            os.symlink(outside, path)
        case "dangling link":
            os.symlink(f"{outside}/none", path)
        case "link to /proc/self/root":
            os.symlink(f"/proc/self/root{outside}", path)
        case "fifo":
            os.mkfifo(path)
        case "socket":
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path)
        case "device":
            os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        case "file":
            with open(path, "wb"):
                pass


KINDS = ["link", "dangling link", "link to /proc/self/root", "fifo", "socket", "file"]
KINDS += ["device"] if IS_ROOT else []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", [1, 2, 3])
@pytest.mark.parametrize("way", ["openat2", "walk"])
def test_a_hostile_image_writes_nowhere_else_and_the_component_is_named(
    tmp_path, skeleton, kind, place, way, monkeypatch
):
    monkeypatch.setattr(directories, "_absent", [] if way == "openat2" else [errno.ENOSYS])
    (tmp_path / "outside").mkdir()
    os.makedirs(tmp_path / "in" / "/".join(PARTS[: place - 1]))
    planted = f"{tmp_path}/in/{'/'.join(PARTS[:place])}"
    plant(kind, planted, f"{tmp_path}/outside")
    before = os.lstat(planted)
    with pytest.raises(errors.UnsafePath) as caught:
        writable.prepare(root(f"{tmp_path}/in/a/b/c", mode=0o777, skeleton=skeleton), ())
    assert f"{planted} is " in caught.value.why
    assert os.listdir(tmp_path / "outside") == []
    after = os.lstat(planted)
    assert (before.st_ino, before.st_mode, before.st_ctime_ns) == (after.st_ino, after.st_mode, after.st_ctime_ns)


def test_what_is_filled_is_what_was_opened_whatever_its_name_leads_to_by_then(tmp_path, skeleton):
    (tmp_path / "outside").mkdir()
    wanted = root(f"{tmp_path}/w", mode=0o700, skeleton=skeleton)
    fd = writable.open_root(wanted, ())
    try:
        os.rename(tmp_path / "w", tmp_path / "moved")
        os.symlink("outside", tmp_path / "w")
        writable.fill_root(wanted, fd)
    finally:
        os.close(fd)
    assert os.listdir(tmp_path / "outside") == []
    assert sorted(os.listdir(tmp_path / "moved")) == ["etc", "tool"]


def test_a_root_swapped_for_a_symlink_meanwhile_leads_nowhere_else(tmp_path, skeleton):
    (tmp_path / "outside").mkdir()
    (tmp_path / "in" / "w").mkdir(parents=True)
    os.symlink(tmp_path / "outside", tmp_path / "link")
    outcomes = set()
    with swapping.swapped(tmp_path / "in" / "w", tmp_path / "link"):
        for number in itertools.count():
            try:
                writable.prepare(root(f"{tmp_path}/in/w", mode=0o700 + number % 8, skeleton=skeleton), ())
            except errors.UnsafePath as error:
                assert f"{tmp_path}/in/w is " in error.why
                outcomes.add("refused")
            else:
                outcomes.add("filled")
            assert os.listdir(tmp_path / "outside") == []
            if number >= 300 and outcomes == {"filled", "refused"}:
                break
    assert mode_of(tmp_path / "outside") == 0o755


@needs_root
def test_a_root_on_another_mount_is_entered_and_is_a_mount_of_its_own(tmp_path):
    script = f"""
import os
from entrypoint import mounts, writable
from manifest import plan
for path in ("{tmp_path}/m", "{tmp_path}/m/below"):
    try:
        writable.prepare(plan.WritableRoot(path, 0o700, None, True), mounts.read())
        print(os.stat(path).st_dev != os.stat("{tmp_path}").st_dev)
    except writable.NotMounted as error:
        print(error.what)
"""
    (tmp_path / "m").mkdir()
    shell = f'mount -t tmpfs none {tmp_path}/m && exec {sys.executable} -c "$1"'
    command = ["unshare", "-m", "/bin/sh", "-c", shell, "sh", script]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": os.getcwd()}
    )
    if done.stderr.startswith("unshare"):
        pytest.skip(f"mount namespaces cannot be made here: {done.stderr.strip()}")
    assert done.stdout == f"True\nwritable root {tmp_path}/m/below\n", done.stderr
