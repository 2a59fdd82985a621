"""What a manifest says of what is served, needed and told: the sections ``probes``, ``ready`` and ``observability``.

Rules
-----
* The container's checks are made by the probe server itself, so they are requests and connections, never commands: those run
  as somebody, and only a program says as whom.
"""

from typing import Annotated, Any, NoReturn

import pydantic
from pydantic import Field

from manifest import check_fields, fields, readiness, section, serving_fields

CHECKS = ("http", "tcp", "unix")


class Token(section.Section):
    """What a client must show to read detail over TCP: `Authorization: Bearer` and the content of a file."""

    file: fields.ExpressionPath | None = Field(default=None, description="The file that holds it.")
    secret: fields.Text | None = Field(default=None, description="The name of the secret that holds it.")


class Detail(section.Section):
    """Who may read what goes beyond the probes: /health, /v1/* and the data of the status page."""

    model_config = section.or_shorthand("listen", "Its address, or `none`.")
    listen: serving_fields.DetailListen | None = Field(
        default=None,
        description="host:port of its own; that of the probes: for all their clients; `none`: not over TCP. By default "
        "with the probes, for clients on loopback, or with a token for all.",
    )
    token: Token | None = Field(default=None, description="What a client must show over TCP.")
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("listen"))


class Probes(section.Section):
    """Where the probe server listens."""

    listen: fields.Listen = Field(
        default=("127.0.0.1", 8080),
        description="host:port of the probes.",
        json_schema_extra={"default": "127.0.0.1:8080"},
    )
    metrics: fields.Listen | None = Field(default=None, description="host:port of /metrics alone.")
    liveness_deadline: serving_fields.Deadline = Field(
        default=30.0,
        description="PID 1 that was not heard for so long is taken for wedged, and /livez answers 503; 5s to 1h.",
        json_schema_extra={"default": "30s"},
    )
    detail: Detail = Field(default_factory=Detail, description="Who may read what goes beyond the probes.")


class RequiredMount(section.Section):
    """A directory that must be there."""

    model_config = section.or_shorthand("path", "Its path.")
    path: fields.FixedPath = Field(description="Absolute path of the directory.")
    free: serving_fields.Size = Field(
        default=0, description="So much must be free there: 512KiB, 100MiB, 1GiB.", json_schema_extra={"default": 0}
    )
    writable: fields.Boolean = Field(default=True, description="It must be possible to write there.")
    mounted: fields.Boolean = Field(default=False, description="Something must be mounted there.")
    required: fields.Boolean = Field(default=True, description="The container is not ready without it.")
    _shorthand = pydantic.model_validator(mode="before")(section.from_scalar("path"))


def _refuse_command(_node: Any) -> NoReturn:
    why = "a command runs as somebody, and the container's check is nobody's"
    fields.refuse(
        "E093", f"`exec` in a check of the container: {why}", "let a program of its own say it, by its `ready`"
    )


def _without_exec(schema: dict[str, Any]) -> None:
    del schema["properties"]["exec"]


class Check(section.Section):
    """A check of the container as a whole: exactly one of `http`, `tcp` and `unix`."""

    model_config = pydantic.ConfigDict(json_schema_extra=_without_exec)
    http: readiness.HttpCheck | None = Field(default=None, description="An HTTP request is answered.")
    tcp: readiness.TcpCheck | None = Field(default=None, description="A port accepts a connection.")
    unix: readiness.UnixCheck | None = Field(default=None, description="A stream socket accepts a connection.")
    exec: Annotated[Any, pydantic.PlainValidator(_refuse_command)] = Field(
        default=None, exclude=True
    )  # refused in words of its own, and offered nowhere
    period: check_fields.Period = Field(
        default=10.0, description="How often it is checked.", json_schema_extra={"default": "10s"}
    )
    failures: check_fields.Streak = Field(default=3, description="So many failures in a row make it unmet.")
    successes: check_fields.Streak = Field(default=1, description="So many successes in a row make it met again.")
    required: fields.Boolean = Field(default=True, description="The container is not ready without it.")

    @property
    def check(self) -> readiness.HttpCheck | readiness.TcpCheck | readiness.UnixCheck | None:
        """The check that was written, or None."""
        return self.http or self.tcp or self.unix


class Readiness(section.Section):
    """What the container's readiness needs beside its programs."""

    mounts: list[RequiredMount] = Field(default=[], description="Directories that must be there.")
    checks: dict[fields.Label, Check] = Field(default={}, description="What must answer, by name.")
    settle: serving_fields.Settle = Field(
        default=0.0,
        description="After an outage it is ready again when everything was so for this long, at most 10m.",
        json_schema_extra={"default": "0s"},
    )


class Observability(section.Section):
    """What the probe server tells of itself and of the boot."""

    log_level: serving_fields.LogLevel = Field(default="info", description="The least that the probe server logs.")
    otlp_endpoint: serving_fields.Endpoint | None = Field(
        default=None, description="Where the boot's trace is sent (OTLP over HTTP); its host may be a name."
    )
