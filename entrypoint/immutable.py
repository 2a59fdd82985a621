"""Is an immutable root immutable? By mount flags and modes, and by trying.

Rules
-----
* A path on a read-only mount, with no writable mount beneath it, is immutable; nothing else needs a look. The kernel
  is asked (statvfs(3)), not the table of mounts: a mount that another one covers still stands in the table.
* Otherwise every file and directory beneath it must be unwritable for this process by owner and mode: an owner
  can always give himself the right, and root needs none. What lies in a directory that it may not enter, it cannot reach.
* Then a write is tried: where the kernel allows what the modes forbid (an ACL, a capability), it shows.
* The answer is a reason that names the first path that can be written and why, or None.
"""

import errno
import os
import stat
from collections.abc import Iterator

from contract import errors
from entrypoint import mounts


def why_writable(path: str, table: tuple[mounts.Mount, ...]) -> str | None:
    """Return why this process can write beneath ``path``, or None when it cannot.

    Raises BootsealError when the path does not exist, and OSError when it cannot be examined.
    """
    if not os.path.isdir(path):
        raise errors.BootsealError(f"immutable root {path}", "there is no such directory", "correct boot.immutable")
    real = os.path.realpath(path)
    writable_mounts = [mount.point for mount in mounts.beneath(table, real) if not mount.read_only]
    if writable_mounts:
        return f"{writable_mounts[0]} is mounted writable beneath it"
    if os.statvfs(real).f_flag & os.ST_RDONLY:
        return None
    if os.geteuid() == 0:
        return "it is not on a read-only mount, and this process is root"
    reason = next(_writable_by_mode(real), None)
    return reason or _writable_by_trying(real)


def judge_mode(status: os.stat_result, uid: int, groups: frozenset[int]) -> str | None:
    """Return why a process of ``uid`` and ``groups`` can write to what ``status`` describes, or None."""
    mode = stat.S_IMODE(status.st_mode)
    if status.st_uid == uid:
        return f"it is owned by this process's uid {uid}"
    if status.st_gid in groups:
        return f"its mode {mode:04o} lets group {status.st_gid} write" if mode & stat.S_IWGRP else None
    return f"its mode {mode:04o} lets everybody write" if mode & stat.S_IWOTH else None


def _writable_by_mode(root: str) -> Iterator[str]:
    uid, groups = os.geteuid(), frozenset({os.getegid(), *os.getgroups()})
    for path in _walk(root):
        status = os.lstat(path)
        if not stat.S_ISLNK(status.st_mode):
            reason = judge_mode(status, uid, groups)
            if reason:
                yield f"{path} can be written: {reason}"


def _walk(root: str) -> Iterator[str]:
    yield root
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            listing = os.scandir(folder)
        except PermissionError as error:
            if not os.access(folder, os.X_OK, effective_ids=os.access in os.supports_effective_ids):
                continue
            raise errors.BootsealError(f"immutable root {root}", f"{folder} may be entered but not listed") from error
        with listing as entries:
            for entry in entries:
                yield entry.path
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)


def _writable_by_trying(path: str) -> str | None:
    probe = os.path.join(path, f".bootseal-write-probe.{os.urandom(6).hex()}")
    try:
        fd = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
            return None
        raise
    os.close(fd)
    os.unlink(probe)
    return "a file could be created in it although its modes forbid that"
