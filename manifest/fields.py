"""The kinds of value a manifest holds: how each is read from a scalar, and what an editor is told about it.

Rules
-----
* Where text is wanted the text that was written is taken, whatever YAML makes of it: 9090 is "9090", 0755 is "0755".
* Where a boolean, a number or a duration is wanted nothing else will do, and the refusal says what to write.
* A value that is missing (null) is never text.

Each reader takes a node of the tree and returns the value or raises pydantic's error with a code of ``manifest.rules``.
"""

import ipaddress
import re
from typing import Annotated, Any, NoReturn

import pydantic
import pydantic_core

from contract import duration
from manifest import diagnostics, scalars, tree

LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
"""A DNS-1123 label (RFC 1123, 2.1; at most 63 characters as in RFC 1035, 2.3.4)."""
VARIABLE = r"[A-Za-z_][A-Za-z0-9_]*"
"""The name of an environment variable that a shell can use (POSIX.1-2017, Base Definitions, 3.235)."""
RESERVED_VARIABLES = ("BOOTSEAL_", "SUPERVISOR_")
_MODE = re.compile(r"(?:0o?)?([0-7]{3})|([0-3][0-7]{3})")
_PATH_BYTES = 4095
"""PATH_MAX without its NUL (limits.h(0P))."""
_PORT = re.compile(r"[1-9][0-9]{0,4}")


def refuse(code: str, message: str, remedy: str = "") -> NoReturn:
    """Raise a refusal with ``code`` that pydantic collects; ``message`` is ``what: why``."""
    context = {"message": message, "remedy": remedy}
    raise pydantic_core.PydanticCustomError(code, "{message}", context)


def scalar(node: Any, wanted: str) -> tree.Scalar:
    """Return ``node`` if it is a single value that is not null."""
    if not isinstance(node, tree.Scalar):
        kind = "a list" if isinstance(node, list) else "a mapping"
        refuse("E022", f"{kind} stands where {wanted} belongs", f"write {wanted}")
    if node.value is None:
        shown = "null" if node.text else "nothing"
        remedy = 'write a value, or "" for empty text' if wanted == "text" else f"write {wanted}, or remove the key"
        refuse("E025", f"{shown} stands where {wanted} belongs", remedy)
    return node


def read_text(node: Any, wanted: str = "text") -> str:
    """Return the text that was written at ``node``; a mapping's key comes as text already."""
    found = node if isinstance(node, str) else scalar(node, wanted).text
    if "\0" in found:
        refuse("E033", "the text holds a NUL byte: neither an argument nor a path can", "remove it")
    if not found.isascii() and any("\ud800" <= character <= "\udfff" for character in found):
        refuse("E033", "the text holds half of a surrogate pair: it cannot be encoded", "write the character itself")
    return found


def _boolean(node: Any) -> bool:
    found = scalar(node, "true or false")
    if isinstance(found.value, bool):
        return found.value
    meant = scalars.looks_boolean(found.text)
    remedy = "write true or false" if meant is None else f"write {str(meant).lower()}"
    why = (
        "it is quoted, and so text" if not found.is_plain and found.text in {"true", "false"} else "it is not a boolean"
    )
    refuse("E023", f"{diagnostics.quote(found.text)} is neither true nor false: {why}", remedy)


def _integer(node: Any) -> int:
    found = scalar(node, "a whole number")
    if type(found.value) is not int:
        shown = diagnostics.quote(found.text)
        refuse("E024", f"{shown} is not a whole number", "write digits, without quotes and leading zeros")
    return found.value


def ranged_integer(node: Any, least: int, most: int, what: str, why: str = "") -> int:
    """Return the whole number at ``node``; ``what`` is ``least`` to ``most``, and ``why`` says more of that."""
    number = _integer(node)
    if not least <= number <= most:
        range_of_it = f"{what} is {least} to {most}{', ' if why else ''}{why}"
        refuse("E024", f"{number} is out of range: {range_of_it}", "write a number in the range")
    return number


def _retries(node: Any) -> int:
    return ranged_integer(node, 0, 1000, "start_retries")


def _version(node: Any) -> int:
    found = scalar(node, "1")
    if type(found.value) is not int or found.value != 1:
        why = "this bootseal reads version 1 of the manifest"
        refuse("E037", f"unsupported version {diagnostics.quote(found.text)}: {why}", "write `version: 1`")
    return 1


