"""supervisord's own log, printed by us: never blocking, and without lines that only look like trouble.

supervisord.conf says ``silent=true``, so supervisord prints nothing itself; this handler does. Some of supervisor's
messages would alarm a reader for nothing (supervisor 4.3.0): CRIT "running without any HTTP authentication checking",
which it prints for every socket without a password, ours of mode 0700 included; and WARN "received SIGTERM indicating
exit request" and "stopped: NAME (terminated by SIGTERM)", which are a stop that somebody asked for. A client of the RPC
interface that left before its answer ("uncaptured python exception, closing channel … BrokenPipeError") is no error of ours.
And "reaped unknown pid", one line for each orphan that PID 1 takes in, is what PID 1 is for.
"""

import os
import re
from collections.abc import Callable
from typing import Any

from supervisor import loggers

from contract import clock
from supervisord import line_format

_CLIENT_LEFT = re.compile(r"BrokenPipeError|ConnectionResetError")


class Handler(loggers.Handler):  # type: ignore[misc]  # supervisor carries no types
    """Sends each record of supervisord's logger to ``write``, as ``form`` says."""

    def __init__(self, write: Callable[[bytes], bool], form: line_format.LineFormat) -> None:
        loggers.Handler.__init__(self)
        self._write = write
        self._form = form

    def emit(self, record: Any) -> None:
        """Print ``record`` unless it is harmless by the list above."""
        try:
            line = record.asdict()
        except Exception:  # as supervisor's own handlers do: a message that does not format is no reason to die
            line = {"asctime": clock.rfc3339(), "message": ascii(record.msg)}
        level = judge(line["message"], record.level)
        if level is not None:
            name = loggers.LOG_LEVELS_BY_NUM[level]
            self._write(self._form.record(name, line["asctime"], line["message"], os.getpid()))

    def reopen(self) -> None:
        """Nothing to reopen: the descriptor is the container's."""

    def remove(self) -> None:
        """Nothing to remove."""

    def close(self) -> None:
        """Nothing to close: the descriptor is the container's."""

    def flush(self) -> None:
        """Nothing is held back here."""


def judge(message: str, level: int) -> int | None:
    """Return the level at which to print ``message``, or None not to print it."""
    if message.startswith("reaped unknown pid ") or "running without any HTTP authentication checking" in message:
        return None
    if message.startswith("uncaptured python exception, closing channel") and _CLIENT_LEFT.search(message):
        return int(loggers.LevelsByName.INFO)
    asked_for = message.startswith("stopped: ") or (message.startswith("received SIG") and "request" in message)
    return int(loggers.LevelsByName.INFO) if asked_for else level


def redirect(logger: Any, write: Callable[[bytes], bool], form: line_format.LineFormat) -> None:
    """Print the records of supervisord's ``logger`` with ``write`` in ``form``, at its level and above."""
    handler = Handler(write, form)
    handler.setLevel(logger.level)
    logger.handlers = [handler]
