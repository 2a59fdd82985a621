"""/v1/events of the real server: what is there, what comes, and what a listener is told when it cannot have all."""

import asyncio
import contextlib
import http.client
import json
import os
import socket
import struct
import types
from pathlib import Path

import pytest
from aiohttp import web

from contract import events
from probes import accepting, event_stream, event_tail

PATIENCE_SECONDS = 30.0


def line(number, boot_id="c0ffee00" * 4, event="ProgramStarted", **fields) -> bytes:
    return json.dumps({"event": event, "boot_id": boot_id, "n": number, **fields}).encode() + b"\n"


def append(boot, *lines) -> None:
    for one in lines:
        assert events.append(boot.run.events, one)


def rotate(boot) -> None:
    os.rename(boot.run.events, f"{boot.run.events}.1")


class Listener:
    """A connection to /v1/events, and the messages that come over it."""

    def __init__(self, server, query="", *, method="GET", **headers) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", server.boot.port, timeout=PATIENCE_SECONDS)
        self.connection.request(method, f"/v1/events{query}", headers=headers)
        self.answer = self.connection.getresponse()

    def message(self) -> dict[str, str]:
        """Return the fields of the next message; comments have the field ""; {} at the end."""
        fields: dict[str, str] = {}
        while (text := self.answer.readline().decode()) not in {"\n", ""}:
            name, _, value = text.rstrip("\n").partition(": ")
            fields[name.rstrip(":")] = value
        return fields

    def messages(self, count) -> list[dict[str, str]]:
        found = []
        while len(found) < count:
            message = self.message()
            assert message, "the stream ended"
            if "event" in message:
                found.append(message)
        return found

    def rest(self) -> list[dict[str, str]]:
        found = []
        while message := self.message():
            if "event" in message:
                found.append(message)
        return found

    def close(self) -> None:
        self.answer.close()
        self.connection.close()


def numbers(messages) -> list[int]:
    return [json.loads(message["data"]).get("n") for message in messages]


@pytest.fixture
def server(boot, pid1, start):
    append(boot, line(1), line(2, "0" * 32), line(3))
    return start(boot)


@pytest.fixture
def listen(server):
    with contextlib.ExitStack() as stack:

        def begin(query="", **more):
            listener = Listener(server, query, **more)
            stack.callback(listener.close)
            return listener

        yield begin


# --- what a listener gets --------------------------------------------------------------------------------------------


def test_a_listener_gets_what_is_there_of_this_boot_and_then_what_comes(boot, listen):
    listener = listen()
    assert listener.answer.status == 200
    assert listener.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert listener.answer.headers["Cache-Control"] == "no-store"
    assert listener.message() == {"retry": "1000"}
    there = listener.messages(2)
    assert numbers(there) == [1, 3]
    assert {message["event"] for message in there} == {"ProgramStarted"}
    append(boot, line(4, event="ProgramReady"))
    [came] = listener.messages(1)
    assert (came["event"], json.loads(came["data"])["n"]) == ("ProgramReady", 4)


@pytest.mark.parametrize("how", ["Last-Event-ID", "after"])
def test_a_listener_that_comes_again_gets_what_came_after_its_last_id_over_a_rotation(boot, listen, how):
    first = listen()
    [_, last] = first.messages(2)
    first.close()
    append(boot, line(4))
    rotate(boot)
    append(boot, line(5))
    again = listen(f"?after={last['id']}") if how == "after" else listen(**{"Last-Event-ID": last["id"]})
    assert numbers(again.messages(2)) == [4, 5]
    rotate(boot)
    append(boot, line(6))
    assert numbers(again.messages(1)) == [6]


def test_an_id_that_was_given_while_an_older_file_was_known_too_is_good_after_a_rotation_without_listeners(
    boot, listen
):
    rotate(boot)
    append(boot, line(4), line(5))
    listener = listen()
    messages = listener.messages(4)
    listener.close()
    rotate(boot)
    append(boot, line(6))
    assert numbers(listen(f"?after={messages[2]['id']}&follow=false").rest()) == [5, 6]


