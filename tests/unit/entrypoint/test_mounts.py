import contextlib
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
        mounts.Mount("/", "ext4", False, 22, 1, "254:0", "/", frozenset({"rw", "relatime"})),
        mounts.Mount("/proc", "proc", True, 23, 22, "0:21", "/", frozenset({"ro", "nosuid", "rw"})),
        mounts.Mount("/with space\\x", "tmpfs", False, 24, 22, "0:22", "/", frozenset({"rw", "size=64k"})),
        mounts.Mount("/sb-ro", "overlay", True, 25, 22, "0:23", "/", frozenset({"rw", "ro", "lowerdir=/a"})),
        mounts.Mount("/a/b", "tmpfs", True, 26, 22, "0:24", "/sub", frozenset({"ro", "noexec"})),
        mounts.Mount("/rom", "ext4", False, 27, 22, "0:25", "/", frozenset({"rw", "errors=remount-ro"})),
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


@pytest.mark.parametrize(
    "line",
    [
        "x",
        "1 2 3 4 5 - a b c",
        "1 2 3 4 /x rw a b c",
        "1 2 3 4 /x rw - tmpfs",
        "a 2 3 4 /x rw - a b c",
        "1 -2 3 4 /x rw - a b c",
        "1 2 3 4 x rw - a b c",
    ],
)
def test_a_line_that_is_cut_is_refused(line):
    with pytest.raises(ValueError, match="not a mountinfo line"):
        mounts.parse(f"{LINES}{line}\n")


def tree_of(*rows: tuple[int, int, str]) -> tuple[mounts.Mount, ...]:
    return tuple(mounts.Mount(point, "tmpfs", False, number, parent) for number, parent, point in rows)


def points(table: tuple[mounts.Mount, ...]) -> list[int]:
    return [mount.number for mount in mounts.reachable(table)]


@pytest.mark.parametrize(
    ("rows", "left"),
    [
        pytest.param([(1, 0, "/"), (2, 1, "/a"), (3, 2, "/a/b")], [1, 2, 3], id="a chain"),
        pytest.param([(3, 2, "/a/b"), (2, 1, "/a"), (1, 0, "/")], [3, 2, 1], id="a child older than its parent"),
        pytest.param([(1, 0, "/"), (2, 1, "/a"), (3, 2, "/a")], [1, 3], id="one on top of another"),
        pytest.param([(1, 0, "/"), (3, 2, "/a"), (2, 1, "/a")], [1, 3], id="the one on top is older"),
        pytest.param([(1, 0, "/"), (2, 1, "/a/b"), (3, 1, "/a")], [1, 3], id="covered by one on an ancestor"),
        pytest.param([(1, 0, "/"), (3, 1, "/a"), (2, 1, "/a/b")], [1, 3], id="the same in another order"),
        pytest.param(
            [(1, 0, "/"), (2, 1, "/a/b"), (3, 2, "/a/b/c"), (4, 1, "/a"), (5, 4, "/a/b")],
            [1, 4, 5],
            id="its children too",
        ),
        pytest.param(
            [(1, 0, "/"), (4, 3, "/a/b"), (3, 1, "/a"), (2, 1, "/a/b")], [1, 4, 3], id="a lost one comes last"
        ),
        pytest.param([(1, 0, "/"), (2, 1, "/"), (3, 1, "/a"), (4, 2, "/a")], [2, 4], id="a root on the root"),
        pytest.param([(5, 9, "/a"), (6, 9, "/a/b"), (7, 5, "/a/c")], [5, 7], id="a root that is no mount"),
        pytest.param([(1, 1, "/"), (2, 1, "/a")], [1, 2], id="a root that hangs on itself"),
        pytest.param([(1, 2, "/a"), (2, 1, "/b")], [1, 2], id="a circle that no kernel makes"),
    ],
)
def test_only_what_a_path_leads_to_is_left(rows, left):
    assert points(tree_of(*rows)) == left


def test_of_equal_points_the_last_counts_where_nothing_says_more():
    table = (mounts.Mount("/a", "ext4", True), mounts.Mount("/a", "tmpfs", False))
    assert mounts.reachable(table) == table[1:]


def test_the_longest_point_holds_a_path():
    table = tuple(mounts.Mount(point, "tmpfs", False) for point in ("/a/b", "/", "/a", "/ab"))
    paths = {"/": "/", "/a": "/a", "/a/b": "/a/b", "/a/b/c": "/a/b", "/a/bc": "/a", "/abc": "/", "/ab/c": "/ab"}
    assert {path: mounts.holding(table, path).point for path in paths} == paths
    assert mounts.holding(table[2:], "/x") is None


def test_what_is_reachable_here_is_where_the_kernel_arrives():
    """statvfs(3) of a mount's point tells of the mount on top, and so does the table."""
    for mount in mounts.read():
        with contextlib.suppress(OSError):  # a point that this process may not reach
            assert bool(os.statvfs(mount.point).f_flag & os.ST_RDONLY) is mount.read_only, mount


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


def shown(point: str, root: str, device: str = "8:1") -> mounts.Mount:
    return mounts.Mount(point, "ext4", False, device=device, root=root)


@pytest.mark.parametrize(
    ("root", "point", "there"),
    [
        ("/", "/all", "/all/srv/app/bin"),
        ("/srv/app", "/same", "/same/bin"),
        ("/srv/app/bin", "/exact", "/exact"),
        ("/srv/app/bin/deep", "/part", "/part"),
        ("/srv/app2", "/other", None),
        ("/srv/application/bin", "/other", None),
    ],
)
def test_the_same_files_are_found_through_another_mount_of_their_file_system(root, point, there):
    table = (shown("/", "/rootfs", "8:2"), shown("/app", "/srv/app"), shown(point, root))
    ways = [path for _, path in mounts.other_ways_to(table, "/app/bin")]
    assert ways == ([] if there is None else [there])


def test_what_another_mount_covers_or_another_file_system_shows_is_no_way():
    table = (shown("/app", "/app"), shown("/all", "/"), shown("/all/app", "/elsewhere", "8:2"))
    assert list(mounts.other_ways_to(table, "/app")) == []
    assert list(mounts.other_ways_to((shown("/app", "/", ""), shown("/b", "/", "")), "/app")) == []
    assert list(mounts.other_ways_to((), "/app")) == []
