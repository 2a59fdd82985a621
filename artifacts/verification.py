"""Is every artifact what its closure says? One verdict per artifact, with all of its faults. Standard library only.

Rules
-----
* ``digest`` reads every byte of the closure, ``metadata`` compares types, modes, sizes, link targets and listings,
  ``presence`` asks only whether the artifact's path is there.
* An artifact that is to be verified against a closure, and has none, is not verified: that is a fault.
* Every fault of every artifact is found, in the order of the paths; what is *shown* is bounded, counts never are.
* A file that two artifacts share is read once, and is told of in both.
* What was not answered for is not verified: a worker that is lost is a fault of each file that it left.
"""

from collections import Counter

from artifacts import closure, examination, inspection, presence
from artifacts.inspection import Fault
from contract import errors, records
from manifest import provisions

SHOWN_FAULTS = 20


@records.dataclass(frozen=True)
class Verdict:
    """How ``artifact`` was verified, one of provisions.VERIFICATIONS, and what was wrong.

    ``sha256`` is its root digest, if locked. Paths of ``faults`` that are relative count from ``here``; in words they are
    absolute.
    """

    artifact: provisions.ArtifactPlan
    sha256: str | None
    verified: str
    faults: tuple[Fault, ...]
    here: str

    @property
    def reason(self) -> str:
        """Why the artifact cannot be used, in one line; "" when it can."""
        if len(self.faults) <= 1:
            return "".join(describe(fault, self.here) for fault in self.faults)
        counts = Counter(fault.kind for fault in self.faults)
        kinds = ", ".join(f"{counts[kind]} {kind}" for kind in inspection.FAULTS if counts[kind])
        return f"{len(self.faults)} faults ({kinds}), the first: {describe(self.faults[0], self.here)}"

    def shown(self, most: int = SHOWN_FAULTS) -> tuple[str, ...]:
        """Return the first ``most`` faults in words, and how many more there are."""
        lines = [describe(fault, self.here) for fault in self.faults[:most]]
        left = len(self.faults) - most
        return (*lines, f"and {left} more") if left > 0 else tuple(lines)


def describe(fault: Fault, here: str) -> str:
    """Return ``fault`` in words, on one line, as it may be printed; its path, where relative, counts from ``here``."""
    path = closure.absolute(fault.path, here)
    text = fault.detail if fault.detail.startswith(fault.path) else f"{path} ({fault.kind}): {fault.detail}"
    return errors.printable(text)


def verify(
    lock: closure.Lock | None,
    artifacts: tuple[provisions.ArtifactPlan, ...],
    here: str,
    processes: int | None = None,
) -> tuple[Verdict, ...]:
    """Return a verdict for each of ``artifacts``, in their order.

    ``here`` is the directory that relative paths in ``lock`` count from. ``processes`` is how many read at the same time:
    None for as many as there are CPUs, when there is enough to read; 0 for none but this one.
    """
    closures = {closed.id: closed for closed in lock.closures} if lock else {}
    found: dict[str, list[Fault]] = {}
    read, looked_at = list[closure.Closure](), list[closure.Closure]()
    for artifact in artifacts:
        closed = closures.get(artifact.id)
        if artifact.verify == provisions.PRESENCE:
            [verdict] = presence.judge((artifact,))
            found[artifact.id] = [Fault(inspection.MISSING, artifact.path, verdict.reason)] if verdict.reason else []
        elif closed is None or closure.absolute(closed.path, here) != artifact.path:
            found[artifact.id] = [Fault(inspection.MISSING, artifact.path, _why_unlocked(closed))]
        else:
            (read if artifact.verify == provisions.DIGEST else looked_at).append(closed)
    found |= examination.examine(read, looked_at, here, processes)
    return tuple(
        Verdict(
            artifact,
            closures[artifact.id].sha256 if artifact.id in closures else None,
            artifact.verify,
            tuple(found[artifact.id]),
            here,
        )
        for artifact in artifacts
    )


def _why_unlocked(closed: closure.Closure | None) -> str:
    if closed is None:
        return "closures.lock does not have it: it was not there when `bootseal lock` ran"
    return f"closures.lock has {closed.path} by this name: run `bootseal lock`"
