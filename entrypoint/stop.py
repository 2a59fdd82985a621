"""Stop signals during Stage A: they end it at once with 128+N, from its first statement on.

Rules
-----
* ``arm`` is the first thing the boot path does. A stop signal then raises ``Stopped`` wherever Stage A is, also
  inside a system call; the first one counts and later ones are ignored.
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


class Stopped(BaseException):  # noqa: N818  (an interruption, like KeyboardInterrupt, and no error)
    """A stop signal arrived; ``number`` is the first one's."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(f"stopped by signal {number}")


class DeadlineExceeded(Exception):  # noqa: N818  (named for the fact)
    """A phase took longer than it may."""


def arm() -> None:
    """Catch the stop signals from now on."""
    for number in exit_codes.STOP_SIGNALS:
        signal.signal(number, _stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, exit_codes.STOP_SIGNALS)


def block() -> None:
    """Keep stop signals pending from now on, for the process that takes over."""
    signal.pthread_sigmask(signal.SIG_BLOCK, exit_codes.STOP_SIGNALS)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise DeadlineExceeded inside the block when it takes longer than ``seconds``."""
    signal.signal(signal.SIGALRM, _expire)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def _stop(number: int, _frame: FrameType | None) -> None:
    for other in exit_codes.STOP_SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    raise Stopped(number)


def _expire(_number: int, _frame: FrameType | None) -> None:
    raise DeadlineExceeded
