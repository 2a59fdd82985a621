"""How many checks run at once.

Rules
-----
* At most 16, so that hundreds of programs exhaust neither descriptors nor the machine. Who waits longest is next.
* At most 8 of them are of those that ran out of time when they ran last: programs that hang cannot hold up the rest.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

LIMIT = 16
SLOW_LIMIT = 8


class Slots:
    """Places for checks."""

    def __init__(self, limit: int = LIMIT, slow_limit: int = SLOW_LIMIT) -> None:
        """Let ``limit`` checks run at a time, of which ``slow_limit`` may be slow."""
        self._all = asyncio.Semaphore(limit)
        self._slow = asyncio.Semaphore(slow_limit)

    @contextlib.asynccontextmanager
    async def take(self, *, is_slow: bool) -> AsyncIterator[None]:
        """Wait for a place and hold it; ``is_slow``: the same check ran out of time when it ran last, or may take long and never ran."""
        async with contextlib.AsyncExitStack() as held:
            if is_slow:
                await held.enter_async_context(self._slow)
            await held.enter_async_context(self._all)
            yield
