import json
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import masking as masks
from manifest import serving
from supervisord import forwarding, line_format, output, output_store
from supervisord import lines as lines_of


class Sink(output.Channel):
    """Takes everything in memory."""

    def __init__(self) -> None:
        super().__init__(-1)
        self.taken: list[bytes] = []

    def write(self, data: bytes, render: output.Render | None = None) -> bool:
        self.taken.append(data if render is None else render(data, True))
        return True


def forwarder() -> tuple[forwarding.LineForwarder, Sink, Sink]:
    out, err = Sink(), Sink()
    return forwarding.LineForwarder({"stdout": out, "stderr": err}), out, err


def test_only_whole_lines_are_forwarded_and_a_rest_waits_for_its_end():
    lines, out, _ = forwarder()
    lines.take("api", "stdout", 7, b"one\ntw")
    assert out.taken == [b"one\n"]
    lines.take("api", "stdout", 7, b"o")
    assert out.taken == [b"one\n"]
    lines.take("api", "stdout", 7, b"\n\nthree\n")
    assert out.taken == [b"one\n", b"two\n\nthree\n"]


def test_programs_and_streams_never_mix_within_a_line():
    lines, out, err = forwarder()
    lines.take("a", "stdout", 7, b"aaa")
    lines.take("b", "stdout", 7, b"bbb")
    lines.take("a", "stderr", 7, b"eee")
    lines.take("b", "stdout", 7, b"B\n")
    lines.take("a", "stdout", 7, b"A\n")
    lines.take("a", "stderr", 7, b"E\n")
    assert out.taken == [b"bbbB\n", b"aaaA\n"]
    assert err.taken == [b"eeeE\n"]


def test_what_is_left_when_a_program_ends_is_forwarded_as_a_line():
    lines, out, err = forwarder()
    lines.take("a", "stdout", 7, b"last")
    lines.take("a", "stderr", 7, b"words")
    lines.end("a")
    lines.end("a")
    assert (out.taken, err.taken) == ([b"last\n"], [b"words\n"])


def test_a_line_without_end_is_cut_and_memory_is_bounded():
    lines, out, _ = forwarder()
    for _ in range(100):
        lines.take("a", "stdout", 7, b"x" * 1000)
    assert len(out.taken) == 6
    assert all(len(data) == lines_of.LINE_LIMIT + 1 and data.endswith(b"\n") for data in out.taken)
    lines.end("a")
    assert b"".join(out.taken).replace(b"\n", b"") == b"x" * 100_000


def test_the_last_lines_are_at_most_five_oldest_first():
    lines, _, _ = forwarder()
    for number in range(9):
        lines.take("a", "stdout", 7, b"line %d\n" % number)
    assert lines.last_lines("a") == tuple(f"line {number}" for number in range(4, 9))
    assert lines.last_lines("b") == ()


def test_what_was_said_on_stderr_is_preferred():
    """On purpose: a program's last words are its errors, not its access log."""
    lines, _, _ = forwarder()
    lines.take("a", "stderr", 7, b"cannot bind\n")
    for number in range(9):
        lines.take("a", "stdout", 7, b"GET / %d\n" % number)
    lines.take("b", "stderr", 7, b"half a line")
    lines.take("b", "stdout", 7, b"GET /\n")
    assert lines.last_lines("a") == ("cannot bind",)
    assert lines.last_lines("b") == ("GET /",)
    lines.end("b")
    assert lines.last_lines("b") == ("half a line",)


def masking(secret: str) -> tuple[forwarding.LineForwarder, Sink]:
    out = Sink()
    return forwarding.LineForwarder(
        {"stdout": out, "stderr": Sink()}, lambda name, text: text.replace(secret, "***") if name == "a" else text
    ), out


def test_a_programs_secrets_are_hidden_in_its_last_lines_and_its_output_is_left_alone():
    lines, out = masking("hunter22")
    for name in "ab":
        lines.take(name, "stdout", 7, b"password hunter22!\n")
    assert lines.last_lines("a") == ("password ***!",)
    assert lines.last_lines("b") == ("password hunter22!",)
    assert out.taken == [b"password hunter22!\n"] * 2


@pytest.mark.parametrize("before", range(490, 513))
def test_a_secret_where_the_line_is_cut_is_hidden_whole(before):
    lines, _ = masking("hunter22")
    lines.take("a", "stdout", 7, b"x" * before + b"hunter22" + b"y" * 700 + b"\n")
    assert "hu" not in lines.last_lines("a")[0]


