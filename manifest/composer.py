"""Composes the tree from YAML's event stream, counting as it goes; no recursion, no constructors.

PyYAML's own composer recurses with the nesting of the document and expands aliases without a bound.
"""

import dataclasses
from typing import Any, NoReturn

import yaml

from manifest import diagnostics, scalars, tree
from manifest.diagnostics import Findings

DEPTH_LIMIT = 50
NODE_LIMIT = 100_000
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclasses.dataclass
class _Open:
    """A collection that is still being read."""

    is_mapping: bool
    place: tree.Place
    anchor: str | None
    items: list[tree.Node] = dataclasses.field(default_factory=list)
    entries: dict[str, tree.Entry] = dataclasses.field(default_factory=dict)
    key: tree.Scalar | None = None
    is_key_refused: bool = False
    is_whole: bool = True
    weight: int = 1
    height: int = 1


class _DocumentError(Exception):
    """A finding after which the rest of the document means nothing."""


def compose(text: str, findings: Findings) -> tree.Node | None:
    """Return the root of the one document in ``text``; None after a finding that ends the reading.

    Raises yaml.YAMLError where the text is not YAML.
    """
    composer = _Composer(text, findings)
    try:
        for event in yaml.parse(text, Loader=_LOADER):
            composer.take(event)
    except _DocumentError:
        return None
    return composer.root or tree.Scalar("", None, True, tree.Place(1, 1, 0))


class _Composer:
    def __init__(self, text: str, findings: Findings) -> None:
        self.root: tree.Node | None = None
        self._lines = diagnostics.lines_of(text)
        self._findings = findings
        self._open: list[_Open] = []
        self._anchors: dict[str, tree.Node | None] = {}
        self._nodes = 0

    def take(self, event: yaml.Event) -> None:
        place = self._place(event)
        if isinstance(event, yaml.DocumentStartEvent) and self.root is not None:
            self._stop("E006", place, "a second document begins: a manifest is one document", "remove it")
        self._refuse_tag(event, place)
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._scalar(event, place), event.anchor, place)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._aliased(event.anchor or "", place), None, place)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._begin(isinstance(event, yaml.MappingStartEvent), event.anchor, place)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self._end()

    def _place(self, event: yaml.Event) -> tree.Place:
        start: Any = event.start_mark
        end: Any = event.end_mark
        if not isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            return tree.Place(start.line + 1, start.column + 1)
        if start.line == end.line:
            return tree.Place(start.line + 1, start.column + 1, end.column - start.column)
        line = self._lines[start.line] if start.line < len(self._lines) else ""
        return tree.Place(start.line + 1, start.column + 1, max(1, len(line.rstrip()) - start.column))

    def _refuse_tag(self, event: yaml.Event, place: tree.Place) -> None:
        tag = getattr(event, "tag", None)
        if tag is not None:
            why = f"the tag {diagnostics.quote(tag)} is not allowed: a manifest holds plain data"
            self._findings.add("E012", place, why, "remove the tag; quote the value to make it text")

    def _scalar(self, event: yaml.ScalarEvent, place: tree.Place) -> tree.Scalar:
        is_plain = not event.style
        value = scalars.resolve(event.value) if is_plain else event.value
        return tree.Scalar(event.value, value, is_plain, place)

    def _aliased(self, name: str, place: tree.Place) -> tree.Node:
        shown = diagnostics.quote(f"*{name}")
        if name not in self._anchors:
            nearest = self._findings.nearest(name, self._anchors)
            remedy = f"write `*{nearest}`" if nearest else f"define it before, as `&{name[:60]}`"
            self._stop("E014", place, f"unknown alias {shown}", remedy)
        node = self._anchors[name]
        if node is None:
            self._stop("E014", place, f"the alias {shown} stands inside what it names", "write the value out")
        return node

    def _begin(self, is_mapping: bool, anchor: str | None, place: tree.Place) -> None:
        if len(self._open) >= DEPTH_LIMIT:
            self._stop("E008", place, f"nested more than {DEPTH_LIMIT} deep", "a manifest needs no such depth")
        if anchor is not None:
            self._anchors[anchor] = None
        self._open.append(_Open(is_mapping, place, anchor))

    def _end(self) -> None:
        closed = self._open.pop()
        node: tree.Node
        if closed.is_mapping:
            node = tree.Mapping(closed.entries, closed.place, closed.weight, closed.height, closed.is_whole)
        else:
            node = tree.Sequence(tuple(closed.items), closed.place, closed.weight, closed.height)
        self._nodes -= closed.weight - 1  # counted when they were added, and again with the whole
        self._add(node, closed.anchor, closed.place)

    def _add(self, node: tree.Node, anchor: str | None, place: tree.Place) -> None:
        if anchor is not None:
            self._anchors[anchor] = node
        self._nodes += tree.weight(node)
        if self._nodes > NODE_LIMIT:
            self._stop(
                "E009", place, f"more than {NODE_LIMIT} values, aliases expanded", "a manifest needs no such number"
            )
        if not self._open:
            self.root = node
            return
        parent = self._open[-1]
        parent.weight += tree.weight(node)
        parent.height = max(parent.height, tree.height(node) + 1)
        if len(self._open) + tree.height(node) > DEPTH_LIMIT:
            self._stop("E008", place, f"nested more than {DEPTH_LIMIT} deep", "a manifest needs no such depth")
        if not parent.is_mapping:
            parent.items.append(node)
        elif parent.key is None and not parent.is_key_refused:
            self._take_key(parent, node, place)
        else:
            if parent.key is not None:
                parent.entries[parent.key.text] = tree.Entry(parent.key, node)
            parent.key, parent.is_key_refused = None, False

    def _take_key(self, parent: _Open, node: tree.Node, place: tree.Place) -> None:
        refusal = self._judge_key(parent, node)
        if refusal is None and isinstance(node, tree.Scalar):
            parent.key = node
            return
        parent.is_key_refused, parent.is_whole = True, False
        if refusal:
            code, why, remedy = refusal
            self._findings.add(code, place, why, remedy)

    def _judge_key(self, parent: _Open, node: tree.Node) -> tuple[str, str, str] | None:
        if not isinstance(node, tree.Scalar):
            return "E011", "a key is a collection: a key must be text", "write a name before the colon"
        if node.is_plain and node.text == "<<":
            return (
                "E013",
                "the merge key `<<` is not allowed: what a mapping holds must stand in it",
                "write its keys out",
            )
        if node.is_plain and node.value is None:
            return "E011", "a key is null: a key must be text", "write a name before the colon"
        if earlier := parent.entries.get(node.text):
            why = f"duplicate key {diagnostics.quote(node.text)}: it stands in line {earlier.key.place.line} already"
            return "E010", why, "keep one of them"
        return None

    def _stop(self, code: str, place: tree.Place, why: str, remedy: str) -> NoReturn:
        self._findings.add(code, place, why, remedy)
        raise _DocumentError


def place_at(text: str, index: int) -> tree.Place:
    """Return the place of the character at ``index`` of ``text``."""
    before = diagnostics.lines_of(text[:index])
    return tree.Place(len(before), len(before[-1]) + 1)
