"""What ``bootseal status`` prints: a situation as lines for people, and as plain JSON values. Pure."""

import dataclasses
from typing import Any

from contract import snapshot
from entrypoint import causes, presenting, situation

SCHEMA = "bootseal.status/1"
READY, UNREADY, UNKNOWN = "ready", "unready", "unknown"
_STYLES = {
    snapshot.READY: presenting.GREEN,
    snapshot.FAILED: presenting.RED,
    snapshot.PENDING: presenting.YELLOW,
    snapshot.STALE: presenting.YELLOW,
}
_HEADLINES = {
    READY: (presenting.GREEN, "READY"),
    UNREADY: (presenting.RED, "UNREADY"),
    UNKNOWN: (presenting.YELLOW, "READINESS UNKNOWN"),
}
_PROGRAM_HEADER = ("PROGRAM", "STATE", "SINCE", "RESTARTS", "REASON")
_REQUIREMENT_HEADER = ("REQUIREMENT", "STATE", "SINCE", "REASON")
_ID_LENGTH = 12


@dataclasses.dataclass(frozen=True)
class Look:
    """How to show it: ``now`` in seconds since the epoch; ``every`` shows bootseal's own programs too."""

    now: float
    absolute: bool = False
    coloured: bool = False
    every: bool = False


def state(found: situation.Situation) -> str:
    """Return ``ready``, ``unready``, or ``unknown`` where nobody says."""
    return UNKNOWN if found.ready is None else READY if found.ready else UNREADY


def lines(found: situation.Situation, look: Look) -> list[str]:
    """Return what a person wants to know, the answer first."""
    shown = [_headline(found, look)]
    shown += [f"  {line}" for line in _boot(found, look)]
    if programs := _programs(found, look):
        age = found.unconfirmed_seconds
        shown += ["", *([] if age is None else [f"as PID 1 last told, {presenting.span(age)} ago"]), *programs]
    if found.requirements:
        rows = [_requirement(one, look) for one in found.requirements]
        shown += ["", *presenting.table(_REQUIREMENT_HEADER, rows, coloured=look.coloured)]
    if endpoints := _endpoints(found):
        shown += ["", *endpoints]
    return shown


def _headline(found: situation.Situation, look: Look) -> str:
    style, word = (presenting.RED, "ENDED") if found.phase == situation.ENDED else _HEADLINES[state(found)]
    since = presenting.ago(found.since, look.now, absolute=look.absolute)
    moment = (f" since {since}" if look.absolute else f" for {since}") if since else ""
    cause = causes.first(found)
    reason = presenting.plain(found.reason if found.ready is None or cause is None else cause.sentence)
    head = presenting.styled(f"{word}{moment}", f"{presenting.BOLD};{style}", coloured=look.coloured)
    return f"{head}: {reason}" if reason else head


def _boot(found: situation.Situation, look: Look) -> list[str]:
    told = []
    if found.boot_id:
        generation = f", generation {found.generation}" if found.generation else ""
        name = f"{presenting.plain(found.name)}, " if found.name else ""
        when = presenting.ago(found.started_at, look.now, absolute=look.absolute)
        began = f", began {when}{'' if look.absolute else ' ago'}" if when else ""
        told.append(
            f"{name}boot {presenting.plain(found.boot_id[:_ID_LENGTH])}{generation}, {presenting.plain(found.phase)}{began}"
        )
    if found.ready is None and (cause := causes.first(found)) and cause.sentence != found.reason:
        told.append(presenting.plain(cause.sentence))
    told += [found.stopped] if found.stopped else []
    told += [presenting.plain(one) for one in found.troubles if found.told_by != situation.LEDGER]
    return told + [f"warning: {presenting.plain(one)}" for one in found.warnings]


def _programs(found: situation.Situation, look: Look) -> list[str]:
    views = [one for one in found.programs if look.every or one.role == "program" or one.state == snapshot.FAILED]
    if not views:
        return []
    rows = [_program(view, look) for view in views]
    return presenting.table(_PROGRAM_HEADER, rows, coloured=look.coloured)


def _program(view: snapshot.ProgramView, look: Look) -> list[tuple[str, str] | str]:
    counted = [f"{count} {reason}" for reason, count in view.restart_reasons.items() if count]
    restarts = f"{view.restarts} ({', '.join(counted)})" if counted else str(view.restarts)
    evidence = f"{view.ready_by}{f'; says {view.status}' if view.status else ''}" if view.ready_by else view.status
    reason = view.reason or evidence or ""
    marks = "" if view.required else " (optional)"
    style = "" if view.restarts == 0 else presenting.YELLOW
    return [
        (f"{view.name}{marks}", "" if view.required else presenting.DIM),
        (view.state, _STYLES.get(view.state, "")),
        presenting.ago(view.since, look.now, absolute=look.absolute),
        (restarts, style),
        (reason, presenting.DIM if view.state == snapshot.READY else ""),
    ]


def _requirement(one: situation.Requirement, look: Look) -> list[tuple[str, str] | str]:
    word = "met" if one.met else "missing"
    style = presenting.GREEN if one.met else presenting.RED if one.required else presenting.YELLOW
    marks = "" if one.required else " (optional)"
    since = presenting.ago(one.since, look.now, absolute=look.absolute)
    return [
        f"{one.kind} {one.id}{marks}" if one.kind != one.id else f"{one.id}{marks}",
        (word, style),
        since,
        one.reason,
    ]


def _endpoints(found: situation.Situation) -> list[str]:
    """Return where things listen, in whatever words the server has for it."""
    told = []
    for name, value in found.endpoints.items():
        if name == "paths" or value is None:
            continue
        told_value = ", ".join(_pair(*pair) for pair in value.items()) if isinstance(value, dict) else value
        told.append(f"{presenting.plain(name):<10}{presenting.plain(told_value)}")
    if found.log_level is not None:
        told.append(f"{'log level':<10}{presenting.plain(found.log_level)}")
    return told


def _pair(key: str, value: object) -> str:
    words = {True: "yes", False: "no", None: "none"}
    return f"{key} {words[value] if isinstance(value, bool | None) else value}"


def to_json(found: situation.Situation) -> dict[str, Any]:
    """Return ``found`` as plain JSON values: see docs/cli.md."""
    return {
        "schema": SCHEMA,
        "state": state(found),
        **{name: value for name, value in dataclasses.asdict(found).items() if name not in {"last_lines", "culprit"}},
    }
