"""What is mounted where, from ``/proc/self/mountinfo`` (proc_pid_mountinfo(5))."""

import dataclasses

_ESCAPES = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\"))


@dataclasses.dataclass(frozen=True)
class Mount:
    """A mount point; ``read_only`` is true when the mount or its filesystem is."""

    point: str
    filesystem: str
    read_only: bool


def parse(text: str) -> tuple[Mount, ...]:
    """Return the mounts in the text of a mountinfo file, in its order; raises ValueError for any other text."""
    return tuple(_parse_line(line) for line in text.split("\n") if line)  # the kernel escapes no other end of a line


def _parse_line(line: str) -> Mount:
    left, separator, right = line.partition(" - ")
    fields, tail = left.split(" "), right.split(" ")
    if not separator or len(fields) < 6 or len(tail) < 3:
        raise ValueError(f"not a mountinfo line: {line[:200]!r}")
    options = {*fields[5].split(","), *tail[2].split(",")}
    return Mount(_unescape(fields[4]), tail[0], "ro" in options)


def read() -> tuple[Mount, ...]:
    """Return this process's mounts; raises OSError or ValueError."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        return parse(file.read())


def beneath(mounts: tuple[Mount, ...], path: str) -> tuple[Mount, ...]:
    """Return the mounts strictly beneath ``path``."""
    return tuple(mount for mount in mounts if mount.point != path and _is_beneath(mount.point, path))


def is_mount_point(mounts: tuple[Mount, ...], path: str) -> bool:
    """Say whether ``path`` is a mount of its own."""
    return any(mount.point == path for mount in mounts)


def _is_beneath(path: str, point: str) -> bool:
    return point in {"/", path} or path.startswith(f"{point}/")


def _unescape(text: str) -> str:
    for escape, character in _ESCAPES:
        text = text.replace(escape, character)
    return text
