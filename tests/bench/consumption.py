"""What processes consume, read from /proc: CPU time and memory.

Rules
-----
* CPU of a living process: nanoseconds by /proc/PID/task/*/schedstat. Of children that were reaped: clock ticks (10 ms) by
  /proc/PID/stat, because nothing finer is left of them.
* Memory: PSS by /proc/PID/smaps_rollup.
"""

import contextlib
import os
from pathlib import Path

import systems

_TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")
_CHILDREN_FROM, _CHILDREN_TO = 13, 15
"""cutime and cstime among the fields after the command's name (proc_pid_stat(5))."""


def cpu_of_tree(system: systems.System) -> dict[int, float]:
    """Return the seconds on a CPU of each living process of ``system``."""
    return {pid: _cpu(pid) for pid in system.pids()}


def cpu_of_reaped(system: systems.System) -> float:
    """Return the seconds on a CPU of the children that the living processes of ``system`` reaped."""
    stats = [_read(f"/proc/{pid}/stat").rpartition(")")[2].split() for pid in system.pids()]
    return sum(int(ticks) for fields in stats for ticks in fields[_CHILDREN_FROM:_CHILDREN_TO]) * _TICK_SECONDS


def pss(pid: int) -> float | None:
    """Return the PSS of ``pid`` in MiB, or None where it may not be read."""
    sizes = [
        int(line.split()[1]) for line in _read(f"/proc/{pid}/smaps_rollup").splitlines() if line.startswith("Pss:")
    ]
    return sizes[0] / 1024 if sizes else None


def label(pid: int) -> str:
    """Return a process's name: the module of a Python process, else its program."""
    words = _read(f"/proc/{pid}/cmdline").split("\0")
    if "-m" in words[:-1]:
        return words[words.index("-m") + 1]
    return os.path.basename(words[0]) or str(pid)


def _cpu(pid: int) -> float:
    with contextlib.suppress(OSError):
        threads = os.listdir(f"/proc/{pid}/task")
        readings = [_read(f"/proc/{pid}/task/{thread}/schedstat").split() for thread in threads]
        return sum(int(reading[0]) for reading in readings if reading) / 1e9
    return 0.0


def _read(path: str) -> str:
    """Return a file of /proc, or nothing when its process is gone or may not be read."""
    try:
        return Path(path).read_text()
    except OSError:
        return ""
