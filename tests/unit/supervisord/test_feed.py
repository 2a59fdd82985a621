import json
import os
import select
import socket
import stat

import pytest

from supervisord import feed
from tests.unit import children

PATIENCE_SECONDS = 10.0


class Loop:
    """The loop of supervisord, reduced to its socket map: what is readable or writable is handled."""

    def __init__(self, path: str) -> None:
        self.map: dict = {}
        self.heard: list[tuple[str, int, bool]] = []
        self.reports: list[tuple[str, int, dict]] = []
        self.current = b'{"type": "snapshot"}\n'
        self.feed = feed.Feed(path, self.map, lambda: self.current, self._hear, self._take)
        self.path = path
        self.clients: list[socket.socket] = []

    def _hear(self, *news) -> None:
        self.heard.append(news)

    def _take(self, *report) -> None:
        self.reports.append(report)

    def turn(self, times: int = 3) -> None:
        for _ in range(times):
            poller = select.poll()
            for fd, item in self.map.items():
                poller.register(
                    fd, (select.POLLIN if item.readable() else 0) | (select.POLLOUT if item.writable() else 0)
                )
            for fd, mask in poller.poll(0):
                item = self.map.get(fd)
                if item is not None and mask & (select.POLLIN | select.POLLHUP):
                    item.handle_read_event()
                if item is not None and mask & select.POLLOUT:
                    item.handle_write_event()

    def connect(self) -> socket.socket:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(PATIENCE_SECONDS)
        client.connect(self.path)
        self.clients.append(client)
        self.turn()
        return client

    def drain(self, client: socket.socket) -> bytes:
        """Turn and receive until nothing more comes."""
        client.setblocking(False)
        data = b""
        while True:
            self.turn(1)
            try:
                data += client.recv(1 << 20)
            except BlockingIOError:
                return data

    def subscribe(self, name: str = "probes") -> socket.socket:
        client = self.connect()
        client.sendall(json.dumps({"subscribe": name, "pid": 1}).encode() + b"\n")
        self.turn()
        return client


@pytest.fixture
def loop(tmp_path):
    made = Loop(str(tmp_path / "ledger.sock"))
    yield made
    made.feed.close()
    for client in made.clients:
        client.close()


def test_a_subscriber_gets_the_whole_ledger_first_and_then_what_is_broadcast(loop):
    client = loop.subscribe()
    loop.feed.broadcast(b'{"type": "change"}\n')
    assert client.recv(1000) == b'{"type": "snapshot"}\n{"type": "change"}\n'


def test_a_subscriber_is_known_by_the_kernels_word_and_not_by_its_own(loop):
    loop.subscribe("probes")
    assert loop.heard == [("probes", os.getpid(), True)]


def test_nothing_is_sent_to_who_did_not_subscribe(loop):
    client = loop.connect()
    loop.feed.broadcast(b"x\n")
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(10)
    assert loop.heard == []


def test_a_hello_may_come_in_pieces(loop):
    client = loop.connect()
    for piece in (b'{"subs', b'cribe": "pro', b'bes"}\n'):
        client.sendall(piece)
        loop.turn()
    assert loop.heard == [("probes", os.getpid(), True)]


def test_each_later_line_of_a_subscriber_is_a_report_under_its_first_name(loop):
    """On purpose: what follows the hello was ignored before there were verdicts; a second hello is only a report."""
    client = loop.subscribe("probes")
    for piece in (b'{"verdict": {"ok"', b": true}}\n", b'{"seen": "stopping"}\n{"subscribe": "other"}\n{"more'):
        client.sendall(piece)
        loop.turn()
    me = os.getpid()
    assert loop.reports == [
        ("probes", me, {"verdict": {"ok": True}}), ("probes", me, {"seen": "stopping"}), ("probes", me, {"subscribe": "other"}),
    ]  # fmt: skip
    assert loop.heard == [("probes", me, True)]


@pytest.mark.parametrize("line", [b"garbage\n", b"[]\n", b"1\n", b"\n", b"\xff\n", b"[" * 4000 + b"\n"], ids=repr)
def test_a_report_that_is_none_ends_the_subscription_and_what_stands_behind_it_is_not_heard(loop, line):
    client = loop.subscribe("probes")
    client.sendall(b'{"a": 1}\n' + line + b'{"b": 2}\n')
    loop.turn()
    assert [report for _, _, report in loop.reports] == [{"a": 1}]
    assert loop.heard[-1] == ("probes", os.getpid(), False)


@pytest.mark.parametrize("end", [b"", b"\n", b'\n{"b": 2}\n'], ids=["unfinished", "whole", "followed"])
def test_a_line_that_is_too_long_ends_the_connection_whether_it_ended_or_not(loop, end):
    client = loop.subscribe("probes")
    client.sendall(b'{"a": "' + b"x" * feed.LINE_LIMIT + b'"}' + end)
    loop.turn()
    assert loop.reports == []
    assert loop.heard[-1] == ("probes", os.getpid(), False)


def test_many_lines_at_once_are_no_long_line(loop):
    client = loop.subscribe("probes")
    client.sendall(b'{"a": 1}\n' * 3000)
    loop.turn(10)
    assert len(loop.reports) == 3000


def test_nobody_reports_before_the_hello(loop):
    client = loop.connect()
    client.sendall(b'{"verdict": {}}\n{"subscribe": "probes"}\n')
    loop.turn()
    assert (loop.reports, loop.heard) == ([], [])
    assert client.recv(10) == b""


