"""``programs.from``: the programs of existing configurations of supervisor's, put into the manifest's tree.

Rules
-----
* It is read when the manifest is, at build alone, and the manifest's digest covers it.
* ``from`` is an import where it is a path or a list of paths. Where it is a mapping it is a program of that name, as any other.
* ``program``, ``group``, ``fcgi-program`` and ``eventlistener`` are taken; anything else is refused by name at its line. What an
  option says is said as a manifest says it, and judged as if it had been written there.
* A program of the manifest that has an imported one's name adds keys to it and changes none.
* No finding shows a line that may hold a secret: one of a command or an environment, or that was perhaps meant to be one.
"""

import dataclasses
import glob
import hashlib
import itertools
import os
from typing import Any

from manifest import diagnostics, tree
from manifest.adoption import conversion, ini, naming, processes, wording
from manifest.diagnostics import Findings, quote

_KEY = "from"
_FILES = 500
_HERE = "${here}/"
_TAKEN = (*processes.KINDS, processes.GROUP)
_REMEDIES = {
    wording.LOST: "remove it, or leave it: it changes nothing",
    wording.REFUSED: "remove it, or write the program in the manifest",
    wording.WRONG: "correct it",
}


@dataclasses.dataclass(frozen=True)
class Resolved:
    """The ``root`` with what it imports in the place of ``from``; ``digests`` are those of the imported files, as they were read."""

    root: tree.Mapping
    digests: tuple[str, ...] = ()

    def digest(self, manifest: bytes) -> str:
        """Return the SHA-256 of the manifest's bytes; with imports, of those and then of each file's own digest and a newline."""
        found = hashlib.sha256(manifest)
        for one in self.digests:
            found.update(f"\n{one}".encode("ascii"))
        return found.hexdigest()


@dataclasses.dataclass(frozen=True)
class _Imported:
    """One program: its keys as a tree, and which of them give way to the manifest's."""

    node: tree.Mapping
    defaults: frozenset[str]
    place: tree.Place


def resolve(root: tree.Mapping, here: str, findings: Findings) -> Resolved:
    """Return ``root`` with its imports resolved, relative to the directory ``here``; every fault is a finding."""
    programs = root.entries.get("programs")
    written = programs.value.entries.get(_KEY) if programs and isinstance(programs.value, tree.Mapping) else None
    if programs is None or not isinstance(programs.value, tree.Mapping):
        return Resolved(root)
    if written is None or isinstance(written.value, tree.Mapping):
        return Resolved(root)
    found: dict[str, _Imported] = {}
    digests: list[str] = []
    for path, place in _paths(written, here, findings):
        _take(path, place, found, digests, findings)
    merged = _merged(programs.value, found, findings)
    entries = {**root.entries, "programs": tree.Entry(programs.key, merged)}
    return Resolved(dataclasses.replace(root, entries=entries), tuple(digests))


def _paths(written: tree.Entry, here: str, findings: Findings) -> list[tuple[str, tree.Place]]:
    """Return the files that `from` names, each with where it is named."""
    remedy = "write a path, or a list of paths"
    nodes = written.value.items if isinstance(written.value, tree.Sequence) else (written.value,)
    if not nodes:
        findings.add("E118", written.key.place, "`programs.from` is an empty list", remedy)
    found: dict[str, tree.Place] = {}
    for node in nodes:
        if not isinstance(node, tree.Scalar) or not isinstance(node.value, str) or not node.text:
            findings.add(
                "E118",
                node.place if node.place.line else written.key.place,
                "`programs.from` holds no path here",
                remedy,
            )
            continue
        text = node.text.removeprefix(_HERE)
        if "${" in text:
            message = f"{quote(node.text)} holds an expression: a file that is read at build has one place"
            findings.add("E118", node.place, message, "write a path relative to the manifest")
            continue
        pattern = os.path.join(here, text)
        matches = [pattern]
        if glob.has_magic(pattern) and "\0" not in pattern:
            matches = sorted(itertools.islice(glob.iglob(pattern), _FILES + 1))
        if len(matches) + len(found) > _FILES:
            findings.add("E118", node.place, f"`programs.from` names more than {_FILES} files", "name fewer")
            break
        if not matches:
            findings.add("E110", node.place, f"no file matches {quote(text)}", "name a file that is there")
        for one in matches:
            found.setdefault(one, node.place)
    return list(found.items())


