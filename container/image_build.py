"""The image of an application under bootseal: what is asked of the engine, and in which order.

Rules
-----
* The image's name holds a digest of everything that runs, and an image of that name is used as it is.
* It is built in two steps. The first makes everything; what the plan in it says, its labels and ports, is then written upon it.
* The same inputs give the same image, whenever and wherever it is built: every time in it is SOURCE_DATE_EPOCH, and nothing of the
  machine that builds goes in.
* The network is used on the host alone: base images by the engine or container/base-image, wheels by container/wheels.
* The application's folder is not written to; all that is kept lies in the engine's storage and in the cache.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import os
import platform as this_machine
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from container import application, context, engines, labels, looking, product
from contract import errors

EPOCH = 1577836800
"""The time of what is made where nobody says another: 2020 began."""
EPOCH_VARIABLE = "SOURCE_DATE_EPOCH"
"""What names another time, in seconds since 1970 (reproducible-builds.org)."""
_PLATFORMS = {f"linux/{architecture}": machine for machine, architecture in engines.MACHINES.items()}
_MARK = "bootseal-unfinished"


class ImageRefused(errors.BootsealError):
    """The image cannot be built as it is wanted."""


@dataclasses.dataclass(frozen=True)
class Wishes:
    """The image of the application ``name`` in ``directory``.

    ``base`` None leaves it to the Containerfile and packages.txt, ``file`` None is the application's Containerfile or bootseal's own.
    ``epoch`` is its time in seconds since 1970. ``labels`` come on top of those that are read from the image.
    ``is_from_index``: wheels are fetched while it is built, from the index that PIP_INDEX_URL names or pip's own.
    """

    directory: str
    name: str
    tags: tuple[str, ...] = ()
    base: str | None = None
    engine: str = engines.PODMAN
    file: str | None = None
    platform: str | None = None
    labels: tuple[tuple[str, str], ...] = ()
    epoch: int = EPOCH
    is_cached: bool = True
    is_from_index: bool = False

    @property
    def machine(self) -> str:
        """The machine that the image is for, one of engines.MACHINES; raises ImageRefused."""
        found = _PLATFORMS.get(self.platform) if self.platform else this_machine.machine()
        if found not in engines.MACHINES:
            here = self.platform or this_machine.machine()
            raise ImageRefused(f"platform {here}", "no wheels are locked for it", f"there are {', '.join(_PLATFORMS)}")
        return found


@dataclasses.dataclass(frozen=True)
class Built:
    """The image ``name`` as it lies in the engine's storage; ``is_new`` says that it was not there before."""

    name: str
    image: engines.Image
    base: engines.Base | None
    is_new: bool


def epoch(environment: dict[str, str]) -> int:
    """Return the time of what is made, as ``environment`` says; raises ImageRefused."""
    text = environment.get(EPOCH_VARIABLE, "")
    if text and not re.fullmatch(r"[0-9]{1,11}", text):
        raise ImageRefused(
            f"{EPOCH_VARIABLE}={text}", "it is no number of seconds", "write for example $(git log -1 --format=%ct)"
        )
    return int(text) if text else EPOCH


def build(wanted: Wishes) -> Built:
    """Build the image, or find it built; raises BootsealError."""
    with _prepared(wanted) as ready:
        name = f"localhost/bootseal-{wanted.name}:{ready.key(wanted)}"
        is_new = False
        if not wanted.is_cached or ready.engine.image(name) is None:
            with _alone():
                if is_new := not wanted.is_cached or ready.engine.image(name) is None:
                    _make(wanted, ready, name)
        for tag in wanted.tags:
            ready.engine.tag(name, tag)
        found = ready.engine.image(name)
        if found is None:
            raise ImageRefused(f"image {name}", "it is gone again", "is something else removing images?")
        return Built(name, found, ready.base, is_new)


