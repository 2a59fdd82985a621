"""What ``bootseal why`` prints: the cause as one sentence, the evidence below it; of one program, everything. Pure."""

import dataclasses
from typing import Any

from contract import reasons, snapshot, unix_http
from entrypoint import causes, presenting, situation, status_text

SCHEMA = "bootseal.why/1"
_LINES = 5
"""So many of its last lines make the first cause's evidence; ``--all`` and NAME show all that are kept."""


def lines(found: situation.Situation, look: status_text.Look) -> list[str]:
    """Return the shortest true answer; with ``look.every`` one for each row that is missing."""
    if found.ready:
        since = presenting.ago(found.since, look.now, absolute=look.absolute)
        words = f"ready {'since' if look.absolute else 'for'} {since}" if since else "ready"
        return [presenting.styled(words, presenting.GREEN, coloured=look.coloured), *_stopped(found)]
    told = [_plain(_head(found, every=look.every), presenting.BOLD, look), *_stopped(found)]
    first = causes.first(found)
    if found.told_by == situation.LEDGER and not (look.every and causes.every(found)):
        told += _of_pid1(found, first)
    if not look.every:
        told += [*_troubles(found), *_final(found, found.program(first.id) if first else None)]
        return told + _last(first.lines[-_LINES:] if first else (), look)
    shown: set[str] = set()
    for cause in causes.every(found):
        missed = cause.chain[0] if cause.chain else cause.id
        sentence = cause.sentence.removeprefix(f"{cause.kind} {missed}: ")
        told.append(presenting.plain(f"{cause.kind} {missed}: {sentence}"))
        told += _last(cause.lines, look) if cause.id not in shown else []
        shown.add(cause.id)
    return told + _troubles(found)


def _of_pid1(found: situation.Situation, first: causes.Cause | None) -> list[str]:
    """Return what PID 1 knows where the probe server does not answer: what is missed, or else who alone is to be mended."""
    if first is not None and first.kind != causes.PROBES:
        return [f"  PID 1 says: {presenting.plain(first.sentence)}"]
    if found.phase == snapshot.STOPPING:
        return ["  PID 1 says: the container stops"]
    server = next((view.name for view in found.programs if view.role == "probes"), None)
    may_help = server is not None and unix_http.DENIED not in found.reason
    return ["  PID 1 says: every required program is ready", *([f"  → bootseal restart {server}"] if may_help else [])]


def _stopped(found: situation.Situation) -> list[str]:
    return [f"  {found.stopped}"] if found.stopped else []


def _final(found: situation.Situation, view: snapshot.ProgramView | None) -> list[str]:
    """Return what to do about the program that PID 1 has given up; nothing where that is too late, or was asked for."""
    is_over = not found.is_alive or found.phase == snapshot.STOPPING
    if view is None or not view.final or view.state == snapshot.READY or view.reason == reasons.STOPPED or is_over:
        return []
    return [f"  it will not be tried again: mend it, then bootseal restart {presenting.plain(view.name)}"]


def _troubles(found: situation.Situation) -> list[str]:
    """Return who could not be asked; nothing where that is the answer itself."""
    return [f"  {presenting.plain(one)}" for one in found.troubles if found.ready is None and one != found.reason]


def _head(found: situation.Situation, *, every: bool) -> str:
    first = causes.first(found)
    if found.ready is None or first is None:
        return f"readiness unknown: {found.reason}"
    if found.phase == situation.ENDED:
        return first.sentence
    return f"not ready: {found.reason if every else first.sentence}"


