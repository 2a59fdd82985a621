import os
import select

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import masking as masks
from supervisord import output


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    yield reader, writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue  # the test closed it


def read_all(fd: int) -> bytes:
    data = b""
    while True:
        try:
            chunk = os.read(fd, 1 << 20)
        except BlockingIOError:
            return data
        if not chunk:
            return data
        data += chunk


def fill(channel: output.Channel, count: int) -> int:
    """Write ``count`` numbered lines; return how many were kept."""
    return sum(channel.write(b"%06d %s\n" % (number, b"x" * 993)) for number in range(count))


def test_what_the_descriptor_takes_is_written_at_once(pipe):
    reader, writer = pipe
    channel = output.Channel(writer)
    assert channel.write(b"one\n")
    assert not channel.writable()
    assert read_all(reader) == b"one\n"


def test_a_descriptor_that_nobody_reads_never_blocks_and_loses_no_flag(pipe):
    reader, writer = pipe
    assert os.get_blocking(writer)
    channel = output.Channel(writer)
    assert fill(channel, 300) == 300
    assert channel.writable()
    assert os.get_blocking(writer)
    data = read_all(reader)
    while channel.writable():
        channel.handle_write_event()
        data += read_all(reader)
    assert data == b"".join(b"%06d %s\n" % (number, b"x" * 993) for number in range(300))
    assert channel.dropped == 0


def test_the_backlog_is_bounded_and_what_does_not_fit_is_dropped_by_whole_lines_and_counted(pipe):
    reader, writer = pipe
    channel = output.Channel(writer)
    kept = fill(channel, 2000)
    assert kept < 2000
    assert channel.dropped == 2000 - kept
    assert not channel.write(b"x" * output.BACKLOG_LIMIT + b"\nand\nmore\n")
    assert channel.dropped == 2000 - kept + 3
    data = read_all(reader)
    while channel.writable():
        channel.handle_write_event()
        data += read_all(reader)
    lines = data.splitlines()
    assert len(lines) == kept
    assert [int(line[:6]) for line in lines] == list(range(kept))
    assert all(len(line) == 1000 for line in lines)


def test_after_a_reader_came_back_everything_is_taken_again(pipe):
    reader, writer = pipe
    channel = output.Channel(writer)
    fill(channel, 2000)
    while channel.writable():
        read_all(reader)
        channel.handle_write_event()
    read_all(reader)
    assert channel.write(b"again\n")
    assert read_all(reader) == b"again\n"


def test_a_reader_that_is_gone_ends_the_channel_quietly_and_is_counted(pipe):
    reader, writer = pipe
    channel = output.Channel(writer)
    fill(channel, 100)
    waiting = channel.writable()
    os.close(reader)
    channel.handle_write_event()
    assert waiting
    assert not channel.writable()
    assert channel.dropped > 0
    before = channel.dropped
    assert not channel.write(b"more\nand more\n")
    assert channel.dropped == before + 2


def test_a_full_descriptor_whose_reader_is_gone_is_not_waited_for(pipe):
    """It is in error and never writable again: a loop that waited for it would spin."""
    reader, writer = pipe
    channel = output.Channel(writer)
    fill(channel, 100)
    assert channel.writable()
    os.close(reader)
    assert not channel.writable()
    assert channel.is_broken


def test_a_closed_descriptor_never_raises(pipe):
    _, writer = pipe
    os.close(writer)
    channel = output.Channel(writer)
    assert not channel.write(b"x\n")
    assert (channel.dropped, channel.writable()) == (1, False)


def test_a_descriptor_that_another_process_made_non_blocking_is_only_full(pipe, monkeypatch):
    """O_NONBLOCK is shared: between poll and write another process may take the room that poll promised."""
    reader, writer = pipe
    os.set_blocking(writer, False)
    channel = output.Channel(writer)
    real = os.write

    def refused(_fd, _data):
        raise BlockingIOError

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", refused)
        assert channel.write(b"kept\n")
    assert channel.writable()
    assert os.write is real
    channel.handle_write_event()
    assert read_all(reader) == b"kept\n"


def test_no_write_is_longer_than_what_poll_promises(pipe, monkeypatch):
    reader, writer = pipe
    sizes = []
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: sizes.append(len(data)) or real(fd, data))
    output.Channel(writer).write(b"x" * 20_000 + b"\n")
    assert max(sizes) <= select.PIPE_BUF
    assert len(read_all(reader)) == 20_001


def test_supervisords_loop_never_reads_from_a_channel_and_an_error_ends_it(pipe):
    _, writer = pipe
    channel = output.Channel(writer)
    fill(channel, 100)
    assert not channel.readable()
    channel.handle_read_event()
    channel.handle_error()
    assert not channel.writable()


