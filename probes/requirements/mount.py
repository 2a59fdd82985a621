"""A mount that must be there: what a look at it finds, and what of that does not do.

Rules
-----
* One descriptor of the directory is opened and everything is asked of that: what was looked at and what was written to is
  the same directory. The last component may be no symlink.
* It is a mount point when it and the directory above it lie on different mounts, by the kernel's own numbers (``mnt_id``,
  proc_pid_fdinfo(5)). Their devices say less: those of a btrfs subvolume differ without a mount, those of a bind mount can
  be equal.
* access(2) does not know quotas, Landlock or a full disk. So where we may write, in the plan's writable roots and the run
  directory, a block is written to a file without a name; where the file system has none, to a file whose name is removed
  before. Nowhere else is anything written.
* A name that comes and goes wakes whoever watches the directory. So where it takes one, what was found stands for
  ``NAMED_SECONDS`` while the file system tells nothing new; only where writing failed is it tried at every look.
* A test file that could not be removed is the last one.
* ``look`` blocks for as long as the file system does; ``judge`` is pure.
"""

import dataclasses
import errno
import os
from collections.abc import Callable

from contract import clock, errors
from manifest import serving
from probes.checks import verdict

NAMED_SECONDS = 30.0
_OPEN_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
_FILE_FLAGS = os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW
_NO_UNNAMED_FILES = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
_BLOCK = b"\0" * 4096
"""What every file system needs a block for: a byte may find room in the inode."""
_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB", "PiB")


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a look found.

    ``absent``, ``denied``, ``unwritable`` and ``lasting`` say why: it cannot be looked at; access(2) refuses; a test file
    cannot be written; one cannot be removed. They are "" where nothing is wrong or nothing was tried. ``is_mount`` and
    ``free_bytes`` are None where the system does not say.
    """

    absent: str = ""
    is_mount: bool | None = None
    read_only: bool = False
    denied: str = ""
    free_bytes: int | None = None
    unwritable: str = ""
    lasting: str = ""


def judge(wanted: serving.MountPlan, facts: Facts) -> verdict.Outcome:
    """Decide whether ``facts`` are as ``wanted`` demands."""
    reason = facts.absent or _not_mounted(wanted, facts) or _not_writable(wanted, facts) or _not_free(wanted, facts)
    if not reason and wanted.writable and facts.unwritable:
        left = "" if facts.free_bytes is None else f"; {size(facts.free_bytes)} are free"
        reason = f"a test file cannot be written there: {facts.unwritable}{left}"
    return verdict.failed(reason) if reason else verdict.PASSED


def _not_mounted(wanted: serving.MountPlan, facts: Facts) -> str:
    if not wanted.is_mount or facts.is_mount:
        return ""
    if facts.is_mount is None:
        return "whether something is mounted there cannot be told: /proc/self/fdinfo names no mount"
    return "nothing is mounted there: it is a directory of what lies above it"


def _not_writable(wanted: serving.MountPlan, facts: Facts) -> str:
    if not wanted.writable:
        return ""
    if facts.read_only:
        return "it is read-only, and must be writable"
    return facts.denied or facts.lasting


def _not_free(wanted: serving.MountPlan, facts: Facts) -> str:
    if wanted.free_bytes == 0:
        return ""
    if facts.free_bytes is None:
        return f"its file system does not say how much is free, and {size(wanted.free_bytes)} must be"
    if facts.free_bytes >= wanted.free_bytes:
        return ""
    free, must = size(facts.free_bytes), size(wanted.free_bytes)
    if free == must:
        free, must = f"{facts.free_bytes} bytes", f"{wanted.free_bytes} bytes"
    return f"{free} are free, {must} must be"


def size(count: int) -> str:
    """Return ``count`` bytes in the largest unit that fits, cut (never rounded up) to one decimal."""
    exponent = max(0, min((count.bit_length() - 1) // 10, len(_UNITS) - 1))
    tenths = (count * 10) >> (10 * exponent)
    number = f"{tenths // 10}.{tenths % 10}".removesuffix(".0")
    return f"{number} {_UNITS[exponent]}"


class Look:
    """Looks at one mount, again and again; ``once`` blocks and belongs into one thread."""

    def __init__(
        self, wanted: serving.MountPlan, ours: tuple[str, ...], now: Callable[[], float] = clock.monotonic
    ) -> None:
        """Look at ``wanted``; ``ours`` are the directories in which we may write, ``now`` is the monotonic clock."""
        self._wanted = wanted
        self._ours = ours
        self._lasting = ""
        self._now = now
        self._needs_name = False
        self._written: tuple[float, tuple[int, ...]] | None = None

    def once(self) -> verdict.Outcome:
        """Look and judge."""
        return judge(self._wanted, self.facts())

    def facts(self) -> Facts:
        """Look."""
        path = self._wanted.path
        try:
            fd = os.open(path, _OPEN_FLAGS | os.O_NOFOLLOW)
        except OSError as error:
            return Facts(absent=_absence(path, error))
        try:
            return self._facts_of(fd)
        except OSError as error:
            return Facts(absent=f"it cannot be looked at: {_words(error)}")
        finally:
            os.close(fd)

    def _facts_of(self, fd: int) -> Facts:
        wanted = self._wanted
        found = os.fstatvfs(fd)
        facts = Facts(
            is_mount=is_mount_point(fd) if wanted.is_mount else None,
            read_only=bool(found.f_flag & os.ST_RDONLY),
            free_bytes=found.f_bavail * found.f_frsize if found.f_blocks else None,
            lasting=self._lasting,
        )
        if not wanted.writable or facts.read_only or (wanted.is_mount and not facts.is_mount):
            return facts
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=fd, effective_ids=True):
            return dataclasses.replace(facts, denied=f"uid {os.geteuid()} may not write there")
        if self._lasting or not self._is_ours(fd):
            return facts
        told = _told(fd, found)
        if self._written is not None and self._written[1] == told and self._now() < self._written[0] + NAMED_SECONDS:
            return facts
        self._needs_name = False
        unwritable = self._try_writing(fd)
        self._written = (self._now(), told) if self._needs_name and not unwritable else None
        return dataclasses.replace(facts, unwritable=unwritable, lasting=self._lasting)

    def _is_ours(self, fd: int) -> bool:
        """Say whether the directory ``fd`` really lies where we may write, whatever links lead to it."""
        real = os.readlink(f"/proc/self/fd/{fd}")
        return any(real == root or real.startswith(f"{root.rstrip('/')}/") for root in self._ours)

    def _try_writing(self, fd: int) -> str:
        """Write a block to a file that nobody sees; return why that failed, or ""."""
        try:
            file = self._open_test_file(fd)
            if file is None:
                return ""
            try:
                if os.write(file, _BLOCK) < len(_BLOCK):
                    return os.strerror(errno.ENOSPC)
            finally:
                os.close(file)  # NFS tells of a full quota here
        except OSError as error:
            return _words(error)
        return ""

    def _open_test_file(self, fd: int) -> int | None:
        try:
            return os.open(".", _FILE_FLAGS | os.O_TMPFILE | os.O_EXCL, 0o600, dir_fd=fd)
        except OSError as error:
            if error.errno not in _NO_UNNAMED_FILES:
                raise
        self._needs_name = True
        name = f".bootseal-{os.urandom(8).hex()}"
        file = os.open(name, _FILE_FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=fd)
        try:
            os.unlink(name, dir_fd=fd)
        except OSError as error:
            os.close(file)
            self._lasting = f"its test file {name} cannot be removed: {_words(error)}"
            return None
        return file


def _told(fd: int, found: os.statvfs_result) -> tuple[int, ...]:
    """Return what says that a file that was written here could be written again: the same directory, no more and no less full."""
    directory = os.fstat(fd)
    is_full, has_no_inode = found.f_bavail * found.f_frsize < 2 * len(_BLOCK), found.f_files > 0 and not found.f_favail
    return (directory.st_dev, directory.st_ino, found.f_flag, found.f_blocks, found.f_files, is_full, has_no_inode)


def is_mount_point(fd: int) -> bool | None:
    """Say whether something is mounted on the directory ``fd``, None where the system does not tell; raises OSError."""
    above = os.open("..", _OPEN_FLAGS, dir_fd=fd)
    try:
        ours, theirs = _mount_id(fd), _mount_id(above)
        if ours is None or theirs is None:
            return None
        return ours != theirs or os.path.samestat(os.fstat(fd), os.fstat(above))  # the root is its own parent
    finally:
        os.close(above)


def _mount_id(fd: int) -> int | None:
    """Return the kernel's number of the mount that ``fd`` lies on (Linux 3.15), None where it is not told."""
    try:
        with open(f"/proc/self/fdinfo/{fd}", encoding="ascii") as file:
            found = dict(line.split(":", 1) for line in file if ":" in line)
        return int(found["mnt_id"])
    except (OSError, KeyError, ValueError):
        return None


def _absence(path: str, error: OSError) -> str:
    if error.errno == errno.ENOENT:
        return "it is not there"
    if error.errno in {errno.ENOTDIR, errno.ELOOP}:
        try:
            return f"it is a symlink to {os.readlink(path)}, and the last component may be none"
        except OSError:
            return "it is not a directory"
    return f"it cannot be opened: {_words(error)}"


def _words(error: OSError) -> str:
    text = errors.describe_os_error(error)
    return text[:1].lower() + text[1:]
