"""What each program's processes use: one pass over the machine's processes, at the moment of the scrape.

Rules
-----
* A program is its process in the ledger and everything below it. What left that tree (a daemon that PID 1 inherited) is not
  counted.
* A process is pid and start time: where the pid in the ledger is another process's by now, nothing is told of the program. The
  start time is looked at after the values were read, so the values are the right process's.
* Processor time is that of the living and of what they waited for. It begins at 0 with each process of the program and never
  goes down while that lives: the pass is not one moment, and a process that ended unwaited for takes its time along, so the
  highest that was seen stands until it is passed.
* The work is bounded: on a machine with more than PROCESSES_LIMIT processes nothing is told.
"""

import collections
import dataclasses
from collections.abc import Callable, Iterable, Mapping

import psutil

from contract import process, snapshot

PROCESSES_LIMIT = 10_000
_ASKED = ("ppid", "cpu_times", "memory_info")


@dataclasses.dataclass(frozen=True)
class Row:
    """One process of the machine: its parent, and what it uses; ``cpu_seconds`` with those of children it waited for."""

    pid: int
    parent: int
    cpu_seconds: float
    resident_bytes: int


@dataclasses.dataclass(frozen=True)
class Usage:
    """What a program's processes use together; resident memory that they share is counted for each."""

    processes: int
    cpu_seconds: float
    resident_bytes: int


class Meter:
    """Measures, and remembers the highest processor time of each living process of a program."""

    def __init__(
        self,
        look: Callable[[], Iterable[Row]] | None = None,
        start_time: Callable[[int], int | None] = process.start_time,
    ) -> None:
        """Measure with ``look``, by default at the machine, and tell processes apart by ``start_time``."""
        self._look = look or rows
        self._start_time = start_time
        self._highest: dict[tuple[str, int, int], float] = {}

    def measure(self, views: Iterable[snapshot.ProgramView]) -> dict[str, Usage]:
        """Return what each program of ``views`` uses that has a living process."""
        living = [(view.name, view.pid, view.pid_start) for view in views if view.pid and view.pid_start is not None]
        if not living:
            self._highest.clear()
            return {}
        table = {row.pid: row for row in self._look()}
        children = collections.defaultdict(list)
        for row in table.values():
            children[row.parent].append(row.pid)
        found, highest = {}, {}
        for name, pid, pid_start in living:
            if pid not in table or self._start_time(pid) != pid_start:
                continue
            used = _sum(pid, table, children)
            key = (name, pid, pid_start)
            highest[key] = max(used.cpu_seconds, self._highest.get(key, 0.0))
            found[name] = dataclasses.replace(used, cpu_seconds=highest[key])
        self._highest = highest
        return found


def _sum(pid: int, table: Mapping[int, Row], children: Mapping[int, list[int]]) -> Usage:
    """Return what ``pid`` and everything below it uses."""
    below, due = {pid}, [pid]
    while due:
        fresh = [child for child in children.get(due.pop(), ()) if child not in below]
        below.update(fresh)
        due += fresh
    taken = [table[one] for one in below]
    return Usage(len(taken), sum(row.cpu_seconds for row in taken), sum(row.resident_bytes for row in taken))


def rows() -> list[Row]:
    """Return every process that we may look at, or none where there are too many."""
    found: list[Row] = []
    try:
        if len(psutil.pids()) > PROCESSES_LIMIT:
            return []
        for one in psutil.process_iter(_ASKED):
            info = one.info
            if None in info.values():  # another user's, where the machine hides those
                continue
            spent = info["cpu_times"]
            seconds = spent.user + spent.system + spent.children_user + spent.children_system
            found.append(Row(one.pid, info["ppid"], seconds, info["memory_info"].rss))
    except (OSError, psutil.Error):
        return []
    return found