@pytest.mark.parametrize("after", ["1-1-00000000", "x", ".", "%00", "a" * 3000])
def test_an_id_that_nobody_knows_is_told_as_a_gap_and_everything_follows(listen, after):
    [gap, *rest] = listen(f"?after={after}&follow=false").rest()
    assert gap["event"] == "gap"
    assert "id" not in gap
    assert "some may be missing" in json.loads(gap["data"])["reason"]
    assert numbers(rest) == [1, 3]


def test_a_journal_that_was_replaced_while_somebody_listens_is_told_as_a_gap(boot, listen):
    listener = listen()
    listener.messages(2)
    os.unlink(boot.run.events)
    append(boot, line(7))
    [gap, seven] = listener.messages(2)
    assert gap["event"] == "gap"
    assert numbers([seven]) == [7]
    assert numbers(listen("?follow=false").rest())[-1:] == [7]


def test_a_journal_that_cannot_be_read_is_told_and_when_it_can_be_again_its_events_come(boot, listen, make):
    listener = listen()
    listener.messages(2)
    os.unlink(boot.run.events)
    os.mkfifo(boot.run.events)
    [told] = listener.messages(1)
    assert told["event"] == "gap"
    assert "is not a regular file" in json.loads(told["data"])["reason"]
    os.unlink(boot.run.events)
    append(boot, line(8))
    while (message := listener.messages(1)[0])["event"] == "gap":
        pass
    assert numbers([message]) == [8]


# --- forms -----------------------------------------------------------------------------------------------------------


def test_without_following_it_ends_after_what_there_is_also_beside_one_who_follows(boot, listen):
    follower = listen()
    follower.messages(2)
    append(boot, line(4))  # the follower's look may not have been at it yet
    assert numbers(listen("?follow=false").rest()) == [1, 3, 4]


def test_ndjson_is_the_lines_and_ends_unless_it_is_told_to_follow(boot, server, listen):
    reply = server.get("/v1/events", headers={"Accept": "application/x-ndjson"})
    assert reply.headers["Content-Type"] == "application/x-ndjson"
    assert reply.body == line(1) + line(3)
    follower = listen("?follow=true", Accept="application/x-ndjson")
    assert [follower.answer.readline() for _ in range(2)] == [line(1), line(3)]
    append(boot, line(4))
    assert follower.answer.readline() == line(4)


def test_head_answers_the_headers_and_ends(listen):
    listener = listen(method="HEAD")
    assert listener.answer.status == 200
    assert listener.answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert listener.answer.read() == b""


def test_a_wish_that_is_none_is_refused(server):
    reply = server.get("/v1/events?follow=yes")
    assert reply.status == 400
    assert reply.json == {"error": "follow: it is true or false"}


def test_a_line_cannot_forge_a_message(boot, server, listen):
    append(
        boot,
        b'{"boot_id": "%s",\r"event":\r"a\\nevent: forged", "n": 4}\n' % boot.record.boot_id.encode(),
        line(5, event="gap"),
        line(6, event="x" * 100),
        line(7, event=None),
    )
    messages = listen("?follow=false").rest()
    assert numbers(messages) == [1, 3, 4, 5, 6, 7]
    assert {message["event"] for message in messages[2:]} == {"event"}
    assert b"\r" not in server.get("/v1/events?follow=false").body


def test_the_journal_of_a_long_boot_comes_whole_and_in_order(boot, listen):
    many = [line(number, filling="x" * 300) for number in range(10, 6000)]
    Path(boot.run.events).unlink()
    with open(boot.run.events, "wb") as file:
        file.writelines(many[:3000])
    rotate(boot)
    with open(boot.run.events, "wb") as file:
        file.writelines(many[3000:])
    assert numbers(listen("?follow=false").rest()) == list(range(10, 6000))


# --- limits ----------------------------------------------------------------------------------------------------------


def test_one_more_listener_than_may_be_is_turned_away_and_a_place_that_is_left_is_free_again(server, listen, make):
    listeners = [listen() for _ in range(event_tail.LISTENERS_LIMIT)]
    for listener in listeners:
        listener.messages(2)
    refused = listen()
    assert refused.answer.status == 503
    assert refused.answer.headers["Retry-After"] == "5"
    assert "clients listen already" in json.loads(refused.answer.read())["error"]
    listeners[0].close()
    make.until(lambda: server.get("/v1/events?follow=false").status == 200, "the place is free again")


