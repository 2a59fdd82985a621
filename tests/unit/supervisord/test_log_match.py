import re

import hypothesis
import pytest
from hypothesis import strategies as st

from supervisord import log_match


def matches(pattern: str, *chunks: bytes) -> bool:
    matcher = log_match.Matcher(re.compile(pattern))
    return [matcher.take("stdout", chunk) for chunk in chunks][-1]


@pytest.mark.parametrize(
    ("pattern", "chunks"),
    [
        ("ready", (b"now ready to serve\n",)),
        ("^ready$", (b"one\nready\ntwo\n",)),
        ("^ready$", (b"ready\r\n",)),
        ("^ready$", (b"re", b"a", b"dy", b"\n")),
        ("^ready$", (b"one\nrea", b"dy\nthree")),
        ("größe", ("größe\n".encode()[:3], "größe\n".encode()[3:])),
        ("^\\[info\\] ready$", (b"\x1b[32m[info]\x1b[0m rea\x1b[1;31mdy\x1b[m\r\n",)),
        ("^see here$", (b"\x1b]8;;http://x\x1b\\see\x1b]8;;\x1b\\ here\n",)),
        ("^x\ufffdy$", (b"x\xffy\n",)),
        ("^$", (b"\n",)),
    ],
)
def test_a_line_matches(pattern, chunks):
    assert matches(pattern, *chunks)


@pytest.mark.parametrize(
    ("pattern", "chunks"),
    [
        ("ready", (b"ready",)),
        ("one.*two", (b"one\ntwo\n",)),
        ("one\ntwo", (b"one\ntwo\n",)),
        ("^$", (b"x\n",)),
        ("ready", (b"not yet\n",)),
    ],
)
def test_what_is_no_whole_line_does_not_match(pattern, chunks):
    assert not matches(pattern, *chunks)


def test_streams_are_apart():
    matcher = log_match.Matcher(re.compile("ready"))
    assert not matcher.take("stdout", b"rea")
    assert not matcher.take("stderr", b"dy\n")
    assert matcher.take("stdout", b"dy\n")


@pytest.mark.parametrize(("before", "is_found"), [(507, True), (508, False), (5000, False)])
def test_only_the_beginning_of_a_line_is_searched(before, is_found):
    assert matches("ready", b"x" * before + b"ready\n") is is_found


def test_the_characters_of_a_terminal_do_not_count_as_the_beginning():
    assert matches("ready", b"\x1b[0m" * 500 + b"ready\n")
    assert not matches("ready", b"\x1b[0m" * 1024 + b"ready\n"), "but the line is cut"


def test_a_line_without_end_takes_bounded_memory_and_the_next_one_counts():
    matcher = log_match.Matcher(re.compile("^ready$"))
    for _ in range(200):
        assert not matcher.take("stdout", b"x" * 100_000)
        assert not matcher.take("stdout", b"x")
    assert sum(map(len, matcher._partial.values())) <= log_match.LINE_LIMIT
    assert not matcher.take("stdout", b"ready\n"), "the end of the long line is no line"
    assert matcher.take("stdout", b"ready\n")


def test_unfinished_terminal_sequences_cost_no_more_than_their_length():
    assert not matches("ready", b"\x1b[" * 2048 + b"\n" + b"\x1b]" * 2048 + b"\n" + b"\x1b[" + b"0" * 4000 + b"\n")


@hypothesis.given(st.lists(st.binary(max_size=60)), st.integers(1, 7))
def test_how_the_bytes_are_cut_into_chunks_changes_nothing(lines, size):
    data = b"".join(line + b"\n" for line in lines)
    whole, cut = log_match.Matcher(re.compile("[a-f0-9]")), log_match.Matcher(re.compile("[a-f0-9]"))
    in_pieces = [cut.take("stdout", data[at : at + size]) for at in range(0, len(data), size)]
    assert whole.take("stdout", data) == any(in_pieces)


def test_a_search_that_takes_too_long_in_all_is_given_up(monkeypatch):
    spent = iter(range(1000))
    monkeypatch.setattr(log_match.time, "thread_time", lambda: next(spent) * 0.2)
    matcher = log_match.Matcher(re.compile("ready"))
    assert not matcher.take("stdout", b"one\ntwo\n")
    assert not matcher.is_given_up
    assert not matcher.take("stdout", b"three\nready\n")
    assert matcher.is_given_up
