"""The site: what is begun where many wait, who is refused, and what is counted."""

import asyncio
import socket

from aiohttp import web

from contract import events
from probes import answers, app, connections, observed

LIMIT = 8


def scene(boot, play, guard=None):
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
        site.include(inner, guard or (lambda _request, _path: None))
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


def test_a_path_that_was_included_is_answered_to_whom_the_guard_lets_in_and_counted_by_its_name(boot):
    async def play(ask, known, _clients, gate):
        gate.set()
        statuses = [await ask(path) for path in ("/quick", "/slow", "/nope")]
        return (
            statuses,
            dict(known.traffic.requests),
            {path: sum(one.counts) for path, one in known.traffic.durations.items()},
        )

    def guard(_request, path):
        return app.problem(403, "no") if path == "/slow" else None

    assert scene(boot, play, guard) == (
        [200, 403, 404],
        {("/quick", 200): 1, ("/slow", 403): 1, ("other", 404): 1},
        {"/quick": 1, "/slow": 1, "other": 1},
    )
