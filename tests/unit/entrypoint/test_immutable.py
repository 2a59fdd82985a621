import os
import shutil
import stat
import subprocess
import sys
import tempfile

import pytest

from contract import errors
from entrypoint import immutable, mounts
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


def status(mode: int, uid: int = 0, gid: int = 0) -> os.stat_result:
    return os.stat_result((stat.S_IFREG | mode, 1, 1, 1, uid, gid, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("mode", "owner", "group", "reason"),
    [
        (0o755, 0, 0, None),
        (0o444, 1000, 0, "it is owned by this process's uid 1000"),
        (0o775, 0, 50, "its mode 0775 lets group 50 write"),
        (0o755, 0, 50, None),
        (0o707, 0, 50, None),
        (0o775, 0, 99, None),
        (0o757, 0, 99, "its mode 0757 lets everybody write"),
        (0o1777, 0, 0, "its mode 1777 lets everybody write"),
    ],
)
def test_what_mode_and_owner_allow(mode, owner, group, reason):
    assert immutable.judge_mode(status(mode, owner, group), 1000, frozenset({1000, 50})) == reason


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
    assert ("this process is root" if IS_ROOT else "is owned by this process's uid") in reason


def test_a_writable_mount_beneath_is_found(tree):
    table = (mounts.Mount("/", "ext4", False), mounts.Mount(f"{tree}/bin", "tmpfs", False))
    assert immutable.why_writable(tree, table) == f"{tree}/bin is mounted writable beneath it"


def test_a_table_that_calls_it_read_only_is_not_believed_against_the_kernel(tree):
    """A read-only mount that a writable one covers still stands in the table."""
    assert immutable.why_writable(tree, (mounts.Mount(tree, "ext4", True),)) is not None


def test_a_root_that_is_not_there_is_an_error(tree):
    for path in (f"{tree}/none", f"{tree}/bin/tool"):
        with pytest.raises(errors.BootsealError, match="there is no such directory"):
            immutable.why_writable(path, ())


@needs_root
def test_a_read_only_mount_is_immutable_also_for_root_until_something_writable_is_mounted_in_it(tree):
    script = f"""
set -e
mount --bind {tree} {tree}
mount -o remount,ro,bind {tree}
{sys.executable} -c '
import sys; sys.path.insert(0, "{os.getcwd()}")
from entrypoint import immutable, mounts
print(immutable.why_writable("{tree}", mounts.read()))'
mount -t tmpfs none {tree}/bin
{sys.executable} -c '
import sys; sys.path.insert(0, "{os.getcwd()}")
from entrypoint import immutable, mounts
print(immutable.why_writable("{tree}", mounts.read()))'
"""
    done = subprocess.run(["unshare", "-m", "/bin/sh", "-c", script], capture_output=True, text=True, check=False)
    if "unshare" in done.stderr:
        pytest.skip(f"mount namespaces cannot be made here: {done.stderr.strip()}")
    assert done.stdout == f"None\n{tree}/bin is mounted writable beneath it\n", done.stderr
