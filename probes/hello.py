"""What the probe server says on PID 1's feed beside verdicts: first that its listeners accept, last that it knows of the stop."""

import json
import os

from manifest import plan

STOPPING_SEEN = b'{"seen": "stopping"}\n'
"""The container stops, and /ready says so from now on."""


def line() -> bytes:
    """Return the subscription of this process."""
    return json.dumps({"subscribe": plan.PROBES, "pid": os.getpid()}).encode() + b"\n"
