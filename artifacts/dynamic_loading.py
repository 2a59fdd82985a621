"""The closure of an ELF file: its program interpreter and every library that it needs, as the loader would find them.

Rules
-----
* Breadth first, as loaders do: a name that one file needs and another brought already is not looked for again.
* What depends on the CPU (``glibc-hwcaps``, ``$PLATFORM``) is all of it in the closure.
* A library that is not found is a problem that names it and who needs it; so is one whose place depends on the working directory.
* What a program loads later by itself (dlopen(3), nsswitch.conf(5)) no file tells: whoever needs it declares it.
"""

import glob
import os

from artifacts import elf, libraries, tree
from contract import errors


def expand(path: str, survey: tree.Survey) -> None:
    """Note the ELF file at ``path`` and all that it needs."""
    end = survey.file(path)
    if end is not None:
        try:
            _Process(survey).load(end)
        except errors.BootsealError as error:
            survey.problem(f"{error.what}: {error.why}", error.remedy)


class _Process:
    """The files of one process, in the order in which they are loaded."""

    def __init__(self, survey: tree.Survey) -> None:
        self._survey = survey
        self._names: set[str] = set()
        self._ends: set[str] = set()
        self._queue: list[tuple[str, libraries.Loaded]] = []

    def load(self, program: str) -> None:
        """Note what the file with the real path ``program`` needs."""
        binary = _read(program)
        self._ends.add(program)
        self._queue.append((program, libraries.Loaded(binary, os.path.dirname(program), None)))
        loader = self._loader(program, binary)
        for path, one in self._queue:  # it grows meanwhile
            for name in one.binary.needed:
                if name not in self._names and not loader.is_loader_itself(name):
                    self._names.add(name)
                    self._need(name, path, one, loader)

    def _loader(self, program: str, binary: elf.Binary) -> "libraries.Glibc | libraries.Musl":
        """Return the rules of the loader of ``binary``, which is noted where ``binary`` names it."""
        if binary.interpreter is None:
            found = _musl_loader(binary)
            if found is None:
                return libraries.Glibc()
            self._survey.file(found)
            return libraries.Musl(found)
        if not binary.interpreter.startswith("/"):
            self._survey.problem(
                f"{program} has the program interpreter {binary.interpreter!r}, which depends on the working directory",
                "link it with an absolute one",
            )
            return libraries.Glibc()
        end = self._survey.file(binary.interpreter)
        if end is not None:
            self._ends.add(end)
            self._names |= {os.path.basename(binary.interpreter), _read(end).soname or ""}
        return libraries.Musl(binary.interpreter) if libraries.is_musl(binary.interpreter) else libraries.Glibc()

    def _need(self, name: str, path: str, by: libraries.Loaded, loader: "libraries.Glibc | libraries.Musl") -> None:
        if "/" in name:
            name = name.replace("${ORIGIN}", by.origin).replace("$ORIGIN", by.origin)
            if not name.startswith("/"):
                why = f"{path} needs {name!r}, which depends on the working directory"
                self._survey.problem(why, "link it with the library's name, or an absolute path")
                return
            found: tuple[str, ...] = (name,)
        else:
            found = _find(name, by, loader)
        if not found:
            self._survey.problem(f"{name} is not found, and {path} needs it", "install the package that provides it")
        for library in found:
            end = self._survey.file(library)
            if end is not None and end not in self._ends:
                self._ends.add(end)
                binary = _read(end)
                self._names.add(binary.soname or name)
                self._queue.append((end, libraries.Loaded(binary, os.path.dirname(library), by)))


def _find(name: str, by: libraries.Loaded, loader: "libraries.Glibc | libraries.Musl") -> tuple[str, ...]:
    """Return every file that may be loaded as ``name``: variants for some CPUs, up to the first that serves all."""
    found: list[str] = []
    for place in loader.places(by):
        hits, serves_every_cpu = libraries.hits(place, name, by.binary.machine)
        found.extend(hits)
        if serves_every_cpu:
            break
    return tuple(found)


def _musl_loader(binary: elf.Binary) -> str | None:
    """Return the loader that a library made with musl would meet: it needs ``libc.musl-ARCH.so.1``, or ``libc.so``."""
    if not any(name == "libc.so" or name.startswith("libc.musl-") for name in binary.needed):
        return None
    for path in sorted(glob.glob("/lib/ld-musl-*.so.1")):
        if elf.machine(path) == binary.machine:
            return path
    return None


def _read(path: str) -> elf.Binary:
    try:
        return elf.read(path)
    except OSError as error:
        raise errors.BootsealError(path, errors.describe_os_error(error), tree.remedy_of(error)) from error
