"""The last words of every program, in the memory of PID 1: programs have no log files here.

Rules
-----
* Every program and stream has a ring of its own, so that no program pushes out another's words, nor its access log its
  errors. All rings together hold ``STORE_BYTES``, each at most ``RING_BYTES`` and at least ``RING_LEAST_BYTES``, what the
  interpreter needs for each included; the oldest goes first, and is counted.
* A kept block is one object of bytes: the number of its first line, when it came, its process, how many lines it has, where it was
  cut, then its lines. It is split, decoded and masked when somebody reads it. The number stands first and its first byte is the highest:
  blocks sort by it.
* Lines are numbered over all programs, from 1. A number is never given twice.
* Secrets are hidden in whole lines; where a line was cut, what may be half of one is not shown (``masking.trimmed``), as in last words.
* An answer is bounded, and so is what is read and masked for it, which may be much more: 16 KiB that are one secret are shown as ``***``.
"""

import bisect
import collections
import heapq
import itertools
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from contract import clock, masking, output
from supervisord import lines

STORE_BYTES = 4 * 1024 * 1024
RING_BYTES = 64 * 1024
RING_LEAST_BYTES = 4 * 1024
ANSWER_BYTES = 64 * 1024
_HEAD = struct.Struct(">QdIIB")
_NUMBER = struct.Struct(">Q")
_LENGTH_AT = 20
_BEGINS_CUT, _ENDS_CUT = 1, 2
_OVERHEAD = 76
"""Of each block: the object's own, its head, its place in the ring, and what the allocator rounds up."""
_GROUP = 32
_GROUP_BYTES = 8 * 1024
"""Lines that are masked together, and bytes, unless one line has more: of the work much is for a text, little for a line."""

Hide = Callable[[str, str], str]


class _Printed(NamedTuple):
    """A line as it is in an answer, and how many bytes of it were masked."""

    number: int
    text: str
    read: int


class Kept(NamedTuple):
    """A line that is kept, and whether its beginning and its end are where a line was cut."""

    data: bytes
    begins_cut: bool
    ends_cut: bool


class _Ring:
    """The newest blocks of one program and stream."""

    def __init__(self, program: str, stream: str) -> None:
        self.program = program
        self.stream = stream
        self.blocks: collections.deque[bytes] = collections.deque()
        self.size = 0
        self.last = 0
        self.gone = 0
        self.gone_last = 0

    def add(self, first: int, at: float, block: lines.Block, room: int) -> int:
        """Keep what fits into ``room`` bytes of ``block``, whose first line is number ``first``; return how many lines it has."""
        data = block.data[:-1]
        count = data.count(b"\n") + 1
        start, end = _tail(data, room - _OVERHEAD)
        kept = data[start:end]
        lost = data.count(b"\n", 0, start)
        flags = _BEGINS_CUT * (block.begins_cut and not lost) | _ENDS_CUT * (block.ends_cut or end < len(data))
        self.blocks.append(_HEAD.pack(first + lost, at, block.pid, count - lost, flags) + kept)
        self.size += len(kept) + _OVERHEAD
        self.last = first + count - 1
        if lost:
            self._forget(lost, first + lost - 1)
        while self.size > room and len(self.blocks) > 1:
            oldest = self.blocks.popleft()
            self.size -= len(oldest) - _HEAD.size + _OVERHEAD
            length = _length(oldest)
            self._forget(length, _first(oldest) + length - 1)
        return count

    def _forget(self, count: int, last: int) -> None:
        self.gone += count
        self.gone_last = max(self.gone_last, last)

    def since(self, after: int) -> "Iterator[tuple[bytes, _Ring]]":
        """Yield the blocks that hold a line after number ``after``, oldest first."""
        if self.last <= after:
            return
        start = bisect.bisect_left(self.blocks, _NUMBER.pack(after + 1))
        if start and _first(self.blocks[start - 1]) + _length(self.blocks[start - 1]) > after + 1:
            start -= 1
        for block in itertools.islice(self.blocks, start, None):
            yield block, self

    def newest(self) -> "Iterator[tuple[bytes, _Ring]]":
        """Yield the blocks, newest first."""
        for block in reversed(self.blocks):
            yield block, self

    def tail(self, count: int, after: int) -> list[Kept]:
        """Return the last ``count`` lines of the blocks after number ``after``, oldest first."""
        found: list[Kept] = []
        for block in reversed(self.blocks):
            left = count - len(found)
            if not left or _first(block) <= after:
                break
            pieces = block[_HEAD.size :].rsplit(b"\n", left)
            begins = len(pieces) <= left and bool(block[_HEAD.size - 1] & _BEGINS_CUT)
            ends = bool(block[_HEAD.size - 1] & _ENDS_CUT)
            said = pieces[-left:]
            found += (
                Kept(line, begins and index == 0, ends and index == len(said) - 1)
                for index, line in reversed(tuple(enumerate(said)))
            )
        return found[::-1]


