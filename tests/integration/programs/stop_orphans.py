"""A program that leaves orphans: SIGUSR1 makes 10,000 of them, in batches; SIGUSR2 lets go of them without end.

It writes a newline to descriptor 3 once its handlers are there, and tells its stdout of each batch.
"""

import contextlib
import os
import signal
import time

BATCHES, BATCH = 20, 500
wanted: list[int] = []


def fork() -> int:
    """Fork, as soon as there is room for another process."""
    while True:
        with contextlib.suppress(BlockingIOError):
            return os.fork()
        time.sleep(0.005)


def leave_batch() -> int:
    """Leave a batch that ends all at once, when its parent is gone; return how many PID 1 had become the parent of."""
    go_read, go_write = os.pipe()
    end_read, end_write = os.pipe()
    between = fork()
    if between == 0:
        os.close(go_write)
        for _ in range(BATCH):
            if fork() == 0:
                os.read(go_read, 1)  # an end of file, for all of them
                os.write(end_write, b"o" if os.getppid() == 1 else b"")
                os._exit(0)
        os._exit(0)
    os.waitpid(between, 0)
    os.close(end_write)
    os.close(go_write)
    left = 0
    while said := os.read(end_read, BATCH):
        left += len(said)
    os.close(go_read)
    os.close(end_read)
    return left


def bomb() -> None:
    """Go on for ever, each process but for a moment, in a session of its own."""
    while True:
        if fork() == 0:
            os.setsid()
            if fork() == 0:
                continue
            os._exit(0)
        time.sleep(0.01)


for number in (signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, lambda number, _frame: wanted.append(number))
os.write(3, b"\n")
while True:
    while not wanted:
        time.sleep(0.01)
    if wanted.pop() == signal.SIGUSR2:
        print("bomb", flush=True)
        bomb()
    orphans = 0
    for _ in range(BATCHES):
        orphans += leave_batch()
        print("orphans", orphans, flush=True)
