"""What a closure is made of: paths walked to, directories listed whole, files read to their digests.

Rules
-----
* A path is walked to component by component, as the kernel does (path_resolution(7)); every symlink on the way is an entry, so
  that one that is retargeted shows. No path that is written down leads through a symlink.
* The manifest's directory is taken as it is: what leads to it is no part of a closure, because the image may have it elsewhere.
* Beneath a directory everything is listed; a symlink in it is written down and not followed.
* A socket, a FIFO, a device, what cannot be read and what changes while it is read is a problem, and every problem is noted,
  with what to do about it.
"""

import dataclasses
import errno
import hashlib
import os
import stat

from artifacts import closure
from contract import errors

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_MOST_LINKS = 40
"""As many as the kernel follows (path_resolution(7))."""
_REMEDIES = {
    errno.ENOENT: "install it, or correct what names it",
    errno.ENOTDIR: "install it, or correct what names it",
    errno.ELOOP: "correct the links",
    errno.EACCES: "make it readable for whoever runs `bootseal lock`",
    errno.EPERM: "make it readable for whoever runs `bootseal lock`",
    errno.EBUSY: "let nothing write there meanwhile",
}
_KINDS = {
    stat.S_IFSOCK: "a socket", stat.S_IFIFO: "a FIFO", stat.S_IFBLK: "a device", stat.S_IFCHR: "a device",
    stat.S_IFDIR: "a directory",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Way:
    """Where a path leads: the real path, and the symlinks on the way with their targets."""

    end: str
    links: tuple[tuple[str, str], ...]


class Survey:
    """One closure as it is found: its entries by path, and the problems."""

    def __init__(self, here: str, digests: "Digests | None" = None) -> None:
        self._given, self._here = here, os.path.realpath(here)
        self._digests = Digests() if digests is None else digests
        self._entries: dict[str, closure.Entry] = {}
        self.problems: list[str] = []
        self.remedies: dict[str, str] = {}

    def problem(self, why: str, remedy: str) -> None:
        """Note that ``why`` makes a closure impossible, and what to do."""
        self.problems.append(why)
        self.remedies[why] = remedy

    def unreadable(self, path: str, error: OSError) -> None:
        """Note that ``path`` could not be read."""
        self.problem(f"{path}: {errors.describe_os_error(error)}", remedy_of(error))

    @property
    def entries(self) -> tuple[closure.Entry, ...]:
        """What was found so far, in no order."""
        return tuple(self._entries.values())

    def walk(self, path: str) -> Way:
        """Return where the absolute ``path`` leads, and note nothing; raises OSError when it leads nowhere."""
        beneath = path == self._given or path.startswith(self._given.rstrip("/") + "/")
        at, rest = (self._here, path[len(self._given) :]) if beneath else ("/", path)
        links: list[tuple[str, str]] = []
        pending = rest.split("/")[::-1]
        while pending:
            part = pending.pop()
            if part in {"", "."}:
                continue
            if part == "..":
                at = os.path.dirname(at)
                continue
            step = f"{at.rstrip('/')}/{part}"
            if not stat.S_ISLNK(os.lstat(step).st_mode):
                at = step
                continue
            if len(links) == _MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
            target = os.readlink(step)
            links.append((step, target))
            if target.startswith("/"):
                at = "/"
            pending.extend(target.split("/")[::-1])
        return Way(at, tuple(links))

    def reach(self, path: str) -> str:
        """Return the real path of ``path``, and note the symlinks on the way; raises OSError when it leads nowhere."""
        way = self.walk(path)
        for at, target in way.links:
            self._add(closure.link(self._recorded(at), target))
        return way.end

    def file(self, path: str) -> str | None:
        """Note the regular file at ``path`` and return its real path; None, and a problem, when there is none."""
        try:
            end = self.reach(path)
            status = os.lstat(end)
        except OSError as error:
            self.unreadable(path, error)
            return None
        if not stat.S_ISREG(status.st_mode):
            self.problem(f"{path} is {kind_of(status.st_mode)}, not a file", "name a file")
            return None
        return end if self._note_file(end) else None

    def beneath(self, directory: str) -> None:
        """Note the directory with the real path ``directory`` and all that is in it."""
        pending = [directory]
        while pending:
            folder = pending.pop()
            if self._recorded(folder) in self._entries:
                continue
            try:
                mode = stat.S_IMODE(os.lstat(folder).st_mode)
                with os.scandir(folder) as found:
                    inside = sorted(found, key=lambda one: one.name)
            except OSError as error:
                self.unreadable(folder, error)
                continue
            self._add(closure.directory(self._recorded(folder), mode))
            for one in inside:
                if one.is_dir(follow_symlinks=False):
                    pending.append(one.path)
                else:
                    self._note(one)

    def _note(self, found: "os.DirEntry[str]") -> None:
        """Note what is no directory."""
        try:
            if found.is_symlink():
                self._add(closure.link(self._recorded(found.path), os.readlink(found.path)))
            elif found.is_file(follow_symlinks=False):
                self._note_file(found.path)
            else:
                kind = kind_of(os.lstat(found.path).st_mode)
                self.problem(f"{found.path} is {kind}", "remove it, or lock a folder without it")
        except OSError as error:
            self.unreadable(found.path, error)

    def _note_file(self, path: str) -> bool:
        recorded = self._recorded(path)
        if recorded in self._entries:
            return True
        try:
            mode, size, sha256 = self._digests.of(path)
        except OSError as error:
            self.unreadable(path, error)
            return False
        self._add(closure.file(recorded, mode, size, sha256))
        return True

    def _add(self, entry: closure.Entry) -> None:
        known = self._entries.setdefault(entry.path, entry)
        if known != entry:
            self.problem(f"{entry.path} changed while it was looked at", _REMEDIES[errno.EBUSY])

    def _recorded(self, path: str) -> str:
        return closure.recorded(path, self._here)


class Digests:
    """The digests of files, each file read once: artifacts share their libraries."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int, int], str] = {}

    def of(self, path: str) -> tuple[int, int, str]:
        """Return permission bits, size and SHA-256 of the regular file ``path``; raises OSError, also when it changes meanwhile."""
        with os.fdopen(os.open(path, _FLAGS), "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise OSError(errno.EINVAL, f"it became {kind_of(before.st_mode)} while it was looked at", path)
            known = self._known.get(_version(before))
            if known is None:
                known = hashlib.file_digest(file, "sha256").hexdigest()
                if _version(os.fstat(file.fileno())) != _version(before):
                    raise OSError(errno.EBUSY, "it changed while it was read", path)
                self._known[_version(before)] = known
        return stat.S_IMODE(before.st_mode), before.st_size, known


def _version(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def remedy_of(error: OSError) -> str:
    """Return what to do about a file that is to be locked and cannot be read."""
    return _REMEDIES.get(error.errno or 0, "look at the file system that it lies on")


def kind_of(mode: int) -> str:
    """Return in words what an inode of ``mode`` is, where it is no file."""
    return _KINDS.get(stat.S_IFMT(mode), "neither a file nor a directory")
