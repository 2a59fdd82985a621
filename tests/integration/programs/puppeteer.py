"""The test's hand in ``puppet.py``: its entry in a manifest, orders to it, and what it wrote down."""

import contextlib
import dataclasses
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tree as trees

from contract import errors, snapshot

_PROGRAM = str(Path(__file__).with_name("puppet.py"))


@dataclasses.dataclass(frozen=True)
class Stamp:
    """One line of what puppets wrote down: who did what, as which process, and when (CLOCK_MONOTONIC, ns)."""

    name: str
    what: str
    pid: int
    at: int


@dataclasses.dataclass(frozen=True)
class Puppet:
    """The puppet ``name`` of a tree."""

    tree: trees.Tree
    name: str

    def entry(self, *orders: tuple[str, dict[str, Any]], **keys: Any) -> dict[str, Any]:
        """Return its entry in a manifest: it carries out ``orders`` by itself when it starts."""
        words = json.dumps([list(order) for order in orders])
        return {"command": [sys.executable, "-I", "-S", _PROGRAM, self.name, str(self.tree.root), words], **keys}

    def do(self, what: str, **arguments: Any) -> Any:
        """Give an order and return what came of it, as soon as the puppet takes orders."""
        answers: list[Any] = trees.wait_until(lambda: self._ask(what, arguments), f"{self.name} does {what}", self._why)
        return answers[0]

    def is_up(self) -> int:
        """Wait until it takes orders, and return its pid."""
        return int(self.do("pid"))

    def renewed(self, before: int) -> int:
        """Wait for a process of it that is not ``before``, and return its pid."""

        def other() -> int:
            answers = self._ask("pid", {})
            return answers[0] if answers and answers[0] != before else 0

        return int(trees.wait_until(other, f"{self.name} runs again", self._why))

    def _ask(self, what: str, arguments: dict[str, Any]) -> list[Any]:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(trees.PATIENCE_SECONDS)
            with contextlib.suppress(ConnectionError, FileNotFoundError, json.JSONDecodeError):
                connection.connect(f"{self.tree.root}/{self.name}.sock")
                connection.sendall(json.dumps({"what": what, "arguments": arguments}).encode() + b"\n")
                with connection.makefile("rb") as stream:
                    return [json.loads(stream.readline())["did"]]
        return []

    def _why(self) -> str:
        return self.tree.stdout()[-2000:] + self.tree.stderr()[-4000:]


def stamps(tree: trees.Tree, what: str | None = None, name: str | None = None) -> list[Stamp]:
    """Return what puppets wrote down, oldest first."""
    path = tree.root / "stamps"
    lines = path.read_text().splitlines() if path.exists() else []
    found = [Stamp(words[0], words[1], int(words[2]), int(words[3])) for words in map(str.split, lines)]
    return [one for one in found if what in {None, one.what} and name in {None, one.name}]


def wait_for(tree: trees.Tree, name: str, claim: Callable[[snapshot.ProgramView], Any]) -> snapshot.ProgramView:
    """Wait until the ledger shows the program ``name`` as ``claim`` wants it, and return what it shows."""

    def look() -> snapshot.ProgramView | None:
        with contextlib.suppress(errors.BootsealError, AssertionError):
            view = tree.program(name)
            return view if claim(view) else None
        return None

    def evidence() -> str:
        with contextlib.suppress(errors.BootsealError, AssertionError):
            return f"{tree.program(name)}\n{tree.stderr()[-4000:]}"
        return tree.stderr()[-4000:]

    view: snapshot.ProgramView = trees.wait_until(look, f"the ledger shows {name} as wanted", evidence)
    return view
