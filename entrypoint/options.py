"""The options that several commands share, each with one meaning and one text."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from click import shell_completion

from contract import duration, errors, rundir
from entrypoint import presenting

RUN_DIRECTORY_VARIABLE = "BOOTSEAL_RUN_DIR"
"""What names the run directory where ``--run-dir`` does not; PID 1 has it in its own environment."""

_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


class Duration(click.ParamType):  # type: ignore[type-arg]  # no type parameter before click 8.4
    """A length of time as manifests write it (``90s``, ``1m30s``, ``500ms``), in seconds as float."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the seconds of ``value``; a usage error for anything else."""
        if isinstance(value, float):
            return value
        milliseconds = duration.milliseconds(str(value))
        if milliseconds is None:
            self.fail(f"{presenting.plain(value)!r} is no duration; write for example 30s or 1m30s", param, ctx)
        return milliseconds / 1000


def run_directory(command: _Decorated) -> _Decorated:
    """Add ``--run-dir``."""
    return click.option(
        "--run-dir",
        default=rundir.DEFAULT,
        show_default=True,
        envvar=RUN_DIRECTORY_VARIABLE,
        show_envvar=True,
        metavar="DIR",
        help="The run directory of the boot (of `bootseal up`: STATE/run).",
    )(command)


def output_format(command: _Decorated) -> _Decorated:
    """Add ``--format``."""
    choice = click.Choice(presenting.FORMATS)
    return click.option("--format", "form", type=choice, default="text", show_default=True, help="How to print it.")(
        command
    )


def line_format(command: _Decorated) -> _Decorated:
    """Add ``--format`` of what is printed item by item."""
    choice, text = click.Choice(presenting.FORMATS), "How to print it; json: an object a line, yaml: an item of a list."
    return click.option("--format", "form", type=choice, default="text", show_default=True, help=text)(command)


def absolute_times(command: _Decorated) -> _Decorated:
    """Add ``--abs-time``."""
    return click.option("--abs-time", "absolute", is_flag=True, help="Times as they are (RFC 3339), not how long ago.")(
        command
    )


def complete_goal(context: click.Context, _parameter: click.Parameter, start: str) -> list[Any]:
    """Return what can be waited for that begins with ``start``, for a shell; without names where the container is not there."""
    from entrypoint import asking, awaiting

    run = rundir.RunDirectory(context.params.get("run_dir") or rundir.DEFAULT)
    try:
        found = asking.look(run, timeout_seconds=asking.COMPLETION_SECONDS)
    except (errors.BootsealError, OSError):
        programs, requirements = ["NAME"], ["ID"]
    else:
        programs = [view.name for view in found.programs] or ["NAME"]
        requirements = [one.id for one in found.requirements] or ["ID"]
    goals = [awaiting.READY, awaiting.SEALED]
    goals += [f"{awaiting.PROGRAM}={name}" for name in programs]
    goals += [f"{awaiting.REQUIREMENT}={one}" for one in requirements]
    return [shell_completion.CompletionItem(one) for one in goals if one.startswith(start)]


def complete_program(context: click.Context, _parameter: click.Parameter, start: str) -> list[Any]:
    """Return the programs whose names begin with ``start``, for a shell; none where the container cannot be asked quickly."""
    from entrypoint import asking

    run_dir = context.params.get("run_dir") or rundir.DEFAULT
    try:
        names = asking.program_names(rundir.RunDirectory(run_dir))
    except (errors.BootsealError, OSError):
        return []
    return [shell_completion.CompletionItem(name) for name in names if name.startswith(start)]
