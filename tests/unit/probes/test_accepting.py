"""Taking clients when the kernel has nothing left to give, and at the end of patience."""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from probes import accepting, client, connections

ROOT = Path(__file__).resolve().parents[3]


class Listener:
    """A listening socket whose accept(2) fails as the test says before it succeeds."""

    family = socket.AF_INET

    def __init__(self, *failures):
        self.real = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.real.setblocking(False)
        self.failures = list(failures)
        self.calls = 0

    def fileno(self):
        return self.real.fileno()

    def close(self):
        self.real.close()

    def accept(self):
        self.calls += 1
        if self.failures:
            raise OSError(self.failures.pop(0), "for a test")
        return self.real.accept()


class Answerer(client.Answerer):
    """Answers every head with its own bytes."""

    def __init__(self, its_client):
        self.client, self.transport = its_client, None

    def connection_made(self, transport):
        self.transport = transport

    def hand_over(self, head):
        self.client.begin_answer()
        self.transport.write(head)
        self.client.end_answer()
        self.client.next_request(keeps=True, has_body=False)
        return True


def scene(play, *failures, limit=10):
    """Run ``play(listener, known)`` with a client who connected already and asked."""

    async def run():
        listener = Listener(*failures)
        known = connections.Connections(asyncio.get_running_loop().time, limit)
        acceptor = accepting.Acceptor(listener, known, lambda: client.Client(known, Answerer, lambda _status: None))
        reader, writer = await asyncio.open_connection(*listener.real.getsockname())
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        acceptor.begin()
        try:
            async with asyncio.timeout(30):
                return await play(listener, known, reader)
        finally:
            acceptor.end()
            writer.close()
            known.end()
            await asyncio.sleep(0)

    return asyncio.run(run())


async def is_answered(_listener, _known, reader):
    return await reader.readuntil(b"\r\n\r\n")


def test_a_client_that_left_while_it_waited_hinders_nobody():
    assert scene(is_answered, errno.ECONNABORTED, errno.EPROTO)


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
def test_without_descriptors_and_without_anybody_to_send_away_it_pauses_and_goes_on(number, caplog, monkeypatch):
    """It neither ends nor turns in a circle: one call of accept(2) for each pause."""
    monkeypatch.setattr(accepting, "PAUSE_SECONDS", 0.01)
    caplog.set_level(logging.WARNING)

    async def play(listener, known, reader):
        data = await is_answered(listener, known, reader)
        return data, listener.calls

    data, calls = scene(play, *[number] * 5)

    assert data == b"GET / HTTP/1.1\r\n\r\n"
    assert 6 <= calls <= 8  # five that failed, the client, and perhaps nobody after it
    assert [record.getMessage() for record in caplog.records] == [f"a client cannot be taken: {os.strerror(number)}"]


def test_without_descriptors_the_longest_silent_client_makes_room():
    async def play(listener, known, reader):
        first = await is_answered(listener, known, reader)
        listener.failures.append(errno.EMFILE)
        other, writer = await asyncio.open_connection(*listener.real.getsockname())
        writer.write(b"GET /other HTTP/1.1\r\n\r\n")
        answers = first, await other.readuntil(b"\r\n\r\n"), await reader.read()
        writer.close()
        return answers

    assert scene(play) == (b"GET / HTTP/1.1\r\n\r\n", b"GET /other HTTP/1.1\r\n\r\n", b"")


def test_where_all_are_being_answered_the_one_who_comes_is_turned_away():
    class Never(Answerer):
        def hand_over(self, head):
            self.client.begin_answer()
            return True

    async def run():
        listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        listener.setblocking(False)
        known = connections.Connections(asyncio.get_running_loop().time, 2)
        acceptor = accepting.Acceptor(listener, known, lambda: client.Client(known, Never, lambda _status: None))
        acceptor.begin()
        opened = []
        for _ in range(2):
            opened.append(await asyncio.open_connection(*listener.getsockname()))
            opened[-1][1].write(b"GET / HTTP/1.1\r\n\r\n")
        while known.answering < 2:  # noqa: ASYNC110  # nobody tells it
            await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        closed = await reader.read()
        for _, each in (*opened, (reader, writer)):
            each.close()
        while len(known):  # noqa: ASYNC110  # nobody tells it
            await asyncio.sleep(0)
        acceptor.end()
        return closed

    assert asyncio.run(asyncio.wait_for(run(), 30)) == b""


