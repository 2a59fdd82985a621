"""What programs print, cut into whole lines. Pure.

Rules
-----
* A line is whole when its newline came, or when its process ended. It carries the pid of the process that printed it.
* A line longer than ``LINE_LIMIT`` is cut into pieces of that many bytes, less where a letter would be cut in two. What
  comes out depends on what was printed alone, not on the pieces it was read in.
* Our own programs' lines may be longer, ``OWN_LINE_LIMIT``: an event names every program that is missing.
"""

from collections.abc import Iterator
from typing import NamedTuple

LINE_LIMIT = 16 * 1024
OWN_LINE_LIMIT = 256 * 1024


class Block(NamedTuple):
    """Whole lines of one process, each with its newline.

    ``begins_cut``: the first goes on where an earlier block was cut; ``ends_cut``: the last is cut, its rest is yet to come.
    """

    pid: int
    data: bytes
    begins_cut: bool
    ends_cut: bool


class _Rest(NamedTuple):
    """The beginning of a line whose end did not come yet; where ``is_cut``, it goes on itself."""

    pid: int
    data: bytes
    is_cut: bool


class Splitter:
    """Cuts the output of every program and stream into blocks, and keeps what is not whole yet."""

    def __init__(self, own: frozenset[str] = frozenset()) -> None:
        """``own`` names the programs that bootseal itself brings."""
        self._own = own
        self._rests: dict[tuple[str, str], _Rest] = {}

    def take(self, program: str, stream: str, pid: int, data: bytes) -> list[Block]:
        """Return the lines that ``data`` completes, in order."""
        key = (program, stream)
        limit = OWN_LINE_LIMIT if program in self._own else LINE_LIMIT
        blocks: list[Block] = []
        rest = self._rests.pop(key, None)
        if rest is not None and rest.pid != pid:
            blocks.append(_last_words(rest))
            rest = None
        begins_cut = False
        if rest is not None:
            data, begins_cut = rest.data + data, rest.is_cut
        whole, newline, tail = data.rpartition(b"\n")
        if newline:
            for part, ends_cut in _parts(whole + newline, limit):
                blocks.append(Block(pid, part, begins_cut, ends_cut))
                begins_cut = ends_cut
        if len(tail) > limit:
            *pieces, tail = cut(tail, limit)
            for piece in pieces:
                blocks.append(Block(pid, piece + b"\n", begins_cut, True))
                begins_cut = True
        if tail:
            self._rests[key] = _Rest(pid, tail, begins_cut)
        return blocks

    def end(self, program: str, stream: str) -> list[Block]:
        """Return what is left of the last line on ``stream``: the process ended."""
        rest = self._rests.pop((program, stream), None)
        return [] if rest is None else [_last_words(rest)]


def _last_words(rest: _Rest) -> Block:
    return Block(rest.pid, rest.data + b"\n", rest.is_cut, False)


def _parts(data: bytes, limit: int) -> Iterator[tuple[bytes, bool]]:
    """Yield ``data``, whole lines, in parts without a line longer than ``limit``, and whether a part ends in a cut."""
    start = at = 0
    while len(data) - at > limit + 1:
        newline = data.rfind(b"\n", at, at + limit + 1)
        if newline >= 0:
            at = newline + 1
            continue
        if at > start:
            yield data[start:at], False
        end = data.index(b"\n", at)
        *pieces, last = cut(data[at:end], limit)
        for piece in pieces:
            yield piece + b"\n", True
        yield last + b"\n", False
        start = at = end + 1
    if start < len(data):
        yield data[start:], False


def cut(line: bytes, limit: int) -> list[bytes]:
    """Return ``line`` in pieces of at most ``limit`` bytes, cut between letters where it is UTF-8; the last is not empty."""
    pieces: list[bytes] = []
    at = 0
    while len(line) - at > limit:
        end = next((end for end in range(at + limit, at + limit - 4, -1) if line[end] & 0xC0 != 0x80), at + limit)
        pieces.append(line[at:end])
        at = end
    return [*pieces, line[at:]]