def _tail(data: bytes, room: int) -> tuple[int, int]:
    """Return where the last whole lines of ``data`` that fit into ``room`` begin and end, or the beginning of the last line."""
    if len(data) <= room:
        return 0, len(data)
    newline = data.find(b"\n", len(data) - room - 1)
    if newline >= 0:
        return newline + 1, len(data)
    last = data.rfind(b"\n") + 1
    return last, last + room


def _first(block: bytes) -> int:
    return int.from_bytes(block[: _NUMBER.size], "big")


def _length(block: bytes) -> int:
    return int.from_bytes(block[_LENGTH_AT : _LENGTH_AT + 4], "big")


class Store:
    """Keeps the newest lines of ``programs`` programs of the boot ``boot_id``."""

    def __init__(self, programs: int, boot_id: str = "") -> None:
        self._boot_id = boot_id
        self._room = max(RING_LEAST_BYTES, min(RING_BYTES, STORE_BYTES // (2 * max(1, programs))))
        self._rings: dict[tuple[str, str], _Ring] = {}
        self.last = 0

    def add(self, program: str, stream: str, at: float, block: lines.Block) -> None:
        """Keep ``block``, which came ``at``, in seconds since the epoch."""
        key = (program, stream)
        ring = self._rings.get(key)
        if ring is None:
            ring = self._rings[key] = _Ring(program, stream)
        self.last += ring.add(self.last + 1, at, block, self._room)

    def last_of(self, program: str, stream: str) -> int:
        """Return the number of the newest line of ``program`` on ``stream``, 0 where there is none."""
        ring = self._rings.get((program, stream))
        return 0 if ring is None else ring.last

    def tail(self, program: str, stream: str, count: int, after: int = 0) -> list[Kept]:
        """Return the last ``count`` lines of ``program`` on ``stream`` that came after number ``after``, oldest first."""
        ring = self._rings.get((program, stream))
        return [] if ring is None else ring.tail(count, after)

    @property
    def size(self) -> int:
        """How many bytes are kept, what the interpreter needs for each block included."""
        return sum(ring.size for ring in self._rings.values())

    def answer(self, after: int, limit: int, programs: tuple[str, ...], hide: Hide) -> str:
        """Return at most ``limit`` lines after number ``after`` as JSON text (``contract.output``); of all where none is named.

        ``hide`` hides the secrets in a line of a program.
        """
        limit = max(1, min(limit, output.LINES_LIMIT))
        after = after if after <= self.last else 0
        rings = [ring for ring in self._rings.values() if not programs or ring.program in programs]
        if after < 0:
            found, is_full = _fill(_printed_newest(rings, hide), limit)
            found.reverse()
            after = found[0].number - 1 if is_full else 0
            is_full = False
        else:
            found, is_full = _fill(_printed_since(after, rings, hide), limit)
        reached = found[-1].number if is_full else self.last
        dropped = reached - after - len(found)
        if programs:
            passed = (ring for ring in rings if after < ring.gone_last <= reached)
            dropped = min(dropped, sum(min(ring.gone, ring.gone_last - after) for ring in passed))
        return output.text(self._boot_id, reached, dropped, (one.text for one in found))


def _fill(printed: Iterable[_Printed], limit: int) -> tuple[list[_Printed], bool]:
    """Return what fits into an answer, one at least where there is one, and whether something was left."""
    found: list[_Printed] = []
    size = read = 0
    for one in printed:
        size += len(one.text) + 1
        read += one.read
        if found and (len(found) >= limit or size > ANSWER_BYTES or read > ANSWER_BYTES):
            return found, True
        found.append(one)
    return found, False


def _printed_since(after: int, rings: list[_Ring], hide: Hide) -> Iterator[_Printed]:
    """Yield each line after number ``after``, oldest first."""
    for block, ring in heapq.merge(*(ring.since(after) for ring in rings if ring.last > after)):
        skipped = max(0, after + 1 - _first(block))
        said = block[_HEAD.size :].split(b"\n")
        for start in range(skipped, len(said), _GROUP):
            for group in _groups(said, start):
                yield from _printed(block, ring, said, group, hide)


def _printed_newest(rings: list[_Ring], hide: Hide) -> Iterator[_Printed]:
    """Yield each line, newest first."""
    for block, ring in heapq.merge(*(ring.newest() for ring in rings), reverse=True):
        said = block[_HEAD.size :].split(b"\n")
        for start in reversed(range(0, len(said), _GROUP)):
            for group in reversed(_groups(said, start)):
                yield from reversed(_printed(block, ring, said, group, hide))


def _groups(said: list[bytes], start: int) -> list[range]:
    """Return which of the _GROUP lines of ``said`` from ``start`` on are masked together."""
    groups: list[range] = []
    begin, size = start, 0
    end = min(start + _GROUP, len(said))
    for index in range(start, end):
        size += len(said[index])
        if size > _GROUP_BYTES and index > begin:
            groups.append(range(begin, index))
            begin, size = index, len(said[index])
    return [*groups, range(begin, end)]


def _printed(block: bytes, ring: _Ring, said: list[bytes], group: range, hide: Hide) -> list[_Printed]:
    """Return the lines ``group`` of ``block``, all of which are ``said``."""
    first, at, pid, _, flags = _HEAD.unpack_from(block)
    when = clock.rfc3339(at)
    printed: list[_Printed] = []
    for index, text in zip(group, _hidden(ring.program, said[group.start : group.stop], hide), strict=True):
        begins_cut = index == 0 and bool(flags & _BEGINS_CUT)
        ends_cut = len(said[index]) > lines.LINE_LIMIT or (index == len(said) - 1 and bool(flags & _ENDS_CUT))
        shown = _with_marks(text, begins_cut=begins_cut, ends_cut=ends_cut) if begins_cut or ends_cut else text
        line = output.Line(first + index, when, ring.program, ring.stream, pid, shown, ends_cut)
        printed.append(_Printed(line.seq, output.line_text(line), min(len(said[index]), lines.LINE_LIMIT)))
    return printed


def _with_marks(masked: str, *, begins_cut: bool, ends_cut: bool) -> str:
    """Return what is shown of a line that was cut, with a mark at each such edge, or only the mark."""
    shown = masking.trimmed(masked, begins_cut=begins_cut, ends_cut=ends_cut)
    mark = masking.SHOWN
    return f"{mark * begins_cut}{shown}{mark * ends_cut}" if shown else mark


def _hidden(program: str, group: list[bytes], hide: Hide) -> list[str]:
    """Return the lines of ``group`` as text without secrets."""
    texts = [line[: lines.LINE_LIMIT].decode("utf-8", "replace") for line in group]
    hidden = hide(program, "\n".join(texts)).split("\n")
    # a secret, or what looks like one, that goes over a newline takes the newline with it
    return hidden if len(hidden) == len(texts) else [hide(program, text) for text in texts]
