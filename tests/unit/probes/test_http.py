"""HTTP as it comes over the wire: paths, methods, bodies, malformed and hostile requests, against the real server."""

import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import threading
import time

import pytest

from probes import connections, heads

PROBES = ("/livez", "/healthz", "/startupz", "/ready", "/readyz", "/whoami", "/metrics")
DETAIL = ("/health", "/v1/meta")
GET = b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
def server(boot, pid1, start):
    """A server that is ready."""
    pid1.tell(boot.sealed_ledger())
    server = start(boot)
    server.until("/ready", 200)
    return server


def raw(port, *pieces):
    """Send ``pieces`` and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        for piece in pieces:
            client.sendall(piece)
        return b"".join(iter(lambda: client.recv(65536), b""))


def answers(data):
    """Return (status, headers, body) of each answer in ``data``, none to a HEAD."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        status, *lines = head.decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in lines)
        length = int(headers["Content-Length"])
        found.append((int(status.split()[1]), headers, rest[:length]))
        data = rest[length:]
    return found


# --- paths and methods -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*PROBES, *DETAIL])
def test_every_path_answers_get_and_head_alike_with_or_without_a_slash_or_a_query(steady, path):
    whole = steady.get(path)
    head = steady.get(path, method="HEAD")

    assert (whole.status, steady.get(f"{path}/").status, steady.get(f"{path}?x=1&y").status) == (200, 200, 200)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    assert int(whole.headers["Content-Length"]) == len(whole.body)
    assert int(head.headers["Content-Length"]) > 0


@pytest.mark.parametrize("path", ["/startupz", "/ready", "/whoami"])
def test_head_tells_the_length_of_what_get_would_send(steady, path):
    assert steady.get(path, method="HEAD").headers["Content-Length"] == steady.get(path).headers["Content-Length"]


@pytest.mark.parametrize(("alias", "path"), [("/healthz", "/livez"), ("/readyz", "/ready")])
def test_kubernetes_names_are_the_same_answers(steady, alias, path):
    ours, theirs = steady.get(path).json, steady.get(alias).json

    assert ours.keys() == theirs.keys()
    assert ours.get("ready") == theirs.get("ready")


@pytest.mark.parametrize("name", ["Forwarded", "x-forwarded-for", "Via"])
def test_detail_on_loopback_is_refused_to_what_was_forwarded_and_the_probes_are_not(steady, name):
    headers = {name: "10.0.0.7"}

    assert [steady.get(path, headers=headers).status for path in (*DETAIL, "/", "/ready")] == [403, 403, 403, 200]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_any_other_method_is_refused_with_what_is_allowed(steady, method):
    reply = steady.get("/ready", method=method)

    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert "error" in reply.json


@pytest.mark.parametrize(
    "path",
    [
        "/nope",
        "/ready/x",
        "/READY",
        "//ready",
        "/ready//",
        "/metrics%00",
        "/v1",
        "/ready%20",
        "/x/../ready",
    ],
)
def test_an_unknown_path_is_a_404_in_json(steady, path):
    reply = steady.get(path)

    assert reply.status == 404
    assert "error" in reply.json