def _duration(node: Any) -> float:
    found = scalar(node, "a duration like 10s")
    length = duration.milliseconds(found.text)
    if length is None:
        shown = diagnostics.quote(found.text)
        if type(found.value) is int and found.value >= 0:
            refuse(
                "E027",
                f"{shown} is a duration without a unit",
                f"write {found.text}s for seconds, {found.text}m for minutes",
            )
        remedy = "write whole numbers with h, m, s or ms: 250ms, 10s, 1m30s"
        refuse("E027", f"{shown} is not a duration", remedy)
    return length / 1000


def ranged(node: Any, least: float, most: float, words: str) -> float:
    """Return the duration at ``node`` in seconds, ``least`` to ``most``; ``words`` say so."""
    seconds = _duration(node)
    if not least <= seconds <= most:
        refuse("E027", f"{diagnostics.quote(node.text)} is out of range: {words}", "write a duration in the range")
    return seconds


def _seal_timeout(node: Any) -> float:
    return ranged(node, 0.001, 24 * 3600, "seal_timeout is more than 0s and at most 24h")


def _ready_for(node: Any) -> float:
    return ranged(node, 0, 3600, "`for` is 0s to 1h")


def _stop_timeout(node: Any) -> float:
    seconds = ranged(node, 0, 3600, "a stop timeout is 0s to 1h")
    if seconds != int(seconds):
        why = "supervisord waits whole seconds"
        refuse("E027", f"{diagnostics.quote(node.text)} is not whole seconds: {why}", "round it up")
    return seconds


def path_fault(text: str) -> str | None:
    """Return why ``text`` is not an absolute normal path, or None."""
    if not text:
        return "it is empty"
    if not text.startswith("/"):
        return "it is relative"
    if len(text.encode()) > _PATH_BYTES:
        return f"it is longer than {_PATH_BYTES} bytes"
    if text == "/":
        return "it is the root of the file system"
    if text.endswith("/"):
        return "it ends in /"
    parts = text[1:].split("/")
    odd = next((part for part in parts if part in {"", ".", ".."}), None)
    return None if odd is None else "it holds //" if odd == "" else f"it holds the component {odd}"


def _fixed_path(node: Any) -> str:
    text = read_text(node, "an absolute path")
    if "${" in text:
        why = "a writable root and what lies in it must be the same path for every reader"
        refuse("E042", f"{diagnostics.quote(text)} holds an expression: {why}", "write the path")
    if fault := path_fault(text):
        refuse(
            "E029",
            f"{diagnostics.quote(text)} is not an absolute normal path: {fault}",
            "write it from / without . or .. or //",
        )
    return text


def _label(node: Any) -> str:
    text = read_text(node, "a name")
    if fault := label_fault(text):
        why = "a name is at most 63 of a-z, 0-9 and -, and neither begins nor ends with -"
        refuse("E028", f"{diagnostics.quote(text)} is not a name: {why}", fault)
    return text


def label_fault(text: str) -> str | None:
    """Return what to do when ``text`` is not a DNS-1123 label, or None when it is one."""
    if re.fullmatch(LABEL, text):
        return None
    candidate = re.sub(r"[^a-z0-9]+", "-", text.lower())[:63].strip("-")
    return f"write `{candidate}`" if candidate else "write a name like `api`"


def _variable(node: Any) -> str:
    text = read_text(node, "the name of a variable")
    if not re.fullmatch(VARIABLE, text):
        why = "a name is made of A-Z, a-z, 0-9 and _ and does not begin with a digit"
        refuse("E034", f"{diagnostics.quote(text)} is not the name of an environment variable: {why}", "rename it")
    return text


def _free_variable(node: Any) -> str:
    text = _variable(node)
    if text.startswith(RESERVED_VARIABLES):
        begins = next(prefix for prefix in RESERVED_VARIABLES if text.startswith(prefix))
        refuse("E035", f"{diagnostics.quote(text)} is reserved: bootseal itself uses {begins}…", "choose another name")
    return text


def _mode(node: Any) -> int:
    found = scalar(node, "permission bits like 0755")
    match = _MODE.fullmatch(found.text)
    if match is None:
        why = "permission bits are three octal digits, and before them 1, 2 or 3 for sticky and set-group-id"
        refuse("E030", f"{diagnostics.quote(found.text)} is not a mode: {why}", 'write for example "0755"')
    mode = int(match[1] or match[2], 8)
    if mode & 0o700 != 0o700:
        why = "its owner could not use the directory"
        refuse(
            "E030", f"{diagnostics.quote(found.text)} is no mode for a writable root: {why}", "begin with 7, as in 0750"
        )
    return mode


