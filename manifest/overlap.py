"""What must be apart: immutable roots, what is written and the run directory; and the files that prove readiness."""

from manifest import tree
from manifest.diagnostics import Findings, quote
from manifest.semantics import is_within
from manifest.structure import Subject


def check(subject: Subject, immutable: tuple[str, ...], run_directory: str, findings: Findings) -> None:
    """Add E059 where an immutable root and a writable one, a mount that must be writable, or the run directory, overlap.

    ``immutable`` are the manifest's immutable roots with their expressions replaced, in its order.
    """
    for index, root in enumerate(subject.model.boot.writable):
        place = tree.place_of(subject.root, ("boot", "writable", index, "path"))
        if other := _overlapping(root.path, immutable):
            message = f"{quote(root.path)} is both writable and immutable: {_relation(root.path, other)}"
            findings.add("E059", place, message, "take one of them out")
        if is_within(root.path, run_directory):
            message = (
                f"{quote(root.path)} is bootseal's own: {_relation(root.path, run_directory, 'the run directory')}"
            )
            findings.add("E059", place, message, "choose another path")
    for index, path in enumerate(immutable):
        if is_within(run_directory, path) or is_within(path, run_directory):
            place = tree.place_of(subject.root, ("boot", "immutable", index))
            message = f"{quote(path)} cannot be immutable: {_relation(path, run_directory, 'the run directory')}"
            findings.add("E059", place, message, "name what lies beside it")
    _check_mounts(subject, immutable, findings)


def _check_mounts(subject: Subject, immutable: tuple[str, ...], findings: Findings) -> None:
    for index, mount in enumerate(subject.model.ready.mounts):
        other = next((path for path in immutable if is_within(mount.path, path)), None)
        if mount.writable and other is not None:
            path = tree.written(subject.root, ("ready", "mounts", index, "path"))
            message = f"{quote(mount.path)} must be writable and immutable: {_relation(mount.path, other)}"
            findings.add("E059", tree.place_of(subject.root, path), message, "write `writable: false`")


def check_evidence(subject: Subject, files: dict[str, str], findings: Findings) -> None:
    """Add E071 where two programs prove their readiness by one file; ``files`` has each program's, resolved."""
    owners: dict[str, str] = {}
    for name, path in files.items():
        owner = owners.setdefault(path, name)
        if owner != name:
            place = tree.place_of(subject.root, ("programs", name, "ready", "file"))
            why = f"each would remove the other's proof before its own start, and {quote(owner)} has it already"
            findings.add("E071", place, f"{quote(path)} proves two programs: {why}", "choose another file")


def _overlapping(path: str, roots: tuple[str, ...]) -> str | None:
    return next((root for root in roots if is_within(path, root) or is_within(root, path)), None)


def _relation(path: str, other: str, kind: str = "the immutable root") -> str:
    if path == other:
        return f"it is {kind} itself" if kind != "the immutable root" else "it stands in both lists"
    return f"it lies in {kind} {other}" if is_within(path, other) else f"it holds {kind} {other}"