@pytest.mark.parametrize(
    "hello",
    [
        b"\n", b"garbage\n", b"\xff\xff\n", b"[]\n", b"{}\n", b"1\n", b"null\n", b'"subscribe"\n', b'{"subscribe": 1}\n',
        b'{"subscribe": null}\n', b"[" * 4000 + b"\n", b"x" * 5000,
    ],
    ids=lambda value: repr(value[:12]),
)  # fmt: skip
def test_a_hello_that_is_none_ends_the_connection_and_nothing_else(loop, hello):
    other = loop.subscribe("probes")
    client = loop.connect()
    client.sendall(hello)
    loop.turn()
    assert client.recv(10) == b""
    loop.feed.broadcast(b"still here\n")
    assert other.recv(1000).endswith(b"still here\n")
    assert loop.heard == [("probes", os.getpid(), True)]


def test_an_end_of_the_connection_ends_the_subscription(loop):
    client = loop.subscribe()
    client.close()
    loop.turn()
    assert loop.heard == [("probes", os.getpid(), True), ("probes", os.getpid(), False)]
    assert len(loop.map) == 1


def test_a_subscriber_that_is_gone_is_noticed_by_a_broadcast_too(loop):
    client = loop.subscribe()
    client.close()
    loop.feed.broadcast(b"x" * 100_000 + b"\n")
    assert loop.heard[-1] == ("probes", os.getpid(), False)
    loop.feed.broadcast(b"x\n")
    assert len(loop.heard) == 2


def test_a_subscriber_that_does_not_read_never_blocks_and_is_dropped_alone(loop):
    loop.subscribe("slow")
    quick = loop.subscribe("quick")
    line = b"x" * 500_000 + b"\n"
    received = b""
    for _ in range(30):
        loop.feed.broadcast(line)
        received += loop.drain(quick)
    assert loop.heard[2:] == [("slow", os.getpid(), False)]
    assert received == loop.current + 30 * line


def test_a_backlog_reaches_a_reader_whole_and_in_order(loop):
    client = loop.subscribe()
    lines = [b"%06d %s\n" % (number, b"x" * 2000) for number in range(1500)]
    for line in lines:
        loop.feed.broadcast(line)
    assert loop.drain(client) == loop.current + b"".join(lines)


def test_one_connection_too_many_is_closed_at_once(loop):
    for _ in range(feed.SUBSCRIBER_LIMIT):
        loop.connect()
    assert loop.connect().recv(10) == b""
    assert len(loop.map) == 1 + feed.SUBSCRIBER_LIMIT
    loop.clients[0].close()
    loop.turn()
    late = loop.connect()
    late.sendall(b'{"subscribe": "probes"}\n')
    loop.turn()
    assert late.recv(1000) == loop.current


def test_the_socket_is_this_users_alone(loop):
    assert stat.S_IMODE(os.stat(loop.path).st_mode) == 0o700


def test_what_an_earlier_generation_left_is_replaced(loop, tmp_path):
    loop.feed.close()
    assert loop.map == {}
    assert os.path.exists(loop.path)
    again = Loop(loop.path)
    try:
        assert again.subscribe().recv(1000) == again.current
    finally:
        again.feed.close()
        for client in again.clients:
            client.close()


def test_an_error_in_one_connection_ends_only_that_one(loop):
    one, two = loop.subscribe("one"), loop.subscribe("two")
    broken = next(item for item in loop.map.values() if isinstance(item, feed.Subscriber))
    broken.handle_error()
    loop.feed.broadcast(b"x\n")
    assert one.recv(1000) == loop.current
    assert one.recv(1000) == b""
    assert two.recv(1000) == loop.current + b"x\n"
    loop.feed.handle_error()
    loop.feed.handle_write_event()
    assert not loop.feed.writable()


def test_events_for_a_connection_that_was_dropped_in_the_same_turn_change_nothing(loop):
    loop.subscribe()
    dropped = next(item for item in loop.map.values() if isinstance(item, feed.Subscriber))
    loop.feed.drop(dropped)
    dropped.handle_read_event()
    dropped.send(b"x\n")
    dropped.handle_write_event()
    dropped.handle_error()
    assert loop.heard == [("probes", os.getpid(), True), ("probes", os.getpid(), False)]


def test_no_descriptor_of_the_feed_is_inherited(loop):
    loop.subscribe()
    assert not any(os.get_inheritable(fd) for fd in loop.map)


def test_who_comes_again_before_the_old_connection_ended_stays_subscribed(tmp_path):
    loop = Loop(f"{tmp_path}/ledger.sock")
    first = loop.subscribe()
    loop.turn()
    second = loop.subscribe()
    loop.turn()
    first.close()
    loop.turn()
    assert [began for _, _, began in loop.heard] == [True, True]
    second.close()
    loop.turn()
    assert [began for _, _, began in loop.heard] == [True, True, False]
    loop.feed.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_process_of_another_uid_is_not_let_in_though_it_can_connect(loop):
    """The mode says so already; were it ever wrong, the kernel's word about the peer decides."""
    os.chmod(loop.path, 0o666)
    os.chmod(os.path.dirname(loop.path), 0o755)
    read, write = os.pipe()

    def connect() -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(loop.path)
            client.sendall(b'{"subscribe": "probes"}\n')
            os.write(write, b"x")
            try:
                return client.recv(10) == b""
            except ConnectionResetError:
                return True

    child = children.start(lambda: children.run_as_nobody(connect) == 0)
    os.read(read, 1)
    loop.turn()
    assert children.ended(child) == 0
    assert (loop.heard, len(loop.map)) == ([], 1)
    os.close(read)
    os.close(write)


def test_who_connects_as_root_is_let_in_whoever_pid_1_is(loop, monkeypatch):
    real = feed._peer
    monkeypatch.setattr(feed, "_peer", lambda connection: (real(connection)[0], 0))
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    loop.subscribe()
    assert loop.heard == [("probes", os.getpid(), True)]
