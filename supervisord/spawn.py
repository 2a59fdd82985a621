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
  (``getAllConfigInfo``) can reveal one. Its secrets are read in the child (``credentials``), and a child that cannot be given
  all that the plan promises says so in one line on its stderr and ends with 127: it is a failed start, with its cause.
* A program that has a user (``program_user``) is that user before its files are looked at and its directory is entered.
* A descriptor that a program is to have (``ready: {fd: N}``) is put at its number after all others were closed.
* Of supervisord's own environment a program sees only what Stage A let in, without our private variables.
* Outside a container's PID namespace a program dies with supervisord (PR_SET_PDEATHSIG, prctl(2)). A change of user undoes
  that, so it is asked for again.
"""

import contextlib
import fcntl
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from contract import errors, exit_codes, files, prctl, rundir
from manifest import plan
from supervisord import credentials, evidence, program_user

OWN_VARIABLES = frozenset({"TMPDIR", "SUPERVISOR_SERVER_URL", "SUPERVISOR_ENABLED"})
"""What supervisord needs or adds, and no program should see."""
_RESET = (*exit_codes.STOP_SIGNALS, signal.SIGCHLD, signal.SIGUSR2, signal.SIGPIPE, signal.SIGXFSZ)
_HIGH = 100
"""Above every number that a manifest may ask for (``ready: {fd: N}``)."""


def environment(program: plan.ProgramPlan, inherited: dict[str, str]) -> dict[str, str]:
    """Return the environment of ``program``: what supervisord inherited, less our own, then the plan's."""
    kept = {name: value for name, value in inherited.items() if name not in OWN_VARIABLES}
    return {**program_user.environment(program.user, kept), **program.environment}


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
    parent = os.getpid()
    die_with = parent if dies_with_us else None
    given = credentials.Credentials(the_plan.secrets, rundir.RunDirectory(the_plan.run_directory))

    def fork() -> int:
        nonlocal passing
        passing = before_fork()
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
            _prepare_child(die_with)
            _close_at_once(options, passing.descriptors)
            if the_plan.has_program_users:
                options.chdir = lambda _path: None  # as the program's user, in _settle; here root might not be let in
        else:
            with contextlib.suppress(OSError):  # it executes already, and did it itself
                os.setpgid(pid, pid)
            on_fork(pid)
        return pid

    def execve(filename: str, argv: list[str], env: dict[str, str]) -> None:
        program = the_plan.program(env.get("SUPERVISOR_PROCESS_NAME", ""))
        if program is None:
            original_execve(filename, argv, env)
            return
        try:
            # The probe server reads its token where the plan says: in its environment every exec check would inherit it.
            own = {} if program.role == "probes" else given.environment(program.name)
            _settle(program, passing.descriptors, die_with)
            given.check_files(program.name)
        except errors.BootsealError as error:
            _give_up(str(error))
        except OSError as error:
            _give_up(f"{error.filename}: {errors.describe_os_error(error)}")
        whole = environment(program, env) | own | _notices(passing)
        if program.listener is not None:  # superlance's find supervisord's RPC by what it tells its children
            whole |= {name: value for name, value in env.items() if name.startswith("SUPERVISOR_")}
        original_execve(filename, list(program.argv), whole)

    options.fork = fork
    options.execve = execve


def _notices(passing: evidence.Passing) -> dict[str, str]:
    """Return what the child is told in its environment; only it knows its own pid (sd_watchdog_enabled(3))."""
    pid = {"WATCHDOG_PID": str(os.getpid())} if "WATCHDOG_USEC" in passing.environment else {}
    return passing.environment | pid


def _prepare_child(die_with: int | None) -> None:
    """Undo in the child what supervisord and Python changed; an exception here must end the child, not return.

    It dies with its parent ``die_with``, where that is given.
    """
    try:
        signal.set_wakeup_fd(-1)
        for number in _RESET:
            signal.signal(number, signal.SIG_DFL)
        _die_with(die_with)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
    except BaseException:
        os._exit(exit_codes.NOT_FOUND)


def _die_with(parent: int | None) -> None:
    if parent is not None:
        prctl.call(prctl.SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the line above
            os._exit(exit_codes.from_signal(signal.SIGKILL))


def _settle(program: plan.ProgramPlan, descriptors: dict[int, int], die_with: int | None) -> None:
    """Make this child a process of the program's user, in the program's directory; raises BootsealError or OSError."""
    if program.user is None:
        return
    what = f"user {program.user.uid}:{program.user.gid}"
    try:
        program_user.give_pipes(program.user, (0, 1, 2, *descriptors))
        program_user.become(program.user)
    except OSError as error:
        remedy = "PID 1 needs CAP_CHOWN, CAP_SETUID and CAP_SETGID"
        raise errors.BootsealError(what, errors.describe_os_error(error), remedy) from error
    _die_with(die_with)
    if program.directory is not None:
        os.chdir(program.directory)


def _give_up(cause: str) -> NoReturn:
    """End the child that cannot become its program, and say why where its last words are looked for."""
    with contextlib.suppress(OSError):
        files.write_all(2, f"spawn: {cause}\n".encode("utf-8", "replace"))
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
