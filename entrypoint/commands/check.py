"""``bootseal check``: is this manifest right, and if not, what is wrong where?"""

import sys

import click

from contract import exit_codes
from entrypoint import locked_manifest
from manifest import diagnostics


@click.command(short_help="Judge a manifest.")
@click.argument("file", type=click.Path(readable=False))
@click.option("--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def check(file: str, output: str) -> None:
    """Say everything that is wrong with the manifest FILE. Exit 0 when it can be built, 2 when it cannot."""
    result, _ = locked_manifest.load(file)
    found = result.plan
    shown = click.format_filename(file)
    programs = [program for program in found.programs if program.role == "program"] if found else []
    required = sum(program.required for program in programs)
    if output == "json":
        value = {
            "file": shown,
            "ok": found is not None,
            "programs": len(programs) if found else None,
            "required": required if found else None,
            "diagnostics": diagnostics.to_json(result.diagnostics, shown, result.text),
        }
        click.echo(diagnostics.dump(value))
    else:
        click.echo(diagnostics.render(result.diagnostics, shown, result.text), nl=False, err=True)
        if codes := sorted({one.code for one in result.diagnostics}):
            click.echo(f"see `bootseal rules {' '.join(codes[:5])}` for why, and for examples", err=True)
        if found:
            noun = "program" if len(programs) == 1 else "programs"
            click.echo(f"{shown}: ok, {len(programs)} {noun}, {required} required")
    sys.exit(exit_codes.OK if found else exit_codes.USAGE_ERROR)
