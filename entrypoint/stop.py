"""Stop signals during Stage A: they end it at once with 128+N, from its first statement on.

Rules
-----
* ``arm`` is the first thing the boot path does. A stop signal then raises ``Stopped`` wherever Stage A is, also
  inside a system call; the first one counts and later ones are ignored. Python only prints an exception that leaves
  a destructor or a weak reference's callback, so the next phase, or ``block``, raises a stop again that was lost there.
* The image's ENTRYPOINT blocks the stop signals before the interpreter starts (``env --block-signal``); ``arm``
  unblocks them once handlers exist, so none is lost in between.
* Around the exec they are blocked again: a blocked mask and pending signals survive execve(2), and the extension
  unblocks them inside supervisord.
* A phase's deadline works the same way, by SIGALRM.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from contract import exit_codes

_taken: list[int] = []
"""The stop signal that was taken, if one was."""


class Stopped(BaseException):
    """A stop signal arrived; ``number`` is the first one's. An interruption, like KeyboardInterrupt, and no error."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by signal {number}")


class DeadlineExceeded(Exception):
    """A phase took longer than it may."""


def arm() -> None:
    """Catch the stop signals from now on."""
    for number in exit_codes.STOP_SIGNALS:
        signal.signal(number, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, exit_codes.STOP_SIGNALS)


def block() -> None:
    """Keep stop signals pending from now on, for the process that takes over."""
    signal.pthread_sigmask(signal.SIG_BLOCK, exit_codes.STOP_SIGNALS)
    _raise_lost_stop()


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExceeded inside the block when it takes longer than ``seconds``."""
    _raise_lost_stop()
    signal.signal(signal.SIGALRM, _expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _raise_lost_stop() -> None:
    if _taken:
        raise Stopped(_taken[0])


def _stop(number: int, _frame: FrameType | None) -> None:
    _taken.append(number)
    for other in exit_codes.STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def _expire(_number: int, _frame: FrameType | None) -> None:
    raise DeadlineExceeded
