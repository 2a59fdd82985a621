"""``bootseal completion``: what makes a shell complete these commands, their options, and the names of programs."""

import sys

import click

PROGRAM, VARIABLE = "bootseal", "_BOOTSEAL_COMPLETE"
"""The command that is completed, and the variable by which click's scripts ask it (click: Shell Completion)."""
SHELLS = ("bash", "zsh", "fish")


@click.command(short_help="Print what makes a shell complete these commands.")
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that makes SHELL complete commands, options, and the names of the programs of a running container.

    \b
    bash   eval "$(bootseal completion bash)"         in ~/.bashrc
    zsh    eval "$(bootseal completion zsh)"          in ~/.zshrc, after compinit
    fish   bootseal completion fish | source          in ~/.config/fish/config.fish
    """  # noqa: D301
    click.echo(script(shell), nl=False)


def script(shell: str) -> str:
    """Return the completion script for ``shell``; bash must be 4.4 or newer, which is not asked here."""
    from click import shell_completion

    from entrypoint import cli

    made = shell_completion.get_completion_class(shell)
    if made is None:
        sys.exit(f"bootseal completion: click knows no {shell}")
    one = made(cli.bootseal, {}, PROGRAM, VARIABLE)
    return one.source_template % one.source_vars() + "\n"
