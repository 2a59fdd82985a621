"""``bootseal graph``: the order in which programs start, as a picture."""

import sys

import click

from contract import exit_codes
from entrypoint import locked_manifest, presenting
from manifest import diagnostics, drawing


@click.command(short_help="Draw the order in which programs start.")
@click.argument("file", type=click.Path(readable=False))
@click.option(
    "--format",
    "output",
    type=click.Choice(["text", "mermaid", "json", "yaml"]),
    default="text",
    show_default=True,
    help="How to print it.",
)
def graph(file: str, output: str) -> None:
    """Draw what the programs of the manifest FILE wait for. Exit 0, or 2 when it has errors."""
    result, _ = locked_manifest.load(file)
    shown = click.format_filename(file)
    click.echo(diagnostics.render(result.diagnostics, shown, result.text), nl=False, err=True)
    if result.plan is None:
        sys.exit(exit_codes.USAGE_ERROR)
    if output == "json":
        click.echo(diagnostics.dump(drawing.to_json(result.plan)))
    elif output == "yaml":
        click.echo(presenting.dump(drawing.to_json(result.plan), output), nl=False)
    else:
        click.echo(drawing.mermaid(result.plan) if output == "mermaid" else drawing.text(result.plan), nl=False)
