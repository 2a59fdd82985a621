"""What a conversion says: the keys of a manifest, and remarks on what is no key.

Rules
-----
* No remark shows the value of a command or of the environment.
"""

import dataclasses
from typing import Any

from manifest import diagnostics, tree
from manifest.adoption import expansion, processes

INFO, LOST, REFUSED, UNKNOWN, WRONG = "", "W110", "E115", "E113", "E114"
"""What a remark means to whoever imports, as a code: nothing, a warning, or an error."""


@dataclasses.dataclass(frozen=True)
class Key:
    """One key of a program: its path, its value as plain data, and where it comes from.

    ``is_default``: the manifest's own word about it counts more.
    """

    path: tuple[str, ...]
    value: Any
    place: tree.Place
    is_default: bool = False


@dataclasses.dataclass(frozen=True)
class Remark:
    """What is to be said of an option; ``code`` is one of the five, ``decide`` what somebody has to decide."""

    code: str
    option: str
    text: str
    place: tree.Place
    decide: bool = False


class Work:
    """One conversion: what is said so far. ``why_not`` and ``writable`` as in ``conversion.Converted``."""

    def __init__(self, process: processes.Process, may_use_shell: bool) -> None:
        self.keys: list[Key] = []
        self.remarks: list[Remark] = []
        self.why_not: str | None = None
        self.variables: list[str] = []
        self.writable: str | None = None
        self.process = process
        self.settings = process.settings
        self.may_use_shell = may_use_shell

    def place(self, option: str) -> tree.Place:
        """Return where ``option`` stands, or its section."""
        found = self.process.section.options.get(option)
        return found.place if found else self.process.section.place

    def has(self, option: str) -> bool:
        """Say whether ``option`` stands there."""
        return option in self.process.section.options

    def key(self, option: str, path: tuple[str, ...], value: Any, *, is_default: bool = False) -> None:
        """Say a key of the manifest."""
        self.keys.append(Key(path, value, self.place(option), is_default))

    def remark(self, code: str, option: str, text: str, *, decide: bool = False) -> None:
        """Say what is to be said of ``option``."""
        self.remarks.append(Remark(code, option, text, self.place(option), decide))

    def shown(self, option: str) -> str:
        """Return ``option`` as it was written, bounded, for a remark."""
        written = self.process.section.options.get(option)
        text = expansion.shown(self.process.texts.get(option, written.text if written else ""))
        return f"{option}={diagnostics.quote(text).strip('`')}"
