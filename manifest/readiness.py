"""What a manifest says of a program's readiness and of the checks that go on: the sections ``ready`` and ``live``.

Rules
-----
* Each kind of proof has one key; that there is exactly one is judged in ``policy``, where both can be shown.
* A check is written in full or as its most telling value: a URL, an address, a path, a command.
"""

from typing import Annotated, Any

import pydantic
from pydantic import Field

from manifest import check_fields, fields, section, tree

CHECKS = ("http", "tcp", "unix", "exec")
KINDS = ("running", "notify", "fd", "log", "file", *CHECKS)


def _is_true(value: bool) -> bool:
    if not value:
        fields.refuse("E026", "`false` proves nothing: the key names a proof", "write true, or remove it")
    return value


def _refuse_shell(node: Any) -> Any:
    if isinstance(node, tree.Scalar) and node.value is not None:
        words = ", ".join(node.text.split()[:6])
        remedy = (
            f"write [{words}]" if words and words.isprintable() and len(words) <= 60 else "write [program, argument]"
        )
        fields.refuse("E031", "the command is text, not a list: no shell takes it apart", remedy)
    return node


def _complete(command: list[str]) -> list[str]:
    if not command:
        fields.refuse("E032", "the command is empty", "write [program, argument]")
    if not command[0]:
        fields.refuse("E032", "the command names no program: its first item is empty", "write [program, argument]")
    return command


Claim = Annotated[fields.Boolean, pydantic.AfterValidator(_is_true)]
Command = Annotated[list[fields.Text], pydantic.BeforeValidator(_refuse_shell), pydantic.AfterValidator(_complete)]


class HttpCheck(section.Section):
    """A request that must be answered with the status, and the body, that are wanted."""

    model_config = section.or_shorthand("url", "Its URL.")
    url: check_fields.Url = Field(description="http://IP:PORT/PATH; `localhost` is 127.0.0.1.")
    status: check_fields.Status = Field(
        default=(200, 299),
        description="The status that is wanted, or a range of them.",
        json_schema_extra={"default": "200-299"},
    )
    headers: dict[check_fields.HeaderName, check_fields.HeaderValue] = Field(
        default={}, description="Headers of the request."
    )
    body: check_fields.BodyPattern | None = Field(
        default=None, description="A regular expression that must be found in the body."
    )
    socket: fields.ExpressionPath | None = Field(
        default=None, description="The unix socket over which the request goes."
    )
    timeout: check_fields.CheckTimeout = Field(
        default=1.0, description="How long one check may take.", json_schema_extra={"default": "1s"}
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("url"))


class TcpCheck(section.Section):
    """A port that must accept a connection."""

    model_config = section.or_shorthand("address", "IP:PORT, or a port of 127.0.0.1.")
    address: check_fields.Connect = Field(description="IP:PORT, or a port of 127.0.0.1.")
    timeout: check_fields.CheckTimeout = Field(
        default=1.0, description="How long one check may take.", json_schema_extra={"default": "1s"}
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("address"))


class UnixCheck(section.Section):
    """A stream socket that must accept a connection."""

    model_config = section.or_shorthand("path", "The path of a stream socket.")
    path: fields.ExpressionPath = Field(description="The path of a stream socket.")
    timeout: check_fields.CheckTimeout = Field(
        default=1.0, description="How long one check may take.", json_schema_extra={"default": "1s"}
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("path"))


class ExecCheck(section.Section):
    """A command that must exit 0."""

    model_config = section.or_shorthand("command", "A command that must exit 0; no shell.")
    command: Command = Field(description="A command that must exit 0; no shell.", json_schema_extra={"minItems": 1})
    timeout: check_fields.CheckTimeout = Field(
        default=5.0, description="How long one check may take.", json_schema_extra={"default": "5s"}
    )
    _shorthand = pydantic.model_validator(mode="before")(section.from_value("command"))


class _Checks(section.Section):
    """The checks from outside; at most one of them is written."""

    http: HttpCheck | None = Field(default=None, description="An HTTP request is answered.")
    tcp: TcpCheck | None = Field(default=None, description="A port accepts a connection.")
    unix: UnixCheck | None = Field(default=None, description="A stream socket accepts a connection.")
    exec: ExecCheck | None = Field(default=None, description="A command exits 0.")

    @property
    def check(self) -> HttpCheck | TcpCheck | UnixCheck | ExecCheck | None:
        """The check that was written, or None."""
        return self.http or self.tcp or self.unix or self.exec


class Ready(_Checks):
    """When a program is ready: exactly one kind of proof; left out, it has run for 1s."""

    running: Claim = Field(default=True, description="It runs…", json_schema_extra={"const": True})
    lasting: fields.ReadyFor = Field(
        default=1.0,
        alias="for",
        description="…and has run for this long, at most 1h.",
        json_schema_extra={"default": "1s"},
    )
    notify: Claim | None = Field(
        default=None, description="It says READY=1, as sd_notify(3).", json_schema_extra={"const": True}
    )
    watchdog: check_fields.Watchdog | None = Field(
        default=None, description="With `notify`: it says WATCHDOG=1 at least this often."
    )
    fd: check_fields.Descriptor | None = Field(default=None, description="It writes a newline to this descriptor.")
    log: check_fields.LinePattern | None = Field(
        default=None, description="A line of its output matches this regular expression."
    )
    file: fields.ExpressionPath | None = Field(
        default=None, description="It makes this file, which is removed before each start."
    )
    timeout: check_fields.ReadyTimeout | None = Field(
        default=None, description="Not ready by then is a failed start; at most 24h."
    )


class Live(_Checks):
    """A check that goes on while a program is ready; without one of its own it is that of `ready`."""

    period: check_fields.Period = Field(
        default=10.0, description="How often it is checked.", json_schema_extra={"default": "10s"}
    )
    timeout: check_fields.CheckTimeout | None = Field(
        default=None, description="How long one check may take, if not as long as the check says."
    )
    failures: check_fields.Streak = Field(default=3, description="So many failures in a row end readiness.")
    successes: check_fields.Streak = Field(default=1, description="So many successes in a row restore it.")
    restart: fields.Boolean = Field(default=False, description="The program is killed when its readiness ended so.")


NO_LIVE = Live()
"""Stands for ``live: false``; told by identity."""


def or_false(node: Any, read: pydantic.ValidatorFunctionWrapHandler) -> Any:
    """Read the section ``live``, or ``false``."""
    is_false = isinstance(node, tree.Scalar) and node.value is False
    return NO_LIVE if is_false else read(node)
