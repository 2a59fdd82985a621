"""Readiness by a line of a program's own output.

Rules
-----
* Whole lines are searched, of stdout and of stderr apart. A line is cut after ``LINE_LIMIT`` bytes, and its first
  ``SEARCHED`` characters are searched, without terminal sequences: a program that believes in a terminal colours its words.
* Searching one process's output takes at most ``PATIENCE_SECONDS`` in all: PID 1 has other things to do. Then it is given up,
  and nothing that comes later proves anything.
* What an earlier process wrote proves nothing: a matcher is made for each process, and is done at its first match.
"""

import re
import time

LINE_LIMIT = 4096
SEARCHED = 512
PATIENCE_SECONDS = 0.5
_TERMINAL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
"""ECMA-48: control sequences (colours among them) and operating system commands (titles, links)."""


class Matcher:
    """Looks for a pattern in the output of one process."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self._pattern = pattern
        self._partial: dict[str, bytes] = {}
        self._spent = 0.0

    @property
    def is_given_up(self) -> bool:
        """Whether searching took too long."""
        return self._spent > PATIENCE_SECONDS

    def take(self, stream: str, data: bytes) -> bool:
        """Take what came on ``stream``; say whether a line that it completed matches."""
        *lines, rest = data.split(b"\n")
        if not lines:
            self._partial[stream] = (self._partial.get(stream, b"") + rest[:LINE_LIMIT])[:LINE_LIMIT]
            return False
        lines[0] = self._partial.pop(stream, b"") + lines[0]
        if rest:
            self._partial[stream] = rest[:LINE_LIMIT]
        return any(self._matches(line) for line in lines)

    def _matches(self, line: bytes) -> bool:
        if self.is_given_up:
            return False
        began = time.thread_time()
        try:
            return self._search(line)
        finally:
            self._spent += time.thread_time() - began

    def _search(self, line: bytes) -> bool:
        text = line[:LINE_LIMIT].decode("utf-8", "replace")
        if "\x1b" in text:
            text = _TERMINAL.sub("", text)
        return self._pattern.search(text[:SEARCHED].removesuffix("\r")) is not None