def resident_kib(server) -> int:
    lines = Path(f"/proc/{server.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))


def unsent(port) -> int:
    """Return the bytes that the kernel holds for those who are connected to ``port`` (proc_net(5): tx_queue)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(int(row[4].split(":")[0], 16) for row in rows if int(row[1].split(":")[1], 16) == port)


def test_a_listener_that_reads_nothing_holds_up_nobody_and_no_memory(boot, server, listen):
    """It may hold what the kernel takes and one batch; all that comes is several times that, for each of many."""
    lazy_count, lines = 20, 390
    with contextlib.ExitStack() as crowd:
        other = listen()
        other.messages(2)
        for _ in range(lazy_count):
            lazy = crowd.enter_context(socket.socket())
            lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            lazy.connect(("127.0.0.1", boot.port))
            lazy.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert server.get("/livez").status == 200
        before = resident_kib(server)
        for number in range(lines):
            append(boot, line(number, filling="x" * 5000))
        assert numbers(other.messages(lines)) == list(range(lines))
        assert server.get("/livez").status == 200
        # What is told to all is kept once (at most FRAMES_LIMIT, and Python's own cost of it).
        assert resident_kib(server) - before < 3 * event_tail.FRAMES_LIMIT / 1024
        assert unsent(boot.port) < lazy_count * 2 * accepting.SEND_BYTES


def test_a_listener_that_leaves_is_no_failure_and_its_stream_is_counted_when_it_begins(boot, server, listen, make):
    listener = listen()
    listener.messages(2)
    counted = 'bootseal_probe_requests_total{code="200",path="/v1/events"} 1'
    seen = server.get("/metrics").body.decode()
    assert counted in seen, [row for row in seen.splitlines() if "requests" in row]
    for kind in ("", "?follow=true"):
        with socket.create_connection(("127.0.0.1", boot.port)) as gone:
            gone.sendall(f"GET /v1/events{kind} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            gone.recv(10)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        for number in range(10, 20):
            append(boot, line(number))
    listener.messages(20)
    metrics = server.get("/metrics").body.decode()
    assert 'code="500"' not in metrics
    assert "a request failed" not in server.stderr.read_text()


def test_a_listener_that_left_before_it_was_written_to_is_an_end_and_no_failure(monkeypatch):
    async def gone(*_):
        raise ConnectionResetError("Cannot write to closing transport")

    async def prepared(*_):
        return None

    monkeypatch.setattr(web.StreamResponse, "prepare", prepared)
    monkeypatch.setattr(web.StreamResponse, "write", gone)
    counted = []
    site = types.SimpleNamespace(count=lambda *what: counted.append(what))
    request = types.SimpleNamespace(method="GET", protocol=types.SimpleNamespace(site=site), transport=None)

    answer = asyncio.run(event_stream._send(request, None, "", is_ndjson=False, follow=True))

    assert (answer.status, counted) == (200, [("/v1/events", 200)])


def test_the_server_ends_at_once_and_what_was_told_last_reaches_every_listener(boot, server):
    """A stream that is let go of ends with its last chunk (RFC 9112, 7.1); one that is cut does not."""
    with contextlib.ExitStack() as stack:
        listeners = [
            stack.enter_context(socket.create_connection(("127.0.0.1", boot.port), PATIENCE_SECONDS)) for _ in range(5)
        ]
        told = [b""] * len(listeners)
        for index, listener in enumerate(listeners):
            listener.sendall(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            while b'"n": 3' not in told[index]:
                told[index] += listener.recv(65536)
        append(boot, line(99))
        server.process.terminate()
        for index, listener in enumerate(listeners):
            while data := listener.recv(65536):
                told[index] += data
        assert server.process.wait(PATIENCE_SECONDS) == 0
    for one in told:
        assert b"Transfer-Encoding: chunked" in one
        assert b'"n": 99' in one
        assert one.endswith(b"0\r\n\r\n")
