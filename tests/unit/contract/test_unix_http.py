"""One deadline for everything on a connection, however the other end behaves."""

import contextlib
import http.client
import socket
import threading
from collections.abc import Iterator

import pytest

from contract import unix_http

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
DRIPS = 400
PAUSE_SECONDS = 0.02


@contextlib.contextmanager
def dripping(path: str, first: bytes) -> Iterator[None]:
    """Listen at ``path``; send each who asks ``first``, and then a byte now and then, DRIPS of them."""
    ended = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = listener.accept()
                with peer, contextlib.suppress(OSError):
                    peer.recv(65536)
                    peer.sendall(first)
                    for _ in range(DRIPS):
                        if ended.wait(PAUSE_SECONDS):
                            return
                        peer.sendall(b"x")

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def ask(connection: unix_http.Connection, times: int = 1) -> None:
    for _ in range(times):
        connection.request("GET", "/")
        connection.getresponse().read()


@pytest.mark.parametrize("first", [b"", HEAD], ids=["in the head", "in the body"])
def test_who_sends_a_byte_now_and_then_holds_nobody_longer_than_was_allowed(tmp_path, first):
    """A timeout of each read alone would wait for all the drips, and find a cut answer."""
    path = str(tmp_path / "s")
    with dripping(path, first):
        connection = unix_http.Connection(path, 10 * PAUSE_SECONDS)
        with contextlib.closing(connection), pytest.raises(TimeoutError):
            ask(connection)


def test_the_time_of_a_second_question_is_what_the_first_left(tmp_path):
    path = str(tmp_path / "s")
    with dripping(path, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n"):
        connection = unix_http.Connection(path, 0.5)
        with contextlib.closing(connection), pytest.raises(TimeoutError):
            ask(connection, 50)


def test_what_comes_in_time_is_read(tmp_path):
    path = str(tmp_path / "s")
    with dripping(path, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"):
        connection = unix_http.Connection(path, 60.0)
        with contextlib.closing(connection):
            connection.request("GET", "/")
            answer = connection.getresponse()
            assert (answer.status, answer.read()) == (http.client.OK, b"xxxxx")


def test_who_may_not_ask_is_told_to_be_another_user():
    assert unix_http.remedy(PermissionError(), "x") == unix_http.DENIED
    assert unix_http.remedy(FileNotFoundError(), "x") == "x"
