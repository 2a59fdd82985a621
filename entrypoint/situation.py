"""What is known of a container at one moment, whoever told it. Pure: from the answers and the files that ``asking`` read.

Rules
-----
* Whether it is ready is the probe server's to say. Where that does not answer, readiness is unknown, and unknown is not ready.
* PID 1's ledger tells the programs when the probe server does not; the run directory tells the boot when nobody answers.
* An answer that is not what it must be is no answer.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any

from contract import boot_record, decode, errors, snapshot
from entrypoint import history, presenting

PROBES, LEDGER, RECORD, NOTHING = "probes", "ledger", "record", "nothing"
"""Who told: the probe server; PID 1; the files of the run directory; nobody."""

STARTING, ENDED, ABSENT, HIDDEN = "starting", "ended", "absent", "hidden"
"""Phases beside those of the ledger: Stage A works, or PID 1 does not answer yet; PID 1 is gone; there never was a boot here; we may
not look."""


@dataclasses.dataclass(frozen=True)
class Missing:
    """One requirement that is not met: a row of ``missing`` as the probe server tells it."""

    id: str
    kind: str
    reason: str
    since: str
    required: bool


@dataclasses.dataclass(frozen=True)
class Requirement:
    """One requirement beside programs, met or not."""

    id: str
    kind: str
    met: bool
    reason: str
    since: str
    required: bool


@dataclasses.dataclass(frozen=True)
class Situation:
    """The container now.

    ``ready`` is None where nobody says; ``reason`` is one sentence, "" when ready; ``since`` when it became what it is, RFC 3339,
    None where that is not known. ``phase`` is the ledger's, or one of the four of this module. ``culprit`` and ``last_lines``
    are of the program that a boot failed for, where only the events tell. ``troubles`` say who could not be asked, and why.
    ``endpoints`` and ``log_level`` are what the server says of itself in /v1/meta. ``unconfirmed_seconds`` is the age of a ledger
    that is too old to conclude from, None where it is not: what it says of programs was so once. ``stopped_pid`` is PID 1 where that
    process is stopped, None where it is not.
    """

    told_by: str
    phase: str
    ready: bool | None
    reason: str
    since: str | None = None
    boot_id: str = ""
    generation: int = 0
    started_at: str = ""
    sealed_at: str | None = None
    failure: str = ""
    name: str = ""
    missing: tuple[Missing, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    programs: tuple[snapshot.ProgramView, ...] = ()
    warnings: tuple[str, ...] = ()
    culprit: str = ""
    last_lines: tuple[str, ...] = ()
    endpoints: dict[str, Any] = dataclasses.field(default_factory=dict)
    log_level: str | None = None
    troubles: tuple[str, ...] = ()
    unconfirmed_seconds: float | None = dataclasses.field(default=None, compare=False)
    stopped_pid: int | None = None

    def program(self, name: str) -> snapshot.ProgramView | None:
        """Return the program ``name``, or None."""
        return next((view for view in self.programs if view.name == name), None)

    def requirement(self, name: str) -> Requirement | None:
        """Return the requirement that is called ``name``, an id or KIND:ID, or None."""
        return next((one for one in self.requirements if name in {one.id, f"{one.kind}:{one.id}"}), None)

    @property
    def unconfirmed(self) -> str:
        """That the ledger is too old to conclude from; "" where it is not."""
        age = self.unconfirmed_seconds
        return "" if age is None else f"PID 1 has not confirmed its ledger for {age:.0f} s"

    @property
    def stopped(self) -> str:
        """That PID 1 is stopped, and what to do; "" where it is not."""
        pid = self.stopped_pid
        return "" if pid is None else f"PID 1 is process {pid} and is stopped ({self.to_do})"

    @property
    def to_do(self) -> str:
        """What lets a PID 1 that is stopped go on; "" where it is not."""
        return "" if self.stopped_pid is None else f"kill -CONT {self.stopped_pid}"

    @property
    def is_alive(self) -> bool:
        """Whether there is a boot that lives, as far as can be seen."""
        return self.phase not in {ENDED, ABSENT}


def of_health(health: dict[str, Any], meta: dict[str, Any] | None = None) -> Situation:
    """Return the situation by the answers of /health and, where it was asked, /v1/meta; raises InvalidRecord.

    Keys that this version does not know are passed over: the two may be of different versions while an image is replaced.
    """
    meta = meta or {}
    readiness, boot = _object(health, "readiness"), _object(health, "boot")
    is_ready = readiness.get("ready") is True
    missing = _rows(Missing, readiness.get("missing"))
    level = meta.get("log_level")
    return Situation(
        told_by=PROBES,
        phase=_phase(health),
        ready=is_ready,
        reason="" if is_ready else _text(readiness, "reason") or "the probe server does not say why",
        since=_time(readiness, "since") or (missing[0].since if missing else None),
        boot_id=_text(boot, "id"),
        generation=_number(boot, "generation"),
        started_at=_time(boot, "started_at"),
        sealed_at=_time(boot, "sealed_at") or None,
        failure=_text(boot, "failure"),
        name=_text(meta, "name"),
        missing=missing,
        requirements=_rows(Requirement, health.get("requirements")),
        programs=_programs(health.get("programs")),
        warnings=tuple(one for one in _list(boot, "warnings") if isinstance(one, str)),
        endpoints=_object(meta, "endpoints") if meta else {},
        log_level=level if isinstance(level, str) else None,
        unconfirmed_seconds=_unconfirmed(_object(health, "ledger")),
    )


def of_ledger(ledger: snapshot.Snapshot, boot: boot_record.BootRecord | None, trouble: str) -> Situation:
    """Return the situation by PID 1's ``ledger``; ``trouble`` says how the probe server does not answer."""
    return Situation(
        told_by=LEDGER,
        phase=ledger.phase,
        ready=None,
        reason=trouble,
        boot_id=ledger.boot_id,
        generation=ledger.generation,
        started_at=boot.started_at if boot else "",
        sealed_at=ledger.boot_sealed_at,
        failure=ledger.failure or "",
        programs=ledger.programs,
        warnings=boot.warnings if boot else (),
        troubles=(trouble,),
    )


