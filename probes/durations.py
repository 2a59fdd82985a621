"""How long things took, counted as a histogram needs it."""

import bisect
import dataclasses


@dataclasses.dataclass
class Durations:
    """One count for each of ``bounds_seconds``, of what took no longer, and one for all that took longer."""

    bounds_seconds: tuple[float, ...]
    counts: list[int] = dataclasses.field(init=False)
    sum_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds_seconds) + 1)

    def note(self, seconds: float) -> None:
        """Count one that took ``seconds``."""
        self.counts[bisect.bisect_left(self.bounds_seconds, seconds)] += 1
        self.sum_seconds += seconds
