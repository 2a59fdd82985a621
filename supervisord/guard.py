"""No exception of ours reaches supervisord: one in an event callback would kill PID 1 (supervisor 4.3.0, events.notify)."""

import functools
from collections.abc import Callable
from typing import Any, Protocol

from contract import events

_REPORTED = 20


class Faults:
    """Reports faults of ours as ``ExtensionFault`` events, at most twenty a generation."""

    def __init__(self, emitter: events.Emitter) -> None:
        self._emitter = emitter
        self._count = 0

    def report(self, where: str, error: Exception) -> None:
        """Report ``error``, caught in ``where``."""
        self._count += 1
        if self._count <= _REPORTED:
            self._emitter.emit("ExtensionFault", where=where, error=f"{type(error).__name__}: {error}")


class Guarded(Protocol):
    """What carries guarded methods."""

    @property
    def faults(self) -> Faults:
        """Where its faults are reported."""


def guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return ``method`` so that an exception in it becomes a report, and the answer None."""

    @functools.wraps(method)
    def attempt(self: Guarded, *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except Exception as error:
            self.faults.report(method.__name__, error)
            return None

    return attempt
