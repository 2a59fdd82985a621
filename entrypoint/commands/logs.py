"""``bootseal logs``: what programs said lately."""

import sys

import click

from contract import errors, output, rundir
from entrypoint import options, presenting, recent_output


@click.command(short_help="Print what programs said lately.")
@click.argument("names", nargs=-1, metavar="[NAME]...", shell_complete=options.complete_program)
@click.option("-f", "--follow", is_flag=True, help="Go on with what they say, until Ctrl-C.")
@click.option("-n", "--lines", "number", type=click.IntRange(min=0), help="The newest N lines only.")
@click.option("-a", "--all", "every", is_flag=True, help="Without NAME: bootseal's own programs too.")
@options.line_format
@options.run_directory
def logs(names: tuple[str, ...], run_dir: str, form: str, number: int | None, *, follow: bool, every: bool) -> None:
    """Print the output of every NAME, without one of all programs of the manifest, as far as PID 1 keeps it.

    Of more than one program each line begins with its name, and `|` for standard output or `!` for standard error. Secrets are hidden. How
    much was not kept is said on standard error. Exit 0, 2 for an unknown NAME, 6 when no container runs there.
    """
    run = rundir.RunDirectory(run_dir)
    names = recent_output.chosen(run, names, every=every)
    reader = recent_output.Reader(run.supervisor_socket, names)
    width = 0
    for page in reader.kept(number):
        _say_dropped(page)
        width = _print(page, names, form, width)
    if not follow:
        return
    for found in reader.follow():
        sys.stdout.flush()
        if isinstance(found, errors.BootsealError):
            waiting = "" if isinstance(found, recent_output.BeganAnew) else "; waiting for it"
            click.echo(f"bootseal logs: {presenting.plain(found)}{waiting}", err=True)
            continue
        _say_dropped(found)
        width = _print(found, names, form, width)


def _say_dropped(page: output.Output) -> None:
    if page.dropped:
        click.echo(f"bootseal logs: {page.dropped} lines were not kept until they could be read", err=True)


def _print(page: output.Output, names: tuple[str, ...], form: str, before: int) -> int:
    """Print the lines of ``page``; return how wide names are shown, never less wide than ``before``."""
    width = max(before, recent_output.width(names, page.lines))
    on_terminal, coloured = presenting.is_terminal(sys.stdout), presenting.is_coloured(sys.stdout)
    for one in page.lines:
        if form == "json":
            click.echo(output.line_text(one))
        elif form == "yaml":
            click.echo(presenting.dump([vars(one)], form), nl=False)
        else:
            text = recent_output.line(one, width, on_terminal=on_terminal, coloured=coloured)
            click.echo(text.encode(errors="replace").decode(), color=True)
    sys.stdout.flush()
    return width
