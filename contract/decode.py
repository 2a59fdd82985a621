"""JSON from outside, decoded strictly into frozen dataclasses.

Rules
-----
* Every field is present, every field is known, every value has exactly the declared type: ``true`` is no
  integer, an integer is accepted where a float is declared, NaN and infinity (``1e999`` too) are refused, and so is
  text that is no Unicode (half a surrogate pair), which could not be written or printed later.
* A key that stands twice in one object is refused.
* A refusal names the place as a path (``programs[2].argv[0]``), never the value: it may be a secret.

Declared types may be: str, int, float, bool, dataclasses, ``X | None``, ``tuple[X, ...]`` and ``dict[str, X]``.
"""

import dataclasses
import json
import math
import types
import typing
from typing import Any, TypeVar

from contract import errors

_Record = TypeVar("_Record")
_MAXIMUM_DEPTH = 64


def json_object(data: bytes, where: str) -> dict[str, Any]:
    """Return the JSON object in ``data``; raises InvalidRecord naming ``where``."""
    if not data.strip():
        raise errors.InvalidRecord(where, "it is empty", "build it again")
    try:
        value = json.loads(data.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except UnicodeDecodeError as error:
        raise errors.InvalidRecord(where, f"byte {error.start} is not UTF-8", "build it again") from error
    except json.JSONDecodeError as error:
        why = f"line {error.lineno} column {error.colno}: {error.msg}"
        raise errors.InvalidRecord(where, why, "build it again") from error
    except RecursionError as error:
        raise errors.InvalidRecord(where, "it is nested too deeply", "build it again") from error
    except ValueError as error:
        raise errors.InvalidRecord(where, str(error), "build it again") from error
    if not isinstance(value, dict):
        raise errors.InvalidRecord(where, f"it holds {_kind(value)}, not an object", "build it again")
    return value


def expect_schema(value: dict[str, Any], schema: str, where: str) -> None:
    """Raise InvalidRecord unless the object says that it is of ``schema``."""
    found = value.get("schema")
    if found != schema:
        shown = found if isinstance(found, str) and len(found) < 80 else _kind(found)
        raise errors.InvalidRecord(
            where, f"its schema is {shown} and this version reads {schema}", "build it with this version of bootseal"
        )


def build(record: type[_Record], value: dict[str, Any], where: str) -> _Record:
    """Return the dataclass ``record`` made from the JSON object ``value``; raises InvalidRecord."""
    try:
        return typing.cast("_Record", _convert(record, value, "", 0))
    except _Mismatch as error:
        raise errors.InvalidRecord(where, str(error), "build it again") from error


class _Mismatch(Exception):
    def __init__(self, path: str, why: str) -> None:
        super().__init__(f"{path.lstrip('.') or 'the top level'} {why}")


def _convert(expected: Any, value: Any, path: str, depth: int) -> Any:
    if depth > _MAXIMUM_DEPTH:
        raise _Mismatch(path, "is nested too deeply")
    if dataclasses.is_dataclass(expected):
        return _convert_record(expected, value, path, depth)
    origin = typing.get_origin(expected)
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        inner = next(option for option in typing.get_args(expected) if option is not types.NoneType)
        return _convert(inner, value, path, depth + 1)
    if origin is tuple:
        if not isinstance(value, list):
            raise _Mismatch(path, f"is {_kind(value)}, not a list")
        inner = typing.get_args(expected)[0]
        return tuple(_convert(inner, item, f"{path}[{index}]", depth + 1) for index, item in enumerate(value))
    if origin is dict:
        if not isinstance(value, dict):
            raise _Mismatch(path, f"is {_kind(value)}, not an object")
        inner = typing.get_args(expected)[1]
        return {
            _text(key, path): _convert(inner, item, f"{path}.{_shown(key)}", depth + 1) for key, item in value.items()
        }
    if expected is float and type(value) in {int, float}:
        return _number(value, path)
    if type(value) is not expected:
        raise _Mismatch(path, f"is {_kind(value)}, not {_KINDS[expected]}")
    return _text(value, path) if expected is str else value


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise _Mismatch(path, "holds half a surrogate pair") from error
    return value


def _number(value: float, path: str) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Mismatch(path, "is out of range")
    return number


def _convert_record(expected: Any, value: Any, path: str, depth: int) -> Any:
    if not isinstance(value, dict):
        raise _Mismatch(path, f"is {_kind(value)}, not an object")
    hints = _hints(expected)
    unknown = sorted(value.keys() - hints.keys())
    if unknown:
        raise _Mismatch(f"{path}.{_shown(unknown[0])}", "is unknown")
    missing = sorted(hints.keys() - value.keys())
    if missing:
        raise _Mismatch(f"{path}.{missing[0]}", "is missing")
    return expected(**{name: _convert(hint, value[name], f"{path}.{name}", depth + 1) for name, hint in hints.items()})


_HINTS: dict[Any, dict[str, Any]] = {}


def _hints(record: Any) -> dict[str, Any]:
    if record not in _HINTS:
        _HINTS[record] = typing.get_type_hints(record)
    return _HINTS[record]


_KINDS: dict[Any, str] = {
    str: "a string", int: "an integer", float: "a number", bool: "true or false",
    dict: "an object", list: "a list", types.NoneType: "null",
}  # fmt: skip


def _kind(value: Any) -> str:
    return _KINDS.get(type(value), type(value).__name__)


def _shown(key: str) -> str:
    """Return a key as it may be printed: short, and without what a terminal or a log would act on."""
    return ascii(key[:80])[1:-1]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {_shown(twice)} stands twice")
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
