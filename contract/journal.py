"""Reading ``events.jsonl`` while it is written: whole lines in order, over its rotation, resumable.

Rules
-----
* A cursor says how far each of the two files was read, ``INODE-OFFSET-PRINT``, the older one first, joined by a dot. It is
  opaque to who keeps it. The print is of the file's first bytes and of the last ones before the offset: an inode returns,
  and a file that was cut may grow again.
* After the file was rotated, what is left of the old one (``events.jsonl.1``) comes first; also a line that a slow writer
  wrote there when the new one was begun already. A cursor whose newest file is neither of the two begins anew with the
  oldest line: ``is_gap`` says that some may be missing.
* A line without its end is not read yet; one that is longer than ``LINE_LIMIT``, or no JSON object in UTF-8, is passed over.
* Only lines of the boot that is asked for are given: the run directory may hold an earlier one's.
"""

import contextlib
import dataclasses
import json
import os
import re
import stat
import zlib
from typing import Any

from contract import errors

LINE_LIMIT = 256 * 1024
_CHUNK = 256 * 1024
_PRINT_BYTES = 128
_ATTEMPTS = 8
_PART = re.compile(r"([0-9]{1,20})-([0-9]{1,20})-([0-9a-f]{8})", re.ASCII)
_CURSOR_LENGTH = 120


@dataclasses.dataclass(frozen=True)
class Entry:
    """One event as it stands in the file, without the line's end, and the cursor behind it."""

    cursor: str
    line: bytes
    event: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Reading:
    """What was read; ``cursor`` is where to go on, ``is_gap`` that the cursor given was of no use."""

    entries: tuple[Entry, ...]
    cursor: str
    is_gap: bool


def read(path: str, boot_id: str | None, cursor: str = "", limit: int = 1000) -> Reading:
    """Return at most ``limit`` events of the boot ``boot_id`` (None: of any) after ``cursor`` ("" is the beginning).

    A file that is not there is empty. Raises OSError for one that cannot be read (ELOOP: it is a symlink) and UnsafePath for
    one that is not regular.
    """
    opened = _open_both(path)
    try:
        files = [_File(fd) for fd in opened]
        start, is_gap = _resume(files, cursor)
        entries: list[Entry] = []
        for index in range(start, len(files)):
            _read(files, index, boot_id, limit, entries)
            if len(entries) >= limit:
                return Reading(tuple(entries), entries[-1].cursor, is_gap)
        return Reading(tuple(entries), _cursor(files) or cursor, is_gap)
    finally:
        for fd in opened:
            os.close(fd)


def newest(cursor: str) -> str:
    """Return the part of ``cursor`` that is about the newer file: the same before and after the file is rotated."""
    return cursor.rpartition(".")[2]


class _File:
    """One of the two files, and how far it was read."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        status = os.fstat(fd)
        self.inode, self.size = status.st_ino, status.st_size
        self.offset = 0
        self._head = self._tail = b""

    def resume(self, part: str) -> bool:
        """Go on where the ``part`` of a cursor says; say whether it is about this file."""
        found = _PART.fullmatch(part)
        if found is None or int(found[1]) != self.inode or not 0 < int(found[2]) <= self.size:
            return False
        offset = int(found[2])
        head = os.pread(self.fd, min(_PRINT_BYTES, offset), 0)
        back = min(_PRINT_BYTES, offset)
        tail = os.pread(self.fd, back, offset - back)
        if _print(head, tail) != found[3]:
            return False
        self.offset, self._head, self._tail = offset, head, tail
        return True

    def advance(self, data: bytes) -> None:
        """Take note that ``data`` was read."""
        self.offset += len(data)
        self._tail = (self._tail + data[-_PRINT_BYTES:])[-_PRINT_BYTES:]
        if len(self._head) < _PRINT_BYTES:
            self._head = (self._head + data[:_PRINT_BYTES])[:_PRINT_BYTES]

    @property
    def is_within_a_line(self) -> bool:
        """Say whether the part of a line was passed over."""
        return self.offset > 0 and not self._tail.endswith(b"\n")

    @property
    def part(self) -> str:
        """This file's part of a cursor."""
        return f"{self.inode}-{self.offset}-{_print(self._head, self._tail)}"


def _print(head: bytes, tail: bytes) -> str:
    return f"{zlib.crc32(tail, zlib.crc32(head)):08x}"


def _cursor(files: list[_File]) -> str:
    return ".".join(file.part for file in files if file.offset)


def _open_both(path: str) -> list[int]:
    """Return the files there are, the older one first, as they stood beside each other at one moment."""
    for attempt in range(_ATTEMPTS):
        with contextlib.ExitStack() as opened:
            current = _open(path)
            opened.callback(_close, current)
            older = _open(f"{path}.1")
            opened.callback(_close, older)
            if _stands_at(path, current):  # so it was not rotated in between, and ``older`` is the one before it
                opened.pop_all()
                return [fd for fd in (older, current) if fd is not None]
            if attempt == _ATTEMPTS - 1:
                _close(older)
                opened.pop_all()
                return [] if current is None else [current]
    return []


def _open(path: str) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except FileNotFoundError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise errors.UnsafePath(f"file {path}", "it is not a regular file", "remove it")
    except BaseException:
        os.close(fd)
        raise
    return fd


def _close(fd: int | None) -> None:
    if fd is not None:
        os.close(fd)


def _stands_at(path: str, fd: int | None) -> bool:
    try:
        there = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return fd is None
    return fd is not None and os.path.samestat(there, os.fstat(fd))


def _resume(files: list[_File], cursor: str) -> tuple[int, bool]:
    """Let ``files`` go on at ``cursor``; return the first to read, and whether the cursor was of no use."""
    if not cursor or not files:
        return 0, False
    parts = cursor.split(".") if len(cursor) <= _CURSOR_LENGTH else []
    known = [part for part in parts if any(file.resume(part) for file in files)]
    if known and known[-1] == parts[-1]:
        return next(index for index, file in enumerate(files) if file.offset), False
    for file in files:
        file.offset, file._head, file._tail = 0, b"", b""
    return 0, True


def _read(files: list[_File], index: int, boot_id: str | None, limit: int, entries: list[Entry]) -> None:
    """Read the file at ``index`` to its end, or until there are ``limit`` entries."""
    file = files[index]
    is_passing = file.is_within_a_line
    buffer = b""
    while data := os.pread(file.fd, _CHUNK, file.offset + len(buffer)):
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            file.advance(line + b"\n")
            event = None if is_passing else _parse(line)
            is_passing = False
            if event is not None and boot_id in {None, event.get("boot_id")}:
                entries.append(Entry(_cursor(files), line, event))
                if len(entries) >= limit:
                    return
        if len(buffer) > LINE_LIMIT:
            file.advance(buffer)
            buffer, is_passing = b"", True


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line.decode()) if len(line) <= LINE_LIMIT else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
