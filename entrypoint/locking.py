"""The work of ``bootseal lock``: a manifest's artifacts become ``closures.lock``, or are compared with it.

Rules
-----
* Locked is every artifact that the manifest does not leave to its presence. An optional one that is not there is left out, with a
  note: boot finds it missing.
* All artifacts' problems are told, not the first one's. A comparison tells them too, and every difference of what has none.
* The lock is no part of what it locks: a directory that is listed whole must not hold it.
"""

import dataclasses
import os

from artifacts import closure, expansion, lock, tree
from contract import errors, files
from manifest import compile as compiling
from manifest import locked, plan, provisions

_MODE = 0o644
_SHOWN = 50
_BENEATH = "lock a folder beneath ${here}, not the one that holds the manifest"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The lock of those artifacts that have a closure, what is to be said of others, and why there is no lock.

    ``unlockable`` are the artifacts that are there, and of which no closure could be made.
    """

    lock: closure.Lock
    notes: tuple[str, ...]
    problems: tuple[str, ...]
    unlockable: frozenset[str]


def load(path: str) -> compiling.Result:
    """Compile the manifest ``path`` as if its lock were there already; what is wrong with it otherwise is a diagnostic."""
    return compiling.load(path, compiling.BuildOptions(lock=locked.TO_BE_WRITTEN))


def expand(artifacts: tuple[provisions.ArtifactPlan, ...], here: str, output: str) -> Outcome:
    """Return the closures of ``artifacts``; ``here`` is the manifest's directory, ``output`` where the lock will be."""
    digests = tree.Digests()
    closures: list[closure.Closure] = []
    notes: list[str] = []
    problems: list[str] = []
    unlockable: set[str] = set()
    for artifact in artifacts:
        if artifact.verify == provisions.PRESENCE:
            continue
        try:
            found = expansion.expand(artifact, here, digests=digests)
        except expansion.Missing as error:
            if artifact.required:
                problems.append(str(error))
            else:
                notes.append(f"{error.what} is optional and not here, so it is not locked: {error.why}")
        except expansion.NotLockable as error:
            problems += [f"{error.what}: {problem}" for problem in error.told]
            unlockable.add(artifact.id)
        else:
            closures.append(found)
            if _holds(found, here, output):
                why = f"artifact {found.id}: {output} would lie in it, and a lock cannot hold its own digest"
                problems.append(f"{why} ({_BENEATH})")
                unlockable.add(found.id)
    made = closure.Lock(tuple(sorted(closures, key=lambda one: one.id)))
    return Outcome(made, tuple(notes), tuple(problems), frozenset(unlockable))


def _holds(found: closure.Closure, here: str, output: str) -> bool:
    folder = closure.recorded(os.path.realpath(os.path.dirname(output)), os.path.realpath(here))
    return any(entry.path == folder and entry.type == closure.DIRECTORY for entry in found.entries)


def write(output: str, data: bytes) -> None:
    """Write the lock; raises BootsealError."""
    try:
        files.write_atomically(output, data, _MODE)
    except OSError as error:
        why = f"it cannot be written: {errors.describe_os_error(error)}"
        raise errors.BootsealError(f"lock {output}", why, "it lies beside the manifest: make that writable") from error


def differences(output: str, found: Outcome) -> tuple[str, ...]:
    """Return in words how the lock at ``output`` differs from what was ``found``; raises BootsealError when it cannot be read.

    Of artifacts that are there and cannot be locked nothing is said: their problems are.
    """
    try:
        before = files.read_bounded(output, lock.LIMIT)
    except FileNotFoundError:
        return (f"{output} is not there",)
    except OSError as error:
        why = f"it cannot be read: {errors.describe_os_error(error)}"
        raise errors.BootsealError(f"lock {output}", why, "remove it, and run `bootseal lock`") from error
    try:
        written = lock.parse(before, f"lock {output}")
    except errors.InvalidRecord as error:
        return (f"{output} is damaged: {error.why}",)
    old = {one.id: one for one in written.closures if one.id not in found.unlockable}
    new = {one.id: one for one in found.lock.closures if one.id not in found.unlockable}
    lines: list[str] = []
    for artifact in sorted(old.keys() | new.keys()):
        if artifact not in new:
            lines.append(f"removed  artifact {artifact}")
        elif artifact not in old:
            lines.append(f"added    artifact {artifact}")
        else:
            lines += _differences(old[artifact], new[artifact])
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"and {len(lines) - _SHOWN} more"]
    return tuple(lines)


def _differences(old: closure.Closure, new: closure.Closure) -> list[str]:
    before = {entry.path: entry for entry in old.entries}
    after = {entry.path: entry for entry in new.entries}
    lines = [
        f"changed  {new.id}: its {name} was {was}, and is {is_}"
        for name, was, is_ in (("kind", old.kind, new.kind), ("path", old.path, new.path))
        if was != is_
    ]
    for path in sorted(before.keys() | after.keys(), key=closure.as_bytes):
        if path not in after:
            lines.append(f"removed  {new.id}: {path}")
        elif path not in before:
            lines.append(f"added    {new.id}: {path}")
        elif before[path] != after[path]:
            lines.append(f"changed  {new.id}: {path} ({_what(before[path], after[path])})")
    return lines


def _what(old: closure.Entry, new: closure.Entry) -> str:
    if old.type != new.type:
        return "another type"
    if old.target != new.target:
        return f"to {old.target}, now to {new.target}"
    found = [f"mode {old.mode:04o}, now {new.mode:04o}"] if old.mode != new.mode else []
    if old.size != new.size:
        found.append(f"{old.size} bytes, now {new.size}")
    elif old.sha256 != new.sha256:
        found.append("another content")
    return ", ".join(found)


def line(closed: closure.Closure) -> str:
    """Return one line on the closure ``closed``: its kind, files, bytes and the beginning of its root digest."""
    count = sum(entry.type == closure.FILE for entry in closed.entries)
    size = sum(entry.size for entry in closed.entries)
    return (
        f"{closed.id}: {closed.kind}, {count} {'file' if count == 1 else 'files'}, {_size(size)}, {closed.sha256[:12]}"
    )


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


def default_output(manifest: str) -> str:
    """Return where the lock of the file ``manifest`` lies: beside it."""
    return os.path.join(os.path.dirname(os.path.abspath(manifest)), plan.LOCK_FILE)
