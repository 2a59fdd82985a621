"""What lies in an application's folder: just enough to propose what runs in its container. Pure but for `survey`.

Rules
-----
* Only names at the top of the folder count, and four files are read: Procfile, package.json, and which directories have a
  ``__main__.py``.
* A Procfile says which programs there are; without one the first that fits does: package.json, Python, go.mod, Cargo.toml.
* A command that a shell must read stays one for a shell; any other is its words.
* What was found is said, so that nobody has to guess why.
"""

import dataclasses
import json
import os
import re
import shlex
from collections.abc import Mapping

from contract import errors

NODE, PYTHON, OTHER = KINDS = ("node", "python", "other")
_TEXTS = frozenset({"Procfile", "package.json"})
_LIMIT = 1 << 20
_SHELL = re.compile(r"[$`|&;<>(){}*?~\[\]]|^\w+=")
_LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)")
_SCRIPTS = ("main.py", "app.py", "server.py")
_PORT = "8000"


@dataclasses.dataclass(frozen=True)
class Folder:
    """The ``names`` at the top of a folder, the names of those ``packages`` that run (``__main__.py``), and the ``texts`` of files."""

    names: frozenset[str] = frozenset()
    packages: tuple[str, ...] = ()
    texts: Mapping[str, str] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Program:
    """A program to propose; ``argv`` is run in the application's folder. It comes ``after`` others."""

    name: str
    argv: tuple[str, ...]
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    oneshot: bool = False
    after: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What runs, what it needs (one of KINDS), and what was ``found`` that says so.

    ``installs`` says that the folder names dependencies that its package manager can install.
    """

    found: str
    kind: str
    programs: tuple[Program, ...]
    installs: bool = False


def survey(directory: str) -> Folder:
    """Return what lies in ``directory``; a folder that is not there is an empty one. Raises BootsealError for a file, OSError."""
    try:
        names = frozenset(os.listdir(directory))
    except FileNotFoundError:
        return Folder()
    except NotADirectoryError as error:
        raise errors.BootsealError(directory, "it is not a directory", "name the application's folder") from error
    packages = (
        name
        for name in sorted(names)
        if name.isidentifier() and os.path.isfile(os.path.join(directory, name, "__main__.py"))
    )
    texts: dict[str, str] = {}
    for name in _TEXTS & names:
        texts[name] = _read(os.path.join(directory, name))
    return Folder(names, tuple(packages), texts)


def _read(path: str) -> str:
    if not os.path.isfile(path):
        return ""
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read(_LIMIT)


def propose(folder: Folder) -> Proposal | None:
    """Return what to propose for ``folder``, or None where nothing says what runs."""
    kind, installs = _kind(folder)
    programs = _of_procfile(folder.texts.get("Procfile", ""))
    if programs:
        return Proposal("Procfile", kind, programs, installs)
    for look in (_node, _python, _compiled):
        found = look(folder)
        if found:
            what, argv = found
            return Proposal(what, kind, (Program("app", argv),), installs)
    return None


def words(command: str) -> tuple[str, ...]:
    """Return the argv of ``command``, of a shell where it needs one."""
    try:
        split = () if _SHELL.search(command) else tuple(shlex.split(command))
    except ValueError:
        split = ()
    return split or ("/bin/sh", "-c", f"exec {command}" if _is_simple(command) else command)


def _is_simple(command: str) -> bool:
    """Say whether a shell would run one program for ``command``, whose place that program can take."""
    return not re.search(r"[|&;<>(){}`]|^\w+=", re.sub(r"\$\{\w+\}", "", command))


def label(text: str, otherwise: str) -> str:
    """Return ``text`` as a DNS-1123 label, or ``otherwise`` where nothing of it can be in one."""
    made = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].strip("-")
    return made or otherwise


def _kind(folder: Folder) -> tuple[str, bool]:
    if "package.json" in folder.names:
        return NODE, "package-lock.json" in folder.names
    is_python = {"requirements.txt", "pyproject.toml", *_SCRIPTS} & folder.names or folder.packages
    return (PYTHON, "requirements.txt" in folder.names) if is_python else (OTHER, False)


def _of_procfile(text: str) -> tuple[Program, ...]:
    lines = [found for line in text.splitlines() if (found := _LINE.fullmatch(line.strip()))]
    named = {label(found["name"], "program"): found["command"].strip() for found in lines}
    first = ("release",) if "release" in named and len(named) > 1 else ()
    return tuple(
        Program(
            name,
            words(command),
            {"PORT": _PORT} if re.search(r"\$\{?PORT\b", command) else {},
            oneshot=name == "release",
            after=() if name == "release" else first,
        )
        for name, command in named.items()
    )


def _node(folder: Folder) -> tuple[str, tuple[str, ...]] | None:
    if "package.json" not in folder.names:
        return None
    try:
        value = json.loads(folder.texts.get("package.json", ""))
        start, main = value.get("scripts", {}).get("start"), value.get("main")
    except (ValueError, AttributeError):
        start = main = None
    if isinstance(start, str) and start.strip():
        argv = words(start)
        # npm passes signals on badly; node itself is what must stop.
        return "package.json, its script start", argv if argv[0] == "node" else ("npm", "run", "start")
    entry = (
        main if isinstance(main, str) else next((one for one in ("server.js", "index.js") if one in folder.names), "")
    )
    return ("package.json", ("node", entry)) if entry else None


def _python(folder: Folder) -> tuple[str, tuple[str, ...]] | None:
    if "manage.py" in folder.names:
        return "manage.py", ("python3", "-u", "manage.py", "runserver", "--noreload", f"127.0.0.1:{_PORT}")
    for name in _SCRIPTS:
        if name in folder.names:
            return name, ("python3", "-u", name)
    if folder.packages:
        return f"{folder.packages[0]}/__main__.py", ("python3", "-u", "-m", folder.packages[0])
    return None


def _compiled(folder: Folder) -> tuple[str, tuple[str, ...]] | None:
    for name, place in (("go.mod", "${here}/bin/app"), ("Cargo.toml", "${here}/target/release/app")):
        if name in folder.names:
            return f"{name}: build the program to {place.removeprefix('${here}/')}", (place,)
    return None