def prepare(wanted: Wishes, target: str) -> tuple[tuple[str, str], ...]:
    """Make the build context in the directory ``target``, which must not exist; return the arguments it is to be built with."""
    if os.path.lexists(target):
        raise ImageRefused(target, "it is there", "name a directory that is still to be made")
    with _prepared(wanted) as ready, _alone():
        context.assemble(target, ready.ingredients)
        return ready.arguments(wanted)


def look(kind: str, image: str) -> looking.Contents:
    """Return what the ``image`` in the storage of the engine ``kind`` holds; raises BootsealError."""
    with engines.Engine(kind).file_system(image) as archive:
        return looking.look(archive)


@dataclasses.dataclass(frozen=True)
class _Ready:
    """All that is needed, brought together in ``workspace``; ``product_base`` is where bootseal is installed."""

    workspace: str
    engine: engines.Engine
    ingredients: context.Ingredients
    base: engines.Base | None
    product_base: engines.Base | None

    def key(self, wanted: Wishes) -> str:
        """Return the digest of everything that the image is made from."""
        made_of = self.ingredients
        bases = [(one.name, one.image.id) if one else None for one in (self.base, self.product_base)]
        ignored = (*made_of.ignored, made_of.recipe.text)
        parts = (bases, made_of.machine, made_of.product.key, wanted.name, wanted.epoch, wanted.labels, ignored)
        return hashlib.sha256(f"{parts!r} {application.digest(made_of.app)}".encode()).hexdigest()[:12]

    def arguments(self, wanted: Wishes) -> tuple[tuple[str, str], ...]:
        """Return what the Containerfile is told, of what it asks for."""
        known = {"NAME": wanted.name, "PYTHON": product.python_version()}
        known |= {"BASE": self.base.name} if self.base else {}
        index = _index() if wanted.is_from_index else None
        known |= {"PIP_INDEX_URL": index} if index else {}
        known |= {"PRODUCT_BASE": self.product_base.name} if self.product_base else {}
        return tuple((name, value) for name, value in known.items() if name in self.ingredients.recipe.arguments)


def _index() -> str | None:
    """Return the index that pip is told of; raises ImageRefused where it holds a password: an image's history tells it to all."""
    index = os.environ.get("PIP_INDEX_URL")
    if index and "@" in index.partition("://")[2].partition("/")[0]:
        why = "it holds credentials, and what a build is told stands in the image's history"
        raise ImageRefused("PIP_INDEX_URL", why, "leave --from-index out: then wheels are fetched here, and brought")
    return index


@contextlib.contextmanager
def _prepared(wanted: Wishes) -> Iterator[_Ready]:
    if wanted.name == "bootseal":
        raise ImageRefused(
            "the name bootseal", "its folder would be /opt/bootseal, which is bootseal's own", "choose another name"
        )
    recipe = context.recipe(wanted.directory, wanted.file)
    machine, engine = wanted.machine, engines.Engine(wanted.engine)
    base, product_base = _bases(wanted, engine, recipe)
    with tempfile.TemporaryDirectory(prefix="bootseal-image.") as workspace:
        app = os.path.join(workspace, "app")
        application.copy(wanted.directory, app)
        ignored = application.ignore_lines(wanted.directory)
        brought = product.Product(workspace)
        ingredients = context.Ingredients(app, ignored, recipe, brought, machine, wanted.epoch, wanted.is_from_index)
        yield _Ready(workspace, engine, ingredients, base, product_base)


def _bases(
    wanted: Wishes, engine: engines.Engine, recipe: context.Recipe
) -> tuple[engines.Base | None, engines.Base | None]:
    """Return what the application and bootseal are put upon: an image that was named, or one of Debian packages."""
    if "BASE" not in recipe.arguments:
        return None, None
    if named := wanted.base or recipe.arguments["BASE"]:
        base = _base(engine, named, wanted)
        return base, base
    if wanted.engine == engines.DOCKER or wanted.platform:
        why = "one of Debian packages is made for podman on this machine only"
        raise ImageRefused("the base image", why, "name one with --base IMAGE")
    packages = _packages(wanted.directory)
    return tuple(_base(engine, debian_base(some), wanted) for some in (packages, ()))  # type: ignore[return-value]


