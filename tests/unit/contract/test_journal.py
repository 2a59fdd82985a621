import json
import mmap
import os
import struct
import tempfile
import time

import hypothesis
import pytest
from hypothesis import strategies

from contract import errors, events, journal

BOOT = "ab" * 16
OTHER = "cd" * 16


def line(number, boot_id=BOOT, **fields) -> bytes:
    return (
        json.dumps(
            {"time": "2026-01-01T00:00:00.000Z", "event": "Told", "boot_id": boot_id, "n": number, **fields}
        ).encode()
        + b"\n"
    )


def append(path, *lines) -> None:
    with open(path, "ab") as file:
        file.writelines(lines)


def rotate(path) -> None:
    os.rename(path, f"{path}.1")


def numbers(reading) -> list[int]:
    return [entry.event["n"] for entry in reading.entries]


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "events.jsonl")


# --- what is there ---------------------------------------------------------------------------------------------------


def test_a_journal_that_is_not_there_is_empty_and_no_gap(path):
    assert journal.read(path, BOOT) == journal.Reading((), "", False)


def test_whole_lines_come_in_order_each_with_the_cursor_behind_it(path):
    append(path, line(1), line(2), line(3))
    reading = journal.read(path, BOOT)
    assert numbers(reading) == [1, 2, 3]
    assert [entry.line + b"\n" for entry in reading.entries] == [line(1), line(2), line(3)]
    assert numbers(journal.read(path, BOOT, reading.entries[0].cursor)) == [2, 3]
    assert reading.cursor == reading.entries[-1].cursor
    assert journal.read(path, BOOT, reading.cursor) == journal.Reading((), reading.cursor, False)


def test_a_limit_is_kept_and_the_rest_comes_next(path):
    append(path, *map(line, range(10)))
    first = journal.read(path, BOOT, limit=4)
    assert numbers(first) == [0, 1, 2, 3]
    assert numbers(journal.read(path, BOOT, first.cursor, limit=100)) == [4, 5, 6, 7, 8, 9]


def test_a_line_without_its_end_is_read_once_it_has_one(path):
    append(path, line(1), line(2)[:20])
    reading = journal.read(path, BOOT)
    assert numbers(reading) == [1]
    append(path, line(2)[20:])
    assert numbers(journal.read(path, BOOT, reading.cursor)) == [2]


def test_lines_of_an_earlier_boot_are_not_told_unless_any_boot_is_asked_for(path):
    append(path, line(1, OTHER), line(2), line(3, OTHER), line(4), line(5, None))
    assert numbers(journal.read(path, BOOT)) == [2, 4]
    assert numbers(journal.read(path, None)) == [1, 2, 3, 4, 5]
    assert journal.read(path, BOOT).cursor == journal.read(path, None).cursor


@pytest.mark.parametrize(
    "garbage",
    [
        b"\n", b"\x00\xff\xfe\n", b'{"n": 9\n', b"[1]\n", b'"text"\n', b"null\n", b"[" * 100_000 + b"\n", b'{"n": ' + b"9" * 5000 + b"}\n",
        line(9).decode().encode("utf-16-le"), b"\xff" * 300_000 + b"\n",
    ],
    ids=["empty", "bytes", "cut", "list", "string", "null", "deep", "digits", "utf-16", "long"],
)  # fmt: skip
def test_what_is_no_event_is_passed_over_and_hides_nothing_behind_it(path, garbage):
    append(path, line(1), garbage.rstrip(b"\n") + b"\n", line(2))
    reading = journal.read(path, BOOT)
    assert numbers(reading) == [1, 2]
    assert journal.read(path, BOOT, reading.entries[0].cursor).entries == reading.entries[1:]


def test_a_line_longer_than_the_limit_is_passed_over_also_when_it_comes_in_pieces(path):
    long = line(9, filling="x" * 3 * journal.LINE_LIMIT)
    append(path, line(1), long[: 2 * journal.LINE_LIMIT - len(line(1))])
    reading = journal.read(path, BOOT)
    assert numbers(reading) == [1]
    # what follows would be an event if its beginning were forgotten
    append(path, line(8), line(2))
    assert numbers(journal.read(path, BOOT, reading.cursor)) == [2]


def test_a_line_of_just_the_limit_is_an_event(path):
    filling = journal.LINE_LIMIT - len(line(1, filling="")) + 1
    append(path, line(1, filling="x" * filling), line(2, filling="x" * (filling + 1)))
    assert numbers(journal.read(path, BOOT)) == [1]


