"""From the tree to the model: every fault of form is found, and what is sound goes on to be judged.

Rules
-----
* All faults are reported at once. What is faulty is then cut out of the tree (and what cannot do without it as well, where
  nothing can stand in for it) until a sound manifest remains; so the rules that look at several values still run.
* What was cut is remembered (``Subject.was_cut``): no rule may complain of an absence that the cut made.
"""

import dataclasses
import re
import types
import typing
from typing import Any

import pydantic

from manifest import diagnostics, fields, model, tree
from manifest.diagnostics import Findings

_ROUNDS = 12
_UNKNOWN_COMPARED = 20
_MAPPING_WANTED = frozenset({"model_type", "model_attributes_type", "dict_type"})
_NOWHERE = tree.Place(1, 1)
_PLACEHOLDERS: dict[str, Any] = {
    "version": tree.Scalar("1", 1, is_plain=True, place=_NOWHERE),
    "name": tree.Scalar("unnamed", "unnamed", is_plain=True, place=_NOWHERE),
    "command": [tree.Scalar("unnamed", "unnamed", is_plain=True, place=_NOWHERE)],
}
"""What stands in for a required value that is missing or faulty, so that what is around it need not be cut."""
_URL = '"http://127.0.0.1:8000/livez"'
_EXAMPLES = {
    "ready": f"{{http: {_URL}}}",
    "live": "{period: 2s}",
    "http": _URL,
    "tcp": "5432",
    "unix": '"${run}/api.sock"',
    "exec": "[redis-cli, ping]",
    "restart": "{backoff: 1s}",
    "stop": "{timeout: 10s}",
}
"""What could stand at a key of a program, or of its checks, for somebody who wrote something else."""
_CLAIMS = frozenset({"running", "notify"})


@dataclasses.dataclass(frozen=True)
class Subject:
    """A sound manifest: the ``model``, the ``root`` it was made from, and what had to be ``cut`` out of ``written``.

    ``around`` are the paths of everything that something was cut out of.
    """

    model: model.Manifest
    root: tree.Node
    written: tree.Node
    cut: frozenset[tree.Path]
    around: frozenset[tree.Path]

    def was_cut(self, *path: str | int) -> bool:
        """Say whether ``path`` itself, or anything in it or around it, was cut."""
        return path in self.around or any(path[:depth] in self.cut for depth in range(len(path) + 1))

    def names(self, section: str) -> tuple[str, ...]:
        """Return the keys that were written in ``section``, sound or not."""
        node = tree.find(self.written, (section,))
        return tuple(node.entries) if isinstance(node, tree.Mapping) else ()


def check(root: tree.Mapping, findings: Findings) -> Subject | None:
    """Return the subject made from ``root``, with findings; None when nothing sound is left."""
    current: tree.Node = root
    cut: set[tree.Path] = {()} if findings.has_errors else set()
    for round_number in range(_ROUNDS):
        data = _plain(current)
        _fill(data, cut)
        try:
            sound = model.Manifest.model_validate(data)
        except pydantic.ValidationError as error:
            faults = error.errors(include_url=False, include_input=False)
        else:
            around = frozenset(path[:depth] for path in cut for depth in range(len(path)))
            return Subject(sound, current, root, frozenset(cut), around)
        removals = set()
        for fault in faults:
            path, is_key = _locate(fault, current)
            if round_number == 0:
                _report(fault, path, current, findings, is_key)
            stands_in = path[-1] in _PLACEHOLDERS if path else False
            removals.add(path[:-1] if fault["type"] == "missing" and not stands_in else path)
        removals.discard(())
        cut |= removals
        pruned = tree.prune(current, removals)
        if pruned is None:
            return None
        current = pruned
    return None


def _plain(node: tree.Node) -> Any:
    """Return ``node`` as what pydantic reads: dicts, lists, and scalars that the fields read themselves."""
    if isinstance(node, tree.Mapping):
        return {name: _plain(entry.value) for name, entry in node.entries.items()}
    if isinstance(node, tree.Sequence):
        return [_plain(item) for item in node.items]
    return node


def _fill(data: dict[str, Any], cut: set[tree.Path]) -> None:
    """Put the placeholders where a required value was cut, or was never there."""
    for path in cut:
        holder: Any = data
        for step in path[:-1]:
            holder = holder.get(step) if isinstance(holder, dict) else None
        if path and path[-1] in _PLACEHOLDERS and isinstance(holder, dict):
            holder.setdefault(str(path[-1]), _PLACEHOLDERS[str(path[-1])])


def _locate(fault: Any, root: tree.Node) -> tuple[tree.Path, bool]:
    """Return the path of ``fault`` and whether it concerns the key there; a shorthand has no node of its own."""
    path: tree.Path = tuple(fault["loc"])
    if path and path[-1] == "[key]":
        return tree.written(root, path[:-1]), True
    if fault["type"] == "missing":
        return (*tree.written(root, path[:-1]), path[-1]), False
    return tree.written(root, path), False


def _report(fault: Any, path: tree.Path, root: tree.Node, findings: Findings, is_key: bool) -> None:
    kind: str = fault["type"]
    if kind == "missing":
        _report_missing(path, root, findings)
    elif kind == "extra_forbidden":
        _report_unknown(path, root, findings)
    elif kind.startswith("E"):
        place = tree.key_place(root, path) if is_key else tree.place_of(root, path)
        findings.add(kind, place, fault["ctx"]["message"], fault["ctx"]["remedy"])
    else:
        _report_kind(kind, path, root, findings, fault["msg"])


