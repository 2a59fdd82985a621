"""What a manifest says of what Stage A provides: the sections of identity, secrets, artifacts and security."""

from typing import Annotated, Any

import pydantic
from pydantic import Field

from manifest import check_fields, diagnostics, fields, provision_fields, provisions, readiness, section, tree


class IdentityId(section.Section):
    """The name of this container."""

    model_config = section.or_shorthand("default", "`hostname`, or a DNS-1123 label.")
    env: fields.Variable | None = Field(default=None, description="The environment variable that names this container.")
    default: fields.Label = Field(
        default="hostname", description="`hostname`, or a DNS-1123 label, when the variable is not set."
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("default"))


class Key(section.Section):
    """Where a key comes from; without either, from the store, and where that holds none it is made."""

    file: fields.ExpressionPath | None = Field(default=None, description="The file that holds it.")
    secret: fields.Text | None = Field(default=None, description="The name of the secret that holds it.")


def _named(node: Any) -> Any:
    """Return a list of kinds as a mapping: each is a key without a source of its own."""
    if not isinstance(node, list):
        return node
    kinds = [item.text for item in node if isinstance(item, tree.Scalar)]
    twice = next((kind for index, kind in enumerate(kinds) if kind in kinds[:index]), None)
    if twice is not None:
        fields.refuse("E054", f"{diagnostics.quote(twice)} stands twice in this list", "keep one of them")
    return {item.text if isinstance(item, tree.Scalar) else str(index): {} for index, item in enumerate(node)}


def _or_kinds(schema: dict[str, Any]) -> None:
    mapping = {name: schema.pop(name) for name in list(schema) if name not in {"description", "default"}}
    kinds = {"type": "array", "items": {"enum": list(provisions.KEY_KINDS)}}
    schema["anyOf"] = [kinds, mapping]


class Identity(section.Section):
    """Who this container is."""

    id: IdentityId = Field(default_factory=IdentityId, description="The name of this container.")
    store: fields.FixedPath | None = Field(
        default=None,
        description="Where its keys are kept, under a writable root; without it they are made anew at every boot.",
    )
    keys: Annotated[dict[provision_fields.KeyKind, Key], pydantic.BeforeValidator(_named)] = Field(
        default={},
        description="Its keys; `ed25519`, which signs the seal, is always one of them.",
        json_schema_extra=_or_kinds,
    )


class Secret(section.Section):
    """A value that only the named programs get."""

    generate: provision_fields.Bytes | None = Field(
        default=None, description="So many random bytes, anew at each boot, as hexadecimal digits."
    )
    file: fields.ExpressionPath | None = Field(default=None, description="The file that holds it.")
    mounted: fields.ExpressionPath | None = Field(
        default=None, description="The file that holds it; it must lie on a mount of its own."
    )
    variable: fields.FreeVariable | None = Field(
        default=None, description="The container's environment variable that holds it; with `generate`, if it is set."
    )
    env: fields.FreeVariable | None = Field(
        default=None, description="The environment variable that the programs get it as, besides the file."
    )
    programs: list[fields.Text] = Field(
        default=[], description="Who gets it.", json_schema_extra={"items": {"type": "string"}}
    )


class ArtifactCheck(section.Section):
    """A command that must exit 0 at boot, run as nobody in particular in the artifact's directory."""

    exec: readiness.Command = Field(
        description="A command that must exit 0; no shell.", json_schema_extra={"minItems": 1}
    )
    timeout: check_fields.CheckTimeout = Field(
        default=10.0, description="How long it may take.", json_schema_extra={"default": "10s"}
    )


class Artifact(section.Section):
    """Something the image must contain."""

    model_config = section.or_shorthand("path", "Its path.")
    path: fields.ExpressionPath = Field(description="Absolute path of the file or directory.")
    required: fields.Boolean = Field(
        default=True, description="false: when it is missing, only the programs that need it are held back."
    )
    kind: provision_fields.ArtifactKind | None = Field(
        default=None, description="What it is, and so what belongs to it; by default what it looks like."
    )
    verify: provision_fields.Verification | None = Field(
        default=None,
        description="How it is compared with closures.lock at boot; by default by `digest` where there is one.",
    )
    check: ArtifactCheck | None = Field(default=None, description="A command that must exit 0 at boot.")
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("path"))
