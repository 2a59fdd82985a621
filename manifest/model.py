"""The manifest, version 1, as a typed model; its JSON Schema is made from it too.

Rules
-----
* What is not described here is an unknown key.
* A shorthand (a bare path, a bare identity) becomes the full form before anything is judged.
* Only what one value says about itself is judged here. What several say together is judged in ``semantics``.
"""

from typing import Annotated, Any

import pydantic
from pydantic import Field

from manifest import (
    fields,
    hardening_fields,
    hardening_model,
    launch_model,
    policy_fields,
    provision_fields,
    provision_model,
    readiness,
    section,
    serving_fields,
    serving_model,
    tree,
)


class WritableRoot(section.Section):
    """A directory that is made at boot and may be written to."""

    model_config = section.or_shorthand("path", "Its path.")
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
    owner: provision_fields.User | None = Field(
        default=None, description="Whose it is, UID:GID; under the exception `program-users`."
    )
    storage: hardening_fields.Storage | None = Field(
        default=None,
        description="What is mounted there: a `tmpfs`, or a `volume` that outlives the container; by default a volume where `mount: required`.",
    )
    size: hardening_fields.Limit | None = Field(
        default=None,
        description="How much it holds; by default 64MiB of a tmpfs, 1GiB of a volume.",
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("path"))


class Boot(section.Section):
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


class Stop(section.Section):
    """How a program is stopped."""

    signal: fields.Signal = Field(default="TERM", description="The signal that asks it to stop.")
    timeout: fields.StopTimeout = Field(
        default=10.0,
        description="Whole seconds until it is killed, at most 1h.",
        json_schema_extra={"default": "10s"},
    )


def _listed(node: Any) -> Any:
    """Return `after` as a list of mappings: a mapping is a list of one, and a name needs nothing but to be ready."""
    items = [node] if isinstance(node, dict) else node
    if not isinstance(items, list):
        return node
    return [{item.text: {}} if isinstance(item, tree.Scalar) and item.value is not None else item for item in items]


def _short_or_full(schema: dict[str, Any]) -> None:
    """Tell an editor that `after` is a list of names and mappings, or one mapping."""
    item = schema.pop("items")
    del schema["type"]
    schema["anyOf"] = [{"type": "array", "items": {"anyOf": [{"type": "string"}, item]}}, item]


class Edge(section.Section):
    """What a program needs of another."""

    model_config = section.or_shorthand("is", "`ready`, or only `started`.")
    condition: policy_fields.Condition = Field(
        default="ready", alias="is", description="`ready` (a one-shot: it has exited 0), or only `started`."
    )
    bind: fields.Boolean = Field(default=False, description="It is stopped and started again with it.")
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("is"))


class Restart(section.Section):
    """How long to wait before a program is started again, and when to give it up."""

    backoff: policy_fields.Backoff = Field(
        default=0.2, description="The first pause; each is twice the last.", json_schema_extra={"default": "200ms"}
    )
    cap: policy_fields.Backoff = Field(
        default=30.0, description="The longest pause.", json_schema_extra={"default": "30s"}
    )
    reset: policy_fields.Window = Field(
        default=60.0,
        description="A program that lived so long begins with the first pause again.",
        json_schema_extra={"default": "60s"},
    )
    limit: policy_fields.Limit = Field(default=5, description="It is given up after more ends than this…")
    within: policy_fields.Window = Field(
        default=60.0, description="…within this time.", json_schema_extra={"default": "60s"}
    )


def _or_false(schema: dict[str, Any]) -> None:
    schema["anyOf"] = [{"const": False}, *schema["anyOf"]]


def _perhaps_imported(schema: dict[str, Any]) -> None:
    """Leave it to `programs` whether a program has a command of its own."""
    schema.pop("required")


class Program(section.Section):
    """A program that supervisord runs."""

    model_config = pydantic.ConfigDict(json_schema_extra=_perhaps_imported)
    command: readiness.Command = Field(
        description="The program and its arguments; no shell.", json_schema_extra={"minItems": 1}
    )
    required: fields.Boolean = Field(default=True, description="The container is not ready without it.")
    oneshot: fields.Boolean = Field(default=False, description="It runs once and is ready when it has exited 0.")
    after: Annotated[list[dict[fields.Text, Edge]], pydantic.BeforeValidator(_listed)] = Field(
        default=[], description="What must be ready, or started, first.", json_schema_extra=_short_or_full
    )
    ready: readiness.Ready | None = Field(
        default=None, description="When it is ready; by default when it has run for 1s."
    )
    live: Annotated[readiness.Live, pydantic.WrapValidator(readiness.or_false)] | None = Field(
        default=None,
        description="How it is checked while it is ready; by default as `ready` checks it. `false`: not at all.",
        json_schema_extra=_or_false,
    )
    on_exit: policy_fields.Outcome | None = Field(
        default=None,
        description="What follows an end that nobody asked for; by default `restart`, a one-shot `degrade`.",
    )
    on_fatal: policy_fields.Outcome | None = Field(
        default=None,
        description="What follows when it is given up; by default `exit` when it is required, else `degrade`.",
    )
    restart: Restart = Field(default_factory=Restart, description="When it is started again.")
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
    user: provision_fields.User | None = Field(
        default=None, description="The user it runs as, UID:GID; under the exception `program-users`."
    )
    ports: list[hardening_model.Port] = Field(default=[], description="The TCP ports that it listens on.")
    fastcgi: launch_model.Fastcgi | None = Field(
        default=None, description="The listening socket that supervisord makes and it finds as descriptor 0."
    )
    listener: launch_model.Listener | None = Field(
        default=None, description="The events that supervisord tells it on its stdin."
    )


