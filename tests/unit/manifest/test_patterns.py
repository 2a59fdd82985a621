"""Which regular expressions PID 1 may run."""

import re

import hypothesis
import pytest
from hypothesis import strategies

from manifest import patterns

HARMLESS = [
    "ready to accept",
    r"(?i)listening on \S+:\d+",
    r"^(?:\d{1,3}\.){3}\d{1,3} up$",
    "(a|b)*c",
    "(?:ab)*c",
    "x{3,}",
    r"port \d+",
    "(x*|y*)",
    "a*+b",
    "(" * 200 + "a" + ")" * 200,
]
COSTLY = {
    "(a+)+b": "another repeat",
    "(a*)*": "another repeat",
    "(?:a?)*b": "another repeat",
    "(a|ab)*c": "a choice",
    "(a+?)+?b": "another repeat",
    "(?>a+)+": "another repeat",
    "((a{1,9})b*){2}": "within another repeat",
    "(a?){200}": "too many ways",
    "(a|ab){50}": "too many ways",
    "(a{1,50}){1,50}": "too many ways",
    ".*a.*b.*": "3 repeats without a bound",
    r"(?:aa|bb|cc|dd|ee)\S+ \d+": "too many ways",
    r"(a)\1": "refers back",
    "(a)?(?(1)b|c)": "refers back",
    "a(?=b)": "looks around",
    "(?<!a)b": "looks around",
}


@pytest.mark.parametrize("text", HARMLESS)
def test_a_harmless_expression_is_accepted(text: str) -> None:
    assert patterns.syntax_fault(text) is None
    assert patterns.cost_fault(text) is None


@pytest.mark.parametrize(("text", "why"), COSTLY.items())
def test_a_costly_expression_is_refused_with_the_reason(text: str, why: str) -> None:
    assert patterns.syntax_fault(text) is None
    assert why in (patterns.cost_fault(text) or "")


@pytest.mark.parametrize("text", ["", "a" * 513, "(", "[z-a]", "a{99999999999}", "[[a]", "a**", "\\", "(?P<x", "*"])
def test_what_is_no_expression_is_told(text: str) -> None:
    assert patterns.syntax_fault(text)


@hypothesis.settings(max_examples=500, deadline=None)
@hypothesis.given(strategies.text(alphabet="ab()|*+?{}[]\\.^$:=!<>123,-P", max_size=30))
def test_any_text_is_judged_without_a_fault_of_ours(text: str) -> None:
    if patterns.syntax_fault(text) is None:
        re.compile(text)
        patterns.cost_fault(text)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(strategies.text(alphabet="ab()|*+?.", min_size=1, max_size=14))
def test_what_is_accepted_ends_on_a_line_made_to_hurt(text: str) -> None:
    hypothesis.assume("(?a" not in text)  # a flag for the whole expression cannot stand in a group
    if patterns.syntax_fault(text) is None and patterns.cost_fault(text) is None:
        for line in ("a" * 40 + "!", "ab" * 20 + "!", "b" * 40):
            re.search(f"(?:{text})#", line)


def test_a_long_text_allows_less_than_a_line() -> None:
    assert patterns.cost_fault(r"up \S+:\d+", patterns.OPEN_IN_BODY) == (
        "it holds 2 repeats without a bound, and at most 1 here"
    )
    assert patterns.cost_fault(r"up \d+", patterns.OPEN_IN_BODY) is None
