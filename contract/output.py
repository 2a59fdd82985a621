"""The last words of the programs, as PID 1 keeps them and gives them away: ``bootseal.output``.

PID 1 numbers every line that it forwards, over all programs, and keeps the newest of each program and stream. A reader
asks for what came after the number it knows, and asks again with ``next``.

Rules
-----
* An answer is one JSON object of some 64 KiB at most: while lines come, ask again at once.
* ``dropped`` counts the lines between the number that was asked for and ``next`` that are not kept any more. Where programs
  are named it is an estimate, and comes with the page that passes the gap.
* Numbers are of one boot, which ``boot_id`` names. A reader to whom another boot answers than the last time asks again, with 0:
  its number means nothing there. A number that PID 1 has not reached yet is answered as 0.
* What is not UTF-8 in a line became U+FFFD, and secrets are hidden (``contract.masking``): the container's own output is exact.
"""

import dataclasses
import json
from collections.abc import Iterable

from contract import decode, records

SCHEMA = "bootseal.output/1"
NEWEST = -1
"""In place of a number: the newest lines, as many as were asked for or fit."""
LINES_LIMIT = 10_000
"""The most lines of one answer."""


@dataclasses.dataclass(frozen=True)  # made by the thousand
class Line:
    """A line of ``program`` on its ``stream``, "stdout" or "stderr", from its process ``pid``, without its end.

    ``seq`` is its number, ``time`` (RFC 3339) when PID 1 had it whole. ``partial``: it was cut; the rest is the next line of that
    stream, or was too long to keep.
    """

    seq: int
    time: str
    program: str
    stream: str
    pid: int
    message: str
    partial: bool


@records.dataclass(frozen=True)
class Output:
    """Lines in order, of the boot ``boot_id``, the number to ask with ``next`` time, and how many lines in between are gone."""

    schema: str
    boot_id: str
    next: int
    dropped: int
    lines: tuple[Line, ...]


def line_text(line: Line) -> str:
    """Return ``line`` as JSON, in ASCII."""
    return json.dumps(vars(line), separators=(",", ":"))


def text(boot_id: str, number: int, dropped: int, lines: Iterable[str]) -> str:
    """Return the answer that holds ``lines``, each made by ``line_text``; the next question is for ``number``."""
    head = f'"schema":"{SCHEMA}","boot_id":{json.dumps(boot_id)},"next":{number},"dropped":{dropped}'
    return f'{{{head},"lines":[{",".join(lines)}]}}'


def parse(data: bytes, where: str) -> Output:
    """Return the answer in ``data``; raises InvalidRecord naming ``where``."""
    value = decode.json_object(data, where)
    decode.expect_schema(value, SCHEMA, where)
    return decode.build(Output, value, where)
