"""Between fork and exec of a command: what a child of ours gives up before it is one. Standard library only.

Rules
-----
* The command has a session of its own, nothing to read, none of our descriptors, default signals, exactly the environment
  that is given, and no way to gain rights (PR_SET_NO_NEW_PRIVS, prctl(2)). As root it becomes the user that is given, by
  default nobody, without further groups. It dies with the thread that started it (PR_SET_PDEATHSIG).
* What of this cannot be done is reported on a pipe that the exec closes, and nothing is executed.
* Signals are blocked from before the fork until just before the exec: no handler of ours runs in the child.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from typing import NoReturn

from contract import prctl, records
from manifest import provisions

NOBODY = provisions.User(65534, 65534)
_USER, _DIRECTORY, _RIGHTS, _EXECUTE, _PREPARE = "user", "directory", "rights", "execute", "prepare"


@records.dataclass(frozen=True)
class Command:
    """A command to run in ``directory``; its name is looked up on the PATH of its own ``environment``.

    ``hide`` are values that its output is not to show, besides what looks like a secret.
    """

    argv: tuple[str, ...]
    directory: str
    timeout_seconds: float
    environment: Mapping[str, str]
    user: provisions.User | None = None
    hide: tuple[str, ...] = ()


def user_for(wanted: provisions.User | None) -> provisions.User | str | None:
    """Return whom to become, None for nobody else, or why that cannot be."""
    if os.geteuid() == 0:
        return wanted or NOBODY
    if wanted is not None and (wanted.uid, wanted.gid) != (os.geteuid(), os.getegid()):
        return f"it is to run as {wanted.uid}:{wanted.gid}, and this process is {os.geteuid()}:{os.getegid()}"
    return None


def become(
    command: Command,
    user: provisions.User | None,
    ends: tuple[int, int],
    parent: int,
) -> NoReturn:
    """Turn this child of ``parent`` into ``command``.

    ``ends`` are where its output and the report of what went wrong go; whatever goes wrong, the child ends here.
    """
    step = _PREPARE
    try:
        import fcntl

        os.setsid()
        signal.set_wakeup_fd(-1)
        for one in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
            signal.signal(one, signal.SIG_DFL)
        output, report = (fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10) for fd in ends)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(output, 1)
        os.dup2(output, 2)
        for name in os.listdir("/proc/self/fd"):
            if int(name) > 2 and int(name) != report:
                with contextlib.suppress(OSError):
                    os.close(int(name))
        if user is not None:
            step = _USER
            os.setgroups([])
            os.setresgid(user.gid, user.gid, user.gid)
            os.setresuid(user.uid, user.uid, user.uid)
        step = _DIRECTORY
        os.chdir(command.directory)
        step = _RIGHTS
        if prctl.call(prctl.SET_NO_NEW_PRIVS, 1) != 0 or prctl.call(prctl.SET_PDEATHSIG, signal.SIGKILL) != 0:
            raise OSError(errno.EPERM, "prctl")
        if os.getppid() != parent:  # it died before the line above
            os._exit(1)
        step = _EXECUTE
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        _execute(candidates(command), command)
    except BaseException as error:
        number = error.errno if isinstance(error, OSError) else errno.EINVAL
        with contextlib.suppress(BaseException):
            os.write(report, f"{step} {number or 0}".encode())
    finally:
        os._exit(127)


def _execute(paths: tuple[str, ...], command: Command) -> None:
    """Execute the first of ``paths`` that can be, as execvp(3) chooses; else raise OSError."""
    remembered = errno.ENOENT
    for path in paths:
        try:
            os.execve(path, command.argv, dict(command.environment))  # noqa: S606
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ENOTDIR, errno.EACCES}:
                raise
            if error.errno == errno.EACCES:
                remembered = errno.EACCES
    raise OSError(remembered, os.strerror(remembered))


def candidates(command: Command) -> tuple[str, ...]:
    """Return the paths at which the command may be; a PATH's relative directories, and empty ones, are no places to look."""
    name = command.argv[0]
    if "/" in name:
        return (name,)
    path = command.environment.get("PATH", os.defpath)
    return tuple(f"{folder}/{name}" for folder in path.split(":") if folder.startswith("/"))


def refusal(command: Command, report: str) -> str:
    """Return in words what the child reported before it became the command."""
    step, _, number = report.partition(" ")
    code = int(number)
    name, words = command.argv[0], os.strerror(code)
    user = user_for(command.user)
    if step == _USER and isinstance(user, provisions.User):
        return f"{name} cannot run as {user.uid}:{user.gid}: {words}"
    if step == _DIRECTORY:
        return f"{name} cannot run in {command.directory}: {words}"
    if step == _RIGHTS:
        return f"{name} cannot be kept from gaining rights: {words}"
    if step == _EXECUTE and code == errno.ENOENT:
        if "/" not in name:
            return f"{name} is not on PATH {command.environment.get('PATH', os.defpath)}"
        exists = os.path.lexists(os.path.join(command.directory, name))
        return f"{name} has an interpreter that does not exist" if exists else f"{name} does not exist"
    if step == _EXECUTE and code == errno.EACCES:
        uid = user.uid if isinstance(user, provisions.User) else os.geteuid()
        return f"{name} is not executable by uid {uid}"
    return f"{name} cannot be executed: {words}"
