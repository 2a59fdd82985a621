"""What was asked and answered, counted for the metrics.

Rules
-----
* A path is one of ours, or ``other``: what a client sends never becomes a label.
* A duration is the time that an answer took us. The time that a request was held because it asked for it does not count, and a
  stream has no duration.
"""

import collections

from probes import durations

BOUNDS_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
OTHER = "other"


class Traffic:
    """Requests by path and status, and their durations by path."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.requests: collections.Counter[tuple[str, int]] = collections.Counter()
        self.durations: dict[str, durations.Durations] = collections.defaultdict(
            lambda: durations.Durations(BOUNDS_SECONDS)
        )

    def note(self, path: str, status: int, seconds: float | None = None) -> None:
        """Count an answer; ``seconds`` is None where it has no duration."""
        self.requests[path, status] += 1
        if seconds is not None:
            self.durations[path].note(seconds)
