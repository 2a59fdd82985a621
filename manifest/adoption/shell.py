"""A command that only a shell can carry over: with what the boot alone knows, or a umask.

Rules
-----
* The shell replaces what supervisord would have replaced, and then itself: the process has the argv that supervisord gave it.
* A variable that is not set ends the start (``set -u``), as supervisord refuses to start then.
* Outside of quotes what is put in is divided into words, as supervisor divides a command it has expanded. A shell's quotes in it
  mean nothing, where supervisor's would; and ``*`` is no pattern (``set -f``).
"""

import re
import shlex

from manifest.adoption import expansion

SHELL = "/bin/sh"
_TRIAL = "bOOtrial"


def command(text: str, environment: dict[str, str], directory: str | None, umask: str | None) -> tuple[list[str], bool]:
    """Return the argv for the command ``text``, and whether it is a shell's.

    ``environment`` and ``directory`` are those that the shell has to see to: texts with marks. Raises ValueError where
    supervisor cannot take ``text`` apart.
    """
    is_inline = expansion.is_marked(text)
    if not (is_inline or environment or directory or umask):
        return shlex.split(text), False
    words, is_split = _words(text) if is_inline else ('"$@"', False)
    options = "".join(["f" if is_split else "", "u" if is_inline or environment or directory else ""])
    steps = [f"set -{options}"] if options else []
    steps += [f"umask {umask}"] if umask else []
    steps += [f"cd -- {_word(directory)}"] if directory else []
    steps += [f"export {name}={_word(value)}" for name, value in environment.items()]
    script = " && ".join([*steps, f"exec {words}"])
    arguments = [] if is_inline else ["sh", *shlex.split(text)]
    return [SHELL, "-c", script, *arguments], True


def _words(text: str) -> tuple[str, bool]:
    """Return the words of a command as a shell reads them, and whether one of them is to be divided further."""
    bare = _bare_marks(text)
    words = shlex.split(text)
    number, is_split, found = 0, False, []
    for word in words:
        parts: list[str] = []
        for piece in expansion.pieces(word):
            if isinstance(piece, str):
                literal = shlex.quote(piece)
                follows_bare = bool(parts) and parts[-1].startswith("$")
                parts.append(f"'{literal}'" if follows_bare and not literal.startswith("'") else literal)
                continue
            is_bare = bare[number]
            number += 1
            is_split = is_split or is_bare
            parts.append(_value(piece) if is_bare else f'"{_value(piece)}"')
        found.append("".join(parts) or "''")
    return " ".join(found), is_split


def _bare_marks(text: str) -> list[bool]:
    """Say of each mark in ``text`` whether it stands outside of quotes: a space in its place would end the word."""
    number = 0
    parts = []
    for piece in expansion.pieces(text):
        number += not isinstance(piece, str)
        parts.append(piece if isinstance(piece, str) else f"{_TRIAL}{number} ")
    ends = re.findall(f"{_TRIAL}([0-9]+) ", "\0".join(shlex.split("".join(parts))))
    quoted = {int(one) for one in ends}  # its space is still there
    return [one not in quoted for one in range(1, number + 1)]


def _word(text: str) -> str:
    """Return ``text`` as one word of a shell."""
    parts = [shlex.quote(one) if isinstance(one, str) else f'"{_value(one)}"' for one in expansion.pieces(text)]
    return "".join(parts) or "''"


def _value(mark: expansion.Mark) -> str:
    return "$(uname -n)" if mark.name is None else f"${mark.name}"
