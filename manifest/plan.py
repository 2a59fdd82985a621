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

from contract import boot_record, decode, errors, files

SCHEMA = "bootseal.plan/1"
PLAN_FILE = "plan.json"
CONFIG_FILE = "supervisord.conf"
PREFIX = "/opt/bootseal"
"""Where the product is installed in an image; its interpreter is ``PREFIX/bin/python``."""
_LIMIT = 16 * 1024 * 1024
_LEAST_DESCRIPTORS = 1024

PROBES, STAGE_B, SEAL = "probes", "bootstrap", "bootstrap-seal"
"""The names of the programs that bootseal itself brings; a manifest may not use them."""


@dataclasses.dataclass(frozen=True)
class WritableRoot:
    """A directory made at boot: permission bits ``mode``, filled from ``skeleton`` where that is given."""

    path: str
    mode: int
    skeleton: str | None
    mount_required: bool


@dataclasses.dataclass(frozen=True)
class BootPlan:
    """How Stage A and the seal behave; ``environment`` names the variables that programs may inherit."""

    immutable: tuple[str, ...]
    strict: bool
    writable: tuple[WritableRoot, ...]
    seal_timeout_seconds: float
    on_failure: str
    environment: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class IdentityPlan:
    """Where the identity comes from: the variable ``env``, else ``default`` ("hostname", or a label)."""

    env: str | None
    default: str
    store: str | None


@dataclasses.dataclass(frozen=True)
class ArtifactPlan:
    """Something the image must contain."""

    id: str
    path: str
    required: bool


@dataclasses.dataclass(frozen=True)
class ProgramPlan:
    """One supervised program; ``role`` is "program", "probes", "stage-b" or "seal".

    ``ready_for_seconds`` is how long a program without other evidence must live to be ready; a one-shot is
    ready when it exited 0.
    """

    name: str
    role: str
    argv: tuple[str, ...]
    required: bool
    oneshot: bool
    after: tuple[str, ...]
    ready_for_seconds: float
    environment: dict[str, str]
    directory: str | None
    stop_signal: str
    stop_timeout_seconds: float
    start_retries: int
    priority: int
    artifacts: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class ProbesPlan:
    """Where the probe server listens; ``metrics_port`` is None when metrics have no port of their own."""

    host: str
    port: int
    metrics_host: str
    metrics_port: int | None


@dataclasses.dataclass(frozen=True)
class Plan:
    """The whole plan.

    ``relocated`` says that paths were moved by ``bootseal up``. ``config_sha256`` is the digest of the
    rendered supervisord.conf and ``proven_with`` the version of supervisor whose own parser accepted
    exactly these bytes at build time, or None.
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
    identity: IdentityPlan
    artifacts: tuple[ArtifactPlan, ...]
    programs: tuple[ProgramPlan, ...]
    empty_required_set: bool
    probes: ProbesPlan

    @property
    def required_programs(self) -> tuple[ProgramPlan, ...]:
        """The programs that must be ready before the seal: the manifest's required ones."""
        return tuple(program for program in self.programs if program.required and program.role == "program")

    @property
    def descriptors(self) -> int:
        """How many descriptors supervisord must be able to open: three pipes a program, its sockets, and room."""
        return max(_LEAST_DESCRIPTORS, 4 * len(self.programs) + 128)

    def program(self, name: str) -> ProgramPlan | None:
        """Return the program called ``name``, or None."""
        return next((program for program in self.programs if program.name == name), None)


@dataclasses.dataclass(frozen=True)
class LoadedPlan:
    """A plan that was read from ``directory``, with the digest of its bytes."""

    plan: Plan
    directory: str
    sha256: str

    @property
    def config_path(self) -> str:
        """The path of the rendered supervisord.conf."""
        return f"{self.directory}/{CONFIG_FILE}"


def dump(plan: Plan) -> bytes:
    """Return the bytes of ``plan.json``: sorted keys, two spaces, a final newline."""
    return json.dumps(dataclasses.asdict(plan), indent=2, sort_keys=True, ensure_ascii=True).encode() + b"\n"


def parse(data: bytes, where: str) -> Plan:
    """Return the plan in ``data``; raises InvalidRecord naming ``where``."""
    value: dict[str, Any] = decode.json_object(data, where)
    decode.expect_schema(value, SCHEMA, where)
    plan = decode.build(Plan, value, where)
    _check_references(plan, where)
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


def _check_references(plan: Plan, where: str) -> None:
    """Refuse a plan whose parts do not fit: boot must not depend on who wrote it."""
    names = [program.name for program in plan.programs]
    roles = sorted(program.role for program in plan.programs if program.role != "program")
    problem = None
    if len(set(names)) != len(names):
        problem = "a program stands twice"
    elif roles != ["probes", "seal", "stage-b"]:
        problem = "it does not hold probes, stage-b and seal once each"
    elif any(not program.argv or not program.argv[0] for program in plan.programs):
        problem = "a program has no command"
    elif any(name not in names for program in plan.programs for name in program.after):
        problem = "a program waits for one that does not exist"
    elif plan.boot.on_failure not in {"exit", "hold"}:
        problem = "boot.on_failure is neither exit nor hold"
    elif not plan.required_programs and not plan.empty_required_set:
        problem = "no program is required, and the manifest does not say `required: []`"
    if problem:
        raise errors.InvalidRecord(where, problem, "build it again from the manifest")
