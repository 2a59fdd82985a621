"""The RPC namespace ``bootseal``: what supervisorctl, the seal program and the probe server ask PID 1."""

import re
from typing import Any, Protocol

from supervisor import xmlrpc

from contract import errors

_NUMBER = re.compile(r"-1|[0-9]{1,18}", re.ASCII)
_NAMES_LIMIT = 1000


class UnknownProgram(errors.BootsealError):
    """Somebody asked about a program that is not in the plan."""

    def __init__(self, name: str) -> None:
        super().__init__(f"program {errors.printable(name[:80])}", "the plan has none of this name")


class Answers(Protocol):
    """What the extension answers."""

    def snapshot_text(self) -> str:
        """Return the ledger as JSON text."""

    def summary_text(self) -> str:
        """Return the ledger's summary as JSON text."""

    def output_text(self, after: int, limit: int, names: tuple[str, ...]) -> str:
        """Return programs' output as JSON text; raises UnknownProgram."""

    def fail_boot(self, phase: str, cause: str) -> None:
        """End or hold the boot, which cannot become ready."""


class Namespace:
    """Its public methods are RPC methods, ``bootseal.NAME``."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def snapshot(self) -> str:
        """Return the readiness ledger as JSON text.

        @return string result  the ledger, see contract/snapshot.py
        """
        return self._answers.snapshot_text()

    def summary(self) -> str:
        """Return how many programs the boot waits for, as JSON text, small at any number of programs.

        @return string result  see contract/snapshot.py, Summary
        """
        return self._answers.summary_text()

    def output(self, after_seq: Any, limit: Any, names: Any = ()) -> str:
        """Return what programs printed last, without secrets, as JSON text.

        A number may be text: XML-RPC's own have 32 bits.

        @param string after_seq  the number after which to begin; 0 is the oldest line kept, -1 asks for the newest lines
        @param string limit      the most lines to return
        @param array names       of these programs; none is all
        @return string result  see contract/output.py
        """
        after, most = _number(after_seq), _number(limit)
        if (
            not isinstance(names, list | tuple)
            or len(names) > _NAMES_LIMIT
            or not all(isinstance(one, str) for one in names)
        ):
            raise xmlrpc.RPCError(xmlrpc.Faults.INCORRECT_PARAMETERS, "names are a list of names")
        try:
            return self._answers.output_text(after, most, tuple(names))
        except UnknownProgram as error:
            raise xmlrpc.RPCError(xmlrpc.Faults.BAD_NAME, str(error)) from error

    def fail(self, cause: str) -> bool:
        """Report that the boot cannot become ready (the seal program calls this).

        @param string cause  what, where and why, for people
        @return boolean result  always true
        """
        self._answers.fail_boot("seal", str(cause)[:4096])
        return True


def _number(value: Any) -> int:
    text = str(value) if type(value) is int else value
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise xmlrpc.RPCError(xmlrpc.Faults.INCORRECT_PARAMETERS, "a number of a line is -1, 0 or more")
    return int(text)
