"""``bootseal boot``: the boot path itself. ``entrypoint.__main__`` finds it first, without loading click."""

import sys

import click


@click.command(short_help="Boot as PID 1.", context_settings={"ignore_unknown_options": True}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def boot(arguments: tuple[str, ...]) -> None:
    """Boot the plan in this process."""
    from entrypoint import boot as booting

    sys.exit(booting.main(list(arguments)))
