"""Bytes become whole heads, however they are cut; what cannot become one is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import heads

HEAD = b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n"


def feed(*chunks):
    """Return the heads in ``chunks``, and the status of the refusal or None."""
    inbox, found = heads.Inbox(), []
    try:
        for chunk in chunks:
            inbox.take(chunk)
            while (head := inbox.next_head()) is not None:
                found.append(head)
    except heads.BadHead as error:
        return found, int(error.status)
    return found, None


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 4), st.integers(0, 3))
def test_heads_are_the_same_however_they_are_cut(cuts, count, blanks):
    data = (b"\r\n" * blanks + HEAD) * count
    chunks = []
    for size in cuts:
        chunks.append(data[:size])
        data = data[size:]

    assert feed(*chunks, data) == ([HEAD] * count, None)


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_are_kept_handed_on_or_refused_and_never_more_than_the_limit(chunks):
    inbox = heads.Inbox()
    try:
        for chunk in chunks:
            inbox.take(chunk)
            assert len(inbox._data) <= heads.LIMIT
            while (head := inbox.next_head()) is not None:
                assert head.endswith(b"\r\n\r\n")
                assert b" HTTP/1." in head
                assert head.count(b"\r\n\r\n") == 1
    except heads.BadHead as error:
        assert error.status in {400, 431}


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02", 400), (b"\0", 400), (b" GET / HTTP/1.1\r\n", 400), (b"\xc3\xa4", 400), (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET /" + b"a" * heads.LIMIT, 431), (b"GET / HTTP/1.1\r\nX: " + b"a" * heads.LIMIT + b"\r\n\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + b"X: 1\r\n" * 4000 + b"\r\n", 431),
    ],
)  # fmt: skip
def test_what_cannot_become_a_head_is_refused_before_it_ends(data, status):
    assert feed(data) == ([], status)
    assert feed(*(data[index : index + 1] for index in range(len(data)))) == ([], status)


def test_a_line_end_is_not_mistaken_for_a_bare_one_where_it_was_cut():
    assert feed(b"GET / HTTP/1.1\r", b"\nHost: x\r", b"\n\r", b"\n") == ([b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"], None)


def test_only_so_much_waits_behind_a_request_and_what_is_dropped_is_known():
    inbox = heads.Inbox()
    inbox.take(HEAD + b"x" * 100_000)

    assert inbox.next_head() == HEAD
    assert inbox.was_cut
    assert len(inbox._data) < heads.LIMIT
