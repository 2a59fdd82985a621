"""What is mounted where, from ``/proc/self/mountinfo`` (proc_pid_mountinfo(5)).

Rules
-----
* A mount that another one covers still stands in the table; it is left out here, since no path leads to it. What
  covers what is read from the mounts' numbers and not from their order: since Linux 6.8 the table is ordered by the
  age of a mount, and a runtime that prepares mounts before it attaches them makes the child older than its parent.
* Of equal points, the mount on top counts; of several that hold a path, the one with the longest point.
"""

from collections.abc import Iterator, Sequence

from contract import records

_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


@records.dataclass(frozen=True)
class Mount:
    """A mount point; ``read_only`` is true when the mount or its filesystem is.

    ``number`` is the mount's own and ``parent`` that of the mount it is mounted on. ``root`` is the directory of the file
    system ``device`` (major:minor) that it shows; "" for a device that is not known. ``options`` are the mount's and its
    file system's together.
    """

    point: str
    filesystem: str
    read_only: bool
    number: int = 0
    parent: int = 0
    device: str = ""
    root: str = "/"
    options: frozenset[str] = frozenset()

    def place_of(self, path: str) -> str:
        """Return where ``path``, which must lie on this mount, is in its file system."""
        return _join(self.root, path[len(self.point.rstrip("/")) :])


def read() -> tuple[Mount, ...]:
    """Return this process's mounts that a path leads to; raises OSError or ValueError."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return reachable(parse(file.read()))


def parse(text: str) -> tuple[Mount, ...]:
    """Return the mounts in the text of a mountinfo file, in its order; raises ValueError for any other text."""
    return tuple(_parse_line(line) for line in text.split("\n") if line)  # the kernel escapes no other end of a line


def _parse_line(line: str) -> Mount:
    left, separator, right = line.partition(" - ")
    fields, tail = left.split(" "), right.split(" ")
    is_whole = separator and len(fields) >= 6 and len(tail) >= 3
    if not is_whole or not fields[4].startswith("/") or not all(_is_number(field) for field in fields[:2]):
        raise ValueError(f"not a mountinfo line: {line[:200]!r}")
    options = frozenset((*fields[5].split(","), *tail[2].split(",")))
    point, root = _unescape(fields[4]), _unescape(fields[3])
    return Mount(point, tail[0], "ro" in options, int(fields[0]), int(fields[1]), fields[2], root, options)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def reachable(table: Sequence[Mount]) -> tuple[Mount, ...]:
    """Return the mounts of ``table`` that a path leads to, in its order: those that no other mount covers."""
    numbered = {mount.number: mount for mount in table}
    attached = {(mount.parent, mount.point) for mount in table if mount.number != mount.parent}
    lost = {mount.number for mount in table if _lies_behind_another(mount, attached)}
    stacked = {number for number, point in attached if number in numbered and numbered[number].point == point}
    candidates = [mount for mount in table if mount.number not in stacked and not _hangs_on(mount, lost, numbered)]
    last = {mount.point: mount for mount in candidates}
    return tuple(mount for mount in candidates if last[mount.point] is mount)


def _lies_behind_another(mount: Mount, attached: set[tuple[int, str]]) -> bool:
    """Say whether another mount on the same parent stands on the way to ``mount``."""
    if mount.number == mount.parent:
        return False
    return any((mount.parent, above) in attached for above in _ancestors(mount.point))


def _hangs_on(mount: Mount, lost: set[int], numbered: dict[int, Mount]) -> bool:
    """Say whether ``mount`` or one it is mounted on, directly or not, is ``lost``."""
    seen: set[int] = set()
    at: Mount | None = mount
    while at is not None and at.number not in seen:
        if at.number in lost:
            return True
        seen.add(at.number)
        at = numbered.get(at.parent)
    return False


def _ancestors(path: str) -> list[str]:
    parts = path.split("/")[1:]
    return ["/", *("/" + "/".join(parts[:count]) for count in range(1, len(parts)))] if path != "/" else []


def beneath(mounts: tuple[Mount, ...], path: str) -> tuple[Mount, ...]:
    """Return the mounts strictly beneath ``path``."""
    return tuple(mount for mount in mounts if mount.point != path and _is_beneath(mount.point, path))


def holding(mounts: tuple[Mount, ...], path: str) -> Mount | None:
    """Return the mount that ``path``, which must be real, lies on: the one with the longest point; None when none does."""
    holders = [mount for mount in mounts if mount.point == path or _is_beneath(path, mount.point)]
    return max(holders, key=lambda mount: len(mount.point), default=None)


def other_ways_to(mounts: tuple[Mount, ...], path: str) -> Iterator[tuple[Mount, str]]:
    """Yield the other mounts that show something of what ``path`` shows, and the path of that through them.

    It is the same file system with a directory in common: what is read-only through one may be writable through the other.
    """
    mount = holding(mounts, path)
    if mount is None or not mount.device:
        return
    place = mount.place_of(path)
    for other in mounts:
        if other is mount or other.device != mount.device:
            continue
        if _is_beneath(place, other.root):
            there = _join(other.point, place[len(other.root.rstrip("/")) :])
        elif _is_beneath(other.root, place):
            there = other.point
        else:
            continue
        if holding(mounts, there) is other:
            yield other, there


def is_mount_point(mounts: tuple[Mount, ...], path: str) -> bool:
    """Say whether ``path`` is a mount of its own."""
    return any(mount.point == path for mount in mounts)


def _join(above: str, rest: str) -> str:
    return (above.rstrip("/") + rest) or "/"


def _is_beneath(path: str, point: str) -> bool:
    return point in {"/", path} or path.startswith(f"{point}/")


def _unescape(text: str) -> str:
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    return text
