"""Regular expressions of a manifest: which are safe to be run by PID 1 on whatever a program prints.

Rules
-----
* Python's syntax (``re``), at most ``LENGTH_LIMIT`` characters, not empty.
* No expression that could backtrack without a practical end: a search tries every beginning, so each repeat without a bound
  costs another power of the text's length. Of these at most ``OPEN_IN_LINE`` for a line, ``OPEN_IN_BODY`` for a longer text, none
  around another repeat or a choice; and the more of them, the fewer ways to match what is bounded (``WAYS``).
* No back-references and no looking around: what they cost cannot be read off the expression.
"""

import re
import warnings
from re import _constants, _parser  # type: ignore[attr-defined]  # what re.compile itself reads an expression with
from typing import Any

LENGTH_LIMIT = 512
OPEN_IN_LINE, OPEN_IN_BODY = 2, 1
WAYS = (1000, 30, 4)
"""In how many ways what is bounded may match, beside so many repeats without a bound."""
_MOST_WAYS = WAYS[0]
_REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)
_REFUSED = {
    _constants.GROUPREF: "it refers back to a group",
    _constants.GROUPREF_EXISTS: "it refers back to a group",
    _constants.ASSERT: "it looks around",
    _constants.ASSERT_NOT: "it looks around",
}


class _CostlyError(Exception):
    """The expression could take too long; says why."""


def syntax_fault(text: str) -> str | None:
    """Return why ``text`` is no regular expression of a manifest, or None."""
    if not text:
        return "it is empty, and matches everything"
    if len(text) > LENGTH_LIMIT:
        return f"it is longer than {LENGTH_LIMIT} characters"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(text)
    except (re.error, ValueError, OverflowError, Warning) as error:
        return str(error)
    except RecursionError:
        return "its groups are nested too deeply"
    return None


def cost_fault(text: str, open_limit: int = OPEN_IN_LINE) -> str | None:
    """Return why matching ``text``, a regular expression, could take too long, or None.

    ``open_limit`` is the number of repeats without a bound that are allowed, at most ``OPEN_IN_LINE``.
    """
    try:
        ways, unbounded = _judge(_parser.parse(text))
    except _CostlyError as error:
        return str(error)
    if unbounded > open_limit:
        return f"it holds {unbounded} repeats without a bound, and at most {open_limit} here"
    return None if ways <= WAYS[unbounded] else "its bounded repeats and choices can match in too many ways"


def _judge(parsed: Any) -> tuple[int, int]:
    """Return in how many ways ``parsed`` can match, unbounded repeats apart, and how many of those it holds."""
    ways, unbounded = 1, 0
    for operation, argument in parsed:
        if operation in _REFUSED:
            raise _CostlyError(_REFUSED[operation])
        if operation is _constants.BRANCH:
            found = [_judge(branch) for branch in argument[1]]
            below = sum(one for one, _ in found), sum(number for _, number in found)
        elif operation in _REPEATS:
            below = _repeated(*argument)
        elif operation is _constants.SUBPATTERN:
            below = _judge(argument[-1])
        elif operation is _constants.ATOMIC_GROUP:
            below = _judge(argument)
        else:
            continue
        ways, unbounded = min(ways * below[0], _MOST_WAYS + 1), unbounded + below[1]
    return ways, unbounded


def _repeated(least: int, most: int, body: Any) -> tuple[int, int]:
    ways, unbounded = _judge(body)
    if most == _constants.MAXREPEAT:
        if ways > 1 or unbounded:
            raise _CostlyError("a repeat without a bound stands around another repeat or a choice")
        return 1, 1
    if unbounded and most > 1:
        raise _CostlyError("a repeat without a bound stands within another repeat")
    if ways > 1:
        return (1, 0) if most == 0 else (_powers(ways, least, most), unbounded)
    return min(most - least + 1, _MOST_WAYS + 1), unbounded


def _powers(ways: int, least: int, most: int) -> int:
    """Return the sum of ``ways`` to each power from ``least`` to ``most``, or more than the limit."""
    total, power = 0, 1
    for times in range(most + 1):
        total += power if times >= least else 0
        if power > _MOST_WAYS or total > _MOST_WAYS:
            return _MOST_WAYS + 1
        power *= ways
    return total
