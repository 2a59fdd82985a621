"""The hand-over: PID 1 becomes supervisord, with an environment that is an allow-list.

Rules
-----
* Only names of ``provisions.is_inherited`` and the manifest's ``boot.environment`` pass, and none that holds a secret: ``/proc/1/environ`` and every
  program's environment hold nothing else that the container was started with.
* Stop signals are blocked over the exec and stay pending; the extension unblocks them inside supervisord.
* A process that is not PID 1 becomes a subreaper (prctl(2)) before anything else, so that no orphan escapes it: neither of
  supervisord nor of the commands that check artifacts.
"""

import errno
import os
from collections.abc import Mapping

from contract import errors, exit_codes, prctl, rundir
from entrypoint import phases, preflight, stop
from manifest import plan, provisions

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def environment(inherited: Mapping[str, str], the_plan: plan.Plan, run: rundir.RunDirectory) -> dict[str, str]:
    """Return the environment of supervisord: what of ``inherited`` is allowed or declared, and our own names."""
    declared = the_plan.boot.environment
    secret = {one.variable for one in the_plan.secrets}
    kept = {
        name: value
        for name, value in inherited.items()
        if (provisions.is_inherited(name) or name in declared) and name not in secret
    }
    kept.setdefault("PATH", _DEFAULT_PATH)
    return {**kept, "TMPDIR": run.temporary, "BOOTSEAL_RUN_DIR": run.path}


def argv(loaded: plan.LoadedPlan) -> list[str]:
    """Return supervisord's argv: the interpreter by its full path, else the virtual environment is lost."""
    isolated = [preflight.interpreter(loaded.plan), "-I", "-X", "utf8"]
    return [*isolated, "-m", "supervisord.pid1", "--nodaemon", "--configuration", loaded.config_path]


def become_supervisord(loaded: plan.LoadedPlan, run: rundir.RunDirectory) -> None:
    """Replace this process by supervisord; returns only by raising CannotHandOver or OSError."""
    os.umask(0o022)
    stop.block()
    command = argv(loaded)
    try:
        os.execve(command[0], command, environment(os.environ, loaded.plan, run))  # noqa: S606
    except FileNotFoundError as error:
        raise phases.CannotHandOver(command[0], "it does not exist", "", exit_codes.NOT_FOUND) from error
    except OSError as error:
        why = errors.describe_os_error(error)
        raise phases.CannotHandOver(command[0], why, "", exit_codes.CANNOT_EXECUTE) from error


def become_subreaper() -> None:
    """Let every orphan of this process become its child, as those of PID 1 do; raises OSError."""
    if os.getpid() != 1 and prctl.call(prctl.SET_CHILD_SUBREAPER, 1) != 0:
        raise OSError(errno.EINVAL, "prctl(PR_SET_CHILD_SUBREAPER) is refused")
