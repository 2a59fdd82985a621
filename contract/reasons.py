"""The words of PID 1's reasons that a reader acts on, each written and read in one place.

Rules
-----
* A program that is held up names by whom: ``waits for a, b``, or ``needs a, which …`` where that will not come by itself.
* Programs' names are as the manifest allows them: nothing else of a reason is taken for one.
"""

import re
from collections.abc import Iterable

STOPPED = "was stopped"
"""A program that ran and was stopped, and that nobody has asked for since."""
LAST_OUTPUT = "; its last output: "
"""What divides the cause of an end from what the program printed last."""

_WAITS, _NEEDS, _WHICH = "waits for ", "needs ", ", which "
_NAME = "[a-z0-9-]+"
_WAITING = re.compile(rf"{_WAITS}({_NAME}(?:, {_NAME})*)")
_NEEDING = re.compile(rf"{_NEEDS}({_NAME}){_WHICH}")


def waits_for(names: Iterable[str]) -> str:
    """Return the reason of a program that waits for ``names``."""
    return f"{_WAITS}{', '.join(names)}"


def needs(name: str, what: str) -> str:
    """Return the reason of a program that needs ``name``, of which ``what`` is said."""
    return f"{_NEEDS}{name}{_WHICH}{what}"


def holding(reason: str) -> tuple[str, ...]:
    """Return the programs that a program with ``reason`` is held up by; none when it is its own cause."""
    told = _WAITING.fullmatch(reason) or _NEEDING.match(reason)
    return tuple(told[1].split(", ")) if told else ()


def with_last_output(cause: str, lines: Iterable[str]) -> str:
    """Return ``cause`` with the last ``lines`` of the program behind it, where there are some."""
    words = " | ".join(lines)
    return f"{cause}{LAST_OUTPUT}{words}" if words else cause


def without_last_output(told: str) -> str:
    """Return the cause alone."""
    return told.partition(LAST_OUTPUT)[0]
