"""``bootseal verify``: is this container's seal acceptable, and what changed since?"""

import dataclasses
import json
import sys

import click

from contract import errors, exit_codes, rundir
from seal import verification
from supervisord import client


@click.command(short_help="Judge this container's seal.")
@click.option("--run-dir", default=rundir.DEFAULT, show_default=True, help="The container's run directory.")
@click.option("--live", is_flag=True, help="Also list what restarted or is not ready since the seal.")
@click.option("--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def verify(run_dir: str, output: str, *, live: bool) -> None:
    """Judge the seal: signature, boot, generation, PID 1 and plan. Exit 0 accepted, 1 refused or not there.

    The seal says that boot completed; whether the container is ready now is the question of /ready.
    """
    run = rundir.RunDirectory(run_dir)
    try:
        sealed = verification.verify(run)
        changes = verification.changes_since(sealed, client.Client(run.supervisor_socket).snapshot()) if live else ()
    except errors.BootsealError as error:
        print(f"bootseal verify: {error}", file=sys.stderr)
        sys.exit(exit_codes.GENERIC_FAILURE)
    if output == "json":
        value = {"accepted": True, "seal": dataclasses.asdict(sealed)}
        if live:
            value["changes"] = [dataclasses.asdict(change) for change in changes]
        print(json.dumps(value, indent=2))
        return
    names = ", ".join(program.name for program in sealed.programs) or "none"
    late = ", late" if sealed.late else ""
    print(f"accepted: {run.seal}")
    print(f"  sealed    {sealed.sealed_at}, {sealed.elapsed_seconds:.3f} s after the start{late}")
    print(f"  boot      {sealed.boot_id}, generation {sealed.generation}")
    print(f"  identity  {sealed.identity.id}, ed25519 {sealed.identity.ed25519}")
    print(f"  plan      sha256 {sealed.plan_sha256}")
    print(f"  required  {names}")
    for change in changes:
        print(f"  since     {change.program} {change.what}")
    if live and not changes:
        print("  since     nothing restarted")
