"""Time: durations from the monotonic clock, wall-clock only for people."""

import functools
import time


def monotonic() -> float:
    """Return seconds on CLOCK_MONOTONIC; comparable between the processes of one machine."""
    return time.monotonic()


def rfc3339(seconds: float | None = None) -> str:
    """Return ``seconds`` since the epoch (now, by default) as RFC 3339 in UTC with milliseconds."""
    moment = time.time() if seconds is None else seconds
    whole, fraction = divmod(round(moment * 1000), 1000)
    return f"{_second(whole)}.{fraction:03d}Z"


@functools.lru_cache(maxsize=16)  # every line that a program prints has its time
def _second(whole: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
