"""``bootseal verify``: is this container's seal acceptable, and what changed since? Also from outside, without the container."""

import dataclasses
import sys
from typing import Any

import click

from contract import attested, errors, exit_codes, rundir
from entrypoint import options, presenting
from seal import outside, record, verification
from supervisord import client

_SHOWN = 16


@click.command(short_help="Judge a container's seal, in it or from outside.")
@options.run_directory
@click.option("--live", is_flag=True, help="Also list what restarted or is not ready since the seal.")
@click.option("--seal", "seal_file", metavar="FILE", help="From outside: a copy of bootstrap.done.")
@click.option("--key", "key_file", metavar="FILE", help="From outside: the container's public key, PEM, base64 or hex.")
@click.option("--plan", "plan_directory", metavar="DIR", help="From outside: what `bootseal build` wrote.")
@click.option("--generation", type=click.IntRange(min=1), help="From outside: accept this generation alone.")
@options.output_format
@click.pass_context
def verify(
    context: click.Context,
    *,
    run_dir: str,
    seal_file: str | None,
    key_file: str | None,
    plan_directory: str | None,
    generation: int | None,
    form: str,
    live: bool,
) -> None:
    """Judge the seal. Exit 0 accepted, 1 refused or not there.

    In a container: signature, boot, generation, PID 1 and plan are this container's. From outside, with --key and --plan:
    the record (--seal, else the one in --run-dir) was signed by that key for that plan, and the artifacts that it sealed are
    those of the plan's lock; the generation is shown, or must be --generation.

    The seal says that boot completed; whether the container is ready now is the question of /ready.
    """
    _refuse_odd_combinations(context, seal_file, key_file, plan_directory, generation, live=live)
    run = rundir.RunDirectory(run_dir)
    where = seal_file or run.seal
    changes: tuple[verification.Change, ...] = ()
    try:
        if key_file is not None and plan_directory is not None:
            key, image = outside.read_key(key_file), outside.read_plan(plan_directory)
            sealed = outside.judge(outside.read_seal(where), key, image, generation, f"seal {where}")
        else:
            sealed = verification.verify(run)
        if live:
            changes = verification.changes_since(sealed, client.Client(run.supervisor_socket).snapshot())
    except errors.BootsealError as error:
        if form != "text":
            print(presenting.dump(_refusal(error), form), end="")
        print(f"bootseal verify: {presenting.plain(error)}", file=sys.stderr)
        sys.exit(exit_codes.GENERIC_FAILURE)
    if form != "text":
        value: dict[str, Any] = {"accepted": True, "seal": dataclasses.asdict(sealed)}
        if live:
            value["changes"] = [dataclasses.asdict(change) for change in changes]
        print(presenting.dump(value, form), end="")
        return
    print(f"accepted: {where}")
    for line in _described(sealed):
        print(f"  {line}")
    for change in changes:
        print(f"  since     {change.program} {change.what}")
    if live and not changes:
        print("  since     nothing restarted")


def _refuse_odd_combinations(
    context: click.Context,
    seal_file: str | None,
    key_file: str | None,
    plan_directory: str | None,
    generation: int | None,
    *,
    live: bool,
) -> None:
    """Raise UsageError where options were given that mean nothing together."""
    problem = None
    is_outside = key_file is not None or plan_directory is not None
    if (key_file is None) != (plan_directory is None):
        given, missing = ("--key", "--plan DIR") if key_file is not None else ("--plan", "--key FILE")
        problem = f"{given} judges from outside and needs {missing} too"
    elif seal_file is not None and not is_outside:
        problem = "--seal judges from outside and needs --key FILE and --plan DIR too"
    elif generation is not None and not is_outside:
        problem = "--generation judges from outside and needs --key FILE and --plan DIR; in a container it is known"
    elif live and is_outside:
        problem = "--live asks the running container, and --key and --plan judge from outside: leave one out"
    elif seal_file is not None and context.get_parameter_source("run_dir") is click.core.ParameterSource.COMMANDLINE:
        problem = "--seal names the record, and --run-dir where it lies: leave one out"
    if problem:
        raise click.UsageError(problem)


def _refusal(error: errors.BootsealError) -> dict[str, Any]:
    refusal = {"kind": type(error).__name__, "what": error.what, "why": error.why, "remedy": error.remedy}
    return {"accepted": False, "refusal": refusal}


def _described(sealed: record.Record) -> list[str]:
    late = ", late" if sealed.late else ""
    names = ", ".join(program.name for program in sealed.programs) or "none"
    lines = [
        f"sealed    {sealed.sealed_at}, {sealed.elapsed_seconds:.3f} s after the start{late}",
        f"boot      {sealed.boot_id}, generation {sealed.generation}",
        f"identity  {sealed.identity.id}, ed25519 {sealed.identity.ed25519}",
        f"plan      sha256 {sealed.plan_sha256}",
    ]
    if sealed.lock_sha256 is not None:
        lines.append(f"lock      sha256 {sealed.lock_sha256}")
    for artifact in sealed.artifacts:
        digest = f", closure {artifact.sha256[:_SHOWN]}…" if artifact.sha256 else ""
        lines.append(
            f"artifact  {artifact.id}, {'verified by' if artifact.usable else 'NOT USABLE,'} {artifact.verified}{digest}"
        )
    return [*lines, *_confinement(sealed.security), f"required  {names}"]


def _confinement(found: attested.Attested | None) -> list[str]:
    """Return what is said of the profile that the container ran under: every difference that is weaker, and what is unknown."""
    if found is None:
        return ["security  no container: nothing confined it"]
    enforced = ", enforced" if found.enforced else ""
    weak = [one for one in found.differences if one.weaker]
    lines = [f"security  {f'WEAKER than planned in {len(weak)}' if weak else 'as planned'}{enforced}"]
    lines += [f"  weaker    {presenting.plain(f'{one.what}: {one.found}, planned {one.planned}')}" for one in weak]
    return lines + [f"  unknown   {presenting.plain(f'{what}: {why}')}" for what, why in found.unknown.items()]
