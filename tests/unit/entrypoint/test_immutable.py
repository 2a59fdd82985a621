import os
import shlex
import shutil
import struct
import subprocess
import sys
import tempfile

import pytest

from contract import errors
from entrypoint import access, immutable, mounts
from tests.unit import children

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(
    not IS_ROOT, reason="what another user owns is made by root; the container tests cover it"
)


@pytest.fixture
def tree():
    """A directory that everybody can reach, unlike pytest's own."""
    path = tempfile.mkdtemp(prefix="immutable")
    os.chmod(path, 0o755)
    os.makedirs(f"{path}/bin/inner")
    for name in ("bin/tool", "bin/inner/data"):
        with open(f"{path}/{name}", "wb") as file:
            file.write(b"x")
        os.chmod(f"{path}/{name}", 0o644)
    os.symlink("/tmp", f"{path}/bin/link")
    yield path
    shutil.rmtree(path)


def as_nobody(path: str, table=()) -> str:
    """Return the reason an unprivileged process finds, or "None"."""
    with tempfile.TemporaryFile() as answer:

        def work() -> bool:
            os.write(answer.fileno(), str(immutable.why_writable(path, table)).encode())
            return True

        assert children.run_as_nobody(work) == 0
        answer.seek(0)
        return answer.read().decode()


@needs_root
def test_a_tree_that_others_own_and_nobody_else_may_write_is_immutable(tree):
    assert as_nobody(tree) == "None"
    assert "write-probe" not in " ".join(os.listdir(tree))


@needs_root
@pytest.mark.parametrize(
    ("name", "mode"), [("bin/inner/data", 0o646), ("bin/inner", 0o757), ("bin/tool", 0o666), ("", 0o777)]
)
def test_one_writable_thing_anywhere_beneath_it_is_found_and_named(tree, name, mode):
    path = os.path.join(tree, name).rstrip("/")
    os.chmod(path, mode)
    assert as_nobody(tree) == f"{path} can be written: its mode {mode:04o} lets everybody write"


@needs_root
def test_a_file_of_this_user_is_writable_whatever_its_mode(tree):
    os.chown(f"{tree}/bin/tool", children.NOBODY, 0)
    os.chmod(f"{tree}/bin/tool", 0o444)
    assert as_nobody(tree) == f"{tree}/bin/tool can be written: it is owned by this process's uid {children.NOBODY}"


@needs_root
def test_a_directory_that_may_be_entered_and_not_listed_is_never_called_immutable(tree):
    os.chmod(f"{tree}/bin/inner", 0o711)

    def work() -> bool:
        try:
            immutable.why_writable(tree, ())
        except errors.BootsealError as error:
            return "inner may be entered but not listed" in error.why
        return False

    assert children.run_as_nobody(work) == 0


@needs_root
def test_what_lies_in_a_directory_that_may_not_be_entered_is_out_of_reach(tree):
    os.chmod(f"{tree}/bin/inner/data", 0o666)
    os.chmod(f"{tree}/bin/inner", 0o700)
    assert as_nobody(tree) == "None"


def test_an_owner_or_root_can_always_write(tree):
    for name in ("", "/bin", "/bin/inner"):
        os.chmod(f"{tree}{name}", 0o555)
    reason = immutable.why_writable(tree, ())
    for name in ("", "/bin", "/bin/inner"):
        os.chmod(f"{tree}{name}", 0o755)
    assert reason is not None
    assert ("this process has CAP_DAC_OVERRIDE" if IS_ROOT else "is owned by this process's uid") in reason


@needs_root
def test_a_writable_mount_beneath_is_found_also_of_a_single_file(tree):
    for name in ("bin", "bin/tool"):
        table = (mounts.Mount("/", "ext4", False), mounts.Mount(f"{tree}/{name}", "tmpfs", False))
        assert as_nobody(tree, table) == f"{tree}/{name} is mounted writable beneath it (tmpfs)"


