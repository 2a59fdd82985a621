"""Showing what is known: one line, no colour where it is not wanted, times that a person reads."""

import io
import json

import pytest
import yaml

from entrypoint import presenting

HOSTILE = "\x1b[31mred\x1b[0m\r\nnext\ta\u202eb\udc80"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_nothing_from_outside_acts_on_a_terminal():
    shown = presenting.plain(HOSTILE)
    assert shown.isprintable()
    assert "red" in shown and "next" in shown, "and what it says is still there"


@pytest.mark.parametrize(
    ("environment", "stream", "expected"),
    [
        ({}, Terminal(), True),
        ({"NO_COLOR": "1"}, Terminal(), False),
        ({"NO_COLOR": ""}, Terminal(), True),  # no-color.org: set and not empty
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, Terminal(), False),
        ({"TERM": "dumb"}, Terminal(), False),
        ({}, io.StringIO(), False),
        ({"FORCE_COLOR": "1"}, io.StringIO(), True),
        ({}, None, False),
    ],
)
def test_colour_is_for_terminals_that_want_it(environment, stream, expected):
    assert presenting.is_coloured(stream, environment) is expected


def test_a_closed_stream_is_no_terminal():
    assert presenting.is_terminal(Terminal())
    assert not presenting.is_terminal(None)
    with open("/dev/null") as stream:
        pass
    assert not presenting.is_terminal(stream), "its isatty raises"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0.0s"), (0.44, "0.4s"), (1, "1s"), (59.9, "59s"), (60, "1m00s"), (192, "3m12s"), (3600, "1h00m"),
     (18200, "5h03m"), (86400, "1d00h"), (187200, "2d04h")],
)  # fmt: skip
def test_a_length_of_time_is_its_two_largest_units(seconds, text):
    assert presenting.span(seconds) == text


def test_a_moment_is_told_as_how_long_ago_or_as_it_is():
    moment = "2026-01-01T00:00:05.000Z"
    now = presenting.moment("2026-01-01T00:03:17.000Z")
    assert presenting.ago(moment, now) == "3m12s"
    assert presenting.ago(moment, now, absolute=True) == moment
    assert presenting.ago(None, now) == ""
    assert presenting.ago("no time", now) == "no time"
    assert presenting.ago("2026-01-01T00:00:05", now) == "2026-01-01T00:00:05", "without a zone it is no moment"


def test_a_table_is_as_wide_as_it_must_be_and_shows_what_is_absent():
    lines = presenting.table(("A", "LONGER"), [("x", ""), (("yy", "32"), "a\nb")], coloured=False)
    assert lines == ["A   LONGER", "x   -", "yy  a\\nb"]
    coloured = presenting.table(("A", "LONGER"), [("x", ""), (("yy", "32"), "z")], coloured=True)
    assert coloured[2] == "\x1b[32myy\x1b[0m  z", "colour takes no room"


def test_json_and_yaml_hold_the_same():
    value = {"b": [1, None, True], "a": {"text": "ä: #\x1b", "empty": ""}}
    assert json.loads(presenting.dump(value, "json")) == yaml.safe_load(presenting.dump(value, "yaml")) == value
    assert list(yaml.safe_load(presenting.dump(value, "yaml"))) == ["b", "a"], "in their order"
    assert "\x1b" not in presenting.dump(value, "yaml") + presenting.dump(value, "json")


def test_the_name_that_is_spelled_most_like_a_wrong_one_is_suggested():
    assert presenting.nearest("redus", ["api", "redis"]) == "did you mean redis?"
    assert presenting.nearest("x" * 100000, ["api", "redis"]) == "there are api, redis"
    assert presenting.nearest("x", []) == "there is none"


@pytest.mark.parametrize("absolute", [True, False])
def test_what_is_no_time_is_shown_and_does_not_act_on_a_terminal(absolute):
    assert presenting.ago(HOSTILE, 0.0, absolute=absolute) == presenting.plain(HOSTILE)