def _choice(node: Any, wanted: str, choices: tuple[str, ...]) -> str:
    text = node if isinstance(node, str) else scalar(node, wanted).text  # a mapping's key comes as text
    if text not in choices:
        bare = text.upper().removeprefix("SIG") if set(choices) & set(SIGNALS) else text
        close = bare if bare in choices else diagnostics.nearest(text, choices)
        remedy = f"write {close}" if close else f"write {', '.join(choices[:-1])} or {choices[-1]}"
        refuse("E026", f"{diagnostics.quote(text)} is not {wanted}: there are {', '.join(choices)}", remedy)
    return text


SIGNALS = ("TERM", "HUP", "INT", "QUIT", "KILL", "USR1", "USR2")


def listen_address(text: str) -> tuple[str, int] | str:
    """Return the host and port in ``text`` (``127.0.0.1:8080``, ``[::1]:8080``), or why it holds none."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        return "an address is host:port"
    if not _PORT.fullmatch(port) or int(port) > 65535:
        return "a port is 1 to 65535"
    is_bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if is_bracketed else host
    try:
        address = ipaddress.ip_address(bare)
    except ValueError:
        return "its host is not an IP address, and boot looks no name up"
    if (address.version == 6) != is_bracketed or "%" in bare:
        return (
            "an IPv6 address stands in brackets, [::1]:8080"
            if address.version == 6
            else "an IPv4 address has no brackets"
        )
    return bare, int(port)


def _listen(node: Any) -> tuple[str, int]:
    text = read_text(node, "an address like 127.0.0.1:8080")
    found = listen_address(text)
    if isinstance(found, str):
        shown = diagnostics.quote(text)
        refuse("E036", f"{shown} is not an address to listen on: {found}", "write for example 127.0.0.1:8080")
    return found


def schema(**keywords: Any) -> pydantic.WithJsonSchema:
    """Tell an editor what the value may be."""
    return pydantic.WithJsonSchema(keywords)


def one_of(wanted: str, choices: tuple[str, ...]) -> tuple[Any, Any]:
    """Return the reader of one of the words ``choices``, and its schema."""
    reader = pydantic.PlainValidator(lambda node: _choice(node, wanted, choices))
    return reader, schema(type="string", enum=list(choices))


SCALARS = ["string", "number", "boolean"]
DURATION_SCHEMA = schema(type="string", pattern=r"^(?=[0-9])([0-9]+h)?([0-9]+m)?([0-9]+s)?([0-9]+ms)?$")
_PATH_SCHEMA = schema(type="string", pattern="^/")

Text = Annotated[str, pydantic.PlainValidator(read_text), schema(type=SCALARS)]
ExpressionPath = Annotated[str, pydantic.PlainValidator(read_text), schema(type="string", pattern=r"^(/|\$\{)")]
FixedPath = Annotated[str, pydantic.PlainValidator(_fixed_path), _PATH_SCHEMA]
Boolean = Annotated[bool, pydantic.PlainValidator(_boolean), schema(type="boolean")]
Retries = Annotated[int, pydantic.PlainValidator(_retries), schema(type="integer", minimum=0, maximum=1000)]
Version = Annotated[int, pydantic.PlainValidator(_version), schema(const=1)]
SealTimeout = Annotated[float, pydantic.PlainValidator(_seal_timeout), DURATION_SCHEMA]
ReadyFor = Annotated[float, pydantic.PlainValidator(_ready_for), DURATION_SCHEMA]
StopTimeout = Annotated[float, pydantic.PlainValidator(_stop_timeout), DURATION_SCHEMA]
Label = Annotated[str, pydantic.PlainValidator(_label), schema(type=["string", "number"], pattern=f"^{LABEL}$")]
Variable = Annotated[str, pydantic.PlainValidator(_variable), schema(type="string", pattern=f"^{VARIABLE}$")]
FreeVariable = Annotated[str, pydantic.PlainValidator(_free_variable), schema(type="string", pattern=f"^{VARIABLE}$")]
Mode = Annotated[int, pydantic.PlainValidator(_mode), schema(type=["string", "integer"], pattern="^0?o?[0-7]{3,4}$")]
Listen = Annotated[tuple[str, int], pydantic.PlainValidator(_listen), schema(type="string", pattern=":[0-9]{1,5}$")]
_signal_reader, _signal_schema = one_of("a signal", SIGNALS)
Signal = Annotated[str, _signal_reader, _signal_schema]
_failure_reader, _failure_schema = one_of("what to do on failure", ("exit", "hold"))
OnFailure = Annotated[str, _failure_reader, _failure_schema]
_mount_reader, _mount_schema = one_of("a claim about the mount", ("any", "required"))
Mount = Annotated[str, _mount_reader, _mount_schema]
