"""``bootseal analyze``: where the time of this boot went."""

import sys

import click

from contract import boot_record, clock, errors, exit_codes, files, rundir
from entrypoint import analysis, analysis_svg, analysis_text, asking, options, presenting
from manifest import plan
from supervisord import client

_STANDARD_OUTPUT = "-"


class CannotAsk(errors.BootsealError):
    """The container cannot be asked where its boot's time went."""

    exit_code = exit_codes.INFRASTRUCTURE_FAILURE


@click.command(short_help="Say where the time of this boot went.")
@click.option("--svg", metavar="FILE", help="Also write a timeline as SVG to FILE; `-` prints it instead.")
@options.output_format
@options.run_directory
def analyze(run_dir: str, form: str, svg: str | None) -> None:
    """Say what the boot waited for: the critical chain from the seal back to Stage A, and how long each phase and program took.

    What is not ready yet is shown as such, and so is a boot that is not sealed, or failed and is held. Exit 0, or 6 when no
    container runs there or it does not answer.
    """
    found = look(rundir.RunDirectory(run_dir))
    if svg is not None:
        picture = analysis_svg.render(found)
        if svg == _STANDARD_OUTPUT:
            click.echo(picture, nl=False)
            return
        files.write_atomically(svg, picture.encode(), 0o644)
    if form != "text":
        click.echo(presenting.dump(analysis.to_json(found), form), nl=False)
        return
    click.echo(analysis_text.render(found, coloured=presenting.is_coloured(sys.stdout)), nl=False, color=True)


def look(run: rundir.RunDirectory) -> analysis.Analysis:
    """Ask the container and return its analysis; raises BootsealError when it does not answer or its files are not this boot's."""
    try:
        boot = boot_record.read(run)
        ledger = client.Client(run.supervisor_socket).snapshot()
    except OSError as error:
        raise _cannot_ask(run, run.boot_record, errors.describe_os_error(error)) from error
    except (client.Unreachable, client.Refused) as error:
        raise _cannot_ask(run, error.what, error.why) from error
    return analysis.of(plan.load_of_boot(boot).plan, boot, ledger, clock.monotonic())


def _cannot_ask(run: rundir.RunDirectory, what: str, why: str) -> errors.BootsealError:
    if asking.claimant(run) is None:
        remedy = "start the container, or name its run directory with --run-dir (of `bootseal up`: STATE/run)"
        return asking.NotThere(f"run directory {run.path}", f"no boot lives there; {what}: {why}", remedy)
    return CannotAsk(what, why, "it boots, stops or is overloaded: ask again; `bootseal events` says how far it is")