@pytest.mark.parametrize("behind", range(4080, 4110))
def test_a_secret_in_a_long_line_is_not_cut_from_its_front_either(behind):
    lines, _ = masking("hunter22")
    lines.take("a", "stdout", 7, b"hunter22" + b"y" * behind + b"\n")
    assert lines.last_lines("a") == ("***" + "y" * 509,)


@st.composite
def outputs(draw):
    """What programs print around a secret at each place where a line is cut, and in which pieces it comes."""
    secret = draw(st.text(alphabet="abcdefgh0123é", min_size=8, max_size=60)) * draw(
        st.sampled_from([1, 1, 10, 200, 1500])
    )
    cut = draw(st.sampled_from([0, 512, 4096, lines_of.LINE_LIMIT, 2 * lines_of.LINE_LIMIT]))
    before = b"." * max(0, cut - draw(st.integers(0, len(secret.encode()) + 10)))
    ends = draw(st.sampled_from([b"\n", b"\r", b""])), draw(st.sampled_from([b"\n", b"....", b"." * 5000 + b"\n"]))
    data = before + ends[0] + secret.encode() + ends[1]
    size = draw(st.sampled_from([1000, 4096, 16_384, 100_000]))
    return secret, [data[at : at + size] for at in range(0, len(data), size)]


@given(outputs())
def test_wherever_a_line_is_cut_no_eight_characters_of_a_secret_are_in_the_last_lines(said):
    secret, pieces = said
    index = masks.Hidden([secret])
    lines = forwarding.LineForwarder({"stdout": Sink(), "stderr": Sink()}, lambda _, text: masks.mask(text, index))
    for piece in pieces:
        lines.take("a", "stderr", 7, piece)
    lines.end("a")
    runs = {secret[at : at + 8] for at in range(len(secret) - 7)}
    shown = lines.last_lines("a")
    assert not [line for line in shown for at in range(len(line)) if line[at : at + 8] in runs]


@pytest.mark.parametrize("there", range(1, 14))
def test_a_secret_that_is_cut_in_two_where_a_line_grew_too_long_leaves_no_part_of_it(there):
    """Both halves are too short to be recognised, and could be read one after the other."""
    index = masks.Hidden(["hunter22sesame"])
    lines = forwarding.LineForwarder({"stdout": Sink(), "stderr": Sink()}, lambda _, text: masks.mask(text, index))
    lines.take("a", "stdout", 7, b"." * lines_of.LINE_LIMIT + b"\r" + b"-" * 20 + b"hunter22sesame"[:there])
    lines.take("a", "stdout", 7, b"hunter22sesame"[there:] + b"-" * 20 + b"\n")
    assert [line for line in lines.last_lines("a") if not line.startswith(".")][-1].strip("-*") == ""
    assert not any(set(line) - set(".-*") for line in lines.last_lines("a"))


@pytest.mark.parametrize("there", range(1, 14))
def test_where_a_long_line_is_cut_behind_what_is_hidden_no_part_of_a_secret_is_left(there):
    long = "".join(f"{number:05d}" for number in range(1000))
    index = masks.Hidden([long, "hunter22sesame"])
    lines = forwarding.LineForwarder({"stdout": Sink(), "stderr": Sink()}, lambda _, text: masks.mask(text, index))
    lines.take("a", "stdout", 7, b"." * 40 + long[: 4056 - there].encode() + b"hunter22sesame" + b"." * 99 + b"\n")
    assert set(lines.last_lines("a")[0]) <= set(".*")


@pytest.mark.parametrize(
    ("before", "behind"), [(b" Authorization: Bearer ", b" and more"), (b" postgres://app:", b"@db:5432/x")]
)
@pytest.mark.parametrize("there", range(1, 64))
def test_a_token_and_a_password_in_a_url_are_hidden_in_last_lines_where_a_line_was_cut(before, behind, there):
    lines = forwarding.LineForwarder({"stdout": Sink(), "stderr": Sink()}, lambda _, text: masks.mask(text))
    said = before + b"QWERTYUIOPASDFGHJKLZXCVBNM0123456789" + behind
    lines.take("a", "stdout", 7, b"." * (lines_of.LINE_LIMIT - there) + said + b" end\n")
    assert not any(letter in "".join(lines.last_lines("a")) for letter in ("QW", "ER", "YU", "JK", "VB", "01", "89"))
    lines.take("a", "stdout", 7, b"\r" + b"." * (4096 - there) + said + b" " + b"." * 4096 + b"\n")
    assert not any(letter in "".join(lines.last_lines("a")) for letter in ("QW", "ER", "YU", "JK", "VB", "01", "89"))


