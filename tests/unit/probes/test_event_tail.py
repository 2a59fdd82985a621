"""One reader for all listeners, and none once the last has left."""

import asyncio
import contextlib
import json
import os
import types

import pytest

from contract import journal
from probes import event_stream, event_tail

BOOT = "ab" * 16


def line(number, **fields) -> bytes:
    return json.dumps({"event": "Told", "boot_id": BOOT, "n": number, **fields}).encode() + b"\n"


def append(path, *lines) -> None:
    with open(path, "ab") as file:
        file.writelines(lines)


def numbers(frames) -> list[int]:
    return [json.loads(frame.line)["n"] for frame in frames]


@pytest.fixture
def path(tmp_path) -> str:
    return str(tmp_path / "events.jsonl")


@pytest.fixture
def reads(monkeypatch):
    """What was read of the journal: a list that grows."""
    found, read = [], journal.read

    def reading(*arguments):
        found.append(arguments)
        return read(*arguments)

    monkeypatch.setattr(journal, "read", reading)
    return found


async def some(batches, count) -> list[event_tail.Frame]:
    """Return the next ``count`` frames."""
    found: list[event_tail.Frame] = []
    async with asyncio.timeout(30):
        while len(found) < count:
            found += await anext(batches)
    return found


async def pause() -> None:
    await asyncio.sleep(4 * event_tail.LOOK_SECONDS)


def test_the_journal_is_read_once_for_all_listeners_and_not_at_all_without_one(path, reads):
    async def listen():
        append(path, line(1))
        tail = event_tail.Tail(path, BOOT)
        await pause()
        assert reads == []
        with contextlib.ExitStack() as places:
            for _ in range(20):
                places.enter_context(tail.place())
            several = [tail.batches("", follow=True, beat_seconds=9) for _ in range(20)]
            for batches in several:
                assert numbers(await some(batches, 1)) == [1]
            append(path, line(2))
            before = len(reads)
            for batches in several:
                assert numbers(await some(batches, 1)) == [2]
            assert len(reads) - before <= 3  # not twenty
            for batches in several:
                await batches.aclose()
        assert tail.listeners == 0
        await pause()
        before = len(reads)
        await pause()
        assert len(reads) == before
        with tail.place():  # and once more
            assert numbers(await some(tail.batches("", follow=True, beat_seconds=9), 2)) == [1, 2]

    asyncio.run(listen())


def test_a_silence_is_told_as_an_empty_batch_and_only_a_silence(path):
    async def listen():
        append(path, line(1))
        tail = event_tail.Tail(path, BOOT)
        with tail.place():
            batches = tail.batches("", follow=True, beat_seconds=2 * event_tail.LOOK_SECONDS)
            assert numbers(await some(batches, 1)) == [1]
            assert await anext(batches) == []
            assert await anext(batches) == []
            append(path, line(2))
            assert numbers(await some(batches, 1)) == [2]

    asyncio.run(listen())


def test_a_listener_that_stays_behind_what_is_kept_is_too_slow_and_the_others_are_not(path, monkeypatch):
    monkeypatch.setattr(event_tail, "FRAMES_LIMIT", 20_000)

    async def listen():
        append(path, line(0))
        tail = event_tail.Tail(path, BOOT)
        with tail.place(), tail.place():
            slow = tail.batches("", follow=True, beat_seconds=9)
            good = tail.batches("", follow=True, beat_seconds=9)
            assert numbers(await some(slow, 1)) == numbers(await some(good, 1)) == [0]
            for number in range(1, 60):
                append(path, line(number, filling="x" * 1000))
                assert numbers(await some(good, 1)) == [number]
            assert sum(len(frame.line) for frame in tail._frames) <= 20_000
            with pytest.raises(event_tail.TooSlow):
                await anext(slow)

    asyncio.run(listen())


def test_when_the_tail_is_closed_every_listener_gets_what_was_there_and_ends_and_so_does_one_that_comes_later(path):
    async def listen():
        append(path, line(1))
        tail = event_tail.Tail(path, BOOT)
        with tail.place(), tail.place():
            several = [tail.batches("", follow=True, beat_seconds=60) for _ in range(3)]
            for batches in several:
                assert numbers(await some(batches, 1)) == [1]
            append(path, line(2))  # no look was at it yet
            tail.close()
            for batches in several:
                assert [numbers(batch) async for batch in batches] == [[2]]
            assert [numbers(batch) async for batch in tail.batches("", follow=True, beat_seconds=60)] == [[1, 2]]

    asyncio.run(asyncio.wait_for(listen(), 30))


def test_a_cursor_is_known_in_memory_as_it_is_in_the_file(path):
    async def listen():
        append(path, line(1))
        os.rename(path, f"{path}.1")
        append(path, line(2), line(3))
        before = journal.read(path, BOOT).entries
        os.rename(path, f"{path}.1")  # the cursors now name one file that is gone, and one under its other name
        append(path, line(4))
        tail = event_tail.Tail(path, BOOT)
        with tail.place():
            for entry, rest in zip(before[1:], ([3, 4], [4]), strict=True):
                found = await some(tail.batches(entry.cursor, follow=False, beat_seconds=9), len(rest))
                assert numbers(found) == rest

    asyncio.run(listen())


def test_a_failure_of_reading_that_lasts_is_told_once(path):
    async def listen():
        os.mkdir(path)
        tail = event_tail.Tail(path, BOOT)
        with tail.place():
            batches = tail.batches("", follow=True, beat_seconds=4 * event_tail.LOOK_SECONDS)
            [told] = await some(batches, 1)
            assert told.event == event_tail.GAP
            assert "is not a regular file" in json.loads(told.line)["reason"]
            assert await anext(tail.batches(".", follow=False, beat_seconds=9)) == [event_tail.LOST]
            assert await anext(batches) == []

    asyncio.run(listen())


def test_a_client_that_takes_nothing_is_cut_off(path, monkeypatch):
    monkeypatch.setattr(event_stream, "PATIENCE_SECONDS", 0.2)
    cut = []
    request = types.SimpleNamespace(
        protocol=types.SimpleNamespace(site=types.SimpleNamespace(count=lambda *_: None)),
        method="GET",
        transport=types.SimpleNamespace(abort=lambda: cut.append(True)),
    )

    class Stuck:
        status = 200

        def __init__(self, headers):
            self.written = 0

        def force_close(self):
            pass

        async def prepare(self, request):
            pass

        async def write(self, data):
            self.written += len(data)
            if self.written > 100:
                await asyncio.sleep(60)

    monkeypatch.setattr(event_stream.web, "StreamResponse", Stuck)

    async def listen():
        append(path, line(1, filling="x" * 1000))
        tail = event_tail.Tail(path, BOOT)
        with tail.place():
            await event_stream._send(request, tail, "", is_ndjson=False, follow=True)

    asyncio.run(asyncio.wait_for(listen(), 30))
    assert cut == [True]
