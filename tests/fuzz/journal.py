"""Fuzz target: any bytes in place of the two files of events are read to their end, in steps as at once, without a gap.

The first byte says how many events a step takes, the second where the older file ends.
"""

import tempfile

from contract import journal

_BOOT = b'{"event": "Told", "boot_id": "b", "n": %d}\n'
SEEDS: list[bytes] = [
    b"\x01\x00",
    b"\x01\x40" + _BOOT % 1 + _BOOT % 2 + _BOOT % 3,
    b"\x02\x10" + _BOOT % 1 + b"\xff\x00\n[1]\n{}\n" + _BOOT % 2,
    b"\x03\x05" + b'{"boot_id": "b", "cut' + _BOOT % 1 + b"\n\n" + _BOOT % 2 + b'{"boot_id": "b"',
    b"\x01\x20" + b"[" * 2000 + b"\n" + _BOOT % 1,
]


def test_one_input(data: bytes) -> None:
    """Read ``data`` as a journal, after a damaged cursor too; raises only where our code is wrong."""
    limit, split = (*data[:2], 1, 1)[:2]
    body = data[2:]
    with tempfile.TemporaryDirectory(prefix="fuzz-journal-") as folder:
        path = f"{folder}/events.jsonl"
        for name, part in ((f"{path}.1", body[:split]), (path, body[split:])):
            with open(name, "wb") as file:
                file.write(part)
        _judge(path, limit or 1, body[:60].decode("utf-8", "replace"))


def _judge(path: str, limit: int, damaged: str) -> None:
    whole = journal.read(path, "b", limit=1_000_000)
    steps: list[journal.Entry] = []
    cursor = ""
    while (reading := journal.read(path, "b", cursor, limit=limit)).entries:
        if reading.is_gap:
            raise AssertionError("a cursor of a file that did not change was of no use")
        steps += reading.entries
        cursor = reading.cursor
    if tuple(steps) != whole.entries:
        raise AssertionError("in steps something else was read than at once")
    if reading.cursor != whole.cursor:
        raise AssertionError("in steps the end is another")
    if whole.cursor and damaged and not journal.read(path, "b", damaged).is_gap:
        raise AssertionError("a cursor that is none of ours was taken")