def _take(path: str, place: tree.Place, found: dict[str, _Imported], digests: list[str], findings: Findings) -> None:
    """Add the programs of the file ``path``."""
    try:
        read = ini.read(path, follows_includes=False)
    except ini.CannotBeRead as error:
        findings.add("E110", place, f"{quote(error.what, 200)} cannot be imported: {error.why}", error.remedy)
        return
    except ini.NotIni as error:
        findings.add(
            "E111",
            error.place and _without_lines("environment", error.place),
            f"this is no configuration of supervisor's: {error.why}",
            "correct the line",
        )
        return
    digests += [hashlib.sha256(data).hexdigest() for _, data in read.files]
    for oddity, why in read.oddities:
        findings.add("E111", oddity, f"this is no configuration of supervisor's: {why}", "save it as UTF-8")
    for section in read.sections:
        if section.kind not in _TAKEN or not section.title:
            message = f"[{_plain(section.name)}] is not imported: `programs.from` takes programs, groups, fcgi-programs and eventlisteners"
            findings.add(
                "E112", section.place, message, "move the programs to a file of their own, or run `bootseal adopt`"
            )
        elif section.kind == processes.GROUP:
            _refuse_unknown(section, findings)
    made = processes.find(read, os.path.dirname(os.path.abspath(path)), {})
    for problem in made.problems:
        findings.add(
            "E114",
            _without_lines(problem.option, problem.place),
            f"`{problem.option}` is wrong: {problem.why}",
            "correct it",
        )
    for process in made.processes:
        _add(process, found, findings)


def _refuse_unknown(section: ini.Section, findings: Findings) -> None:
    known = processes.OPTIONS[processes.GROUP]
    for option in section.options.values():
        if option.name not in known:
            message = f"unknown option {quote(option.name)} in [{_plain(section.name)}]: supervisor ignores it"
            findings.add("E113", option.place, message, _nearest(option.name, known))
        elif option.name == "priority":
            message = f"`priority` of [{_plain(section.name)}]: nothing ever waited for it; what must be ready first stands in `after`"
            findings.add("W110", option.place, message, _REMEDIES[wording.LOST])


def _add(process: processes.Process, found: dict[str, _Imported], findings: Findings) -> None:
    section = process.section
    converted = conversion.convert(process, may_use_shell=False)
    shown = f"[{_plain(section.name)}]"
    for remark in converted.remarks:
        if remark.code == wording.UNKNOWN:
            nearest = _nearest(remark.option, processes.OPTIONS[section.kind])
            findings.add(
                "E113",
                _without_lines("environment", remark.place),
                f"unknown option {quote(remark.option)} in {shown}: supervisor ignores it",
                nearest,
            )
        elif remark.code:
            message = f"`{_plain(remark.option)}` of {shown}: {remark.text}"
            findings.add(remark.code, _without_lines(remark.option, remark.place), message, _REMEDIES[remark.code])
    if converted.why_not is not None:
        if not any(remark.code.startswith("E") for remark in converted.remarks):
            findings.add(
                "E115", section.place, f"{shown} is not imported: {converted.why_not}", _REMEDIES[wording.REFUSED]
            )
        return
    name = naming.wanted(section.title, process.name)
    if name in found:
        other = found[name].place
        where = f"{other.file.path}:{other.line}" if other.file else f"line {other.line}"
        message = f"{quote(name)} is imported twice: it stands at {where} already"
        findings.add("E116", section.place, message, "rename one of them")
        return
    node: dict[str, Any] = {}
    defaults = set()
    for key in converted.keys:
        holder = node
        for step in key.path[:-1]:
            holder = holder.setdefault(step, {})
        holder[key.path[-1]] = _node(key.value, _without_lines(key.path[0], key.place))
        if key.is_default:
            defaults.add(key.path[0])
    found[name] = _Imported(_mapping(node, section.place), frozenset(defaults), section.place)


