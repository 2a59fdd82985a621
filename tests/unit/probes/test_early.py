"""Before the HTTP server is loaded: alive, and nothing is ready."""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Iterator

import pytest

from probes import early, heads, response

DEADLINE_SECONDS = 30.0


@pytest.fixture
def port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        answers = early.EarlyAnswers(listener, DEADLINE_SECONDS)
        answers.begin()
        yield listener.getsockname()[1]
        for connection, _ in answers.end():
            connection.close()


def get(port: int, path: str, method: str = "GET") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("path", ["/livez", "/livez/", "/livez?x=1", "/healthz"])
def test_it_is_live_before_the_server_is_loaded(port: int, path: str) -> None:
    status, body = get(port, path)
    assert status == 200
    assert json.loads(body)["live"] is True


@pytest.mark.parametrize(
    "request_line", [b"GET /ready HTTP/1.1", b"GET /startupz?wait=25s HTTP/1.1", b"POST /livez HTTP/1.1"]
)
def test_every_other_request_is_kept_whole_for_the_server(request_line: bytes) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        answers = early.EarlyAnswers(listener, DEADLINE_SECONDS)
        answers.begin()
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(request_line + b"\r\nHost: x\r\n\r\n")
            assert get(listener.getsockname()[1], "/livez")[0] == 200
            [(connection, head)] = answers.end()
            with connection:
                assert head == request_line + b"\r\nHost: x\r\n\r\n"
                connection.setblocking(True)
                connection.sendall(b"the server's answer")
                assert client.recv(100) == b"the server's answer"


@pytest.mark.parametrize(
    "head",
    [
        b"GET /livez HTTP/1.1\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
        b"GET /livez\r\n\r\n", b"GET /livez HTTP/1.1\nHost: x\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: x\nX: y\r\n\r\n",
        b"GET  /livez HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost:\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\nX: \x00\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET /livez HTTP/1.1\r\nHost: x\r\nNo colon\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET /ready HTTP/1.1\r\nHost: x\r\n\r\n", b"get /livez HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: x\r\nX: " + b"y" * heads.LIMIT + b"\r\n\r\n", b"GET /livez/x HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_in_doubt_is_the_servers_to_answer(head: bytes) -> None:
    assert not early.is_for_us(head)


@pytest.mark.parametrize(
    "connection", [b"", b"Connection: close\r\n", b"User-Agent: kube-probe/1.31\r\nAccept: */*\r\n"]
)
def test_what_a_kubelet_and_curl_send_is_answered(connection: bytes) -> None:
    assert early.is_for_us(b"GET /livez HTTP/1.1\r\nHost: [::1]:8080\r\n" + connection + b"\r\n")


def test_what_nobody_measured_is_not_told(port: int) -> None:
    value = json.loads(get(port, "/livez")[1])

    assert value.pop("uptime_seconds") >= 0
    assert value == {"live": True, "loop_lag_seconds": None, "heartbeat_age_seconds": None}


def test_loading_that_takes_longer_than_the_deadline_is_not_live() -> None:
    head, _, body = early.answer(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n", 30.5, 30.0).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: 1\r\n" in head
    assert json.loads(body)["reason"] == "the probe server has been loading for 30.5 s, and the deadline is 30 s"


def test_the_deadline_that_counts_is_the_one_it_was_given() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        answers = early.EarlyAnswers(listener, 0.0)
        answers.begin()
        assert get(listener.getsockname()[1], "/livez")[0] == 503
        answers.end()


def test_head_has_no_body(port: int) -> None:
    assert get(port, "/livez", "HEAD") == (200, b"")


def test_clients_that_say_nothing_or_little_hold_nobody_up(port: int) -> None:
    """More of them than are kept: the oldest must go, and nothing waits for any of them."""
    with contextlib.ExitStack() as clients:
        for _ in range(early.KEPT_LIMIT + 100):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
            client.sendall(b"GET /li")
        assert get(port, "/livez")[0] == 200
        first = clients.enter_context(socket.create_connection(("127.0.0.1", port)))
        first.sendall(b"GET /livez HTTP/1.1\r\n")
        assert get(port, "/livez")[0] == 200
        first.sendall(b"Host: x\r\n\r\n")
        assert first.recv(13) == b"HTTP/1.1 200 "


def test_those_who_are_kept_are_bounded_and_the_oldest_goes() -> None:
    with contextlib.ExitStack() as clients:
        listener = clients.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        listener.setblocking(False)
        answers = early.EarlyAnswers(listener, DEADLINE_SECONDS)
        answers.begin()
        here = [
            clients.enter_context(socket.create_connection(listener.getsockname(), timeout=30))
            for _ in range(early.KEPT_LIMIT + 10)
        ]
        assert get(listener.getsockname()[1], "/livez")[0] == 200
        assert [client.recv(1) for client in here[:10]] == [b""] * 10
        kept = answers.end()
        for connection, _ in kept:
            connection.close()
        assert len(kept) == early.KEPT_LIMIT - 1  # one more made room for the question above


def test_an_answer_has_the_headers_that_every_answer_has(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/livez")
    headers = connection.getresponse().headers
    connection.close()

    assert {name: headers[name] for name in response.HEADERS} == response.HEADERS
    assert headers["Connection"] == "close"


def test_it_has_ended_when_end_returns() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        answers = early.EarlyAnswers(listener, DEADLINE_SECONDS)
        answers.begin()
        answers.end()
        with socket.create_connection(listener.getsockname()) as client:
            client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(0.1)
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(100)
