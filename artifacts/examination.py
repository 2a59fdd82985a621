"""All entries of all closures, each examined once: files read by workers, the rest looked at meanwhile. Standard library only.

Rules
-----
* An entry that two closures share is examined once, by the stricter way, and its faults count for both.
* Files are read in units of similar weight, the heaviest first, so that the workers end together; small files of one
  directory stay together, so that it is opened once.
* Little work is done in this process: a fork costs more.
* A file whose unit was not answered for has a fault: what nobody read is not verified.
"""

from collections.abc import Callable, Iterable

from artifacts import closure, inspection, workers
from artifacts.inspection import Fault

_FILE_WEIGHT = 16 * 1024
"""Opening a file costs as much as reading so many bytes."""
_UNIT_WEIGHT = 2 * 1024 * 1024
_FORK_WEIGHT = 16 * 1024 * 1024
"""From here on, workers save more than they cost."""
_MOST_SMALL_UNITS = workers.MOST_UNITS // 2

_Found = dict[closure.Entry, list[Fault]]


def examine(
    read: list[closure.Closure], looked_at: list[closure.Closure], here: str, processes: int | None
) -> dict[str, list[Fault]]:
    """Return the faults of each closure by its artifact's id, in the order of their paths.

    Every byte of ``read`` is read, of ``looked_at`` the metadata only. ``processes`` is how many workers read at once, None
    for as many as it pays to have, 0 for none.
    """
    files, others = _shared_out(read, looked_at)
    found: _Found = {}
    extras: dict[str, list[Fault]] = {}
    inspector = inspection.Inspector(here, workers.still_wanted)
    try:

        def look() -> None:
            for entry in others:
                _note(found, entry, inspector.look(entry))
            for closed in (*read, *looked_at):
                extras[closed.id] = _extras(inspector, closed, found)

        _read(inspector, files, found, look, processes)
    finally:
        inspector.close()
    return {closed.id: _in_order(closed, found, extras[closed.id]) for closed in (*read, *looked_at)}


def units(files: list[closure.Entry]) -> list[list[closure.Entry]]:
    """Return ``files`` in at most workers.MOST_UNITS lists, the heaviest first."""
    weights = [entry.size + _FILE_WEIGHT for entry in files]
    enough = max(_UNIT_WEIGHT, sum(weights) // _MOST_SMALL_UNITS)
    made: list[tuple[int, list[closure.Entry]]] = []
    open_weight, open_unit = 0, list[closure.Entry]()
    for entry, weight in zip(files, weights, strict=True):
        if weight >= enough:
            made.append((weight, [entry]))
            continue
        open_unit.append(entry)
        open_weight += weight
        if open_weight >= enough:
            made.append((open_weight, open_unit))
            open_weight, open_unit = 0, []
    if open_unit:
        made.append((open_weight, open_unit))
    return [unit for _, unit in sorted(made, key=lambda one: -one[0])]


def _shared_out(
    read: Iterable[closure.Closure], looked_at: Iterable[closure.Closure]
) -> tuple[list[closure.Entry], list[closure.Entry]]:
    """Return what to read and what to look at, no entry twice."""
    seen: set[closure.Entry] = set()
    files, others = [], []
    for closed in read:
        new = [entry for entry in closed.entries if entry not in seen] if seen else closed.entries
        seen.update(new)
        files += [entry for entry in new if entry.type == closure.FILE]
        others += [entry for entry in new if entry.type != closure.FILE]
    for closed in looked_at:
        new = [entry for entry in closed.entries if entry not in seen] if seen else closed.entries
        seen.update(new)
        others += new
    return files, others


def _read(
    inspector: inspection.Inspector,
    files: list[closure.Entry],
    found: _Found,
    meanwhile: Callable[[], None],
    processes: int | None,
) -> None:
    if processes is None:
        is_enough = sum(entry.size + _FILE_WEIGHT for entry in files) >= _FORK_WEIGHT
        processes = workers.count() if is_enough else 0
    if processes and files:
        try:
            _read_by_workers(inspector, units(files), found, meanwhile, processes)
        except workers.NoWorker:
            pass
        else:
            return
    for entry in files:
        _note(found, entry, inspector.read(entry))
    meanwhile()


def _read_by_workers(
    inspector: inspection.Inspector,
    to_read: list[list[closure.Entry]],
    found: _Found,
    meanwhile: Callable[[], None],
    processes: int,
) -> None:
    def work(number: int) -> list[tuple[int, Fault]]:
        answer = []
        for index, entry in enumerate(to_read[number]):
            if faults := inspector.read(entry):
                answer += [(index, fault) for fault in faults]
        return answer

    with workers.Workers(min(processes, len(to_read)), len(to_read), work) as crew:
        meanwhile()
        answers = crew.answers()
    cause = crew.losses[0] if crew.losses else "ended early"
    for number, unit in enumerate(to_read):
        if number not in answers:
            for entry in unit:
                why = f"it was not verified: a process that verifies {cause}"
                _note(found, entry, [Fault(inspection.UNREADABLE, entry.path, why)])
        else:
            for index, fault in answers[number]:
                _note(found, unit[index], [Fault(*fault)])


def _extras(inspector: inspection.Inspector, closed: closure.Closure, found: _Found) -> list[Fault]:
    directories = [entry for entry in closed.entries if entry.type == closure.DIRECTORY]
    if not directories:
        return []
    known = {entry.path for entry in closed.entries}
    unlistable = {inspection.MISSING, inspection.TYPE, inspection.UNREADABLE}
    return [
        fault
        for entry in directories
        if not any(told.kind in unlistable for told in found.get(entry, ()))
        for fault in inspector.extras(entry, known)
    ]


def _note(found: _Found, entry: closure.Entry, faults: list[Fault]) -> None:
    if faults:
        found.setdefault(entry, []).extend(faults)


def _in_order(closed: closure.Closure, found: _Found, extras: list[Fault]) -> list[Fault]:
    faults = [fault for entry in closed.entries for fault in found.get(entry, ())] if found else []
    return sorted([*faults, *extras], key=lambda fault: closure.as_bytes(fault.path))
