"""What a command leaves behind when it ends: processes that left its group, and now are children of ours. Standard library only.

Rules
-----
* Orphans come to whoever is PID 1 or a subreaper (PR_SET_CHILD_SUBREAPER, prctl(2)); in any other process there are none.
* Every child that was not there before is an orphan: while commands run, a process starts nothing else.
* They are killed until waitpid(2) says that none is left, because an orphan's own children come to us when it ends; but not for
  longer than a second. Whoever is left then is hung inside the kernel, or forks faster than it is killed: supervisord ends it.
"""

import contextlib
import os
import signal
import time

from contract import clock

_SECONDS = 1.0
_PAUSE_SECONDS = 0.001


def children() -> frozenset[int]:
    """Return the children of this process, those that ended and are not reaped too.

    All of /proc is looked through: the list of children in it may miss some while others exit
    (proc_pid_task_tid_children(5)), and a kernel may lack it.
    """
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return frozenset()
    ours = str(os.getpid())
    return frozenset(int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == ours)


def end(before: frozenset[int]) -> bool:
    """Kill and reap every child that is not one of ``before``; return whether none is left.

    An exception that interrupts it is raised when that is done.
    """
    until = clock.monotonic() + _SECONDS
    interruption: BaseException | None = None
    while True:
        try:
            is_done = _end(before, until)
        except BaseException as error:  # as confinement.Interrupted, which another thread raises in this one
            interruption = error
        else:
            break
    if interruption:
        raise interruption
    return is_done


def _end(before: frozenset[int], until: float) -> bool:
    while left := children() - before:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        for pid in left:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        if clock.monotonic() >= until:
            return False
        time.sleep(_PAUSE_SECONDS)
    return True


def _parent(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[1]
    except (OSError, IndexError):
        return ""
