"""Will supervisord accept its configuration? Asked before the exec, because after it nobody can name the cause.

Rules
-----
* The configuration must be, byte for byte, what the plan was built with.
* supervisor's own parser must have accepted these bytes: at build time with the same version of supervisor (the plan
  says so), or now, in a child process. The child costs as much as all of Stage A, so the proof of the build is used
  where it holds; what depends on this machine (interpreter, descriptor limit) is checked here in any case.
* supervisor missing is 127, an interpreter that cannot be executed 126.
"""

import hashlib
import importlib.util
import os
import resource

from contract import errors, exit_codes, files, rundir
from entrypoint import phases
from manifest import plan

_LIMIT = 16 * 1024 * 1024
_CHILD_SECONDS = 20.0


def check(loaded: plan.LoadedPlan, run: rundir.RunDirectory) -> str:
    """Return how the configuration is known to be good; raises BootsealError, CannotHandOver or OSError."""
    data = files.read_bounded(loaded.config_path, _LIMIT)
    if hashlib.sha256(data).hexdigest() != loaded.plan.config_sha256:
        raise errors.InvalidRecord(
            f"configuration {loaded.config_path}", "it is not the one this plan was built with", "run `bootseal build`"
        )
    _check_interpreter(interpreter(loaded.plan))
    _check_descriptors(loaded.plan.descriptors)
    version = supervisor_version()
    if version == loaded.plan.proven_with:
        return f"accepted at build time by supervisor {version}"
    return _ask_supervisor(loaded, run)


def interpreter(the_plan: plan.Plan) -> str:
    """Return the interpreter that all our processes run under."""
    return f"{the_plan.prefix}/bin/python"


def supervisor_version() -> str:
    """Return the version of the installed supervisor without importing it; raises CannotHandOver (127)."""
    spec = importlib.util.find_spec("supervisor")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        try:
            return files.read_bounded(os.path.join(folder, "version.txt"), 100).decode("ascii").strip()
        except (OSError, UnicodeDecodeError, errors.UnsafePath):
            continue
    raise phases.CannotHandOver(
        "supervisord", "the package supervisor is not installed", "install bootseal again", exit_codes.NOT_FOUND
    )


def _check_interpreter(path: str) -> None:
    remedy = "build the plan with --prefix for the place where bootseal is installed"
    if not os.path.exists(path):
        raise phases.CannotHandOver(f"interpreter {path}", "it does not exist", remedy, exit_codes.NOT_FOUND)
    if not os.access(path, os.X_OK):
        raise phases.CannotHandOver(f"interpreter {path}", "it is not executable", remedy, exit_codes.CANNOT_EXECUTE)


def _check_descriptors(wanted: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < wanted:
        why = f"the limit is {hard} and supervisord asks for {wanted}"
        raise errors.BootsealError("open files", why, "raise the container's nofile limit")


def _ask_supervisor(loaded: plan.LoadedPlan, run: rundir.RunDirectory) -> str:
    import subprocess

    from supervisord import preflight as parser

    argv = parser.command(interpreter(loaded.plan), loaded.config_path)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": run.temporary}
    try:
        child = subprocess.run(argv, env=environment, capture_output=True, timeout=_CHILD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise errors.BootsealError(
            "preflight", f"supervisor's parser did not end within {_CHILD_SECONDS:g} s"
        ) from error
    if child.returncode == exit_codes.NOT_FOUND:
        reason = child.stderr.decode("utf-8", "replace").strip()[-1000:]
        raise phases.CannotHandOver("supervisord", reason, "install bootseal again", exit_codes.NOT_FOUND)
    if child.returncode != 0:
        reason = (child.stderr + child.stdout).decode("utf-8", "replace").strip()[-1000:]
        raise errors.BootsealError(f"configuration {loaded.config_path}", reason or f"exit {child.returncode}")
    return f"accepted now by supervisor {child.stdout.decode('utf-8', 'replace').strip()}"
