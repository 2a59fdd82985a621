"""A YAML document as a positioned tree: what stands where in the manifest, before anything is judged.

Rules
-----
* Nodes are immutable and know their place. An aliased node is one object that stands in several places; its place is
  where it was written.
* A path is a tuple of keys and list indices. It is valid in the one tree it was made for: ``prune`` returns another tree.
"""

import dataclasses

Path = tuple[str | int, ...]


@dataclasses.dataclass(frozen=True)
class File:
    """A file beside the manifest, with its lines."""

    path: str
    lines: tuple[str, ...] = dataclasses.field(compare=False)


@dataclasses.dataclass(frozen=True)
class Place:
    """A place in the source, counted from 1: ``width`` characters from ``column`` of ``line`` on.

    The source is the manifest, or the ``file`` that it imports.
    """

    line: int
    column: int
    width: int = 1
    file: File | None = dataclasses.field(default=None, repr=False)


@dataclasses.dataclass(frozen=True)
class Scalar:
    """A single value: ``text`` as it was written (unquoted), and ``value`` as the YAML core of ``scalars`` reads it.

    ``is_plain`` says that it stood without quotes; only then can ``value`` be anything but text.
    """

    text: str
    value: str | int | float | bool | None
    is_plain: bool
    place: Place


@dataclasses.dataclass(frozen=True)
class Sequence:
    """A list. ``weight`` and ``height`` are the number of nodes in it and their depth, aliases expanded."""

    items: tuple["Node", ...]
    place: Place
    weight: int
    height: int


@dataclasses.dataclass(frozen=True)
class Entry:
    """A key with its value."""

    key: Scalar
    value: "Node"


@dataclasses.dataclass(frozen=True)
class Mapping:
    """Keys, as text, in the order in which they were written; ``is_whole`` is false when a key was refused."""

    entries: dict[str, Entry]
    place: Place
    weight: int
    height: int
    is_whole: bool


Node = Scalar | Sequence | Mapping


def weight(node: Node) -> int:
    """Return the number of nodes in ``node``, aliases expanded."""
    return 1 if isinstance(node, Scalar) else node.weight


def height(node: Node) -> int:
    """Return how deeply collections are nested in ``node``."""
    return 0 if isinstance(node, Scalar) else node.height


def find(root: Node, path: Path) -> Node | None:
    """Return the node at ``path``, or None."""
    node: Node | None = root
    for step in path:
        node = _child(node, step)
    return node


def place_of(root: Node, path: Path) -> Place:
    """Return the place of the value at ``path``, or of the nearest thing above it that exists.

    A value of no width (nothing was written after the colon) is shown at its key.
    """
    node: Node = root
    place = root.place
    for depth, step in enumerate(path):
        below = _child(node, step)
        if below is None:
            return key_place(root, path[:depth])
        place = below.place
        if place.width == 0 and isinstance(node, Mapping):
            place = node.entries[str(step)].key.place
        node = below
    return place


def written(root: Node, path: Path) -> Path:
    """Return ``path`` without the steps that a shorthand left out: what stands at it is where its full form would be."""
    node: Node | None = root
    kept: list[str | int] = []
    for step in path:
        below = _child(node, step)
        if below is not None:
            kept.append(step)
            node = below
    return tuple(kept)


def key_place(root: Node, path: Path) -> Place:
    """Return the place of the key that ``path`` ends in, or of the value where it ends in a list index."""
    above = find(root, path[:-1]) if path else None
    if isinstance(above, Mapping) and path[-1] in above.entries:
        return above.entries[str(path[-1])].key.place
    return place_of(root, path)


def prune(node: Node, paths: set[Path]) -> Node | None:
    """Return ``node`` without what stands at ``paths``; None when ``node`` itself is one of them."""
    if () in paths:
        return None
    below: dict[str | int, set[Path]] = {}
    for path in paths:
        below.setdefault(path[0], set()).add(path[1:])
    if isinstance(node, Sequence):
        items = [prune(item, below[index]) if index in below else item for index, item in enumerate(node.items)]
        return dataclasses.replace(node, items=tuple(item for item in items if item is not None))
    if isinstance(node, Mapping):
        entries = {}
        for name, entry in node.entries.items():
            value = prune(entry.value, below[name]) if name in below else entry.value
            if value is not None:
                entries[name] = Entry(entry.key, value)
        return dataclasses.replace(node, entries=entries)
    return None


def _child(node: Node | None, step: str | int) -> Node | None:
    if isinstance(node, Mapping) and isinstance(step, str):
        entry = node.entries.get(step)
        return entry.value if entry else None
    if isinstance(node, Sequence) and isinstance(step, int) and step < len(node.items):
        return node.items[step]
    return None
