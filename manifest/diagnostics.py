"""Diagnostics: what is wrong with a manifest, where, and what to do; shown as a good compiler shows it.

Rules
-----
* One line that tools can parse, ``file:line:col: error[E020]: what: why (what to do)``, then the line of source with the
  place underlined.
* They stand in the order of the source. Beyond ``SHOWN`` they are counted, not shown.
* What comes from the manifest is shown bounded and without control characters: a manifest cannot write to a terminal.
* A secret that was found in the manifest (``SECRET_CODES``) is shown as asterisks, wherever its line of source is shown.
"""

import dataclasses
import difflib
import json
import re
import unicodedata
from collections.abc import Iterable
from typing import Any

from manifest import tree

SHOWN = 100
SECRET_CODES = frozenset({"W010"})
"""The codes whose place is a secret."""
_WIDEST = 120
_NEAREST = 200
_LINE_BREAK = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
"""The line breaks of YAML 1.1 (yaml.org/spec/1.1, 4.1.4), by which libyaml counts lines."""


@dataclasses.dataclass(frozen=True)
class Diagnostic:
    """One finding: a ``code`` of ``manifest.rules``, ``E…`` or ``W…``; ``message`` is ``what: why`` and ``remedy`` what to do.

    ``place`` is None when the file could not be read at all.
    """

    code: str
    message: str
    remedy: str
    place: tree.Place | None

    @property
    def is_error(self) -> bool:
        """Say whether the finding stops the build."""
        return self.code.startswith("E")

    @property
    def severity(self) -> str:
        """``error`` or ``warning``."""
        return "error" if self.is_error else "warning"

    def __str__(self) -> str:
        text = f"{self.severity}[{self.code}]: {self.message}"
        return f"{text} ({self.remedy})" if self.remedy else text


