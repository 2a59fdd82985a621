"""The manifest that stands for a configuration of supervisor's, as YAML with comments.

Rules
-----
* The same configuration gives the same text. It is read back by bootseal's own reader: whatever is not plainly a word is quoted.
* What could not be carried over stands where it belongs, with its file and line. Of sections that are no programs it stands on top.
* No comment shows a value of the environment, a password, or a command that is not carried over.
"""

import dataclasses
import posixpath
import re
from collections.abc import Iterable, Iterator
from typing import Any

from contract import masking
from manifest import diagnostics, fields, literal_secrets, tree
from manifest.adoption import conversion, emission, ini, naming, processes, wording

_OWN = {
    "supervisorctl": "`bootseal status`, `start`, `stop` and `restart` find their container by themselves",
    "unix_http_server": "supervisord's socket is the run directory's, for the container's user alone",
    "inet_http_server": "supervisord listens on no port: the probes do, and say how it is (docs/http.md)",
    "ctlplugin": "a plug-in of supervisorctl's is not loaded",
    "rpcinterface": "a plug-in would run within PID 1, where a fault of it ends the container",
    "include": "what it names is read already",
}
_MAIN_INTERFACE = "rpcinterface:supervisor"
_OURS = frozenset({
    "nodaemon", "silent", "logfile", "logfile_maxbytes", "logfile_backups", "loglevel", "pidfile", "childlogdir", "identifier",
    "minfds", "minprocs", "nocleanup", "strip_ansi", "environment",
})  # fmt: skip
"""The options of [supervisord] that are bootseal's to say, or are carried over."""
_SUPERVISORD = {
    "user": "the container runs as `security.user`, and so do all programs",
    "umask": "supervisord heeded it as a daemon alone; programs have 0022",
    "directory": "supervisord heeded it as a daemon alone; programs begin in the container's working directory",
}


@dataclasses.dataclass(frozen=True)
class Note:
    """Something to be said; ``code`` as in ``conversion``, "" for what is no loss."""

    code: str
    text: str


@dataclasses.dataclass(frozen=True)
class Adopted:
    """The manifest's ``text``; how many ``programs`` it has, and the notes in it. ``names`` maps supervisor's names to them."""

    text: str
    programs: int
    notes: tuple[Note, ...]
    names: dict[str, str]

    @property
    def lost(self) -> tuple[Note, ...]:
        """What was not carried over."""
        return tuple(note for note in self.notes if note.code not in {wording.INFO, wording.UNKNOWN})


def adopt(configuration: ini.Read, here: str, name: str, environment: dict[str, str]) -> Adopted:
    """Return the manifest called ``name`` for ``configuration``; ``environment`` are the variables whose values are known."""
    found = processes.find(configuration, here, environment)
    made = [conversion.convert(process, may_use_shell=True) for process in found.processes]
    kept = [one for one in made if one.why_not is None]
    labels = naming.unique((one.process.section.title, one.process.name) for one in kept)
    page = _Page()
    page.head(configuration, found)
    page.top(name, kept)
    names = dict(zip((one.process.full_name for one in kept), labels, strict=True))
    page.programs(made, names)
    source = _plain(posixpath.basename(configuration.files[0][0]))
    first = (
        f"# Written by `bootseal adopt` from {source}: {count(len(kept), 'program')}, {count(len(page.notes), 'note')}."
    )
    return Adopted("\n".join([first, *page.lines]) + "\n", len(kept), tuple(page.notes), names)


