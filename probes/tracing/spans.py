"""The spans of a boot, from boot.json and the ledger. Pure.

Rules
-----
* One span for the boot, one for each phase of Stage A and one for each program, from its first start to its first readiness;
  their ids are those of ``contract.trace``, so every event's ``traceparent`` names one of them.
* A later generation of the boot has spans of its own below the boot's: no two spans ever have one id.
* Moments are seconds since Stage A began, on the monotonic clock. Of a program nothing is told that happened after the boot's
  end, and every span lies within the boot's.
* A program's span ends with its readiness: supervisord's RUNNING is told where it came first.
* Nothing that a program said, and no command line, is in a span: states, names, exit codes and signals alone.
"""

import dataclasses
import datetime as dt

from contract import boot_record, snapshot, trace

_NAMED_LIMIT = 20
_SEAL = "seal"
BOOT = "boot"
GENERATION = "generation"


@dataclasses.dataclass(frozen=True)
class Event:
    """Something that happened at one moment of a span."""

    name: str
    at_seconds: float


@dataclasses.dataclass(frozen=True)
class Span:
    """One span; ``error`` says why it failed, ``ok`` that it reached its end; of what was still going on neither holds."""

    id: str
    parent: str | None
    name: str
    begin_seconds: float
    end_seconds: float
    ok: bool
    error: str
    attributes: dict[str, str | bool | int]
    events: tuple[Event, ...] = ()


def of(boot: boot_record.BootRecord, ledger: snapshot.Snapshot, now_seconds: float) -> tuple[Span, ...]:
    """Return the spans of the generation of ``ledger``, which is sealed, held or stopping at ``now_seconds``."""
    is_first = ledger.generation <= 1
    root = trace.span_id(boot.boot_id)
    above = root if is_first else trace.span_id(boot.boot_id, GENERATION, str(ledger.generation))
    end = _end(boot, ledger, now_seconds)
    programs = [span for view in ledger.programs if (span := _program(boot, ledger, view, above, end))]
    begin = 0.0 if is_first else min((span.begin_seconds for span in programs), default=end)
    whole = Span(
        above, None if is_first else root, BOOT if is_first else f"{GENERATION} {ledger.generation}", begin, end,
        ok=ledger.seal is not None, error="" if ledger.seal else _why(ledger),
        attributes={"bootseal.generation": ledger.generation, "bootseal.late": bool(ledger.seal and ledger.seal.late)},
    )  # fmt: skip
    phases = [_phase(boot, phase, above, end) for phase in boot.phases] if is_first else []
    return (whole, *phases, *programs)


def _end(boot: boot_record.BootRecord, ledger: snapshot.Snapshot, now_seconds: float) -> float:
    """Return when the generation was sealed or failed: the wall clock's word, within what the monotonic clock knows."""
    if ledger.seal is None:
        return now_seconds
    needed = [
        view.first.ready
        for view in ledger.programs
        if view.first.ready is not None and (view.required or view.role in snapshot.SYSTEM_ROLES)
    ]
    return max([_offset(boot, ledger.seal.at, now_seconds), *(ready for ready in needed if ready <= now_seconds)])


def _offset(boot: boot_record.BootRecord, wall: str, now_seconds: float) -> float:
    """Return the RFC 3339 time ``wall`` in seconds since Stage A began, at least 0 and at most ``now_seconds``."""
    passed = dt.datetime.fromisoformat(wall) - dt.datetime.fromisoformat(boot.started_at)
    return min(max(0.0, passed.total_seconds()), now_seconds)


def _phase(boot: boot_record.BootRecord, phase: boot_record.PhaseTiming, above: str, end: float) -> Span:
    begin = min(phase.started_seconds, end)
    return Span(
        trace.span_id(boot.boot_id, trace.PHASE, phase.name), above, f"{trace.PHASE} {phase.name}", begin,
        min(begin + phase.duration_ms / 1000, end), ok=True, error="", attributes={"bootseal.phase": phase.name},
    )  # fmt: skip


def _program(
    boot: boot_record.BootRecord, ledger: snapshot.Snapshot, view: snapshot.ProgramView, above: str, end: float
) -> Span | None:
    """Return the span of ``view``, or None when it was not even tried by ``end``."""
    if view.role == _SEAL and ledger.seal and view.first.ready is None:  # PID 1 tells its end a moment after the seal
        view = dataclasses.replace(view, first=dataclasses.replace(view.first, ready=end))
    is_failed = view.state == snapshot.FAILED
    begin = view.first.spawned
    if begin is None and is_failed:
        begin = _offset(boot, view.since, end)
    if begin is None or begin > end:
        return None
    steps = (("spawned", view.first.spawned), ("RUNNING", view.first.running), ("ready", view.first.ready))
    seen = tuple(Event(name, at) for name, at in steps if at is not None and begin <= at <= end)
    ready = view.first.ready if view.first.ready is not None and begin <= view.first.ready <= end else None
    is_failed = is_failed and ready is None
    kind = trace.PROGRAM if ledger.generation <= 1 else f"{GENERATION} {ledger.generation}"
    return Span(
        trace.span_id(boot.boot_id, kind, view.name), above, f"{trace.PROGRAM} {view.name}", begin,
        ready if ready is not None else max(begin, _offset(boot, view.since, end)) if is_failed else end,
        ok=ready is not None, error=_how(view) if is_failed else "",
        attributes={
            "bootseal.program": view.name, "bootseal.role": view.role, "bootseal.required": view.required,
            "bootseal.oneshot": view.oneshot, "bootseal.state": view.state, "bootseal.restarts": view.restarts,
        }, events=seen,
    )  # fmt: skip


def _how(view: snapshot.ProgramView) -> str:
    """Say how ``view`` failed, without a word of its own."""
    return f"{view.state}: {view.last_exit}" if view.last_exit else f"{view.state}: {view.supervisor_state}"


def _why(ledger: snapshot.Snapshot) -> str:
    """Say why the generation was not sealed, without a word of any program."""
    missing = [view for view in ledger.programs if view.required and view.state != snapshot.READY]
    if ledger.failure is None:
        return f"it was not sealed before it was {ledger.phase}"
    named = [f"{view.name} {_how(view)}" for view in missing if view.role == "program"]
    more = f" and {len(named) - _NAMED_LIMIT} more" if len(named) > _NAMED_LIMIT else ""
    return f"the boot failed: {', '.join(named[:_NAMED_LIMIT])}{more}" if named else "the boot failed"
