import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from entrypoint import mounts

LINES = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /proc ro,nosuid - proc proc rw
24 22 0:22 / /with\\040space\\134x rw - tmpfs none rw,size=64k
25 22 0:23 / /sb-ro rw - overlay overlay ro,lowerdir=/a
26 22 0:24 /sub /a/b ro,noexec master:1 propagate_from:2 - tmpfs  ro
27 22 0:25 / /rom rw,errors=remount-ro - ext4 /dev/ro rw
"""


def test_mounts_are_read_with_their_point_kind_and_right():
    assert mounts.parse(LINES) == (
        mounts.Mount("/", "ext4", False),
        mounts.Mount("/proc", "proc", True),
        mounts.Mount("/with space\\x", "tmpfs", False),
        mounts.Mount("/sb-ro", "overlay", True),
        mounts.Mount("/a/b", "tmpfs", True),
        mounts.Mount("/rom", "ext4", False),
    )


@given(st.text(alphabet=st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=30))
def test_any_mount_point_the_kernel_escaped_is_read_back(name):
    point = f"/{name}"
    escaped = point
    for character, escape in (("\\", "\\134"), (" ", "\\040"), ("\t", "\\011"), ("\n", "\\012")):
        escaped = escaped.replace(character, escape)
    [mount] = mounts.parse(f"1 0 0:1 / {escaped} rw - tmpfs none rw\n")
    assert mount.point == point


@given(st.text())
def test_any_other_text_is_a_value_error_and_nothing_else(text):
    try:
        assert all(isinstance(mount, mounts.Mount) for mount in mounts.parse(text))
    except ValueError as error:
        assert "not a mountinfo line" in str(error)


@pytest.mark.parametrize("line", ["x", "1 2 3 4 5 - a b c", "1 2 3 4 /x rw a b c", "1 2 3 4 /x rw - tmpfs"])
def test_a_line_that_is_cut_is_refused(line):
    with pytest.raises(ValueError, match="not a mountinfo line"):
        mounts.parse(f"{LINES}{line}\n")


def test_this_process_has_a_root():
    assert mounts.is_mount_point(mounts.read(), "/")


def test_beneath_is_strict_and_knows_where_a_name_ends():
    table = tuple(mounts.Mount(point, "tmpfs", False) for point in ("/", "/a", "/a/b", "/ab", "/a/b/c"))
    assert [mount.point for mount in mounts.beneath(table, "/a")] == ["/a/b", "/a/b/c"]
    assert [mount.point for mount in mounts.beneath(table, "/")] == ["/a", "/a/b", "/ab", "/a/b/c"]
    assert mounts.beneath(table, "/a/b/c") == ()


def test_a_mount_point_is_one_by_its_exact_path():
    table = (mounts.Mount("/a", "tmpfs", False),)
    assert mounts.is_mount_point(table, "/a")
    assert not any(mounts.is_mount_point(table, path) for path in ("/", "/a/b", "/ab", "a", "/a/"))
    assert mounts.is_mount_point(mounts.read(), os.sep)
