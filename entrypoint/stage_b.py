"""Stage B, ``[program:bootstrap]``: the checks that mean something only where the programs run.

It is supervised like every program, with their uid and environment, and must exit 0 before any program of the
manifest starts and before the seal. Standard library only.

Rules
-----
* Every check is made; every failure is printed as ``what: why (what to do)``; one failure is exit 6.
* When all pass, the run-time hints file ``env`` is written: addresses and paths as shell assignments, no secret.
"""

import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping

from contract import boot_record, errors, exit_codes, files, rundir
from entrypoint import handover
from manifest import plan

_PEM_BEGIN = b"-----BEGIN PUBLIC KEY-----"
_SMALL = 4096
_SUPERVISED = frozenset({"SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", "BOOTSEAL_RUN_DIR"})


def main(arguments: list[str]) -> int:
    """Run Stage B: ``--run-dir DIR``; returns 0, 6 when a check failed, 2 for wrong arguments."""
    if len(arguments) != 2 or arguments[0] != "--run-dir":
        print("usage: bootseal stage-b --run-dir DIR", file=sys.stderr)
        return exit_codes.USAGE_ERROR
    run = rundir.RunDirectory(arguments[1])
    problems = [str(problem) for problem in _check_all(run)]
    for problem in problems:
        print(f"stage-b: {problem}", file=sys.stderr, flush=True)
    return exit_codes.INFRASTRUCTURE_FAILURE if problems else exit_codes.OK


def _check_all(run: rundir.RunDirectory) -> Iterator[errors.BootsealError]:
    try:
        boot = boot_record.read(run)
        the_plan = plan.load_of_boot(boot).plan
    except (OSError, errors.BootsealError) as error:
        yield _as_problem("boot record", error)
        return
    failed = False
    for problem in (
        *check_environment(os.environ, the_plan),
        *check_identity(run, boot),
        *check_writable_roots(the_plan),
        *check_executables(the_plan, os.environ.get("PATH", os.defpath)),
    ):
        failed = True
        yield problem
    if not failed:
        try:
            files.write_atomically(run.hints, hints(the_plan, run).encode(), 0o444)
        except OSError as error:
            yield _as_problem(f"hints file {run.hints}", error)


def check_environment(environment: Mapping[str, str], the_plan: plan.Plan) -> Iterator[errors.BootsealError]:
    """Yield each variable that is not on the allow-list, by name only."""
    stage_b = the_plan.program(plan.STAGE_B)
    allowed = (
        handover.ALLOWED | _SUPERVISED | set(the_plan.boot.environment) | set(stage_b.environment if stage_b else ())
    )
    for name in sorted(environment.keys() - allowed):
        if not name.startswith("LC_"):
            remedy = f"name it in boot.environment if programs need it: [{name}]"
            yield errors.BootsealError(f"variable {name}", "it is not on the environment's allow-list", remedy)


def check_identity(run: rundir.RunDirectory, boot: boot_record.BootRecord) -> Iterator[errors.BootsealError]:
    """Yield what makes the identity directory unusable from here."""
    remedy = "only Stage A writes it; look for what else did"
    try:
        container_id = files.read_bounded(f"{run.identity}/id", _SMALL)
        boot_id = files.read_bounded(f"{run.identity}/boot-id", _SMALL)
        public_key = files.read_bounded(f"{run.identity}/ed25519.pub", _SMALL)
    except (OSError, errors.BootsealError) as error:
        yield _as_problem(f"identity {run.identity}", error)
        return
    if not container_id or container_id.strip() != container_id:
        yield errors.BootsealError(f"identity {run.identity}/id", "it is empty or has white space around it", remedy)
    if boot_id.decode("ascii", "replace") != boot.boot_id:
        yield errors.BootsealError(f"identity {run.identity}/boot-id", "it is another boot's", remedy)
    if not public_key.startswith(_PEM_BEGIN):
        yield errors.BootsealError(f"identity {run.identity}/ed25519.pub", "it is not a PEM public key", remedy)


def check_writable_roots(the_plan: plan.Plan) -> Iterator[errors.BootsealError]:
    """Yield each writable root in which this process cannot make and remove a file."""
    for root in the_plan.boot.writable:
        probe = (
            f"{root.path}/.bootseal-stage-b.{os.urandom(6).hex()}"  # a pid returns, and so would a killed one's file
        )
        try:
            os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
            os.unlink(probe)
        except OSError as error:
            yield _as_problem(f"writable root {root.path}", error)


def check_executables(the_plan: plan.Plan, path: str) -> Iterator[errors.BootsealError]:
    """Yield each required artifact that cannot be used, and each required command that cannot be executed."""
    commands = {program.argv[0] for program in the_plan.required_programs}
    for artifact in the_plan.artifacts:
        wanted = os.X_OK if artifact.path in commands or os.path.isdir(artifact.path) else os.R_OK
        if artifact.required and not os.access(artifact.path, wanted):
            need = "executable" if wanted == os.X_OK else "readable"
            yield errors.BootsealError(
                f"artifact {artifact.id}", f"{artifact.path} is not {need} here", "rebuild the image"
            )
    for program in the_plan.required_programs:
        if shutil.which(program.argv[0], path=path) is None:
            why = f"{program.argv[0]} is not an executable file"
            where = "" if "/" in program.argv[0] else f" on PATH {path}"
            yield errors.BootsealError(f"program {program.name}", f"{why}{where}", "correct `command:` or the image")


def hints(the_plan: plan.Plan, run: rundir.RunDirectory) -> str:
    """Return the text of the hints file."""
    probes = the_plan.probes
    values = {
        "BOOTSEAL_NAME": the_plan.name,
        "BOOTSEAL_RUN_DIR": run.path,
        "BOOTSEAL_IDENTITY_DIR": run.identity,
        "BOOTSEAL_SEAL": run.seal,
        "BOOTSEAL_EVENTS": run.events,
        "BOOTSEAL_SUPERVISOR_SOCKET": run.supervisor_socket,
        "BOOTSEAL_PROBES_URL": f"http://{_reachable(probes.host)}:{probes.port}",
    }
    if probes.metrics_port is not None:
        values["BOOTSEAL_METRICS_URL"] = f"http://{_reachable(probes.metrics_host)}:{probes.metrics_port}/metrics"
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def _reachable(host: str) -> str:
    """Return the host to connect to for a listener bound to ``host``."""
    if host in {"0.0.0.0", "::", ""}:  # noqa: S104  (read here, not bound)
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


def _as_problem(what: str, error: OSError | errors.BootsealError) -> errors.BootsealError:
    if isinstance(error, errors.BootsealError):
        return error
    return errors.BootsealError(what, errors.describe_os_error(error), "see Stage A's events for how it was made")