def _report_missing(path: tree.Path, root: tree.Node, findings: Findings) -> None:
    parent = tree.find(root, path[:-1])
    if isinstance(parent, tree.Mapping) and parent.is_whole and not _is_misspelled(path, parent, findings):
        place = tree.key_place(root, path[:-1]) if path[:-1] else root.place
        what = f"{name_of(path[:-1])} has no {diagnostics.quote(str(path[-1]))}"
        remedy = "add `version: 1`" if path == ("version",) else f"add `{path[-1]}: …`"
        if _is_misplaced(path[:-1]):
            remedy = f"indent `{path[-2]}` beneath its program, or {remedy}"
        findings.add("E021", place, f"{what}: the key is required", remedy)


def _is_misplaced(path: tree.Path) -> bool:
    """Say whether what is a key of a program stands at ``path``, where a program's name belongs: indented too little."""
    return len(path) == 2 and path[0] == "programs" and path[1] in known_keys(("programs", ""))


def _is_misspelled(path: tree.Path, parent: tree.Mapping, findings: Findings) -> bool:
    """Say whether the key that ``path`` misses is there, misspelled: then the unknown key is the one fault to report."""
    known = known_keys(path[:-1])
    unknown = [key for key in parent.entries if key not in known]
    return any(findings.nearest(key, known) == path[-1] for key in unknown[:_UNKNOWN_COMPARED])


def _report_unknown(path: tree.Path, root: tree.Node, findings: Findings) -> None:
    key = str(path[-1])
    known = known_keys(path[:-1])
    nearest = findings.nearest(key, known)
    remedy = f"write `{nearest}`" if nearest else f"the keys here are {', '.join(known)}"
    message = f"unknown key {diagnostics.quote(key)}: {name_of(path[:-1])} has no such key"
    findings.add("E020", tree.key_place(root, path), message, remedy)


def _report_kind(kind: str, path: tree.Path, root: tree.Node, findings: Findings, said: str) -> None:
    node = tree.find(root, path)
    wanted = "a mapping" if kind in _MAPPING_WANTED else "a list" if kind == "list_type" else None
    place = tree.place_of(root, path)
    name = name_of(path)
    if wanted is None:
        findings.add("E022", place, f"{name} cannot be read: {said}", "see docs/manifest.md")
    elif isinstance(node, tree.Scalar) and node.value is None:
        remedy = f"write {_example(path) or wanted}, or remove the key"
        findings.add("E025", place, f"{name} has no value: {wanted} belongs there", remedy)
    else:
        is_text = isinstance(node, tree.Scalar)
        found = "a single value" if is_text else "a list" if isinstance(node, tree.Sequence) else "a mapping"
        remedy = f"write {'key: value beneath it' if wanted == 'a mapping' else '[item, item]'}"
        if _is_misplaced(path):
            remedy = f"indent `{path[-1]}` beneath its program"
        elif wanted == "a mapping" and (example := _example(path, node)):
            remedy = f"write {example}"
        findings.add("E022", place, f"{name} is {found}, not {wanted}", remedy)


def _example(path: tree.Path, node: tree.Node | None = None) -> str:
    """Return what could stand at ``path`` instead of ``node``, or nothing where no example is better than the kind."""
    text = node.text if isinstance(node, tree.Scalar) else ""
    match path:
        case ("programs", _, "ready") if text in _CLAIMS:
            return f"{{{text}: true}}"
        case ("programs", _, "ready") if text in _EXAMPLES:
            return f"for example {{{text}: {_EXAMPLES[text]}}}"
        case ("programs", _, "restart") if text:
            return f"for example {_EXAMPLES['restart']}; whether it is restarted says `on_exit`"
        case ("programs", _, "live") if text == "true":
            return f"for example {_EXAMPLES['live']}; left out, the check of `ready` goes on"
        case ("programs", _, str(key)) | ("programs", _, "ready" | "live", str(key)) if key in _EXAMPLES:
            return f"for example {_EXAMPLES[key]}"
        case ("ready", "checks", _):
            return f"for example {{tcp: {_EXAMPLES['tcp']}}}"
        case ("ready", "checks", _, str(key)) if key in _EXAMPLES:
            return f"for example {_EXAMPLES[key]}"
        case ("programs", _, "after", *_, str(name)):
            return f"`{name}: ready`"
        case ("signals", _) if node is not None:
            return "a list of programs" if not re.fullmatch(fields.LABEL, text) else f"[{text}]"
        case _:
            return ""


def name_of(path: tree.Path) -> str:
    """Return ``path`` as a person would write it: `programs.api.command[0]`."""
    if not path:
        return "the manifest"
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return diagnostics.quote(text.removeprefix("."))


def known_keys(path: tree.Path) -> list[str]:
    """Return the keys that the section at ``path`` may hold, in the order of the documentation."""
    section: Any = model.Manifest
    for step in path:
        section = _below(section, step)
    while not hasattr(section, "model_fields"):
        section = typing.get_args(section)[-1]
    return [field.alias or name for name, field in section.model_fields.items() if not field.exclude]


def _below(annotation: Any, step: str | int) -> Any:
    if not hasattr(annotation, "model_fields"):
        return typing.get_args(annotation)[-1]  # the items of a list or of a dict are all of one kind
    found = next(field for name, field in annotation.model_fields.items() if (field.alias or name) == step).annotation
    is_optional = typing.get_origin(found) in {types.UnionType, typing.Union}
    return typing.get_args(found)[0] if is_optional else found
