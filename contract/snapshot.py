"""What PID 1 knows: the readiness ledger at one moment, as it travels between our processes.

``supervisord`` makes it, and the seal, the probe server and the command line read it. It is JSON text, one
object; ``parse`` decodes it strictly.
"""

import dataclasses
import json
from typing import Any

from contract import decode, records

SCHEMA = "bootseal.ledger/3"

PENDING, READY, FAILED, STALE = "pending", "ready", "failed", "stale"
STATES = (PENDING, READY, FAILED, STALE)
"""``pending`` not proven yet · ``ready`` proven · ``failed`` with a cause · ``stale`` the proof is too old."""

BOOTING, SEALED, HELD, STOPPING = "booting", "sealed", "held", "stopping"
"""The life of a generation; ``held`` is a boot that failed under ``on_failure: hold``."""

SYSTEM_ROLES = ("probes", "stage-b", "seal")
"""Roles of the programs that bootseal itself brings; ``program`` is one of the manifest's."""


@records.dataclass(frozen=True)
class Exit:
    """How a process ended: its exit ``code``, or the ``signal`` that killed it."""

    code: int | None
    signal: int | None

    def __str__(self) -> str:
        return f"exited with code {self.code}" if self.signal is None else f"was killed by signal {self.signal}"


ENDED, KILLED, UNSTARTED, UNREADY, OPERATOR, BOUND = "exit", "signal", "start-failed", "unready", "operator", "bound"
RESTART_REASONS = (ENDED, KILLED, UNSTARTED, UNREADY, OPERATOR, BOUND)
"""Why a program was started again: it exited; a signal ended it; it could not be executed, or ended before it was ready; we killed
it because it was not ready in time, silent or failing its live check; somebody asked; what it is bound to came back."""


@dataclasses.dataclass(frozen=True)  # made by the thousand
class Timeline:
    """When one process of a program was forked, was RUNNING to supervisor, and was ready; None where it never was.

    Seconds on the monotonic clock since Stage A began (``boot.json``: ``started_monotonic``).
    """

    spawned: float | None
    running: float | None
    ready: float | None


NO_TIMELINE = Timeline(None, None, None)


@dataclasses.dataclass(frozen=True)  # made by the thousand
class ProgramView:
    """One program in the ledger.

    ``state`` is one of STATES and ``reason`` says why it is not ready ("" when it is); ``since`` is the
    last change of ``state``, ``ready_at`` of the last readiness, both RFC 3339. ``supervisor_state`` is
    supervisor's own word and ``status`` the program's (STATUS= of sd_notify). ``final``: failed for good, waiting does not
    help. ``exits`` counts exits that nobody asked for, ``restarts`` spawns after the first and ``restart_reasons`` why, by
    RESTART_REASONS. ``first`` has the first time in this generation that each step was reached, whichever process reached it;
    ``latest`` is of the present process, or of the last one.
    """

    name: str
    role: str
    required: bool
    oneshot: bool
    state: str
    reason: str
    since: str
    supervisor_state: str
    pid: int | None
    pid_start: int | None
    ready_by: str | None
    ready_at: str | None
    last_exit: Exit | None
    exits: int
    restarts: int
    last_output: tuple[str, ...]
    status: str
    final: bool
    restart_reasons: dict[str, int]
    first: Timeline
    latest: Timeline


@records.dataclass(frozen=True)
class SealView:
    """The seal that PID 1 saw written in this generation: the SHA-256 of the record's bytes, and when."""

    sha256: str
    at: str
    late: bool


@records.dataclass(frozen=True)
class Snapshot:
    """The whole ledger.

    ``revision`` grows with every change. ``boot_sealed_at`` is the boot's first seal and survives a new
    generation; ``seal`` is this generation's. ``failure`` is the cause of a failed boot that is held or
    ending. ``deadline_monotonic`` is the moment on CLOCK_MONOTONIC by which the seal must be written, None once
    it is or once the boot failed.
    """

    schema: str
    boot_id: str
    generation: int
    pid1: int
    pid1_start: int
    revision: int
    phase: str
    boot_sealed_at: str | None
    seal: SealView | None
    failure: str | None
    deadline_monotonic: float | None
    programs: tuple[ProgramView, ...]

    def program(self, name: str) -> ProgramView | None:
        """Return the program called ``name``, or None when the ledger does not know it."""
        return next((view for view in self.programs if view.name == name), None)


@records.dataclass(frozen=True)
class Summary:
    """What a poller asks for: small whatever the number of programs.

    ``waiting`` counts the programs that must be ready and are not; ``troubled`` says that one of them failed, exited
    or is unknown, so that reading the whole snapshot is worth its price.
    """

    boot_id: str
    generation: int
    revision: int
    phase: str
    waiting: int
    troubled: bool


def parse_summary(data: bytes, where: str) -> Summary:
    """Return the summary in ``data``; raises InvalidRecord naming ``where``."""
    return decode.build(Summary, decode.json_object(data, where), where)


def merge(base: Snapshot, change: Snapshot) -> Snapshot:
    """Return ``base`` after ``change``, a snapshot that holds only the programs that changed.

    The caller sees to it that ``change`` follows ``base``: same boot and generation, no revision left out. Programs
    that went away are not in a change; they come with the next whole snapshot.
    """
    changed = {view.name: view for view in change.programs}
    kept = tuple(changed.pop(view.name, view) for view in base.programs)
    return dataclasses.replace(change, programs=(*kept, *changed.values()))


def dump(snapshot: Snapshot) -> str:
    """Return ``snapshot`` as one line of JSON."""
    return json.dumps(to_json(snapshot), separators=(",", ":"))


def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return ``snapshot`` as plain JSON values."""
    value = dict(vars(snapshot))
    value["programs"] = [_program_to_json(view) for view in snapshot.programs]
    value["seal"] = dict(vars(snapshot.seal)) if snapshot.seal else None
    return value


def _program_to_json(view: ProgramView) -> dict[str, Any]:
    value = dict(vars(view))
    value["last_exit"] = dict(vars(view.last_exit)) if view.last_exit else None
    value["last_output"] = list(view.last_output)
    value["first"] = dict(vars(view.first))
    value["latest"] = dict(vars(view.latest))
    return value


def parse(data: bytes, where: str) -> Snapshot:
    """Return the snapshot in ``data``; raises InvalidRecord naming ``where``."""
    return from_json(decode.json_object(data, where), where)


def from_json(value: dict[str, Any], where: str) -> Snapshot:
    """Return the snapshot in the JSON object ``value``; raises InvalidRecord naming ``where``."""
    decode.expect_schema(value, SCHEMA, where)
    return decode.build(Snapshot, value, where)
