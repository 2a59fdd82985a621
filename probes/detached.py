"""A call that blocks, awaited: in a daemon thread of its own.

Not ``asyncio.to_thread``: its few threads are shared, so calls that hang would use them up, and they are joined when the
process ends, so that one would keep the server from ending.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from contract import errors

_Result = TypeVar("_Result")


class NoThread(errors.BootsealError):
    """The system has no thread left."""


async def call(name: str, work: Callable[[], _Result]) -> _Result:
    """Return what ``work`` returns or raise what it raises; when cancelled, it goes on and nobody listens.

    Raises NoThread as well.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: BaseException | None) -> None:
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
        except BaseException as caught:
            error = caught
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody listens
            loop.call_soon_threadsafe(settle, result, error)

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        raise NoThread(name, str(error), "ask again") from error
    return await future
