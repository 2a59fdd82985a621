"""Does a command execute what changed? Asked before the commands that check the image are run. Standard library only.

Rules
-----
* What a command executes is the program that its name leads to, the interpreters of a script, and the files that its arguments
  name; of all of these the real path, every symlink on the way, and the path as it is written. (A library that changed is a fault of
  each artifact whose closure has it.)
* An artifact that is not as it was locked is changed as a whole, and so is each path of its closure that has a fault.
"""

import os
import stat
from collections.abc import Iterable

from artifacts import child, closure, tree, verification

_DEPTH, _LINE_BYTES = 50, 256


def places(verdict: verification.Verdict) -> frozenset[str]:
    """Return the absolute paths at which nothing is trusted after ``verdict``, which found faults."""
    path = verdict.artifact.path
    faulty = (closure.absolute(fault.path, verdict.here) for fault in verdict.faults)
    return frozenset({path, os.path.realpath(path), *faulty} - {"/"})


def executed(command: child.Command) -> frozenset[str]:
    """Return the paths of what ``command`` executes, as far as it can be known without running it."""
    found: set[str] = set()
    for program in child.candidates(command):
        path = os.path.normpath(os.path.join(command.directory, program))
        if not os.path.lexists(path):
            continue
        for one in (path, *_interpreters(path, command.environment.get("PATH", os.defpath))):
            found |= {one, *_way(one)}
        if _anybody_may_execute(path):
            break
    for argument in command.argv[1:]:
        path = os.path.normpath(os.path.join(command.directory, argument))
        if "\0" not in path and os.path.lexists(path):
            found |= {path, *_way(path)}
    return frozenset(found)


def is_beneath(paths: Iterable[str], changed: Iterable[str]) -> bool:
    """Return whether one of ``paths`` is, or lies in, one of ``changed``."""
    roots = tuple(changed)
    return any(path == root or path.startswith(f"{root}/") for path in paths for root in roots)


def _interpreters(path: str, search_path: str) -> list[str]:
    """Return what runs the script ``path``, and what runs that, by the first line of each (execve(2), "Interpreter scripts")."""
    found: list[str] = []
    while len(found) < _DEPTH:
        try:
            with open(path, "rb") as file:
                line = file.read(_LINE_BYTES)
        except OSError:
            return found
        words = os.fsdecode(line[2:].partition(b"\n")[0]).split() if line.startswith(b"#!") else []
        if not words:
            return found
        found.append(words[0])
        if os.path.basename(words[0]) == "env":
            name = next((word for word in words[1:] if not word.startswith("-") and "=" not in word), "")
            found += [os.path.join(folder, name) for folder in search_path.split(":") if folder and name]
        path = next((one for one in reversed(found) if os.path.isfile(one)), "")
    return found


def _way(path: str) -> set[str]:
    try:
        way = tree.Survey("/").walk(path)
    except OSError:
        return set()
    return {way.end, *(at for at, _ in way.links)}


def _anybody_may_execute(path: str) -> bool:
    """Return whether execve(2) takes it, so that what comes later on PATH is not reached."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and mode & 0o111 == 0o111
