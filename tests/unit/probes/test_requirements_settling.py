"""After an outage: ready only when nothing was missing for a while, and only where the manifest asks."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import readiness
from probes.requirements import settling

UNREADY = readiness.unready((readiness.Missing("api", "program", "broke", "T"),))


def wall(moment):
    return f"T{moment:g}"


@pytest.fixture
def settled():
    return settling.Settled(5.0, wall)


def test_the_first_readiness_counts_at_once(settled):
    assert settled.judge(UNREADY, 1.0) is UNREADY
    assert settled.judge(readiness.READY, 2.0).ready


def test_the_end_of_readiness_counts_at_once(settled):
    settled.judge(readiness.READY, 1.0)

    assert settled.judge(UNREADY, 1.1) is UNREADY


def test_after_an_outage_it_says_how_long_it_must_be_so_yet(settled):
    settled.judge(readiness.READY, 1.0)
    settled.judge(UNREADY, 2.0)
    settled.judge(readiness.READY, 10.0)

    decided = settled.judge(readiness.READY, 12.1)

    assert not decided.ready
    assert decided.reason == "ready for 2.1 s of the 5 s that it must settle"
    assert decided.missing == (readiness.Missing("settle", "boot", decided.reason, "T10"),)
    assert decided.retry_seconds == 3
    assert settled.judge(readiness.READY, 15.0).ready


def test_a_break_begins_the_time_anew(settled):
    settled.judge(readiness.READY, 1.0)
    settled.judge(UNREADY, 2.0)
    settled.judge(readiness.READY, 10.0)
    settled.judge(UNREADY, 14.9)

    assert settled.judge(readiness.READY, 15.0).missing[0].since == "T15"
    assert not settled.judge(readiness.READY, 19.9).ready
    assert settled.judge(readiness.READY, 20.0).ready


def test_what_began_after_the_first_readiness_settles_too(settled):
    settled.begin_late()

    assert not settled.judge(readiness.READY, 1.0).ready
    assert settled.judge(readiness.READY, 6.0).ready


def test_without_settling_nothing_is_held_back():
    settled = settling.Settled(0.0, wall)
    for moment, whole in enumerate((readiness.READY, UNREADY, readiness.READY)):
        assert settled.judge(whole, float(moment)) is whole


@given(st.lists(st.tuples(st.floats(0.0, 4.0), st.booleans()), max_size=60), st.sampled_from([0.0, 1.0, 5.0]))
def test_ready_is_first_or_unbroken_for_as_long_as_it_must_be(steps, seconds):
    settled = settling.Settled(seconds, wall)
    now, unbroken, was_ready, is_ready = 100.0, None, False, False
    for passed, is_whole in steps:
        now += passed
        unbroken = (now if unbroken is None else unbroken) if is_whole else None
        decided = settled.judge(readiness.READY if is_whole else UNREADY, now)
        expected = unbroken is not None and (is_ready or not was_ready or now - unbroken >= seconds)
        assert decided.ready is expected
        assert bool(decided.missing) is not decided.ready
        is_ready, was_ready = expected, was_ready or expected
