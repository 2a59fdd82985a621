"""Reading ``events.jsonl`` while it is written: whole lines in order, over its rotation, resumable.

Rules
-----
* A cursor is ``INODE-OFFSET``: the file, by what the kernel calls it, and the first byte after what was read. It is opaque to
  who keeps it.
* After the file was rotated, what is left of the old one (``events.jsonl.1``) comes first. A cursor that neither file knows, or
  that lies beyond its file's end, begins anew with the oldest line: ``is_gap`` says that some may be missing.
* A line without its end is not read yet; one that is longer than ``LINE_LIMIT`` or no JSON object is passed over.
* Only lines of the boot that is asked for are given.
"""

import dataclasses
import json
import os
import re
import stat
from typing import Any

LINE_LIMIT = 256 * 1024
_CHUNK = 256 * 1024
_CURSOR = re.compile(r"([0-9]{1,20})-([0-9]{1,20})", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Entry:
    """One event as it stands in the file, and the cursor behind it."""

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

    A file that is not there is empty; raises OSError for one that cannot be read.
    """
    opened = [fd for fd in (_open(f"{path}.1"), _open(path)) if fd is not None]
    try:
        return _read(opened, boot_id, cursor, limit)
    finally:
        for fd in opened:
            os.close(fd)


def _open(path: str) -> int | None:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        return None
    return fd


def _read(opened: list[int], boot_id: str | None, cursor: str, limit: int) -> Reading:
    start, offset, is_gap = _find(opened, cursor)
    entries: list[Entry] = []
    for index, fd in enumerate(opened[start:]):
        inode = os.fstat(fd).st_ino
        position = offset if index == 0 else 0
        buffer = b""
        while len(entries) < limit:
            data = os.pread(fd, _CHUNK, position + len(buffer))
            buffer += data
            *lines, rest = buffer.split(b"\n")
            for line in lines:
                position += len(line) + 1
                cursor = f"{inode}-{position}"
                event = _parse(line)
                if event is not None and boot_id in {None, event.get("boot_id")}:
                    entries.append(Entry(cursor, line, event))
                    if len(entries) >= limit:
                        return Reading(tuple(entries), cursor, is_gap)
            buffer = rest
            if not data:
                break
            if len(buffer) > LINE_LIMIT:  # never one of ours: pass over what there is of it
                position += len(buffer)
                buffer = b""
        cursor = f"{inode}-{position}"
    return Reading(tuple(entries), cursor, is_gap)


def _find(opened: list[int], cursor: str) -> tuple[int, int, bool]:
    """Return which of the ``opened`` files, oldest first, to go on with, where, and whether ``cursor`` was of no use."""
    if not cursor:
        return 0, 0, False
    found = _CURSOR.fullmatch(cursor)
    if found is not None:
        for index, fd in enumerate(opened):
            status = os.fstat(fd)
            if status.st_ino == int(found[1]) and int(found[2]) <= status.st_size:
                return index, int(found[2]), False
    return 0, 0, bool(opened)


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line) if len(line) <= LINE_LIMIT else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
