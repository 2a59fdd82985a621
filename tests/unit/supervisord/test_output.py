import os
import select

import pytest

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


def test_lines_that_come_one_by_one_and_are_printed_as_they_are_wait_together(pipe):
    reader, writer = pipe
    channel = output.Channel(writer)
    fill(channel, 70)
    assert all(channel.write(b"%05d\n" % number) for number in range(100_000))
    assert channel.dropped == 0
    data = drain(channel, reader)
    assert data.splitlines()[70:] == [b"%05d" % number for number in range(100_000)]


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


# --- lines that are formatted when there is room for them ---------------------------------------------------------


def numbered(sizes):
    """Return a rendering that makes ten bytes of every line, and the sizes of what it was given."""

    def render(data, is_last):
        sizes.append((len(data), is_last))
        return b"".join(b"[%s]\n" % line for line in data[:-1].split(b"\n"))

    return render


def drain(channel: output.Channel, reader: int) -> bytes:
    data = read_all(reader)
    while channel.writable():
        channel.handle_write_event()
        data += read_all(reader)
    return data


def test_lines_are_formatted_whole_in_order_and_the_last_of_a_write_is_said_to_be(pipe):
    reader, writer = pipe
    channel = output.Channel(writer)
    sizes = []
    data = b"".join(b"line %d\n" % number for number in range(1000)) + b"x" * 9000 + b"\nend\n"
    channel.write(data, numbered(sizes))
    channel.write(b"plain\n")
    printed = drain(channel, reader)
    assert printed == b"".join(b"[%s]\n" % line for line in data[:-1].split(b"\n")) + b"plain\n"
    assert [is_last for _, is_last in sizes] == [False] * (len(sizes) - 1) + [True]
    assert sum(size for size, _ in sizes) == len(data)


def test_what_is_dropped_or_waits_is_not_formatted(pipe):
    _, writer = pipe
    channel = output.Channel(writer)
    fill(channel, 70)
    assert channel.writable()
    sizes = []
    while channel.write(b"x" * 999 + b"\n", numbered(sizes)):
        pass
    assert channel.dropped == 1
    assert sizes == []


def test_one_turn_formats_a_bounded_amount_and_the_loop_comes_back_for_the_rest(tmp_path):
    """A file takes everything at once: only the bound ends the turn."""
    with (tmp_path / "out").open("wb") as file:
        channel = output.Channel(file.fileno())
        sizes = []
        data = b"\n" * 100_000
        channel.write(data, lambda piece, _: sizes.append(len(piece)) or b"." * 99 * len(piece) + b"\n")
        assert 0 < sum(sizes) * 99 <= 2 * output.FORMATTED_LIMIT + 99 * 2048
        turns = 0
        while channel.writable():
            channel.handle_write_event()
            turns += 1
        assert sum(sizes) == len(data)
        assert turns > 20


def test_with_patience_everything_is_printed_at_the_end(tmp_path):
    with (tmp_path / "out").open("wb") as file:
        channel = output.Channel(file.fileno())
        channel.write(b"\n" * 10_000, lambda piece, _: b"." * 99 * len(piece))
        assert channel.writable()
        channel.flush(60.0)
        assert not channel.writable()
    assert (tmp_path / "out").stat().st_size == 990_000


@pytest.mark.parametrize("read", [0, 5000])
def test_every_line_that_was_not_read_is_counted_as_dropped_when_the_reader_goes(pipe, read):
    reader, writer = pipe
    channel = output.Channel(writer)
    lines = b"".join(b"%06d\n" % number for number in range(20_000))
    assert channel.write(lines, numbered([]))
    taken = os.read(reader, read) if read else b""
    taken += read_all(reader)
    os.close(reader)
    channel.handle_write_event()
    assert channel.is_broken
    assert taken.count(b"\n") + channel.dropped == 20_000


def test_what_is_formatted_counts_as_it_came_until_it_is(pipe):
    """Lines of a byte each become a hundred bytes: they fit all the same."""
    reader, writer = pipe
    channel = output.Channel(writer)
    wide = b"." * 99 + b"\n"
    for _ in range(3):
        assert channel.write(b"\n" * 10_000, lambda piece, _: wide * len(piece))
    assert channel.dropped == 0
    assert drain(channel, reader).count(b"\n") == 30_000


def test_two_channels_on_one_pipe_never_tear_each_others_lines(pipe):
    """As with ``2>&1``: a full pipe takes some of one's lines, then some of the other's."""
    reader, writer = pipe
    one, other = output.Channel(writer), output.Channel(writer)
    for number in range(100):
        one.write(b"".join(b"one %05d %s\n" % (number * 10 + line, b"x" * (line * 137)) for line in range(10)))
        other.write(b"other %05d %s\n" % (number, b"y" * 500))
    data = b""
    while one.writable() or other.writable():
        data += os.read(reader, 4096)
        for channel in (one, other) if len(data) % 3 else (other, one):
            channel.handle_write_event()
    lines = (data + read_all(reader)).splitlines()
    assert sorted(int(line.split()[1]) for line in lines if line.startswith(b"one ")) == list(range(1000))
    assert sorted(int(line.split()[1]) for line in lines if line.startswith(b"other ")) == list(range(100))
    assert len(lines) == 1100


def test_the_backlog_is_as_bounded_after_lines_were_formatted_as_before(pipe):
    reader, writer = pipe
    channel = output.Channel(writer)
    before = fill(channel, 2000)
    drain(channel, reader)
    for _ in range(20):
        assert channel.write(b"\n" * 1000, lambda piece, _: b"." * 99 * len(piece) + b"\n")
        drain(channel, reader)
    assert fill(channel, 2000) == before