class Sink(output.Channel):
    """Takes everything in memory."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.taken: list[bytes] = []

    def write(self, data: bytes) -> bool:
        self.taken.append(data)
        return True


def forwarder() -> tuple[output.LineForwarder, Sink, Sink]:
    out, err = Sink(), Sink()
    return output.LineForwarder({"stdout": out, "stderr": err}), out, err


def test_only_whole_lines_are_forwarded_and_a_rest_waits_for_its_end():
    lines, out, _ = forwarder()
    lines.take("api", "stdout", b"one\ntw")
    assert out.taken == [b"one\n"]
    lines.take("api", "stdout", b"o")
    assert out.taken == [b"one\n"]
    lines.take("api", "stdout", b"\n\nthree\n")
    assert out.taken == [b"one\n", b"two\n\nthree\n"]


def test_programs_and_streams_never_mix_within_a_line():
    lines, out, err = forwarder()
    lines.take("a", "stdout", b"aaa")
    lines.take("b", "stdout", b"bbb")
    lines.take("a", "stderr", b"eee")
    lines.take("b", "stdout", b"B\n")
    lines.take("a", "stdout", b"A\n")
    lines.take("a", "stderr", b"E\n")
    assert out.taken == [b"bbbB\n", b"aaaA\n"]
    assert err.taken == [b"eeeE\n"]


def test_what_is_left_when_a_program_ends_is_forwarded_as_a_line():
    lines, out, err = forwarder()
    lines.take("a", "stdout", b"last")
    lines.take("a", "stderr", b"words")
    lines.end("a")
    lines.end("a")
    assert (out.taken, err.taken) == ([b"last\n"], [b"words\n"])


def test_a_line_without_end_is_cut_and_memory_is_bounded():
    lines, out, _ = forwarder()
    for _ in range(100):
        lines.take("a", "stdout", b"x" * 1000)
    assert len(out.taken) == 5
    assert all(len(data) <= output.LINE_LIMIT + 1001 and data.endswith(b"\n") for data in out.taken)
    lines.end("a")
    assert b"".join(out.taken).replace(b"\n", b"") == b"x" * 100_000


def test_the_last_lines_are_at_most_five_oldest_first():
    lines, _, _ = forwarder()
    for number in range(9):
        lines.take("a", "stdout", b"line %d\n" % number)
    assert lines.last_lines("a") == tuple(f"line {number}" for number in range(4, 9))
    assert lines.last_lines("b") == ()


def test_what_was_said_on_stderr_is_preferred():
    """On purpose: a program's last words are its errors, not its access log."""
    lines, _, _ = forwarder()
    lines.take("a", "stderr", b"cannot bind\n")
    for number in range(9):
        lines.take("a", "stdout", b"GET / %d\n" % number)
    lines.take("b", "stderr", b"half a line")
    lines.take("b", "stdout", b"GET /\n")
    assert lines.last_lines("a") == ("cannot bind",)
    assert lines.last_lines("b") == ("GET /",)
    lines.end("b")
    assert lines.last_lines("b") == ("half a line",)


def masking(secret: str) -> tuple[output.LineForwarder, Sink]:
    out = Sink()
    return output.LineForwarder(
        {"stdout": out, "stderr": Sink()}, lambda name, text: text.replace(secret, "***") if name == "a" else text
    ), out


def test_a_programs_secrets_are_hidden_in_its_last_lines_and_its_output_is_left_alone():
    lines, out = masking("hunter22")
    for name in "ab":
        lines.take(name, "stdout", b"password hunter22!\n")
    assert lines.last_lines("a") == ("password ***!",)
    assert lines.last_lines("b") == ("password hunter22!",)
    assert out.taken == [b"password hunter22!\n"] * 2


@pytest.mark.parametrize("before", range(490, 513))
def test_a_secret_where_the_line_is_cut_is_hidden_whole(before):
    lines, _ = masking("hunter22")
    lines.take("a", "stdout", b"x" * before + b"hunter22" + b"y" * 700 + b"\n")
    assert "hu" not in lines.last_lines("a")[0]


@pytest.mark.parametrize("behind", range(4080, 4110))
def test_a_secret_in_a_long_line_is_not_cut_from_its_front_either(behind):
    lines, _ = masking("hunter22")
    lines.take("a", "stdout", b"hunter22" + b"y" * behind + b"\n")
    assert lines.last_lines("a") == ("***" + "y" * 509,)