@needs_root
def test_where_the_table_and_the_kernel_disagree_that_is_the_reason(tree):
    why = f"{tree} is writable by statvfs, and its mount {tree} is read-only by mountinfo"
    assert as_nobody(tree, (mounts.Mount(tree, "ext4", True),)) == why
    assert as_nobody(tree, (mounts.Mount(tree, "ext4", False),)) == "None"


@needs_root
def test_all_reasons_are_counted_and_the_first_are_told(tree):
    for number in range(12):
        with open(f"{tree}/file-{number:02}", "wb"):
            os.chmod(f"{tree}/file-{number:02}", 0o666)

    def work() -> bool:
        found = immutable.examine(tree, ())
        assert all(reason.why == "can be written: its mode 0666 lets everybody write" for reason in found.reasons)
        assert {os.path.dirname(reason.path) for reason in found.reasons} == {tree}
        return (len(found.reasons), found.count) == (5, 12) and str(found).endswith("write; and 7 more")

    assert children.run_as_nobody(work) == 0


@needs_root
def test_who_can_write_everything_is_told_once_and_counted_up_to_a_bound(tree, monkeypatch):
    found = immutable.examine(tree, (mounts.Mount(f"{tree}", "ext4", False), mounts.Mount("/tmp", "ext4", False)))
    told = [reason for reason in found.reasons if "CAP_SYS_ADMIN" not in reason.why]  # not every root has it
    assert len(told) == 1
    assert len(found.reasons) == found.count
    monkeypatch.setattr(immutable, "COUNTED", 7)
    for number in range(12):
        os.mkdir(f"{tree}/folder-{number}")
        os.chmod(f"{tree}/folder-{number}", 0o777)
    assert as_nobody(tree).endswith("write; and at least 2 more")


@needs_root
def test_an_acl_that_no_mode_shows_is_found(tree):
    entries = ((1, 7, -1), (2, 6, children.NOBODY), (4, 4, -1), (0x10, 6, -1), (0x20, 0, -1))
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    os.setxattr(f"{tree}/bin/tool", "system.posix_acl_access", acl)
    assert as_nobody(tree) == f"{tree}/bin/tool can be written: its ACL lets uid {children.NOBODY} write"


@needs_root
def test_what_the_kernel_allows_against_all_we_know_is_found(tree, monkeypatch):
    """Something that this module does not know of, as a network filesystem's server may have it."""
    os.chmod(f"{tree}/bin/tool", 0o666)
    monkeypatch.setattr(access, "judge", lambda file, process: None)
    assert f"{tree}/bin/tool can be written: the kernel lets this process" in as_nobody(tree)


@needs_root
def test_at_last_a_write_is_tried_and_leaves_nothing(tree, monkeypatch):
    os.chmod(tree, 0o777)
    monkeypatch.setattr(access, "judge", lambda file, process: None)
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
    why = "can be written: a file could be created in it, although nothing seems to allow that"
    assert as_nobody(tree) == f"{tree} {why}"
    assert os.listdir(tree) == ["bin"]


@needs_root
@pytest.mark.parametrize("owner", [0, children.NOBODY])
def test_a_writable_directory_above_lets_the_root_be_renamed_unless_it_is_sticky_or_a_mount(tree, owner):
    os.chmod(f"{tree}/bin", 0o777)
    os.chown(f"{tree}/bin", owner, 0)
    inner = f"{tree}/bin/inner"
    why = "its mode 0777 lets everybody write" if owner == 0 else f"it is owned by this process's uid {owner}"
    assert as_nobody(inner) == f"{inner} can be renamed away, for {tree}/bin can be written: {why}"
    assert as_nobody(inner, (mounts.Mount(inner, "ext4", False),)) == "None"
    os.chmod(f"{tree}/bin", 0o1777)
    assert (as_nobody(inner) == "None") is (owner == 0)
    os.chown(f"{tree}/bin", 0, 0)
    os.chown(inner, children.NOBODY, 0)
    assert f"{inner} can be renamed away" in as_nobody(inner)


