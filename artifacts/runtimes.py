"""The language runtimes of the image: which are on PATH, and of what version. Standard library only.

Rules
-----
* Of each runtime the first of its names that is on PATH counts. Its version is the first that it prints when asked; the asking ends
  after 2 s, and all are asked at the same time. One that is there and does not say its version has none.
* ``BOOTSEAL_RUNTIMES`` overrides: the names in it (comma-separated) are the runtimes, known to us or not, and nothing is
  executed. A name is a label of at most 40 characters, and 32 are the most; the others are dropped, and that is told.
* ``runtimes.json`` is read strictly (``contract.decode``), and what is written can be read.
"""

import dataclasses
import json
import os
import re
import stat
from collections.abc import Iterable, Mapping

from artifacts import command
from contract import decode, errors
from manifest import provisions

SCHEMA = "bootseal.runtimes/1"
OVERRIDE = "BOOTSEAL_RUNTIMES"
_SECONDS = 2.0
_VERSION = re.compile(r"(?<![\w.])(?:v|go)?(\d{1,6}\.\d{1,6}(?:\.\d{1,6})?)")
_QUOTED_VERSION = re.compile(r'version "([0-9A-Za-z._+-]{1,40})"')
_LABEL = re.compile(r"[a-z0-9][a-z0-9._+-]{0,39}")
_MOST_NAMES = 32
_SHOWN_CHARACTERS = 60


@dataclasses.dataclass(frozen=True)
class _Known:
    binaries: tuple[str, ...]
    question: tuple[str, ...]
    version: re.Pattern[str]


_KNOWN = {
    "shell": _Known(("bash", "sh"), ("--version",), _VERSION),
    "python": _Known(("python3", "python"), ("--version",), _VERSION),
    "node": _Known(("node", "nodejs"), ("--version",), _VERSION),
    "ruby": _Known(("ruby",), ("--version",), _VERSION),
    "go": _Known(("go",), ("version",), _VERSION),
    "java": _Known(("java",), ("-version",), _QUOTED_VERSION),
    "r": _Known(("Rscript",), ("--version",), _VERSION),
    "perl": _Known(("perl",), ("--version",), _VERSION),
}
"""Every one of provisions.RUNTIMES, in the same order."""


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A runtime that is there; ``path`` is "" where an override names one that is not on PATH, ``version`` None where none is known."""

    name: str
    path: str
    version: str | None


@dataclasses.dataclass(frozen=True)
class _Report:
    schema: str
    runtimes: tuple[Runtime, ...]


def discover(names: Iterable[str], environment: Mapping[str, str]) -> tuple[Runtime, ...]:
    """Return those of the runtimes ``names`` that are there, or the ones that OVERRIDE in ``environment`` names.

    They are looked up on the PATH of ``environment`` and asked in it. Raises BootsealError when a name is none of
    provisions.RUNTIMES.
    """
    override = environment.get(OVERRIDE)
    return overridden(override, environment) if override is not None else detect(names, environment)


def overridden(override: str, environment: Mapping[str, str]) -> tuple[Runtime, ...]:
    """Return the runtimes in the text ``override``, each once, where they are on PATH; nothing is executed."""
    names = [name for name in _names(override) if _LABEL.fullmatch(name)]
    return tuple(Runtime(name, _path(name, environment) or "", None) for name in names[:_MOST_NAMES])


def dropped(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return a warning for each thing that is wrong with the names that OVERRIDE in ``environment`` says."""
    names = _names(environment.get(OVERRIDE, ""))
    wrong = [name for name in names if not _LABEL.fullmatch(name)]
    too_many = len(names) - len(wrong) - _MOST_NAMES
    warnings = []
    if wrong:
        shown = f"{wrong[0][:_SHOWN_CHARACTERS]!a}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else "")
        warnings.append(f"{OVERRIDE}: {shown} dropped: a name is of a-z 0-9 . _ + -, and 40 characters at most")
    if too_many > 0:
        warnings.append(f"{OVERRIDE}: {too_many} names dropped: {_MOST_NAMES} are the most")
    return tuple(warnings)


def _names(override: str) -> list[str]:
    return [name for name in dict.fromkeys(name.strip() for name in override.split(",")) if name]


def detect(names: Iterable[str], environment: Mapping[str, str]) -> tuple[Runtime, ...]:
    """Return those of the runtimes ``names`` that are there; raises BootsealError when a name is none of provisions.RUNTIMES."""
    wanted = tuple(dict.fromkeys(names))
    for name in wanted:
        if name not in _KNOWN:
            raise errors.BootsealError(
                f"runtime {name}", "it is not known", f"name one of {', '.join(provisions.RUNTIMES)}"
            )
    paths = {name: path for name in wanted if (path := _path(name, environment)) is not None}
    questions = [
        command.Command((path, *_KNOWN[name].question), "/", _SECONDS, environment) for name, path in paths.items()
    ]
    answers = command.run_all(questions, at_once=max(1, len(questions)))
    return tuple(
        Runtime(name, path, _version(name, answer)) for (name, path), answer in zip(paths.items(), answers, strict=True)
    )


def _version(name: str, answer: command.Ended) -> str | None:
    if not answer.ok:
        return None  # a half-said version, or an error text with numbers in it
    match = _KNOWN[name].version.search(answer.output)
    return match[1] if match else None


def _path(name: str, environment: Mapping[str, str]) -> str | None:
    """Return the first executable of the runtime ``name`` on PATH; one that is not known is called as it is named.

    A directory whose name is no text is no place to look: it could not be written down.
    """
    known = _KNOWN.get(name)
    folders = environment.get("PATH", os.defpath).split(":")
    for binary in known.binaries if known else (name,):
        for folder in folders:
            path = f"{folder}/{binary}"
            if folder.startswith("/") and _is_text(folder) and _is_executable(path):
                return path
    return None


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_executable(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)


def dump(runtimes: tuple[Runtime, ...]) -> bytes:
    """Return the bytes of ``runtimes.json``."""
    return json.dumps(dataclasses.asdict(_Report(SCHEMA, runtimes)), indent=2, sort_keys=True).encode() + b"\n"


def parse(data: bytes, where: str) -> tuple[Runtime, ...]:
    """Return the runtimes in ``data``; raises InvalidRecord naming ``where``."""
    value = decode.json_object(data, where)
    decode.expect_schema(value, SCHEMA, where)
    return decode.build(_Report, value, where).runtimes
