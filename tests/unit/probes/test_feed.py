"""PID 1's messages: decoded strictly, and the connection made again for ever."""

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors, snapshot
from probes import feed
from probes.checks import outbox, verdict


def line(value):
    return json.dumps(value).encode() + b"\n"


def test_each_message_is_decoded(make):
    ledger = make.ledger()
    whole = snapshot.to_json(ledger)

    assert feed.decode(line({"type": "snapshot", "snapshot": whole})) == feed.Whole(ledger)
    assert feed.decode(line({"type": "change", "after": 3, "snapshot": whole})) == feed.Change(3, ledger)
    assert feed.decode(line({"type": "beat", "revision": 7})) == feed.Beat(7)
    assert feed.decode(line({"type": "weather"})) == feed.Unknown()


@pytest.mark.parametrize(
    "value",
    [
        None, 1, [], {}, {"type": 1}, {"type": "snapshot"}, {"type": "snapshot", "snapshot": {}},
        {"type": "snapshot", "snapshot": 1}, {"type": "change", "snapshot": {}}, {"type": "beat"},
        {"type": "beat", "revision": "1"}, {"type": "beat", "revision": None},
    ],
)  # fmt: skip
def test_an_incomplete_message_is_refused(value):
    with pytest.raises(errors.InvalidRecord):
        feed.decode(line(value))


def test_a_ledger_with_a_field_too_many_is_refused(make):
    whole = snapshot.to_json(make.ledger()) | {"surprise": 1}

    with pytest.raises(errors.InvalidRecord, match="surprise"):
        feed.decode(line({"type": "snapshot", "snapshot": whole}))


@given(st.binary(max_size=200) | st.builds(lambda depth: b"[" * depth, st.integers(0, 100_000)))
def test_no_bytes_give_another_error(data):
    try:
        outcome = feed.decode(data)
    except errors.InvalidRecord as error:
        outcome = error.why
    assert outcome


def collect(boot, until, script, enough):
    """Follow the feed while ``script`` runs in a thread; return the messages once there are ``enough``."""

    async def scene():
        messages = []
        task = asyncio.create_task(feed.follow(boot.run.ledger_socket, messages.append))
        await asyncio.to_thread(script, messages)
        await asyncio.to_thread(until, lambda: len(messages) >= enough, f"{enough} messages")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return messages

    return asyncio.run(asyncio.wait_for(scene(), 30))


def test_a_connection_that_ends_is_made_again(boot, pid1, make):
    pid1.is_beating = False
    pid1.ledger = make.ledger(revision=1)

    def script(messages):
        make.until(lambda: messages, "the first ledger")
        pid1.ledger = make.ledger(revision=2)
        pid1.hang_up()

    messages = collect(boot, make.until, script, 2)

    assert [message.ledger.revision for message in messages] == [1, 2]
    assert len(pid1.hellos) == 2


@pytest.mark.parametrize("garbage", [b"{\n", b"\xff\xfe\n", b'{"type": "snapshot"}\n'])
def test_a_line_that_does_not_decode_ends_the_connection_and_a_new_one_is_made(boot, pid1, make, garbage):
    pid1.is_beating = False
    pid1.ledger = make.ledger(revision=1)

    def script(messages):
        make.until(lambda: messages, "the first ledger")
        pid1.ledger = make.ledger(revision=2)
        pid1.send_bytes(garbage)

    assert [message.ledger.revision for message in collect(boot, make.until, script, 2)] == [1, 2]


def test_a_line_longer_than_the_limit_ends_the_connection(boot, pid1, make, monkeypatch):
    monkeypatch.setattr(feed, "LINE_LIMIT", 8192)
    pid1.is_beating = False
    pid1.ledger = make.ledger(revision=1)

    def script(messages):
        make.until(lambda: messages, "the first ledger")
        pid1.ledger = make.ledger(revision=2)
        pid1.send_bytes(b"x" * 20_000)

    assert [message.ledger.revision for message in collect(boot, make.until, script, 2)] == [1, 2]


