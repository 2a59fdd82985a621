import os
import select

import pytest

from supervisord import descriptor


class Heard:
    def __init__(self) -> None:
        self.news: list[str] = []
        self.faults: list[str] = []
        self.map: dict = {}

    def pipe(self, number: int = 3) -> descriptor.Pipe:
        return descriptor.Pipe(
            number, self.map, lambda: self.news.append("newline"), lambda: self.news.append("end"),
            lambda where, error: self.faults.append(f"{where}: {error}"),
        )  # fmt: skip

    def turn(self) -> None:
        poller = select.poll()
        for fd, item in self.map.items():
            assert item.readable()
            assert not item.writable()
            poller.register(fd, select.POLLIN)
        for fd, _ in poller.poll(0):
            self.map[fd].handle_read_event()


@pytest.fixture
def heard():
    made = Heard()
    yield made
    for pipe in list(made.map.values()):
        pipe.close()
    assert made.faults == []


@pytest.mark.parametrize("pieces", [[b"\n"], [b"ready\n"], [b"rea", b"dy", b"\n"], [b"\nmore\n\n"], [b"\0\xff\n"]])
def test_a_newline_proves_once(heard, pieces):
    pipe = heard.pipe()
    for piece in pieces:
        assert heard.news == []
        os.write(pipe.child_end, piece)
        heard.turn()
    os.write(pipe.child_end, b"\n\n")
    heard.turn()
    assert heard.news == ["newline"]


def test_bytes_without_a_newline_prove_nothing(heard):
    pipe = heard.pipe()
    os.write(pipe.child_end, b"READY=1\r")
    heard.turn()
    assert heard.news == []


def test_the_end_without_a_newline_is_told_and_leaves_nothing_open(heard):
    pipe = heard.pipe()
    os.write(pipe.child_end, b"x")
    pipe.close_child_end()
    heard.turn()
    heard.turn()
    assert heard.news == ["end"]
    assert heard.map == {}
    assert not pipe.readable()


def test_the_end_after_a_newline_is_no_news(heard):
    pipe = heard.pipe()
    os.write(pipe.child_end, b"\n")
    pipe.close_child_end()
    heard.turn()
    heard.turn()
    assert heard.news == ["newline"]
    assert heard.map == {}


def test_who_writes_on_after_its_newline_is_neither_killed_nor_blocked(heard):
    pipe = heard.pipe()
    os.write(pipe.child_end, b"\n")
    heard.turn()
    os.set_blocking(pipe.child_end, False)
    for _ in range(100):
        assert os.write(pipe.child_end, b"x" * 4096) == 4096
        heard.turn()
    assert heard.news == ["newline"]


def test_one_turn_reads_a_bounded_piece(heard):
    pipe = heard.pipe()
    os.write(pipe.child_end, b"x" * 10_000 + b"\n")
    heard.turn()
    assert heard.news == []
    heard.turn()
    heard.turn()
    assert heard.news == ["newline"]


def test_a_closed_pipe_says_nothing_though_its_turn_had_begun(heard):
    pipe = heard.pipe()
    os.write(pipe.child_end, b"\n")
    pipe.close()
    pipe.close()
    pipe.handle_read_event()
    pipe.handle_write_event()
    pipe.handle_error()
    assert heard.news == []
    assert not pipe.readable()
    with pytest.raises(ValueError, match="closed"):
        _ = pipe.child_end


def test_the_programs_end_blocks_as_pipes_do_and_ours_does_not(heard):
    pipe = heard.pipe()
    assert os.get_blocking(pipe.child_end)
    ((ours, _),) = heard.map.items()
    assert not os.get_blocking(ours)
    pipe.handle_read_event()
    assert heard.news == []


def test_both_ends_are_closed_on_exec(heard):
    pipe = heard.pipe()
    assert not any(os.get_inheritable(fd) for fd in (pipe.child_end, *heard.map))


def test_our_end_never_has_the_number_that_the_child_will_use(heard):
    free = heard.pipe()
    number = free.child_end
    free.close()
    pipe = heard.pipe(number)
    assert pipe.child_end > number
    assert not os.get_inheritable(pipe.child_end)
    os.write(pipe.child_end, b"\n")
    heard.turn()
    assert heard.news == ["newline"]
    pipe.close_child_end()
    heard.turn()
    assert heard.map == {}, "no other copy of the child's end is open"


def test_an_exception_in_what_is_called_is_reported_and_does_not_leave():
    faults: list[str] = []
    made: dict = {}

    def fail() -> None:
        raise RuntimeError("no")

    pipe = descriptor.Pipe(3, made, fail, fail, lambda where, error: faults.append(f"{where}: {error}"))
    os.write(pipe.child_end, b"\n")
    pipe.handle_read_event()
    assert faults == ["readiness descriptor: no"]
    pipe.close()
