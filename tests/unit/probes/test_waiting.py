"""Held requests: bounded in number and in time, and released at once."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import waiting


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("25s", 25.0), ("500ms", 0.5), ("0.5s", 0.5), ("1m", 60.0), ("0s", 0.0), ("61s", 60.0), ("9m", 60.0)],
)
def test_a_duration_is_read_and_cut_to_a_minute(text, seconds):
    assert waiting.parse(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "25", "s", "-1s", "1h", "1e3s", " 1s", "1s ", "1s\n", "nan", "inf", "٣s", "1" * 40 + "s", "1.s", ".5s"]
)
def test_anything_else_is_refused_by_name(text):
    with pytest.raises(waiting.BadDuration, match="is not a duration"):
        waiting.parse(text)


@given(st.text())
def test_no_text_gives_more_than_a_minute_or_another_error(text):
    try:
        seconds = waiting.parse(text)
    except waiting.BadDuration:
        seconds = 0.0
    assert 0 <= seconds <= waiting.LONGEST_SECONDS


def test_a_release_ends_every_wait_at_once():
    async def scene():
        room = waiting.WaitingRoom()
        waits = [asyncio.create_task(room.wait(3600)) for _ in range(3)]
        await asyncio.sleep(0)
        assert room.waiters == 3
        room.release()
        await asyncio.gather(*waits)
        assert room.waiters == 0
        await room.wait(3600)
        return "nobody is held any more"

    assert asyncio.run(asyncio.wait_for(scene(), 30))


def test_a_wait_ends_by_itself():
    async def scene():
        room = waiting.WaitingRoom()
        await room.wait(0.001)
        return room.waiters

    assert asyncio.run(asyncio.wait_for(scene(), 30)) == 0


def test_the_room_is_bounded_and_the_one_too_many_is_not_held():
    async def scene():
        room = waiting.WaitingRoom(limit=2)
        waits = [asyncio.create_task(room.wait(3600)) for _ in range(2)]
        await asyncio.sleep(0)
        await room.wait(3600)
        held = [not wait.done() for wait in waits]
        room.release()
        await asyncio.gather(*waits)
        return held

    assert asyncio.run(asyncio.wait_for(scene(), 30)) == [True, True]


def test_a_client_that_goes_away_gives_its_place_back():
    async def scene():
        room = waiting.WaitingRoom()
        wait = asyncio.create_task(room.wait(3600))
        await asyncio.sleep(0)
        wait.cancel()
        await asyncio.gather(wait, return_exceptions=True)
        return room.waiters

    assert asyncio.run(asyncio.wait_for(scene(), 30)) == 0
