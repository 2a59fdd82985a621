"""The engines that build images: what podman, buildah and docker are told, and what they answer.

Rules
-----
* What is told is a pure function of what is wanted; the options that a machine needs are chosen by ``container/engine`` alone.
* The times in an image are given, never the clock's: podman(1) and buildah(1) take ``--timestamp``, BuildKit the argument
  SOURCE_DATE_EPOCH and ``rewrite-timestamp`` (its exporters' documentation).
* A base is fetched before an image is built, so that it has a digest that can be written down.
* To look into an image nothing of it runs: its file system is read as a tar archive.
"""

import contextlib
import dataclasses
import json
import os
import subprocess
from collections.abc import Iterator
from typing import IO, Any

from contract import errors

PODMAN, BUILDAH, DOCKER = ENGINES = ("podman", "buildah", "docker")
SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "engine")
MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""The machines that the wheels are locked for (uname(1)), and what images call them (GOARCH)."""


class EngineFailed(errors.BootsealError):
    """A container engine could not do what it was told."""


@dataclasses.dataclass(frozen=True)
class Image:
    """An image in an engine's storage.

    ``id`` is the hexadecimal SHA-256 of its configuration; ``digest`` that of its manifest, with its algorithm, or None where
    the engine has made none yet; ``architecture`` is a GOARCH.
    """

    id: str
    digest: str | None
    architecture: str


@dataclasses.dataclass(frozen=True)
class Base:
    """The image that another one is made upon, by the ``name`` that it was given."""

    name: str
    image: Image


@dataclasses.dataclass(frozen=True)
class Build:
    """An image to build from the ``context`` directory by the Containerfile ``file``; its id is written to ``id_file``.

    ``epoch`` is the time of everything made, in seconds since 1970. ``platform`` is the engine's (``linux/arm64``), None for this
    machine's. ``may_fetch``: a base that is not here is fetched.
    """

    context: str
    file: str
    id_file: str
    epoch: int
    arguments: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    annotations: tuple[tuple[str, str], ...] = ()
    tags: tuple[str, ...] = ()
    platform: str | None = None
    is_cached: bool = True
    may_fetch: bool = False


def build_words(engine: str, wanted: Build) -> list[str]:
    """Return what makes ``engine`` build ``wanted``."""
    words = ["build", "--quiet", "--file", wanted.file, "--iidfile", wanted.id_file]
    if engine == DOCKER:
        words += ["--build-arg", f"SOURCE_DATE_EPOCH={wanted.epoch}"]
        words += ["--output", "type=docker,rewrite-timestamp=true", "--provenance=false", "--sbom=false"]
    else:
        words += ["--layers", f"--pull={'false' if wanted.may_fetch else 'never'}"]
        words += ["--timestamp", str(wanted.epoch), "--identity-label=false"]
        words += [word for name, value in wanted.annotations for word in ("--annotation", f"{name}={value}")]
    words += ["--platform", wanted.platform] if wanted.platform else []
    words += [] if wanted.is_cached else ["--no-cache"]
    words += [word for name, value in wanted.arguments for word in ("--build-arg", f"{name}={value}")]
    words += [word for name, value in wanted.labels for word in ("--label", f"{name}={value}")]
    words += [word for tag in wanted.tags for word in ("--tag", tag)]
    return [*words, wanted.context]


def inspect_words(engine: str, image: str) -> list[str]:
    """Return what makes ``engine`` tell what it has as ``image``."""
    return ["inspect", "--type", "image", image] if engine == BUILDAH else ["image", "inspect", image]


def pull_words(image: str, platform: str | None) -> list[str]:
    """Return what fetches ``image`` from its registry."""
    return ["pull", "--quiet", *(["--platform", platform] if platform else []), image]


def described(engine: str, text: str) -> Image:
    """Return the image that the answer ``text`` to `inspect_words` is about; raises EngineFailed when it is none."""
    try:
        value: Any = json.loads(text)
        if engine == BUILDAH:
            return Image(_hexadecimal(value["FromImageID"]), value["FromImageDigest"], value["OCIv1"]["architecture"])
        [value] = value
        digest = value.get("Digest") or next((one.split("@")[1] for one in value.get("RepoDigests") or ()), None)
        return Image(_hexadecimal(value["Id"]), digest, value["Architecture"])
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise EngineFailed(engine, "what it says of an image is not understood", "use another --engine") from error


def _hexadecimal(identifier: str) -> str:
    return identifier.removeprefix("sha256:")


class Engine:
    """One of ENGINES, on this machine."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def ask(self, *words: str) -> str:
        """Return what the engine prints when it is told ``words``; its complaints pass. Raises EngineFailed."""
        done = subprocess.run(self._command(*words), stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            raise EngineFailed(f"{self.kind} {words[0]}", f"it exited {done.returncode}", "its words are above")
        return done.stdout.strip()

    def image(self, name: str) -> Image | None:
        """Return the image called ``name``, or None where there is none here."""
        command = self._command(*inspect_words(self.kind, name))
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return described(self.kind, done.stdout)
        if _is_missing(done.stderr):
            return None
        *_, last = done.stderr.strip().splitlines() or [f"it exited {done.returncode}"]
        raise EngineFailed(f"{self.kind} inspect {name}", last, f"is {self.kind} in order here?")

    def pull(self, name: str, platform: str | None) -> None:
        """Fetch the image ``name``; raises EngineFailed."""
        try:
            self.ask(*pull_words(name, platform))
        except EngineFailed as error:
            why = f"it is not here and {self.kind} cannot fetch it, see above"
            raise EngineFailed(
                f"image {name}", why, "name another with --base; `bootseal image base` makes one"
            ) from error

    def build(self, wanted: Build) -> str:
        """Build ``wanted`` and return its id; raises EngineFailed."""
        self.ask(*build_words(self.kind, wanted))
        with open(wanted.id_file, encoding="ascii") as file:
            return _hexadecimal(file.read().strip())

    def tag(self, image: str, name: str) -> None:
        """Call the image ``name`` as well."""
        self.ask("tag", image, name)

    @contextlib.contextmanager
    def file_system(self, image: str) -> Iterator[IO[bytes]]:
        """Yield the files of ``image`` as a tar archive; raises EngineFailed, also when it ended early."""
        is_buildah = self.kind == BUILDAH
        if is_buildah and os.geteuid() != 0:
            raise EngineFailed("buildah", "only root sees the files of its images", "use --engine podman, or be root")
        made = self.ask(*(["from", "--pull=never", image] if is_buildah else ["create", "--network", "none", image]))
        try:
            command = self._command("export", made)
            if is_buildah:
                command = ["tar", "-C", self.ask("mount", made), "--sort=name", "-c", "."]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
                if process.stdout is not None:
                    yield process.stdout
                    while process.stdout.read(1 << 20):
                        pass
            if process.returncode:
                raise EngineFailed(f"{self.kind} export", f"it exited {process.returncode}", "its words are above")
        finally:
            self.ask("rm", *([] if is_buildah else ["--volumes"]), made)  # an image may declare some

    def _command(self, *words: str) -> list[str]:
        return ["bash", SCRIPT, "--engine", self.kind, *words]


def _is_missing(complaint: str) -> bool:
    """Say whether an engine means that it has no such image; each has its own words."""
    text = complaint.lower()
    return any(words in text for words in ("no such image", "image not known", "not found", "does not exist"))
