"""Readiness by a file: it exists, and did not when the process was started.

Rules
-----
* The file is removed before each start; one that cannot be removed proves nothing for that process.
* inotify(7) only says when to look: what counts is lstat(2), so a lost, merged or false event proves nothing. The
  file is never opened.
* What is done at the path of a program with a user of its own is done with that user's rights (``contract.acting``): a link
  of its making leads to nothing that it could not remove or see itself, and root without CAP_DAC_OVERRIDE could not enter
  its directories.
* Where nothing can be watched (the directory is not there yet, inotify's limits are reached) it is looked at every
  ``LOOK_SECONDS``. What is watched is looked at too, whenever ``advance`` runs and ``RELOOK_SECONDS`` went by: an ancestor
  of the directory that was renamed sends no event.
* A program whose process ended is neither watched nor looked at.
"""

import contextlib
import dataclasses
import errno
import os
import stat
import struct
from collections.abc import Callable
from typing import Any

from contract import acting, clock, errors
from manifest import provisions

LOOK_SECONDS = 0.1
RELOOK_SECONDS = 1.0
_IN_MOVED_FROM, _IN_MOVED_TO, _IN_CREATE, _IN_DELETE = 0x40, 0x80, 0x100, 0x200
_IN_DELETE_SELF, _IN_MOVE_SELF, _IN_Q_OVERFLOW, _IN_IGNORED, _IN_ONLYDIR = 0x400, 0x800, 0x4000, 0x8000, 0x1000000
_MASK = (
    _IN_MOVED_FROM | _IN_MOVED_TO | _IN_CREATE | _IN_DELETE | _IN_DELETE_SELF | _IN_MOVE_SELF | _IN_ONLYDIR
)  # not IN_CLOSE_WRITE: a write changes nothing about existence, and would wake PID 1 for each
_EVENT = struct.Struct("@iIII")
_CHUNK = 65536
_NOT_THERE_YET = frozenset({errno.ENOENT, errno.ENOTDIR})


@dataclasses.dataclass
class _Watched:
    """The file of one running program.

    ``user`` is whose rights count, None for our own. ``watch`` is inotify's number, None where the file has to be looked at;
    ``trouble`` the errno that was last reported.
    """

    path: str
    user: provisions.User | None
    exists: bool
    look_at: float
    watch: int | None = None
    trouble: int | None = None


