"""tcp and unix checks against real sockets."""

import asyncio
import os
import socket
import threading
import types

import pytest

from manifest import plan
from probes.checks import connect
from tests.unit import boots


def tcp(port, host="127.0.0.1"):
    return asyncio.run(asyncio.wait_for(connect.tcp(boots.check(plan.TCP, host=host, port=port)), 30))


def unix(path):
    return asyncio.run(asyncio.wait_for(connect.unix(boots.check(plan.UNIX, path=str(path))), 30))


@pytest.fixture
def listener():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_accepts_passes(listener, host):
    assert tcp(listener.getsockname()[1], host).ok


def test_the_connection_is_closed_at_once(listener):
    tcp(listener.getsockname()[1])
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(30)
        assert connection.recv(1) == b""


def test_a_port_that_nobody_listens_on_is_refused_in_words(make):
    outcome = tcp(make.free_port())

    assert (outcome.ok, outcome.reason) == (False, "connection refused")


def test_a_connection_to_itself_is_no_listener(monkeypatch):
    """TCP's simultaneous open: a connection whose source port happens to be its destination succeeds."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    class Unlucky(socket.socket):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.bind(("127.0.0.1", port))

    monkeypatch.setattr(connect, "socket", types.SimpleNamespace(**(vars(socket) | {"socket": Unlucky})))

    assert tcp(port).reason == "connection refused"


def test_an_unknown_name_is_said(monkeypatch):
    def unknown(*_arguments, flags=0, **_more):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(connect.socket, "getaddrinfo", unknown)

    assert tcp(1, "nowhere.invalid").reason == "nowhere.invalid: name or service not known"


def test_a_name_server_that_hangs_holds_up_neither_the_loop_nor_its_end(monkeypatch):
    release, ended = threading.Event(), []
    real = socket.getaddrinfo

    def hang(*arguments, flags=0, **more):
        if flags:
            return real(*arguments, flags=flags, **more)
        release.wait(30)
        ended.append(True)
        return []

    monkeypatch.setattr(connect.socket, "getaddrinfo", hang)

    async def scene():
        check = connect.tcp(boots.check(plan.TCP, host="nowhere.invalid", port=1))
        task = asyncio.get_running_loop().create_task(check)
        await asyncio.sleep(0)
        await asyncio.to_thread(lambda: None)  # the loop turns, and its own threads are free
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(scene())  # joins the loop's threads
    assert not ended
    release.set()


def test_a_unix_socket_that_accepts_passes(tmp_path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        server.listen()

        assert unix(tmp_path / "s").ok


def test_a_unix_socket_whose_queue_is_full_is_not_ready(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as waiting:
        server.bind(str(tmp_path / "s"))
        server.listen(0)
        waiting.connect(str(tmp_path / "s"))

        assert unix(tmp_path / "s").reason == f"{tmp_path}/s: its queue is full, nobody accepts"


@pytest.mark.parametrize(("kind", "reason"), [("none", "no such file or directory"), ("left", "connection refused")])
def test_a_unix_socket_without_a_listener_is_said(tmp_path, kind, reason):
    path = tmp_path / "s"
    if kind == "left":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))

    assert unix(path).reason == f"{path}: {reason}"


def test_a_check_leaves_no_descriptor_open(listener, make, tmp_path):
    port, refused = listener.getsockname()[1], make.free_port()
    tcp(port)
    before = len(os.listdir("/proc/self/fd"))

    for _ in range(5):
        tcp(port), tcp(refused), unix(tmp_path / "none")

    assert len(os.listdir("/proc/self/fd")) == before