# --- rotation --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("read_before", range(7))
@pytest.mark.parametrize("written_before", range(7))
def test_a_rotation_at_any_moment_loses_and_repeats_nothing(path, written_before, read_before):
    append(path, *map(line, range(written_before)))
    reading = journal.read(path, BOOT, limit=max(read_before, 1)) if read_before else journal.Reading((), "", False)
    had = numbers(reading)
    if written_before:
        rotate(path)
        between = journal.read(path, BOOT, reading.cursor, limit=1)  # before a new file is begun
        had += numbers(between)
        reading = between
    append(path, *map(line, range(written_before, 10)))
    while True:
        reading = journal.read(path, BOOT, reading.cursor, limit=2)
        assert not reading.is_gap
        if not reading.entries:
            break
        had += numbers(reading)
    assert had == list(range(10))


def test_a_line_that_a_slow_writer_puts_into_the_rotated_file_is_not_lost(path):
    append(path, line(1))
    with open(path, "ab") as slow:
        rotate(path)
        append(path, line(3))
        reading = journal.read(path, BOOT)
        assert numbers(reading) == [1, 3]
        slow.write(line(2))
    reading = journal.read(path, BOOT, reading.cursor)
    assert numbers(reading) == [2]
    assert numbers(journal.read(path, BOOT, reading.cursor)) == []


def test_the_part_about_the_newer_file_outlives_a_rotation(path):
    append(path, line(1))
    rotate(path)
    append(path, line(2))
    before = journal.read(path, BOOT).cursor
    rotate(path)
    after = journal.read(path, BOOT).cursor
    assert before != after
    assert journal.newest(before) == journal.newest(after)


def test_a_cursor_of_a_file_that_was_rotated_away_is_a_gap_and_begins_with_the_oldest_line(path):
    append(path, line(1), line(2))
    cursor = journal.read(path, BOOT).cursor
    rotate(path)
    append(path, line(3))
    rotate(path)
    append(path, line(4))
    reading = journal.read(path, BOOT, cursor)
    assert reading.is_gap
    assert numbers(reading) == [3, 4]
    assert not journal.read(path, BOOT, reading.cursor).is_gap


def test_a_rotation_while_the_files_are_opened_hides_no_file(path, monkeypatch):
    append(path, line(1))
    rotate(path)
    append(path, line(2))
    opened = []

    def rotating_open(name, flags):
        fd = os.open(name, flags)
        opened.append(name)
        if len(opened) == 1:  # the newer file is open; now it becomes the older one
            rotate(path)
            append(path, line(3))
        return fd

    monkeypatch.setattr(journal, "os", _with(os, open=rotating_open))
    assert numbers(journal.read(path, BOOT)) == [2, 3]


def test_a_file_rotated_again_and_again_while_it_is_opened_is_read_alone(path, monkeypatch):
    append(path, line(0))
    count = 0

    def rotating_open(name, flags):
        nonlocal count
        fd = os.open(name, flags)
        if name == path:
            count += 1
            rotate(path)
            append(path, line(count))
        return fd

    before = len(os.listdir("/proc/self/fd"))
    monkeypatch.setattr(journal, "os", _with(os, open=rotating_open))
    assert numbers(journal.read(path, BOOT)) == [count - 1]
    assert len(os.listdir("/proc/self/fd")) == before


def _with(module, **changes):
    class Changed:
        def __getattr__(self, name):
            return changes.get(name) or getattr(module, name)

    return Changed()


# --- a cursor that is of no use --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "0-0-00000000",
        "1-1-00000000",
        "-",
        "1-1",
        "9" * 500,
        "1-1-00000000." * 50,
        "１-1-00000000",
        "..",
        "1-1-0000000g",
        "\0",
    ],
)
def test_a_cursor_that_is_none_of_ours_is_a_gap(path, cursor):
    append(path, line(1))
    reading = journal.read(path, BOOT, cursor)
    assert reading.is_gap
    assert numbers(reading) == [1]


def test_a_file_that_was_cut_is_a_gap_also_when_it_grew_again(path):
    append(path, line(1), line(2), line(3))
    cursor = journal.read(path, BOOT).cursor
    os.truncate(path, len(line(1)))
    assert journal.read(path, BOOT, cursor).is_gap
    append(path, line(4), line(5), line(6))
    reading = journal.read(path, BOOT, cursor)
    assert reading.is_gap
    assert numbers(reading) == [1, 4, 5, 6]


def test_an_inode_that_returns_is_not_taken_for_the_file_that_had_it(path):
    append(path, line(1), line(2))
    cursor = journal.read(path, BOOT).cursor
    # the very inode with another file's content: what a file system does that gives the number out again
    with open(path, "r+b") as file:
        file.truncate(0)
        file.write(line(6) + line(7) + line(8))
    reading = journal.read(path, BOOT, cursor)
    assert reading.is_gap
    assert numbers(reading) == [6, 7, 8]


