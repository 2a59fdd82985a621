"""Is an immutable root immutable? By mounts, owners, modes, ACLs, capabilities and attributes, and by trying.

Rules
-----
* Everything on the way to the root is judged first: who can rename a directory above it, or retarget a symlink in its
  path, replaces the whole root. What is a mount point of its own cannot be renamed (EBUSY, rename(2)).
* A root on a read-only mount, with no writable mount beneath it, is immutable; nothing in it needs a look. The kernel is
  asked (statvfs(3)) besides the table of mounts, and where the two disagree, that is a reason.
* Read-only is a mount's and not the file system's: where another mount shows the same files writable, what of them this
  process can write through it is a reason. Who has CAP_SYS_ADMIN can mount, whatever else is so.
* Otherwise no file or directory beneath it may be writable for this process (``access.judge``), nor may the kernel say so
  (access(2)) where the modes do not. What lies in a directory that it may not enter, it cannot reach.
* At last a write is tried.
* The answer names the first paths that can be written, each with its reason, and counts them up to a bound.
"""

import contextlib
import dataclasses
import errno
import fcntl
import itertools
import os
import stat
import struct
import sys
from collections.abc import Iterator

from contract import errors, records
from entrypoint import access, mounts

TOLD = 5
COUNTED = 1000
"""How many reasons are told, and how many are counted at most: who can write everything need not be told each file."""

_LINKS = 40
"""The kernel follows as many symlinks in one path (path_resolution(7))."""
_LONG_BYTES = struct.calcsize("l")
_GET_FLAGS, _IMMUTABLE_FLAG = 2 << 30 | _LONG_BYTES << 16 | ord("f") << 8 | 1, 0x10
"""FS_IOC_GETFLAGS and FS_IMMUTABLE_FL (ioctl_iflags(2)), as most machines number them; elsewhere no flag is found."""
_ACL = "system.posix_acl_access"
_OVER_ALL = (access.CAP_DAC_OVERRIDE, access.CAP_FOWNER, access.CAP_CHOWN)


@records.dataclass(frozen=True)
class Reason:
    """That ``path`` makes the root writable, and ``why``, as the rest of a sentence that begins with the path."""

    path: str
    why: str

    def __str__(self) -> str:
        return errors.printable(f"{self.path} {self.why}")


@records.dataclass(frozen=True)
class Finding:
    """Why a root can be written: at most TOLD reasons, and how many there are, counted up to COUNTED."""

    reasons: tuple[Reason, ...]
    count: int

    def __str__(self) -> str:
        more = self.count - len(self.reasons)
        at_least = "at least " if self.count == COUNTED else ""
        told = "; ".join(map(str, self.reasons))
        return f"{told}; and {at_least}{more} more" if more else told


def why_writable(path: str, table: tuple[mounts.Mount, ...]) -> str | None:
    """Return in words why this process can write beneath ``path``, or None when it cannot; raises as ``examine``."""
    finding = examine(path, table)
    return str(finding) if finding.count else None


def examine(path: str, table: tuple[mounts.Mount, ...]) -> Finding:
    """Return why this process can write beneath ``path``, with the mounts of ``table``.

    Raises BootsealError when the path does not exist, and OSError when it cannot be examined.
    """
    if not os.path.isdir(path):
        raise errors.BootsealError(f"immutable root {path}", "there is no such directory", "correct boot.immutable")
    found = _Examination(table).reasons(path)
    told = tuple(itertools.islice(found, TOLD))
    return Finding(told, len(told) + sum(1 for _ in itertools.islice(found, COUNTED - TOLD)))


def this_process() -> access.Process:
    """Return what decides about this process's writes; raises OSError or ValueError without /proc."""
    with open("/proc/self/status", "rb") as file:
        effective = next((line for line in file if line.startswith(b"CapEff:")), b"")
    if not effective:
        raise ValueError("/proc/self/status names no capabilities")
    groups = frozenset({os.getegid(), *os.getgroups()})
    return access.Process(os.geteuid(), groups, int(effective.split()[1], 16))


