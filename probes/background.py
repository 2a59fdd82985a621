"""Work that blocks, done in a thread of its own so that the event loop never waits."""

import logging
import threading
from collections.abc import Callable

_log = logging.getLogger(__name__)


class Periodic:
    """Does ``work`` at once, then every ``interval_seconds`` and whenever it is woken; never twice at a time.

    The thread is a daemon: work that hangs does not keep the process from ending.
    """

    def __init__(self, name: str, work: Callable[[], None], interval_seconds: float, *, at_once: bool = True) -> None:
        """Prepare; with ``at_once`` false the first work waits for the interval or a wake."""
        self._work = work
        self._interval = interval_seconds
        self._due = threading.Event()
        self._stopped = False
        if at_once:
            self._due.set()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread; raises RuntimeError when the system has none left."""
        self._thread.start()

    def wake(self) -> None:
        """Do the work as soon as possible; many calls before it begins are one."""
        self._due.set()

    def stop(self) -> None:
        """Do nothing more; work under way is not waited for."""
        self._stopped = True
        self._due.set()

    def _run(self) -> None:
        while True:
            self._due.wait(self._interval)
            self._due.clear()
            if self._stopped:
                return
            try:
                self._work()
            except Exception:
                # A watcher that died would leave its last word standing for ever: say it and go on.
                _log.exception("background work %s failed", self._thread.name)
