"""What blocks, done aside: in a thread, one at a time, shared by whoever asked meanwhile, and not waited for too long.

Rules
-----
* The event loop reads no file to answer a request: a file system that hangs stops the thread, and no probe.
* One at a time: those who ask while it is done share the next, so nobody is told what was so before they asked, and however
  many ask, two are under way at most.
* Who waited for the deadline, by default ``DEADLINE_SECONDS``, is told so. What hangs is not begun again: its thread is a
  daemon, and nobody waits for it at the end of this process.
"""

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from contract import errors
from probes import detached

DEADLINE_SECONDS = 2.0

Found = TypeVar("Found")


class TooLate(errors.BootsealError):
    """It was not done in time."""


class Aside(Generic[Found]):
    """Does work for whoever asks; ``what`` names it to people."""

    def __init__(
        self, what: str, begin: Callable[[], Callable[[], Found]], deadline_seconds: float | None = None
    ) -> None:
        """Prepare; nothing is done before somebody asks.

        ``begin`` is called in the loop when the turn has come, and returns what blocks.
        """
        self._what = what
        self._begin = begin
        self._deadline = DEADLINE_SECONDS if deadline_seconds is None else deadline_seconds
        self._turn = asyncio.Lock()
        self._next: asyncio.Task[Found] | None = None

    async def ask(self) -> Found:
        """Return what is found, begun after this call; raises what that raises, TooLate, or NoThread."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._do())
            self._next.add_done_callback(_retrieve)
        try:
            async with asyncio.timeout(self._deadline):
                return await asyncio.shield(self._next)
        except TimeoutError as error:
            why = f"it was not there within {self._deadline:g} s; a file system may hang"
            raise TooLate(self._what, why, "ask again") from error

    async def _do(self) -> Found:
        async with self._turn:
            self._next = None
            return await detached.call(self._what, self._begin())


def _retrieve(ended: asyncio.Task[Found]) -> None:
    """Look at what ``ended`` raised: everybody who asked may be gone, and it is no news then."""
    if not ended.cancelled():
        ended.exception()