@pytest.mark.parametrize("form", [serving.PLAIN, serving.PREFIXED, serving.JSON])
def test_what_waits_for_a_reader_is_bounded_in_memory_however_short_the_lines(form):
    """A byte was a line, and a line four hundred bytes: a million of them were 430 MiB of PID 1."""
    reader, writer = os.pipe()
    try:
        channel = output.Channel(writer)
        lines = forwarding.LineForwarder(
            {"stdout": channel, "stderr": channel}, form=line_format.LineFormat(form, ["a"])
        )
        channel.write(b"x" * 200_000 + b"\n")
        tracemalloc.start()
        for _ in range(40_000):
            lines.take("a", "stdout", 7, b"\n")
        assert channel.writable()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        os.close(reader)
        os.close(writer)
    assert size <= output.BACKLOG_LIMIT + 256 * 1024, "and the newest that the store keeps"


def test_the_last_lines_are_at_most_512_bytes_and_the_newest_win():
    lines, _, _ = forwarder()
    for letter in "abc":
        lines.take("a", "stdout", 7, letter.encode() * 200 + b"\n")
    assert [line[0] for line in lines.last_lines("a")] == ["b", "c"]
    lines.take("a", "stdout", 7, b"z" * 5000 + b"\n")
    assert lines.last_lines("a") == ("z" * 512,)
    lines.take("a", "stdout", 7, ("é" * 400 + "\n").encode())
    assert lines.last_lines("a") == ("é" * 256,)


def test_bytes_that_are_no_text_become_text():
    lines, out, _ = forwarder()
    lines.take("a", "stdout", 7, b"\xff\x00\x1b[31m\n")
    assert out.taken == [b"\xff\x00\x1b[31m\n"]
    assert lines.last_lines("a") == ("\ufffd\x00\x1b[31m",)


@given(st.lists(st.binary(max_size=40), max_size=20))
def test_nothing_is_lost_or_reordered_however_the_output_is_chopped(chunks):
    lines, out, _ = forwarder()
    for chunk in chunks:
        lines.take("a", "stdout", 7, chunk)
    lines.end("a")
    whole = b"".join(chunks)
    expected = whole if whole.endswith(b"\n") or not whole else whole + b"\n"
    assert b"".join(out.taken) == expected
    assert all(data.endswith(b"\n") for data in out.taken)


def test_a_line_is_never_of_two_processes():
    lines, out, _ = forwarder()
    lines.take("a", "stdout", 7, b"half a li")
    lines.take("a", "stdout", 8, b"whole line\nre")
    lines.take("a", "stdout", 8, b"st")
    lines.end("a")
    assert b"".join(out.taken) == b"half a li\nwhole line\nrest\n"
    assert [(line["pid"], line["message"]) for line in json.loads(lines.answer(0, 10, ()))["lines"]] == [
        (7, "half a li"),
        (8, "whole line"),
        (8, "rest"),
    ]


def test_a_complete_line_is_not_cut_in_plain_output_however_long():
    lines, out, _ = forwarder()
    long = b"x" * 50_000
    lines.take("a", "stdout", 7, b"before\n" + long + b"\nafter\n")
    assert out.taken == [b"before\n" + long + b"\nafter\n"]


def test_last_words_are_of_this_generation_alone():
    store = output_store.Store(1)
    channels = {"stdout": Sink(), "stderr": Sink()}
    earlier = forwarding.LineForwarder(channels, store=store)
    earlier.take("a", "stderr", 7, b"one\ntwo\n")
    lines = forwarding.LineForwarder(channels, store=store)
    assert lines.last_lines("a") == ()
    lines.take("a", "stdout", 8, b"three\n")
    assert lines.last_lines("a") == ("three",)
    lines.take("a", "stderr", 8, b"four\n")
    assert lines.last_lines("a") == ("four",)
    assert [line["message"] for line in json.loads(lines.answer(0, 10, ()))["lines"]] == ["one", "two", "three", "four"]


