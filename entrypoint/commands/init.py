"""``bootseal init``: a manifest and a Containerfile to begin with."""

import dataclasses
import os
import shlex
import sys
import tempfile

import click

from container import detecting, starting
from contract import errors, exit_codes, files
from entrypoint import building, presenting
from manifest import compile as compiling
from manifest import fields


@click.command(short_help="Write a manifest and a Containerfile to begin with.")
@click.argument("directory", metavar="[DIR]", type=click.Path(readable=False), default=".", required=False)
@click.option("--name", help="What kind of container it is [default: the folder's name].")
@click.option("--command", help="What its first program runs [default: what the folder's files say].")
@click.option("--base", metavar="IMAGE", help="What its image is built upon [default: an official one that fits].")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing.")
@click.option("--force", is_flag=True, help="Overwrite what is there.")
def init(directory: str, name: str | None, command: str | None, base: str | None, *, yes: bool, force: bool) -> None:
    """Write bootseal.yaml and a Containerfile into DIR (the working directory), after looking at what lies there. Exit 1 when one is there.

    It asks for what it cannot know, on a terminal, and has an answer to everything. What it writes can be checked, booted and built at
    once: see its own first lines.
    """
    folder = detecting.survey(directory)
    found = detecting.propose(folder)
    _refuse_to_overwrite(directory, folder, force=force)
    asks = not yes and sys.stdin is not None and sys.stdin.isatty()
    start = _start(directory, found, name, command, asks=asks)
    texts = {
        starting.MANIFEST: starting.manifest(start),
        starting.CONTAINERFILE: starting.containerfile(dataclasses.replace(start, base=_image(base))),
    }
    if not {starting.IGNORE, ".containerignore"} & folder.names:  # never overwritten: it may keep secrets out
        texts[starting.IGNORE] = starting.ignore_file(start.proposal)
    _judge(texts[starting.MANIFEST])
    _write(directory, texts)
    click.echo(f"found   {presenting.plain(found.found) if found else 'nothing that says what runs'}")
    for program in start.proposal.programs:
        click.echo(f"program {program.name}: {presenting.plain(' '.join(program.argv))}")
    click.echo(f"wrote   {', '.join(texts)}")
    click.echo(f"next    bootseal up {_word(os.path.join(directory, starting.MANIFEST))}")
    click.echo(f"        bootseal image build {_word(directory)}")


def _image(text: str | None) -> str | None:
    """Return the reference to an image ``text``; raises CannotRender for what is none: it becomes a line of the Containerfile."""
    from container import rendering

    return None if text is None else rendering.image(text).reference


def _word(path: str) -> str:
    """Return ``path`` as a word of a shell's."""
    return shlex.quote(click.format_filename(os.path.normpath(path)))


def _refuse_to_overwrite(directory: str, folder: detecting.Folder, *, force: bool) -> None:
    there = sorted({starting.MANIFEST, starting.CONTAINERFILE} & folder.names)
    if there and not force:
        path = os.path.normpath(os.path.join(directory, there[0]))
        raise errors.BootsealError(path, "it is there, and nothing is overwritten", "--force overwrites it")


def _start(
    directory: str, found: detecting.Proposal | None, name: str | None, command: str | None, *, asks: bool
) -> starting.Start:
    """Return what is known, was said or was answered."""
    proposed = found or detecting.Proposal("nothing", detecting.OTHER, (starting.STAND_IN,))
    own = detecting.label(os.path.basename(os.path.abspath(directory)), "app")
    label = name if name is not None else own if own != "bootseal" else "app"
    if asks and name is None:
        label = click.prompt("Name", default=label)
    if fault := fields.label_fault(label) or (
        "choose another: /opt/bootseal is bootseal's" if label == "bootseal" else None
    ):
        raise click.UsageError(f"{label!r} cannot be the name: {fault}")
    if asks and command is None and len(proposed.programs) == 1:
        proposal = " ".join(proposed.programs[0].argv)
        answer = click.prompt("Command of the first program", default=proposal)
        command = answer if answer != proposal else None
    if command is not None:
        program = detecting.Program("app", detecting.words(command))
        proposed = dataclasses.replace(proposed, found="the command line", programs=(program, *proposed.programs[1:]))
    return starting.Start(label, proposed)


def _judge(text: str) -> None:
    """End with the findings where the manifest ``text`` has errors: a command may hold what no manifest can."""
    with tempfile.TemporaryDirectory(prefix="bootseal-init.") as place:
        path = os.path.join(place, starting.MANIFEST)
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        result = compiling.load(path)
    if result.plan is None:
        building.report(dataclasses.replace(result, path=starting.MANIFEST), sys.stderr)
        sys.exit(exit_codes.USAGE_ERROR)


def _write(directory: str, texts: dict[str, str]) -> None:
    os.makedirs(directory, exist_ok=True)
    for name, text in texts.items():
        files.write_atomically(os.path.abspath(os.path.join(directory, name)), text.encode(), 0o644)
