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


def in_a_loop(scene):
    """Run ``scene(loop)``, a coroutine function, within a generous time."""

    async def run():
        async with asyncio.timeout(30):
            return await scene()

    return asyncio.run(run())


async def turns(count=10):
    for _ in range(count):
        await asyncio.sleep(0)


def test_a_release_ends_every_wait_and_nobody_is_held_from_then_on():
    async def scene():
        room, released = waiting.WaitingRoom(), []
        for name in range(1000):
            assert room.enter(3600, lambda name=name: released.append(name)) is not None
        room.release()
        assert released == []  # never in the middle of what releases it
        assert room.enter(3600, lambda: None) is None
        await turns()
        assert room.waiters == 0
        return released

    assert in_a_loop(scene) == list(range(1000))


def test_a_release_leaves_turns_to_others():
    async def scene():
        room, released, seen = waiting.WaitingRoom(), [], []
        for _ in range(1000):
            room.enter(3600, lambda: released.append(1))
        room.release()
        while room.waiters:
            await asyncio.sleep(0)
            seen.append(len(released))
        return seen

    assert len(in_a_loop(scene)) > 4


def test_a_room_without_anybody_is_released_without_a_loop():
    room = waiting.WaitingRoom()
    room.release()

    assert room.waiters == 0


def test_a_wait_ends_by_itself():
    async def scene():
        room, released = waiting.WaitingRoom(), asyncio.Event()
        room.enter(0.001, released.set)
        await released.wait()
        return room.waiters

    assert in_a_loop(scene) == 0


def test_the_room_is_bounded_and_the_one_too_many_is_not_held():
    async def scene():
        room = waiting.WaitingRoom(limit=3)
        room.narrow(2)
        room.narrow(5)
        return [room.enter(3600, lambda: None) is not None for _ in range(3)]

    assert in_a_loop(scene) == [True, True, False]


def test_a_client_that_goes_away_gives_its_place_back_and_is_not_told():
    async def scene():
        room, released = waiting.WaitingRoom(limit=1), []
        place = room.enter(0.001, lambda: released.append("gone"))
        place.leave()
        place.leave()
        assert room.enter(3600, lambda: released.append("here")) is not None
        await asyncio.sleep(0.01)
        room.release()
        await turns()
        return released

    assert in_a_loop(scene) == ["here"]


def test_a_place_that_another_one_empties_while_all_are_released_is_passed_over():
    async def scene():
        room, released = waiting.WaitingRoom(), []
        places = []
        for name in range(5):
            places.append(room.enter(3600, lambda name=name: (released.append(name), places[4].leave())))
        room.release()
        await turns()
        return released

    assert in_a_loop(scene) == [0, 1, 2, 3]
