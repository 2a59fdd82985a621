"""``bootseal render``: write what runs the container, from its plan, or find how what was written differs."""

import difflib
import hashlib
import os
import re
import shlex
import sys
from collections.abc import Iterable
from typing import Any

import click

from contract import errors, exit_codes, files
from entrypoint import presenting
from manifest import plan

COMPOSE, KUBE, QUADLET, PODMAN, DOCKER, SECCOMP = TARGETS = (
    "compose",
    "kube",
    "quadlet",
    "podman",
    "docker",
    "seccomp",
)
_PLAN_DIRECTORY = f"{plan.PREFIX}/etc"
_PLAN_LIMIT = 16 * 2**20
_OUTPUT_LIMIT = 16 * 2**20
_SHOWN_LINES = 200
_SECRET = re.compile(r"([a-z0-9][a-z0-9-]{0,62})=(/.*)")
_KUBES_OWN = ("namespace", "allow_tag", "added", "left_out", "groups", "devices")
_OF_CONTAINERS = ("image", "name", "require_digest", "secret_files", "seccomp")
"""What seccomp, which is about no container, has no use for."""
_KUBE_DOCUMENTS = ("service", "networkpolicy", "pdb", "podmonitor")


def _image(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Any:
    from container import rendering

    try:
        return None if value is None else rendering.image(value)
    except rendering.CannotRender as error:
        raise click.BadParameter(str(error), ctx, parameter) from error


def _name(ctx: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    from container import rendering

    if value is not None and not rendering.LABEL.fullmatch(value):
        why = "is no name: it has 1 to 63 of a-z, 0-9 and -, with neither end a -"
        raise click.BadParameter(f"{presenting.plain(value)!r} {why}", ctx, parameter)
    return value


def _secret_files(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    matches = [_SECRET.fullmatch(value) for value in values]
    for value, match in zip(values, matches, strict=True):
        if match is None:
            raise click.BadParameter(f"{presenting.plain(value)!r} is not NAME=/PATH", ctx, parameter)
    return _once(((match[1], match[2]) for match in matches if match), ctx, parameter)


def _once(pairs: Iterable[tuple[str, str]], ctx: click.Context, parameter: click.Parameter) -> dict[str, str]:
    """Return what each name is given; two values of one name are refused."""
    found: dict[str, str] = {}
    for name, value in pairs:
        if found.setdefault(name, value) != value:
            raise click.BadParameter(f"{presenting.plain(name)} is given twice", ctx, parameter)
    return found


def _pairs(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    found = _once(((key, rest) for key, _, rest in (value.partition("=") for value in values)), ctx, parameter)
    if any(not key or not value for key, value in found.items()):
        raise click.BadParameter("write KEY=VALUE", ctx, parameter)
    return found


def _numbers(ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> dict[str, int]:
    found = _pairs(ctx, parameter, values)
    if not all(value.isascii() and value.isdecimal() for value in found.values()):
        raise click.BadParameter("write NAME=GID, the group's number", ctx, parameter)
    return {key: int(value) for key, value in found.items()}


@click.command(short_help="Write what runs the container: Compose, Kubernetes, Quadlet, podman, docker.")
@click.argument("target", type=click.Choice(TARGETS))
@click.option(
    "--plan",
    "plan_path",
    default=_PLAN_DIRECTORY,
    show_default=True,
    metavar="DIR",
    help="What `bootseal build` wrote, or plan.json itself.",
)
@click.option("--image", metavar="REF", callback=_image, help="The image to run; all but seccomp need it.")
@click.option("--name", metavar="NAME", callback=_name, help="The container's name, in place of the manifest's.")
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, not to the standard output, which is also -.")
@click.option(
    "--check", "only_check", is_flag=True, help="Write nothing; exit 2 and show how FILE differs, if it does."
)
@click.option("--require-digest", is_flag=True, help="Refuse an image that is not named by its digest.")
@click.option("--json", "as_json", is_flag=True, help="podman, docker: the words of the command as a list.")
@click.option(
    "--secret-file",
    "secret_files",
    multiple=True,
    metavar="NAME=/PATH",
    callback=_secret_files,
    help="Where the host has a secret; repeat it for several.",
)
@click.option("--seccomp", metavar="FILE", help="Where the host has the profile of `render seccomp`.")
@click.option(
    "--default",
    "default_path",
    metavar="FILE",
    help="seccomp: the engine's own profile.  [default: podman's, where podman has it]",
)
@click.option("--verify", metavar="FILE", help="seccomp: judge FILE, whoever wrote it: does it only ever narrow?")
@click.option("--namespace", metavar="NAME", help="kube: the namespace that is said in every document.")
@click.option("--allow-tag", is_flag=True, help="kube: take an image that is not named by its digest.")
@click.option(
    "--with", "added", multiple=True, type=click.Choice(_KUBE_DOCUMENTS), help="kube: write this document as well."
)
@click.option(
    "--without", "left_out", multiple=True, type=click.Choice(_KUBE_DOCUMENTS), help="kube: leave this document out."
)
@click.option(
    "--group", "groups", multiple=True, metavar="NAME=GID", callback=_numbers, help="kube: the number of a group."
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    metavar="PATH=RESOURCE",
    callback=_pairs,
    help="kube: the device plugin's resource that brings a device.",
)
@click.pass_context
def render(ctx: click.Context, /, target: str, **given: Any) -> None:
    """Write what runs the container as its plan says: confined, with its limits, ports, volumes, secrets by name, and time to stop.

    \b
    bootseal render compose --image ghcr.io/me/shop@sha256:… -o compose.yaml
    bootseal render quadlet --image ghcr.io/me/shop@sha256:… -o /etc/containers/systemd/shop.container
    bootseal render podman  --image localhost/shop | sh
    bootseal render compose --image ghcr.io/me/shop@sha256:… -o compose.yaml --check

    The same plan and options give the same bytes. What has to exist beside the image (secrets, a seccomp profile) stands
    at the head of the output.
    """  # noqa: D301  (click's own mark of lines that stay as they are)
    _refuse_foreign_options(ctx, target)
    given["output"] = None if given["output"] == "-" else given["output"]
    if target == SECCOMP and given["verify"] is not None:
        from entrypoint import syscall_profiles

        is_narrow, lines = syscall_profiles.judge(given["verify"], given["default_path"])
        click.echo("\n".join(lines))
        sys.exit(exit_codes.OK if is_narrow else exit_codes.GENERIC_FAILURE)
    if target != SECCOMP and given["image"] is None:
        raise click.UsageError(f"--image is missing: {target} runs one", ctx)
    if given["only_check"] and given["output"] is None:
        raise click.UsageError("--check compares with FILE: name it with -o", ctx)
    text = _text(_load(given["plan_path"]), target, given)
    if given["only_check"]:
        command = f"{_command(target, given)} --plan {shlex.quote(given['plan_path'])}"
        sys.exit(_compare(given["output"], text, command))
    if given["output"] is None:
        click.echo(text, nl=False)
    else:
        from container import output_file

        output_file.write(given["output"], text.encode())


def _refuse_foreign_options(ctx: click.Context, target: str) -> None:
    own = {KUBE: _KUBES_OWN, SECCOMP: ("default_path", "verify"), PODMAN: ("as_json",), DOCKER: ("as_json",)}
    for parameter in ctx.command.params:
        name = parameter.name or ""
        owners = [one for one, names in own.items() if name in names]
        if owners and target not in owners and ctx.params[name]:
            raise click.UsageError(f"{parameter.opts[0]} is for {' and '.join(owners)} alone", ctx)
        if target == SECCOMP and name in _OF_CONTAINERS and ctx.params[name]:
            raise click.UsageError(f"{parameter.opts[0]} is for all but seccomp", ctx)
    if ctx.params["verify"] is not None and (ctx.params["output"] is not None or ctx.params["only_check"]):
        raise click.UsageError("--verify writes nothing and compares with no output: leave -o and --check out", ctx)


def _load(path: str) -> plan.LoadedPlan:
    """Read a plan by its directory or its file; raises BootsealError."""
    if os.path.isdir(path):
        loaded = plan.load(path)
    else:
        try:
            data = files.read_bounded(path, _PLAN_LIMIT)
        except OSError as error:
            remedy = "run `bootseal build` and name its directory with --plan"
            raise errors.InvalidRecord(f"plan {path}", errors.describe_os_error(error), remedy) from error
        directory = os.path.dirname(os.path.abspath(path))
        loaded = plan.LoadedPlan(plan.parse(data, f"plan {path}"), directory, hashlib.sha256(data).hexdigest())
    if loaded.plan.relocated:
        why = "`bootseal up` made it, for a boot without a container"
        raise errors.BootsealError(f"plan {path}", why, "run `bootseal build` and name its directory")
    return loaded


def _text(loaded: plan.LoadedPlan, target: str, given: dict[str, Any]) -> str:
    """Return what is to be written for ``target``; raises BootsealError."""
    if target == SECCOMP:
        from entrypoint import syscall_profiles

        made, warnings = syscall_profiles.narrowed(loaded, given["default_path"], _command(target, given))
        for line in warnings:
            click.echo(f"bootseal: warning: {line}", err=True)
        return made
    from container import compose, engine_argv, quadlet, rendering

    _judge_image(given["image"], target, require_digest=given["require_digest"])
    options = rendering.Options(
        image=given["image"],
        name=given["name"] or loaded.plan.name,
        command=_command(target, given),
        secret_files=given["secret_files"],
        seccomp=given["seccomp"],
    )
    unknown = sorted(set(options.secret_files) - {one.name for one in rendering.secrets(loaded.plan).files})
    if unknown:
        known = ", ".join(one.name for one in rendering.secrets(loaded.plan).files) or "none"
        raise rendering.CannotRender(f"secret {unknown[0]}", "no file of that name is needed", f"there are: {known}")
    if target == KUBE:
        from container import kube

        return kube.render(loaded, options, _settings(given))
    if target == COMPOSE:
        return compose.render(loaded, options)
    if target == QUADLET:
        return quadlet.render(loaded, options)
    if given["as_json"]:
        return presenting.dump(engine_argv.argv(loaded, options, target), "json")
    return engine_argv.render(loaded, options, target)


def _settings(given: dict[str, Any]) -> Any:
    from container import kube

    return kube.Settings(
        namespace=given["namespace"],
        allow_tag=given["allow_tag"],
        added=frozenset(given["added"]),
        left_out=frozenset(given["left_out"]),
        groups=given["groups"],
        devices=given["devices"],
    )


def _judge_image(image: Any, target: str, *, require_digest: bool) -> None:
    if image.digest is not None:
        return
    what, why = f"image {image.reference}", "it is not named by its digest, so what runs may be another one tomorrow"
    if require_digest:
        raise errors.BootsealError(what, why, "write NAME@sha256:…")
    if target != KUBE:  # which refuses it by itself
        click.echo(f"bootseal: warning: {what}: {why} (write NAME@sha256:…)", err=True)


def _command(target: str, given: dict[str, Any]) -> str:
    """Return the command that writes the same bytes again, without where they go."""
    words = ["bootseal", "render", target]
    words += [] if given["image"] is None else ["--image", given["image"].reference]
    for option in ("name", "seccomp", "namespace"):
        words += [] if given[option] is None else [f"--{option}", given[option]]
    words += ["--default", given["default_path"]] if given["default_path"] is not None else []
    words += [flag for flag, key in (("--json", "as_json"), ("--allow-tag", "allow_tag")) if given[key]]
    for option, key in (("--with", "added"), ("--without", "left_out")):
        words += [word for one in sorted(set(given[key])) for word in (option, one)]
    for option, key in (("--secret-file", "secret_files"), ("--group", "groups"), ("--device", "devices")):
        words += [word for name, one in sorted(given[key].items()) for word in (option, f"{name}={one}")]
    return shlex.join(words)


def _compare(path: str, text: str, command: str) -> int:
    """Say how the file ``path`` differs from ``text``, and return the exit code."""
    try:
        found = files.read_bounded(path, _OUTPUT_LIMIT)
    except FileNotFoundError:
        click.echo(f"{presenting.plain(path)}: it is not there (run `{command} -o {presenting.plain(path)}`)", err=True)
        return exit_codes.USAGE_ERROR
    except OSError as error:
        raise errors.BootsealError(path, errors.describe_os_error(error), f"run `{command} -o {path}`") from error
    if found == text.encode():
        return exit_codes.OK
    before, after = (one.splitlines() for one in (found.decode("utf-8", "backslashreplace"), text))
    lines = list(difflib.unified_diff(before, after, path, f"{path} (as rendered)", lineterm=""))
    for line in lines[:_SHOWN_LINES]:
        click.echo(presenting.plain(line))
    if len(lines) > _SHOWN_LINES:
        click.echo(f"… {len(lines) - _SHOWN_LINES} more lines")
    shown = presenting.plain(path)
    click.echo(f"{shown}: it is not what the plan renders (run `{command} -o {shown}`)", err=True)
    return exit_codes.USAGE_ERROR
