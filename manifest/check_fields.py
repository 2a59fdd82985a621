"""The kinds of value that checks are made of: URLs, statuses, headers, addresses to connect to, regular expressions.

Rules
-----
* A check runs inside the container: plain http, to an IP address. ``localhost`` is 127.0.0.1, and nothing else is looked up.
* What is read here is what the check does: no redirect of meaning later.
"""

import ipaddress
import re
import urllib.parse
from typing import Annotated, Any

import pydantic

from manifest import fields, patterns
from manifest.diagnostics import quote

_HEADER_NAME = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
"""The name of a header (RFC 9110, 5.6.2)."""
_STATUS = re.compile(r"([1-5][0-9]{2})(?:-([1-5][0-9]{2}))?")
_URL_BYTES = 2000
_HEADER_BYTES = 4096


def _url(node: Any) -> str:
    text = fields.read_text(node, "a URL like http://127.0.0.1:8000/livez")
    found = url(text)
    if found[0] is None:
        fields.refuse("E039", f"{quote(text)} is not a URL that can be checked: {found[1]}", found[2])
    return found[0]


def url(text: str) -> tuple[str | None, str, str]:
    """Return ``text`` as the URL of a check, its host an address; or None, why it is none, and what to do."""
    example = "write for example http://127.0.0.1:8000/livez"
    if "${" in text:
        return None, "it holds an expression", "write the URL"
    if not all("!" <= one <= "~" for one in text) or not 0 < len(text) <= _URL_BYTES:
        return None, f"it is 1 to {_URL_BYTES} printable ASCII characters without spaces", "encode the others with %"
    try:
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return None, str(error), example
    if parts.scheme != "http":
        why = "the check runs inside the container, over plain http" if parts.scheme == "https" else "it is not http"
        return None, why, f"write http://{text.partition('://')[2]}" if parts.scheme == "https" else example
    if "@" in parts.netloc:
        return None, "it holds a user", "write an `Authorization` header"
    if "#" in text:
        return None, "a fragment is never sent", "leave it out"
    if port == 0 or parts.netloc.endswith(":"):
        return None, "a port is 1 to 65535", example
    address = _address(host or "")
    if address is None:
        return None, "its host is neither an IP address nor localhost, and a check looks no name up", example
    shown = f"[{address}]" if ":" in address else address
    at = shown if port is None else f"{shown}:{port}"
    query = f"?{parts.query}" if parts.query else ""
    return f"http://{at}{parts.path or '/'}{query}", "", ""


def _address(host: str) -> str | None:
    """Return the IP address that ``host`` is and that something can be connected to, or None."""
    if host == "localhost":
        return "127.0.0.1"
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    return None if found.is_unspecified or "%" in host else str(found)


def _connect(node: Any) -> tuple[str, int]:
    text = fields.read_text(node, "an address like 127.0.0.1:5432")
    host, _, port = text.rpartition(":") if not text.isdecimal() else ("127.0.0.1", "", text)
    full = f"127.0.0.1:{port}" if host in {"", "localhost"} and text != f":{port}" else f"{host}:{port}"
    found = fields.listen_address(full)
    if isinstance(found, str):
        why = found.replace("boot looks", "a check looks")
        fields.refuse("E046", f"{quote(text)} is no address to connect to: {why}", "write for example 127.0.0.1:5432")
    if ipaddress.ip_address(found[0]).is_unspecified:
        why = "it stands for every address of the machine, and a check needs one"
        fields.refuse("E046", f"{quote(text)} is no address to connect to: {why}", f"write 127.0.0.1:{found[1]}")
    return found


def _status(node: Any) -> tuple[int, int]:
    found = fields.scalar(node, "a status like 204")
    match = _STATUS.fullmatch(found.text)
    low, high = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
    if low > high:
        why = "a status is 100 to 599, or a range of them from the lower to the higher"
        fields.refuse("E044", f"{quote(found.text)} is not a status: {why}", "write 204, or 200-399")
    return low, high


def _header_name(node: Any) -> str:
    text = fields.read_text(node, "the name of a header")
    if not re.fullmatch(_HEADER_NAME, text):
        fields.refuse("E045", f"{quote(text)} is not the name of a header", "write letters, digits and -")
    return text


