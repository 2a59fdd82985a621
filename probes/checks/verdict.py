"""What a check found, and what PID 1 is told of it. Pure.

Rules
-----
* A verdict names the process it is about, by pid and start time: it can never count for another one.
* A reason is one printable line of at most 300 characters, and empty when the check passed.
"""

import dataclasses
import json

READY, LIVE, CONDITION = "ready", "live", "condition"
"""What a check is for: the first proof of readiness; whether a program that was ready still is; the container as a whole."""

_REASON_LIMIT = 300


@dataclasses.dataclass(frozen=True)
class Outcome:
    """One check: whether it passed, and if not, why."""

    ok: bool
    reason: str = ""


PASSED = Outcome(True)


def failed(reason: str) -> Outcome:
    """Return the outcome of a check that failed for ``reason``, made fit to be shown."""
    return Outcome(False, printable(reason) or "it failed")


def printable(text: str) -> str:
    """Return ``text`` as one printable line of at most 300 characters."""
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return line if len(line) <= _REASON_LIMIT else f"{line[: _REASON_LIMIT - 1]}…"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What PID 1 is told about the process ``pid``, started at ``pid_start``, of ``program``."""

    program: str
    pid: int
    pid_start: int
    purpose: str
    ok: bool
    reason: str

    def line(self) -> bytes:
        """Return the line of the feed; with the longest reason it has less than 2 KiB."""
        return json.dumps({"verdict": dataclasses.asdict(self)}, ensure_ascii=False).encode() + b"\n"
