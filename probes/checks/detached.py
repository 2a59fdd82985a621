"""A call that blocks, awaited: in a daemon thread of its own.

Not ``asyncio.to_thread``: its few threads are shared, so calls that hang would use them up, and they are joined when the
process ends, so that one would keep the server from ending.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

_Result = TypeVar("_Result")


async def call(name: str, work: Callable[[], _Result]) -> _Result:
    """Return what ``work`` returns or raise what it raises; when cancelled, it goes on and nobody listens."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]

    def run() -> None:
        result, error = None, None
        try:
            result = work()
        except Exception as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await future
