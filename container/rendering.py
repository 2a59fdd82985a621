"""What every target is told alike: the facts that a plan holds for whoever runs the container. Pure.

Rules
-----
* All of it comes from the plan, and of a target's options only what the plan cannot know: the image, a name, where files lie.
* The baseline is not asked of the plan: no target can be rendered without it. The plan says what comes on top.
* Nothing is published beyond the machine but what a program's port says is ``expose``d. What else can be reached from outside
  the container, the probes among it, is published on the host's own loopback, and what listens on the container's loopback
  nowhere.
* A secret is named and never held: neither its value nor anything computed of it is in an output.
* The same plan and options give the same bytes: everything is sorted, and no time and no path of this machine is told.
* A comment stays one: what would end its line is refused. A shell may be what reads the next.
"""

import dataclasses
import math
import re
from collections.abc import Mapping

from contract import errors
from manifest import plan, provisions, startup

MARGIN_SECONDS = 5
"""What a stop has beyond its budget until it is killed: the engine's own way to the signal and from the end."""
READY_COMMAND = ("/usr/local/bin/supervisorctl", "ready")
"""What says inside the container whether it is ready: exit status 0, or 1 with the causes."""
STOP_SIGNAL = "SIGTERM"
MANIFEST_LABEL, PLAN_LABEL = "io.bootseal.manifest.sha256", "io.bootseal.plan.sha256"
_DOMAIN = r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?"
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?P<name>(?:{_DOMAIN}/)?{_COMPONENT}(?:/{_COMPONENT})*)(?::(?P<tag>\w[\w.-]{{0,127}}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}))?",
    re.ASCII,
)
_LONGEST_NAME = 255
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A DNS-1123 label, which every target takes for a name."""
_UNSPEAKABLE = re.compile(r"[\s:,;\"'`\\\x00-\x1f\x7f\ud800-\udfff]")
HEALTH_INTERVAL_SECONDS, HEALTH_TIMEOUT_SECONDS, HEALTH_RETRIES = 10, 10, 3


class CannotRender(errors.BootsealError):
    """The plan asks for something that the target cannot do, or an option that it needs is missing."""


@dataclasses.dataclass(frozen=True)
class Image:
    """A reference to an image; ``digest`` is ``sha256:…``, or None where a ``tag`` (or nothing) says which one."""

    reference: str
    tag: str | None
    digest: str | None


@dataclasses.dataclass(frozen=True)
class Options:
    """What a plan cannot know.

    ``command`` is the command that writes these bytes again, as a person would type it. ``secret_files`` are paths on the host by a
    secret's name. ``seccomp`` is where the host has the profile that ``bootseal render seccomp`` wrote.
    """

    image: Image
    name: str
    command: str
    secret_files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seccomp: str | None = None


@dataclasses.dataclass(frozen=True)
class Mount:
    """A file system in memory, owned by ``user``; never with set-uid files or devices, with programs only if ``executable``."""

    path: str
    size_bytes: int
    mode: int
    executable: bool
    user: provisions.User


@dataclasses.dataclass(frozen=True)
class SecretFile:
    """A secret that must lie as a file at ``path``, to be read by the user of PID 1; ``name`` is unique, a DNS-1123 label."""

    name: str
    path: str


@dataclasses.dataclass(frozen=True)
class SecretVariable:
    """The secret ``name`` comes from the container's environment; one that is not ``required`` is generated where it is not set."""

    name: str
    variable: str
    required: bool


@dataclasses.dataclass(frozen=True)
class Secrets:
    """What a container needs of secrets, by reference."""

    files: tuple[SecretFile, ...]
    variables: tuple[SecretVariable, ...]


def image(text: str) -> Image:
    """Return the reference ``text``; raises CannotRender when it is none.

    The grammar is that of distribution (github.com/distribution/reference), whose digests are sha256 and sha512 here.
    """
    match = _REFERENCE.fullmatch(text)
    if match is None or len(match["name"]) > _LONGEST_NAME:
        what = errors.printable(text[:_LONGEST_NAME])
        raise CannotRender(
            f"image {what!r}", "it is no reference to an image", "write for example ghcr.io/me/shop@sha256:…"
        )
    return Image(text, match["tag"], match["digest"])


