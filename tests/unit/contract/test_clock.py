import datetime as dt

from hypothesis import given
from hypothesis import strategies as st

from contract import clock


@given(st.floats(0, 4_000_000_000))
def test_a_moment_is_rfc_3339_in_utc_to_the_millisecond(seconds):
    text = clock.rfc3339(seconds)
    assert text.endswith("Z")
    parsed = dt.datetime.fromisoformat(text)
    assert abs(parsed.timestamp() - seconds) <= 0.0006


def test_rounding_up_carries_into_the_second():
    assert clock.rfc3339(0.9999) == "1970-01-01T00:00:01.000Z"
    assert clock.rfc3339(59.9996) == "1970-01-01T00:01:00.000Z"


def test_the_monotonic_clock_never_goes_back():
    readings = [clock.monotonic() for _ in range(1000)]
    assert readings == sorted(readings)