@pytest.mark.parametrize(
    "target", [b"/%72eady", b"/ready%2F", b"http://elsewhere.example/ready", b"/ready?wait=1s#x", b"/ready;x"]
)
def test_other_ways_to_write_a_target_are_what_the_standard_says(steady, target):
    [(status, _, _)] = answers(
        raw(steady.boot.port, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    )

    assert status == (404 if b";" in target else 200)


@pytest.mark.parametrize("path", [*PROBES, *DETAIL, "/nope"])
def test_no_answer_is_kept_framed_guessed_or_tells_our_software(steady, path):
    headers = steady.get(path).headers

    assert headers["Server"] == "bootseal"
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert "Access-Control-Allow-Origin" not in headers


# --- connections -----------------------------------------------------------------------------------------------------


def test_keep_alive_works(steady):
    client = http.client.HTTPConnection("127.0.0.1", steady.boot.port, timeout=30)
    for _ in range(3):
        client.request("GET", "/ready")
        assert json.loads(client.getresponse().read())["ready"] is True
    client.close()


def test_requests_that_come_at_once_are_answered_in_order_and_no_more_than_were_asked(steady):
    paths = [b"/ready", b"/nope", b"/livez", b"/startupz"] * 5
    requests = [b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n" for path in paths]
    last = b"GET /whoami HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    found = answers(raw(steady.boot.port, b"".join(requests) + last + GET))

    assert [status for status, _, _ in found] == [200, 404, 200, 200] * 5 + [200]
    assert b'"id"' in found[-1][2]


def test_a_request_may_come_byte_by_byte(steady):
    request = b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

    assert answers(raw(steady.boot.port, *(request[index : index + 1] for index in range(len(request)))))[0][0] == 200


@pytest.mark.parametrize("lines", [b"", b"Host: x\r\n", b"Connection: keep-alive\r\n"])
def test_http_1_0_is_answered_and_closed_unless_it_asks_otherwise(steady, lines):
    with socket.create_connection(("127.0.0.1", steady.boot.port), timeout=30) as client:
        client.sendall(b"GET /ready HTTP/1.0\r\n" + lines + b"\r\n")
        assert client.recv(12) == b"HTTP/1.0 200"
        if b"keep-alive" not in lines:
            assert b"".join(iter(lambda: client.recv(65536), b"")).endswith(b"}\n")


def test_a_client_that_says_no_more_still_has_its_answer(steady):
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", steady.boot.port), timeout=30) as client:
            client.sendall(GET)
            client.shutdown(socket.SHUT_WR)
            assert b"".join(iter(lambda: client.recv(65536), b"")).startswith(b"HTTP/1.1 200 ")


def test_clients_that_vanish_leave_nothing_behind(steady):
    for _ in range(50):
        client = socket.create_connection(("127.0.0.1", steady.boot.port), timeout=30)
        client.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a farewell
        client.close()

    assert steady.get("/ready").status == 200
    assert "Traceback" not in steady.stderr.read_text()


def test_many_at_once_are_all_answered(steady):
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(steady.get("/ready").status)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 40


# --- bodies ------------------------------------------------------------------------------------------------------------

SMUGGLED = b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        b"POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(SMUGGLED) + SMUGGLED,
        b"GET /ready HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % len(SMUGGLED) + SMUGGLED + b"\r\n0\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx" + SMUGGLED,
        b"GET /ready HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
        b"GET /ready HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody" + SMUGGLED,
    ],
)  # fmt: skip
def test_a_body_is_never_read_and_no_request_is_found_in_it(steady, request_):
    found = answers(raw(steady.boot.port, request_))

    assert len(found) == 1
    assert found[0][0] in {200, 400, 405}
    assert found[0][1].get("Connection", "close") == "close"


@pytest.mark.parametrize("method", [b"GET", b"POST"])
def test_the_answer_to_a_large_body_arrives_whole_although_nobody_reads_the_body(steady, method):
    """Closing on unread bytes resets the connection, and what the client has not read yet is lost with it."""
    head = method + b" /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", steady.boot.port), timeout=30) as client:
        client.sendall(head)
        time.sleep(0.05)
        client.sendall(b"x" * 1_000_000)
        client.shutdown(socket.SHUT_WR)
        [(status, headers, _)] = answers(b"".join(iter(lambda: client.recv(65536), b"")))

    assert status == (200 if method == b"GET" else 405)
    assert headers["Connection"] == "close"


def test_a_client_that_never_ends_its_body_does_not_keep_its_connection(steady):
    """It goes long before one that was here first and says nothing."""
    where = ("127.0.0.1", steady.boot.port)
    with socket.create_connection(where, timeout=30) as silent, socket.create_connection(where, timeout=30) as client:
        client.sendall(b"POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nx")
        with contextlib.suppress(ConnectionError):
            while True:
                client.sendall(b"x")
                time.sleep(0.05)
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.recv(1)