def tmpfs(made: plan.Plan) -> tuple[Mount, ...]:
    """Return the file systems in memory, each before those that are mounted in it."""
    user = made.security.user
    return tuple(
        Mount(one.path, one.size_bytes, one.mode, one.executable, one.owner or user)
        for one in sorted(made.security.tmpfs, key=lambda one: one.path)
    )


def volumes(made: plan.Plan, name: str) -> tuple[tuple[str, str], ...]:
    """Return the named volumes, each with where it is mounted; ``name`` is the container's."""
    return tuple((f"{name}-{one.name}", one.path) for one in sorted(made.deploy.volumes, key=lambda one: one.path))


def stop_seconds(made: plan.Plan) -> int:
    """Return how long a stop may take until it is killed, in whole seconds: the budget with the drain, and a margin."""
    return max(math.ceil(made.stop.budget_seconds) + MARGIN_SECONDS, math.ceil(made.stop.grace_seconds or 0.0))


def startup_seconds(made: plan.Plan) -> int:
    """Return how long a boot may take until it is sealed or has failed, in whole seconds."""
    return math.ceil(startup.seconds(made))


def variables(made: plan.Plan) -> tuple[str, ...]:
    """Return the names of the variables that are passed on from whoever starts the container, their values never."""
    secret = {one.variable for one in secrets(made).variables}
    own = {made.identity.env} if made.identity.env is not None else set()
    return tuple(sorted({*made.boot.environment, *own, *secret}))


def secrets(made: plan.Plan) -> Secrets:
    """Return what the container needs of secrets: files that must be there, and variables that carry one.

    A file that lies on a volume or in an immutable root is there already, and needs nobody to bring it.
    """
    paths: dict[str, str] = {}
    for name, path in _secret_paths(made):
        if path not in paths.values() and not _is_there(made, path):
            unique = next(one for one in (name, *(f"{name}-{number}" for number in range(2, 99))) if one not in paths)
            paths[unique] = path
    carried = tuple(
        SecretVariable(one.name, one.variable, one.generate_bytes is None)
        for one in sorted(made.secrets, key=lambda one: one.name)
        if one.variable is not None
    )
    return Secrets(tuple(SecretFile(name, paths[name]) for name in sorted(paths)), carried)


def _secret_paths(made: plan.Plan) -> list[tuple[str, str]]:
    found = [(one.name, one.mounted or one.file) for one in made.secrets]
    found += [(f"key-{key.kind}", key.file) for key in made.identity.keys]
    found += [("detail-token", made.probes.detail.token_file)]
    return [(name, path) for name, path in found if path is not None]


def _is_there(made: plan.Plan, path: str) -> bool:
    roots = (made.run_directory, *(one.path for one in made.deploy.volumes), *made.boot.immutable)
    return any(path.startswith(f"{root}/") for root in roots)


def speakable(path: str) -> str:
    """Return ``path``; raises CannotRender when some target's own syntax has no way to say it."""
    if _UNSPEAKABLE.search(path):
        shown = errors.printable(path)
        why = (
            "engines separate their options by blanks, colons, commas and quotes, and it holds one, or what is no text"
        )
        raise CannotRender(f"path {shown!r}", why, "choose another")
    return path


def seccomp_file(made: plan.Plan, options: Options) -> str | None:
    """Return where the host has the profile that denies more than the engine's, or None where the engine's own is enough."""
    if not made.security.denied_syscalls:
        return None
    return speakable(options.seccomp or f"/etc/bootseal/{options.name}.seccomp.json")


def labels(loaded: plan.LoadedPlan) -> dict[str, str]:
    """Return what tells from outside which manifest and plan a container was rendered from."""
    return {MANIFEST_LABEL: loaded.plan.manifest_sha256, PLAN_LABEL: loaded.sha256}


def header(loaded: plan.LoadedPlan, options: Options) -> tuple[str, ...]:
    """Return what every output begins with, a line each, without the mark of a comment; raises CannotRender."""
    if not options.command.isprintable():
        why = "it holds what cannot be printed, and would not stay in its line"
        raise CannotRender(f"command {errors.printable(options.command)!r}", why, "choose other names and paths")
    return (
        f"generated by `{options.command}`",
        f"from manifest sha256:{loaded.plan.manifest_sha256}",
        f"plan sha256:{loaded.sha256}",
        "do not edit: change the manifest and render again; `--check` finds what differs",
    )
