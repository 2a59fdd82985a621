"""The plan: what the manifest compiled to, and all that boot reads. Standard library only.

Rules
-----
* ``plan.json`` is read strictly: every field present, known and of its type; see ``contract.decode``.
* Its bytes depend on the manifest and the build's options alone: keys sorted, no time, no host name.
* Durations are seconds. Programs stand in start order, those of bootseal itself included.
"""

import dataclasses
import hashlib
import json
import os
from typing import Any

from contract import boot_record, decode, errors, files, records
from manifest import hardening, launch, provisions, serving

SCHEMA = "bootseal.plan/5"
PLAN_FILE = "plan.json"
CONFIG_FILE = "supervisord.conf"
LOCK_FILE = "closures.lock"
PREFIX = "/opt/bootseal"
"""Where the product is installed in an image; its interpreter is ``PREFIX/bin/python``."""
_LIMIT = 16 * 1024 * 1024
_LEAST_DESCRIPTORS = 1024

PROBES, STAGE_B, SEAL = "probes", "bootstrap", "bootstrap-seal"
"""The names of the programs that bootseal itself brings; a manifest may not use them."""


@records.dataclass(frozen=True)
class WritableRoot:
    """A directory made at boot: permission bits ``mode``, filled from ``skeleton`` where that is given.

    It belongs to ``owner``, by default to PID 1's user.
    """

    path: str
    mode: int
    skeleton: str | None
    mount_required: bool
    owner: provisions.User | None = None


@records.dataclass(frozen=True)
class BootPlan:
    """How Stage A and the seal behave; ``environment`` names the variables that programs may inherit."""

    immutable: tuple[str, ...]
    strict: bool
    writable: tuple[WritableRoot, ...]
    seal_timeout_seconds: float
    on_failure: str
    environment: tuple[str, ...]


IdentityPlan = provisions.IdentityPlan
ArtifactPlan = provisions.ArtifactPlan
CheckPlan = serving.CheckPlan
ProbesPlan = serving.ProbesPlan


RUNNING, NOTIFY, DESCRIPTOR, LOG, FILE, HTTP, TCP, UNIX, EXEC = (
    "running", "notify", "fd", "log", "file", "http", "tcp", "unix", "exec",
)  # fmt: skip
EXIT, SUBSCRIPTION, PROTOCOL = "exit", "subscription", "protocol"
READY_KINDS = (RUNNING, NOTIFY, DESCRIPTOR, LOG, FILE, HTTP, TCP, UNIX, EXEC, EXIT, SUBSCRIPTION, PROTOCOL)
"""How readiness is proven: ``exit`` is a one-shot that exited 0, ``subscription`` the probe server's word to PID 1.

``protocol`` is an event listener's READY to supervisord.
"""
CHECK_KINDS = (HTTP, TCP, UNIX, EXEC)
"""The kinds that the probe server checks from outside; PID 1 sees the others itself."""

READY, STARTED = "ready", "started"
"""What a program may need of another: that it is ready (a one-shot: completed), or only that it was started."""
END, DEGRADE, RESTART = "exit", "degrade", "restart"
"""What follows when a program ends or is given up: the container ends, it is left as it is, it is started again."""


@records.dataclass(frozen=True)
class Need:
    """The program ``name`` must be ``condition`` (READY or STARTED) first; ``bind``: stop and start with it."""

    name: str
    condition: str
    bind: bool


@records.dataclass(frozen=True)
class ReadyPlan:
    """What proves that a program is ready; ``kind`` is one of READY_KINDS.

    running: it lived for ``for_seconds``. notify: READY=1 (sd_notify(3)), and where ``watchdog_seconds`` is given
    WATCHDOG=1 at least that often. fd: a newline on ``descriptor``. log: a line of its output matches ``pattern``. file:
    ``path`` exists. The others: ``check`` passed. Not ready ``timeout_seconds`` after its start is a failed start.
    """

    kind: str
    for_seconds: float
    descriptor: int | None
    pattern: str | None
    path: str | None
    check: CheckPlan | None
    watchdog_seconds: float | None
    timeout_seconds: float | None


@records.dataclass(frozen=True)
class LivePlan:
    """A check of a program that was ready, every ``period_seconds``.

    ``failures`` in a row end readiness, ``successes`` restore it. ``restart``: the program is killed when its readiness ended so, and its restart policy takes over.
    """

    check: CheckPlan
    period_seconds: float
    failures: int
    successes: int
    restart: bool


@records.dataclass(frozen=True)
class RestartPlan:
    """The pause before a program is started again: doubles from ``first_seconds`` to ``cap_seconds``.

    It begins anew once the program lived for ``reset_seconds``. More than ``limit_times`` ends within
    ``limit_window_seconds`` and it is given up (FATAL).
    """

    first_seconds: float
    cap_seconds: float
    reset_seconds: float
    limit_times: int
    limit_window_seconds: float


@records.dataclass(frozen=True)
class ProgramPlan:
    """One supervised program; ``role`` is "program", "probes", "stage-b" or "seal".

    ``rank`` is the length of the longest chain of ``after`` before it: ranks are stopped from the highest to 0.
    ``on_exit`` says what follows an end that nobody asked for, ``on_fatal`` what follows when it is given up: END,
    DEGRADE or RESTART. ``user`` is given exactly under the exception ``program-users``.
    """

    name: str
    role: str
    argv: tuple[str, ...]
    required: bool
    oneshot: bool
    after: tuple[Need, ...]
    rank: int
    ready: ReadyPlan
    live: LivePlan | None
    on_exit: str
    on_fatal: str
    restart: RestartPlan
    environment: dict[str, str]
    directory: str | None
    stop_signal: str
    stop_timeout_seconds: float
    start_retries: int
    priority: int
    artifacts: tuple[str, ...]
    user: provisions.User | None = None
    ports: tuple[hardening.Port, ...] = ()
    fastcgi: launch.FastcgiPlan | None = None
    listener: launch.ListenerPlan | None = None


