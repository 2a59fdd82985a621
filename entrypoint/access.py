"""May a process write to a file or directory? By its owner, mode, ACL and attributes, and the process's capabilities. Pure.

Rules
-----
* ``grants`` is the kernel's own answer (path_resolution(7), acl(5)): the owner's bits for the owner; else the ACL, which
  the kernel reads only where the group bits, its mask, are not empty; else the group's bits or the others'.
* To write into a directory is to write and to search it.
* ``judge`` goes further, for a right that a process can give itself is a right: the owner can change the mode
  (inode_owner_or_capable), CAP_FOWNER can for any file, CAP_CHOWN can become the owner. CAP_DAC_OVERRIDE needs no mode.
  Root without them is a user like any other.
* The immutable attribute forbids all of it (ioctl_iflags(2)), unless CAP_LINUX_IMMUTABLE can take it away.
"""

import stat
import struct

from contract import records

READ, WRITE, SEARCH = 4, 2, 1

# capabilities(7); the numbers are the kernel's, include/uapi/linux/capability.h
CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_LINUX_IMMUTABLE, CAP_SYS_ADMIN = 0, 1, 3, 9, 21

# include/uapi/linux/posix_acl.h and posix_acl_xattr.h: a version, then entries of tag, permission and id, little-endian
USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
_ACL_VERSION = 2
_VERSION = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")


@records.dataclass(frozen=True)
class Process:
    """Who writes: the effective uid, the effective and supplementary groups, and the mask of effective capabilities."""

    uid: int
    groups: frozenset[int]
    capabilities: int = 0

    def has(self, capability: int) -> bool:
        """Say whether ``capability``, a number of capabilities(7), is effective."""
        return bool(self.capabilities >> capability & 1)


@records.dataclass(frozen=True)
class Entry:
    """One entry of an ACL: its tag, its permission bits, and the uid or gid where the tag has one."""

    tag: int
    permission: int
    id: int


@records.dataclass(frozen=True)
class File:
    """What is written to: a directory or anything else, with its whole ``mode``; ``acl`` is empty when it has none."""

    mode: int
    uid: int
    gid: int
    acl: tuple[Entry, ...] = ()
    has_immutable_attribute: bool = False

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return stat.S_ISDIR(self.mode)


def parse_acl(data: bytes) -> tuple[Entry, ...]:
    """Return the entries of the attribute ``system.posix_acl_access``; raises ValueError when it is not one."""
    if len(data) < _VERSION.size or _VERSION.unpack_from(data)[0] != _ACL_VERSION:
        raise ValueError("not a POSIX ACL of version 2")
    if (len(data) - _VERSION.size) % _ENTRY.size:
        raise ValueError("a POSIX ACL that is cut")
    entries = tuple(Entry(*fields) for fields in _ENTRY.iter_unpack(data[_VERSION.size :]))
    if any(entry.tag not in {USER_OBJ, USER, GROUP_OBJ, GROUP, MASK, OTHER} for entry in entries):
        raise ValueError("a POSIX ACL with an unknown kind of entry")
    return entries


def judge(file: File, process: Process) -> str | None:
    """Return why ``process`` can write to ``file``, or give itself the right to, or None when it cannot."""
    reason = grants(file, process) or _can_be_gained(file, process)
    if reason is None or not file.has_immutable_attribute:
        return reason
    if process.has(CAP_LINUX_IMMUTABLE) and (file.uid == process.uid or process.has(CAP_FOWNER)):
        return f"{reason}, and CAP_LINUX_IMMUTABLE can take its immutable attribute away"
    return None


def grants(file: File, process: Process) -> str | None:
    """Return why the kernel lets ``process`` write to ``file`` as it is, or None; the immutable attribute left aside."""
    wanted = WRITE | SEARCH if file.is_directory else WRITE
    if process.has(CAP_DAC_OVERRIDE):
        return "this process has CAP_DAC_OVERRIDE, which no mode holds back"
    mode = stat.S_IMODE(file.mode)
    if file.uid == process.uid:
        return f"it is owned by this process's uid {file.uid}" if mode >> 6 & wanted == wanted else None
    if file.acl and mode & stat.S_IRWXG:
        return _granted_by_acl(file, process, wanted)
    if file.gid in process.groups:
        return f"its mode {mode:04o} lets group {file.gid} write" if mode >> 3 & wanted == wanted else None
    return f"its mode {mode:04o} lets everybody write" if mode & wanted == wanted else None


def _granted_by_acl(file: File, process: Process, wanted: int) -> str | None:
    """The algorithm of posix_acl_permission, fs/posix_acl.c; the owner was answered before."""
    mask = next((entry.permission for entry in file.acl if entry.tag == MASK), READ | WRITE | SEARCH)
    in_a_group = False
    for entry in file.acl:
        if entry.tag == USER and entry.id == process.uid:
            allowed = entry.permission & mask & wanted == wanted
            return f"its ACL lets uid {entry.id} write" if allowed else None
        if entry.tag in {GROUP_OBJ, GROUP}:
            group = file.gid if entry.tag == GROUP_OBJ else entry.id
            if group in process.groups:
                in_a_group = True
                if entry.permission & wanted == wanted:
                    return f"its ACL lets group {group} write" if mask & wanted == wanted else None
        if entry.tag == OTHER and not in_a_group:
            return "its ACL lets everybody write" if entry.permission & wanted == wanted else None
    return None


def _can_be_gained(file: File, process: Process) -> str | None:
    if file.uid == process.uid:
        return f"it is owned by this process's uid {file.uid}"
    if process.has(CAP_FOWNER):
        return "this process has CAP_FOWNER, which can change its mode"
    if process.has(CAP_CHOWN):
        return "this process has CAP_CHOWN, which can change its owner"
    return None


def judge_removal(directory: File, entry: File, process: Process) -> str | None:
    """Return why ``process`` can rename or remove ``entry`` of ``directory``, or None.

    In a directory with the sticky bit, only the owner of the one or the other can, or CAP_FOWNER (may_delete, fs/namei.c);
    CAP_CHOWN can become that owner.
    """
    reason = judge(directory, process)
    if reason is None or (entry.has_immutable_attribute and not process.has(CAP_LINUX_IMMUTABLE)):
        return None
    if not directory.mode & stat.S_ISVTX or process.uid in {directory.uid, entry.uid}:
        return reason
    return reason if process.has(CAP_FOWNER) or process.has(CAP_CHOWN) else None
