"""``bootseal wait``: until it is ready, or cannot become so."""

import sys

import click

from contract import exit_codes, rundir
from entrypoint import awaiting, options, presenting


def _goal(_context: click.Context, parameter: click.Parameter, value: str) -> awaiting.Goal:
    goal = awaiting.parse(value)
    if goal is None:
        text = f"{presenting.plain(value)!r} is none of ready, sealed, program=NAME, requirement=ID"
        raise click.BadParameter(text, param=parameter)
    return goal


@click.command(short_help="Wait until it is ready, or cannot become so.")
@click.option(
    "--for",
    "goal",
    default="ready",
    show_default=True,
    metavar="WHAT",
    callback=_goal,
    shell_complete=options.complete_goal,
    help="ready, sealed, program=NAME or requirement=ID.",
)
@click.option(
    "--timeout",
    type=options.Duration(),
    default=60.0,
    metavar="DURATION",
    help="Give up after it (500ms, 1m30s).  [default: 60s]",
)
@click.option("-q", "--quiet", is_flag=True, help="Print nothing on standard output; the exit code says it.")
@options.output_format
@options.run_directory
def wait(goal: awaiting.Goal, timeout: float, run_dir: str, form: str, *, quiet: bool) -> None:
    """Wait for the container, also for one that has not begun to boot.

    Exit 0 reached; 1 when the time is over, or when it can never be reached: the boot failed or is held, the container stops, a program
    that is needed failed for good. Why is on standard error; the rest of the time is not waited for. 2 when there is no
    such program or requirement.
    """
    verdict = awaiting.wait(rundir.RunDirectory(run_dir), goal, timeout)
    why = presenting.plain(verdict.why)
    if form != "text" and not quiet:
        value = {"schema": "bootseal.wait/1", "for": str(goal), "reached": verdict.reached is True,
                 "timed_out": verdict.reached is None, "why": verdict.why}  # fmt: skip
        click.echo(presenting.dump(value, form), nl=False)
    elif verdict.reached and not quiet:
        click.echo(why)
    if verdict.reached:
        return
    what = f"not {goal} within {timeout:g} s" if verdict.reached is None else f"never {goal}"
    click.echo(f"bootseal wait: {presenting.plain(what)}: {why}", err=True)
    sys.exit(exit_codes.GENERIC_FAILURE)
