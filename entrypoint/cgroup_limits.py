"""The limits of this process's control groups, as far as it sees them. Standard library only.

Rules
-----
* What counts is the container's own view: the mounts of cgroup file systems that it has, and where in them its groups lie. A group
  that no mount shows, or that lies beyond the part that is mounted, has limits that cannot be told: None, and never "no limit".
* A limit above binds what is below: of the group and those above it that can be seen, the smallest counts.
* A controller is asked in the version that holds it: on a hybrid machine memory is version 1's, and version 2 knows nothing of it.

Sources: cgroups(7); the kernel's Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
"""

from collections.abc import Callable, Mapping, Sequence

from contract import attested
from entrypoint import mounts

CGROUP = "/proc/self/cgroup"
_LIMIT = 65536
_NONE_BYTES = 1 << 53
"""Version 1 says "no limit" as the largest number of whole pages, and no machine has so much; the seal's numbers end here (RFC 8785)."""


def read(table: Sequence[mounts.Mount]) -> dict[str, float | None]:
    """Return ``memory`` (bytes), ``pids`` and ``cpus``; ``table`` are this process's mounts. Never raises."""
    try:
        groups = parse(_text(CGROUP))
    except OSError:
        groups = {}
    return {
        "memory": _smallest(_directories("memory", table, groups), _memory),
        "pids": _smallest(_directories("pids", table, groups), _pids),
        "cpus": _smallest(_directories("cpu", table, groups), _cpus),
    }


def parse(text: str) -> dict[str, str]:
    """Return where this process lies in the hierarchy of each controller of version 1; "" is that of version 2."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        number, controllers, path = (*line.split(":", 2), "", "")[:3]
        if path.startswith("/") and (controllers or number == "0"):
            found |= dict.fromkeys(controllers.split(","), path)
    return found


def _directories(controller: str, table: Sequence[mounts.Mount], groups: Mapping[str, str]) -> list[str]:
    """Return the directories of this process's group and of those above it, as far as they are mounted here."""
    is_legacy = controller in groups
    path = groups.get(controller if is_legacy else "")
    for mount in table:
        if mount.filesystem != ("cgroup" if is_legacy else "cgroup2") or (
            is_legacy and controller not in mount.options
        ):
            continue
        root = mount.root.rstrip("/")
        if path is None or not f"{path.rstrip('/')}/".startswith(f"{root}/") or "/.." in path:
            return []
        below = path[len(root) :].strip("/")
        names = below.split("/") if below else []
        return ["/".join((mount.point, *names[:depth])) for depth in range(len(names), -1, -1)]
    return []


def _smallest(directories: list[str], look: Callable[[str], float | None]) -> float | None:
    """Return the smallest limit in ``directories``, UNLIMITED where there is none, None where none of them says."""
    told = [value for value in map(look, directories) if value is not None]
    bounds = [value for value in told if value != attested.UNLIMITED]
    return min(bounds) if bounds else attested.UNLIMITED if told else None


def _memory(directory: str) -> float | None:
    found = _number(f"{directory}/memory.max")
    if found is None:
        found = _number(f"{directory}/memory.limit_in_bytes")
    return attested.UNLIMITED if found is not None and found >= _NONE_BYTES else found


def _pids(directory: str) -> float | None:
    return _number(f"{directory}/pids.max")


def _cpus(directory: str) -> float | None:
    try:
        words = _text(f"{directory}/cpu.max").split()
    except OSError:
        words = []
    if len(words) == 2:
        quota, period = _parsed(words[0]), _parsed(words[1])
    else:
        quota, period = _number(f"{directory}/cpu.cfs_quota_us"), _number(f"{directory}/cpu.cfs_period_us")
    if quota is None or not period:
        return None
    return attested.UNLIMITED if quota < 0 else round(quota / period, 3)


def _number(path: str) -> int | None:
    try:
        return _parsed(_text(path))
    except OSError:
        return None


def _parsed(text: str) -> int | None:
    """Return the number in ``text``, UNLIMITED for ``max`` and -1, None for what is none."""
    text = text.strip()
    if text in {"max", "-1"}:
        return attested.UNLIMITED
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 20 else None


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(_LIMIT)
