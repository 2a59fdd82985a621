"""A promise: what every container of a plan keeps, judged by one pure function over the plan and what was seen.

Rules
-----
* A judge yields each violation, and returns in a few words what it saw: the evidence.
* What could not be seen is no promise kept. The judge raises ``Unseen``, and the report names it with the reason.
"""

import dataclasses
import functools
from collections.abc import Callable, Generator

from container.conformance import facts
from contract import boot_record, errors, rundir, snapshot
from manifest import plan


@dataclasses.dataclass(frozen=True)
class Violation:
    """A promise that is not kept; printed as ``what: why (what to do)``."""

    what: str
    why: str
    remedy: str

    def __str__(self) -> str:
        return errors.printable(str(errors.BootsealError(self.what, self.why, self.remedy)))


class Unseen(Exception):
    """The promise cannot be judged here; the text says why."""


Judging = Generator[Violation, None, str]


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is judged: the plan that was given, and the container as it was seen.

    ``shared_network``: the network namespace has listeners of others, so only those whose process was seen count.
    """

    plan: plan.Plan
    plan_sha256: str
    run: rundir.RunDirectory
    inside: facts.Inside
    outside: facts.Outside
    shared_network: bool = False

    @functools.cached_property
    def boot(self) -> boot_record.BootRecord:
        """This boot's record; raises Unseen, for whoever judges it says what is wrong with it."""
        text = self.inside.told.boot_record
        if text is None:
            raise Unseen(f"there is no {self.run.boot_record}")
        try:
            return boot_record.parse(text.encode(), self.run.boot_record)
        except errors.InvalidRecord as error:
            raise Unseen(str(error)) from error

    @functools.cached_property
    def ledger(self) -> snapshot.Snapshot:
        """PID 1's ledger; raises Unseen."""
        told = self.inside.told
        if told.ledger is None:
            raise Unseen(f"PID 1 did not tell its ledger: {told.ledger_error}")
        try:
            return snapshot.parse(told.ledger.encode(), "ledger")
        except errors.InvalidRecord as error:
            raise Unseen(str(error)) from error

    @functools.cached_property
    def main(self) -> facts.Process:
        """The process that boot.json names; raises Unseen."""
        pid = self.boot.pid1
        found = self.inside.process(pid)
        if found is None:
            raise Unseen(f"process {pid}, which {self.run.boot_record} names, was not seen")
        return found

    @property
    def is_kubernetes(self) -> bool:
        """Whether a pod's specification had to say what the plan demands: it has no words for some of it."""
        return self.outside.backend == "kubectl"

    def must_be_confined(self) -> None:
        """Raise Unseen for a plan that ``bootseal up`` moved: nothing confines it."""
        if self.plan.relocated:
            raise Unseen("`bootseal up` confines nothing: it runs as whoever started it")


@dataclasses.dataclass(frozen=True)
class Promise:
    """A promise's ``name``, the sentence that says it, and its judge."""

    name: str
    says: str
    judge: Callable[[Subject], Judging]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What a judge found: no violations, and the evidence, is a promise kept; ``unseen`` says why nothing was judged."""

    violations: tuple[Violation, ...]
    evidence: str
    unseen: str = ""


def verdict(promise: Promise, subject: Subject) -> Verdict:
    """Return what the judge of ``promise`` finds; violations found before something was unseen count."""
    judging = promise.judge(subject)
    violations = []
    try:
        while True:
            violations.append(next(judging))
    except StopIteration as ended:
        return Verdict(tuple(violations), ended.value)
    except Unseen as error:
        return Verdict(tuple(violations), "", "" if violations else str(error))


def counted(number: int, what: str) -> str:
    """Return ``number`` of ``what`` in words."""
    return f"{number} {what}" if number == 1 else f"{number} {what}{'es' if what.endswith('ss') else 's'}"