def test_where_few_may_be_here_a_crowd_that_comes_at_once_is_heard_one_and_all():
    """Each has asked before anybody was taken: newcomers must not send each other away unheard."""

    class Quick(Answerer):
        def hand_over(self, head):
            self.client.begin_answer()
            self.transport.write(head)
            self.client.end_answer()
            self.client.next_request(keeps=True, has_body=False)
            return True

        def connection_made(self, transport):
            self.transport = transport

    async def run():
        listener = socket.create_server(("127.0.0.1", 0), backlog=200)
        listener.setblocking(False)
        known = connections.Connections(asyncio.get_running_loop().time, 16)
        acceptor = accepting.Acceptor(listener, known, lambda: client.Client(known, Quick, lambda _status: None))
        crowd = [await asyncio.open_connection(*listener.getsockname()) for _ in range(100)]
        for _, writer in crowd:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
        await asyncio.sleep(0)
        acceptor.begin()
        heard = [await reader.read(100) for reader, _ in crowd]
        for _, writer in crowd:
            writer.close()
        while len(known):  # noqa: ASYNC110  # nobody tells it
            await asyncio.sleep(0)
        acceptor.end()
        return heard.count(b"GET / HTTP/1.1\r\n\r\n")

    assert asyncio.run(asyncio.wait_for(run(), 30)) == 100


def test_who_is_at_the_other_end_of_a_unix_socket_is_the_kernels_word(monkeypatch):
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    with ours, theirs:
        assert accepting.is_ours(ours)
        monkeypatch.setattr(accepting.os, "geteuid", lambda: 12345)
        assert accepting.is_ours(ours) == (os.getuid() == 0)
        monkeypatch.setattr(
            socket.socket, "getsockopt", lambda *_: accepting._CREDENTIALS.pack(1, 4242, 0), raising=False
        )
        assert not accepting.is_ours(ours)


STARVED = """
import asyncio, resource, socket, sys
sys.path.insert(0, sys.argv[1])
from probes import accepting, client, connections

class Answerer(client.Answerer):
    def __init__(self, its_client):
        self.client = its_client
    def connection_made(self, transport):
        self.transport = transport
    def hand_over(self, head):
        self.client.begin_answer()
        self.transport.write(head)
        self.client.end_answer()
        self.client.next_request(keeps=True, has_body=False)
        return True

async def run():
    listener = socket.create_server(("127.0.0.1", 0), backlog=1000)
    listener.setblocking(False)
    known = connections.Connections(asyncio.get_running_loop().time, 10_000)
    accepting.Acceptor(listener, known, lambda: client.Client(known, Answerer, lambda _status: None)).begin()
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    print(listener.getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(known.evicted > 0, len(known) < 64, flush=True)

asyncio.run(run())
"""


def test_a_process_that_has_no_descriptor_left_answers_whoever_asks():
    """Its own bound is far away, and the kernel says no: 300 silent clients, and each that asks is answered."""
    with subprocess.Popen(
        [sys.executable, "-c", STARVED, str(ROOT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        with contextlib.ExitStack() as crowd:
            for _ in range(300):
                crowd.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            for _ in range(50):
                with socket.create_connection(("127.0.0.1", port), timeout=30) as one:
                    one.sendall(b"GET / HTTP/1.1\r\n\r\n")
                    assert one.recv(100) == b"GET / HTTP/1.1\r\n\r\n"
            out, _ = process.communicate(timeout=60)
    assert out == "True True\n"
    assert process.returncode == 0