def debian_base(packages: tuple[str, ...], *options: str) -> str:
    """Return the name of an image of Python and Debian ``packages``, which is made where it is missing; raises ImageRefused."""
    command = ["bash", os.path.join(product.HERE, "base-image"), *options, *packages]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise ImageRefused(
            "the base image",
            f"container/base-image exited {done.returncode}, see above",
            "or name one with --base IMAGE",
        )
    return done.stdout.strip()


def _packages(directory: str) -> tuple[str, ...]:
    path = os.path.join(directory, "packages.txt")
    if not os.path.isfile(path):
        return ()
    with open(path, encoding="utf-8") as file:
        lines = [re.sub(r"#.*|\s", "", line) for line in file]
    return tuple(line for line in lines if line)


def _base(engine: engines.Engine, name: str, wanted: Wishes) -> engines.Base:
    architecture = engines.MACHINES[wanted.machine]
    found = engine.image(name)
    if found is None or found.architecture != architecture:
        _say(f"fetching {name}")
        engine.pull(name, wanted.platform)
        found = engine.image(name)
    if found is None or found.architecture != architecture:
        has = found.architecture if found else "nothing"
        raise ImageRefused(f"base {name}", f"it is for {has}, not for {architecture}", "name one that is with --base")
    return engines.Base(name, found)


def _make(wanted: Wishes, ready: _Ready, name: str) -> None:
    _say(f"building {name}")
    whole = os.path.join(ready.workspace, "context")
    context.assemble(whole, ready.ingredients)
    order = engines.Build(
        context=whole,
        file=os.path.join(whole, context.CONTAINERFILE),
        id_file=os.path.join(ready.workspace, "id"),
        epoch=wanted.epoch,
        arguments=ready.arguments(wanted),
        platform=wanted.platform,
        is_cached=wanted.is_cached,
        may_fetch=not ready.ingredients.recipe.is_packaged,
    )
    unfinished = ready.engine.build(order)
    found = look(wanted.engine, unfinished)
    if found.plan is None:
        why = f"there is no {looking.PLAN} in what {ready.ingredients.recipe.path} makes"
        raise ImageRefused("the image", why, "let it run `bootseal build`; `bootseal init` writes one that does")
    _finish(wanted, ready, unfinished, found, order=dataclasses.replace(order, tags=(name,)))


def _finish(wanted: Wishes, ready: _Ready, unfinished: str, found: looking.Contents, *, order: engines.Build) -> None:
    """Write upon the image ``unfinished`` what was ``found`` in it; ``order`` is what it was built by, with its name."""
    data = found.plan or b""
    said = labels.labels(data, found.lock, ready.base, wanted.epoch) | dict(wanted.labels)
    if wanted.engine == engines.DOCKER:  # BuildKit takes no id for a name
        mark = f"{_MARK}:{unfinished[:12]}"
        ready.engine.tag(unfinished, mark)
        unfinished = mark
    empty = os.path.join(ready.workspace, "empty")
    os.makedirs(empty)
    file = os.path.join(ready.workspace, "finish")
    with open(file, "w", encoding="ascii") as opened:
        opened.write(labels.exposing(unfinished, data))
    base = {key: value for key, value in said.items() if key in {labels.BASE_NAME, labels.BASE_DIGEST}}
    ready.engine.build(
        dataclasses.replace(
            order,
            context=empty,
            file=file,
            arguments=(),
            labels=tuple(sorted(said.items())),
            annotations=tuple(sorted(base.items())),
            may_fetch=False,
            is_cached=False,  # it is a matter of words, and a cache might not tell them apart
        )
    )


@contextlib.contextmanager
def _alone() -> Iterator[None]:
    """Let nobody else build meanwhile: one fills the cache that all of them use."""
    with open(os.path.join(product.cache(), "image.lock"), "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"image: {text}", file=sys.stderr)
