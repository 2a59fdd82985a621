"""The security profile that a boot found in force, and how it differs from the planned one: the shape of it.

Rules
-----
* A profile is what was read. None stands for what could not be read, and ``UNLIMITED`` for a limit that is not set.
* Stage A reads and judges (``entrypoint.effective_profile``, ``entrypoint.attestation``); ``boot.json``, the seal and /v1/meta repeat it.
"""

import dataclasses
import json
from typing import Any

from contract import records

UNLIMITED = -1
"""A limit that is not set; None is one that cannot be read."""
CAPABILITIES = (
    "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP", "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER", "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT",
    "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE", "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE",
    "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP", "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ",
    "PERFMON", "BPF", "CHECKPOINT_RESTORE",
)  # fmt: skip
"""The capabilities of Linux by their numbers (linux/capability.h), without CAP_."""
DENIED, NETWORK = "denied system calls", "network namespace"
NOT_FROM_INSIDE = frozenset({DENIED, NETWORK})
"""What may be unknown where the profile is enforced: no process can tell."""


@records.dataclass(frozen=True)
class FileSystem:
    """What is mounted at ``path``: its ``kind`` (tmpfs, ext4, …), and which of ro, nosuid, nodev and noexec it has.

    ``size_bytes`` is asked of what lies in memory alone.
    """

    path: str
    kind: str
    size_bytes: int | None
    options: tuple[str, ...]


@records.dataclass(frozen=True)
class Profile:
    """What the kernel lets PID 1 and whatever it starts do.

    ``uid_map`` and ``gid_map`` hold rows of (inside, outside, length). ``capabilities`` are names without CAP_, by the sets effective,
    permitted, inheritable, bounding and ambient; empty when they could not be read. ``seccomp`` is disabled, strict or filter, with
    so many ``seccomp_filters``. ``namespaces`` are "host" (the machine's own), "own" or None, by name. ``mounts`` are those at the planned
    paths, and what can be written beyond them; ``devices`` the planned ones that are there. ``files`` are descriptors of one process.
    """

    uid: int
    gid: int
    groups: tuple[int, ...]
    umask: str | None
    uid_map: tuple[tuple[int, ...], ...] | None
    gid_map: tuple[tuple[int, ...], ...] | None
    capabilities: dict[str, tuple[str, ...]]
    no_new_privileges: bool | None
    seccomp: str | None
    seccomp_filters: int | None
    namespaces: dict[str, str | None]
    root_read_only: bool | None
    mounts: tuple[FileSystem, ...]
    devices: tuple[str, ...]
    memory_bytes: int | None
    cpus: float | None
    pids: int | None
    files: int | None


@records.dataclass(frozen=True)
class Difference:
    """One thing that is not as it was planned, in words for people; ``what`` is stable.

    ``weaker``: the container may do more, or is held less, than planned. ``mend`` is the option of whoever runs it that would make
    it as planned; "" where nothing needs it, or where it cannot be set.
    """

    what: str
    planned: str
    found: str
    weaker: bool
    mend: str


@records.dataclass(frozen=True)
class Attested:
    """What one boot found; ``unknown`` says of what could not be told why. ``enforced``: the boot would have failed otherwise."""

    enforced: bool
    effective: Profile
    differences: tuple[Difference, ...]
    unknown: dict[str, str]

    def plain(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        value: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        return value

    @property
    def unread(self) -> tuple[str, ...]:
        """What is unknown though a process can tell it everywhere; Kubernetes may hide the number of processes."""
        return tuple(sorted(self.unknown.keys() - NOT_FROM_INSIDE - {"pids"}))

    @property
    def weaknesses(self) -> tuple[Difference, ...]:
        """The differences that count: weaker than planned, and whoever runs the container can mend them."""
        return tuple(one for one in self.differences if one.weaker and one.mend)
