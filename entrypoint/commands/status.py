"""``bootseal status``: is it ready, and what does every program do?"""

import sys
import time

import click

from contract import exit_codes, rundir
from entrypoint import asking, options, presenting, situation, status_text

_REFRESH_SECONDS = 0.25


@click.command(short_help="Is it ready, and what does every program do?")
@click.option(
    "-w",
    "--watch",
    is_flag=True,
    help="Go on until Ctrl-C: a live picture on a terminal, else a block for each change.",
)
@click.option("-a", "--all", "every", is_flag=True, help="Also bootseal's own programs.")
@options.absolute_times
@options.output_format
@options.run_directory
def status(run_dir: str, form: str, *, watch: bool, every: bool, absolute: bool) -> None:
    """Say whether the container is ready, and why not; then its programs, what it requires beside them, and where it listens.

    Exit 0 ready, 1 not ready (also when nobody can say), 6 when no container runs there. Readiness is the probe server's answer; when
    it does not answer, PID 1's ledger is shown, and then what the run directory knows.
    """
    run = rundir.RunDirectory(run_dir)
    if watch:
        _watch(run, form, every=every, absolute=absolute)
        return
    found = asking.look(run, with_meta=True)
    click.echo(_shown(found, form, every=every, absolute=absolute), nl=False, color=True)
    sys.exit(_code(found))


def _code(found: situation.Situation) -> int:
    if found.ready:
        return exit_codes.OK
    return exit_codes.GENERIC_FAILURE if found.is_alive else exit_codes.INFRASTRUCTURE_FAILURE


def _shown(found: situation.Situation, form: str, *, every: bool, absolute: bool) -> str:
    if form != "text":
        return presenting.dump(status_text.to_json(found), form)
    look = status_text.Look(time.time(), absolute, presenting.is_coloured(sys.stdout), every)
    return "".join(f"{line}\n" for line in status_text.lines(found, look))


def _watch(run: rundir.RunDirectory, form: str, *, every: bool, absolute: bool) -> None:
    if form == "text" and presenting.is_terminal(sys.stdout):
        _live(run, every=every, absolute=absolute)
        return
    before: situation.Situation | None = None
    while True:
        found = asking.look(run, with_meta=True)
        if found != before:
            text = _shown(found, form, every=every, absolute=absolute)
            click.echo(("---\n" if before and form == "yaml" else "\n" if before else "") + text, nl=False, color=True)
            sys.stdout.flush()
        before = found
        time.sleep(_REFRESH_SECONDS)


def _live(run: rundir.RunDirectory, *, every: bool, absolute: bool) -> None:
    from rich import console, live
    from rich.text import Text

    screen = console.Console(force_terminal=True)  # one that is gone must fail a write, and end this
    shown = ""
    try:
        with live.Live(console=screen, screen=True, auto_refresh=False) as picture:
            while True:
                found = asking.look(run, with_meta=True)
                shown = _shown(found, "text", every=every, absolute=absolute)
                picture.update(Text.from_ansi(shown), refresh=True)
                time.sleep(_REFRESH_SECONDS)
    finally:
        click.echo(shown, nl=False, color=True)  # the last picture stays, the screen that it was on does not
