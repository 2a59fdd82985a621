"""``bootseal runtimes``: which language runtimes are here?"""

import os

import click

from artifacts import runtimes as discovery
from manifest import provisions


@click.command(short_help="Find the language runtimes that are here.")
@click.option("--format", "output", type=click.Choice(["text", "json"]), default="text", show_default=True)
def runtimes(output: str) -> None:
    """Look for every known runtime and ask it for its version, also where BOOTSEAL_RUNTIMES overrides what boot finds."""
    found = discovery.detect(provisions.RUNTIMES, os.environ)
    if output == "json":
        click.echo(discovery.dump(found), nl=False)
        return
    by_name = {runtime.name: runtime for runtime in found}
    for name in provisions.RUNTIMES:
        runtime = by_name.get(name)
        version = "not found" if runtime is None else runtime.version or "unknown version"
        click.echo(f"{name:<8}{version:<17}{runtime.path if runtime else ''}".rstrip())
    override = os.environ.get(discovery.OVERRIDE)
    if override is not None:
        click.echo(f"{discovery.OVERRIDE} is set: boot takes {override!r} instead", err=True)
