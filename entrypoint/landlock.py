"""Landlock: a thread, or the whole process, gives up writing outside a list (landlock(7)). Raw system calls through ctypes.

Rules
-----
* Only writing is given up: creating, removing, renaming and linking, writing and truncating files. Reading and executing
  stay free, and so do descriptors that are open already. No kernel restricts modes, owners and times by Landlock.
* What the kernel's version of Landlock knows is used; what it does not know stays free (truncate(2) before version 3;
  before version 2 nothing can be moved between directories).
* Rules name open descriptors, never paths: what was checked is what is allowed. /dev/null stays writable.
* It cannot be undone and reaches every child; so does the no_new_privs that it needs. Threads that exist stay as they are.
* A kernel without it is no error of ours: ``Unavailable`` says why.
"""

import ctypes
import errno
import os
from collections.abc import Iterable

from contract import directories, errors

# The numbers are the same on every architecture that has them (include/uapi/asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CREATE_RULESET_VERSION = 1
_RULE_PATH_BENEATH = 1
_PR_SET_NO_NEW_PRIVS = 38

# include/uapi/linux/landlock.h
_WRITE_FILE, _REMOVE_DIR, _REMOVE_FILE = 1 << 1, 1 << 4, 1 << 5
_MAKE = sum(1 << bit for bit in range(6, 13))  # char, dir, reg, sock, fifo, block, sym
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_FILES = _WRITE_FILE | _TRUNCATE
_LAYERS = 16

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.syscall.restype = ctypes.c_long
_ABSENT = {
    errno.ENOSYS: "this kernel has no Landlock",
    errno.EOPNOTSUPP: "Landlock is off: it is not among the kernel's security modules (lsm=)",
    errno.EPERM: "a seccomp filter forbids its system calls",
    errno.E2BIG: f"it is confined {_LAYERS} times already",
}


class Unavailable(errors.BootsealError):
    """Landlock cannot be used here; ``why`` says what lacks."""

    def __init__(self, why: str) -> None:
        super().__init__("Landlock", why)


class _RulesetAttributes(ctypes.Structure):
    _fields_ = (("handled_access_fs", ctypes.c_uint64),)


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))


def version() -> int:
    """Return the kernel's version of Landlock, from 1; raises Unavailable."""
    return _call(_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)


def handled(version: int) -> int:
    """Return the rights that are given up, as that ``version`` of Landlock knows them."""
    rights = _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE
    rights |= _REFER if version >= 2 else 0
    return rights | (_TRUNCATE if version >= 3 else 0)


class Ruleset:
    """The list of what may still be written: everything beneath the open directories ``descriptors``, and /dev/null."""

    def __init__(self, descriptors: Iterable[int]) -> None:
        """Make the list; raises Unavailable, or OSError when a descriptor is not of a directory."""
        rights = handled(version())
        attributes = _RulesetAttributes(rights)
        self._fd = _call(_CREATE_RULESET, ctypes.byref(attributes), ctypes.sizeof(attributes), 0)
        try:
            for descriptor in descriptors:
                self._allow(rights, descriptor)
            self._allow_null(rights & _OF_FILES)
        except BaseException:
            self.close()
            raise

    def restrict_this_thread(self) -> None:
        """Give up writing elsewhere, for this thread and what it starts; raises Unavailable."""
        if _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, *map(ctypes.c_ulong, (1, 0, 0, 0))):
            raise Unavailable(f"no_new_privs cannot be set: {os.strerror(ctypes.get_errno())}")
        _call(_RESTRICT_SELF, self._fd, 0)

    def close(self) -> None:
        """Close the list; who is restricted stays so."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _allow(self, rights: int, descriptor: int) -> None:
        rule = _PathBeneath(rights, descriptor)
        _call(_ADD_RULE, self._fd, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)

    def _allow_null(self, rights: int) -> None:
        try:
            fd = os.open(os.devnull, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return  # without /dev/null there is nothing to allow
        try:
            self._allow(rights, fd)
        finally:
            os.close(fd)


def restrict_process(paths: Iterable[str]) -> None:
    """Give up writing outside the directories ``paths``, for this whole process, which must have one thread.

    Raises Unavailable; UnsafePath or OSError when a directory cannot be opened without following a symlink.
    """
    threads = len(os.listdir("/proc/self/task"))
    if threads != 1:
        raise RuntimeError(f"{threads} threads run, and only the calling one would be confined")
    opened: list[int] = []
    try:
        for path in paths:
            opened.append(directories.locate(path))  # noqa: PERF401  (each is closed, also when the next fails)
        ruleset = Ruleset(opened)
    finally:
        for fd in opened:
            os.close(fd)
    try:
        ruleset.restrict_this_thread()
    finally:
        ruleset.close()


def _call(number: int, *arguments: object) -> int:
    """Make a system call; raises Unavailable where the kernel does not offer it, and OSError otherwise."""
    words = [ctypes.c_long(argument) if isinstance(argument, int) else argument for argument in arguments]
    result: int = _LIBC.syscall(ctypes.c_long(number), *words)
    if result >= 0:
        return result
    code = ctypes.get_errno()
    if code in _ABSENT:
        raise Unavailable(_ABSENT[code])
    raise OSError(code, os.strerror(code))
