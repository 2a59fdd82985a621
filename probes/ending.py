"""The end of the probe server's process, whatever still hangs in one of its threads.

Rules
-----
* Nobody waits for a thread: a file system that hangs would keep a broken server from being started anew, and a whole one from
  stopping. Neither the loop's executor nor the interpreter's own end is waited for; both would join every thread.
* A server that broke is said in the log, and ends with 1: supervisord starts a whole one.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from typing import Any, NoReturn

from contract import exit_codes

_PATIENCE_SECONDS = 0.2

_log = logging.getLogger(__name__)


def serve_and_exit(serving: Coroutine[Any, Any, None]) -> NoReturn:
    """Run ``serving`` to its end, cancel what is left, and end this process: with 0, or with 1 where it broke."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    status = exit_codes.OK
    try:
        loop.run_until_complete(serving)
        loop.run_until_complete(_cancel_the_rest())
    except SystemExit:  # told to stop before the server stood
        pass
    except BaseException:
        status = exit_codes.GENERIC_FAILURE
        _log.exception("the probe server broke")
    finally:
        _flush()
        os._exit(status)


async def _cancel_the_rest() -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    if rest:
        await asyncio.wait(rest, timeout=_PATIENCE_SECONDS)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):  # nobody reads it any more
            continue
