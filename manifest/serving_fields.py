"""The kinds of value that serving, the container's readiness and its logs are said in."""

import re
import urllib.parse
from typing import Annotated, Any

import pydantic

from manifest import diagnostics, fields, serving

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_SIZE = re.compile(rf"([0-9]{{1,16}})({'|'.join(UNITS)})")
_MISWRITTEN = re.compile(r"([0-9]{1,16})\s*([KMGT])?i?B?", re.IGNORECASE)
"""What other programs read as a size, each in its own way: 100M is 100 000 000 bytes to some and 104 857 600 to others."""
_LARGEST = 2**50
_URL_BYTES = 2000
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\]")

DetailAddress = tuple[str, int] | str
"""An address, or serving.NOWHERE."""


def _size(node: Any) -> int:
    text = fields.scalar(node, "a size like 100MiB").text
    shown = diagnostics.quote(text)
    match = _SIZE.fullmatch(text)
    if match is None and text != "0":
        close = _MISWRITTEN.fullmatch(text)
        letter = close[2].upper() if close and close[2] else ""
        remedy = f"write {close[1]}{f'{letter}iB' if letter else 'B, KiB, MiB or GiB'}" if close else "write 100MiB"
        why = "a size is a whole number with one of the units B, KiB, MiB, GiB and TiB"
        fields.refuse("E091", f"{shown} is not a size: {why}", remedy)
    size = int(match[1]) * UNITS[match[2]] if match else 0
    if size > _LARGEST:
        fields.refuse("E091", f"{shown} is out of range: a size is at most 1024TiB", "write a smaller one")
    return size


def _detail(node: Any) -> DetailAddress:
    text = fields.read_text(node, "an address like 127.0.0.1:8081, or none")
    if text == serving.NOWHERE:
        return serving.NOWHERE
    found = fields.listen_address(text)
    if isinstance(found, str):
        shown = diagnostics.quote(text)
        remedy = "write for example 127.0.0.1:8081, or none"
        fields.refuse("E036", f"{shown} is not an address to listen on: {found}", remedy)
    return found


def _endpoint(node: Any) -> str:
    text = fields.read_text(node, "a URL like http://collector:4318")
    fault = endpoint_fault(text)
    if fault is not None:
        why, remedy = fault
        fields.refuse("E092", f"{diagnostics.quote(text)} is not an endpoint: {why}", remedy)
    scheme, _, rest = text.partition("://")
    return f"{scheme.lower()}://{rest.rstrip('/')}"


def endpoint_fault(text: str) -> tuple[str, str] | None:
    """Return why no trace can be sent to ``text``, and what to do; None when one can."""
    example = "write for example http://collector:4318"
    if not all("!" <= one <= "~" for one in text) or not 0 < len(text) <= _URL_BYTES:
        return f"a URL is 1 to {_URL_BYTES} printable ASCII characters without spaces", example
    try:
        parts = urllib.parse.urlsplit(text)
        port = parts.port
    except ValueError as error:
        return str(error), example
    if parts.scheme not in {"http", "https"} or not parts.netloc:
        return "traces are sent over http or https", example
    if "@" in parts.netloc:
        return "it holds a user, and the plan holds no secret", "leave it out"
    if "?" in text or "#" in text:
        return "a path is added to it, so it holds neither a query nor a fragment", "leave it out"
    if port == 0 or parts.netloc.endswith(":"):
        return "a port is 1 to 65535", example
    if not _HOST.fullmatch(parts.netloc if port is None else parts.netloc.rpartition(":")[0]):
        return "its host is neither a name nor an IP address", example
    return None


def _settle(node: Any) -> float:
    return fields.ranged(node, 0, 600, "settle is 0s to 10m")


def _deadline(node: Any) -> float:
    return fields.ranged(node, 5, 3600, "liveness_deadline is 5s to 1h")


Size = Annotated[
    int,
    pydantic.PlainValidator(_size),
    fields.schema(anyOf=[{"const": 0}, {"type": "string", "pattern": f"^(0|[0-9]+({'|'.join(UNITS)}))$"}]),
]
DetailListen = Annotated[
    DetailAddress,
    pydantic.PlainValidator(_detail),
    fields.schema(type="string", pattern=f"^{serving.NOWHERE}$|:[0-9]{{1,5}}$"),
]
Endpoint = Annotated[
    str, pydantic.PlainValidator(_endpoint), fields.schema(type="string", pattern="^[Hh][Tt][Tt][Pp][Ss]?://[^?#@]+$")
]
Settle = Annotated[float, pydantic.PlainValidator(_settle), fields.DURATION_SCHEMA]
Deadline = Annotated[float, pydantic.PlainValidator(_deadline), fields.DURATION_SCHEMA]
_level_reader, _level_schema = fields.one_of("a log level", serving.LOG_LEVELS)
LogLevel = Annotated[str, _level_reader, _level_schema]
_logs_reader, _logs_schema = fields.one_of("a form of logs", serving.LOG_FORMATS)
LogFormat = Annotated[str, _logs_reader, _logs_schema]
