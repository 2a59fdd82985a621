r"""How a program's line reaches the container's output: as it is, behind ``NAME | ``, or in an object of JSON. Pure.

Rules
-----
* plain: byte for byte. A line that was cut is put together again where its pieces come at once.
* prefixed: ``NAME | `` before every line, names filled up to the longest, to ``WIDTH`` at most, so that columns align. The same
  for stdout and stderr: they are two descriptors. What is not printable but TAB is escaped (``errors.printable``), and so is what
  is not UTF-8: no ``\r`` and no escape sequence can paint another program's prefix. The ``\r`` of a ``\r\n`` is left out.
* json: ``{"time", "program", "stream", "pid", "message"}``, in ASCII, one object a line whatever the line holds. What is not
  UTF-8 is ``\xNN`` in the message. Each piece of a line that was cut has ``"partial": true``, but the last: join the messages.
* Our own programs' lines that are JSON objects (events, the probe server's log) stay as they are in every format.
* supervisord's own log lines are the program ``supervisord``'s; in JSON they have their ``level`` besides.
"""

import json
from collections.abc import Iterable
from json import encoder
from typing import NamedTuple

from contract import clock, errors
from manifest import serving

WIDTH = 20
SUPERVISORD = "supervisord"
_BEGINS = b'{"'
_LEVELS = {"CRIT": "critical", "ERRO": "error", "WARN": "warn", "INFO": "info", "DEBG": "debug"}
"""supervisor's words for its levels (supervisor 4.3.0, loggers.LOG_LEVELS_BY_NUM), and those of events."""


class Origin(NamedTuple):
    """Who printed, on which stream, from which process, and when, in seconds since the epoch."""

    program: str
    stream: str
    pid: int
    at: float


class LineFormat:
    """One of ``serving.LOG_FORMATS``, for the programs of a plan."""

    def __init__(self, form: str, programs: Iterable[str] = (), own: frozenset[str] = frozenset()) -> None:
        """``own`` names the programs that bootseal itself brings."""
        self._form = form
        self._own = own
        names = (SUPERVISORD, *programs)
        width = min(WIDTH, max(map(len, names)))
        self._prefixes = {name: _prefix(name, width) for name in names}
        self._width = width
        self._begun: tuple[Origin | None, str] = (None, "")

    @property
    def is_plain(self) -> bool:
        """Whether lines are printed as they are."""
        return self._form == serving.PLAIN

    def render(self, origin: Origin, ends_cut: bool, data: bytes, is_last: bool) -> bytes:
        """Return what is printed for ``data``, whole lines of ``origin``; never raises.

        ``is_last``: no more of its block follows, whose last line is cut where ``ends_cut``.
        """
        is_partial = ends_cut and is_last
        if origin.program not in self._own or _BEGINS not in data:
            return self._lines(origin, data, is_partial)
        lines = [line + b"\n" for line in data[:-1].split(b"\n")]
        printed = [
            line if _is_object(line) else self._lines(origin, line, is_partial and index == len(lines) - 1)
            for index, line in enumerate(lines)
        ]
        return b"".join(printed)

    def record(self, level: str, asctime: str, message: str, pid: int) -> bytes:
        """Return what is printed for a record of supervisord's own log; ``asctime`` is supervisord's, in local time."""
        if self._form == serving.JSON:
            facts: dict[str, str | int] = {
                "time": clock.rfc3339(),
                "program": SUPERVISORD,
                "stream": "stdout",
                "pid": pid,
            }
            value = {**facts, "level": _LEVELS.get(level, level), "message": message}
            return json.dumps(value).encode("ascii") + b"\n"
        text = f"{asctime} {level} {message}\n".encode("utf-8", "backslashreplace")
        return self._prefixed(SUPERVISORD, text) if self._form == serving.PREFIXED else text

    def _lines(self, origin: Origin, data: bytes, is_partial: bool) -> bytes:
        match self._form:
            case serving.JSON:
                return self._objects(origin, data, is_partial)
            case serving.PREFIXED:
                return self._prefixed(origin.program, data)
            case _:
                return data

    def _objects(self, origin: Origin, data: bytes, is_partial: bool) -> bytes:
        """Return an object for each line of ``data``."""
        encode = encoder.encode_basestring_ascii
        if origin is not self._begun[0]:  # a block comes in many slices
            program, stream = encode(origin.program), encode(origin.stream)
            said = (
                f'"time": "{clock.rfc3339(origin.at)}", "program": {program}, "stream": {stream}, "pid": {origin.pid}'
            )
            self._begun = origin, f'{{{said}, "message": '
        head, end = self._begun[1], "}\n"
        text = data[:-1].decode("utf-8", "backslashreplace")
        printed = [f"{head}{encode(line)}" for line in text.split("\n")]
        last = ', "partial": true}\n' if is_partial else end
        return (end.join(printed) + last).encode("ascii")

    def _prefixed(self, program: str, data: bytes) -> bytes:
        prefix = self._prefixes.get(program) or _prefix(program, self._width)
        text = data[:-1].decode("utf-8", "surrogateescape")
        if not text.replace("\n", "").replace("\t", "").isprintable():
            text = "\n".join(_harmless(line) for line in text.split("\n"))
        return (prefix + text.replace("\n", f"\n{prefix}") + "\n").encode()


def _prefix(program: str, width: int) -> str:
    return f"{program:<{width}} | "


def _harmless(line: str) -> str:
    return "\t".join(errors.printable(part) for part in line.removesuffix("\r").split("\t"))


def _is_object(line: bytes) -> bool:
    try:
        return line.startswith(_BEGINS) and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
