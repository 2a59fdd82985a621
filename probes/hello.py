"""The first line on PID 1's feed, by which the probe server says that its listeners accept."""

import json
import os

from manifest import plan


def line() -> bytes:
    """Return the subscription of this process."""
    return json.dumps({"subscribe": plan.PROBES, "pid": os.getpid()}).encode() + b"\n"
