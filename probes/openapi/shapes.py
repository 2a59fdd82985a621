"""Making JSON Schemas (2020-12, the dialect of OpenAPI 3.1): an object of ours holds what is named, and nothing else."""

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

_COMPONENTS = "#/components"


def an_object(description: str, properties: dict[str, Schema], optional: Iterable[str] = ()) -> Schema:
    """Return an object with exactly ``properties``, of which those named ``optional`` may be left out."""
    left_out = set(optional)
    return {
        "type": "object",
        "description": description,
        "properties": properties,
        "required": [name for name in properties if name not in left_out],
        "additionalProperties": False,
    }


def text(description: str = "", **more: Any) -> Schema:
    """Return a string."""
    return _described({"type": "string", **more}, description)


def time(description: str = "") -> Schema:
    """Return a moment: RFC 3339 in UTC, with milliseconds."""
    return text(description, format="date-time", pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")


def sha256(description: str = "") -> Schema:
    """Return a SHA-256 in hexadecimal."""
    return text(description, pattern="^[0-9a-f]{64}$")


def boot_id(description: str = "") -> Schema:
    """Return a boot id."""
    return text(description, pattern="^[0-9a-f]{32}$")


def one_of(values: Iterable[str], description: str = "") -> Schema:
    """Return a string out of ``values``."""
    return _described({"type": "string", "enum": list(values)}, description)


def claim(description: str = "") -> Schema:
    """Return a boolean."""
    return _described({"type": "boolean"}, description)


def always(value: bool) -> Schema:
    """Return the boolean that is always ``value``."""
    return {"type": "boolean", "const": value}


def count(description: str = "", minimum: int | None = 0) -> Schema:
    """Return an integer."""
    return _described({"type": "integer"} | ({} if minimum is None else {"minimum": minimum}), description)


def seconds(description: str = "", *, signed: bool = False) -> Schema:
    """Return a duration in seconds."""
    return _described({"type": "number"} | ({} if signed else {"minimum": 0}), description)


def many(items: Schema, description: str = "") -> Schema:
    """Return a list of ``items``."""
    return _described({"type": "array", "items": items}, description)


def or_null(schema: Schema) -> Schema:
    """Return ``schema``, or null."""
    if "$ref" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    schema = schema | {"type": [schema["type"], "null"]}
    return schema | {"enum": [*schema["enum"], None]} if "enum" in schema else schema


def ref(name: str, where: str = "schemas") -> Schema:
    """Return a reference to the component ``name``."""
    return {"$ref": f"{_COMPONENTS}/{where}/{name}"}


def _described(schema: Schema, description: str) -> Schema:
    return {**schema, "description": description} if description else schema
