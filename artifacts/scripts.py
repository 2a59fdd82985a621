"""What runs a script: its first line as the kernel reads it (execve(2)), and as env(1) reads what the kernel hands it.

Rules
-----
* The line is ``#!INTERPRETER [ARGUMENT]``: one argument, blanks in it included, within 255 bytes.
* ``#!/usr/bin/env NAME`` means the first executable NAME on PATH, ``env -S`` splits its argument; env is part of the closure too.
* An interpreter may be a script itself, four of them on the way to a program, as the kernel allows.
* An interpreter whose place depends on the working directory or the environment is a problem.
"""

import dataclasses
import os
import re
import shlex
import stat

from artifacts import dynamic_loading, elf, tree

_LINE_BYTES = 255
"""BINPRM_BUF_SIZE less the final NUL."""
_DEPTH = 5
_BLANKS = " \t"


class Unclear(Exception):
    """The first line does not say what runs the script; the text says why."""


@dataclasses.dataclass(frozen=True)
class FirstLine:
    """The interpreter, and what it is handed before the script's path."""

    interpreter: str
    argument: str | None


def first_line(data: bytes) -> FirstLine:
    """Return what the first bytes of a script, at least 256 where it has as many, say; raises Unclear."""
    line, newline, _ = data[: _LINE_BYTES + 1].partition(b"\n")
    if not line.startswith(b"#!"):
        raise Unclear("does not begin with #!")
    if not newline and len(data) > _LINE_BYTES:
        raise Unclear(f"has a first line of more than {_LINE_BYTES} bytes, which the kernel cuts off")
    text = line[2:].decode("utf-8", "surrogateescape").strip(_BLANKS)
    interpreter = re.split("[ \t]", text, maxsplit=1)[0]
    argument = text[len(interpreter) :]
    if not interpreter or "\0" in text:
        raise Unclear("names no interpreter")
    if not interpreter.startswith("/"):
        raise Unclear(f"has the interpreter {interpreter!r}, which depends on the working directory")
    return FirstLine(interpreter, argument.strip(_BLANKS) or None)


@dataclasses.dataclass(frozen=True)
class Wanted:
    """The program that env runs; ``path`` is the PATH that it looks on where the line sets one, "" the system's own."""

    name: str
    path: str | None


def wanted_of_env(argument: str | None) -> Wanted:
    """Return the program that env is asked for by its one argument; raises Unclear. For its options see env(1)."""
    words = _words(argument or "")
    path: str | None = None
    while words:
        word = words.pop(0)
        if word == "--":
            continue
        if word in {"-i", "-", "--ignore-environment"}:
            path = ""
        elif word in {"-u", "--unset", "-C", "--chdir"}:
            words = words[1:]
        elif word.startswith("-"):
            continue
        elif "=" in word:
            name, _, value = word.partition("=")
            path = value if name == "PATH" else path
        else:
            return Wanted(word, path)
    raise Unclear("asks env for no program")


def _words(argument: str) -> list[str]:
    for prefix in ("--split-string=", "--split-string", "-S", "-vS", "-iS"):
        if argument.startswith(prefix):
            text = argument.removeprefix(prefix)
            if "$" in text:
                raise Unclear("has a first line that depends on the environment")
            try:
                words = shlex.split(text, comments=True)
            except ValueError as error:
                raise Unclear(f"has a first line that env cannot split: {error}") from error
            return ["-i", *words] if prefix == "-iS" else words
    return [argument] if argument else []


def expand(path: str, survey: tree.Survey, search_path: str, depth: int = 0) -> None:
    """Note the script at ``path`` and what runs it; names are looked up on the PATH ``search_path``."""
    end = survey.file(path)
    if end is None:
        return
    try:
        if depth == _DEPTH:
            raise Unclear(f"is run by more than {_DEPTH - 1} scripts in a row, which the kernel refuses")
        line = first_line(elf.first_bytes(end, _LINE_BYTES + 1))
        interpreters = [line.interpreter]
        if os.path.basename(line.interpreter) == "env":
            interpreters.append(_found(wanted_of_env(line.argument), search_path))
    except Unclear as error:
        survey.problem(f"{path} {error}", "correct its first line, or install what it names")
        return
    except OSError as error:
        survey.unreadable(path, error)
        return
    for interpreter in interpreters:
        run_by(interpreter, survey, search_path, depth + 1)


def run_by(path: str, survey: tree.Survey, search_path: str, depth: int = 0) -> None:
    """Note the program at ``path``, ELF file or script, and what it needs."""
    try:
        is_elf = elf.is_elf(path)
    except OSError as error:
        survey.unreadable(path, error)
        return
    if is_elf:
        dynamic_loading.expand(path, survey)
    else:
        expand(path, survey, search_path, depth)


def _found(wanted: Wanted, search_path: str) -> str:
    """Return the path of the program that env runs, as execvp(3) finds it; raises Unclear."""
    if "/" in wanted.name:
        if not wanted.name.startswith("/"):
            raise Unclear(f"asks env for {wanted.name!r}, which depends on the working directory")
        return wanted.name
    path = search_path if wanted.path is None else wanted.path or os.defpath
    for folder in path.split(":"):
        if folder.startswith("/") and _is_executable(found := os.path.join(folder, wanted.name)):
            return found
    hint = ": env takes several words only after -S" if any(blank in wanted.name for blank in _BLANKS) else ""
    raise Unclear(f"asks env for {wanted.name!r}, which is not on PATH {path}{hint}")


def _is_executable(path: str) -> bool:
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & 0o111)