class _Examination:
    """The examination of one root; who this process is, is read when something is not on a read-only mount."""

    def __init__(self, table: tuple[mounts.Mount, ...]) -> None:
        self._table = table
        self._process: access.Process | None = None

    def reasons(self, path: str) -> Iterator[Reason]:
        seen: set[str] = set()
        real = os.path.realpath(path)
        for directory, name, target in _steps(path):
            entry = os.path.join(directory, name)
            if entry not in seen:
                seen.add(entry)
                yield from self._replaceable(directory, entry, target)
        if self._who().has(access.CAP_SYS_ADMIN):
            yield Reason(real, "can be mounted writable, or another in its place: this process has CAP_SYS_ADMIN")
        below = [mount for mount in mounts.beneath(self._table, real) if not mount.read_only]
        yield from (Reason(mount.point, f"is mounted writable beneath it ({mount.filesystem})") for mount in below)
        read_only = _is_read_only(real)
        holder = mounts.holding(self._table, real)
        if holder is not None and holder.read_only != read_only:
            words = {True: "read-only", False: "writable"}
            why = f"is {words[read_only]} by statvfs, and its mount {holder.point} is {words[holder.read_only]} by mountinfo"
            yield Reason(real, why)
        yield from self._writable_elsewhere(real)
        if read_only:
            return
        writable = False
        for reason in self._writable_in(real):
            writable = True
            yield reason
        if not writable and _can_create_in(real):
            yield Reason(real, "can be written: a file could be created in it, although nothing seems to allow that")

    def _replaceable(self, directory: str, entry: str, target: str | None) -> Iterator[Reason]:
        if mounts.is_mount_point(self._table, entry) or _is_read_only(directory):
            return
        why = access.judge_removal(_file(directory), _file(entry), self._who())
        if why is not None:
            what = "can be renamed away" if target is None else f"is a symlink to {target} and can be retargeted"
            yield Reason(entry, f"{what}, for {directory} can be written: {why}")

    def _writable_elsewhere(self, real: str) -> Iterator[Reason]:
        """Yield what can be written of the read-only mounts at and beneath ``real`` through another mount."""
        holder = mounts.holding(self._table, real)
        shown = [real] if holder is not None and holder.read_only else []
        shown += [mount.point for mount in mounts.beneath(self._table, real) if mount.read_only]
        for path in shown:
            for other, there in mounts.other_ways_to(self._table, path):
                is_told = there == real or there.startswith(f"{real.rstrip('/')}/")  # as what is mounted beneath it
                if other.read_only or is_told or not _is_reachable(there):
                    continue
                for reason in self._writable_in(there):
                    yield Reason(path, f"is the same as {there}, and {reason}")

    def _writable_in(self, root: str) -> Iterator[Reason]:
        process = self._who()
        status = os.lstat(root)
        why = self._judge(root, status)
        if why is not None:
            yield Reason(root, f"can be written: {why}")
            if any(process.has(capability) for capability in _OVER_ALL):
                return  # it holds for everything beneath as well
        waiting = [(root, why is not None)] if stat.S_ISDIR(status.st_mode) else []
        elsewhere = {mount.point for mount in mounts.beneath(self._table, root)}
        while waiting:
            folder, told = waiting.pop()
            for entry in _listing(root, folder, told):
                if entry.path in elsewhere or entry.is_symlink():
                    continue
                try:
                    status = entry.stat(follow_symlinks=False)
                except PermissionError:
                    continue  # the folder may be listed, and not entered
                why = self._judge(entry.path, status)
                if why is not None:
                    yield Reason(entry.path, f"can be written: {why}")
                if entry.is_dir(follow_symlinks=False):
                    waiting.append((entry.path, why is not None))

    def _judge(self, path: str, status: os.stat_result) -> str | None:
        file = access.File(status.st_mode, status.st_uid, status.st_gid, _acl(path))
        why = access.judge(file, self._who())
        if why is not None:
            flagged = _has_immutable_attribute(path, status.st_mode)
            return (
                access.judge(dataclasses.replace(file, has_immutable_attribute=True), self._who()) if flagged else why
            )
        wanted = os.W_OK | os.X_OK if file.is_directory else os.W_OK
        if os.access(path, wanted, effective_ids=os.access in os.supports_effective_ids):
            return (
                f"the kernel lets this process, although neither its mode {stat.S_IMODE(file.mode):04o} nor an ACL does"
            )
        return None

    def _who(self) -> access.Process:
        if self._process is None:
            self._process = this_process()
        return self._process


def _steps(path: str) -> Iterator[tuple[str, str, str | None]]:
    """Yield each step of resolving ``path``: the real directory, the name in it, and the target where that is a symlink."""
    directory, links = "/", 0
    waiting = path.split("/")[::-1]
    while waiting:
        name = waiting.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            directory = os.path.dirname(directory)
            continue
        entry = os.path.join(directory, name)
        try:
            target = os.readlink(entry)
        except OSError as error:
            if error.errno != errno.EINVAL:  # readlink(2): it is no symlink
                raise
            yield directory, name, None
            directory = entry
            continue
        links += 1
        if links > _LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        yield directory, name, target
        directory = "/" if target.startswith("/") else directory
        waiting += target.split("/")[::-1]


def _listing(root: str, folder: str, told: bool) -> Iterator[os.DirEntry[str]]:
    try:
        listing = os.scandir(folder)
    except PermissionError as error:
        if told or not os.access(folder, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
            return
        raise errors.BootsealError(
            f"immutable root {root}", f"{errors.printable(folder)} may be entered but not listed"
        ) from error
    with listing as entries:
        yield from entries


def _is_reachable(path: str) -> bool:
    try:
        os.lstat(path)
    except (FileNotFoundError, PermissionError):
        return False
    return True


def _is_read_only(path: str) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _file(path: str) -> access.File:
    status = os.lstat(path)
    acl = () if stat.S_ISLNK(status.st_mode) else _acl(path)
    flagged = _has_immutable_attribute(path, status.st_mode)
    return access.File(status.st_mode, status.st_uid, status.st_gid, acl, flagged)


def _acl(path: str) -> tuple[access.Entry, ...]:
    try:
        data = os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError as error:
        if error.errno in {errno.ENODATA, errno.EOPNOTSUPP}:
            return ()
        raise
    return access.parse_acl(data)


def _has_immutable_attribute(path: str, mode: int) -> bool:
    """Say whether ``path`` has the attribute; what cannot be opened or asked has none, and so counts as writable."""
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return False
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        flags = fcntl.ioctl(fd, _GET_FLAGS, bytes(_LONG_BYTES))
    except OSError:
        return False
    finally:
        os.close(fd)
    return bool(int.from_bytes(flags[:4], sys.byteorder) & _IMMUTABLE_FLAG)


def _can_create_in(path: str) -> bool:
    probe = os.path.join(path, f".bootseal-write-probe.{os.urandom(6).hex()}")
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return False
        raise
    try:
        os.close(fd)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(probe)
    return True
