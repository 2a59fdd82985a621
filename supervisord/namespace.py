"""The RPC namespace ``bootseal``: what supervisorctl, the seal program and the probe server ask PID 1."""

from typing import Protocol


class Answers(Protocol):
    """What the extension answers."""

    def snapshot_text(self) -> str:
        """Return the ledger as JSON text."""

    def summary_text(self) -> str:
        """Return the ledger's summary as JSON text."""

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

    def fail(self, cause: str) -> bool:
        """Report that the boot cannot become ready (the seal program calls this).

        @param string cause  what, where and why, for people
        @return boolean result  always true
        """
        self._answers.fail_boot("seal", str(cause)[:4096])
        return True
