"""How long checks took and how often they failed, counted for the metrics."""

import collections

from probes import durations

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Tally:
    """By purpose, and program or condition."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.durations: dict[tuple[str, str], durations.Durations] = collections.defaultdict(
            lambda: durations.Durations(BOUNDS_SECONDS)
        )
        self.failures: collections.Counter[tuple[str, str]] = collections.Counter()

    def note(self, program: str, purpose: str, seconds: float, *, ok: bool) -> None:
        """Count a check."""
        self.durations[program, purpose].note(seconds)
        self.failures[program, purpose] += not ok
