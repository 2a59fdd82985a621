"""Names of programs: what a process of supervisor's is called in a manifest.

Rules
-----
* A name is a DNS-1123 label: ``Worker_00`` becomes ``worker-00``. A process that is not named for its program is called after both.
* Names are unique, and those of bootseal's own programs are taken: `probes` becomes `my-probes`, and the second of a name gets a number.
"""

import re
from collections.abc import Iterable

from manifest import plan

_OURS = (plan.PROBES, plan.STAGE_B, plan.SEAL)
_LONGEST = 63


def label(text: str) -> str:
    """Return the label that is closest to ``text``."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_LONGEST].strip("-") or "program"


def wanted(program: str, process: str) -> str:
    """Return the name of the ``process`` of ``program``."""
    return label(process) if label(program) in label(process) else label(f"{program}-{process}")


def unique(names: Iterable[tuple[str, str]]) -> list[str]:
    """Return a name for each ``(program, process)``, in their order; none stands twice."""
    taken: set[str] = set()
    found = []
    for program, process in names:
        base = wanted(program, process)
        base = f"my-{base}" if base in _OURS else base
        name, number = base, 2
        while name in taken:
            name = f"{base[: _LONGEST - 4]}-{number}"
            number += 1
        taken.add(name)
        found.append(name)
    return found
