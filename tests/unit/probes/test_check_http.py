"""http checks against real servers."""

import asyncio
import contextlib

import pytest

from manifest import plan
from probes.checks import http
from tests.unit import boots

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


async def ask(answer, *, unix_path=None, path="/livez", host="127.0.0.1", **changes):
    """Check a server that handles each connection with ``answer``; return the outcome and the requests' heads."""
    heads, handlers = [], []

    async def serve(reader, writer):
        handlers.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            heads.append((await reader.readuntil(b"\r\n\r\n")).decode())
            if callable(answer):
                await answer(reader, writer)
            else:
                writer.write(answer)
                await writer.drain()
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    if unix_path is None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
    else:
        server, port = await asyncio.start_unix_server(serve, unix_path), 80
    async with server:
        url = changes.pop("url", f"http://{host}:{port}{path}")
        outcome = await http.check(boots.check(plan.HTTP, url=url, path=unix_path, **changes))
        await asyncio.gather(*handlers)
    return outcome, heads


def check(answer=OK, **changes):
    return asyncio.run(asyncio.wait_for(ask(answer, **changes), 30))


def status(code, more=b"", body=b""):
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n%s" % (code, len(body), more, body)


def test_a_status_in_the_range_passes():
    outcome, [head] = check()

    assert outcome.ok
    assert head.startswith("GET /livez HTTP/1.1\r\n")
    assert "user-agent: bootseal\r\n" in head.lower()
    assert "connection: close\r\n" in head.lower()


@pytest.mark.parametrize(
    ("changes", "code", "reason"),
    [
        ({}, 503, "answered 503, not 200-299"),
        ({"status_low": 204, "status_high": 204}, 200, "answered 200, not 204"),
        ({"status_low": 401, "status_high": 401}, 401, ""),
    ],
)
def test_any_other_status_fails_and_is_named(changes, code, reason):
    outcome, _ = check(status(code), **changes)

    assert outcome.ok == (not reason)
    assert outcome.reason.endswith(reason)
    assert outcome.ok or outcome.reason.startswith("http://127.0.0.1:")


def test_a_redirect_is_its_status_and_not_followed():
    outcome, heads = check(status(302, b"Location: /elsewhere\r\n"))

    assert outcome.reason.endswith("/livez answered 302, not 200-299")
    assert len(heads) == 1


def test_no_proxy_is_asked(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)

    assert check()[0].ok


def test_the_plans_headers_are_sent_and_win():
    _, [head] = check(headers={"X-Key": "hunter2", "user-agent": "mine", "Host": "api.local"})

    lines = head.lower().splitlines()
    assert "x-key: hunter2" in lines
    assert [line for line in lines if line.startswith(("user-agent", "host"))] == [
        "host: api.local",
        "user-agent: mine",
    ]


def test_no_reason_holds_a_header_a_body_a_user_or_a_query():
    secret = {"headers": {"X-Key": "hunter2"}, "path": "/livez?key=hunter2", "body": "absent"}
    reasons = [
        check(status(503, body=b"hunter2"), **secret)[0].reason,
        check(status(200, body=b"hunter2"), **secret)[0].reason,
        check(b"hunter2\r\n\r\n", **secret)[0].reason,
        check(status(503), host="me:hunter2@127.0.0.1")[0].reason,
        check(url="http://me:hunter2@127.0.0.1:1/?k=hunter2")[0].reason,
        check(url="http://me:hunter2@[::1/?k=hunter2")[0].reason,
        check(url="nonsense:hunter2@x", headers={"X": "hunter2\n"})[0].reason,
    ]

    assert all(reasons)
    assert "hunter2" not in " ".join(reasons)


def test_a_refused_connection_is_said_in_words(make):
    outcome, _ = check(url=f"http://127.0.0.1:{make.free_port()}/")

    assert outcome.reason == "connection refused"


def test_a_body_must_match():
    assert check(body="^hel+o$")[0].ok

    assert check(body="goodbye")[0].reason.endswith("answered 200, and its body does not match")


def test_only_the_first_64_kib_of_a_body_are_read():
    async def endless(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\nhello")
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()

    assert check(endless, body="^hello")[0].ok
    assert not check(endless, body="goodbye")[0].ok


def test_a_body_is_matched_as_it_came_and_never_unpacked():
    assert check(status(200, b"Content-Encoding: gzip\r\n", b"hello"), body="hello")[0].ok


def test_a_body_that_is_not_asked_for_is_not_waited_for():
    async def drip(reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nh")
        await reader.read()

    assert check(drip)[0].ok


def test_a_body_that_drips_is_read_until_the_caller_has_enough():
    begun = asyncio.Event()

    async def drip(reader, writer):
        begun.set()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")
        await reader.read()

    async def scene():
        task = asyncio.get_running_loop().create_task(ask(drip, body="hello"))
        await asyncio.wait_for(begun.wait(), 30)
        ended, _ = await asyncio.wait([task], timeout=0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return ended

    assert not asyncio.run(scene())


def test_a_body_that_is_cut_short_does_not_pass():
    async def cut(_reader, writer):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhello")

    assert check(cut, body="hello")[0].reason.endswith("ended its answer early")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "answered what is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n", "answered what is no HTTP"),
    ],
)
def test_what_is_no_http_is_said(answer, reason):
    assert check(answer)[0].reason.endswith(reason)


def test_a_connection_closed_without_an_answer_is_said():
    async def close(_reader, _writer):
        return

    assert check(close)[0].reason.endswith("closed the connection without an answer")


def test_it_asks_over_a_unix_socket(tmp_path):
    outcome, [head] = check(unix_path=str(tmp_path / "s"), url="http://api/livez")

    assert outcome.ok
    assert "host: api\r\n" in head.lower()
    missing, _ = check(unix_path=str(tmp_path / "t"), url="http://api/", status_low=300, status_high=300)
    assert missing.reason.endswith("answered 200, not 300")


def test_a_unix_socket_that_is_missing_is_said(tmp_path):
    wanted = boots.check(plan.HTTP, url="http://api/", path=str(tmp_path / "none"))

    assert asyncio.run(http.check(wanted)).reason == "no such file or directory"


def test_a_name_is_looked_up():
    assert check(host="localhost")[0].ok