@records.dataclass(frozen=True)
class StopPlan:
    """How the container stops: ``drain_seconds`` unready and otherwise untouched, then rank after rank.

    ``budget_seconds`` is the longest that may take, ``grace_seconds`` what whoever runs the container declared to allow,
    or None.
    """

    drain_seconds: float
    grace_seconds: float | None
    budget_seconds: float


@records.dataclass(frozen=True)
class SignalPlan:
    """When PID 1 is sent ``signal``, each of ``programs`` is sent ``sent`` (names without SIG)."""

    signal: str
    programs: tuple[str, ...]
    sent: str


@records.dataclass(frozen=True)
class Plan:
    """The whole plan.

    ``relocated`` says that paths were moved by ``bootseal up``. ``config_sha256`` is the digest of the
    rendered supervisord.conf and ``proven_with`` the version of supervisor whose own parser accepted
    exactly these bytes at build time, or None. ``runtimes`` are the language runtimes that boot looks for. ``logs`` is one of
    serving.LOG_FORMATS.
    """

    schema: str
    bootseal: str
    name: str
    manifest_sha256: str
    config_sha256: str
    proven_with: str | None
    prefix: str
    run_directory: str
    relocated: bool
    boot: BootPlan
    identity: provisions.IdentityPlan
    secrets: tuple[provisions.SecretPlan, ...]
    artifacts: tuple[provisions.ArtifactPlan, ...]
    lock: provisions.LockPlan | None
    runtimes: tuple[str, ...]
    exceptions: tuple[provisions.ExceptionPlan, ...]
    security: hardening.SecurityPlan
    deploy: hardening.DeployPlan
    programs: tuple[ProgramPlan, ...]
    empty_required_set: bool
    probes: serving.ProbesPlan
    readiness: serving.ReadinessPlan
    observability: serving.ObservabilityPlan
    logs: str
    stop: StopPlan
    signals: tuple[SignalPlan, ...]

    @property
    def required_programs(self) -> tuple[ProgramPlan, ...]:
        """The programs that must be ready before the seal: the manifest's required ones."""
        return tuple(program for program in self.programs if program.required and program.role == "program")

    @property
    def has_program_users(self) -> bool:
        """Whether PID 1 is root and every program has a user of its own."""
        return any(exception.name == provisions.PROGRAM_USERS for exception in self.exceptions)

    @property
    def descriptors(self) -> int:
        """How many descriptors supervisord must be able to open: three pipes a program, its sockets, and room."""
        return descriptors_for(len(self.programs))

    def program(self, name: str) -> ProgramPlan | None:
        """Return the program called ``name``, or None."""
        return next((program for program in self.programs if program.name == name), None)


def descriptors_for(programs: int) -> int:
    """Return how many descriptors supervisord must be able to open for so many programs, bootseal's own included."""
    return max(_LEAST_DESCRIPTORS, 4 * programs + 128)


@records.dataclass(frozen=True)
class LoadedPlan:
    """A plan that was read from ``directory``, with the digest of its bytes."""

    plan: Plan
    directory: str
    sha256: str

    @property
    def config_path(self) -> str:
        """The path of the rendered supervisord.conf."""
        return f"{self.directory}/{CONFIG_FILE}"

    @property
    def lock_path(self) -> str:
        """The path of the closures' lock, which is there when the plan names one."""
        return f"{self.directory}/{LOCK_FILE}"


def dump(plan: Plan) -> bytes:
    """Return the bytes of ``plan.json``: sorted keys, two spaces, a final newline."""
    return json.dumps(dataclasses.asdict(plan), indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def parse(data: bytes, where: str) -> Plan:
    """Return the plan in ``data``; raises InvalidRecord naming ``where``."""
    value: dict[str, Any] = decode.json_object(data, where)
    decode.expect_schema(value, SCHEMA, where)
    plan = decode.build(Plan, value, where)
    from manifest import references  # it judges what is defined here

    problem = references.problem(plan)
    if problem is not None:
        raise errors.InvalidRecord(where, problem, "build it again from the manifest")
    return plan


def load(directory: str) -> LoadedPlan:
    """Read ``plan.json`` in ``directory``; raises UnsafePath or InvalidRecord with the cause."""
    path = os.path.join(directory, PLAN_FILE)
    try:
        data = files.read_bounded(path, _LIMIT)
    except OSError as error:
        raise errors.InvalidRecord(
            f"plan {path}", errors.describe_os_error(error), "run `bootseal build` and name its directory with --plan"
        ) from error
    return LoadedPlan(parse(data, f"plan {path}"), os.path.abspath(directory), hashlib.sha256(data).hexdigest())


def load_of_boot(boot: boot_record.BootRecord) -> LoadedPlan:
    """Read the plan that Stage A booted with; raises UnsafePath, or InvalidRecord also when it is not that plan any more."""
    loaded = load(boot.plan_directory)
    if loaded.sha256 != boot.plan_sha256:
        raise errors.InvalidRecord(
            f"plan {boot.plan_directory}",
            "it changed after Stage A read it",
            "the image must be immutable: mount it read-only",
        )
    return loaded