def hidden(run_directory: str, why: str, remedy: str, troubles: tuple[str, ...], *, is_alive: bool) -> Situation:
    """Return the situation of who can neither ask anybody nor read the events, and ``why``: nothing is said of the boot but that it runs."""
    told = "it runs and cannot be asked" if is_alive else f"{run_directory} cannot be looked into"
    return Situation(NOTHING, HIDDEN, None, f"{told}: {why} ({remedy})", troubles=troubles)


def of_files(story: history.Story, *, is_alive: bool, run_directory: str, troubles: tuple[str, ...]) -> Situation:
    """Return the situation by the events of the last boot; ``is_alive`` says whether its PID 1 runs."""
    if not story.boot_id and not is_alive:
        return Situation(NOTHING, ABSENT, None, f"no boot is known in {run_directory}", troubles=troubles)
    reason, since = _by_story(story, is_alive=is_alive)
    failure = story.failure or story.ending
    is_silent = is_alive and not failure and not story.stop
    is_sealed = is_silent and bool(story.sealed_at)
    is_cut = is_silent and bool(story.boot_id) and not story.started_at
    return Situation(
        told_by=RECORD,
        phase=snapshot.SEALED if is_sealed else STARTING if is_alive else ENDED,
        ready=None if is_sealed or is_cut else False,
        reason=reason,
        since=since or None,
        boot_id=story.boot_id,
        started_at=story.started_at,
        sealed_at=story.sealed_at or None,
        failure=failure,
        culprit=story.program if failure else "",
        last_lines=story.last_output if failure else (),
        troubles=troubles,
    )


def _by_story(story: history.Story, *, is_alive: bool) -> tuple[str, str]:
    """Return the reason, and since when it is so."""
    if story.failure:
        return f"the boot failed: {story.failure}", story.last_at
    if story.ending:
        return f"the container {'is ending' if is_alive else 'ended'}: {story.ending}", story.last_at
    if story.stop:
        return f"it was asked to stop{'' if is_alive else ', and did'}", story.stop
    if not is_alive:
        return "its PID 1 is gone and left no word: was it killed, or does it run out of sight?", story.last_at
    if story.sealed_at:
        return f"it was sealed at {story.sealed_at}; PID 1 does not answer", story.last_at
    if story.boot_id and not story.started_at:
        return "it runs and does not answer; its events do not reach back to its start", story.last_at
    if story.phase:
        return f"it boots: Stage A is in the phase {story.phase}", story.phase_since
    if story.supervised:
        return "it boots: supervisord has started and does not answer", story.last_at
    return "it boots: Stage A works, and supervisord has not started yet", story.last_at or story.started_at


def _rows(record: type[Any], value: object) -> tuple[Any, ...]:
    rows = value if isinstance(value, list) else []
    known = {field.name for field in dataclasses.fields(record)}
    return tuple(
        _built(record, row, known, {"required": True, "met": False, "reason": "", "since": ""}) for row in rows
    )


def _programs(value: object) -> tuple[snapshot.ProgramView, ...]:
    known = {field.name for field in dataclasses.fields(snapshot.ProgramView)}
    rows = value if isinstance(value, list) else []
    return tuple(_built(snapshot.ProgramView, row, known, {"last_output": []}) for row in rows)


def _built(record: type[Any], row: object, known: Iterable[str], absent: dict[str, Any]) -> Any:
    given = row if isinstance(row, dict) else {}
    value = {name: given[name] if given.get(name) is not None or name not in absent else absent[name]
             for name in known if name in given or name in absent}  # fmt: skip
    return decode.build(record, value, "the answer of /health")


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _list(value: dict[str, Any], key: str) -> list[Any]:
    found = value.get(key)
    return found if isinstance(found, list) else []


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _time(value: dict[str, Any], key: str) -> str:
    """Return a time; "" where there is none. Raises InvalidRecord for what is no time: a sealed_at alone says that it is sealed."""
    found = _text(value, key)
    if found and presenting.moment(found) is None:
        raise errors.InvalidRecord("the answer of /health", f"its {key} is no time")
    return found


def _unconfirmed(ledger: dict[str, Any]) -> float | None:
    """Return how old the server's ``ledger`` is where the server concludes nothing from it, else None."""
    age = ledger.get("age_seconds")
    return float(age) if ledger.get("fresh") is False and isinstance(age, int | float) else None


def _phase(health: dict[str, Any]) -> str:
    found = _text(health, "phase")
    if found and found not in {snapshot.BOOTING, snapshot.SEALED, snapshot.HELD, snapshot.STOPPING}:
        raise errors.InvalidRecord("the answer of /health", "its phase is none of the ledger's")
    return found or STARTING


def _number(value: dict[str, Any], key: str) -> int:
    found = value.get(key)
    return found if type(found) is int else 0
