"""A skeleton: the tree that a writable root is filled from, where nothing stands yet.

Rules
-----
* Nothing is overwritten. A symlink is copied as a symlink and never followed, neither in the skeleton nor in the root nor
  on the way to the skeleton; anything but directories, regular files and symlinks is refused.
* Each file appears whole or not at all.
* An entry has the skeleton's permission bits, no setuid, setgid or sticky bit. A directory made in a setgid one keeps what
  the kernel gave it, group and setgid (mkdir(2)).
* Where the root has an owner, each entry that is made belongs to it.
"""

import contextlib
import os
import stat
from collections.abc import Iterator

from contract import directories, errors
from manifest import provisions

_CHUNK = 1024 * 1024
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def copy(skeleton: str, target_fd: int, owner: provisions.User | None = None) -> None:
    """Copy what lies in the directory ``skeleton`` into the directory ``target_fd``.

    Raises BootsealError when the skeleton cannot be read, UnsafePath when an entry breaks a rule, OSError otherwise.
    """
    try:
        source_fd, _ = directories.open_confined(skeleton)
    except (OSError, errors.UnsafePath) as error:
        why = error.why if isinstance(error, errors.UnsafePath) else errors.describe_os_error(error)
        remedy = "correct `from:` or add the directory to the image"
        raise errors.BootsealError(f"skeleton {skeleton}", why, remedy) from error
    try:
        _Copy(owner).tree(source_fd, target_fd, skeleton)
    finally:
        os.close(source_fd)


def cannot_give_away(what: str, owner: provisions.User) -> errors.UnsafePath:
    """Return the error that ``what`` cannot be given to ``owner``."""
    why = f"it cannot be given to uid {owner.uid} and gid {owner.gid}: this process lacks CAP_CHOWN"
    return errors.UnsafePath(what, why, "add the capability CHOWN, or leave the owner out")


class _Copy:
    """Copies into one root, for one owner."""

    def __init__(self, owner: provisions.User | None) -> None:
        self._owner = owner

    def tree(self, source_fd: int, target_fd: int, where: str) -> None:
        for name in sorted(os.listdir(source_fd)):
            status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
            path = f"{where}/{name}"
            if stat.S_ISDIR(status.st_mode):
                self._directory(name, status, source_fd, target_fd, path)
            elif _exists(name, target_fd):
                continue
            elif stat.S_ISLNK(status.st_mode):
                self._symlink(name, source_fd, target_fd, path)
            elif stat.S_ISREG(status.st_mode):
                self._file(name, source_fd, target_fd, path)
            else:
                raise _refusal(path)

    def _directory(self, name: str, status: os.stat_result, source_fd: int, target_fd: int, where: str) -> None:
        made = _make_directory(name, target_fd)
        below_source = os.open(name, directories.OPEN_FLAGS, dir_fd=source_fd)
        try:
            try:
                below_target = os.open(name, directories.OPEN_FLAGS, dir_fd=target_fd)
            except OSError as error:
                why = f"what stands in its place cannot be entered: {errors.describe_os_error(error)}"
                raise errors.UnsafePath(
                    f"skeleton directory {where}", why, "remove it from the writable root"
                ) from error
            try:
                self.tree(below_source, below_target, where)
                if made:
                    inherited = os.fstat(below_target).st_mode & stat.S_ISGID
                    os.fchmod(below_target, stat.S_IMODE(status.st_mode) & 0o777 | inherited)
                    self._give_away(below_target, where)
            finally:
                os.close(below_target)
        finally:
            os.close(below_source)

    def _symlink(self, name: str, source_fd: int, target_fd: int, where: str) -> None:
        os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
        if self._owner is None:
            return
        link = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target_fd)
        try:  # by its descriptor: whoever swaps the name for another file gets nothing
            if stat.S_ISLNK(os.fstat(link).st_mode):
                with self._naming(where):
                    os.chown(f"/proc/self/fd/{link}", self._owner.uid, self._owner.gid)
        finally:
            os.close(link)

    def _file(self, name: str, source_fd: int, target_fd: int, where: str) -> None:
        source = os.open(name, _READ_FLAGS, dir_fd=source_fd)
        try:
            status = os.fstat(source)
            if not stat.S_ISREG(status.st_mode):  # it was one when it was listed
                raise _refusal(where)
            temporary = f".{name[:80]}.{os.getpid()}.{os.urandom(6).hex()}"
            try:  # opened inside: a stop may come as open returns
                target = os.open(temporary, _MAKE_FLAGS, 0o600, dir_fd=target_fd)
                try:
                    while os.sendfile(target, source, None, _CHUNK):
                        pass
                    os.fchmod(target, stat.S_IMODE(status.st_mode) & 0o777)
                    self._give_away(target, where)
                finally:
                    os.close(target)
                os.rename(temporary, name, src_dir_fd=target_fd, dst_dir_fd=target_fd)
            except BaseException:
                with contextlib.suppress(OSError):  # a stop came just after the rename, or none could be made
                    os.unlink(temporary, dir_fd=target_fd)
                raise
        finally:
            os.close(source)

    def _give_away(self, fd: int, where: str) -> None:
        if self._owner is not None:
            with self._naming(where):
                os.fchown(fd, self._owner.uid, self._owner.gid)

    @contextlib.contextmanager
    def _naming(self, where: str) -> Iterator[None]:
        try:
            yield
        except PermissionError as error:
            if self._owner is None:
                raise
            raise cannot_give_away(f"copy of skeleton entry {where}", self._owner) from error


def _make_directory(name: str, dir_fd: int) -> bool:
    """Make the directory, only for us until it is filled; say whether it was missing."""
    if _exists(name, dir_fd):
        return False
    os.mkdir(name, 0o700, dir_fd=dir_fd)
    return True


def _exists(name: str, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _refusal(path: str) -> errors.UnsafePath:
    return errors.UnsafePath(
        f"skeleton entry {path}", "it is neither a directory, a regular file nor a symlink", "remove it"
    )
