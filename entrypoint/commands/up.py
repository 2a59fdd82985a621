"""``bootseal up FILE``: the same boot without a container, with its progress on the terminal."""

import sys

import click

from contract import errors, exit_codes
from entrypoint import options


@click.command(short_help="Boot a manifest here, without a container.")
@click.argument("file", type=click.Path(readable=False))
@click.option("--until-ready", is_flag=True, help="Exit 0 once ready, and stop everything.")
@click.option(
    "--timeout",
    type=options.Duration(),
    default=None,
    metavar="DURATION",
    help="Give up when not ready by then (30s, 2m).",
)
@click.option("--strict", is_flag=True, help="Fail on a writable immutable root instead of warning.")
@click.option("--listen", default=None, metavar="IP:PORT", help="Where the probes listen; else on loopback.")
@click.option("--state", default=None, metavar="DIR", help="Keep run directory and writable roots in DIR.")
@click.option("--format", "output", type=click.Choice(["auto", "text", "json"]), default="auto", show_default=True)
def up(
    file: str,
    timeout: float | None,
    listen: str | None,
    state: str | None,
    output: str,
    *,
    until_ready: bool,
    strict: bool,
) -> None:
    """Boot FILE in the foreground until Ctrl-C. No root, no engine.

    Paths are moved below one directory, ports are loopback, and a writable immutable root is a warning. The exit code
    is the boot's: 0 a requested stop, 6 a failed boot, 2 a manifest with errors.
    """
    from entrypoint import up as running

    try:
        wishes = running.Wishes(file, until_ready, timeout, strict, listen, state, output)
        code = running.run(wishes)
    except errors.BootsealError as error:
        print(f"bootseal up: {error}", file=sys.stderr)
        code = exit_codes.USAGE_ERROR
    sys.exit(code)
