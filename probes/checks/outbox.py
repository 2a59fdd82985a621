"""Verdicts on their way to PID 1: what stands, and what of it PID 1 was not told yet.

Rules
-----
* Telling never waits. While PID 1 does not read, a newer verdict takes the place of an older one on the same program and
  purpose: what waits is never more than two lines a program, and the newest.
* A new connection is told everything that stands again, for who listens there may know nothing.
* What was said of a process that is gone is forgotten, and never sent.
"""

import asyncio

from probes.checks import verdict

_Key = tuple[str, str]


class Outbox:
    """The standing verdicts; it belongs to the event loop."""

    def __init__(self) -> None:
        """Begin with nothing to tell."""
        self._standing: dict[_Key, verdict.Verdict] = {}
        self._unsent: dict[_Key, None] = {}
        self._news = asyncio.Event()

    def tell(self, told: verdict.Verdict) -> None:
        """Let PID 1 know ``told``, as soon as it reads."""
        key = (told.program, told.purpose)
        self._standing[key] = told
        self._unsent[key] = None
        self._news.set()

    def forget(self, program: str) -> None:
        """Drop what was said of ``program``: its process is gone."""
        for purpose in (verdict.READY, verdict.LIVE):
            self._standing.pop((program, purpose), None)
            self._unsent.pop((program, purpose), None)

    def begin_again(self) -> None:
        """Tell everything that stands once more."""
        self._unsent = dict.fromkeys(self._standing)
        self._news.set()

    async def take(self) -> bytes:
        """Return the lines that were not sent yet, oldest first; wait until there are some."""
        while not self._unsent:
            self._news.clear()
            await self._news.wait()
        lines = b"".join(self._standing[key].line() for key in self._unsent)
        self._unsent.clear()
        return lines
