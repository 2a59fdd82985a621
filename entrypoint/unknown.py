"""A name that the container does not know, and the one that is spelled most like it: told the same by every command."""

from collections.abc import Iterable

from contract import errors, exit_codes
from entrypoint import presenting

PROGRAM, REQUIREMENT = "program", "requirement"


class Unknown(errors.BootsealError):
    """This container has nothing of that name; the command was called wrongly."""

    exit_code = exit_codes.USAGE_ERROR


def error(kind: str, name: str, known: Iterable[str]) -> Unknown:
    """Return the error about the ``kind`` of thing that is called ``name``, where there are those ``known``."""
    return Unknown(f"{kind} {name}", "this container has none of that name", presenting.nearest(name, known))


def check(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Raise Unknown for the first of ``names`` that is not ``known``."""
    there = list(known)
    for name in names:
        if name not in there:
            raise error(kind, name, there)
