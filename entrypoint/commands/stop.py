"""``bootseal stop``: stop programs, and wait until they are down."""

import click

from entrypoint import acting


@click.command(short_help="Stop programs, and wait until they are down.")
@click.option("--force", is_flag=True, help="Also bootseal's own programs.")
@acting.parameters
def stop(names: tuple[str, ...], run_dir: str, form: str, timeout: float, *, no_wait: bool, force: bool) -> None:
    """Stop every NAME, what is bound to it before it; it stays stopped until somebody starts it.

    bootseal's own programs are refused without --force: without them the container is never ready. Exit 0 when all are down, 1 when one was refused, or could not be stopped in time: why is on standard error. 2 for an unknown NAME, 6 when no container runs there.
    """
    acting.run(
        lambda on, name, seconds, wait: on.stop(name, seconds, wait=wait),
        names,
        run_dir,
        form,
        timeout,
        wait=not no_wait,
        spare_own=not force,
    )