def of_program(found: situation.Situation, view: snapshot.ProgramView, look: status_text.Look) -> list[str]:
    """Return everything that is known of one program."""
    cause = causes.of_program(found, view)
    sentence = cause.sentence if cause else f"{view.name} is ready by {view.ready_by}"
    if found.unconfirmed:
        said = cause.sentence if cause else view.state
        sentence = f"not known: {found.unconfirmed}; it last said: {said}"
    told: list[str] = []
    since = presenting.ago(view.since, look.now, absolute=look.absolute)
    kind = ", ".join(
        ["required" if view.required else "optional", *(["one-shot"] if view.oneshot else []),
         *(["it will not come by itself"] if view.final else [])])  # fmt: skip
    told.append(f"  {view.state} {'since' if look.absolute else 'for'} {since}; {kind}")
    pid = f", pid {view.pid}" if view.pid else ""
    told.append(f"  supervisord says {view.supervisor_state}{pid}")
    if view.ready_at and view.state != snapshot.READY:
        told.append(f"  last ready {_moment(view.ready_at, look)} by {view.ready_by}")
    if view.restarts:
        told.append(f"  started again {_times(view.restarts)}{_reasons(view)}")
    if view.last_exit and not (view.oneshot and view.state == snapshot.READY):
        told.append(f"  its last process {view.last_exit}; {view.exits} ended unasked")
    if view.status:
        told.append(f"  it says: {view.status}")
    if view.first != snapshot.NO_TIMELINE:
        told.append(f"  at first {_timeline(view.first)}")
        if view.latest != view.first:
            told.append(f"  latest   {_timeline(view.latest)}")
    root = found.program(cause.id) if cause else None
    head = [_plain(sentence, presenting.BOLD, look), *_stopped(found), *_final(found, root)]
    return [*head, *map(presenting.plain, told), *_last(view.last_output, look)]


def of_requirement(found: situation.Situation, row: situation.Requirement, look: status_text.Look) -> list[str]:
    """Return everything that is known of one requirement beside programs."""
    name = row.kind if row.kind == row.id else f"{row.kind} {row.id}"
    sentence = f"{name} is met" if row.met else f"{name}: {row.reason or 'it is not met'}"
    since = presenting.ago(row.since, look.now, absolute=look.absolute)
    moment = f" {'since' if look.absolute else 'for'} {since}" if since else ""
    reason = f"; {row.reason}" if row.met and row.reason else ""
    told = f"  {'met' if row.met else 'missing'}{moment}; {'required' if row.required else 'optional'}{reason}"
    return [_plain(sentence, presenting.BOLD, look), presenting.plain(told), *_stopped(found)]


def _moment(text: str, look: status_text.Look) -> str:
    return presenting.ago(text, look.now, absolute=look.absolute) + ("" if look.absolute else " ago")


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _reasons(view: snapshot.ProgramView) -> str:
    counted = [f"{count} {reason}" for reason, count in view.restart_reasons.items() if count]
    return f": {', '.join(counted)}" if counted else ""


def _timeline(one: snapshot.Timeline) -> str:
    """Return when each step was reached, in seconds since the boot began."""
    steps = (("spawned", one.spawned), ("RUNNING", one.running), ("ready", one.ready))
    return ", ".join(f"{word} @{at:.3f}s" for word, at in steps if at is not None)


def _plain(text: str, style: str, look: status_text.Look) -> str:
    return presenting.styled(presenting.plain(text), style, coloured=look.coloured)


def _last(lines: tuple[str, ...], look: status_text.Look) -> list[str]:
    return [
        presenting.styled(f"  | {presenting.plain(line)}", presenting.DIM, coloured=look.coloured) for line in lines
    ]


def to_json(found: situation.Situation, *, every: bool) -> dict[str, Any]:
    """Return the answer as plain JSON values: see docs/cli.md."""
    first = causes.first(found)
    shown = causes.every(found) if every else [first] if first else []
    return {
        "schema": SCHEMA,
        "state": status_text.state(found),
        "since": found.since,
        "reason": found.reason,
        "causes": [dataclasses.asdict(cause) for cause in shown],
        "stopped_pid": found.stopped_pid,
        "troubles": list(found.troubles),
    }


def program_to_json(found: situation.Situation, view: snapshot.ProgramView) -> dict[str, Any]:
    """Return everything that is known of one program as plain JSON values."""
    cause = causes.of_program(found, view)
    return {
        "schema": SCHEMA,
        "state": status_text.state(found),
        "causes": [dataclasses.asdict(cause)] if cause else [],
        "program": dataclasses.asdict(view),
        "unconfirmed_seconds": found.unconfirmed_seconds,
        "stopped_pid": found.stopped_pid,
        "troubles": list(found.troubles),
    }


def requirement_to_json(found: situation.Situation, row: situation.Requirement) -> dict[str, Any]:
    """Return everything that is known of one requirement as plain JSON values."""
    return {
        "schema": SCHEMA,
        "state": status_text.state(found),
        "requirement": dataclasses.asdict(row),
        "troubles": list(found.troubles),
    }
