"""``bootseal schema``: the JSON Schema of the manifest, for editors."""

import click

from container import output_file
from manifest import schema as manifest_schema


@click.command(short_help="Print the JSON Schema of the manifest, for editors.")
@click.option("-o", "--output", metavar="FILE", default=None, help="Write it to FILE instead.")
def schema(output: str | None) -> None:
    """Print the JSON Schema (draft 2020-12) of the manifest."""
    text = manifest_schema.dump()
    if output is None:
        click.echo(text, nl=False)
    else:
        output_file.write(output, text.encode())
