"""``bootseal adopt``: a manifest from an existing configuration of supervisor's."""

import os
import sys
import tempfile

import click

from container import output_file
from contract import errors, exit_codes
from entrypoint import presenting

_SHOWN = 100


def _variables(_ctx: click.Context, _parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = [value.partition("=") for value in values]
    for name, equals, _ in pairs:
        if not equals or not name:
            raise click.BadParameter(f"{presenting.plain(name)!r} is not NAME=VALUE")
    return {name: value for name, _, value in pairs}


@click.command(short_help="Write a manifest from an existing supervisord.conf.")
@click.argument("file", type=click.Path(readable=False))
@click.option(
    "-o", "--output", metavar="FILE", default=None, help="Where the manifest goes; standard output by default."
)
@click.option("--force", is_flag=True, help="Replace the FILE of -o where it is there.")
@click.option("--name", metavar="NAME", default="app", show_default=True, help="The manifest's name, a DNS-1123 label.")
@click.option(
    "--here",
    metavar="DIR",
    default=None,
    help="Where FILE will lie in the image, for %(here)s; by default where it lies now.",
)
@click.option(
    "-e",
    "--env",
    "environment",
    metavar="NAME=VALUE",
    multiple=True,
    callback=_variables,
    help="Put VALUE in the place of %(ENV_NAME)s now, instead of at boot. May be repeated.",
)
@click.option("--strict", is_flag=True, help="Write nothing and exit 1 when anything could not be carried over.")
def adopt(
    file: str,
    output: str | None,
    name: str,
    here: str | None,
    environment: dict[str, str],
    *,
    force: bool,
    strict: bool,
) -> None:
    """Write a manifest that boots what supervisord boots with the configuration FILE, and all that it includes.

    Nothing of it is executed. What cannot be carried over stands in comments, where it belongs, with the reason.
    """
    from manifest import fields
    from manifest.adoption import expansion, ini, writing

    if fault := fields.label_fault(name):
        raise click.BadParameter(f"{presenting.plain(name)!r} is not a name ({fault})", param_hint="--name")
    if here is not None and (fault := fields.path_fault(here)):
        raise click.BadParameter(
            f"{presenting.plain(here)!r} is not an absolute normal path: {fault}", param_hint="--here"
        )
    if output is not None and os.path.lexists(output) and not force:
        raise errors.BootsealError(
            output, "it is there already", "name another file with -o, or replace it with --force"
        )
    folder = here or os.path.dirname(os.path.abspath(file))

    def expand(text: str) -> str:
        known: dict[str, str | int] = {"here": folder, **{f"ENV_{key}": value for key, value in environment.items()}}
        return _files(
            text, expansion.expand(text, known), is_known=not expansion.is_marked(expansion.expand(text, known))
        )

    try:
        read = ini.read(file, follows_includes=True, here=here, expand=expand)
    except expansion.CannotExpandError as error:
        raise errors.BootsealError(file, f"the files of [include] cannot be told: {error}", "correct them") from error
    made = writing.adopt(read, folder, name, environment)
    if not made.names:
        raise errors.BootsealError(
            file, "it holds no program that could be carried over", "name the supervisord.conf itself"
        )
    said = f"{writing.count(made.programs, 'program')}, {writing.count(len(made.notes), 'note')}"
    if strict and made.lost:
        for note in made.lost[:_SHOWN]:
            click.echo(f"not carried over: {presenting.plain(note.text)}", err=True)
        click.echo(
            f"{presenting.plain(file)}: {said}; {len(made.lost)} not carried over, and nothing is written", err=True
        )
        sys.exit(exit_codes.GENERIC_FAILURE)
    if output is None:
        click.echo(made.text, nl=False)
    else:
        output_file.write(output, made.text.encode())
    _judge(made.text, output)
    click.echo(f"{presenting.plain(file)}: {said}", err=True)


def _files(text: str, expanded: str, *, is_known: bool) -> str:
    """Return the patterns of [include]; raises BootsealError where the boot alone knows them."""
    if not is_known:
        raise errors.BootsealError(
            "[include]", f"what {text} names is known at boot alone", "give the variable with --env NAME=VALUE"
        )
    return expanded


def _judge(text: str, output: str | None) -> None:
    """Say what is left to decide before the manifest can be built, as `bootseal check` says it."""
    from manifest import compile as compiling
    from manifest import diagnostics

    with tempfile.TemporaryDirectory(prefix="bootseal.") as folder:
        path = os.path.join(folder, "bootseal.yaml")
        with open(path, "x", encoding="utf-8") as file:
            file.write(text)
        result = compiling.load(path)
    if result.plan is None:
        click.echo(diagnostics.render(result.diagnostics, output or "the manifest", result.text), nl=False, err=True)
        click.echo("it cannot be built yet: decide what is said above", err=True)