def test_a_file_that_is_gone_for_a_moment_is_no_gap_until_another_one_is_there(path):
    append(path, line(1))
    cursor = journal.read(path, BOOT).cursor
    os.unlink(path)
    reading = journal.read(path, BOOT, cursor)
    assert (reading.cursor, reading.is_gap) == (cursor, False)
    append(path, line(2))
    assert journal.read(path, BOOT, cursor).is_gap


# --- what stands there instead ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["", ".1"])
@pytest.mark.parametrize("kind", ["fifo", "directory", "symlink"])
def test_what_is_no_file_is_refused_and_no_descriptor_stays_open(path, tmp_path, kind, suffix):
    if suffix:
        append(path, line(1))
    if kind == "fifo":
        os.mkfifo(path + suffix)
    elif kind == "directory":
        os.mkdir(path + suffix)
    else:
        append(tmp_path / "elsewhere", line(9))
        os.symlink(tmp_path / "elsewhere", path + suffix)
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises((OSError, errors.UnsafePath)) as found:
        journal.read(path, BOOT)
    assert path + suffix in str(found.value)
    assert len(os.listdir("/proc/self/fd")) == before


# --- all of it -------------------------------------------------------------------------------------------------------


@hypothesis.given(
    steps=strategies.lists(
        strategies.one_of(
            strategies.tuples(strategies.just("append"), strategies.integers(1, 5)),
            strategies.tuples(strategies.just("torn"), strategies.integers(1, 40)),
            strategies.tuples(strategies.just("rotate"), strategies.just(0)),
            strategies.tuples(strategies.just("read"), strategies.integers(1, 7)),
        ),
        max_size=40,
    )
)
def test_whatever_happens_every_line_comes_once_or_a_gap_is_told(steps):
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/events.jsonl"
        written, had, cursor, torn, was_gap = [], [], "", False, False
        for step, much in [*steps, *[("read", 1000)] * 2]:
            if step == "append":
                new = list(range(len(written), len(written) + much))
                append(path, *([b"\n"] if torn else []), *map(line, new))
                written += new
                torn = False
            elif step == "torn" and not torn:
                append(path, line(99)[:much])
                torn = True
            elif step == "rotate" and os.path.exists(path):
                rotate(path)
                torn = False
            elif step == "read":
                reading = journal.read(path, BOOT, cursor, limit=much)
                assert len(reading.entries) <= much
                if reading.is_gap:
                    was_gap, had = True, []
                had += numbers(reading)
                cursor = reading.cursor
        assert had == written[len(written) - len(had) :]
        if sum(step == "rotate" for step, _ in steps) < 2:
            assert not was_gap
            assert had == written


def test_writers_at_once_lose_nothing_to_a_reader_that_follows_over_many_rotations(path, monkeypatch):
    writers, each, ahead = 4, 1500, 30
    monkeypatch.setattr(
        events, "FILE_LIMIT", 64 * 1024
    )  # some 270 lines: more than all writers may be ahead of the slowest
    read = mmap.mmap(-1, 8 * writers)
    pids = []
    for writer in range(writers):
        pid = os.fork()
        if pid == 0:
            code = 99
            try:
                for number in range(each):
                    while number - min(struct.unpack_from(f"{writers}q", read)) > ahead:
                        os.sched_yield()
                    assert events.append(path, line(number, writer=writer, filling="x" * 100))
                code = 0
            finally:
                os._exit(code)
        pids.append(pid)
    had = [set() for _ in range(writers)]
    total, cursor, inodes = 0, "", set()
    end = time.monotonic() + 60
    try:
        while sum(map(len, had)) < writers * each:
            assert time.monotonic() < end, [len(numbers) for numbers in had]
            reading = journal.read(path, BOOT, cursor, limit=50)
            assert not reading.is_gap
            cursor = reading.cursor
            inodes.add(journal.newest(cursor).partition("-")[0])
            for entry in reading.entries:
                total += 1
                had[entry.event["writer"]].add(entry.event["n"])
            for writer in range(writers):
                struct.pack_into("q", read, 8 * writer, len(had[writer]))
    finally:
        for writer in range(writers):
            struct.pack_into("q", read, 8 * writer, each)  # whatever happened: none waits for us any more
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    assert codes == [0] * writers
    assert [len(numbers) for numbers in had] == [each] * writers
    assert total == writers * each  # none twice
    assert len(inodes) > 1


@pytest.mark.parametrize("call", ["stat", "fstat"])
def test_a_file_system_that_fails_while_the_files_are_opened_leaves_no_descriptor(path, monkeypatch, call):
    append(path, line(1))
    rotate(path)
    append(path, line(2))
    before = len(os.listdir("/proc/self/fd"))

    def fail(*_, **__):
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as broken:
        broken.setattr(os, call, fail)
        with pytest.raises(OSError, match="Input/output error"):
            journal.read(path, BOOT)

    assert len(os.listdir("/proc/self/fd")) == before
