"""The three commands that act on programs, as one: ask, print what became of each, exit 0 when all was done."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from contract import exit_codes, rundir
from entrypoint import operating, options, presenting

SCHEMA = "bootseal.operation/1"

Act = Callable[[operating.Controls, str, float, bool], operating.Outcome]
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


def parameters(command: _Decorated) -> _Decorated:
    """Add the parameters that the three share."""
    for decorate in (
        options.run_directory,
        options.output_format,
        click.option("--timeout", type=options.Duration(), default=60.0, metavar="DURATION",
                     help="Wait no longer for each (500ms, 1m30s).  [default: 60s]"),
        click.option("--no-wait", is_flag=True, help="Ask, and do not wait until it is done."),
        click.argument("names", nargs=-1, required=True, metavar="NAME...", shell_complete=options.complete_program),
    ):  # fmt: skip
        command = decorate(command)
    return command


def run(
    act: Act, names: tuple[str, ...], run_dir: str, form: str, timeout: float, *, wait: bool, spare_own: bool = False
) -> None:
    """Do ``act`` to each of ``names`` and exit: 0 when all was done, 1 when one was not; with ``spare_own`` to none of bootseal's own."""
    controls = operating.Controls(rundir.RunDirectory(run_dir))
    controls.check(names, timeout, spare_own=spare_own)
    outcomes = []
    for name in dict.fromkeys(names):
        outcome = act(controls, name, timeout, wait)
        outcomes.append(outcome)
        told = f"{outcome.name}: {presenting.plain(outcome.what)}"
        if not outcome.done:
            click.echo(f"bootseal {click.get_current_context().info_name}: {told}", err=True)
        elif form == "text":
            click.echo(told)
    if form != "text":
        value = {"schema": SCHEMA, "programs": [dataclasses.asdict(one) for one in outcomes]}
        click.echo(presenting.dump(value, form), nl=False)
    sys.exit(exit_codes.OK if all(one.done for one in outcomes) else exit_codes.GENERIC_FAILURE)
