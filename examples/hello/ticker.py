"""Says once in ten seconds how long it has been up."""

import signal
import threading
import time

SECONDS = 10


def main() -> None:
    """Tick until SIGTERM."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    started = time.monotonic()
    print("ticker: started")
    while not stopped.wait(SECONDS):
        print(f"ticker: up for {time.monotonic() - started:.0f} s")
    print("ticker: stopped")


if __name__ == "__main__":
    main()
