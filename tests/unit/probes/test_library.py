"""What the front protocol takes for granted of aiohttp beyond what it documents: one test for each, for who raises its bound."""

import asyncio

from aiohttp import web

from probes import app

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Transport(asyncio.Transport):
    """Remembers what was done to it."""

    def __init__(self):
        super().__init__()
        self.done = []

    def write(self, data):
        self.done.append("write")

    def writelines(self, _data):
        self.done.append("write")

    def close(self):
        self.done.append("close")

    def abort(self):
        self.done.append("abort")

    def is_closing(self):
        return False


def scene(play, handler=None):
    async def never(_request):
        await asyncio.Event().wait()

    async def run():
        server = web.Server(handler or never, handler_cancellation=True)
        exchange = app.Exchange(server, loop=asyncio.get_running_loop(), access_log=None)
        transport = Transport()
        exchange.connection_made(transport)
        await asyncio.sleep(0)
        found = await play(exchange, transport)
        if exchange.transport is not None:
            exchange.connection_lost(None)
        await asyncio.sleep(0.01)
        return found, transport.done

    return asyncio.run(run())


def test_a_whole_head_is_counted_when_it_is_handed_over_and_a_part_is_not():
    async def play(exchange, _transport):
        before = exchange._request_count
        part = exchange.hand_over(HEAD[:-2])
        return part, exchange.hand_over(HEAD[-2:]), exchange._request_count - before

    assert scene(play)[0] == (False, True, 1)


def test_without_its_transport_it_closes_nothing():
    async def play(exchange, _transport):
        exchange.transport = None
        exchange.close()
        exchange.force_close()

    assert scene(play) == (None, [])


def test_a_handler_that_is_cancelled_after_it_let_go_writes_and_closes_nothing():
    held = []

    async def hold(request):
        held.append(request)
        request.protocol.let_go()
        raise asyncio.CancelledError

    async def play(exchange, _transport):
        exchange.hand_over(HEAD)
        for _ in range(20):
            await asyncio.sleep(0)
        return len(held), exchange._task_handler is None or exchange._task_handler.done()

    assert scene(play, hold) == ((1, True), [])
