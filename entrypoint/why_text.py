"""What ``bootseal why`` prints: the cause as one sentence, the evidence below it; of one program, everything. Pure."""

import dataclasses
from typing import Any

from contract import snapshot
from entrypoint import causes, presenting, situation, status_text

SCHEMA = "bootseal.why/1"
_LINES = 5
"""So many of its last lines make the first cause's evidence; ``--all`` and NAME show all that are kept."""


def lines(found: situation.Situation, look: status_text.Look) -> list[str]:
    """Return the shortest true answer; with ``look.every`` one for each row that is missing."""
    if found.ready:
        since = presenting.ago(found.since, look.now, absolute=look.absolute)
        words = f"ready {'since' if look.absolute else 'for'} {since}" if since else "ready"
        return [presenting.styled(words, presenting.GREEN, coloured=look.coloured)]
    told = [_plain(_head(found, every=look.every), presenting.BOLD, look)]
    first = causes.first(found)
    if not look.every:
        if first and found.told_by == situation.LEDGER:
            told.append(f"  PID 1 says: {presenting.plain(first.sentence)}")
        return told + _troubles(found) + _last(first.lines[-_LINES:] if first else (), look)
    shown: set[str] = set()
    for cause in causes.every(found):
        missed = cause.chain[0] if cause.chain else cause.id
        sentence = cause.sentence.removeprefix(f"{cause.kind} {missed}: ")
        told.append(presenting.plain(f"{cause.kind} {missed}: {sentence}"))
        told += _last(cause.lines, look) if cause.id not in shown else []
        shown.add(cause.id)
    return told + _troubles(found)


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
    return [_plain(sentence, presenting.BOLD, look), *map(presenting.plain, told), *_last(view.last_output, look)]


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
        "troubles": list(found.troubles),
    }
