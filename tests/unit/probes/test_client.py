"""One client: what is handed on, held, refused and given back; the rest is in test_http, against the real server."""

import asyncio

from probes import app, client, connections, waiting

HEAD = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"


class Transport(asyncio.Transport):
    """Remembers what was written, and how it ended."""

    def __init__(self):
        super().__init__()
        self.written, self.ending = b"", ""

    def set_write_buffer_limits(self, high=None, low=None):
        assert (high, low) == (client.UNTAKEN_BYTES, None)

    def get_write_buffer_size(self):
        return len(self.written)

    def write(self, data):
        self.written += data

    def write_eof(self):
        self.ending += "eof "

    def close(self):
        self.ending += "closed "

    def abort(self):
        self.ending += "aborted "

    def is_closing(self):
        return "closed" in self.ending


class Half(client.Answerer):
    """The library's half, as a test plays it."""

    def __init__(self, its_client, log):
        self.client, self.log = its_client, log

    def connection_made(self, _transport):
        self.log.append("made")

    def hand_over(self, head):
        self.log.append(head)
        self.client.begin_answer()
        return b"PRI" not in head

    def let_go(self):
        self.log.append("let go")

    def pause_writing(self):
        self.log.append("paused")

    def resume_writing(self):
        self.log.append("resumed")

    def connection_lost(self, _exc):
        self.log.append("lost")


def scene(play):
    """Run ``play(its_client, transport, known, log)`` in a loop."""

    async def run():
        known, log, refused = connections.Connections(asyncio.get_running_loop().time), [], []
        made = client.Client(known, lambda its_client: Half(its_client, log), refused.append)
        transport = Transport()
        assert known.make_room()
        made.connection_made(transport)
        return await play(made, transport, known, log)

    return asyncio.run(run())


def test_until_a_head_is_whole_there_is_no_half_of_the_library():
    async def play(made, _transport, known, log):
        for byte in HEAD[:-1]:
            made.data_received(bytes([byte]))
        before = list(log), known.answering
        made.data_received(HEAD[-1:])
        return before, log, known.answering

    assert scene(play) == (([], 0), ["made", HEAD], 1)


def test_the_next_head_waits_for_the_answer_to_the_one_before():
    async def play(made, _transport, known, log):
        made.data_received(HEAD + HEAD)
        before = len(log)
        made.end_answer()
        made.next_request(keeps=True, has_body=False)
        return before, log, known.answering

    assert scene(play) == (2, ["made", HEAD, HEAD], 1)


def test_a_held_request_costs_no_half_and_its_client_is_gone_at_once_when_it_leaves():
    async def play(made, transport, known, log):
        made.data_received(HEAD)
        room = waiting.WaitingRoom()
        assert made.hold(room, 3600, lambda _keeps: b"answer", keeps=True)
        here = room.waiters, known.answering
        stays = made.eof_received()
        made.connection_lost(None)
        room.release()
        await asyncio.sleep(0)
        return here, stays, room.waiters, len(known), log, transport.written

    assert scene(play) == ((1, 1), False, 0, 0, ["made", HEAD, "let go"], b"")


def test_a_client_that_left_before_it_was_held_is_answered_at_once():
    async def play(made, _transport, _known, _log):
        made.data_received(HEAD)
        return made.eof_received(), made.hold(waiting.WaitingRoom(), 3600, lambda _keeps: b"answer", keeps=True)

    assert scene(play) == (True, False)


def test_what_the_library_waits_for_more_of_is_refused():
    async def play(made, transport, _known, _log):
        made.data_received(b"PRI * HTTP/1.1\r\n\r\n")
        return transport.written[:12], transport.ending

    assert scene(play) == (b"HTTP/1.1 400", "eof ")


def test_a_client_that_is_sent_away_hears_and_is_heard_no_more():
    async def play(made, transport, known, log):
        made.data_received(HEAD[:5])
        known.evict_one()
        made.data_received(HEAD[5:])
        return transport.written, transport.ending, log

    assert scene(play) == (b"", "aborted ", [])


def test_what_a_client_does_not_take_is_known_until_it_does_or_is_gone():
    async def play(made, transport, known, log):
        made.data_received(HEAD)
        transport.write(b"x" * 50_000)
        made.pause_writing()
        owed = [known.untaken_bytes]
        made.resume_writing()
        owed.append(known.untaken_bytes)
        made.pause_writing()
        made.connection_lost(None)
        return [*owed, known.untaken_bytes], log

    assert scene(play) == (
        [50_000 + connections.KERNEL_BYTES, 0, 0],
        ["made", HEAD, "paused", "resumed", "paused", "lost"],
    )


def test_a_request_behind_a_held_one_whose_answer_is_not_taken_waits_for_that():
    """Else 16 KiB of requests sent ahead would put hundreds of answers into memory."""

    async def play(made, transport, _known, log):
        made.data_received(HEAD + HEAD)
        room = waiting.WaitingRoom()
        transport.write = lambda _data: made.pause_writing()
        assert made.hold(room, 3600, lambda _keeps: b"answer", keeps=True)
        room.release()
        while len(log) < 6:  # noqa: ASYNC110  # nobody tells it
            await asyncio.sleep(0)
        return log

    assert scene(play) == ["made", HEAD, "let go", "made", "paused", HEAD]


def test_the_end_waits_for_answers_that_are_not_out_yet():
    async def play(made, _transport, known, _log):
        made.data_received(HEAD)
        closing = asyncio.create_task(app.close([], known, 30.0))
        await asyncio.sleep(0.02)
        before = closing.done()
        made.end_answer()
        await closing
        return before

    assert scene(play) is False
