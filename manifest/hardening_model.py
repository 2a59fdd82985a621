"""What a manifest says of the container's confinement and deployment: ``security``, ``resources``, ``deploy``, ports and storage."""

from typing import Annotated, Any

import pydantic
from pydantic import Field

from manifest import fields, hardening_fields, section


class Tmpfs(section.Section):
    """A file system in memory."""

    model_config = section.or_shorthand("size", "Its size.")
    size: hardening_fields.Limit = Field(
        default=64 * 2**20, description="How much it holds at most.", json_schema_extra={"default": "64MiB"}
    )
    mode: fields.Mode = Field(
        default=0o755, description="Permission bits, octal.", json_schema_extra={"default": "0755"}
    )
    executable: fields.Boolean = Field(default=False, description="Programs may run from it.")
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("size"))


def _one_or_more(schema: dict[str, Any]) -> None:
    """Tell an editor that one name need not stand in a list."""
    item = schema.pop("items")
    del schema["type"]
    schema["anyOf"] = [item, {"type": "array", "items": item}]


class FeatureException(section.Section):
    """What one feature needs beyond the hardened baseline, and why."""

    model_config = section.or_shorthand("reason", "Why the container needs it.")
    reason: hardening_fields.Reason = Field(
        description="Why the container needs it.", json_schema_extra={"minLength": 1}
    )
    inherits: Annotated[list[fields.Label], pydantic.BeforeValidator(hardening_fields.listed)] = Field(
        default=[], description="Exceptions whose additions it has as well.", json_schema_extra=_one_or_more
    )
    devices: list[hardening_fields.Device] = Field(
        default=[], description="Devices of the host: /dev/kfd, /dev/dri:rw."
    )
    tmpfs: dict[fields.FixedPath, Tmpfs] = Field(default={}, description="File systems in memory, by path.")
    capabilities: list[hardening_fields.Capability] = Field(default=[], description="Capabilities that are added.")
    acknowledge: list[hardening_fields.Capability] = Field(
        default=[], description="The capabilities that it adds, said again by whoever answers for it."
    )
    groups: list[hardening_fields.Group] = Field(default=[], description="Supplementary groups, by name or number.")
    runtime: hardening_fields.Runtime | None = Field(default=None, description="The engine's name of an OCI runtime.")
    gpu: hardening_fields.Gpu | None = Field(default=None, description="Whose GPU it needs.")
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("reason"))


class Seccomp(section.Section):
    """What the engine's seccomp profile allows and this container may not."""

    model_config = section.or_shorthand("deny", "System calls.")
    deny: list[hardening_fields.Syscall] = Field(default=[], description="System calls that are denied as well.")
    _shorthand = pydantic.model_validator(mode="before")(section.from_list("deny"))


class Security(section.Section):
    """How the container is confined."""

    enforce: fields.Boolean = Field(
        default=False, description="The boot fails when the profile in force is not the one that is planned."
    )
    user: hardening_fields.User | None = Field(
        default=None, description="The user that the container runs as, UID:GID; 1000:1000 by default."
    )
    tmpfs: dict[fields.FixedPath, Tmpfs] = Field(
        default={}, description="File systems in memory, by path; /run and /tmp always are."
    )
    seccomp: Seccomp = Field(default_factory=Seccomp, description="What is denied beyond the engine's profile.")
    exceptions: dict[fields.Label, FeatureException] = Field(
        default={}, description="What is not as the hardened baseline has it, by feature, and why."
    )


class Resources(section.Section):
    """What the container may use at most."""

    memory: hardening_fields.Limit = Field(
        default=2**30,
        description="Memory, that of its file systems in memory included.",
        json_schema_extra={"default": "1GiB"},
    )
    cpus: hardening_fields.Cpus | None = Field(default=None, description="CPUs, 1.5 for one and a half.")
    pids: hardening_fields.Pids | None = Field(
        default=None, description="Processes and threads; by default 1024, or what the programs need."
    )
    files: hardening_fields.Files | None = Field(
        default=None, description="Descriptors of one process; by default 4096, or what the programs need."
    )


class Deploy(section.Section):
    """What a cluster makes of it."""

    kind: hardening_fields.Kind | None = Field(
        default=None, description="By default a statefulset where there are volumes, else a deployment."
    )
    replicas: hardening_fields.Replicas = Field(default=1, description="How many containers of this kind run.")


class Port(section.Section):
    """A TCP port that a program listens on."""

    model_config = section.or_shorthand("listen", "Its address.")
    listen: fields.Listen = Field(description="host:port, as the program listens.")
    expose: fields.Boolean = Field(
        default=False, description="It is published beyond the machine that runs the container."
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("listen"))
