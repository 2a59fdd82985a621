"""The JSON Schema of the manifest (draft 2020-12): what an editor completes and underlines.

pydantic makes it from the model; here it is made to say what the manifest means. It is looser than the compiler in one
way only: rules that look at several values stay with ``bootseal check``.
"""

import json
from typing import Any

from manifest import model

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def document() -> dict[str, Any]:
    """Return the JSON Schema of the manifest."""
    made = model.Manifest.model_json_schema(by_alias=True, mode="validation")
    return {"$schema": DRAFT, "title": "bootseal manifest", **_tidy(made)}


def dump() -> str:
    """Return the JSON Schema as text, the same for the same version."""
    return json.dumps(document(), indent=2) + "\n"


def _tidy(node: Any) -> Any:
    """Drop generated titles and null (an omitted key is omitted), and close mappings whose keys are names."""
    if isinstance(node, list):
        return [_tidy(item) for item in node]
    if not isinstance(node, dict):
        return node
    kept = {key: value for key, value in node.items() if not _is_noise(key, value)}
    options = [option for option in kept.get("anyOf", []) if option != {"type": "null"}]
    if len(options) == 1:
        del kept["anyOf"]
        kept = {**options[0], **kept}
    elif options:
        kept["anyOf"] = options
    if "patternProperties" in kept:
        kept["additionalProperties"] = False
    return {key: _tidy(value) for key, value in kept.items()}


def _is_noise(key: str, value: Any) -> bool:
    return (key == "title" and isinstance(value, str)) or (key == "default" and value is None)
