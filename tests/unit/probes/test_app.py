"""The site: what is begun where many wait, who is refused, and what is counted."""

import asyncio
import contextlib
import socket
from pathlib import Path

from aiohttp import web

from contract import events
from probes import answers, app, connections, observed

LIMIT = 8


async def everybody(_request, _path):
    """Refuse nobody."""


def scene(boot, play, guard=None, *, guard_waits=False):
    """Run ``play(ask, site, known, gate)`` against a site with a path that waits for ``gate``, and one that does not."""

    async def run():
        known = observed.Observed(
            boot.record, boot.loaded, events.Emitter("probes", boot.record.boot_id, None, lambda _: True)
        )
        gate, inner = asyncio.Event(), app.Site(known)

        async def slow(_request: web.BaseRequest) -> web.Response:
            await gate.wait()
            return app.render(answers.Answer(200, {}))

        inner.add("/slow", slow)
        inner.add_json("/quick", lambda _: answers.Answer(200, {}))
        site = app.Site(known)
        site.include(inner, guard or everybody, waits=guard_waits)
        listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        listener.setblocking(False)
        clients = connections.Connections(asyncio.get_running_loop().time, LIMIT)
        door = app.Door(site, listener, clients)
        door.open()
        where = listener.getsockname()

        async def ask(path):
            reader, writer = await asyncio.open_connection(*where)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            data = await reader.read()
            writer.close()
            return int(data.split()[1])

        try:
            async with asyncio.timeout(30):
                return await play(ask, known, clients, gate)
        finally:
            await app.close([door], clients, 1.0)

    return asyncio.run(run())


def test_where_too_many_wait_one_more_is_refused_and_what_waits_for_nothing_is_answered(boot):
    async def play(ask, _known, clients, gate):
        waiting = [asyncio.create_task(ask("/slow")) for _ in range(LIMIT * 3 // 4)]
        while clients.answering < len(waiting):  # noqa: ASYNC110  # nobody tells it
            await asyncio.sleep(0)
        refused, quick = await ask("/slow"), await ask("/quick")
        gate.set()
        return refused, quick, [await task for task in waiting], await ask("/slow")

    assert scene(boot, play) == (503, 200, [200] * 6, 200)


def test_where_the_guard_itself_waits_so_does_every_path_behind_it(boot):
    async def play(ask, _known, clients, gate):
        waiting = [asyncio.create_task(ask("/slow")) for _ in range(LIMIT * 3 // 4)]
        while clients.answering < len(waiting):  # noqa: ASYNC110  # nobody tells it
            await asyncio.sleep(0)
        refused = await ask("/quick")
        gate.set()
        return refused, [await task for task in waiting], await ask("/quick")

    assert scene(boot, play, guard_waits=True) == (503, [200] * 6, 200)


def test_a_path_that_was_included_is_answered_to_whom_the_guard_lets_in_and_counted_by_its_name(boot):
    async def play(ask, known, _clients, gate):
        gate.set()
        statuses = [await ask(path) for path in ("/quick", "/slow", "/nope")]
        return (
            statuses,
            dict(known.traffic.requests),
            {path: sum(one.counts) for path, one in known.traffic.durations.items()},
        )

    async def guard(_request, path):
        return app.problem(403, "no") if path == "/slow" else None

    assert scene(boot, play, guard) == (
        [200, 403, 404],
        {("/quick", 200): 1, ("/slow", 403): 1, ("other", 404): 1},
        {"/quick": 1, "/slow": 1, "other": 1},
    )


def unsent(port):
    """Return the bytes that the kernel holds for those who are connected to ``port`` (proc_net(5): tx_queue)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[0], 16) for row in rows if int(row[1].split(":")[1], 16) == port)


def test_clients_that_take_nothing_of_large_answers_cost_little_memory_and_others_are_answered(boot):
    """150 ask for a mebibyte each and read nothing: what we and the kernel hold is bounded, until they must go."""
    count, size = 150, 1024 * 1024

    async def run():
        known = observed.Observed(
            boot.record, boot.loaded, events.Emitter("probes", boot.record.boot_id, None, lambda _: True)
        )
        moment = [100.0]
        site = app.Site(known)
        site.add_json("/large", lambda _: answers.Answer(200, {"x": "y" * size}))
        site.add_json("/quick", lambda _: answers.Answer(200, {}))
        listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        listener.setblocking(False)
        clients = connections.Connections(lambda: moment[0], 512)
        door = app.Door(site, listener, clients)
        door.open()
        where, loop = listener.getsockname(), asyncio.get_running_loop()

        async def ask(path):
            reader, writer = await asyncio.open_connection(*where)
            writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            data = await reader.read()
            writer.close()
            return int(data.split()[1])

        with contextlib.ExitStack() as crowd:
            for _ in range(count):
                one = crowd.enter_context(socket.socket())
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                one.setblocking(False)
                await loop.sock_connect(one, where)
                await loop.sock_sendall(one, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            found = [await ask("/quick"), await ask("/large")]
            owed, in_kernel = clients.untaken_bytes, unsent(where[1])
            moment[0] += connections.GRACE_SECONDS
            found.append(await ask("/large"))
            await app.close([door], clients, 0.1)
        return found, owed, in_kernel

    found, owed, in_kernel = asyncio.run(asyncio.wait_for(run(), 60))
    assert found == [200, 503, 200]
    assert owed <= connections.UNTAKEN_LIMIT + size + connections.KERNEL_BYTES
    assert in_kernel <= count * connections.KERNEL_BYTES
