"""The command line: finds the command and turns every end into an exit code.

Rules
-----
* A command's module is imported when it runs, and the help of all commands imports none of them.
* 0 done, 1 failed, 2 wrong arguments or a manifest with errors, 6 no container runs there. Errors print as ``what: why (what to
  do)`` behind the command's name, but for those that read a manifest and name that; a traceback never.
"""

import contextlib
import importlib
import os
import signal
import sys
import traceback
from typing import Any, TextIO

import click

from contract import errors, exit_codes, version
from entrypoint import presenting

_OF_MANIFESTS = "Make an image"
GROUPS = {
    _OF_MANIFESTS: {
        "init": "Write a manifest and a Containerfile to begin with.",
        "adopt": "Write a manifest from an existing supervisord.conf.",
        "check": "Judge a manifest.",
        "rules": "Explain what can be wrong with a manifest.",
        "lock": "Write down what a manifest's artifacts are.",
        "build": "Compile a manifest to the files that boot reads.",
        "graph": "Draw the order in which programs start.",
        "schema": "Print the JSON Schema of the manifest, for editors.",
        "runtimes": "Find the language runtimes that are here.",
        "image": "Build an image, the same bytes each time.",
        "render": "Write what runs the container: for Compose, Kubernetes, podman.",
    },
    "Boot": {
        "boot": "Boot as PID 1 (what an image's ENTRYPOINT runs).",
        "up": "Boot a manifest here, without a container.",
    },
    "Look": {
        "status": "Say whether it is ready, and what every program does.",
        "why": "Say why it is not ready: the first cause, and its last words.",
        "wait": "Wait until it is ready, or cannot become so.",
        "analyze": "Say where the time of this boot went.",
        "events": "Print what happened in this boot.",
        "logs": "Print what programs said lately.",
        "verify": "Judge a container's seal, in it or from outside.",
        "doctor": "Find what this machine or container lacks.",
    },
    "Act": {
        "start": "Start programs, and wait until they are ready.",
        "stop": "Stop programs, and wait until they are down.",
        "restart": "Stop programs and start them again.",
    },
    "Shell": {
        "completion": "Print what makes a shell complete these commands.",
    },
}
"""Every command with its one line of help, as the help groups them; the module of one is ``entrypoint.commands.NAME``."""
COMMANDS = {name: text for commands in GROUPS.values() for name, text in commands.items()}


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"entrypoint.commands.{cmd_name}")
        found: click.Command = getattr(module, cmd_name)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        width = max(map(len, COMMANDS))
        for title, commands in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(f"{name:<{width}}", text) for name, text in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        """Complete the names of commands without loading one."""
        from click import shell_completion

        found = [
            shell_completion.CompletionItem(name, help=text)
            for name, text in COMMANDS.items()
            if name.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            from difflib import get_close_matches

            close = get_close_matches(name, COMMANDS, n=1)
            raise click.UsageError(f"unknown command {name!r}: {_did_you_mean(close)}", ctx)
        return super().resolve_command(ctx, args)


def _did_you_mean(close: list[str]) -> str:
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(COMMANDS)}"


@click.group(cls=_Commands, no_args_is_help=False, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version.VERSION, prog_name="bootseal")
def bootseal() -> None:
    """Boot containers of many programs: ready means ready, sealed and signed."""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    try:
        code = _run(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
        return exit_codes.GENERIC_FAILURE
    except click.ClickException as error:
        return _usage_error(error)
    except (click.Abort, KeyboardInterrupt):
        return exit_codes.from_signal(signal.SIGINT)
    except errors.BootsealError as error:
        _fail(str(error), _command(argv))
        return getattr(error, "exit_code", exit_codes.GENERIC_FAILURE)
    except OSError as error:
        what = error.filename if isinstance(error.filename, str) else "output"
        if what == "output":
            _discard(sys.stdout)
        return _fail(f"{what}: {errors.describe_os_error(error)}", _command(argv))
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{os.path.basename(frame.filename)}:{frame.lineno}"
        return _fail(f"internal error at {where}: {type(error).__name__}: {error} (please report it)")
    return code


def _run(argv: list[str] | None) -> int:
    try:
        code = bootseal.main(args=argv, prog_name="bootseal", standalone_mode=False)
    except click.exceptions.Exit as end:
        return end.exit_code
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else exit_codes.GENERIC_FAILURE if end.code else exit_codes.OK
    return code if isinstance(code, int) else exit_codes.OK


def _discard(stream: TextIO | None) -> None:
    """Drop what ``stream`` could not write: the interpreter would try again at its end, and complain."""
    if stream is not None:
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), stream.fileno())


def _usage_error(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    remedy = f" (see `{context.command_path} --help`)" if context else ""
    command = context.command_path if context else "bootseal"
    click.echo(f"{command}: {_lines(error.format_message().rstrip('.'))}{remedy}", err=True)
    return exit_codes.USAGE_ERROR


def _lines(text: str) -> str:
    """Return what click says, of several lines perhaps; it repeats what was given on the command line."""
    return "\n".join(map(presenting.plain, text.split("\n")))


def _command(argv: list[str] | None) -> str:
    """Return the command that was called, with a blank before it; "" for none, and for one that names the manifest instead."""
    words = sys.argv[1:] if argv is None else argv
    is_named = words and words[0] in COMMANDS and words[0] not in GROUPS[_OF_MANIFESTS]
    return f" {words[0]}" if is_named else ""


def _fail(text: str, command: str = "") -> int:
    try:
        click.echo(f"bootseal{command}: {presenting.plain(text)}", err=True)
    except OSError:
        _discard(sys.stderr)
    return exit_codes.GENERIC_FAILURE
