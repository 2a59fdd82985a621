"""Fuzz target: any bytes in place of ``/proc/self/mountinfo`` are mounts or a ValueError, and what is reachable is sound."""

from entrypoint import mounts

SEEDS: list[bytes] = [
    b"",
    b"22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n23 22 0:21 / /proc ro,nosuid - proc proc rw\n",
    b"1 0 0:1 / / ro - overlay overlay ro\n2 1 0:2 / /a rw - tmpfs none rw\n3 2 0:3 / /a rw - tmpfs none rw\n",
    b"24 22 0:22 / /with\\040space\\134x rw - tmpfs none rw,size=64k\n",
    b"1 2 0:1 / /a rw - a b c\n2 1 0:1 / /b rw master:1 propagate_from:2 - a b c\n",
]


def test_one_input(data: bytes) -> None:
    """Read ``data`` as the table of mounts; raises only where our code is wrong."""
    try:
        table = mounts.parse(data.decode("utf-8", "surrogateescape"))
    except ValueError:
        return
    left = mounts.reachable(table)
    if len({mount.point for mount in left}) != len(left) or any(mount not in table for mount in left):
        raise AssertionError("a point stands twice, or from nowhere, among what is reachable")
    for mount in left:
        holder = mounts.holding(left, mount.point)
        if holder is not mount:
            raise AssertionError(f"{mount.point} is not held by its own mount")
        if any(other.point == mount.point for other in mounts.beneath(left, mount.point)):
            raise AssertionError(f"{mount.point} lies beneath itself")
