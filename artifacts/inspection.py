"""Is what lies at a path what was locked? One entry at a time, by its metadata or by every byte. Standard library only.

Rules
-----
* No symlink is followed (`descent`); nothing that is no regular file is read, and nothing blocks: O_NONBLOCK, then fstat.
* What vanishes, changes while it is read, or cannot be read is a fault, never an exception.
* A file is read once, into one buffer, and past its locked size by no more than that; a read that brings exactly the
  locked size is known to end there only when the buffer had room for more.
"""

import hashlib
import os
import stat
from collections.abc import Callable, Container
from typing import NamedTuple

from artifacts import closure, descent
from contract import errors

MISSING, CHANGED, EXTRA, RETARGETED = "missing", "changed", "extra", "retargeted"
MODE, TYPE, UNREADABLE = "mode", "type", "unreadable"
FAULTS = (MISSING, CHANGED, EXTRA, RETARGETED, MODE, TYPE, UNREADABLE)

_BUFFER = 256 * 1024
_READAHEAD = 128 * 1024
"""The kernel's default; a file that fits in it is read at once anyway."""
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_LISTING = os.O_RDONLY | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_TYPES = {stat.S_IFREG: closure.FILE, stat.S_IFDIR: closure.DIRECTORY, stat.S_IFLNK: closure.LINK}
_NAMES = {closure.FILE: "a file", closure.DIRECTORY: "a directory", closure.LINK: "a symlink"}


class Fault(NamedTuple):
    """What is not as it was locked: one of FAULTS, the path as the closure has it, and the fact in words."""

    kind: str
    path: str
    detail: str


class Inspector:
    """Looks at entries of closures whose relative paths count from one directory; whoever makes it closes it.

    ``between_reads`` is called while a file is read that takes longer than a moment.
    """

    def __init__(self, here: str, between_reads: Callable[[], None] = lambda: None) -> None:
        self._between_reads = between_reads
        self._descent = descent.Descent(here)
        self._buffer = memoryview(bytearray(_BUFFER))

    def close(self) -> None:
        """Close what it opened."""
        self._descent.close()

    def look(self, entry: closure.Entry) -> list[Fault]:
        """Return what differs in type, mode, size and target."""
        try:
            folder, name = self._descent.parent(entry.path)
            status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if entry.type == closure.LINK and stat.S_ISLNK(status.st_mode):
                target = os.readlink(name, dir_fd=folder)
                if target == entry.target:
                    return []
                return [Fault(RETARGETED, entry.path, f"points to {target}, locked to {entry.target}")]
        except (descent.Unreachable, OSError) as error:
            return [_absent(entry, error)]
        return _compare(entry, status)

    def read(self, entry: closure.Entry) -> list[Fault]:
        """Return what differs in the regular file that ``entry`` speaks of, its content included."""
        try:
            folder, name = self._descent.parent(entry.path)
            fd = os.open(name, _FLAGS, dir_fd=folder)
        except descent.Unreachable as error:
            return [_absent(entry, error)]
        except OSError as error:
            # ELOOP a symlink, ENXIO a socket: what it is says more than why it does not open.
            found = self.look(entry)
            is_told = any(fault.kind in {MISSING, TYPE, UNREADABLE} for fault in found)
            return found if is_told else [*found, _absent(entry, error)]
        try:
            status = os.fstat(fd)
            is_file = stat.S_ISREG(status.st_mode) and status.st_size == entry.size
            content = self._content(entry, fd) if is_file else []
        except OSError as error:
            return [_absent(entry, error)]
        finally:
            os.close(fd)
        return content if status.st_mode == stat.S_IFREG | entry.mode and is_file else _compare(entry, status) + content

    def extras(self, entry: closure.Entry, known: Container[str]) -> list[Fault]:
        """Return what lies in the directory ``entry``, which `look` found good, and is not in ``known``, the closure's paths."""
        prefix = f"{entry.path}/"
        try:
            folder, name = self._descent.parent(entry.path)
            fd = os.open(name, _LISTING, dir_fd=folder)
            try:
                with os.scandir(fd) as listing:
                    return [_extra(path, found) for found in listing if (path := prefix + found.name) not in known]
            finally:
                os.close(fd)
        except descent.Unreachable as error:
            return [_absent(entry, error)]
        except OSError as error:
            return [Fault(UNREADABLE, entry.path, f"cannot be listed: {errors.describe_os_error(error)}")]

    def _content(self, entry: closure.Entry, fd: int) -> list[Fault]:
        size, buffer = entry.size, self._buffer
        if size > _READAHEAD:
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        digest, total = hashlib.sha256(), 0
        while count := os.readv(fd, [buffer]):
            digest.update(buffer[:count])
            total += count
            if total > size or (total == size and count < _BUFFER):
                break
            self._between_reads()
        if total != size:
            return [Fault(CHANGED, entry.path, "it changed while it was read")]
        found = digest.hexdigest()
        if found != entry.sha256:
            return [Fault(CHANGED, entry.path, f"its SHA-256 is {found[:16]}…, locked as {entry.sha256[:16]}…")]
        return []


def _compare(entry: closure.Entry, status: os.stat_result) -> list[Fault]:
    mode = status.st_mode
    if _TYPES.get(stat.S_IFMT(mode)) != entry.type:
        return [Fault(TYPE, entry.path, f"is {descent.kind_of(mode)}, locked as {_NAMES[entry.type]}")]
    faults = []
    if entry.type == closure.FILE and status.st_size != entry.size:
        faults.append(Fault(CHANGED, entry.path, f"has {status.st_size} bytes, locked with {entry.size}"))
    if stat.S_IMODE(mode) != entry.mode:
        faults.append(Fault(MODE, entry.path, f"has mode {stat.S_IMODE(mode):04o}, locked as {entry.mode:04o}"))
    return faults


def _absent(entry: closure.Entry, error: descent.Unreachable | OSError) -> Fault:
    if isinstance(error, descent.Unreachable):
        return Fault(MISSING if error.is_absent else UNREADABLE, entry.path, error.why)
    if isinstance(error, FileNotFoundError):
        return Fault(MISSING, entry.path, "is not there")
    return Fault(UNREADABLE, entry.path, errors.describe_os_error(error))


def _extra(path: str, found: os.DirEntry[str]) -> Fault:
    try:
        return Fault(EXTRA, path, f"is {descent.kind_of(found.stat(follow_symlinks=False).st_mode)} and was not locked")
    except OSError as error:
        return Fault(EXTRA, path, f"was not locked, and cannot be looked at: {errors.describe_os_error(error)}")