def _without_lines(option: str, place: tree.Place) -> tree.Place:
    """Return the ``place`` of an option; where it may hold a secret, of a file whose lines are not shown."""
    if option in {"command", "environment"} and place.file is not None:
        return dataclasses.replace(place, file=tree.File(place.file.path, ()))
    return place


def _merged(written: tree.Mapping, found: dict[str, _Imported], findings: Findings) -> tree.Mapping:
    """Return the programs of the manifest with those that are imported, where `from` stood."""
    entries: dict[str, tree.Entry] = {}
    for name, entry in written.entries.items():
        if name == _KEY:
            for title, one in found.items():
                key = tree.Scalar(title, title, False, one.place)
                own = written.entries.get(title) if title != _KEY else None
                if own is None:
                    entries[title] = tree.Entry(key, one.node)
                else:
                    entries[title] = tree.Entry(own.key, _together(title, own, one, findings))
        elif name not in found:
            entries[name] = entry
    return dataclasses.replace(written, entries=entries)


def _together(name: str, own: tree.Entry, imported: _Imported, findings: Findings) -> tree.Node:
    if not isinstance(own.value, tree.Mapping):
        return own.value
    if "command" in own.value.entries:
        where = imported.place.file.path if imported.place.file else ""
        message = f"{quote(name)} stands here with a command, and is imported from {where}:{imported.place.line}"
        findings.add("E116", own.key.place, message, "rename one, or leave only keys that the imported one lacks")
        return own.value
    kept = {
        key: entry
        for key, entry in imported.node.entries.items()
        if key not in imported.defaults or key not in own.value.entries
    }
    return _joined((name,), own.value, dataclasses.replace(imported.node, entries=kept), findings)


def _joined(path: tuple[str, ...], own: tree.Mapping, imported: tree.Mapping, findings: Findings) -> tree.Mapping:
    """Return the keys of both; E117 where both say something."""
    entries = dict(imported.entries)
    for key, entry in own.entries.items():
        other = imported.entries.get(key)
        if other is None:
            entries[key] = entry
        elif isinstance(other.value, tree.Mapping) and isinstance(entry.value, tree.Mapping):
            entries[key] = tree.Entry(entry.key, _joined((*path, key), entry.value, other.value, findings))
        else:
            place = other.value.place
            where = f"{place.file.path}:{place.line}" if place.file else f"line {place.line}"
            message = f"`{'.'.join((*path, key))}` is decided already: {where} is imported"
            findings.add("E117", entry.key.place, message, "change it there, or remove it here")
    return dataclasses.replace(own, entries=entries, is_whole=own.is_whole)


def _node(value: Any, place: tree.Place) -> tree.Node:
    """Return plain data as a tree; nothing of it is an expression of the manifest's."""
    if isinstance(value, dict):
        return _mapping({key: _node(one, place) for key, one in value.items()}, place)
    if isinstance(value, list | tuple):
        items = tuple(_node(one, place) for one in value)
        return tree.Sequence(items, place, 1 + sum(map(tree.weight, items)), 1)
    if isinstance(value, bool):
        return tree.Scalar(str(value).lower(), value, True, place)
    if isinstance(value, int):
        return tree.Scalar(str(value), value, True, place)
    text = str(value).replace("${", "$${")
    return tree.Scalar(text, text, False, place)


def _mapping(nodes: dict[str, Any], place: tree.Place) -> tree.Mapping:
    """Return a mapping of nodes, and of plain dicts of nodes."""
    entries = {}
    for key, node in nodes.items():
        value = _mapping(node, place) if isinstance(node, dict) else node
        entries[key] = tree.Entry(tree.Scalar(key, key, True, value.place), value)
    weight = 1 + sum(1 + tree.weight(entry.value) for entry in entries.values())
    return tree.Mapping(
        entries, place, weight, 1 + max((tree.height(one.value) for one in entries.values()), default=0), True
    )


def _nearest(word: str, known: frozenset[str]) -> str:
    found = diagnostics.nearest(word, sorted(known))
    return f"write `{found}`" if found else "remove it"


def _plain(text: str) -> str:
    return quote(text).strip("`")
