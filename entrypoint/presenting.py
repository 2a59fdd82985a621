"""How the command line shows what it knows: text for people, JSON and YAML for programs.

Rules
-----
* Text from outside is shown on one line, and nothing in it acts on a terminal.
* Colour only on a terminal that is not dumb, and never where NO_COLOR is set and not empty (no-color.org); FORCE_COLOR, set
  and not empty, asks for it elsewhere.
* Times are relative in text, and as they are recorded with ``--abs-time``, in JSON and in YAML.
* A library is loaded only by what needs it: a command that prints text loads none.
"""

import datetime as dt
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, Any

from contract import errors

FORMATS = ("text", "json", "yaml")
GREEN, RED, YELLOW, DIM, BOLD = "32", "31", "33", "2", "1"
"""Styles, as ECMA-48 numbers them (SGR); several are joined by ``;``."""

_DAY, _HOUR, _MINUTE = 86400, 3600, 60
_NEAREST = 80


def dump(value: Any, form: str) -> str:
    """Return ``value``, plain JSON values, as ``json`` or ``yaml`` text, its keys in their order, with the end of its last line."""
    if form == "yaml":
        import yaml

        text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, default_flow_style=False)
        return text
    return json.dumps(value, indent=2) + "\n"


def plain(text: object) -> str:
    """Return ``text`` on one line without what a terminal would act on; a tab becomes a space."""
    return errors.printable(str(text).replace("\t", " "))


def is_coloured(stream: IO[Any] | None, environment: Mapping[str, str] | None = None) -> bool:
    """Say whether colour is right for what goes to ``stream``."""
    known = os.environ if environment is None else environment
    if known.get("NO_COLOR"):
        return False
    if known.get("FORCE_COLOR"):
        return True
    return is_terminal(stream) and known.get("TERM") != "dumb"


def is_terminal(stream: IO[Any] | None) -> bool:
    """Say whether ``stream`` is a terminal; a closed one is none."""
    try:
        return stream is not None and stream.isatty()
    except (OSError, ValueError):
        return False


def styled(text: str, style: str, *, coloured: bool) -> str:
    """Return ``text`` in ``style``, or as it is where there is no colour."""
    return f"\x1b[{style}m{text}\x1b[0m" if coloured and style and text else text


def table(header: Sequence[str], rows: Iterable[Sequence[tuple[str, str] | str]], *, coloured: bool) -> list[str]:
    """Return the lines of a table: columns as wide as they must be, two spaces between them, the last one open.

    A cell is its text, or text and style; "" is shown as "-".
    """
    cells = [[cell if isinstance(cell, tuple) else (cell, "") for cell in row] for row in rows]
    shown = [[(plain(text) or "-", style) for text, style in row] for row in cells]
    widths = [max(len(column[0]) for column in columns) for columns in zip(_titles(header), *shown, strict=True)]
    return [_line(row, widths, coloured=coloured) for row in [_titles(header), *shown]]


def _titles(header: Sequence[str]) -> list[tuple[str, str]]:
    return [(title, DIM) for title in header]


def _line(row: Sequence[tuple[str, str]], widths: Sequence[int], *, coloured: bool) -> str:
    *first, (last, last_style) = row
    padded = [
        styled(text, style, coloured=coloured) + " " * (width - len(text))
        for (text, style), width in zip(first, widths, strict=False)
    ]
    return "  ".join([*padded, styled(last, last_style, coloured=coloured)]).rstrip()


def moment(text: str) -> float | None:
    """Return the RFC 3339 ``text`` in seconds since the epoch, or None when it is none."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo else None


def ago(text: str | None, now: float, *, absolute: bool = False) -> str:
    """Return the RFC 3339 ``text`` as the time that passed until ``now`` (seconds since the epoch): ``3m12s``.

    As it is, made ``plain``, where ``absolute`` is asked for and where it is no time; "" for None.
    """
    at = moment(text) if text else None
    return plain(text or "") if absolute or at is None else span(now - at)


def span(seconds: float) -> str:
    """Return a length of time in its two largest units: ``0.4s``, ``12s``, ``3m12s``, ``5h03m``, ``2d04h``; never below 0."""
    whole = int(max(0.0, seconds))
    if seconds < 1:
        return f"{max(0.0, seconds):.1f}s"
    if whole < _MINUTE:
        return f"{whole}s"
    if whole < _HOUR:
        return f"{whole // _MINUTE}m{whole % _MINUTE:02d}s"
    if whole < _DAY:
        return f"{whole // _HOUR}h{whole % _HOUR // _MINUTE:02d}m"
    return f"{whole // _DAY}d{whole % _DAY // _HOUR:02d}h"


def nearest(word: str, names: Iterable[str]) -> str:
    """Return what to do about the unknown ``word``: the name that is spelled most like it, or all there are."""
    from difflib import get_close_matches

    known = list(names)
    close = get_close_matches(word[:_NEAREST], known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"there are {', '.join(known[:20])}{', …' if len(known) > 20 else ''}" if known else "there is none"
