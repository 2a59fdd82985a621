"""``bootseal lock``: write down what the artifacts of a manifest are, or find how they differ from what was written."""

import os
import sys

import click

from artifacts import lock as locks
from contract import clock, exit_codes
from entrypoint import building, locking


@click.command(short_help="Write down what a manifest's artifacts are.")
@click.argument("file", type=click.Path(readable=False))
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit 2 and show the differences if there are some."
)
def lock(file: str, *, only_check: bool) -> None:
    """Expand every artifact of the manifest FILE to its closure, in closures.lock beside it. The same files give the same bytes.

    Run it where the artifacts are what they will be at boot: as the last step in the image.
    """
    started = clock.monotonic()
    result = locking.load(file)
    building.report(result, sys.stderr)
    if result.plan is None:
        sys.exit(exit_codes.USAGE_ERROR)
    place = locking.default_output(file)
    found = locking.expand(result.plan.artifacts, os.path.dirname(os.path.abspath(file)), place)
    for text in found.notes:
        click.echo(f"bootseal: {_visible(text)}", err=True)
    for text in found.problems:
        click.echo(f"bootseal: {_visible(text)}", err=True)
    if only_check:
        _compare(file, place, found)
        return
    if found.problems:
        sys.exit(exit_codes.GENERIC_FAILURE)
    data = locks.dump(found.lock)
    locks.parse(data, f"lock {place}")  # what boot would refuse is not written
    locking.write(place, data)
    for closed in found.lock.closures:
        click.echo(locking.line(closed))
    click.echo(f"{place}: {len(found.lock.closures)} locked in {clock.monotonic() - started:.1f} s")


def _compare(file: str, place: str, found: locking.Outcome) -> None:
    """Show how the lock at ``place`` differs from what was ``found``; exit 2 when it does, or when something cannot be locked."""
    differences = locking.differences(place, found)
    for text in differences:
        click.echo(_visible(text))
    if differences or found.problems:
        remedy = "put that right, then run `bootseal lock`" if found.problems else "run `bootseal lock`"
        click.echo(f"{place}: it is not what {click.format_filename(file)} locks ({remedy})", err=True)
        sys.exit(exit_codes.USAGE_ERROR)


def _visible(text: str) -> str:
    """Return ``text`` with nothing that a terminal would act on: a file may be called anything."""
    return "".join(one if one.isprintable() else one.encode("unicode_escape", "surrogatepass").decode() for one in text)