def test_a_ledger_larger_than_asyncios_own_limit_arrives_whole(boot, pid1, make):
    pid1.is_beating = False
    pid1.ledger = make.ledger(programs=tuple(make.view(f"program-{number}") for number in range(2000)))

    [message] = collect(boot, make.until, lambda _: None, 1)

    assert len(message.ledger.programs) == 2000


def test_a_socket_that_comes_later_is_found(boot, make):
    async def scene():
        messages = []
        task = asyncio.create_task(feed.follow(boot.run.ledger_socket, messages.append))
        await asyncio.sleep(0.1)
        fake = await asyncio.to_thread(make.pid1, boot.run)
        fake.ledger = make.ledger()
        await asyncio.to_thread(make.until, lambda: messages, "a message")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.to_thread(fake.stop)
        return messages

    assert asyncio.run(asyncio.wait_for(scene(), 30))


def test_while_pid_1_does_not_read_only_the_newest_verdict_waits_and_then_arrives(boot, pid1, make):
    pid1.is_beating = False
    pid1.ledger = make.ledger()
    box = outbox.Outbox()
    most_waiting = 0

    async def scene():
        nonlocal most_waiting
        messages = []
        task = asyncio.create_task(feed.follow(boot.run.ledger_socket, messages.append, None, box))
        await asyncio.to_thread(make.until, lambda: messages, "the first ledger")
        await asyncio.to_thread(pid1.read_on, False)
        for number in range(20_000):
            box.tell(verdict.Verdict("api", number, 1, verdict.LIVE, False, "x" * 250))
            await asyncio.sleep(0)
            most_waiting = max(most_waiting, len(box._unsent))
        stuck = bool(box._unsent)
        await asyncio.to_thread(pid1.read_on, True)
        await asyncio.to_thread(make.until, lambda: pid1.verdicts and pid1.verdicts[-1]["pid"] == 19_999, "the newest")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return stuck

    assert asyncio.run(asyncio.wait_for(scene(), 60))
    assert most_waiting == 1
    assert len(pid1.verdicts) < 20_000


def test_verdicts_wait_for_the_first_whole_ledger(boot, pid1, make):
    pid1.is_beating = False
    box = outbox.Outbox()
    box.tell(verdict.Verdict("api", 7, 1, verdict.LIVE, True, ""))

    async def scene():
        messages = []

        def take(message):
            messages.append(message)
            box.forget("api")  # as the runner does when the ledger shows another process

        task = asyncio.create_task(feed.follow(boot.run.ledger_socket, take, None, box))
        await asyncio.to_thread(make.until, lambda: pid1.hellos, "the subscription")
        box.tell(verdict.Verdict("web", 8, 1, verdict.LIVE, True, ""))
        await asyncio.to_thread(pid1.send, {"type": "beat", "revision": 1})
        await asyncio.to_thread(make.until, lambda: messages, "the heartbeat")
        box.tell(verdict.Verdict("api", 7, 1, verdict.LIVE, True, ""))
        await asyncio.to_thread(pid1.tell, make.ledger())
        await asyncio.to_thread(make.until, lambda: pid1.verdicts, "a verdict")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(asyncio.wait_for(scene(), 60))
    assert [told["program"] for told in pid1.verdicts] == ["web"]


def test_a_reread_tells_the_ledger_with_the_moment_it_was_asked_for(make):
    told = []

    class Calls:
        def snapshot(self, *, timeout_seconds):
            assert timeout_seconds == feed.REREAD_TIMEOUT_SECONDS
            return make.ledger()

    feed.Reread(Calls(), lambda *news: told.append(news)).read()

    assert told[0][0] == make.ledger()
    assert isinstance(told[0][1], float)


@pytest.mark.parametrize("error", [ConnectionRefusedError(), errors.InvalidRecord("x", "y")])
def test_a_reread_without_an_answer_tells_nothing(error):
    class Calls:
        def snapshot(self, *, timeout_seconds):
            raise error

    told = []
    feed.Reread(Calls(), lambda *news: told.append(news)).read()

    assert told == []
