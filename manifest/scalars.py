"""What a plain scalar means: our own strict core of YAML, so that nothing is ever silently something else.

Rules
-----
* ``true`` and ``false`` are the booleans; ``null``, ``~`` and nothing are null; decimal integers without leading zeros
  are integers; decimal fractions are numbers; everything else is text.
* So ``no``, ``0755``, ``12:30``, ``0x1F``, ``1_000`` and ``2024-01-01`` are text. YAML 1.1 reads them as a boolean, an octal
  and a sexagesimal integer, and so on (yaml.org/type).
* The text that was written is kept beside the value: where the manifest wants text, ``1.10`` stays ``1.10``.
"""

import re

_CONSTANTS: dict[str, bool | None] = {"true": True, "false": False, "null": None, "~": None, "": None}
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,18})?(?:[eE][+-]?[0-9]{1,2})?")


def resolve(text: str) -> str | int | float | bool | None:
    """Return the value of the plain scalar ``text``."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    if _NUMBER.fullmatch(text):
        return float(text)
    return text


def looks_boolean(text: str) -> bool | None:
    """Return the boolean that the writer of ``text`` had in mind, or None."""
    lowered = text.lower()
    if lowered in {"true", "yes", "on", "y"}:
        return True
    if lowered in {"false", "no", "off", "n"}:
        return False
    return None
