"""``bootseal events``: what happened in this boot."""

import os
import sys
import time

import click

from contract import errors, journal, rundir, unix_http
from entrypoint import asking, events_text, options, presenting

_PAUSE_SECONDS = 0.2
_AT_ONCE = 100_000


@click.command(short_help="Print what happened in this boot.")
@click.option("-f", "--follow", is_flag=True, help="Go on with what happens, until Ctrl-C; also over the next boot.")
@click.option(
    "-n",
    "--lines",
    "number",
    type=click.IntRange(min=0),
    help="The last N only, and N more than one boot has reach into earlier ones.",
)
@options.absolute_times
@options.line_format
@options.run_directory
def events(run_dir: str, form: str, number: int | None, *, follow: bool, absolute: bool) -> None:
    """Print the events of the last boot: time, level, event, and what it is about.

    They are read from the run directory, so they can be read after the container's end. Exit 0, or 6 when no boot is known there.
    """
    run = rundir.RunDirectory(run_dir)
    reading = _read(run, "")
    if not reading.entries and not follow:
        why = "no boot has written any event there" if os.path.isdir(run.path) else "there is no such directory"
        raise asking.NotThere(
            f"run directory {run.path}", why, "name the container's with --run-dir (of `bootseal up`: STATE/run)"
        )
    entries = reading.entries
    if number is None:
        last = next((one.event.get("boot_id") for one in reversed(entries) if one.event.get("boot_id")), None)
        entries = tuple(one for one in entries if one.event.get("boot_id") == last)
    else:
        entries = entries[len(entries) - min(number, len(entries)) :]
    _print(entries, form, absolute=absolute)
    while follow:
        sys.stdout.flush()
        time.sleep(_PAUSE_SECONDS)
        reading = _read(run, reading.cursor)
        if reading.is_gap:
            click.echo("bootseal events: some events are missing here: the file was rotated or replaced", err=True)
        _print(reading.entries, form, absolute=absolute)


def _read(run: rundir.RunDirectory, cursor: str) -> journal.Reading:
    try:
        return journal.read(run.events, None, cursor, _AT_ONCE)
    except OSError as error:
        raise asking.NotThere(run.events, errors.describe_os_error(error), unix_http.remedy(error, "")) from error
    except errors.UnsafePath as error:
        raise asking.NotThere(error.what, error.why, error.remedy) from error


def _print(entries: tuple[journal.Entry, ...], form: str, *, absolute: bool) -> None:
    coloured, now = presenting.is_coloured(sys.stdout), time.time()
    for entry in entries:
        if form == "json":
            click.echo(entry.line)
        elif form == "yaml":
            click.echo(presenting.dump([entry.event], form), nl=False)
        else:
            click.echo(events_text.line(entry.event, now, absolute=absolute, coloured=coloured), color=True)
