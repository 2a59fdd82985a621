"""``bootseal restart``: stop programs and start them again."""

import click

from entrypoint import acting


@click.command(short_help="Stop programs and start them again.")
@acting.parameters
def restart(names: tuple[str, ...], run_dir: str, form: str, timeout: float, *, no_wait: bool) -> None:
    """Stop every NAME and start it again, with what is bound to it, and wait until it is ready.

    Exit 0 when all are ready, 1 when one was refused or failed, or is not ready in time: why is on standard error. 2 for an unknown NAME, 6 when no container runs
    there.
    """
    acting.run(
        lambda on, name, seconds, wait: on.restart(name, seconds, wait=wait),
        names,
        run_dir,
        form,
        timeout,
        wait=not no_wait,
    )
