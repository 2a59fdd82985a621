"""``bootseal build``: compile a manifest to the files that boot reads, or find how they differ."""

import sys

import click

from contract import directories, errors, exit_codes, rundir
from entrypoint import building, locked_manifest
from manifest import compile as compiling
from manifest import drawing, plan


def _normal_path(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        directories.components(value)
    except errors.UnsafePath as error:
        raise click.BadParameter(str(error), ctx, parameter) from error
    return value


def _run_directory(ctx: click.Context, parameter: click.Parameter, value: str) -> str:
    try:
        rundir.check_socket_paths(_normal_path(ctx, parameter, value))
    except errors.UnsafePath as error:
        raise click.BadParameter(str(error), ctx, parameter) from error
    return value


@click.command(short_help="Compile a manifest to the files that boot reads.")
@click.argument("file", type=click.Path(readable=False))
@click.option("-o", "--output", required=True, metavar="DIR", help="Where plan.json and supervisord.conf go.")
@click.option(
    "--run-dir",
    default=rundir.DEFAULT,
    show_default=True,
    metavar="DIR",
    callback=_run_directory,
    help="The container's run directory.",
)
@click.option(
    "--prefix",
    default=plan.PREFIX,
    show_default=True,
    metavar="DIR",
    callback=_normal_path,
    help="Where bootseal is installed in the image.",
)
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit 2 and show the difference if there is one."
)
def build(file: str, output: str, run_dir: str, prefix: str, *, only_check: bool) -> None:
    """Compile the manifest FILE. The same FILE gives the same bytes, and nothing is written when it has errors."""
    result, lock = locked_manifest.load(file, compiling.BuildOptions(prefix, run_dir))
    building.report(result, sys.stderr)
    if result.plan is None:
        sys.exit(exit_codes.USAGE_ERROR)
    built = building.finish(result.plan, lock)
    if not only_check:
        building.write(built, output)
        click.echo(drawing.stop_line(built.plan))
        if unverified := drawing.artifacts_line(built.plan):
            click.echo(unverified)
        return
    difference = building.drift(built, output)
    if difference:
        click.echo(difference, nl=False)
        here, there = click.format_filename(file), click.format_filename(output)
        click.echo(f"{there}: it is not what {here} builds (run `bootseal build {here} -o {there}`)", err=True)
        sys.exit(exit_codes.USAGE_ERROR)
