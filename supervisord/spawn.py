"""What happens between fork and exec of a program.

Rules
-----
* A program starts with default signal dispositions and an empty mask. Python ignores SIGPIPE and SIGXFSZ, and
  ignored signals survive exec; and a stop signal that arrives between fork and exec would be taken by supervisord's
  handler in the child and lost, so stop signals are blocked around the fork and delivered after the child is
  back to default dispositions.
* The child's process group is made by both sides, whoever comes first: supervisor signals groups, and a signal to a group
  that is not there yet would be lost.
* The program's argv and environment come from the plan, in memory. supervisord.conf carries no value, so no RPC
  (``getAllConfigInfo``) can reveal one.
* A descriptor that a program is to have (``ready: {fd: N}``) is put at its number after all others were closed.
* Of supervisord's own environment a program sees only what Stage A let in, without our private variables.
* Outside a container's PID namespace a program dies with supervisord (PR_SET_PDEATHSIG, prctl(2)).
"""

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable
from typing import Any

from contract import exit_codes
from manifest import plan
from supervisord import evidence

OWN_VARIABLES = frozenset({"TMPDIR", "SUPERVISOR_SERVER_URL", "SUPERVISOR_ENABLED"})
"""What supervisord needs or adds, and no program should see."""
_RESET = (*exit_codes.STOP_SIGNALS, signal.SIGCHLD, signal.SIGUSR2, signal.SIGPIPE, signal.SIGXFSZ)
_PR_SET_PDEATHSIG = 1
_HIGH = 100
"""Above every number that a manifest may ask for (``ready: {fd: N}``)."""


def environment(program: plan.ProgramPlan, inherited: dict[str, str]) -> dict[str, str]:
    """Return the environment of ``program``: what supervisord inherited, less our own, then the plan's."""
    kept = {name: value for name, value in inherited.items() if name not in OWN_VARIABLES}
    return {**kept, **program.environment}


def install(
    options: Any,
    the_plan: plan.Plan,
    before_fork: Callable[[], evidence.Passing],
    on_fork: Callable[[int], None],
    *,
    dies_with_us: bool,
) -> None:
    """Wrap ``options.fork`` and ``options.execve`` of supervisor.

    ``before_fork`` says what the next child gets; ``on_fork`` learns its pid, -1 when there is none.
    """
    original_fork, original_execve = options.fork, options.execve
    passing = evidence.Passing({}, {})
    prctl = _prctl() if dies_with_us else None

    def fork() -> int:
        nonlocal passing
        passing = before_fork()
        parent = os.getpid()
        before = signal.pthread_sigmask(signal.SIG_BLOCK, exit_codes.STOP_SIGNALS)
        pid: int = -1
        try:
            pid = original_fork()
        finally:
            if pid != 0:
                signal.pthread_sigmask(signal.SIG_SETMASK, before)
            if pid < 0:
                on_fork(pid)
        if pid == 0:
            _prepare_child(prctl, parent)
            _close_at_once(options, passing.descriptors)
        else:
            with contextlib.suppress(OSError):  # it executes already, and did it itself
                os.setpgid(pid, pid)
            on_fork(pid)
        return pid

    def execve(filename: str, argv: list[str], env: dict[str, str]) -> None:
        program = the_plan.program(env.get("SUPERVISOR_PROCESS_NAME", ""))
        if program is None:
            original_execve(filename, argv, env)
        else:
            original_execve(filename, list(program.argv), environment(program, env) | _notices(passing))

    options.fork = fork
    options.execve = execve


def _notices(passing: evidence.Passing) -> dict[str, str]:
    """Return what the child is told in its environment; only it knows its own pid (sd_watchdog_enabled(3))."""
    pid = {"WATCHDOG_PID": str(os.getpid())} if "WATCHDOG_USEC" in passing.environment else {}
    return passing.environment | pid


def _prepare_child(prctl: Callable[[int, int], int] | None, parent: int) -> None:
    """Undo in the child what supervisord and Python changed; an exception here must end the child, not return."""
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:  # it died before the line above
                os._exit(exit_codes.from_signal(signal.SIGKILL))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    except BaseException:
        os._exit(exit_codes.NOT_FOUND)


def _close_at_once(options: Any, descriptors: dict[int, int]) -> None:
    """Let the child close its descriptors in one call, and give it those that it is to have.

    supervisor closes 3 to minfds one by one, in Python (4.3.0, ``Subprocess._prepare_child_fds``): a thousand calls
    before each exec. Its loop now runs once. Only this child's copy of ``options`` is changed.
    """
    limit, options.minfds = options.minfds, 4

    def close_fd(_fd: int) -> None:
        high = {number: fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH) for number, fd in descriptors.items()}
        low = 3
        for kept in sorted(high.values()):
            os.closerange(low, kept)
            low = kept + 1
        os.closerange(low, max(limit, low))
        for number, fd in high.items():
            os.dup2(fd, number)

    options.close_fd = close_fd


def _prctl() -> Callable[[int, int], int]:
    import ctypes  # only where we are not PID 1: it costs memory

    libc = ctypes.CDLL(None, use_errno=True)
    return lambda option, value: int(libc.prctl(option, value, 0, 0, 0))
