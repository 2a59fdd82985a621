"""Another process that swaps two names as fast as it can, while a test works with one of them."""

import contextlib
import ctypes
import os
import signal
from collections.abc import Iterator

from tests.unit import children

_AT_FDCWD = -100
_RENAME_EXCHANGE = 2


@contextlib.contextmanager
def swapped(first: object, second: object) -> Iterator[None]:
    """Swap ``first`` and ``second`` in one step each time (renameat2(2)), until the block ends; none is ever missing."""
    libc = ctypes.CDLL(None, use_errno=True)
    names = os.fsencode(str(first)), os.fsencode(str(second))

    def work() -> bool:
        while True:
            assert libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0

    pid = children.start(work)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
