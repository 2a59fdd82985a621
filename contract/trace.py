"""The W3C trace context of a boot: which span an event belongs to (https://www.w3.org/TR/trace-context/, 3.2).

Rules
-----
* The trace is the boot: its trace-id is the boot_id, which is 128 random bits already. So whoever has an event has the trace.
* A span is known by what it is about, never by a counter: every process of ours says the same one without being told.
* There is one span for the boot, one for each phase and one for each program, from its first start to its first readiness.
"""

import hashlib
import re

PHASE, PROGRAM = "phase", "program"
_TRACE_ID = re.compile(r"(?!0{32})[0-9a-f]{32}")


def span_id(boot_id: str, kind: str = "", name: str = "") -> str:
    """Return the 16 hexadecimal digits of the span of the ``kind`` called ``name``; without them, of the boot itself."""
    digest = hashlib.sha256(f"{boot_id}/{kind}/{name}".encode("utf-8", "surrogateescape")).hexdigest()[:16]
    return digest if digest.strip("0") else "0" * 15 + "1"


def parent(boot_id: str, kind: str = "", name: str = "") -> str | None:
    """Return the ``traceparent`` of the span, sampled; None when ``boot_id`` is no trace-id."""
    return f"00-{boot_id}-{span_id(boot_id, kind, name)}-01" if _TRACE_ID.fullmatch(boot_id) else None
