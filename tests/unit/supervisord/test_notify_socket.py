import array
import os
import select
import socket
import stat
import struct
import subprocess
import sys

import pytest

from supervisord import notify_socket
from tests.unit import children

PATIENCE_SECONDS = 30.0
FLOOD = """
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(sys.argv[1])
for number in range(int(sys.argv[2])):
    s.send(b"READY=1\\nSTATUS=%d" % number)
"""


class Heard:
    def __init__(self, path: str, **options) -> None:
        self.path = path
        self.map: dict = {}
        self.datagrams: list[tuple[bytes, int, int]] = []
        self.refused: list[str] = []
        self.faults: list[str] = []
        self.on_datagram = lambda *datagram: self.datagrams.append(datagram)
        self.socket = notify_socket.NotifySocket(
            path, self.map, lambda *datagram: self.on_datagram(*datagram), self.refused.append,
            lambda where, error: self.faults.append(f"{where}: {error}"), **options,
        )  # fmt: skip
        self.sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sender.connect(path)

    @property
    def said(self) -> list[bytes]:
        return [data for data, _, _ in self.datagrams]

    def turn(self, seconds: float = 0.0) -> None:
        poller = select.poll()
        for fd, item in self.map.items():
            assert item.readable()
            assert not item.writable()
            poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll(seconds * 1000):
            self.map[fd].handle_read_event()

    def send(self, data: bytes, *descriptors: int) -> None:
        self.sender.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])

    def close(self) -> None:
        self.socket.close()
        self.sender.close()


@pytest.fixture
def heard(tmp_path):
    made = Heard(f"{tmp_path}/notify.sock")
    yield made
    made.close()


def descriptors_now() -> set[int]:
    listed = {int(name) for name in os.listdir("/proc/self/fd")}
    return {fd for fd in listed if os.path.lexists(f"/proc/self/fd/{fd}")}  # without the one that listed them


def open_descriptors() -> int:
    return len(descriptors_now())


def is_ended(fd: int) -> bool:
    """Say whether the pipe that ``fd`` reads has no writer left."""
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    return any(mask & select.POLLHUP for _, mask in poller.poll(0))


def test_a_datagram_comes_with_the_kernels_word_on_its_sender(heard):
    heard.sender.send(b"READY=1")
    heard.turn()
    assert heard.datagrams == [(b"READY=1", os.getpid(), os.getuid())]


def test_a_sender_that_is_dead_already_is_told_by_the_pid_it_had(heard):
    code = "import socket,sys; socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(b'READY=1', sys.argv[1])"
    child = subprocess.Popen([sys.executable, "-c", code, heard.path])
    assert child.wait() == 0
    heard.turn()
    assert heard.datagrams == [(b"READY=1", child.pid, os.getuid())]


def test_a_sender_cannot_claim_another_pid(heard):
    parent = os.getpid()

    def claim() -> bool:
        claimed = struct.pack("3i", parent, os.getuid(), os.getgid())
        try:
            heard.sender.sendmsg([b"READY=1"], [(socket.SOL_SOCKET, socket.SCM_CREDENTIALS, claimed)])
        except PermissionError:
            return True
        return False

    assert children.run_as_nobody(claim) == 0
    heard.turn()
    assert heard.datagrams == []


def test_an_empty_datagram_is_one_too(heard):
    heard.sender.send(b"")
    heard.turn()
    assert heard.said == [b""]


def test_an_oversized_datagram_is_refused_whole(heard):
    heard.sender.send(b"READY=1\n".ljust(4096, b"x"))
    heard.sender.send(b"READY=1\n".ljust(4097, b"x"))
    heard.sender.send(b"READY=1\n".ljust(100_000, b"x"))
    heard.turn()
    assert [len(data) for data in heard.said] == [4096]
    assert len(heard.refused) == 2
    assert all(f"pid {os.getpid()}" in reason and "4096" in reason for reason in heard.refused)


@pytest.mark.parametrize("count", [1, 2, 253])
@pytest.mark.parametrize("size", [7, 5000])
def test_every_descriptor_that_came_along_is_closed(heard, count, size):
    read, write = os.pipe()
    before = open_descriptors()
    heard.send(b"x" * size, *([write] * count))
    os.close(write)
    assert not is_ended(read), "it is on its way"
    heard.turn()
    assert is_ended(read)
    os.close(read)
    assert open_descriptors() == before - 2
    assert len(heard.datagrams) + len(heard.refused) == 1


def test_descriptors_are_closed_also_when_delivery_fails_and_the_next_datagram_comes(heard):
    def fail(*_):
        raise RuntimeError("no")

    heard.on_datagram = fail
    read, write = os.pipe()
    heard.send(b"READY=1", write)
    heard.sender.send(b"READY=1")
    os.close(write)
    heard.turn()
    assert is_ended(read)
    os.close(read)
    assert heard.faults == ["notify datagram: no", "notify datagram: no"]


def test_a_barrier_is_answered_only_after_everything_before_it_was_delivered(heard):
    read, write = os.pipe()
    ended: list[tuple[bytes, bool]] = []
    heard.on_datagram = lambda data, _pid, _uid: ended.append((data, is_ended(read)))
    for number in range(4):
        heard.sender.send(b"%d" % number)
    heard.send(b"BARRIER=1", write)
    os.close(write)
    heard.turn()
    assert ended == [(data, False) for data in (b"0", b"1", b"2", b"3", b"BARRIER=1")]
    assert is_ended(read)
    os.close(read)


