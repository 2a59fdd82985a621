"""The manifest, version 1, as a typed model; its JSON Schema is made from it too.

Rules
-----
* What is not described here is an unknown key.
* A shorthand (a bare path, a bare identity) becomes the full form before anything is judged.
* Only what one value says about itself is judged here. What several say together is judged in ``semantics``.
"""

from collections.abc import Callable
from typing import Annotated, Any

import pydantic
from pydantic import Field

from manifest import fields, tree


class _Section(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def _from_scalar(key: str) -> Callable[[Any], Any]:
    def expand(node: Any) -> Any:
        is_value = isinstance(node, tree.Scalar) and node.value is not None
        return {key: node} if is_value else node

    return expand


def _or_shorthand(key: str, description: str) -> pydantic.ConfigDict:
    """Tell an editor that the section may also be written as the value of its ``key`` alone."""

    def extend(schema: dict[str, Any]) -> None:
        full = dict(schema)
        schema.clear()
        schema["description"] = full.pop("description", description)
        schema["anyOf"] = [{**full["properties"][key], "description": description}, full]

    return pydantic.ConfigDict(json_schema_extra=extend)


class WritableRoot(_Section):
    """A directory that is made at boot and may be written to."""

    model_config = _or_shorthand("path", "Its path.")
    path: fields.FixedPath = Field(description="Absolute path of the directory.")
    mode: fields.Mode = Field(
        default=0o755, description="Permission bits, octal.", json_schema_extra={"default": "0755"}
    )
    skeleton: fields.ExpressionPath | None = Field(
        default=None,
        alias="from",
        description="A directory of the image whose content is copied in where it is missing.",
    )
    mount: fields.Mount = Field(
        default="any", description="`required`: something must be mounted there, or the boot fails."
    )
    _shorthand = pydantic.model_validator(mode="before")(_from_scalar("path"))


class Boot(_Section):
    """What boot does before any program runs."""

    immutable: list[fields.ExpressionPath] = Field(
        default=[], description="Directories that this container must not be able to write."
    )
    strict: fields.Boolean = Field(
        default=True, description="false: a writable immutable root is only a warning event."
    )
    writable: list[WritableRoot] = Field(default=[], description="Directories made at boot; nothing else is written.")
    seal_timeout: fields.SealTimeout = Field(
        default=120.0,
        description="How long all required programs may take to be ready, at most 24h.",
        json_schema_extra={"default": "120s"},
    )
    on_failure: fields.OnFailure = Field(default="exit", description="`hold`: stay up, unready, for debugging.")
    environment: list[fields.FreeVariable] = Field(
        default=[], description="Names of the container's environment variables that programs may inherit."
    )


class IdentityId(_Section):
    """The name of this container."""

    model_config = _or_shorthand("default", "`hostname`, or a DNS-1123 label.")
    env: fields.Variable | None = Field(default=None, description="The environment variable that names this container.")
    default: fields.Label = Field(
        default="hostname", description="`hostname`, or a DNS-1123 label, when the variable is not set."
    )
    _shorthand = pydantic.model_validator(mode="before")(_from_scalar("default"))


class Identity(_Section):
    """Who this container is."""

    id: IdentityId = Field(default_factory=IdentityId, description="The name of this container.")
    store: fields.FixedPath | None = Field(
        default=None,
        description="Where its keys are kept, under a writable root; without it they are made anew at every boot.",
    )


class Artifact(_Section):
    """Something the image must contain."""

    model_config = _or_shorthand("path", "Its path.")
    path: fields.ExpressionPath = Field(description="Absolute path of the file or directory.")
    required: fields.Boolean = Field(default=True, description="false: its absence is only a warning event.")
    _shorthand = pydantic.model_validator(mode="before")(_from_scalar("path"))


def _running(value: bool) -> bool:
    if not value:
        fields.refuse(
            "E026", "`running: false` is no readiness: a program is ready when it runs", "write true, or remove it"
        )
    return value


class Ready(_Section):
    """When a program is ready."""

    running: Annotated[fields.Boolean, pydantic.AfterValidator(_running)] = Field(
        default=True, description="It runs.", json_schema_extra={"const": True}
    )
    lasting: fields.ReadyFor = Field(
        default=1.0,
        alias="for",
        description="…and has run for this long, at most 1h.",
        json_schema_extra={"default": "1s"},
    )


class Stop(_Section):
    """How a program is stopped."""

    signal: fields.Signal = Field(default="TERM", description="The signal that asks it to stop.")
    timeout: fields.StopTimeout = Field(
        default=10.0,
        description="Whole seconds until it is killed, at most 1h.",
        json_schema_extra={"default": "10s"},
    )


def _refuse_shell(node: Any) -> Any:
    if isinstance(node, tree.Scalar) and node.value is not None:
        words = ", ".join(node.text.split()[:6])
        remedy = (
            f"write [{words}]" if words and words.isprintable() and len(words) <= 60 else "write [program, argument]"
        )
        fields.refuse("E031", "the command is text, not a list: no shell takes it apart", remedy)
    return node


def _complete(command: list[str]) -> list[str]:
    if not command:
        fields.refuse("E032", "the command is empty", "write [program, argument]")
    if not command[0]:
        fields.refuse("E032", "the command names no program: its first item is empty", "write [program, argument]")
    return command


class Program(_Section):
    """A program that supervisord runs."""

    command: Annotated[
        list[fields.Text], pydantic.BeforeValidator(_refuse_shell), pydantic.AfterValidator(_complete)
    ] = Field(description="The program and its arguments; no shell.", json_schema_extra={"minItems": 1})
    required: fields.Boolean = Field(default=True, description="The container is not ready without it.")
    oneshot: fields.Boolean = Field(default=False, description="It runs once and is ready when it has exited 0.")
    after: list[fields.Text] = Field(
        default=[], description="Programs that must be ready first.", json_schema_extra={"items": {"type": "string"}}
    )
    ready: Ready | None = Field(default=None, description="When it is ready; by default when it has run for 1s.")
    environment: dict[fields.FreeVariable, fields.Text] = Field(
        default={}, description="Environment variables it gets."
    )
    directory: fields.ExpressionPath | None = Field(default=None, description="Its working directory.")
    stop: Stop = Field(default_factory=Stop, description="How it is stopped.")
    start_retries: fields.Retries = Field(
        default=3, description="How often its start is tried again before it is given up."
    )
    artifacts: list[fields.Text] = Field(
        default=[], description="Names of the artifacts it uses.", json_schema_extra={"items": {"type": "string"}}
    )


class Probes(_Section):
    """Where the probe server listens."""

    listen: fields.Listen = Field(
        default=("127.0.0.1", 8080),
        description="host:port of the probes.",
        json_schema_extra={"default": "127.0.0.1:8080"},
    )
    metrics: fields.Listen | None = Field(default=None, description="host:port of /metrics alone.")


def _nothing(required: list[Any]) -> list[Any]:
    if required:
        why = "it only says, when empty, that no program is"
        fields.refuse("E038", f"`required` names no programs: {why}", "write `required: true` in the programs")
    return required


class Manifest(_Section):
    """What one container is: everything that runs in it, is written, is exposed or is required."""

    version: fields.Version = Field(description="The version of this format.")
    name: fields.Label = Field(description="The name of the container's kind, a DNS-1123 label.")
    boot: Boot = Field(default_factory=Boot, description="What boot does before any program runs.")
    identity: Identity = Field(default_factory=Identity, description="Who this container is.")
    artifacts: dict[fields.Label, Artifact] = Field(default={}, description="What the image must contain.")
    programs: dict[fields.Label, Program] = Field(default={}, description="What runs, by name.")
    probes: Probes = Field(default_factory=Probes, description="Where the probe server listens.")
    required: Annotated[list[Any], pydantic.AfterValidator(_nothing)] | None = Field(
        default=None,
        description="`required: []` says that no program is required on purpose.",
        json_schema_extra={"anyOf": [{"type": "array", "maxItems": 0}]},
    )
