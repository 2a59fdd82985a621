"""From an artifact to its closure: everything that it needs to be what it was when the image was built.

Rules
-----
* What belongs to it depends on its kind: a ``file`` is itself; an ``elf`` file its loader and libraries too; a ``script`` what runs
  it; a ``python`` distribution what its RECORD names and the directories that are its alone; a ``node`` package and a ``tree`` all
  that lies beneath. The symlinks on the way to any of it belong to it as well.
* A kind that the manifest leaves open is what is found: an ELF file, a file that begins with ``#!``, another file, a directory with
  a ``package.json``, one called ``*.dist-info``, another directory.
* All problems of an artifact are found at once, each with what to do about it; with a problem there is no closure. What is told of
  them is bounded.
* The same files give the same closure. Of the environment only PATH counts, for ``#!/usr/bin/env NAME``.
"""

import errno
import os
import stat
from collections.abc import Mapping

from artifacts import closure, distribution, dynamic_loading, elf, scripts, tree
from contract import errors
from manifest import provisions

_SHOWN = 20
_OF_DIRECTORIES = (provisions.PYTHON, provisions.NODE, provisions.TREE)


class Missing(errors.BootsealError):
    """There is nothing at the artifact's path."""


class NotLockable(errors.BootsealError):
    """The artifact has no closure; ``problems`` are all the reasons, and ``told`` the first of them with their remedies."""

    def __init__(self, artifact: str, problems: tuple[str, ...], remedies: Mapping[str, str]) -> None:
        self.problems = problems
        shown = [f"{one} ({remedies[one]})" for one in problems[:_SHOWN]]
        more = len(problems) - _SHOWN
        self.told = (*shown, f"and {more} more") if more > 0 else tuple(shown)
        super().__init__(f"artifact {artifact}", "; ".join(self.told))


def expand(
    artifact: provisions.ArtifactPlan,
    here: str,
    search_path: str | None = None,
    digests: tree.Digests | None = None,
) -> closure.Closure:
    """Return the closure of ``artifact``, whose manifest is in the directory ``here``; raises Missing or NotLockable.

    ``search_path`` is the PATH that names are looked up on, by default this process's; ``digests`` are those already known.
    """
    here = here.rstrip("/") or "/"
    path = artifact.path.rstrip("/") or "/"
    written = closure.recorded(path, here)
    if not closure.is_normal(written):
        why = f"its path {artifact.path} is not a normal one"
        raise NotLockable(artifact.id, (why,), {why: "write it without . .. or //"})
    survey = tree.Survey(here, digests)
    try:
        end = survey.reach(path)
        mode = os.lstat(end).st_mode
        kind = artifact.kind or detect(end)
    except OSError as error:
        why = f"{artifact.path}: {errors.describe_os_error(error)}"
        if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
            raise NotLockable(artifact.id, (why,), {why: tree.remedy_of(error)}) from error
        raise Missing(f"artifact {artifact.id}", why, "build it first, or say required: false") from error
    if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
        survey.problem(f"{artifact.path} is {tree.kind_of(mode)}, neither a file nor a directory", "correct `path:`")
    elif stat.S_ISDIR(mode) != (kind in _OF_DIRECTORIES):
        found = "a directory" if stat.S_ISDIR(mode) else "a file"
        survey.problem(f"{artifact.path} is {found}, and no {kind}", "correct `kind:`")
    else:
        _add(kind, path, end, survey, os.environ.get("PATH", os.defpath) if search_path is None else search_path)
    if survey.problems:
        raise NotLockable(artifact.id, tuple(dict.fromkeys(survey.problems)), survey.remedies)
    return closure.make(artifact.id, kind, written, survey.entries)


def detect(path: str) -> str:
    """Return the kind of what is at the real path ``path``; raises OSError."""
    mode = os.lstat(path).st_mode
    if stat.S_ISDIR(mode):
        if os.path.isfile(os.path.join(path, "package.json")):
            return provisions.NODE
        return provisions.PYTHON if path.endswith(".dist-info") else provisions.TREE
    if not stat.S_ISREG(mode):
        return provisions.FILE
    first = elf.first_bytes(path, len(elf.MAGIC))
    if first == elf.MAGIC:
        return provisions.ELF
    return provisions.SCRIPT if first.startswith(b"#!") else provisions.FILE


def _add(kind: str, path: str, end: str, survey: tree.Survey, search_path: str) -> None:
    """Note what belongs to the artifact at ``path``, whose real path is ``end``."""
    if kind == provisions.FILE:
        survey.file(path)
    elif kind == provisions.ELF:
        dynamic_loading.expand(path, survey)
    elif kind == provisions.SCRIPT:
        scripts.expand(path, survey, search_path)
    elif kind == provisions.PYTHON:
        distribution.expand(end, survey)
    elif kind == provisions.NODE and not os.path.isfile(f"{end}/package.json"):
        remedy = "correct `kind:`, or name the folder that holds package.json"
        survey.problem(f"{path} holds no package.json, and is no node package", remedy)
    else:
        survey.beneath(end)