def test_a_flood_on_stdout_does_not_push_out_what_was_said_on_stderr():
    lines, _, _ = forwarder()
    lines.take("a", "stderr", 7, b"cannot bind\n")
    for _ in range(100):
        lines.take("a", "stdout", 7, b"0123456789\n" * 6000)
    assert lines.last_lines("a") == ("cannot bind",)


def test_last_words_follow_what_is_said():
    lines, _, _ = forwarder()
    for number in range(3):
        lines.take("a", "stdout", 7, b"%d\n" % number)
        assert lines.last_lines("a")[-1] == str(number)


# --- every format, whatever is printed, in whatever pieces --------------------------------------------------------

SPECIAL = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\t",
    b"\x1b[2K",
    b"\xff",
    "é😀\u202e\u2028".encode(),
    b"b | forged\n",
    b'{"a": 1}\n',
    b"\\",
    b"\0",
    b'"',
]
chunks = st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(SPECIAL), st.just(b"ab" * 10_000), st.just("é".encode() * 9000)), max_size=12)  # fmt: skip


def printed(form: str, pieces, *, own: frozenset[str] = frozenset()) -> bytes:
    out = Sink()
    made = line_format.LineFormat(form, ["a", "b"], own)
    lines = forwarding.LineForwarder({"stdout": out, "stderr": Sink()}, form=made, own=own, now=lambda: 0.0)
    for piece in pieces:
        lines.take("a", "stdout", 7, piece)
    lines.end("a")
    return b"".join(out.taken)


def with_end(data: bytes) -> bytes:
    return data if data.endswith(b"\n") or not data else data + b"\n"


@given(chunks)
def test_in_json_nothing_is_lost_and_every_line_is_an_object(pieces):
    whole = with_end(b"".join(pieces))
    data = printed(serving.JSON, pieces)
    assert data == b"" or data.endswith(b"\n")
    values = [json.loads(line) for line in data.split(b"\n")[:-1]]
    said = ""
    for value in values:
        assert list(value)[:5] == ["time", "program", "stream", "pid", "message"]
        assert (value["program"], value["stream"], value["pid"]) == ("a", "stdout", 7)
        said += value["message"] + ("" if value.get("partial") else "\n")
    assert said == whole.decode("utf-8", "backslashreplace")
    assert all(len(value["message"]) <= 4 * lines_of.LINE_LIMIT for value in values)


@given(chunks)
def test_prefixed_lines_begin_with_the_programs_name_and_move_no_cursor(pieces):
    whole = with_end(b"".join(pieces))
    data = printed(serving.PREFIXED, pieces)
    shown = data.decode("utf-8").split("\n")[:-1]
    assert all(line.startswith("a           | ") for line in shown)
    assert all(line.replace("\t", "").isprintable() for line in shown)
    assert len(shown) >= whole.count(b"\n")
    if whole.isascii() and whole.decode().replace("\n", "").isprintable() and len(whole) < lines_of.LINE_LIMIT:
        assert [line[14:] for line in shown] == whole.decode().split("\n")[:-1]


@given(chunks)
def test_plain_output_is_byte_for_byte_but_where_a_line_grows_too_long(pieces):
    whole = with_end(b"".join(pieces))
    data = printed(serving.PLAIN, pieces)
    if max(map(len, whole.split(b"\n"))) <= lines_of.LINE_LIMIT:
        assert data == whole
    assert data.replace(b"\n", b"") == whole.replace(b"\n", b"")


@given(chunks, st.integers(1, 30_000), st.sampled_from([serving.PREFIXED, serving.JSON]))
def test_what_comes_out_does_not_depend_on_the_pieces_that_were_read(pieces, size, form):
    whole = b"".join(pieces)
    again = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert printed(form, pieces) == printed(form, again)


@given(chunks)
def test_what_our_own_programs_say_in_json_stays_as_it_is(pieces):
    event = b'{"time": "now", "event": "BootstrapCompleted"}\n'
    data = printed(serving.JSON, [event, *pieces], own=frozenset("a"))
    assert data.startswith(event)
    assert all(isinstance(json.loads(line), dict) for line in data.split(b"\n")[:-1])
    assert event not in printed(serving.JSON, [event, *pieces])
