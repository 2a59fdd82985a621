"""What every section of the manifest is: a closed, frozen set of keys, some with a shorthand."""

from collections.abc import Callable
from typing import Any

import pydantic

from manifest import tree


class Section(pydantic.BaseModel):
    """A mapping of known keys; any other key is a fault."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


def from_scalar(key: str) -> Callable[[Any], Any]:
    """Return a reader that takes a single value as a section whose only key is ``key``."""

    def expand(node: Any) -> Any:
        is_value = isinstance(node, tree.Scalar) and node.value is not None
        return {key: node} if is_value else node

    return expand


def from_list(key: str) -> Callable[[Any], Any]:
    """Return a reader that takes a list as a section whose only key is ``key``."""
    return lambda node: {key: node} if isinstance(node, list) else node


def from_value(key: str) -> Callable[[Any], Any]:
    """Return a reader that takes a list, or a single value, as a section whose only key is ``key``."""

    def expand(node: Any) -> Any:
        return from_list(key)(from_scalar(key)(node))

    return expand


def or_shorthand(key: str, description: str) -> pydantic.ConfigDict:
    """Tell an editor that the section may also be written as the value of its ``key`` alone."""

    def extend(schema: dict[str, Any]) -> None:
        full = dict(schema)
        schema.clear()
        schema["description"] = full.pop("description", description)
        schema["anyOf"] = [{**full["properties"][key], "description": description}, full]

    return pydantic.ConfigDict(json_schema_extra=extend)
