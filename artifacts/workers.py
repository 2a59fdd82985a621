"""Units of work in forked processes that answer through pipes. Standard library only.

Rules
-----
* A worker takes the number of the next unit from one pipe that all share, works, and answers with one line. So the order of
  the units is the order of the work, and whoever is quick does more.
* What is not answered is not done: a worker that was killed leaves its units out of the answers, and never a pass.
* No worker outlives the block: it is killed and reaped whatever ends the block, a stop signal's exception too. When this
  process is killed, a worker ends by itself at its next answer or its next `still_wanted`.
* A worker has no handler of its parent's: signals do to it what they do by default, and it ends by _exit(2).
"""

import contextlib
import os
import select
import signal
import struct
from collections.abc import Callable
from typing import Any, Self

MOST_UNITS = 1000
"""Their numbers fill less than a page, which every pipe holds (pipe(7)); so writing them never blocks."""
_MOST_WORKERS = 8
_WORKERS_PER_CPU = 2
"""One computes while another waits for the disk: what is not in the page cache is read faster, and the rest no slower."""
_NUMBER = struct.Struct("=I")
_PIECE = 65536
_LOOK_MILLISECONDS = 50
"""What another thread raises in this one (``PyThreadState_SetAsyncExc``) does not end a system call."""

_parent = 0


class NoWorker(Exception):
    """Not one process could be forked."""


def count() -> int:
    """Return how many workers this process may use at once."""
    return min(_MOST_WORKERS, _WORKERS_PER_CPU * len(os.sched_getaffinity(0)))


def still_wanted() -> None:
    """End this worker if its parent is gone; nothing in any other process."""
    if _parent and os.getppid() != _parent:
        os._exit(1)


class Workers:
    """``work`` done on the units 0 to ``units`` - 1 while the block runs; answers are what JSON can say."""

    def __init__(self, processes: int, units: int, work: Callable[[int], Any]) -> None:
        if units > MOST_UNITS:
            raise ValueError(f"{units} units, and {MOST_UNITS} is the most")
        self._processes = processes
        self._units = units
        self._work = work
        self._living: dict[int, int] = {}
        self._answers: dict[int, bytearray] = {}
        self.losses: list[str] = []

    def __enter__(self) -> Self:
        """Start the workers; raises NoWorker when not even one can be forked."""
        queue, feed = os.pipe()
        try:
            os.write(feed, b"".join(map(_NUMBER.pack, range(self._units))))
            os.close(feed)
            feed = -1
            for _ in range(self._processes):
                try:
                    self._fork(queue)
                except OSError as error:
                    if not self._living:
                        raise NoWorker from error
                    break  # fewer do the same work
        except BaseException:
            self._end()
            raise
        finally:
            os.close(queue)
            if feed >= 0:
                os.close(feed)
        return self

    def __exit__(self, *_: object) -> None:
        """Kill and reap every worker that is left."""
        self._end()

    def answers(self) -> dict[int, Any]:
        """Return the answers by unit, once all workers have ended; ``losses`` then says in words how workers were lost."""
        import json

        poller = select.poll()
        for fd in self._answers:
            poller.register(fd, select.POLLIN)
        waiting = set(self._answers)
        while waiting:
            for fd, _ in poller.poll(_LOOK_MILLISECONDS):
                if piece := os.read(fd, _PIECE):
                    self._answers[fd] += piece
                else:
                    poller.unregister(fd)
                    waiting.discard(fd)
        for pid in list(self._living):
            self._reap(pid)
        found: dict[int, Any] = {}
        for data in self._answers.values():
            whole, _, _ = data.rpartition(b"\n")  # a worker that was killed may have left half a line
            for line in whole.splitlines():
                unit, answer = json.loads(line)
                found[unit] = answer
        return found

    def _fork(self, queue: int) -> None:
        answers, mouth = os.pipe()
        # Between fork and the note of its pid, an exception from a signal's handler would lose the child; and the
        # child must run none of the handlers.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                self._be_a_worker(parent, queue, answers, mouth, before)
            self._living[pid] = answers
            self._answers[answers] = bytearray()
        except OSError:
            os.close(answers)
            raise
        finally:
            os.close(mouth)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _be_a_worker(self, parent: int, queue: int, answers: int, mouth: int, mask: set[int]) -> None:
        global _parent  # noqa: PLW0603
        try:
            import gc
            import json

            gc.disable()  # a collection would write to, and so copy, every page that is shared with the parent
            _parent = parent
            for inherited in (*self._answers, answers):
                os.close(inherited)  # else a pipe would have a reader when the parent is gone
            for handled in signal.valid_signals():
                if signal.getsignal(handled) not in {signal.SIG_DFL, None}:
                    signal.signal(handled, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            while number := os.read(queue, _NUMBER.size):
                [unit] = _NUMBER.unpack(number)
                line = json.dumps([unit, self._work(unit)]).encode() + b"\n"
                while line:
                    line = line[os.write(mouth, line) :]
            os._exit(0)
        finally:
            os._exit(1)

    def _reap(self, pid: int) -> None:
        try:
            status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        except ChildProcessError:
            status = 0  # SIGCHLD was ignored when we began, so the kernel reaped it; its answers say what it did
        del self._living[pid]
        if status:
            self.losses.append(f"was killed by signal {-status}" if status < 0 else f"ended with exit code {status}")

    def _end(self) -> None:
        interruption = None
        while self._living or self._answers:
            try:
                self._kill()
            except BaseException as error:  # a second signal's exception must leave nobody behind
                interruption = error
        if interruption:
            raise interruption

    def _kill(self) -> None:
        for pid in self._living:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in list(self._living):
            self._reap(pid)
        while self._answers:
            os.close(self._answers.popitem()[0])
