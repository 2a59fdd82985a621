"""Expressions in text: ``${here}``, ``${run}``, ``${writable:/path}`` and ``${secret:NAME}``.

Rules
-----
* Only ``${`` begins an expression; a lone ``$`` is itself. ``$${`` is a literal ``${``.
* An expression is replaced once; what it stands for is not looked at again.
* What was written literally is told apart from what an expression gave: where paths move, a literal path is a error.
"""

import dataclasses
import re
from collections.abc import Mapping

from contract import rundir
from manifest import diagnostics

NAMES = ("here", "run", "writable:", "secret:")
_TOKEN = re.compile(r"(?P<escape>\$\$\{)|\$\{(?P<body>[^}]*)(?P<close>\}?)")
_GAP = "\0"
"""Stands in ``literal`` for what an expression gave; no text of a manifest holds it."""


class ExpressionError(Exception):
    """An expression that means nothing: a rule's code, ``what: why``, and what to do."""

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.remedy = remedy


@dataclasses.dataclass(frozen=True)
class Scope:
    """What expressions stand for.

    ``writable`` maps each writable root of the manifest to where it really is; ``secrets`` each secret to the programs
    that get it, and ``program`` is the one that the text is for, None where it is for none.
    """

    here: str
    run: str
    writable: Mapping[str, str]
    secrets: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)
    program: str | None = None

    def real_path(self, path: str) -> str | None:
        """Return where ``path``, a writable root or something beneath one, really is; None when it is neither."""
        roots = [root for root in self.writable if path == root or path.startswith(f"{root}/")]
        root = max(roots, key=len, default=None)
        return None if root is None else self.writable[root] + path[len(root) :]


@dataclasses.dataclass(frozen=True)
class Expanded:
    """Text with its expressions replaced; in ``literal`` each of them is one NUL instead."""

    text: str
    literal: str


def expand(text: str, scope: Scope) -> Expanded:
    """Return ``text`` with its expressions replaced; raises ExpressionError."""
    full, literal = [], []
    position = 0
    for match in _TOKEN.finditer(text):
        between = text[position : match.start()]
        full.append(between)
        literal.append(between)
        if match["escape"]:
            full.append("${")
            literal.append("${")
        else:
            full.append(_evaluate(match["body"], bool(match["close"]), scope))
            literal.append(_GAP)
        position = match.end()
    full.append(text[position:])
    literal.append(text[position:])
    return Expanded("".join(full), "".join(literal))


def _evaluate(body: str, is_closed: bool, scope: Scope) -> str:
    shown = diagnostics.quote("${" + body + ("}" if is_closed else ""))
    escape = "write $${ for the characters themselves"
    if not is_closed:
        raise ExpressionError("E040", f"{shown} has no closing brace: `${{` begins an expression", escape)
    if body in {"here", "run"}:
        return scope.here if body == "here" else scope.run
    if body.startswith("writable:"):
        return _writable(body.removeprefix("writable:"), shown, scope)
    if body.startswith("secret:"):
        return _secret(body.removeprefix("secret:"), shown, scope)
    nearest = diagnostics.nearest(body.partition(":")[0], [name.rstrip(":") for name in NAMES])
    example = {
        "here": "${here}",
        "run": "${run}",
        "writable": "${writable:/path}",
        "secret": "${secret:NAME}",
        None: None,
    }[nearest]
    remedy = (
        f"write {example}"
        if example
        else f"there are ${{here}}, ${{run}}, ${{writable:/path}} and ${{secret:NAME}}; {escape}"
    )
    raise ExpressionError("E040", f"unknown expression {shown}: a manifest knows four", remedy)


def _writable(path: str, shown: str, scope: Scope) -> str:
    parts = path.split("/")[1:]
    if not path.startswith("/") or any(part in {"", ".", ".."} for part in parts):
        raise ExpressionError("E040", f"{shown} names no absolute normal path", "write ${writable:/path}")
    found = scope.real_path(path)
    if found is None:
        why = "it is neither a path of boot.writable nor beneath one"
        nearest = diagnostics.nearest(path, scope.writable)
        remedy = f"write ${{writable:{nearest}}}" if nearest else "name one in boot.writable"
        raise ExpressionError("E041", f"{shown} is not writable: {why}", remedy)
    return found


def _secret(name: str, shown: str, scope: Scope) -> str:
    if name not in scope.secrets:
        nearest = diagnostics.nearest(name, scope.secrets)
        remedy = f"write ${{secret:{nearest}}}" if nearest else "define it under `secrets`"
        raise ExpressionError("E078", f"unknown secret in {shown}: nothing under `secrets` has this name", remedy)
    if scope.program not in scope.secrets[name]:
        who = "no program" if scope.program is None else f"not {diagnostics.quote(scope.program)}"
        why = f"it is for the programs that the secret names, and this text is for {who}"
        if scope.program is not None:
            why = f"the secret is for other programs, {who}"
        remedy = f"name the program in `secrets.{name}.programs`" if scope.program else "use it in a program's own keys"
        raise ExpressionError("E079", f"{shown} is not there: {why}", remedy)
    return f"{rundir.RunDirectory(scope.run).secrets_of(scope.program or '')}/{name}"


def literal_path(literal: str, roots: Mapping[str, str]) -> str | None:
    """Return the one of ``roots`` that stands in ``literal`` as a path of its own or the beginning of one, or None."""
    for root in sorted(roots, key=len, reverse=True):
        if re.search(rf"(?<![\w.\-\0]){re.escape(root)}(?![\w.\-])", literal):
            return root
    return None