def test_when_no_descriptor_can_be_taken_the_datagram_is_refused_and_nothing_leaks(heard):
    import resource

    read, write = os.pipe()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(read)
    os.close(free)
    heard.send(b"READY=1", write, write, write)
    os.close(write)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free + 1, hard))
    try:
        heard.socket.handle_read_event()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert heard.datagrams == []
    assert "more descriptors" in heard.refused[0]
    assert is_ended(read)
    os.close(read)


def test_a_socket_that_would_linger_does_not_hold_up_its_close(heard):
    listener = socket.create_server(("127.0.0.1", 0))
    sent = socket.create_connection(listener.getsockname())
    sent.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 3600))
    heard.send(b"READY=1", sent.fileno(), listener.fileno())
    heard.turn()
    assert struct.unpack("ii", sent.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8))[0] == 0
    sent.send(b"it is open still")
    sent.close()
    listener.close()
    assert len(heard.datagrams) == 1


def test_what_is_received_is_closed_on_exec(heard):
    inheritable: list[bool] = []
    before = descriptors_now()

    def look(*_):
        inheritable.extend(os.get_inheritable(fd) for fd in descriptors_now() - before)

    heard.on_datagram = look
    heard.send(b"READY=1", 0, 1, 2)
    heard.turn()
    assert inheritable == [False] * 3
    assert not os.get_inheritable(next(iter(heard.map)))


def test_one_turn_takes_a_bounded_number(heard, tmp_path):
    sender = subprocess.Popen([sys.executable, "-c", FLOOD, heard.path, "200"])
    turns = 0
    while len(heard.datagrams) < 200:
        before = len(heard.datagrams)
        heard.turn(PATIENCE_SECONDS)
        taken = len(heard.datagrams) - before
        assert 0 < taken <= notify_socket.DATAGRAMS_A_TURN
        turns += 1
    assert sender.wait() == 0
    assert turns >= 200 / notify_socket.DATAGRAMS_A_TURN


def test_a_turn_ends_though_its_sender_is_never_behind(heard):
    """Whoever fills the queue again for each datagram that is taken does not keep the loop."""
    heard.on_datagram = lambda *datagram: (heard.datagrams.append(datagram), heard.sender.send(b"again"))
    heard.sender.send(b"READY=1")
    heard.turn()
    assert len(heard.datagrams) == notify_socket.DATAGRAMS_A_TURN


def test_a_flood_loses_nothing_and_leaves_nothing(heard):
    count = 100_000
    taken = 0
    last = b""

    def take(data, _pid, _uid):
        nonlocal taken, last
        taken, last = taken + 1, data

    heard.on_datagram = take
    descriptors = open_descriptors()
    sender = subprocess.Popen([sys.executable, "-c", FLOOD, heard.path, str(count)])
    resident = 0
    while taken < count:
        before = taken
        heard.turn(PATIENCE_SECONDS)
        assert before < taken <= before + notify_socket.DATAGRAMS_A_TURN
        if taken >= 10_000 and not resident:
            resident = resident_kib()
    assert sender.wait() == 0
    assert last == b"READY=1\nSTATUS=%d" % (count - 1)
    assert open_descriptors() == descriptors
    assert resident_kib() - resident < 4096
    assert heard.faults == []


def resident_kib() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


@pytest.mark.parametrize("mode", [0o700, 0o666])
def test_the_socket_has_the_mode_that_was_asked_for(tmp_path, mode):
    before = os.umask(0o027)
    try:
        made = Heard(f"{tmp_path}/notify.sock", mode=mode)
        assert stat.S_IMODE(os.stat(made.path).st_mode) == mode
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    made.close()


def test_by_default_the_socket_is_this_users_alone(heard):
    assert stat.S_IMODE(os.stat(heard.path).st_mode) == 0o700


def test_what_an_earlier_generation_left_is_replaced(heard):
    heard.close()
    assert heard.map == {}
    assert os.path.exists(heard.path)
    again = Heard(heard.path)
    again.sender.send(b"READY=1")
    again.turn()
    assert again.said == [b"READY=1"]
    again.close()


def test_a_path_that_cannot_be_bound_is_an_error_that_leaks_nothing(tmp_path):
    before = open_descriptors()
    for path in (f"{tmp_path}/none/notify.sock", f"{tmp_path}/{'x' * 120}"):
        with pytest.raises(OSError, match=r"."):
            Heard(path)
    assert open_descriptors() == before


def test_a_closed_socket_says_nothing_though_its_turn_had_begun(heard):
    heard.sender.send(b"READY=1")
    heard.socket.close()
    heard.socket.close()
    heard.socket.handle_read_event()
    heard.socket.handle_write_event()
    heard.socket.handle_error()
    assert not heard.socket.readable()
    assert (heard.datagrams, heard.refused, heard.faults) == ([], [], [])


def test_it_may_be_closed_while_a_datagram_is_delivered(heard):
    heard.on_datagram = lambda *datagram: (heard.datagrams.append(datagram), heard.socket.close())
    heard.sender.send(b"1")
    heard.sender.send(b"2")
    heard.turn()
    assert heard.said == [b"1"]
    assert heard.faults == []
