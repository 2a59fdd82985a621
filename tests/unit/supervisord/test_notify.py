import math

import hypothesis
import pytest
from hypothesis import strategies as st

from supervisord import notify


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"READY=1", notify.Message(state="READY")),
        (b"READY=1\n", notify.Message(state="READY")),
        (b"READY=1\0", notify.Message(state="READY")),
        (b"\n\nREADY=1\n\n", notify.Message(state="READY")),
        (b"RELOADING=1\nMONOTONIC_USEC=7", notify.Message(state="RELOADING")),
        (b"STOPPING=1", notify.Message(state="STOPPING")),
        (b"STATUS=a=b", notify.Message(status="a=b")),
        (b"STATUS=", notify.Message(status="")),
        (b"MAINPID=17", notify.Message(main_pid=17)),
        (b"EXTEND_TIMEOUT_USEC=1500000", notify.Message(extend_seconds=1.5)),
        (b"WATCHDOG=1", notify.Message(watchdog="alive")),
        (b"WATCHDOG=trigger", notify.Message(watchdog="alarmed")),
        (b"WATCHDOG_USEC=20000000", notify.Message(watchdog_seconds=20.0)),
        (b"WATCHDOG_USEC=86400000000", notify.Message(watchdog_seconds=86400.0)),
        (b"WATCHDOG_USEC=1", notify.Message(watchdog_seconds=1e-6)),
        (b"BARRIER=1", notify.Message(is_barrier=True)),
        (b"ERRNO=2\nFDSTORE=1\nX_MINE=yes", notify.Message()),
    ],
)
def test_what_a_datagram_says(data, said):
    assert notify.parse(data) == said


@pytest.mark.parametrize(
    ("data", "state"),
    [
        (b"RELOADING=1\nREADY=1", "READY"),
        (b"READY=1\nRELOADING=1", "READY"),
        (b"STOPPING=1\nREADY=1\nRELOADING=1", "STOPPING"),
        (b"READY=1\nSTOPPING=1", "STOPPING"),
    ],
)
def test_stopping_wins_over_ready_and_ready_over_reloading(data, state):
    assert notify.parse(data).state == state


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"STATUS=one\nSTATUS=two", notify.Message(status="two")),
        (b"READY=1\nREADY=0", notify.Message()),
        (b"MAINPID=5\nMAINPID=6", notify.Message(main_pid=6)),
        (b"WATCHDOG=trigger\nWATCHDOG=1", notify.Message(watchdog="alive")),
    ],
)
def test_of_a_key_that_stands_twice_the_last_counts(data, said):
    assert notify.parse(data) == said


@pytest.mark.parametrize(
    "line", [b"READY=0", b"READY=", b"READY=11", b"READY= 1", b" READY=1", b"ready=1", b"READY", b"XREADY=1"]
)
def test_only_ready_1_is_ready(line):
    assert notify.parse(line + b"\nSTATUS=x").state is None


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"garbage", b"\xff\xfe\x80", b"=1", b"RE\xffADY=1", b"READY 1", b"{}", b"\x7fELF=1"]
)
def test_a_datagram_without_an_assignment_is_a_fault(data):
    assert notify.parse(data) == notify.Message(faults=("it holds no assignment",))


@pytest.mark.parametrize("data", [b"READY=1\0\0", b"READY=1\0STATUS=x", b"\0READY=1"])
def test_a_nul_byte_inside_takes_everything_away(data):
    assert notify.parse(data) == notify.Message(faults=("it holds a NUL byte",))


def test_what_is_said_beside_a_barrier_is_ignored():
    said = notify.parse(b"READY=1\nMAINPID=7\nBARRIER=1\nSTATUS=x")
    assert (said.is_barrier, said.state, said.status, said.main_pid) == (True, None, None, None)
    assert len(said.faults) == 1


@pytest.mark.parametrize("key", [b"MAINPID", b"WATCHDOG_USEC", b"EXTEND_TIMEOUT_USEC"])
@pytest.mark.parametrize(
    "value",
    [b"", b"0", b"-1", b"+5", b" 5", b"5 ", b"1.5", b"1e3", b"0x10", b"1_000", b"86400000001", b"9" * 20, b"9" * 4000,
     b"nan", b"inf", b"infinity", "\u0665".encode(), b"\xff"],
)  # fmt: skip
def test_a_number_that_is_none_takes_only_its_own_line_away(key, value):
    said = notify.parse(b"READY=1\n" + key + b"=" + value)
    assert (said.main_pid, said.watchdog_seconds, said.extend_seconds) == (None, None, None)
    assert said.state == "READY"
    assert len(said.faults) == 1
    assert said.faults[0].startswith(key.decode())


def test_a_status_that_is_not_utf_8_takes_only_its_own_line_away():
    assert notify.parse(b"STATUS=\xff\nREADY=1") == notify.Message(state="READY", faults=("STATUS is not UTF-8",))


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("serving", "serving"),
        ("  a\tb\r\x0b c ", "a b c"),
        ("\x1b[31mred\x1b[0m", "[31mred [0m"),
        ("left\u202eright", "left right"),
        ("größe \u4e2d \U0001f600", "größe \u4e2d \U0001f600"),
        ("\x00\x07", ""),
        ("x" * 300, "x" * 256),
        ("x" * 255 + " y", "x" * 255),
    ],
)
def test_a_status_is_one_printable_line_of_bounded_length(text, cleaned):
    assert notify.clean(text) == cleaned


KEYS = [
    b"READY", b"RELOADING", b"STOPPING", b"STATUS", b"MAINPID", b"WATCHDOG", b"WATCHDOG_USEC", b"EXTEND_TIMEOUT_USEC",
    b"BARRIER", b"X",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from([b"1", b"0", b"", b"trigger"]), st.integers().map(lambda n: b"%d" % n), st.binary(max_size=40),
    st.text(max_size=300).map(lambda text: text.encode("utf-8", "surrogatepass")),
)  # fmt: skip
LINES = st.one_of(st.tuples(st.sampled_from(KEYS), VALUES).map(b"=".join), st.binary(max_size=40))


@hypothesis.given(st.one_of(st.binary(max_size=4096), st.lists(LINES, max_size=12).map(b"\n".join)))
def test_whatever_the_bytes_are_what_they_say_makes_sense(data):
    said = notify.parse(data)
    assert said.state in {None, "READY", "RELOADING", "STOPPING"}
    if said.state is not None:
        assert said.state.encode() + b"=1" in data
    assert said.watchdog in {None, "alive", "alarmed"}
    assert said.main_pid is None or 1 <= said.main_pid <= 1 << 22
    for seconds in (said.extend_seconds, said.watchdog_seconds):
        assert seconds is None or (math.isfinite(seconds) and 1e-6 <= seconds <= 86400.0)
    if said.status is not None:
        cleaned = notify.clean(said.status)
        assert cleaned.isprintable()
        assert len(cleaned) <= 256
    if said.is_barrier:
        assert said == notify.Message(is_barrier=True, faults=said.faults)
    assert all(fault.isprintable() and len(fault) < 100 for fault in said.faults)
    assert len(said.faults) <= 4
