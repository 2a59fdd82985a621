"""How long checks took and how often they failed, counted for the metrics."""

import bisect
import collections
import dataclasses

BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclasses.dataclass
class Durations:
    """Checks by how long they took: one count for each of BOUNDS_SECONDS, and one for all that took longer."""

    counts: list[int] = dataclasses.field(default_factory=lambda: [0] * (len(BOUNDS_SECONDS) + 1))
    sum_seconds: float = 0.0

    def note(self, seconds: float) -> None:
        """Count a check that took ``seconds``."""
        self.counts[bisect.bisect_left(BOUNDS_SECONDS, seconds)] += 1
        self.sum_seconds += seconds


class Tally:
    """By purpose, and program or condition."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.durations: dict[tuple[str, str], Durations] = collections.defaultdict(Durations)
        self.failures: collections.Counter[tuple[str, str]] = collections.Counter()

    def note(self, program: str, purpose: str, seconds: float, *, ok: bool) -> None:
        """Count a check."""
        self.durations[program, purpose].note(seconds)
        self.failures[program, purpose] += not ok