def _header_value(node: Any) -> str:
    text = fields.read_text(node, "text")
    if not all(" " <= one <= "~" for one in text) or text != text.strip() or len(text) > _HEADER_BYTES:
        why = f"it is at most {_HEADER_BYTES} printable ASCII characters, and neither begins nor ends with a space"
        fields.refuse("E045", f"{quote(text)} is not the value of a header: {why}", "write it so")
    return text


def _pattern(node: Any, open_limit: int) -> str:
    text = fields.read_text(node, "a regular expression")
    if fault := patterns.syntax_fault(text):
        remedy = "see Python's re; put \\ before . ( [ and so on" if text else "write what is to be found"
        fields.refuse("E047", f"{quote(text)} is not a regular expression: {fault}", remedy)
    if fault := patterns.cost_fault(text, open_limit):
        remedy = "name the words that tell; it is found anywhere, so no `.*` is needed at its ends"
        fields.refuse("E048", f"{quote(text)} could take without end: {fault}", remedy)
    return text


def _descriptor(node: Any) -> int:
    return fields.ranged_integer(node, 3, 99, "a descriptor", "0 to 2 are the standard streams")


def _streak(node: Any) -> int:
    return fields.ranged_integer(node, 1, 100, "a number of checks")


def _check_timeout(node: Any) -> float:
    return fields.ranged(node, 0.001, 600, "the timeout of a check is more than 0s and at most 10m")


def _period(node: Any) -> float:
    return fields.ranged(node, 0.1, 3600, "a period is 100ms to 1h")


def _watchdog(node: Any) -> float:
    return fields.ranged(node, 0.1, 3600, "a watchdog is 100ms to 1h")


def _ready_timeout(node: Any) -> float:
    return fields.ranged(node, 0.001, 24 * 3600, "the timeout of a start is more than 0s and at most 24h")


Url = Annotated[str, pydantic.PlainValidator(_url), fields.schema(type="string", pattern="^http://")]
Connect = Annotated[
    tuple[str, int],
    pydantic.PlainValidator(_connect),
    fields.schema(
        anyOf=[{"type": "integer", "minimum": 1, "maximum": 65535}, {"type": "string", "pattern": "(^|:)[0-9]{1,5}$"}]
    ),
]
Status = Annotated[
    tuple[int, int],
    pydantic.PlainValidator(_status),
    fields.schema(
        anyOf=[
            {"type": "integer", "minimum": 100, "maximum": 599},
            {"type": "string", "pattern": "^[1-5][0-9]{2}(-[1-5][0-9]{2})?$"},
        ]
    ),
]
HeaderName = Annotated[
    str, pydantic.PlainValidator(_header_name), fields.schema(type="string", pattern=f"^{_HEADER_NAME}$")
]
HeaderValue = Annotated[str, pydantic.PlainValidator(_header_value), fields.schema(type=fields.SCALARS)]
_PATTERN_SCHEMA = fields.schema(type=fields.SCALARS, minLength=1, maxLength=patterns.LENGTH_LIMIT)
LinePattern = Annotated[
    str, pydantic.PlainValidator(lambda node: _pattern(node, patterns.OPEN_IN_LINE)), _PATTERN_SCHEMA
]
BodyPattern = Annotated[
    str, pydantic.PlainValidator(lambda node: _pattern(node, patterns.OPEN_IN_BODY)), _PATTERN_SCHEMA
]
Descriptor = Annotated[int, pydantic.PlainValidator(_descriptor), fields.schema(type="integer", minimum=3, maximum=99)]
Streak = Annotated[int, pydantic.PlainValidator(_streak), fields.schema(type="integer", minimum=1, maximum=100)]
CheckTimeout = Annotated[float, pydantic.PlainValidator(_check_timeout), fields.DURATION_SCHEMA]
Period = Annotated[float, pydantic.PlainValidator(_period), fields.DURATION_SCHEMA]
Watchdog = Annotated[float, pydantic.PlainValidator(_watchdog), fields.DURATION_SCHEMA]
ReadyTimeout = Annotated[float, pydantic.PlainValidator(_ready_timeout), fields.DURATION_SCHEMA]