class Findings:
    """Collects the diagnostics of one manifest; the only mutable thing between the bytes and the plan."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    def add(self, code: str, place: tree.Place | None, message: str, remedy: str = "") -> None:
        """Add a diagnostic."""
        self._found.append(Diagnostic(code, message, remedy, place))

    def nearest(self, word: str, names: Iterable[str]) -> str | None:
        """Return the one of ``names`` that ``word`` was probably meant to be, while there are few diagnostics.

        The search is quadratic; past what is shown nobody would read its answer.
        """
        if len(self._found) >= SHOWN:
            return None
        return nearest(word, names)

    @property
    def has_errors(self) -> bool:
        """Say whether any finding stops the build."""
        return any(diagnostic.is_error for diagnostic in self._found)

    def ordered(self) -> tuple[Diagnostic, ...]:
        """Return the diagnostics in the order of the source, each once."""
        return tuple(sorted(dict.fromkeys(self._found), key=_position))


def _position(diagnostic: Diagnostic) -> tuple[str, int, int, str]:
    place = diagnostic.place
    path = place.file.path if place and place.file else ""
    return (path, place.line, place.column, diagnostic.code) if place else ("", 0, 0, diagnostic.code)


def nearest(word: str, names: Iterable[str]) -> str | None:
    """Return the one of ``names`` that is spelled most like ``word``, or None when none is close."""
    lowered = {name.lower().replace("_", "-"): name for name in names}
    found = difflib.get_close_matches(word[:_NEAREST].lower().replace("_", "-"), lowered, n=1)
    return lowered[found[0]] if found else None


def quote(text: str, limit: int = 60) -> str:
    """Return ``text`` from a manifest between backquotes, bounded and printable, for a message."""
    shown = "".join(_printable(character) for character in text[: limit + 1])
    return f"`{shown}`" if len(text) <= limit else f"`{shown[:limit]}…`"


def _printable(character: str) -> str:
    if character.isprintable() and not "\ud800" <= character <= "\udfff":
        return character
    return character.encode("unicode_escape").decode("ascii")


def lines_of(text: str) -> list[str]:
    """Return the lines of ``text`` as YAML counts them."""
    return _LINE_BREAK.split(text)


def render(diagnostics: Iterable[Diagnostic], path: str, text: str) -> str:
    """Return ``diagnostics`` of the manifest ``path`` with the source ``text`` for a person to read."""
    every = list(diagnostics)
    lines = _shown_lines(every, text)
    blocks = [_block(diagnostic, path, lines) for diagnostic in every[:SHOWN]]
    if len(every) > SHOWN:
        blocks.append(f"{path}: and {len(every) - SHOWN} more")
    if every:
        blocks.append(f"{path}: {count(every)}")
    return "".join(f"{block}\n" for block in blocks)


def count(diagnostics: Iterable[Diagnostic]) -> str:
    """Return how many errors and warnings there are, in words."""
    every = list(diagnostics)
    errors = sum(diagnostic.is_error for diagnostic in every)
    parts = [_plural(errors, "error"), _plural(len(every) - errors, "warning")]
    return ", ".join(part for part in parts if part)


def _plural(number: int, noun: str) -> str:
    return "" if number == 0 else f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _block(diagnostic: Diagnostic, path: str, lines: list[str]) -> str:
    place = diagnostic.place
    if place is None:
        return f"{path}: {diagnostic}"
    if place.file is not None:
        path, lines = place.file.path, list(place.file.lines)
    head = "".join(map(_one_cell, f"{path}:{place.line}:{place.column}: {diagnostic}"))
    line = lines[place.line - 1] if place.line <= len(lines) else ""
    if not line.strip():
        return head
    return f"{head}\n{_excerpt(line, place)}"


def _excerpt(line: str, place: tree.Place) -> str:
    """Return the line of source and the underline beneath it; a long line is cut around the place."""
    column = min(place.column - 1, len(line))
    end = min(column + max(place.width, 1), max(len(line), column + 1))
    first = max(0, column - _WIDEST // 2) if len(line) > _WIDEST else 0
    last = first + _WIDEST
    before, marked, after = line[first:column], line[column : min(end, last)], line[min(end, last) : last]
    gutter = f"{place.line:>5} | "
    shown = "".join(_one_cell(character) for character in before + marked + after).rstrip()
    underline = " " * _cells(before) + "^" * max(1, _cells(marked))
    return f"{gutter}{shown}\n{' ' * 5} | {underline}"


def _one_cell(character: str) -> str:
    return character if character.isprintable() else " " if character == "\t" else "\ufffd"


def _cells(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes (Unicode Standard Annex 11, combining marks take none)."""
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )


def to_json(diagnostics: Iterable[Diagnostic], path: str, text: str) -> list[dict[str, Any]]:
    """Return ``diagnostics`` as plain JSON values for tools; the line of source comes with each."""
    every = list(diagnostics)
    lines = _shown_lines(every, text)
    return [_json_of(diagnostic, path, lines) for diagnostic in every]


def _shown_lines(diagnostics: Iterable[Diagnostic], text: str) -> list[str]:
    """Return the lines of ``text`` as they may be shown."""
    lines = lines_of(text)
    for place in (one.place for one in diagnostics if one.code in SECRET_CODES):
        if place is not None and place.file is None and place.line <= len(lines):
            line, first = lines[place.line - 1], place.column - 1
            lines[place.line - 1] = line[:first] + "*" * place.width + line[first + place.width :]
    return lines


def _json_of(diagnostic: Diagnostic, path: str, lines: list[str]) -> dict[str, Any]:
    place = diagnostic.place
    if place is not None and place.file is not None:
        path, lines = place.file.path, list(place.file.lines)
    return {
        "file": path,
        "line": place.line if place else None,
        "column": place.column if place else None,
        "width": max(place.width, 1) if place else None,
        "severity": diagnostic.severity,
        "code": diagnostic.code,
        "message": diagnostic.message,
        "remedy": diagnostic.remedy,
        "source": lines[place.line - 1][:1000] if place and place.line <= len(lines) else None,
    }


def dump(value: Any) -> str:
    """Return ``value`` as JSON text that is the same for the same value."""
    return json.dumps(value, indent=2, ensure_ascii=True)
