"""``bootseal start``: start programs, and wait until they are ready."""

import click

from entrypoint import acting


@click.command(short_help="Start programs, and wait until they are ready.")
@acting.parameters
def start(names: tuple[str, ...], run_dir: str, form: str, timeout: float, *, no_wait: bool) -> None:
    """Start every NAME once what it needs is ready, and wait until it is ready itself.

    Exit 0 when all are ready, 1 when one was refused or failed, or is not ready in time: why is on standard error. A start that was accepted
    stays wanted. 2 for an unknown NAME, 6 when no container runs there.
    """
    acting.run(
        lambda on, name, seconds, wait: on.start(name, seconds, wait=wait),
        names,
        run_dir,
        form,
        timeout,
        wait=not no_wait,
    )
