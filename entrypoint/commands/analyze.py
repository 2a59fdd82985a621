"""``bootseal analyze``: where the time of this boot went."""

import hashlib
import json
import sys

import click

from container import output_file
from contract import boot_record, clock, errors, files, rundir, snapshot, unix_http
from entrypoint import analysis, analysis_svg, analysis_text, asking, options, presenting
from manifest import plan

_STANDARD_OUTPUT = "-"
_RECORD_LIMIT = 4 * 1024 * 1024
_LATER = "it boots, stops or is overloaded: ask again; `bootseal events` says how far it is"


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
        output_file.write(svg, picture.encode())
    if form != "text":
        click.echo(presenting.dump(analysis.to_json(found), form), nl=False)
        return
    click.echo(analysis_text.render(found, coloured=presenting.is_coloured(sys.stdout)), nl=False, color=True)


def look(run: rundir.RunDirectory) -> analysis.Analysis:
    """Ask the container and return its analysis; raises BootsealError when it does not answer or its files are not this boot's."""
    try:
        boot = boot_record.read(run)
        ledger = asking.ledger(run)
    except OSError as error:
        remedy = unix_http.remedy(error, _LATER)
        raise _cannot_ask(run, run.boot_record, errors.describe_os_error(error), remedy) from error
    except asking.NotThere as error:
        raise _cannot_ask(run, error.what, error.why, error.remedy or _LATER) from error
    return analysis.of(plan.load_of_boot(boot).plan, boot, ledger, clock.monotonic(), _elapsed(run, ledger))


def _elapsed(run: rundir.RunDirectory, ledger: snapshot.Snapshot) -> float | None:
    """Return the seal's own seconds of the record that PID 1 accepted, None where that cannot be read."""
    try:
        data = files.read_bounded(run.seal, _RECORD_LIMIT)
        if ledger.seal is None or hashlib.sha256(data).hexdigest() != ledger.seal.sha256:
            return None
        return float(json.loads(data)["elapsed_seconds"])
    except (OSError, errors.BootsealError, ValueError, TypeError, KeyError):
        return None


def _cannot_ask(run: rundir.RunDirectory, what: str, why: str, remedy: str) -> asking.NotThere:
    if asking.claimant(run) is None:
        start = "start the container, or name its run directory with --run-dir (of `bootseal up`: STATE/run)"
        return asking.NotThere(f"run directory {run.path}", f"no boot lives there; {what}: {why}", start)
    return asking.NotThere(what, why, remedy)
