"""Stage B, ``[program:bootstrap]``: the checks that mean something only where the programs run.

It is supervised like every program, with their uid and environment, and must exit 0 before any program of the
manifest starts and before the seal. Standard library only.

Rules
-----
* It writes nowhere but in the run directory and the writable roots, and is confined to them where the kernel can do that.
* Where programs have users of their own, what is theirs is tried with their rights: root has none there.
* Every check is made; every failure is printed as ``what: why (what to do)``; one failure is exit 6.
* When all pass, the run-time hints file ``env`` is written: addresses and paths as shell assignments, no secret.
"""

import base64
import contextlib
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping

from contract import acting, boot_record, errors, exit_codes, files, identity, rundir
from manifest import plan, provisions

_SUPERVISED = frozenset({"SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", "BOOTSEAL_RUN_DIR"})


def main(arguments: list[str], *, confined: bool = False) -> int:
    """Run Stage B: ``--run-dir DIR``; returns 0, 6 when a check failed, 2 for wrong arguments.

    ``confined``: the process is Stage B's alone, and gives up writing outside the plan's list.
    """
    if len(arguments) != 2 or arguments[0] != "--run-dir":
        print("usage: bootseal stage-b --run-dir DIR", file=sys.stderr)
        return exit_codes.USAGE_ERROR
    run = rundir.RunDirectory(arguments[1])
    problems = [str(problem) for problem in _check_all(run, confined=confined)]
    for problem in problems:
        print(f"stage-b: {problem}", file=sys.stderr, flush=True)
    return exit_codes.INFRASTRUCTURE_FAILURE if problems else exit_codes.OK


def _check_all(run: rundir.RunDirectory, *, confined: bool) -> Iterator[errors.BootsealError]:
    try:
        boot = boot_record.read(run)
        the_plan = plan.load_of_boot(boot).plan
    except (OSError, errors.BootsealError) as error:
        yield _as_problem("boot record", error)
        return
    failed = False
    if confined:
        _confine(run, the_plan)
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


def _confine(run: rundir.RunDirectory, the_plan: plan.Plan) -> None:
    """Give up writing outside the plan's list, where the kernel can do that; Stage A said so where it cannot."""
    from entrypoint import landlock

    there = [root.path for root in the_plan.boot.writable if os.path.isdir(root.path)]  # one that is not is told below
    with contextlib.suppress(landlock.Unavailable):
        landlock.restrict_process([run.path, *there])


def check_environment(environment: Mapping[str, str], the_plan: plan.Plan) -> Iterator[errors.BootsealError]:
    """Yield each variable that is not on the allow-list, by name only."""
    stage_b = the_plan.program(plan.STAGE_B)
    declared = _SUPERVISED | set(the_plan.boot.environment) | set(stage_b.environment if stage_b else ())
    for name in sorted(environment.keys() - declared):
        if not provisions.is_inherited(name):
            remedy = f"name it in boot.environment if programs need it: [{name}]"
            yield errors.BootsealError(f"variable {name}", "it is not on the environment's allow-list", remedy)


def check_identity(run: rundir.RunDirectory, boot: boot_record.BootRecord) -> Iterator[errors.BootsealError]:
    """Yield what makes the identity directory unusable from here; what a mounted one may lack is not amiss."""
    remedy = "only Stage A writes it; look for what else did"
    try:
        found = identity.read(run)
    except errors.BootsealError as error:
        yield error
        return
    if found.boot_id not in {None, boot.boot_id}:
        yield errors.BootsealError(f"identity {run.identity}/{identity.BOOT_ID}", "it is another boot's", remedy)
    if found.ed25519 is not None and base64.b64encode(found.ed25519).decode() != boot.public_key:
        why = "it is not the key that this boot began with"
        yield errors.BootsealError(f"identity {run.identity}/{identity.ED25519}", why, remedy)


def check_writable_roots(the_plan: plan.Plan) -> Iterator[errors.BootsealError]:
    """Yield each writable root in which its owner, by default this process, cannot make and remove a file."""
    for root in the_plan.boot.writable:
        probe = (
            f"{root.path}/.bootseal-stage-b.{os.urandom(6).hex()}"  # a pid returns, and so would a killed one's file
        )
        try:
            with _rights(root.owner):
                os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600))
                os.unlink(probe)
        except OSError as error:
            yield _as_problem(f"writable root {root.path}", error)


def check_executables(the_plan: plan.Plan, path: str) -> Iterator[errors.BootsealError]:
    """Yield each required artifact that cannot be used, and each required command that cannot be executed.

    Where programs have users of their own, a command is judged by its program's rights, and an artifact by those of each
    program that names it.
    """
    commands = {program.argv[0] for program in the_plan.required_programs}
    for artifact in the_plan.artifacts:
        if not artifact.required:
            continue
        for user in _users_of(artifact, the_plan):
            with _rights(user):
                wanted = os.X_OK if artifact.path in commands or os.path.isdir(artifact.path) else os.R_OK
                is_usable = os.access(artifact.path, wanted, effective_ids=user is not None)
            if not is_usable:
                need = "executable" if wanted == os.X_OK else "readable"
                why = f"{artifact.path} is not {need} here{_as(user)}"
                yield errors.BootsealError(f"artifact {artifact.id}", why, "rebuild the image")
    for program in the_plan.required_programs:
        with _rights(program.user):
            is_found = _is_executable(program, path)
        if not is_found:
            why = f"{program.argv[0]} is not an executable file{_as(program.user)}"
            where = "" if "/" in program.argv[0] else f" on PATH {path}"
            yield errors.BootsealError(f"program {program.name}", f"{why}{where}", "correct `command:` or the image")


def _rights(user: provisions.User | None) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext() if user is None else acting.acting_as(user.uid, user.gid)


def _as(user: provisions.User | None) -> str:
    return "" if user is None else f" for {user.uid}:{user.gid}"


def _users_of(artifact: provisions.ArtifactPlan, the_plan: plan.Plan) -> list[provisions.User | None]:
    """Return the users of the programs that name ``artifact``, each once; None stands for this process."""
    users = {program.user: None for program in the_plan.programs if artifact.id in program.artifacts}
    return list(users) or [None]


def _is_executable(program: plan.ProgramPlan, path: str) -> bool:
    if program.user is None:
        return shutil.which(program.argv[0], path=path) is not None
    # shutil.which asks access(2), which judges by the real uid.
    folders = [""] if "/" in program.argv[0] else path.split(":")
    found = (os.path.join(folder, program.argv[0]) for folder in folders)
    return any(os.path.isfile(one) and os.access(one, os.X_OK, effective_ids=True) for one in found)


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
