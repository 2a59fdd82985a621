"""Whose process is it: the kernel's pid of a sender, led back to the program that it descends from.

Rules
-----
* A process is known by pid and start time, never by its pid alone: a recycled pid is somebody else.
* A process belongs to the program whose first process, or accepted main process (MAINPID=), it is or descends from.
  It follows that no program can speak for its neighbour, whatever it writes.
* A parent started no later than its child; a step where it did is a recycled pid, and ends the walk.
* A zombie still has its pid and its parent, and is believed; who is gone from /proc is not.
* A program that was begun with a uid is spoken for by senders of that uid alone, and its main process has that uid, too.
* Not closed: a sender that died and whose pid was given to another within the moment that its datagram waited. Programs
  of one uid trust each other; a uid confines even that to programs of one uid.
"""

import dataclasses
import os
from collections.abc import Callable

from contract import process, records

_STEPS = 64
_STAT_BYTES = 1024
"""proc_pid_stat(5): 52 numbers and a name of at most 64 bytes; what is read here stands in the first half."""
_STATUS_BYTES = 1024
"""proc_pid_status(5): the line ``Uid:`` is among the first ten; the name in the first is escaped and stays one line."""
_ENDED = frozenset({"Z", "X"})


@records.dataclass(frozen=True)
class Stat:
    """What /proc says of a process: its parent, when it started in clock ticks since boot, and whether it has ended."""

    parent: int
    start: int
    has_ended: bool


@records.dataclass(frozen=True)
class Owner:
    """The program that a process belongs to, or None and why not."""

    name: str | None
    why_not: str = ""


@dataclasses.dataclass
class _Known:
    """The processes of a program that others are led back to, each as (pid, start time)."""

    first: tuple[int, int]
    uid: int | None
    main: tuple[int, int] | None = None


class Attribution:
    """The first and main processes of the programs that are running."""

    def __init__(
        self,
        read: "Callable[[int], Stat | None] | None" = None,
        uids: "Callable[[int], frozenset[int]] | None" = None,
    ) -> None:
        """``read`` gives what /proc says of a pid, or None when it is gone; ``uids`` every uid that it has, perhaps none."""
        self._read = read or read_stat
        self._uids = uids or read_uids
        self._above_all = frozenset({0, 1, os.getpid()})
        self._programs: dict[str, _Known] = {}
        self._names: dict[tuple[int, int], str] = {}

    def begin(self, name: str, pid: int, uid: int | None = None) -> bool:
        """``pid`` is the first process of ``name``; with ``uid``, only senders of that uid speak for it.

        Say whether it could be found.
        """
        self.end(name)
        stat = self._read(pid)
        if stat is None:
            return False
        self._programs[name] = _Known((pid, stat.start), uid)
        self._names[(pid, stat.start)] = name
        return True

    def end(self, name: str) -> None:
        """Forget the processes of ``name``."""
        known = self._programs.pop(name, None)
        if known is not None:
            self._names.pop(known.first, None)
            self._names.pop(known.main or known.first, None)

    def owner(self, pid: int, uid: int | None = None) -> Owner:
        """Return whose process ``pid`` is, now; ``uid`` is the one that the kernel told with it."""
        if pid <= 0:
            return Owner(None, "its sender is outside of this PID namespace")
        known_as = self._walk(pid)
        if known_as.name is None:
            return known_as
        wanted = self._programs[known_as.name].uid
        if wanted is not None and uid != wanted:
            return Owner(None, f"its sender has uid {uid}, {known_as.name} has {wanted}")
        return known_as

    def accept_main(self, name: str, pid: int) -> str:
        """Make ``pid`` the main process of ``name``, so that it still counts when its parent is gone.

        Return "", or why it is not accepted.
        """
        stat = self._read(pid)
        if stat is None or stat.has_ended:
            return f"MAINPID {pid} does not run"
        if self._walk(pid).name != name:
            return f"MAINPID {pid} is no process of {name}"
        known = self._programs[name]
        if known.uid is not None and not self._is_of(pid, stat.start, known.uid):
            return f"MAINPID {pid} is not of uid {known.uid} as {name} is"
        if known.main is not None and known.main != known.first:
            self._names.pop(known.main, None)
        known.main = (pid, stat.start)
        self._names[known.main] = name
        return ""

    def is_first(self, name: str, pid: int) -> bool:
        """Say whether ``pid`` is the first process of ``name``."""
        known = self._programs.get(name)
        return known is not None and known.first[0] == pid

    def _is_of(self, pid: int, start: int, uid: int) -> bool:
        """Say whether the process has this uid and no other; it must still be the same one after the look."""
        uids = self._uids(pid)
        stat = self._read(pid)
        return uids == {uid} and stat is not None and stat.start == start

    def _walk(self, pid: int) -> Owner:
        child: Stat | None = None
        for _ in range(_STEPS):
            stat = self._read(pid)
            if stat is None:
                return Owner(None, "its sender is gone" if child is None else "its sender's parent is gone")
            if child is not None and stat.start > child.start:
                return Owner(None, "its sender's parent is gone")
            name = self._names.get((pid, stat.start))
            if name is not None:
                return Owner(name)
            if stat.parent in self._above_all:
                break
            child, pid = stat, stat.parent
        return Owner(None, "its sender belongs to no program that is ready by notify")


def read_uids(pid: int) -> frozenset[int]:
    """Return the uids of ``/proc/PID/status``: real, effective, saved and of file access; none when the process is gone."""
    try:
        lines = _read(f"/proc/{pid}/status", _STATUS_BYTES).split("\n")
        return next(frozenset(map(int, line.split()[1:])) for line in lines if line.startswith("Uid:"))
    except (OSError, ValueError, StopIteration):
        return frozenset()


def read_stat(pid: int) -> Stat | None:
    """Return what ``/proc/PID/stat`` says, or None when the process is gone or hidden."""
    try:
        text = _read(f"/proc/{pid}/stat", _STAT_BYTES)
        state, parent = text.rpartition(")")[2].split()[:2]
        return Stat(int(parent), process.parse_start_time(text), state in _ENDED)
    except (OSError, ValueError):
        return None


def _read(path: str, limit: int) -> str:
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, limit).decode("utf-8", "replace")
    finally:
        os.close(fd)