@needs_root
def test_a_symlink_on_the_way_that_can_be_retargeted_is_named(tree):
    os.makedirs(f"{tree}/data/opt")
    os.mkdir(f"{tree}/links", 0o777)
    os.chmod(f"{tree}/links", 0o777)
    os.symlink("../data", f"{tree}/links/app")
    os.symlink(f"{tree}/links/app", f"{tree}/safe")
    link = f"{tree}/links/app is a symlink to ../data and can be retargeted, for {tree}/links can be written"
    for path in (f"{tree}/links/app/opt", f"{tree}/safe/opt", f"{tree}/safe"):
        assert as_nobody(path) == f"{link}: its mode 0777 lets everybody write"
    os.chmod(f"{tree}/links", 0o755)
    assert as_nobody(f"{tree}/safe/opt") == "None"


def test_links_that_lead_round_in_a_circle_are_an_error(tmp_path):
    os.symlink("b", tmp_path / "a")
    os.symlink("a", tmp_path / "b")
    with pytest.raises(OSError, match="Too many"):
        list(immutable._steps(f"{tmp_path}/a"))


@needs_root
def test_the_immutable_attribute_is_seen_and_who_may_take_it_away_is_said(tree):
    os.chmod(f"{tree}/bin/tool", 0o666)
    done = subprocess.run(["chattr", "+i", f"{tree}/bin/tool"], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this filesystem has no such attribute: {done.stderr}")
    try:
        assert as_nobody(tree) == "None"
        assert "can take its immutable attribute away" in str(
            immutable._Examination(())._judge(f"{tree}/bin/tool", os.lstat(f"{tree}/bin/tool"))
        )
    finally:
        subprocess.run(["chattr", "-i", f"{tree}/bin/tool"], check=True)


@needs_root
def test_root_without_its_capabilities_is_judged_as_what_it_is(tree):
    os.chown(f"{tree}/bin/tool", children.NOBODY, children.NOBODY)
    os.chown(tree, children.NOBODY, children.NOBODY)
    program = f"from entrypoint import immutable; print(immutable.why_writable({tree + '/bin'!r}, ()))"
    bare = ["capsh", "--drop=all", "--", "-c", f"exec {sys.executable} -c {shlex.quote(program)}"]
    if shutil.which("capsh") is None:
        pytest.skip("capsh is not installed, which drops root's capabilities")
    done = subprocess.run(bare, capture_output=True, text=True, check=True)
    assert "it is owned by this process's uid 0" in done.stdout
    assert f"{tree}/bin/tool can" not in done.stdout
    assert "CAP_" not in done.stdout


def test_a_root_that_is_not_there_is_an_error(tree):
    for path in (f"{tree}/none", f"{tree}/bin/tool"):
        with pytest.raises(errors.BootsealError, match="there is no such directory"):
            immutable.why_writable(path, ())


def in_a_namespace(*steps: str) -> str:
    """Return what the shell ``steps`` print in a mount namespace of their own."""
    script = "\n".join(["set -e", *steps])
    done = subprocess.run(["unshare", "-m", "/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    if done.stderr.startswith("unshare"):
        pytest.skip(f"mount namespaces cannot be made here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    return done.stdout


AS_NOBODY = "--reuid=65534 --regid=65534 --clear-groups"


def ask(path: str, rights: str = "") -> str:
    """Return the shell command that prints why ``path`` is writable with the ``rights`` that setpriv(1) leaves."""
    program = f"from entrypoint import immutable, mounts; print(immutable.why_writable({path!r}, mounts.read()))"
    if rights and shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    drop = f"setpriv {rights} " if rights else ""
    return f"PYTHONPATH={os.getcwd()} {drop}{sys.executable} -c {shlex.quote(program)}"


@needs_root
def test_who_may_mount_can_write_every_root(tree):
    said = in_a_namespace("mount -o remount,ro,bind /", ask(tree))
    assert said == f"{tree} can be mounted writable, or another in its place: this process has CAP_SYS_ADMIN\n"


@needs_root
@pytest.mark.parametrize(
    ("shown", "there"), [("", "/app"), ("/app", ""), ("/app/inner", ""), ("/other", None), ("/app/inner/data", "")]
)
def test_the_same_files_mounted_writable_elsewhere_are_found(tree, shown, there):
    steps = [
        f"mount -t tmpfs -o mode=755 none {tree}/bin/inner",
        f"mkdir -p {tree}/bin/inner/app/inner {tree}/bin/inner/other {tree}/ro {tree}/rw",
        f"echo 1 > {tree}/bin/inner/app/inner/data; touch {tree}/file",
        f"chown -R 65534 {tree}/bin/inner/app/inner {tree}/bin/inner/other",
        f"mount --bind {tree}/bin/inner/app {tree}/ro",
        f"mount -o remount,bind,ro {tree}/ro",
        f"mount --bind {tree}/bin/inner{shown} {tree}/{'file' if shown.endswith('data') else 'rw'}",
        f"umount -l {tree}/bin/inner",
        ask(f"{tree}/ro", AS_NOBODY),
    ]
    said = in_a_namespace(*steps)
    if there is None:
        assert said == "None\n"
    else:
        seen = f"{tree}/{'file' if shown.endswith('data') else 'rw'}{there}"
        assert said.startswith(f"{tree}/ro is the same as {seen}, and {seen}")
        assert "can be written: it is owned by this process's uid 65534" in said


@needs_root
def test_the_same_files_elsewhere_that_their_modes_protect_are_no_reason(tree):
    steps = [f"mount --bind {tree} {tree}", f"mount -o remount,bind,ro {tree}", ask(tree, AS_NOBODY)]
    assert in_a_namespace(*steps) == "None\n"


@needs_root
def test_a_name_of_any_bytes_is_told_printably(tree):
    path = os.fsencode(tree) + b"/bad\xff\n"
    with open(path, "wb"):
        os.chmod(path, 0o666)
    assert as_nobody(tree) == f"{tree}/bad\\xff\\n can be written: its mode 0666 lets everybody write"


@needs_root
def test_a_read_only_mount_is_immutable_also_for_root_until_something_writable_is_mounted_in_it(tree):
    asked = ask(tree, "--bounding-set=-sys_admin")
    steps = ["mount -o remount,ro,bind /", asked, f"mount -t tmpfs none {tree}/bin", asked]
    assert in_a_namespace(*steps) == f"None\n{tree}/bin is mounted writable beneath it (tmpfs)\n"


@needs_root
def test_a_read_only_mount_in_a_directory_that_can_be_renamed_is_not_immutable(tree):
    asked = ask(tree, "--bounding-set=-sys_admin")
    said = in_a_namespace(f"mount --bind {tree} {tree}", f"mount -o remount,ro,bind {tree}", asked)
    assert said.startswith("/tmp can be renamed away, for / can be written: this process has CAP_DAC_OVERRIDE")
    assert "more" not in said
    assert ";" not in said


@needs_root
def test_a_read_only_mount_beneath_a_writable_one_is_not_looked_into_and_a_covered_one_is(tree):
    """Everything in the mount is another's but for the modes, which its read-only flag overrides."""
    os.chmod(f"{tree}/bin/tool", 0o666)
    bound = [f"mount --bind {tree}/bin {tree}/bin", f"mount -o remount,ro,bind {tree}/bin"]
    asked = ask(tree, AS_NOBODY)
    assert in_a_namespace(*bound, asked) == "None\n"
    said = in_a_namespace(*bound, f"mount --bind {tree}/bin {tree}/bin", f"mount -o remount,rw,bind {tree}/bin", asked)
    assert said.startswith(f"{tree}/bin is mounted writable beneath it")
