"""Work in a forked child: for what would change the test process itself (signals, uids, limits)."""

import os
import traceback
from collections.abc import Callable

NOBODY = 65534


def start(work: Callable[[], object]) -> int:
    """Fork a child that exits 0 when ``work`` returns true, 1 when not, 99 with a traceback when it raises."""
    pid = os.fork()
    if pid == 0:
        code = 99
        try:
            code = 0 if work() else 1
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return pid


def ended(pid: int) -> int:
    """Wait for the child and return its exit code, negative for a signal."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def run(work: Callable[[], object]) -> int:
    """Run ``work`` in a child; return the exit code of ``start``."""
    return ended(start(work))


def run_as_nobody(work: Callable[[], object]) -> int:
    """Run ``work`` in a child without root's rights; as the test's own user where that is not root."""

    def dropped() -> object:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
        return work()

    return run(dropped)
