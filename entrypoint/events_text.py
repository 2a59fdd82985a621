"""One event as one short line for people: time, level, event, what. Pure."""

from typing import Any

from entrypoint import presenting

_ENVELOPE = frozenset(
    {
        "time",
        "level",
        "event",
        "stage",
        "boot_id",
        "source",
        "seq",
        "traceparent",
        "last_output",
        "dropped",
        "pid_start",
    }
)
_SUBJECTS = ("program", "phase", "artifact", "capability", "path")
_SAYING = ("cause", "reason", "why")
_STYLES = {"error": presenting.RED, "warn": presenting.YELLOW, "debug": presenting.DIM}
_NAME_WIDTH = 24
_LONGEST = 400


def line(event: dict[str, Any], now: float, *, absolute: bool, coloured: bool) -> str:
    """Return the line of ``event``; ``now`` in seconds since the epoch."""
    level = presenting.plain(event.get("level", ""))
    time = str(event.get("time", ""))
    shown = presenting.plain(presenting.ago(time, now, absolute=absolute))
    name = f"{presenting.plain(event.get('event', '?')):<{_NAME_WIDTH}}"
    style = _STYLES.get(level, "")
    said = presenting.plain(what(event))
    said = said if len(said) <= _LONGEST else f"{said[: _LONGEST - 1]}…"
    text = f"{presenting.styled(f'{level:<5}', style, coloured=coloured)}  {presenting.styled(name, style, coloured=coloured)}  {said}"
    return f"{shown:>{24 if absolute else 7}}  {text}".rstrip()


def what(event: dict[str, Any]) -> str:
    """Return what the event is about, what it says, and the rest of its fields."""
    fields = {name: value for name, value in event.items() if name not in _ENVELOPE and value not in (None, "", [], {})}
    subject = " ".join(str(fields.pop(name)) for name in _SUBJECTS if name in fields)
    saying = "; ".join(str(fields.pop(name)) for name in _SAYING if name in fields)
    rest = ", ".join(f"{name.replace('_', ' ')} {_shown(value)}" for name, value in fields.items())
    head = f"{subject}: {saying}" if subject and saying else subject or saying
    return f"{head} ({rest})" if head and rest else head or rest


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
