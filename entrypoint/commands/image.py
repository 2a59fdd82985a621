"""``bootseal image``: build an application's image, and say what is in it."""

import json
import os
import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from container import engines, image_build, labels
from contract import errors, exit_codes
from entrypoint import building, presenting
from manifest import compile as compiling

MANIFEST = "bootseal.yaml"
_Decorated = TypeVar("_Decorated", bound=Callable[..., Any])


@click.group(no_args_is_help=False, short_help="Build an image, the same bytes each time.")
def image() -> None:
    """Build the image of an application under bootseal.

    An application is a folder: bootseal.yaml and what it names. It becomes /opt/NAME, NAME being the manifest's, and bootseal goes
    into /opt/bootseal.

    \b
    bootseal image build [DIR]           build it with podman, buildah or docker
    bootseal image context DIR -o OUT    make what it is built from, for a builder of your own
    bootseal image base [PACKAGE...]     make a base image of Debian packages, without a registry
    """  # noqa: D301  (click's own mark of lines that stay as they are)


def _of_build(command: _Decorated) -> _Decorated:
    """Add what the commands that look at an application have in common."""
    for decorate in (
        click.option(
            "--platform", metavar="OS/ARCH", help="Build for linux/amd64 or linux/arm64 [default: this machine's]."
        ),
        click.option(
            "--engine",
            type=click.Choice(engines.ENGINES),
            default=engines.PODMAN,
            show_default=True,
            help="What builds.",
        ),
        click.option(
            "-f", "--file", metavar="FILE", help="The Containerfile [default: DIR/Containerfile, else bootseal's own]."
        ),
        click.option(
            "--from-index",
            "is_from_index",
            is_flag=True,
            help="Let the build fetch wheels, by version and hash, instead of bringing them.",
        ),
        click.option("--base", metavar="IMAGE", help="Build upon this image; it has Python 3.11."),
        click.argument("directory", metavar="[DIR]", type=click.Path(readable=False), default=".", required=False),
    ):
        command = decorate(command)
    return command


@image.command(short_help="Build the image.")
@_of_build
@click.option("-t", "--tag", "tags", metavar="NAME", multiple=True, help="Another name for it. May be repeated.")
@click.option("--label", "texts", metavar="KEY=VALUE", multiple=True, help="Another label. May be repeated.")
@click.option("--sbom", metavar="FILE", help="Write what is in it to FILE (CycloneDX 1.6, JSON).")
@click.option("--no-cache", is_flag=True, help="Build it again from the beginning.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["text", "json", "name"]),
    default="text",
    show_default=True,
    help="How to print it.",
)
def build(directory: str, *, texts: tuple[str, ...], sbom: str | None, form: str, no_cache: bool, **given: Any) -> None:
    """Build the image of the application in DIR (the working directory), or find it built. Exit 1 when that fails, 2 when the manifest has errors.

    The same inputs give the same image: the time of everything in it is SOURCE_DATE_EPOCH, by default the beginning of 2020. Its
    name holds a digest of the inputs; labels and exposed ports are read from the plan in the image.
    """
    writer = _sbom_writer() if sbom else None  # what is missing is told before anything is built
    more = {"labels": tuple(labels.wished(texts).items()), "is_cached": not no_cache}
    wanted = _wishes(directory, given | more)
    built = image_build.build(wanted)
    value: dict[str, Any] = {
        "image": built.name,
        "id": f"sha256:{built.image.id}",
        "digest": built.image.digest,
        "tags": list(wanted.tags),
        "base": None if built.base is None else {"name": built.base.name, "digest": built.base.image.digest},
        "new": built.is_new,
    }
    if sbom and writer:
        value["sbom"] = {"file": sbom, "sha256": writer(wanted, built, sbom)}
    if form == "json":
        click.echo(json.dumps(value, indent=2))
    elif form == "name":
        click.echo(built.name)
    else:
        rows = [("image", built.name), *(("tag", tag) for tag in wanted.tags), ("id", value["id"])]
        rows += [("digest", built.image.digest or "none before it is pushed")]
        rows += [("sbom", f"{sbom}, sha256 {value['sbom']['sha256']}")] if sbom else []
        for name, text in rows:
            click.echo(f"{name:<8}{presenting.plain(text)}")


@image.command(short_help="Make what an image is built from.")
@_of_build
@click.option("-o", "--output", required=True, metavar="OUT", help="The directory to make.")
def context(directory: str, *, output: str, **given: Any) -> None:
    """Make the directory OUT, from which any builder makes the image, without bootseal and without a network.

    What builds it is printed. An image that is built so has neither labels nor exposed ports.
    """
    wanted = _wishes(directory, given)
    arguments = image_build.prepare(wanted, output)
    words = [word for name, value in arguments for word in ("--build-arg", f"{name}={value}")]
    words += [] if wanted.engine == engines.DOCKER else ["--timestamp", str(wanted.epoch)]
    words += ["--platform", wanted.platform] if wanted.platform else []
    click.echo(presenting.plain(shlex.join([wanted.engine, "build", *words, output])))


@image.command(short_help="Make a base image of Debian packages.")
@click.argument("packages", nargs=-1, metavar="[PACKAGE...]")
@click.option("--fresh", is_flag=True, help="Make it again: this is how security updates arrive.")
def base(packages: tuple[str, ...], *, fresh: bool) -> None:
    """Print the name of a base image of python3 and each PACKAGE, which is made where it is missing.

    It needs root, debootstrap and Debian's archives, and no registry.
    """
    click.echo(image_build.debian_base(packages, *(["--fresh"] if fresh else [])))


def _wishes(directory: str, given: dict[str, Any]) -> image_build.Wishes:
    """Return what is to be built; the process ends here where the manifest has errors."""
    file = os.path.join(directory, MANIFEST)
    result = compiling.load(file)  # its artifacts are locked in the image, whatever lies here
    if result.plan is None:
        building.report(result, sys.stderr)
        sys.exit(exit_codes.USAGE_ERROR)
    building.finish(result.plan)
    moment = image_build.epoch(dict(os.environ))
    return image_build.Wishes(directory, result.plan.name, epoch=moment, **given)


def _sbom_writer() -> Callable[[image_build.Wishes, image_build.Built, str], str]:
    """Return what writes the SBOM of an image to a file and returns its SHA-256; raises BootsealError without the library."""
    try:
        from container import sbom
    except ModuleNotFoundError as error:
        raise errors.BootsealError(
            "the SBOM", f"{error.name} is not installed", "pip install 'bootseal[sbom]'"
        ) from error

    def write(wanted: image_build.Wishes, built: image_build.Built, path: str) -> str:
        contents = image_build.look(wanted.engine, built.image.id)
        return sbom.write(path, sbom.dump(contents, sbom.Subject(built.name, built.image), wanted.epoch))

    return write
