"""What blocks is done in a thread, shared, and not waited for too long."""

import asyncio
import functools
import threading

import pytest

from contract import errors
from probes import aside, detached

LONG_SECONDS = 30.0


def play(scene):
    """Run ``scene()``, which must end."""

    async def run():
        async with asyncio.timeout(60):
            return await scene()

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(aside, "DEADLINE_SECONDS", LONG_SECONDS)


def test_work_that_hangs_holds_up_no_loop_is_told_and_is_not_begun_again(monkeypatch):
    monkeypatch.setattr(aside, "DEADLINE_SECONDS", 0.05)
    gate, begun = threading.Event(), []

    def hang():
        begun.append(threading.current_thread().daemon)
        gate.wait(LONG_SECONDS)

    async def scene():
        hanging = aside.Aside("file /x", lambda: hang)
        for _ in range(3):
            with pytest.raises(aside.TooLate) as told:
                await hanging.ask()
            assert "file /x" in str(told.value)
        assert begun == [True]
        gate.set()
        while len(begun) < 2:  # noqa: ASYNC110  # who asked meanwhile shares the one after it
            await asyncio.sleep(0.001)

    play(scene)
    assert begun == [True, True]


def test_who_asks_while_it_is_done_shares_the_next_and_is_not_told_what_was_before():
    gate, begun = threading.Event(), []

    def work():
        begun.append(None)
        number = len(begun)
        gate.wait(LONG_SECONDS)
        return number

    async def scene():
        shared = aside.Aside("it", lambda: work)
        first = asyncio.create_task(shared.ask())
        while not begun:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
        rest = [asyncio.create_task(shared.ask()) for _ in range(50)]
        await asyncio.sleep(0)
        gate.set()
        return await first, {await one for one in rest}

    assert play(scene) == (1, {2})


def test_who_goes_away_takes_nothing_from_the_others():
    gate = threading.Event()

    async def scene():
        shared = aside.Aside("it", lambda: functools.partial(gate.wait, LONG_SECONDS))
        gone, stays = asyncio.create_task(shared.ask()), asyncio.create_task(shared.ask())
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.wait([gone])
        gate.set()
        return await stays

    assert play(scene) is True


def test_what_it_raises_reaches_who_asked():
    def work():
        raise errors.InvalidRecord("identity", "it is empty")

    async def scene():
        with pytest.raises(errors.InvalidRecord):
            await aside.Aside("it", lambda: work).ask()

    play(scene)


def test_without_a_thread_to_be_had_it_is_told(monkeypatch):
    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    async def scene():
        with pytest.raises(detached.NoThread, match="can't start new thread"):
            await aside.Aside("it", lambda: threading.get_ident).ask()

    monkeypatch.setattr(threading.Thread, "start", refuse)
    play(scene)
