"""Who could change where a path leads: judged for root, who reads for programs that he does not trust."""

import os
import shutil
import tempfile

import pytest

from contract import errors
from entrypoint import trusted_way
from tests.unit import rights

THEIRS = 4001
CAP_CHOWN = 1
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to others")


@pytest.fixture
def open_tmp():
    """A directory that everybody can reach and whose owner is root; /tmp above it is sticky."""
    path = tempfile.mkdtemp(prefix="bs-")
    os.chmod(path, 0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def secret(open_tmp):
    """A file of root's in a directory of root's, and beside it a directory of a program's."""
    for name, owner in (("ours", 0), ("theirs", THEIRS)):
        os.mkdir(f"{open_tmp}/{name}", 0o755)
        os.chown(f"{open_tmp}/{name}", owner, owner)
    with open(f"{open_tmp}/ours/secret", "w") as file:
        file.write("x")
    os.chmod(f"{open_tmp}/ours/secret", 0o400)
    return f"{open_tmp}/ours/secret"


def judged(path: str) -> str:
    try:
        trusted_way.judge("secret s", path)
    except errors.UnsafePath as error:
        return error.why
    return ""


def test_what_only_root_could_have_put_there_is_trusted(secret, open_tmp):
    assert judged(secret) == ""
    os.symlink("secret", f"{open_tmp}/ours/relative")
    os.symlink(secret, f"{open_tmp}/ours/absolute")
    os.symlink("../ours/absolute", f"{open_tmp}/ours/twice")
    assert judged(f"{open_tmp}/ours/twice") == ""
    assert judged("/usr/bin/env") == ""


def test_a_programs_directory_on_the_way_is_not(secret, open_tmp):
    os.symlink(secret, f"{open_tmp}/theirs/token")
    assert f"{open_tmp}/theirs belongs to uid {THEIRS}" in judged(f"{open_tmp}/theirs/token")
    os.symlink(f"{open_tmp}/theirs/token", f"{open_tmp}/ours/led-away")
    assert f"{open_tmp}/theirs belongs to uid {THEIRS}" in judged(f"{open_tmp}/ours/led-away")
    assert f"{open_tmp}/theirs belongs" in judged(f"{open_tmp}/theirs/../ours/secret")


def test_a_directory_that_others_may_write_to_is_not_and_a_sticky_one_only_for_ones_own(secret, open_tmp):
    shared = f"{open_tmp}/shared"
    os.mkdir(shared)
    os.chmod(shared, 0o777)
    os.symlink(secret, f"{shared}/ours")
    assert "has mode 0777" in judged(f"{shared}/ours")
    os.chmod(shared, 0o1777)
    assert judged(f"{shared}/ours") == ""
    os.symlink(secret, f"{shared}/theirs")
    os.chown(f"{shared}/theirs", THEIRS, THEIRS, follow_symlinks=False)
    assert f"{shared}/theirs belongs to uid {THEIRS}" in judged(f"{shared}/theirs")


def test_a_file_that_others_may_change_is_not(secret):
    os.chmod(secret, 0o622)
    assert "could change it" in judged(secret)


def test_what_the_kernel_makes_up_is_not(open_tmp):
    assert "/proc/" in judged("/proc/self/environ")
    os.symlink("/proc/self/environ", f"{open_tmp}/ours-too")
    assert "/proc/" in judged(f"{open_tmp}/ours-too")


def test_a_loop_ends(open_tmp):
    os.symlink("loop", f"{open_tmp}/loop")
    assert "more than 40 symlinks" in judged(f"{open_tmp}/loop")


def test_what_is_missing_is_missing(open_tmp):
    with pytest.raises(FileNotFoundError):
        trusted_way.judge("secret s", f"{open_tmp}/none/x")


def test_root_without_rights_over_files_judges_as_well(secret, open_tmp):
    os.symlink(secret, f"{open_tmp}/theirs/token")
    assert (
        rights.run_as(0, [0], CAP_CHOWN, lambda: judged(secret) == "" and judged(f"{open_tmp}/theirs/token") != "") == 0
    )
