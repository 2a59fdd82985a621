"""Plain data as YAML that every reader takes for the same: whatever is not plainly a word is quoted.

What a manifest would take for an expression (``${``) is escaped.
"""

import re
from typing import Any

from manifest import scalars

_WIDEST = 118
_PLAIN = re.compile(r"(-{1,2}[A-Za-z]|[A-Za-z0-9_./])[A-Za-z0-9_./@+=-]*")
_AMBIGUOUS = re.compile(r"(?i)y|n|yes|no|on|off|true|false|null|\.inf|\.nan|[0-9.][0-9a-f_.+x-]*")
"""What some reader of YAML takes for something else than text (yaml.org/type)."""
_ESCAPES = {'"': r"\"", "\\": r"\\", "\n": r"\n", "\t": r"\t"}


def lines(value: dict[str, Any], indent: str) -> list[str]:
    """Return ``value`` as lines of YAML; nothing of it is an expression of the manifest's."""
    found = []
    for key, one in value.items():
        short = flow(one)
        name = scalar(key)
        if len(indent) + len(name) + 2 + len(short) <= _WIDEST or not isinstance(one, dict | list):
            found.append(f"{indent}{name}: {short}")
        elif isinstance(one, dict):
            found += [f"{indent}{name}:", *lines(one, f"{indent}  ")]
        else:
            found += [f"{indent}{name}:", *(f"{indent}  - {flow(item)}" for item in one)]
    return found


def flow(value: Any) -> str:
    """Return ``value`` as one piece of a line."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(key)}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(one) for one in value) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, int) else scalar(str(value))


def scalar(text: str) -> str:
    """Return ``text`` as one scalar."""
    text = text.replace("${", "$${")
    is_word = _PLAIN.fullmatch(text) and isinstance(scalars.resolve(text), str) and not _AMBIGUOUS.fullmatch(text)
    return text if is_word else f'"{"".join(map(_escaped, text))}"'


def _escaped(character: str) -> str:
    """Return a character as it stands in double quotes (yaml.org/spec/1.2, 5.7)."""
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else f"\\U{ord(character):08X}"