class FileWatch:
    """Looks after the files of the programs that are ready by one."""

    def __init__(
        self,
        socket_map: dict[int, Any],
        changed: Callable[[str, bool], None],
        report: Callable[[str, Exception], None],
    ) -> None:
        """``changed(name, exists)`` learns that the file of ``name`` came or went."""
        self._map = socket_map
        self._changed = changed
        self._report = report
        self._files: dict[str, _Watched] = {}
        self._inotify: _Inotify | None = None
        try:
            self._inotify = _Inotify()
            self._map[self._inotify.fd] = self
        except (OSError, AttributeError) as error:  # its limit is reached; a C library without it
            report("inotify", error)

    def arm(self, name: str, path: str, user: provisions.User | None = None) -> None:
        """Remove ``path`` and look after it from now on, with the rights of ``user``.

        Raises BootsealError when it cannot be removed, OSError when those rights cannot be had.
        """
        self.disarm(name)
        watched = _Watched(path, user, exists=False, look_at=clock.monotonic() + LOOK_SECONDS)
        self._watch(watched)  # before the removal: what is made right after it is an event
        try:
            with _rights(user):
                _remove(path)
        except BaseException:
            self._unwatch(watched)
            raise
        self._files[name] = watched

    def disarm(self, name: str) -> None:
        """Look no more after the file of ``name``."""
        watched = self._files.pop(name, None)
        if watched is not None:
            self._unwatch(watched)

    def next_due(self) -> float | None:
        """Return the monotonic moment at which ``advance`` must run, or None."""
        return min((watched.look_at for watched in self._files.values() if watched.watch is None), default=None)

    def advance(self, now: float) -> None:
        """Look at what is due."""
        for name, watched in list(self._files.items()):
            if watched.look_at <= now:
                if watched.watch is None:
                    self._watch(watched)
                self._look(name, watched, now)

    def close(self) -> None:
        """Close inotify and forget every file."""
        self._files.clear()
        if self._inotify is not None:
            self._map.pop(self._inotify.fd, None)
            self._inotify.close()
            self._inotify = None

    def readable(self) -> bool:
        """Until it is closed."""
        return self._inotify is not None

    def writable(self) -> bool:
        """Never."""
        return False

    def handle_read_event(self) -> None:
        """Take what inotify tells and look at the files that it speaks of."""
        try:
            self._take()
        except Exception as error:
            self._report("file watch", error)

    def handle_write_event(self) -> None:
        """Never called: ``writable`` is false."""

    def handle_error(self) -> None:
        """Nothing to undo: the next look sees what there is."""

    def _take(self) -> None:
        if self._inotify is None:
            return  # closed in this very turn
        touched: set[tuple[int, str]] = set()
        lost: set[int] = set()
        is_overflowed = False
        for watch, mask, filename in self._inotify.read():
            touched.add((watch, filename))
            is_overflowed |= bool(mask & _IN_Q_OVERFLOW)
            if mask & (_IN_IGNORED | _IN_DELETE_SELF | _IN_MOVE_SELF):
                lost.add(watch)
        now = clock.monotonic()
        for name, watched in list(self._files.items()):
            if watched.watch in lost:
                self._inotify.remove(watched.watch)
                watched.watch = None
                self._watch(watched)  # another directory may already stand in its place
            elif not is_overflowed and (watched.watch, os.path.basename(watched.path)) not in touched:
                continue
            self._look(name, watched, now)

    def _look(self, name: str, watched: _Watched, now: float) -> None:
        watched.look_at = now + (LOOK_SECONDS if watched.watch is None else RELOOK_SECONDS)
        with _rights(watched.user):
            exists = _exists(watched.path)
        if exists != watched.exists:
            watched.exists = exists
            self._changed(name, exists)

    def _watch(self, watched: _Watched) -> None:
        """Watch the directory of the file, if it can be."""
        if self._inotify is None:
            return
        try:
            with _rights(watched.user):
                watched.watch = self._inotify.add(os.path.dirname(watched.path))
        except OSError as error:
            if error.errno not in {*_NOT_THERE_YET, watched.trouble}:
                watched.trouble = error.errno
                self._report("inotify", error)

    def _unwatch(self, watched: _Watched) -> None:
        """Remove the watch of the directory unless it has another file that counts."""
        is_shared = any(other.watch == watched.watch for other in self._files.values())
        if self._inotify is not None and watched.watch is not None and not is_shared:
            self._inotify.remove(watched.watch)


class _Inotify:
    """inotify(7) through the C library; Python has no module for it."""

    def __init__(self) -> None:
        import ctypes  # only where a program is ready by a file: it costs memory

        self._libc = ctypes.CDLL(None, use_errno=True)
        self._errno = ctypes.get_errno
        self.fd = self._called(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def add(self, directory: str) -> int:
        return self._called(self._libc.inotify_add_watch(self.fd, os.fsencode(directory), _MASK), directory)

    def remove(self, watch: int) -> None:
        self._libc.inotify_rm_watch(self.fd, watch)  # EINVAL when the kernel did so already

    def read(self) -> list[tuple[int, int, str]]:
        """Return (watch, mask, file name) of what happened, at most one buffer full."""
        try:
            data = os.read(self.fd, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return []
        events: list[tuple[int, int, str]] = []
        offset = 0
        while offset + _EVENT.size <= len(data):
            watch, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size + length
            events.append((watch, mask, os.fsdecode(data[offset - length : offset].rstrip(b"\0"))))
        return events

    def close(self) -> None:
        os.close(self.fd)

    def _called(self, result: int, path: str | None = None) -> int:
        if result < 0:
            number = self._errno()
            raise OSError(number, os.strerror(number), path)
        return result


def _rights(user: provisions.User | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if user is None else acting.acting_as(user.uid, user.gid)


def _exists(path: str) -> bool:
    with contextlib.suppress(OSError, ValueError):
        os.lstat(path)
        return True
    return False


def _remove(path: str) -> None:
    """Remove the file, symlink or socket ``path`` if there is one; raises BootsealError."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            raise errors.BootsealError(path, "it is a directory", "name a file, which is removed before each start")
        os.unlink(path)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        return  # something else stands where its directory will be
    except OSError as error:
        raise errors.BootsealError(
            path, f"it cannot be removed: {errors.describe_os_error(error)}", "it must not outlive its process"
        ) from error