def count(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


class _Page:
    """The text, line by line, and the notes in it."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.notes: list[Note] = []
        self._oneshots: dict[str, int] = {}

    def note(self, code: str, text: str, place: tree.Place | None, indent: str = "") -> None:
        """Add a comment."""
        where = f" ({where_of(place)})" if place else ""
        words = "".join(one if one.isprintable() else " " for one in text)
        self.lines.append(f"{indent}# {words}{where}")
        self.notes.append(Note(code, f"{words}{where}"))

    # --- what is no program -------------------------------------------------------------------------------------

    def head(self, configuration: ini.Read, found: processes.Found) -> None:
        """Say what is different for all programs, and what became of the other sections."""
        self.lines += [
            "# Different from supervisord by design, for all programs:",
            "# - what they print goes to the container's output, each stream to its own, and to no file;",
            "# - they inherit of the container's environment only PATH, HOME, USER, LOGNAME, HOSTNAME, LANG, LANGUAGE, LC_…, TZ, TERM",
            "#   and what `boot.environment` names;",
            "# - one that ends is started again whatever its exit code was, unless `on_exit` or `oneshot` says otherwise;",
            "# - a stop reaches everything in its process group; nothing runs as root.",
        ]
        for place, why in configuration.oddities:
            self.note(wording.INFO, why, place)
        for problem in found.problems:
            self.note(wording.WRONG, f"{problem.option}: {problem.why}", problem.place)
        if any(option.names_here for section in configuration.sections for option in section.options.values()):
            why = "stands for the directory where it lies now: say --here where it will lie elsewhere in the image"
            self.note(wording.INFO, f"%(here)s {why}", None)
        for section in configuration.sections:
            self._section(section)

    def _section(self, section: ini.Section) -> None:
        kind = section.kind
        shown = f"[{_plain(section.name)}]"
        if kind == "supervisord":
            for option in section.options.values():
                if option.name in _SUPERVISORD:
                    self.note(wording.LOST, f"{shown} {option.name}: {_SUPERVISORD[option.name]}", option.place)
                elif option.name not in _OURS:
                    self.note(
                        wording.UNKNOWN, f"{shown} {_plain(option.name)}: supervisord does not know it", option.place
                    )
        elif kind == processes.GROUP:
            options = ", ".join(
                _plain(name) for name in section.options if name not in processes.OPTIONS[processes.GROUP]
            )
            if options:
                self.note(wording.UNKNOWN, f"{shown} {options}: supervisor does not know it", section.place)
            why = "a manifest has no groups: its programs are called by their own names, and stop together where nothing orders them"
            self.note(wording.LOST, f"{shown}: {why}", section.place)
        elif kind in processes.KINDS or section.name == _MAIN_INTERFACE:
            return
        elif kind in _OWN:
            is_loss = kind in {"inet_http_server", "ctlplugin", "rpcinterface"}
            given = [name for name in ("username", "password") if name in section.options]
            why = _OWN[kind] + (f"; its {' and '.join(given)} are not carried over" if given else "")
            if kind not in {"include", "supervisorctl"} or given:
                self.note(wording.LOST if is_loss or given else wording.INFO, f"{shown}: {why}", section.place)
        else:
            self.note(
                wording.UNKNOWN, f"{shown}: supervisord does not know such a section, and ignores it", section.place
            )

    # --- the manifest -------------------------------------------------------------------------------------------

    def top(self, name: str, kept: Iterable[conversion.Converted]) -> None:
        """Write what stands before the programs."""
        variables = sorted({variable for one in kept for variable in one.variables})
        writable = sorted({one.writable for one in kept if one.writable is not None})
        self.lines += ["version: 1", f"name: {name}"]
        if variables or writable:
            self.lines.append("boot:")
        reserved = [
            one
            for one in variables
            if not re.fullmatch(fields.VARIABLE, one) or one.startswith(fields.RESERVED_VARIABLES)
        ]
        for one in reserved:
            self.note(
                wording.REFUSED,
                f"{_plain(one)}: programs cannot inherit it, its name is reserved or none",
                None,
                "  ",
            )
        if passed := [one for one in variables if one not in reserved]:
            self.lines += [
                "  # The commands below need these of the container's environment: each is written %(ENV_…)s there."
            ]
            self.lines += [f"  environment: {emission.flow(passed)}"]
        if writable:
            self.lines += ["  # Sockets of FastCGI programs are made there.", f"  writable: {emission.flow(writable)}"]
        else:
            self.lines += [
                "# The root file system is read-only: add what programs write, as `boot: {writable: [/var/lib/app]}`."
            ]

    def programs(self, made: list[conversion.Converted], labels: dict[str, str]) -> None:
        """Write the programs, and in comments those that are none."""
        self.lines.append("programs:" if labels else "programs: {}")
        told: set[str] = set()
        sockets: set[str] = set()
        kept = [one for one in made if one.why_not is None]
        self._oneshots = {
            labels[one.process.full_name]: one.process.settings.priority
            for one in kept
            if any(key.path == ("oneshot",) for key in one.keys)
        }
        for one in made:
            section = one.process.section
            is_first = section.name not in told
            told.add(section.name)
            if one.why_not is not None:
                if is_first or one.process.index == 0 or section.kind != processes.LISTENER:
                    self._left_out(one)
                continue
            self._program(one, labels[one.process.full_name], sockets, is_first=is_first)

    def _left_out(self, one: conversion.Converted) -> None:
        process = one.process
        self.note(
            wording.REFUSED, f"{_plain(process.full_name)} is left out: {one.why_not}", process.section.place, "  "
        )
        for remark in one.remarks:
            if remark.code == wording.WRONG:
                self._remark(remark, "  ")
        keys = {key.path[0] for key in one.keys}
        if "command" in keys and process.settings.result_handler == processes.DEFAULT_HANDLER:
            name = naming.wanted(process.section.title, process.name)
            self.lines.append(
                f"  # To let it start, write `{name}` here with the command of [{_plain(process.section.name)}]."
            )

    def _program(self, one: conversion.Converted, label: str, sockets: set[str], *, is_first: bool) -> None:
        process = one.process
        self.lines.append(f"  {emission.scalar(label)}:")
        indent = "    "
        if label != process.full_name:
            self.note(wording.INFO, f"{_plain(process.full_name)} in supervisord", None, indent)
        if is_first:
            for remark in dict.fromkeys(one.remarks):
                self._remark(remark, indent)
        if is_first:
            for name in _secrets(one):
                why = "it looks like a secret, and would be in the image: deliver it by `secrets` instead"
                self.note(wording.INFO, f"{_plain(name)}: {why}", None, indent)
            for name in filter(literal_secrets.is_credential, one.variables):
                why = "it seems to be a secret, and every program inherits it: `secrets` gives it (`variable`, `env`) to those alone that need it"
                self.note(wording.INFO, f"{_plain(name)}: {why}", None, indent)
        earlier = [name for name, priority in self._oneshots.items() if priority < process.settings.priority]
        if earlier:
            why = "started before it, and ran beside it; write this line if it has to wait for it"
            self.lines.append(f"{indent}# after: {emission.flow(earlier)}  ({why})")
        if any(problem.option == "autostart" and problem.is_at_boot for problem in process.problems):
            self.lines.append(f"{indent}required: false")
        self.lines += emission.lines(_nested(one.keys), indent)
        self.lines += _ports(one, sockets, indent)

    def _remark(self, remark: wording.Remark, indent: str) -> None:
        text = remark.text if remark.text.startswith(f"{remark.option}=") else f"{_plain(remark.option)}: {remark.text}"
        self.note(remark.code, f"{'Decide: ' if remark.decide else ''}{text}", remark.place, indent)


def where_of(place: tree.Place) -> str:
    """Return ``file:line`` of a place."""
    name = posixpath.basename(place.file.path) if place.file else ""
    return f"{_plain(name)}:{place.line}"


def _plain(text: str) -> str:
    return diagnostics.quote(text).strip("`")


def _secrets(one: conversion.Converted) -> Iterator[str]:
    """Yield the names of the variables whose values look like secrets."""
    for key in one.keys:
        if key.path == ("environment",):
            for name, value in key.value.items():
                is_named = literal_secrets.is_credential(name) and literal_secrets.is_secret(name, value)
                if is_named or masking.mask(value) != value:
                    yield name


def _nested(keys: Iterable[wording.Key]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key in keys:
        holder = found
        for step in key.path[:-1]:
            holder = holder.setdefault(step, {})
        holder[key.path[-1]] = key.value
    return found


def _ports(one: conversion.Converted, sockets: set[str], indent: str) -> list[str]:
    """Return the declaration of a FastCGI program's port; the first of those who share a socket declares it."""
    socket = next((key.value["socket"] for key in one.keys if key.path == ("fastcgi",)), "")
    if not socket.startswith("tcp://") or socket in sockets:
        return []
    sockets.add(socket)
    return [f"{indent}ports: {emission.flow([socket.removeprefix('tcp://').replace('localhost', '127.0.0.1', 1)])}"]
