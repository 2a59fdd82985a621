"""The identity of a process: its pid and its start time.

A pid alone is reused. The start time, field 22 of ``/proc/PID/stat`` in clock ticks since the machine's
boot (proc_pid_stat(5)), does not change with the wall clock, and the pair names one process only.
"""


def parse_start_time(stat: str) -> int:
    """Return field 22 of the text of a ``/proc/PID/stat``.

    The second field is the command name in parentheses and may itself hold spaces and parentheses, so
    fields are counted from the last ``)``. Raises ValueError when the text is no such line.
    """
    _, separator, rest = stat.rpartition(")")
    fields = rest.split()
    if not separator or len(fields) < 20:
        raise ValueError("not a /proc/PID/stat line")
    return int(fields[19])


def start_time(pid: int | str = "self") -> int | None:
    """Return the start time of ``pid`` in clock ticks, or None when there is no such process."""
    try:
        return parse_start_time(_stat(pid))
    except (OSError, ValueError):
        return None


def is_alive(pid: int, expected_start_time: int) -> bool:
    """Say whether the process named by this pid and start time still runs; a zombie does not."""
    try:
        stat = _stat(pid)
        return parse_start_time(stat) == expected_start_time and stat.rpartition(")")[2].split()[0] not in {"Z", "X"}
    except (OSError, ValueError):
        return False


def is_stopped(pid: int, expected_start_time: int) -> bool:
    """Say whether the process named by this pid and start time is stopped, by a signal or a tracer: T or t in proc_pid_stat(5)."""
    try:
        stat = _stat(pid)
        return parse_start_time(stat) == expected_start_time and stat.rpartition(")")[2].split()[0] in {"T", "t"}
    except (OSError, ValueError):
        return False


def _stat(pid: int | str) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
        return file.read()
