"""The security profile that is in force, read back from the kernel. Standard library only.

Rules
-----
* Every fact is read, none assumed: from /proc/self, statvfs(2), getrlimit(2), the mounts and the container's view of its control
  groups (``entrypoint.cgroup_limits``). What cannot be read is None; nothing here knows what was planned, but where to look.
* It is read before anything is written outside the run directory, by the process that becomes PID 1: what it may, everything that it starts may at most.
* A process that is not dumpable still reads its own /proc/self: these files are open to all (proc(5)), and a process may always
  look at itself (ptrace(2), "Ptrace access mode checking").
"""

import contextlib
import os
import resource
from collections.abc import Iterable, Sequence

from contract import attested, errors
from entrypoint import cgroup_limits, mounts

CAPABILITIES = attested.CAPABILITIES
SETS = {
    "effective": "CapEff",
    "permitted": "CapPrm",
    "inheritable": "CapInh",
    "bounding": "CapBnd",
    "ambient": "CapAmb",
}
"""The sets of a thread, by the names that /proc/PID/status has for them (proc_pid_status(5))."""
HOST, OWN = "host", "own"
NETWORK = "network"
_NAMESPACES = {
    "pid": 0xEFFFFFFC,
    "ipc": 0xEFFFFFFF,
    "uts": 0xEFFFFFFE,
    "user": 0xEFFFFFFD,
    "cgroup": 0xEFFFFFFB,
    NETWORK: 0xEFFFFFF9,
}
"""The inode numbers of the machine's own namespaces (include/uapi/linux/nsfs.h)."""
_NETWORK_NUMBERED = (6, 18)
"""The first Linux whose own network namespace surely has that number; an older one's looks like any other."""
_SECCOMP_MODES = {"0": "disabled", "1": "strict", "2": "filter"}
_FLAGS = ("ro", "nosuid", "nodev", "noexec")
_KERNELS = frozenset(
    {"proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "securityfs", "debugfs", "tracefs", "bpf", "binfmt_misc"}
)
_ENGINES = (
    "/dev",
    "/proc",
    "/sys",
    "/etc/hosts",
    "/etc/hostname",
    "/etc/resolv.conf",
    "/run/.containerenv",
    "/run/secrets",
)
"""What engines mount themselves into every container."""
_LIMIT = 1 << 20
_MOST_SHOWN = 20
_IN_MEMORY = frozenset({"tmpfs", "ramfs"})


def read(paths: Iterable[str], devices: Iterable[str], table: Sequence[mounts.Mount]) -> attested.Profile:
    """Return the profile of this process; ``paths`` and ``devices`` are planned ones, ``table`` its mounts. Never raises."""
    status = _status()
    limits = cgroup_limits.read(table)
    memory, pids = limits["memory"], limits["pids"]
    return attested.Profile(
        uid=os.geteuid(),
        gid=os.getegid(),
        groups=tuple(sorted(os.getgroups())),
        umask=status.get("Umask"),
        uid_map=_map("/proc/self/uid_map"),
        gid_map=_map("/proc/self/gid_map"),
        capabilities=capabilities(status),
        no_new_privileges={"0": False, "1": True}.get(status.get("NoNewPrivs", "")),
        seccomp=_SECCOMP_MODES.get(status.get("Seccomp", "")),
        seccomp_filters=_number(status.get("Seccomp_filters")),
        namespaces={name: _namespace(name) for name in _NAMESPACES},
        root_read_only=_is_root_read_only(),
        mounts=_mounted(paths, table),
        devices=tuple(path for path in devices if os.path.exists(path)),
        memory_bytes=None if memory is None else int(memory),
        cpus=limits["cpus"],
        pids=None if pids is None else int(pids),
        files=_files(),
    )


def capabilities(status: dict[str, str]) -> dict[str, tuple[str, ...]]:
    """Return the names in every set that ``status`` (/proc/PID/status) holds; all or none."""
    try:
        masks = {name: int(status[field], 16) for name, field in SETS.items()}
    except (KeyError, ValueError):
        return {}
    return {name: _names(mask) for name, mask in masks.items()}


def _names(mask: int) -> tuple[str, ...]:
    numbers = (number for number in range(mask.bit_length()) if mask >> number & 1)
    return tuple(CAPABILITIES[number] if number < len(CAPABILITIES) else f"#{number}" for number in numbers)


def group_numbers(names: Iterable[str]) -> dict[str, int]:
    """Return the numbers of the groups that the image has of ``names``; a number is no name."""
    found = {}
    for name in names:
        if not name.isdecimal():
            import grp  # only where a plan names some

            with contextlib.suppress(KeyError):
                found[name] = grp.getgrnam(name).gr_gid
    return found


def namespace(name: str, inode: int, release: str) -> str | None:
    """Return whether the namespace ``inode`` of kind ``name`` is the machine's, on the kernel ``release``; None cannot be told."""
    if inode == _NAMESPACES[name]:
        return HOST
    return OWN if name != NETWORK or _version(release) >= _NETWORK_NUMBERED else None


def _namespace(name: str) -> str | None:
    try:
        link = os.readlink(f"/proc/self/ns/{'net' if name == NETWORK else name}")
        return namespace(name, int(link.partition("[")[2].rstrip("]")), os.uname().release)
    except (OSError, ValueError):
        return None


def _version(release: str) -> tuple[int, int]:
    parts = release.split("-", maxsplit=1)[0].split(".")
    try:
        return int(parts[0]), int(parts[1])
    except (ValueError, IndexError):
        return (0, 0)


def _mounted(paths: Iterable[str], table: Sequence[mounts.Mount]) -> tuple[attested.FileSystem, ...]:
    """Return what is mounted at ``paths``, then what else can be written and is no mount of the kernel's or the engine's own."""
    points = {mount.point: mount for mount in table}
    wanted = {path: points.get(path) or points.get(os.path.realpath(path)) for path in paths}
    found = [_file_system(path, mount) for path, mount in wanted.items() if mount is not None]
    known = {"/", *(mount.point for mount in wanted.values() if mount is not None)}
    others = [
        mount for mount in table if mount.point not in known and not mount.read_only and not _is_the_engines(mount)
    ]
    return (*found, *(_file_system(errors.printable(mount.point), mount) for mount in others[:_MOST_SHOWN]))


def _is_the_engines(mount: mounts.Mount) -> bool:
    return mount.filesystem in _KERNELS or any(
        mount.point == own or mount.point.startswith(f"{own}/") for own in _ENGINES
    )


def _file_system(path: str, mount: mounts.Mount) -> attested.FileSystem:
    options = tuple(flag for flag in _FLAGS if flag in mount.options)
    size = _size(mount) if mount.filesystem in _IN_MEMORY else None  # a server that is away would hold statvfs(2)
    return attested.FileSystem(path, mount.filesystem, size, options)


def _size(mount: mounts.Mount) -> int | None:
    """Return how much ``mount``, which lies in memory, holds; as its options say where nobody may ask it.

    The way there may have been given to a program's user: PID 1 without CAP_DAC_OVERRIDE does not come through.
    """
    try:
        found = os.statvfs(mount.point)
    except OSError:
        said = next((one.removeprefix("size=") for one in mount.options if one.startswith("size=")), "")
        return int(said[:-1]) * 1024 if said.endswith("k") and said[:-1].isdecimal() else None  # tmpfs(5): shown in KiB
    return found.f_blocks * found.f_frsize or attested.UNLIMITED


def _is_root_read_only() -> bool | None:
    try:
        return bool(os.statvfs("/").f_flag & os.ST_RDONLY)
    except OSError:
        return None


def _files() -> int:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return attested.UNLIMITED if hard == resource.RLIM_INFINITY else hard


def _map(path: str) -> tuple[tuple[int, ...], ...] | None:
    try:
        return tuple(tuple(int(word) for word in line.split()) for line in _text(path).splitlines())
    except (OSError, ValueError):
        return None


def _status() -> dict[str, str]:
    try:
        lines = _text("/proc/self/status").splitlines()
    except OSError:
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdecimal() else None


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(_LIMIT)