@st.composite
def outputs(draw):
    """What programs print around a secret at each place where a line is cut, and in which pieces it comes."""
    secret = draw(st.text(alphabet="abcdefgh0123é", min_size=8, max_size=60)) * draw(
        st.sampled_from([1, 1, 10, 200, 1500])
    )
    cut = draw(st.sampled_from([0, 512, 4096, output.LINE_LIMIT, 2 * output.LINE_LIMIT]))
    before = b"." * max(0, cut - draw(st.integers(0, len(secret.encode()) + 10)))
    ends = draw(st.sampled_from([b"\n", b"\r", b""])), draw(st.sampled_from([b"\n", b"....", b"." * 5000 + b"\n"]))
    data = before + ends[0] + secret.encode() + ends[1]
    size = draw(st.sampled_from([1000, 4096, 16_384, 100_000]))
    return secret, [data[at : at + size] for at in range(0, len(data), size)]


@given(outputs())
def test_wherever_a_line_is_cut_no_eight_characters_of_a_secret_are_in_the_last_lines(said):
    secret, pieces = said
    index = masks.Hidden([secret])
    lines = output.LineForwarder({"stdout": Sink(), "stderr": Sink()}, lambda _, text: masks.mask(text, index))
    for piece in pieces:
        lines.take("a", "stderr", piece)
    lines.end("a")
    runs = {secret[at : at + 8] for at in range(len(secret) - 7)}
    shown = lines.last_lines("a")
    assert not [line for line in shown for at in range(len(line)) if line[at : at + 8] in runs]


@pytest.mark.parametrize("there", range(1, 14))
def test_a_secret_that_is_cut_in_two_where_a_line_grew_too_long_leaves_no_part_of_it(there):
    """Both halves are too short to be recognised, and could be read one after the other."""
    index = masks.Hidden(["hunter22sesame"])
    lines = output.LineForwarder({"stdout": Sink(), "stderr": Sink()}, lambda _, text: masks.mask(text, index))
    lines.take("a", "stdout", b"." * output.LINE_LIMIT + b"\r" + b"-" * 20 + b"hunter22sesame"[:there])
    lines.take("a", "stdout", b"hunter22sesame"[there:] + b"-" * 20 + b"\n")
    assert [line for line in lines.last_lines("a") if not line.startswith(".")][-1].strip("-*") == ""
    assert not any(set(line) - set(".-*") for line in lines.last_lines("a"))


@pytest.mark.parametrize("there", range(1, 14))
def test_where_a_long_line_is_cut_behind_what_is_hidden_no_part_of_a_secret_is_left(there):
    long = "".join(f"{number:05d}" for number in range(1000))
    index = masks.Hidden([long, "hunter22sesame"])
    lines = output.LineForwarder({"stdout": Sink(), "stderr": Sink()}, lambda _, text: masks.mask(text, index))
    lines.take("a", "stdout", b"." * 40 + long[: 4056 - there].encode() + b"hunter22sesame" + b"." * 99 + b"\n")
    assert set(lines.last_lines("a")[0]) <= set(".*")


def test_what_is_kept_of_a_program_is_bounded_whatever_it_prints():
    lines, _, _ = forwarder()
    for _ in range(50):
        lines.take("a", "stderr", (b"x" * 15_000 + b"\n") * 20)
    assert sum(len(said.line) for said in lines._last["a", "stderr"]) <= 5 * 4096


def test_the_last_lines_are_at_most_512_bytes_and_the_newest_win():
    lines, _, _ = forwarder()
    for letter in "abc":
        lines.take("a", "stdout", letter.encode() * 200 + b"\n")
    assert [line[0] for line in lines.last_lines("a")] == ["b", "c"]
    lines.take("a", "stdout", b"z" * 5000 + b"\n")
    assert lines.last_lines("a") == ("z" * 512,)
    lines.take("a", "stdout", ("é" * 400 + "\n").encode())
    assert lines.last_lines("a") == ("é" * 256,)


def test_bytes_that_are_no_text_become_text():
    lines, out, _ = forwarder()
    lines.take("a", "stdout", b"\xff\x00\x1b[31m\n")
    assert out.taken == [b"\xff\x00\x1b[31m\n"]
    assert lines.last_lines("a") == ("\ufffd\x00\x1b[31m",)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_nothing_is_lost_or_reordered_however_the_output_is_chopped(chunks):
    lines, out, _ = forwarder()
    for chunk in chunks:
        lines.take("a", "stdout", chunk)
    lines.end("a")
    whole = b"".join(chunks)
    expected = whole if whole.endswith(b"\n") or not whole else whole + b"\n"
    assert b"".join(out.taken) == expected
    assert all(data.endswith(b"\n") for data in out.taken)
