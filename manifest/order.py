"""The rules of order: what ``after`` names, and that everything can start.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives.
"""

import dataclasses
from collections.abc import Iterable

from manifest import graph, model, plan, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

RESERVED_PROGRAMS = (plan.PROBES, plan.STAGE_B, plan.SEAL)
_CYCLE_SHOWN = 8


@dataclasses.dataclass(frozen=True)
class Before:
    """What one program names in its ``after``, and where that was written."""

    name: str
    edge: model.Edge
    place: tree.Place


def befores(subject: Subject, name: str) -> list[Before]:
    """Return what the program ``name`` comes after, as written."""
    found = []
    for index, item in enumerate(subject.model.programs[name].after):
        for earlier, edge in item.items():
            path = tree.written(subject.root, ("programs", name, "after", index, earlier))
            found.append(Before(earlier, edge, tree.key_place(subject.root, path)))
    return found


def ranks(programs: dict[str, model.Program]) -> dict[str, int]:
    """Return each program's rank over all that is named in ``after``; those on or behind a circle are left out."""
    before = {
        name: [one for item in program.after for one in item if one in programs] for name, program in programs.items()
    }
    return graph.ranks(before)


def check(subject: Subject, findings: Findings) -> None:
    """E052, E053, E054, E055, E069, W001: ``after`` names other programs, each once, without a circle."""
    sound: dict[str, dict[str, tree.Place]] = {}
    for name in subject.model.programs:
        sound[name] = {}
        seen: set[str] = set()
        for before in befores(subject, name):
            if before.name in seen:
                message = f"{quote(before.name)} stands twice in this `after`"
                findings.add("E054", before.place, message, "keep one of them")
            seen.add(before.name)
            if before.name == name:
                findings.add("E053", before.place, f"{quote(name)} comes after itself", "remove it")
            elif is_program(subject, before.name, before.place, "it cannot be waited for", findings):
                sound[name].setdefault(before.name, before.place)
                _check_edge(subject, name, before, findings)
    for cycle in graph.cycles({name: list(before) for name, before in sound.items()}):
        message = f"programs wait for each other: {_show_cycle(cycle)}"
        findings.add("E055", sound[cycle[0]][cycle[1]], message, "remove one `after` of the circle")


def is_program(subject: Subject, name: str, place: tree.Place, why_not_ours: str, findings: Findings) -> bool:
    """Say whether ``name`` is a sound program of the manifest; E052 when nothing under ``programs`` has this name."""
    known = subject.names("programs")
    if name in subject.model.programs:
        return True
    if name in RESERVED_PROGRAMS:
        remedy = "remove it; it starts first" if name != plan.SEAL else "remove it"
        findings.add("E052", place, f"{quote(name)} is a program of bootseal itself: {why_not_ours}", remedy)
    elif name not in known:
        nearest = findings.nearest(name, known)
        remedy = f"write {quote(nearest)}" if nearest else "name a program of this manifest"
        message = f"unknown program {quote(name)}: nothing under `programs` has this name"
        findings.add("E052", place, message, remedy)
    return False


def _check_edge(subject: Subject, name: str, before: Before, findings: Findings) -> None:
    """E069, W001: nothing is bound to, or as, a one-shot; what is required comes after what is."""
    program, earlier = subject.model.programs[name], subject.model.programs[before.name]
    if before.edge.bind and (program.oneshot or earlier.oneshot):
        if earlier.oneshot:
            why = f"{quote(before.name)} is a one-shot: it ends by design, and {name} would end with it"
        else:
            why = f"{quote(name)} is a one-shot: it would run again whenever {before.name} does"
        findings.add("E069", before.place, f"`bind` cannot hold here: {why}", "remove `bind`, or `oneshot: true`")
    if not program.required or earlier.required or not (before.edge.bind or before.edge.condition == plan.READY):
        return
    if not subject.was_cut("programs", name, "required") and not subject.was_cut("programs", before.name, "required"):
        message = f"{quote(name)} is required and comes after {quote(before.name)}, which is not: so it is in effect"
        findings.add("W001", before.place, message, f"make {before.name} required, or do not wait for it")


def _show_cycle(cycle: Iterable[str]) -> str:
    names = list(cycle)
    if len(names) <= _CYCLE_SHOWN + 1:
        return " -> ".join(names)
    return f"{' -> '.join(names[:_CYCLE_SHOWN])} -> … -> {names[-1]} ({len(names) - 1} programs)"