def _nothing(required: list[Any]) -> list[Any]:
    if required:
        why = "it only says, when empty, that no program is"
        fields.refuse("E038", f"`required` names no programs: {why}", "write `required: true` in the programs")
    return required


class ContainerStop(section.Section):
    """How the container is stopped."""

    drain: policy_fields.Drain = Field(
        default=0.0,
        description="How long it stays as it is, but unready, at most 10m.",
        json_schema_extra={"default": "0s"},
    )
    grace: policy_fields.Grace | None = Field(
        default=None,
        description="What whoever runs it allows (terminationGracePeriodSeconds, docker stop -t); a stop must fit.",
    )


def _somebody(programs: list[str]) -> list[str]:
    if not programs:
        fields.refuse("E049", "the signal is passed on to nobody", "name a program, or remove the signal")
    return programs


class SignalTarget(section.Section):
    """Who gets a signal that PID 1 was sent."""

    model_config = section.or_shorthand("programs", "Names of programs.")
    programs: Annotated[list[fields.Text], pydantic.AfterValidator(_somebody)] = Field(
        description="Names of programs.", json_schema_extra={"items": {"type": "string"}, "minItems": 1}
    )
    sent: policy_fields.SentSignal | None = Field(
        default=None, alias="as", description="The signal they are sent; by default the same."
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_list("programs"))


def _or_imported(schema: dict[str, Any]) -> None:
    """Tell an editor that `from` may name files instead; what then is imported may be named without a command."""
    path = {"type": "string", "minLength": 1}
    [(pattern, program)] = schema["patternProperties"].items()
    files = {"type": "array", "items": path, "minItems": 1}
    meaning = "Files of supervisor's that programs are imported from."
    schema["patternProperties"] = {f"^(?!from$){pattern.removeprefix('^')}": program}
    schema["properties"] = {"from": {"anyOf": [path, files, program], "description": meaning}}
    schema["if"] = {"properties": {"from": {"type": ["string", "array"]}}, "required": ["from"]}
    schema["else"] = {"additionalProperties": {"required": ["command"]}}


class Manifest(section.Section):
    """What one container is: everything that runs in it, is written, is exposed or is required."""

    version: fields.Version = Field(description="The version of this format.")
    name: fields.Label = Field(description="The name of the container's kind, a DNS-1123 label.")
    boot: Boot = Field(default_factory=Boot, description="What boot does before any program runs.")
    identity: provision_model.Identity = Field(
        default_factory=provision_model.Identity, description="Who this container is."
    )
    secrets: dict[fields.Label, provision_model.Secret] = Field(
        default={}, description="Values that only the named programs get."
    )
    artifacts: dict[fields.Label, provision_model.Artifact] = Field(
        default={}, description="What the image must contain."
    )
    runtimes: provision_fields.Runtimes = Field(
        default=[], description="Language runtimes whose versions boot tells; `all`, or a list."
    )
    features: list[fields.Label] = Field(
        default=[], description="What the container can do that needs an exception of `security`, by name."
    )
    security: hardening_model.Security = Field(
        default_factory=hardening_model.Security, description="How the container is confined."
    )
    resources: hardening_model.Resources = Field(
        default_factory=hardening_model.Resources, description="What the container may use at most."
    )
    deploy: hardening_model.Deploy = Field(
        default_factory=hardening_model.Deploy, description="What a cluster makes of it."
    )
    programs: dict[fields.Label, Program] = Field(
        default={}, description="What runs, by name.", json_schema_extra=_or_imported
    )
    ready: serving_model.Readiness = Field(
        default_factory=serving_model.Readiness,
        description="What the container's readiness needs beside its programs.",
    )
    probes: serving_model.Probes = Field(
        default_factory=serving_model.Probes, description="Where the probe server listens."
    )
    observability: serving_model.Observability = Field(
        default_factory=serving_model.Observability,
        description="What the probe server tells of itself and of the boot.",
    )
    logs: serving_fields.LogFormat = Field(
        default="plain", description="How a program's line reaches the container's output."
    )
    stop: ContainerStop = Field(default_factory=ContainerStop, description="How the container is stopped.")
    signals: dict[policy_fields.PassedSignal, SignalTarget] = Field(
        default={}, description="The container's signals that PID 1 passes on."
    )
    required: Annotated[list[Any], pydantic.AfterValidator(_nothing)] | None = Field(
        default=None,
        description="`required: []` says that no program is required on purpose.",
        json_schema_extra={"anyOf": [{"type": "array", "maxItems": 0}]},
    )
