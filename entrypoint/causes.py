"""Why is it not ready? The shortest true answer, from what is known of a container. Pure.

Rules
-----
* The probe server's rows stand in the order of causation: the first is where to begin. A program that only waits for another
  is no cause: who it waits for is, and so on to the end of the chain.
* Nothing is concluded that was not told: without the probe server the programs are told, and that readiness is unknown.
* One sentence names the cause; what its program printed last is the evidence.
"""

import dataclasses
import itertools
import re

from contract import reasons, snapshot
from entrypoint import situation

PROGRAM, BOOT = "program", "boot"
"""The kinds of the rows that are programs, and of the boot as a whole: see ``probes.readiness``."""
PROBES = "probes"
"""The kind of the cause where PID 1 misses nothing: the probe server alone does not answer."""
_NAMED = frozenset({"mount", "check"})
"""The kinds of which there are several, and whose reasons do not say which."""


@dataclasses.dataclass(frozen=True)
class Cause:
    """One cause; ``chain`` are the programs from the one that is missed to the one that causes it, ``lines`` its last words."""

    sentence: str
    kind: str
    id: str
    since: str
    chain: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()


def first(found: situation.Situation) -> Cause | None:
    """Return the first cause why the container is not ready, or None when it is."""
    if found.ready:
        return None
    if found.told_by == situation.LEDGER:
        return _of_ledger(found)
    for row in found.missing:
        return _of_row(found, row)
    told = reasons.without_last_output(found.reason) if found.last_lines else found.reason
    return Cause(told, BOOT, found.culprit, found.since or "", (), found.last_lines)


def every(found: situation.Situation) -> list[Cause]:
    """Return a cause for each program or row that is missing, in the order in which they stand; where none is, the first cause."""
    if found.told_by == situation.LEDGER:
        causes = [_of_program(found, view) for view in found.programs if _is_missed(view)]
    elif found.missing:
        causes = [_of_row(found, row) for row in found.missing]
    else:
        causes = [cause for cause in [first(found)] if cause]
    return causes


def of_program(found: situation.Situation, view: snapshot.ProgramView) -> Cause | None:
    """Return why the program ``view`` is not ready, or None when it is."""
    return None if view.state == snapshot.READY else _of_program(found, view)


def _is_missed(view: snapshot.ProgramView) -> bool:
    return view.required and view.role != "seal" and view.state != snapshot.READY


def _of_ledger(found: situation.Situation) -> Cause:
    """Return the cause by the ledger alone: the boot's failure, or the first program that is missed, and else what is not known."""
    if found.failure:
        return _of_failure(found, f"the boot failed: {found.failure}", "")
    missed = [view for view in found.programs if _is_missed(view)]
    missed.sort(key=lambda view: view.state != snapshot.FAILED)
    return _of_program(found, missed[0]) if missed else Cause(found.reason, PROBES, PROBES, "")


def _of_row(found: situation.Situation, row: situation.Missing) -> Cause:
    view = found.program(row.id) if row.kind == PROGRAM else None
    if view is not None and view.state != snapshot.READY:
        return _of_program(found, view)
    if found.failure and row.kind == BOOT:
        return _of_failure(found, row.reason, row.since)
    subject = f"{row.id}: " if row.kind == PROGRAM else f"{row.kind} {row.id}: " if row.kind in _NAMED else ""
    return Cause(f"{subject}{row.reason}", row.kind, row.id, row.since)


def _of_failure(found: situation.Situation, told: str, since: str) -> Cause:
    """Return the cause of a boot that failed: where it names a program that failed for good, that program's words and no more."""
    for view in found.programs:
        named = re.search(rf"(?<![a-z0-9-]){re.escape(view.name)} {re.escape(view.reason)}", found.failure)
        if named and view.reason and view.state == snapshot.FAILED and not reasons.holding(view.reason):
            head = "the boot failed and is held" if found.phase == snapshot.HELD else "the boot failed"
            return Cause(f"{head}: {clause(view)}", BOOT, view.name, since, (view.name,), view.last_output)
    return Cause(told, BOOT, BOOT, since)


def _of_program(found: situation.Situation, view: snapshot.ProgramView) -> Cause:
    chain = [view]
    while (next_one := _held_up_by(found, chain[-1])) is not None and next_one not in chain:
        chain.append(next_one)
    root = chain[-1]
    names = tuple(one.name for one in chain)
    sentence = clause(root)
    if len(chain) > 1:
        links = ", ".join(f"{one.name} waits for {after.name}" for one, after in itertools.pairwise(chain))
        sentence = f"{sentence} ({links})"
    return Cause(sentence, PROGRAM, root.name, root.since, names, root.last_output)


def _held_up_by(found: situation.Situation, view: snapshot.ProgramView) -> snapshot.ProgramView | None:
    """Return who holds ``view`` up: of several one that failed first, for it will not come by itself."""
    others = [
        one
        for name in reasons.holding(view.reason)
        if (one := found.program(name)) is not None and one.state != snapshot.READY
    ]
    others.sort(key=lambda one: one.state != snapshot.FAILED)
    return others[0] if others else None


def clause(view: snapshot.ProgramView) -> str:
    """Return what is said of a program as a sentence of its own: ``redis exited with code 1``."""
    reason = view.reason or f"is {view.state}"
    return f"{view.name}: {reason}" if reason.startswith(("its ", "/")) else f"{view.name} {reason}"
