"""A confined thread: what a phase of Stage A does in it can write to the writable list and nowhere else.

Landlock survives execve(2) and cannot be undone, and PID 1 must not confine every program that it will ever start. But it
is a thread's own (landlock(7)), and so is no_new_privs: a thread that restricts itself and ends leaves no trace.

Rules
-----
* Each ``run`` makes a thread of its own and waits for its end; children of that thread are confined like it.
* Signals and deadlines interrupt the caller, which Python runs handlers in (entrypoint/stop.py). Such an interruption is
  passed on into the thread, so that it removes its temporary files; what does not end soon is left behind.
* Whether it works is proven when it is made: a confinement that cannot be had raises ``landlock.Unavailable`` before
  anything is run in it.
"""

import ctypes
import threading
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Generic, Self, TypeVar

from entrypoint import landlock

_LOOK_SECONDS = 0.05
"""A signal that arrives just before the wait begins does not end it: so long at most its handler has to wait."""
_CLEANING_SECONDS = 1.0

Result = TypeVar("Result")


class Interrupted(BaseException):
    """Raised in the confined thread when its caller was interrupted: clean up, and end."""


class Unconfined:
    """What runs as ever, where the kernel confines nothing."""

    def run(self, function: Callable[[], Result]) -> Result:
        """Return what ``function`` returns."""
        return function()

    def close(self) -> None:
        """Have nothing to close."""


class Confined:
    """Runs functions that can write beneath the open directories ``descriptors`` and to /dev/null, and nowhere else.

    The descriptors may be closed once it is made.
    """

    def __init__(self, descriptors: Iterable[int]) -> None:
        """Make the confinement and prove it; raises landlock.Unavailable, or OSError for a bad descriptor."""
        self._ruleset = landlock.Ruleset(descriptors)
        try:
            self.run(lambda: None)
        except BaseException:
            self.close()
            raise

    def run(self, function: Callable[[], Result]) -> Result:
        """Return what ``function`` returns in a confined thread, or raise what it raises.

        An exception that interrupts the waiting is raised, and ``Interrupted`` in the thread.
        """
        work = _Work(self._ruleset, function)
        thread = threading.Thread(target=work.run, name="confined", daemon=True)
        try:
            thread.start()
            while not work.ended.wait(_LOOK_SECONDS):
                pass
        except BaseException:
            work.is_cancelled = True
            if thread.ident is not None and not work.ended.is_set():
                _interrupt(thread.ident)
                work.ended.wait(_CLEANING_SECONDS)
            raise
        thread.join()
        return work.outcome()

    def close(self) -> None:
        """Close the list of what may be written."""
        self._ruleset.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Work(Generic[Result]):
    """One function, and what became of it."""

    def __init__(self, ruleset: landlock.Ruleset, function: Callable[[], Result]) -> None:
        self.ended = threading.Event()
        self.is_cancelled = False
        self._ruleset = ruleset
        self._function = function
        self._results: list[Result] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        """Restrict this thread and do the work; raises nothing."""
        try:
            try:
                self._ruleset.restrict_this_thread()
                if not self.is_cancelled:  # or the caller was interrupted before this thread began
                    self._results.append(self._function())
            except BaseException as error:
                self._error = error
            finally:
                self.ended.set()
        except Interrupted as error:  # it came when the work was done already
            self._error = self._error or error
            self.ended.set()

    def outcome(self) -> Result:
        """Return the function's result or raise its exception."""
        if self._error is not None:
            raise self._error
        return self._results[0]


def _interrupt(thread: int) -> None:
    """Raise ``Interrupted`` in ``thread`` as soon as it runs Python code; a system call that it waits in goes on."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Interrupted))
