"""What a manifest says of programs that supervisord itself speaks with: the sections ``fastcgi`` and ``listener``."""

import re
from typing import Annotated, Any

import pydantic
from pydantic import Field

from manifest import diagnostics, fields, launch, section

_TCP = re.compile(r"tcp://(.+)")
_MODE = re.compile(r"0?([0-7]{3})")
_UNTOLD = ("EVENT", "PROCESS_LOG", "PROCESS_COMMUNICATION")


def _socket(node: Any) -> str:
    text = fields.read_text(node, "a socket like unix:///run/app/app.sock")
    shown = diagnostics.quote(text)
    if text.startswith("unix://"):
        return text
    match = _TCP.fullmatch(text)
    if match is None:
        fields.refuse(
            "E119", f"{shown} is not a socket: it begins with unix:// or tcp://", "write unix:///path, or tcp://IP:PORT"
        )
    found = fields.listen_address(match[1].replace("localhost", "127.0.0.1", 1))
    if isinstance(found, str) or ":" in found[0]:
        why = found if isinstance(found, str) else "supervisord makes IPv4 and unix sockets"
        fields.refuse("E119", f"{shown} is not a socket: {why}", "write for example tcp://127.0.0.1:9000")
    return f"tcp://{found[0]}:{found[1]}"


def _event(node: Any) -> str:
    text = fields.read_text(node, "an event like PROCESS_STATE").upper()
    if text.startswith(_UNTOLD):
        why = "what programs print goes to the container's output"
        fields.refuse(
            "E119", f"no listener is told {diagnostics.quote(text)}: {why}", "remove it; `bootseal logs` has the output"
        )
    if text not in launch.EVENTS:
        close = diagnostics.nearest(text, launch.EVENTS)
        remedy = f"write {close}" if close else "write for example PROCESS_STATE"
        fields.refuse("E119", f"{diagnostics.quote(text)} is not an event of supervisor's", remedy)
    return text


def _some(events: list[str]) -> list[str]:
    if not events:
        fields.refuse("E119", "the listener asks for no event", "write for example [PROCESS_STATE]")
    return events


def _socket_mode(node: Any) -> int:
    text = fields.scalar(node, "permission bits like 0660").text
    match = _MODE.fullmatch(text)
    if match is None:
        fields.refuse(
            "E030",
            f"{diagnostics.quote(text)} is not a mode: permission bits are three octal digits",
            'write for example "0660"',
        )
    return int(match[1], 8)


def _backlog(node: Any) -> int:
    return fields.ranged_integer(node, 1, 65535, "a backlog")


def _buffer(node: Any) -> int:
    return fields.ranged_integer(node, 1, 100_000, "a buffer of events")


Socket = Annotated[str, pydantic.PlainValidator(_socket), fields.schema(type="string", pattern="^(unix|tcp)://")]
Event = Annotated[str, pydantic.PlainValidator(_event), fields.schema(type="string", enum=list(launch.EVENTS))]
SocketMode = Annotated[
    int, pydantic.PlainValidator(_socket_mode), fields.schema(type=["string", "integer"], pattern="^0?[0-7]{3}$")
]
Backlog = Annotated[int, pydantic.PlainValidator(_backlog), fields.schema(type="integer", minimum=1, maximum=65535)]
Buffer = Annotated[int, pydantic.PlainValidator(_buffer), fields.schema(type="integer", minimum=1, maximum=100_000)]


class Fastcgi(section.Section):
    """A listening socket that supervisord makes and the program finds as descriptor 0."""

    model_config = section.or_shorthand("socket", "Its socket.")
    socket: Socket = Field(description="unix:///path, or tcp://IP:PORT; programs of one socket share it.")
    mode: SocketMode | None = Field(
        default=None, description="Permission bits of a unix socket, octal; by default 0700."
    )
    backlog: Backlog | None = Field(
        default=None, description="How many connections wait; by default what the kernel allows."
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("socket"))


class Listener(section.Section):
    """What supervisord tells the program on its stdin, by the event listener protocol."""

    model_config = section.or_shorthand("events", "The events it is told.")
    events: Annotated[list[Event], pydantic.AfterValidator(_some)] = Field(
        description="The events it is told.", json_schema_extra={"minItems": 1}
    )
    buffer: Buffer = Field(
        default=launch.DEFAULT_BUFFER, description="How many events wait for it; older ones are lost."
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_value("events"))
