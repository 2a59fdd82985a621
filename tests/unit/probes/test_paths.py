"""A file system that hangs stops no probe: whoever needs its files is told to come again."""

import asyncio
import dataclasses
import socket
import threading

import pytest

from contract import events
from manifest import serving
from probes import access, app, aside, connections, event_tail, identity, meta, observed, paths
from probes.metrics import scrape
from tests.unit import boots

HANGS_SECONDS = 30.0


@pytest.fixture
def hung(boot, monkeypatch):
    """Have every read of the token, the identity and the rest hang; let go of it at the end."""
    gate = threading.Event()
    monkeypatch.setattr(aside, "DEADLINE_SECONDS", 0.05)
    for module, name in ((access, "read_token"), (identity, "whoami"), (meta, "describe")):
        monkeypatch.setattr(module, name, lambda *_: gate.wait(HANGS_SECONDS))
    yield
    gate.set()


def site_of(known, boot):
    """Return the site of the main listener."""
    return paths.sites(known, boot.run, {}, event_tail.Tail(boot.run.events, boot.record.boot_id)).probes


def ask(boot, token_file, asked):
    """Return the status and head of each path of ``asked``, of a server with ``token_file``."""

    async def talk(where, path):
        reader, writer = await asyncio.open_connection(*where)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode())
        data = await reader.read()
        writer.close()
        return int(data.split()[1]), data.partition(b"\r\n\r\n")[0]

    async def run():
        detail = serving.DetailPlan(serving.OPEN, None, None, token_file)
        changed = dataclasses.replace(boot.loaded.plan, probes=boots.listening(port=1, detail=detail))
        loaded = dataclasses.replace(boot.loaded, plan=changed)
        emitter = events.Emitter("probes", boot.record.boot_id, None, lambda _: True)
        known = observed.Observed(boot.record, loaded, emitter)
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        clients = connections.Connections(asyncio.get_running_loop().time, 64)
        door = app.Door(site_of(known, boot), listener, clients)
        door.open()
        try:
            async with asyncio.timeout(HANGS_SECONDS - 5):
                return [await talk(listener.getsockname(), path) for path in asked]
        finally:
            await app.close([door], clients, 1.0)

    return asyncio.run(run())


@pytest.mark.parametrize("path", ["/whoami", "/v1/meta"])
def test_what_cannot_be_read_in_time_is_503_and_the_probes_go_on(boot, hung, path):
    (refused, head), (alive, _) = ask(boot, None, [path, "/livez"])

    assert (refused, alive) == (503, 200)
    assert b"Retry-After: 1" in head


@pytest.mark.parametrize(("token_file", "waits"), [(None, False), ("/token", True)])
def test_where_a_token_is_read_all_of_detail_counts_as_what_waits(boot, token_file, waits):
    where = boots.listening(port=1, detail=serving.DetailPlan(serving.OPEN, None, None, token_file))
    loaded = dataclasses.replace(boot.loaded, plan=dataclasses.replace(boot.loaded.plan, probes=where))
    emitter = events.Emitter("probes", boot.record.boot_id, None, lambda _: True)
    site = site_of(observed.Observed(boot.record, loaded, emitter), boot)

    assert ("/health" in site._waiting) is waits
    assert "/ready" not in site._waiting


def test_a_token_that_cannot_be_read_in_time_closes_detail_and_no_probe(boot, hung):
    (refused, head), (page, _), (alive, _) = ask(boot, "/token", ["/health", "/", "/livez"])

    assert (refused, page, alive) == (503, 200, 200)
    assert b"Retry-After: 1" in head


def test_a_scrape_that_hangs_is_told_and_no_probe_waits_for_it(boot, monkeypatch):
    gate = threading.Event()
    monkeypatch.setattr(scrape, "DEADLINE_SECONDS", 0.05)
    monkeypatch.setattr(scrape.Scrapes, "_render", lambda *_: gate.wait(HANGS_SECONDS))

    (refused, head), (alive, _) = ask(boot, None, ["/metrics", "/livez"])
    gate.set()

    assert (refused, alive) == (503, 200)
    assert b"Retry-After: 1" in head
