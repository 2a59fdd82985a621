"""What the tests of images build on: an engine that only remembers, applications on disk, archives in memory."""

import contextlib
import dataclasses
import io
import json
import pathlib
import tarfile

from container import engines, looking, product
from contract import errors
from manifest import compile as compiling
from manifest import plan

MANIFEST = 'version: 1\nname: shop\nprograms: {api: {command: [/bin/true]}}\nprobes: {listen: "0.0.0.0:8080"}\n'
BASE = engines.Image("b" * 64, f"sha256:{'d' * 64}", "amd64")
EMPTY_LOCK = b'{"schema": "bootseal.lock/1", "artifacts": {\n}}\n'


def application(directory: pathlib.Path, **more: str) -> str:
    """Make an application in ``directory``; ``more`` are files beside its manifest, ``__`` for a dot."""
    directory.mkdir()
    (directory / "bootseal.yaml").write_text(MANIFEST)
    for name, text in more.items():
        (directory / name.replace("__", ".")).write_text(text)
    return str(directory)


def plan_file(directory: pathlib.Path) -> bytes:
    """Return the plan file of the application in ``directory``."""
    made = compiling.load(f"{directory}/bootseal.yaml").plan
    assert made is not None
    return plan.dump(dataclasses.replace(made, config_sha256="c" * 64))


def archive(files: dict[str, bytes]) -> bytes:
    """Return a tar archive of ``files``, as an engine exports it: paths without the first slash."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for path, data in files.items():
            entry = tarfile.TarInfo(path.lstrip("/"))
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return made.getvalue()


class Engine:
    """An engine that has ``images``, builds without doing anything, and remembers what it ``was_told``."""

    def __init__(self, kind: str, files: dict[str, bytes]) -> None:
        self.kind = kind
        self.files = files
        self.images = {"base": BASE}
        self.was_told: list[tuple[str, object]] = []
        self.finishing: list[str] = []

    def image(self, name: str) -> engines.Image | None:
        return self.images.get(name)

    def pull(self, name: str, platform: str | None) -> None:
        self.was_told.append(("pull", (name, platform)))
        raise engines.EngineFailed(f"image {name}", "it is not here", "name another")

    def build(self, wanted: engines.Build) -> str:
        self.was_told.append(("build", wanted))
        self.finishing.append(pathlib.Path(wanted.file).read_text())
        for tag in wanted.tags:
            self.images[tag] = engines.Image(f"{len(self.was_told):064d}", None, "amd64")
        return "a" * 64

    def tag(self, image: str, name: str) -> None:
        self.was_told.append(("tag", (image, name)))

    @contextlib.contextmanager
    def file_system(self, image: str):
        yield io.BytesIO(archive(self.files))

    @property
    def builds(self) -> list[engines.Build]:
        return [what for verb, what in self.was_told if verb == "build" and isinstance(what, engines.Build)]


class Product:
    """What an image gets of bootseal, without making any of it."""

    def __init__(self, workspace: str) -> None:
        self.key = "k" * 12
        self._wheel = pathlib.Path(workspace) / "bootseal-0.1.0-py3-none-any.whl"

    def wheel(self) -> str:
        self._wheel.write_bytes(b"wheel")
        return str(self._wheel)


def pretend(monkeypatch, tmp_path: pathlib.Path, engine: Engine) -> Engine:
    """Let everything that would be fetched or run be pretended."""
    wheels = tmp_path / "locked"
    wheels.mkdir()
    for name in ("pip-26.3-py3-none-any.whl", "click-8.5.1-py3-none-any.whl"):
        (wheels / name).write_bytes(name.encode())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(product, "locked_wheels", lambda machine: str(wheels))
    monkeypatch.setattr(product, "Product", Product)
    monkeypatch.setattr(engines, "Engine", lambda kind: engine)
    return engine


def refusal(act) -> str:
    """Return what ``act`` is refused with."""
    try:
        act()
    except errors.BootsealError as error:
        return str(error)
    raise AssertionError("it was not refused")


def inspected(**changes: object) -> str:
    """Return what podman says of an image."""
    return json.dumps([{"Id": "a" * 64, "Digest": f"sha256:{'d' * 64}", "Architecture": "amd64", **changes}])


PLAN, LOCK = looking.PLAN, looking.LOCK
