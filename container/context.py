"""What an image is built from: one directory with everything in it, and the Containerfile that says how.

Rules
-----
* ``app/`` is the application, ``product/`` bootseal's wheel, ``wheels/`` what that depends on, ``installer/`` pip, ``bin/`` the commands
  for people, and beside them the Containerfile: whoever has the directory can build it, with any builder and without a network.
* With an index, ``product/`` and ``wheels/`` name what is to be fetched from it, by version and hash: the image is the same.
* The same inputs make the same directory, down to the times of its files: engines compare those too.
* A Containerfile of the application's own is used as it is; what it declares with ARG is what it is told.
"""

import dataclasses
import os
import re
import shutil
import stat
from collections.abc import Mapping

from container import application, product
from contract import errors

CONTAINERFILE = "Containerfile"
PACKAGED = os.path.join(product.HERE, CONTAINERFILE)
_TIME = "${SOURCE_DATE_EPOCH}"
_ARGUMENT = re.compile(r"^ARG[ \t]+(\w+)(?:=[\"']?([^\s\"']*))?", re.MULTILINE)


class UnusableContainerfile(errors.BootsealError):
    """The Containerfile cannot be read."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A Containerfile: its ``text``, and the ``arguments`` that it declares, each with its default or ""."""

    path: str
    text: str
    arguments: Mapping[str, str]

    @property
    def is_packaged(self) -> bool:
        """Whether it is bootseal's own."""
        return self.path == PACKAGED


def recipe(directory: str, given: str | None) -> Recipe:
    """Return the Containerfile ``given``, else that of the application in ``directory``, else bootseal's own."""
    own = os.path.join(directory, CONTAINERFILE)
    path = given or (own if os.path.exists(own) else PACKAGED)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise UnusableContainerfile(path, "it is no regular file", "name another with --file")
        with open(path, encoding="utf-8") as file:
            text = file.read()
    except UnicodeDecodeError as error:
        raise UnusableContainerfile(path, "it is not UTF-8", "name another with --file") from error
    except OSError as error:
        raise UnusableContainerfile(path, errors.describe_os_error(error), "name another with --file") from error
    return Recipe(path, text, {name: default or "" for name, default in reversed(_ARGUMENT.findall(text))})


@dataclasses.dataclass(frozen=True)
class Ingredients:
    """What goes into a context.

    ``app`` is a copy of the application, ``ignored`` the lines of its ignore file. The image is for ``machine``, and ``epoch`` is the
    time of all files in seconds since 1970. ``is_from_index``: wheels are fetched while it is built.
    """

    app: str
    ignored: tuple[str, ...]
    recipe: Recipe
    product: product.Product
    machine: str
    epoch: int
    is_from_index: bool = False


def assemble(target: str, made_of: Ingredients) -> None:
    """Make the directory ``target`` of what is given; the copy of the application is moved into it. Raises NoProduct."""
    os.makedirs(target)
    shutil.move(made_of.app, os.path.join(target, "app"))
    wheels = product.locked_wheels(made_of.machine)
    for name in ("installer", "wheels", "product"):
        os.mkdir(os.path.join(target, name))
    for name in sorted(os.listdir(wheels)):
        if name.startswith("pip-"):
            _copy(os.path.join(wheels, name), os.path.join(target, "installer"))
        elif not made_of.is_from_index:
            _copy(os.path.join(wheels, name), os.path.join(target, "wheels"))
    wheel = made_of.product.wheel()
    if made_of.is_from_index:
        _write(os.path.join(target, "wheels", "requirements.txt"), product.requirements())
        _write(os.path.join(target, "product", "requirements.txt"), product.requirement(wheel))
    else:
        _copy(wheel, os.path.join(target, "product"))
    for name in os.listdir(os.path.join(product.HERE, "bin")):
        _copy(os.path.join(product.HERE, "bin", name), os.path.join(target, "bin"), mode=application.OPEN)
    # An engine's cache compares a step's words before it puts in what they stand for.
    text = made_of.recipe.text.replace(_TIME, str(made_of.epoch))
    _write(os.path.join(target, CONTAINERFILE), text)
    if made_of.ignored:
        lines = application.below(made_of.ignored, "app")
        _write(os.path.join(target, ".dockerignore"), "".join(f"{line}\n" for line in lines))
    application.make_readable(target)
    _set_times(target, made_of.epoch)


def _copy(path: str, directory: str, mode: int = application.PLAIN) -> None:
    os.makedirs(directory, exist_ok=True)
    place = os.path.join(directory, os.path.basename(path))
    shutil.copyfile(path, place)
    os.chmod(place, mode)


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="utf-8", errors="surrogateescape") as file:  # as an ignore file is read
        file.write(text)
    os.chmod(path, application.PLAIN)


def _set_times(directory: str, epoch: int) -> None:
    for here, directories, files in os.walk(directory, topdown=False):
        for name in (*directories, *files):
            os.utime(os.path.join(here, name), (epoch, epoch), follow_symlinks=False)
    os.utime(directory, (epoch, epoch))
