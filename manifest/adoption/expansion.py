"""``%(name)s`` in options, as supervisor replaces it, save what only the boot of a container knows.

Rules
-----
* What supervisor knows from the file is replaced as it does it: by Python's ``%`` (``expand`` in supervisor/options.py).
* A variable of the environment (``%(ENV_X)s``) and the host's name are known at boot alone. Each becomes a *mark* in the text,
  one word to every parser, which a shell can replace then; ``pieces`` takes the text apart at its marks.
* A bare ``%s`` would be the whole environment, secrets included: it is refused.
* A stranger wrote the text: a field or a result beyond any use is refused, and the work grows with the text.
"""

import dataclasses
import re
from collections.abc import Mapping

from manifest import diagnostics

_MARK = re.compile(r"bOOtmark([EH])([A-Za-z0-9_]*?)zZ")
"""Letters and digits alone: ``shlex`` and supervisor's parser of ``environment`` both take it for a part of a word."""
_BARE = re.compile(r"%(?!%|\()")
_EXPRESSION = re.compile(r"%\(([^()%]*)\)([-#0 +]*[0-9]*(?:\.[0-9]*)?)(.?)", re.DOTALL)
_VARIABLE = re.compile(r"(?!.*zZ)[A-Za-z0-9_]+")
_WIDEST_FIELD = 999
_LONGEST = 128 * 1024
"""Characters; the kernel takes no longer argument, nor variable (execve(2), MAX_ARG_STRLEN)."""
_KNOWN_AT_BOOT = "host_node_name"


class CannotExpandError(Exception):
    """An expression that supervisor refuses, too; the message is ``why``."""


@dataclasses.dataclass(frozen=True)
class Mark:
    """What only the boot knows: the environment variable ``name``, or the host's name where that is None."""

    name: str | None


def marked(mark: Mark) -> str:
    """Return the text that stands for ``mark``."""
    return f"bOOtmarkH{'zZ'}" if mark.name is None else f"bOOtmarkE{mark.name}zZ"


def expand(text: str, known: Mapping[str, str | int]) -> str:
    """Return ``text`` with its expressions replaced: those of ``known``, and marks for what the boot knows.

    Raises CannotExpandError.
    """
    if _MARK.search(text):
        raise CannotExpandError("it holds a word that is bootseal's own while it reads")
    if len(text) > _LONGEST:
        raise CannotExpandError(f"it is longer than {_LONGEST} characters")
    if "%" not in text:
        return text
    if _BARE.search(text.replace("%%", "")):
        raise CannotExpandError(
            "a bare % is no expression: supervisor would put its whole environment there; %% is a percent sign"
        )
    values: dict[str, str | int] = dict(known)
    for name, field, kind in _EXPRESSION.findall(text.replace("%%", "")):
        if any(int(number[:9]) > _WIDEST_FIELD for number in re.findall("[0-9]+", field)):
            raise CannotExpandError(f"a field is more than {_WIDEST_FIELD} wide")
        if name not in known and (name.startswith("ENV_") or name == _KNOWN_AT_BOOT):
            values[name] = marked(_at_boot(name, field + kind))
    try:
        found = text % values
    except KeyError as error:
        raise CannotExpandError(
            f"there is no expression %({diagnostics.quote(str(error.args[0])).strip('`')})s here"
        ) from error
    except (TypeError, ValueError) as error:
        raise CannotExpandError(f"its format cannot be read: {error}") from error
    if len(found) > _LONGEST:
        raise CannotExpandError(f"it is longer than {_LONGEST} characters")
    return found


def _at_boot(name: str, form: str) -> Mark:
    """Return the mark of an expression that the boot replaces; raises CannotExpandError."""
    if form != "s":
        name = diagnostics.quote(name).strip("`")
        raise CannotExpandError(f"what %({name}) is, is known at boot alone, and put in as %({name})s")
    if name == _KNOWN_AT_BOOT:
        return Mark(None)
    variable = name.removeprefix("ENV_")
    if not _VARIABLE.fullmatch(variable):
        raise CannotExpandError(f"{diagnostics.quote(variable)} is no variable that a shell could put in at boot")
    return Mark(variable)


def pieces(text: str) -> list[str | Mark]:
    """Return ``text`` in literal pieces and marks."""
    found: list[str | Mark] = []
    position = 0
    for match in _MARK.finditer(text):
        found += [text[position : match.start()], Mark(None if match[1] == "H" else match[2])]
        position = match.end()
    return [piece for piece in [*found, text[position:]] if piece != ""]


def is_marked(text: str) -> bool:
    """Say whether something in ``text`` is known at boot alone."""
    return _MARK.search(text) is not None


def variables(text: str) -> list[str]:
    """Return the environment variables that ``text`` waits for."""
    return [one.name for one in pieces(text) if isinstance(one, Mark) and one.name is not None]


def shown(text: str) -> str:
    """Return ``text`` with its marks as they were written."""
    return "".join(
        one if isinstance(one, str) else "%(host_node_name)s" if one.name is None else f"%(ENV_{one.name})s"
        for one in pieces(text)
    )
