"""Replaces the expressions of a manifest and judges what comes out: paths, and what supervisord can be told.

Every fault is a finding at the text it came from; the text itself is then used on, so that the rest can be judged too.
"""

import dataclasses

from contract import rundir
from manifest import expressions, fields, tree, users
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

_SOCKET_BYTES = 107
"""unix(7): sun_path without its NUL."""


@dataclasses.dataclass(frozen=True)
class Resolver:
    """Resolves the texts of ``subject`` within ``scope``; ``relocated`` holds the roots that are moved."""

    subject: Subject
    scope: expressions.Scope
    is_relocated: bool
    findings: Findings

    def text(self, path: tree.Path, text: str) -> str:
        """Return the text at ``path`` with its expressions replaced."""
        expanded = self._expand(path, text)
        if expanded is None:
            return text
        self._refuse_literal(path, expanded.literal)
        return expanded.text

    def _expand(self, path: tree.Path, text: str) -> expressions.Expanded | None:
        program = str(path[1]) if path[0] == "programs" else None
        try:
            return expressions.expand(text, dataclasses.replace(self.scope, program=program))
        except expressions.ExpressionError as error:
            is_consequence = (error.code == "E041" and self.subject.was_cut("boot", "writable")) or (
                error.code in {"E078", "E079"} and self.subject.was_cut("secrets")
            )
            if not is_consequence:
                self.findings.add(error.code, self._place(path), error.message, error.remedy)
            return None

    def _refuse_literal(self, path: tree.Path, literal: str) -> None:
        root = expressions.literal_path(literal, self.scope.writable) if self.is_relocated else None
        if root is not None:
            message = f"the path {root} is written out, and it is elsewhere here: {self.scope.writable[root]}"
            self.findings.add(
                "E043", self._place(path), message, f"write ${{writable:{root}}}, which is right everywhere"
            )

    def path(self, path: tree.Path, text: str, *, may_be_literal: bool = True, is_made_at_boot: bool = False) -> str:
        """Return the path at ``path`` with its expressions replaced; it must be absolute and normal."""
        expanded = self._expand(path, text)
        if expanded is None:
            return text
        if not may_be_literal:
            self._refuse_literal(path, expanded.literal)
        if fault := fields.path_fault(expanded.text):
            is_relative = fault == "it is relative"
            name = text.removeprefix("./")
            beside = (
                f"${{here}}/{name}, or ${{run}}/{name} for what is made at boot"
                if is_made_at_boot
                else f"${{here}}/{name}"
            )
            remedy = f"write {beside}" if is_relative else "write it from / without . or .. or //"
            message = f"{quote(expanded.text)} is not an absolute normal path: {fault}"
            self.findings.add("E029", self._place(path), message, remedy)
        return expanded.text

    def socket(self, path: tree.Path, text: str) -> str:
        """Return the path of a socket at ``path``; an AF_UNIX address must hold it."""
        full = self.path(path, text, may_be_literal=False, is_made_at_boot=True)
        if len(full.encode("utf-8", "surrogateescape")) > _SOCKET_BYTES:
            why = f"an AF_UNIX address holds {_SOCKET_BYTES} bytes"
            message = f"no socket can be at {quote(full)}: {why}"
            self.findings.add("E076", self._place(path), message, "choose a shorter path")
        return full

    def evidence(self, path: tree.Path, text: str) -> str:
        """Return the path at ``path`` of a file that proves readiness: PID 1 removes it before each start."""
        full = self.path(path, text, may_be_literal=False, is_made_at_boot=True)
        if self._expand_silently(text) is None or fields.path_fault(full):
            return full
        run = self.scope.run
        roots = {*self.scope.writable, *self.scope.writable.values(), run}
        ours = next((own for own in own_paths(run) if full == own or full.startswith(f"{own}/")), None)
        lies_in_one = any(full.startswith(f"{root}/") for root in roots)
        remedy = "write ${run}/NAME, or ${writable:/path}/NAME beneath a path of boot.writable"
        if users.is_excepted(self.subject) and full.startswith(f"{run}/"):
            message = f"{quote(full)} proves nothing: its program has a user of its own, who cannot make it"
            remedy = "write ${writable:/path}/NAME beneath a path of boot.writable that belongs to that user"
            self.findings.add("E070", self._place(path), message, remedy)
            return full
        if ours is not None:
            message = f"{quote(full)} cannot be removed before each start: {ours} is bootseal's own"
            self.findings.add("E070", self._place(path), message, remedy)
        elif not lies_in_one and not self.subject.was_cut("boot", "writable"):
            why = "it lies beneath no path of boot.writable, nor in the run directory"
            message = f"{quote(full)} cannot be removed before each start: {why}"
            self.findings.add("E070", self._place(path), message, remedy)
        elif (fault := users.evidence_fault(self.subject, str(path[1]), self._written_path(full))) is not None:
            self.findings.add("E070", self._place(path), f"{quote(full)} proves nothing: {fault[0]}", fault[1])
        return full

    def _written_path(self, full: str) -> str:
        """Return the path ``full`` as it is in the container: beneath the writable root, not beneath where that is moved."""
        roots = sorted(self.scope.writable.items(), key=lambda one: -len(one[1]))
        moved = next((one for one in roots if full.startswith(f"{one[1]}/")), None)
        return full if moved is None else moved[0] + full[len(moved[1]) :]

    def _expand_silently(self, text: str) -> expressions.Expanded | None:
        try:
            return expressions.expand(text, self.scope)
        except expressions.ExpressionError:
            return None

    def _place(self, path: tree.Path) -> tree.Place:
        return tree.place_of(self.subject.root, tree.written(self.subject.root, path))

    def directory(self, path: tree.Path, text: str) -> str:
        """Return the working directory at ``path``, which supervisord must read from its configuration exactly."""
        full = self.path(path, text, may_be_literal=False)
        if fault := unreadable_by_supervisord(full):
            self._refuse(path, "the directory", full, fault)
        return full

    def program(self, path: tree.Path, text: str) -> str:
        """Return the program at ``path``, which supervisord looks up by what its configuration says."""
        full = self.text(path, text)
        odd = _not_ascii(full)
        if odd and not self.subject.was_cut(*path[:-1]):
            self._refuse(path, "the program", full, odd)
        return full

    def _refuse(self, path: tree.Path, what: str, text: str, fault: str) -> None:
        message = f"supervisord's configuration cannot carry {what} {quote(text)}: {fault}"
        self.findings.add("E064", self._place(path), message, "name a link or a copy in plain ASCII")


def own_paths(run_directory: str) -> list[str]:
    """Return the paths in ``run_directory`` that bootseal itself uses."""
    run = rundir.RunDirectory(run_directory)
    named = [getattr(run, name) for name, one in vars(rundir.RunDirectory).items() if isinstance(one, property)]
    return [*named, f"{run.events}.1"]


def _not_ascii(text: str) -> str | None:
    odd = next((character for character in text if not " " <= character <= "~"), None)
    return None if odd is None else f"it holds U+{ord(odd):04X}"


def unreadable_by_supervisord(text: str) -> str | None:
    """Return why a line of supervisord.conf cannot carry ``text`` as it is, or None."""
    if odd := _not_ascii(text):
        return odd
    if text != text.strip():
        return "it begins or ends with a space"
    if " ;" in text or " #" in text:
        return "a ; or # after a space begins a comment there"
    return None
