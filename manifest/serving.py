"""What the probe server serves, watches and tells beside programs, as it stands in the plan. Standard library only."""

from contract import records

LOOPBACK, OPEN, OWN, SOCKET = "loopback", "open", "own", "socket"
REACHES = (LOOPBACK, OPEN, OWN, SOCKET)
"""Who is answered detail over TCP: clients on loopback of the probes' listener; all its clients; the clients of an address of
its own; nobody. The unix socket in the run directory answers processes of our user and root's in any case."""

LOG_LEVELS = ("debug", "info", "warning", "error")

PLAIN, PREFIXED, JSON = "plain", "prefixed", "json"
LOG_FORMATS = (PLAIN, PREFIXED, JSON)
"""How a program's line reaches the container's output: as it is; behind ``NAME | ``; in an object of JSON."""

LISTEN_VARIABLE, METRICS_VARIABLE, DETAIL_VARIABLE, LEVEL_VARIABLE, ENDPOINT_VARIABLE = VARIABLES = (
    "BOOTSEAL_PROBES_LISTEN",
    "BOOTSEAL_METRICS_LISTEN",
    "BOOTSEAL_DETAIL_LISTEN",
    "BOOTSEAL_LOG_LEVEL",
    "BOOTSEAL_OTLP_ENDPOINT",
)
"""The probe server's environment: what it was told is what it serves, and what /v1/meta shows.

All are of our own prefix, which no manifest can use: a program's ``OTEL_…`` variables are the program's alone.
"""
NOWHERE = "none"
"""What a manifest, and DETAIL_VARIABLE, say for detail that is served on no address."""


@records.dataclass(frozen=True)
class CheckPlan:
    """A check from outside; ``kind`` is http, tcp, unix or exec and says which fields count, the others are None or empty.

    http: ``url``, over the unix socket ``path`` where that is given, with ``headers``; the status must lie in
    ``status_low`` to ``status_high`` and the body match the regular expression ``body``. tcp: ``host`` and ``port``.
    unix: the stream socket ``path``. exec: ``argv`` must exit 0.
    """

    kind: str
    url: str | None
    host: str | None
    port: int | None
    path: str | None
    argv: tuple[str, ...]
    headers: dict[str, str]
    status_low: int
    status_high: int
    body: str | None
    timeout_seconds: float


@records.dataclass(frozen=True)
class DetailPlan:
    """Who may read what goes beyond the probes (/health, /v1/*, the data of the page); ``reach`` is one of REACHES.

    ``host`` and ``port`` are the address of its own under OWN, else None. Over TCP a client must show the token in
    ``token_file``, where that is given.
    """

    reach: str
    host: str | None
    port: int | None
    token_file: str | None


@records.dataclass(frozen=True)
class ProbesPlan:
    """Where the probe server listens; ``metrics_port`` is None when metrics have no port of their own.

    PID 1 that was not heard for ``liveness_deadline_seconds`` is taken for wedged.
    """

    host: str
    port: int
    metrics_host: str
    metrics_port: int | None
    liveness_deadline_seconds: float
    detail: DetailPlan


@records.dataclass(frozen=True)
class MountPlan:
    """A directory that must be there; ``is_mount``: something is mounted on it; ``free_bytes`` are left for us at least."""

    path: str
    is_mount: bool
    writable: bool
    free_bytes: int
    required: bool


@records.dataclass(frozen=True)
class ConditionPlan:
    """A check of the container as a whole, never of kind exec, every ``period_seconds``.

    ``failures`` in a row make it unmet, ``successes`` met again; it is unmet until it first passed.
    """

    name: str
    check: CheckPlan
    period_seconds: float
    failures: int
    successes: int
    required: bool


@records.dataclass(frozen=True)
class ReadinessPlan:
    """What the container's readiness needs beside programs.

    After an outage it is ready again only when everything was so for ``settle_seconds``; the first readiness and every end of
    readiness count at once.
    """

    mounts: tuple[MountPlan, ...]
    conditions: tuple[ConditionPlan, ...]
    settle_seconds: float


@records.dataclass(frozen=True)
class ObservabilityPlan:
    """The probe server's own log level, and where the boot's trace is sent (OTLP over HTTP), or None."""

    log_level: str
    otlp_endpoint: str | None


def address(host: str, port: int) -> str:
    """Return the address as a manifest and a URL write it (RFC 3986, 3.2.2: IPv6 in brackets)."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def detail_address(probes: ProbesPlan) -> str | None:
    """Return where detail is served over TCP, NOWHERE where it is not, None where it goes with the probes to loopback."""
    detail = probes.detail
    if detail.reach == OWN and detail.host is not None and detail.port is not None:
        return address(detail.host, detail.port)
    return {OPEN: address(probes.host, probes.port), SOCKET: NOWHERE}.get(detail.reach)


def environment(probes: ProbesPlan, observability: ObservabilityPlan) -> dict[str, str]:
    """Return the variables that the probe server is started with; one that says nothing is left out."""
    metrics = None if probes.metrics_port is None else address(probes.metrics_host, probes.metrics_port)
    values = {
        LISTEN_VARIABLE: address(probes.host, probes.port),
        METRICS_VARIABLE: metrics,
        DETAIL_VARIABLE: detail_address(probes),
        LEVEL_VARIABLE: observability.log_level,
        ENDPOINT_VARIABLE: observability.otlp_endpoint,
    }
    return {name: value for name, value in values.items() if value is not None}