def test_an_upgrade_is_ignored(steady):
    request = b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n"

    assert [status for status, _, _ in answers(raw(steady.boot.port, request))] == [200]


# --- what is no HTTP ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200), b"\0" * 10, b"GET\0 /ready HTTP/1.1\r\n\r\n",
        b"GET /re\0ady HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /ready HTTP/1.1\r\nHost: x\0\r\n\r\n", b"GET /ready HTTP/9.9\r\n\r\n",
        b"GET /ready\r\n\r\n", b"GET /ready HTTP/1.1\nHost: x\n\n",
        b"GET " + b"/a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"GET " + b"/a" * 4_500 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n", b"GET /ready HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET /ready HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n", b"GET /ready HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
        b"GET /ready HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", b"GET /ready HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_refused_without_a_word_about_us(steady, data):
    reply = raw(steady.boot.port, data)

    assert reply.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4"))
    assert b"aiohttp" not in reply.lower()
    assert b"python" not in reply.lower()
    [(_, headers, body)] = answers(reply)
    assert "error" in json.loads(body)
    assert headers.get("Connection") == "close" or reply.startswith(b"HTTP/1.0")
    assert steady.get("/ready").status == 200
    assert "Traceback" not in steady.stderr.read_text()


def test_what_follows_something_that_is_no_http_is_never_looked_at(steady):
    assert len(answers(raw(steady.boot.port, b"nonsense\r\n\r\n" + GET))) == 1


def test_more_behind_a_request_than_may_wait_ends_the_connection_after_what_was_whole(steady):
    found = answers(raw(steady.boot.port, GET * 2000))

    assert [status for status, _, _ in found] == [200] * (heads.LIMIT // len(GET)) + [431]


# --- too many, too slow --------------------------------------------------------------------------------------------------


def test_where_there_is_no_room_the_longest_silent_client_makes_it_and_never_one_that_is_answered(boot, start, make):
    """Without PID 1 nothing is sealed: the first client is held."""
    server = start(boot)
    held = socket.create_connection(("127.0.0.1", boot.port), timeout=30)
    held.sendall(b"GET /ready?wait=60s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    server.get("/livez")
    oldest = socket.create_connection(("127.0.0.1", boot.port), timeout=30)
    others = [socket.create_connection(("127.0.0.1", boot.port), timeout=30) for _ in range(connections.CLIENTS_LIMIT)]

    assert oldest.recv(1) == b""
    assert server.get("/livez").status == 200
    others[-1].sendall(GET)
    assert others[-1].recv(13) == b"HTTP/1.1 503 "
    os.kill(server.process.pid, signal.SIGTERM)
    assert b"".join(iter(lambda: held.recv(65536), b"")).startswith(b"HTTP/1.1 503 ")
    for client in (held, oldest, *others):
        client.close()
    assert "Traceback" not in server.stderr.read_text()


def test_a_client_that_never_ends_its_head_is_told_so_and_one_that_says_nothing_is_closed(steady):
    began = time.monotonic()
    with (
        socket.create_connection(("127.0.0.1", steady.boot.port), timeout=60) as slow,
        socket.create_connection(("127.0.0.1", steady.boot.port), timeout=60) as silent,
    ):
        slow.sendall(b"GET /ready HTTP/1.1\r\nX: ")
        over = threading.Event()

        def drip():
            with contextlib.suppress(OSError):
                while not over.wait(0.2):
                    slow.sendall(b"y")

        dripping = threading.Thread(target=drip)
        dripping.start()
        try:
            assert slow.recv(12) == b"HTTP/1.1 408"
            assert silent.recv(1) == b""
        finally:
            over.set()
            dripping.join()
    assert time.monotonic() - began >= connections.SILENCE_SECONDS  # not before its time


def test_a_client_that_takes_no_answer_is_not_kept_for_ever(steady):
    """It asks and never reads: what waits for it is bounded, and it is as silent as one that says nothing."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(60)
        client.connect(("127.0.0.1", steady.boot.port))
        is_closed = False
        while not is_closed:
            try:
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 8)
                time.sleep(0.02)
            except ConnectionError:
                is_closed = True
