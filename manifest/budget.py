"""The longest a stop may take: known when the image is built, and kept by PID 1. Pure, standard library only.

Rules
-----
* First the drain. Then rank after rank, from the highest: the programs of a rank stop together, so that the most patient of
  them decides, and what had to be killed has ``DYING_SECONDS`` to be gone. Last the probe server.
* bootseal's own Stage B and seal stop with the first rank, at once: they do not ignore SIGTERM, and add nothing.
"""

import dataclasses
from collections.abc import Iterable

from manifest import plan

DYING_SECONDS = 1.0
"""How long a process may take from SIGKILL to its end; longer takes only one that the kernel cannot kill (state D)."""
_NAMED = 3


@dataclasses.dataclass(frozen=True)
class Share:
    """A part of the budget: ``what`` takes at most ``seconds``, ``dying_seconds`` more when it has to be killed.

    ``programs`` are those that decide it, none where that is said by ``what``.
    """

    what: str
    seconds: float
    dying_seconds: float
    programs: tuple[str, ...]


def shares(programs: Iterable[plan.ProgramPlan], drain_seconds: float) -> tuple[Share, ...]:
    """Return what a stop of ``programs`` consists of, in the order in which it happens."""
    ranks: dict[int, list[plan.ProgramPlan]] = {}
    last = []
    for program in programs:
        if program.role == "program":
            ranks.setdefault(program.rank, []).append(program)
        elif program.role == "probes":
            last.append(Share("probes", program.stop_timeout_seconds, DYING_SECONDS, ()))
    drain = [Share("drain", drain_seconds, 0.0, ())] if drain_seconds else []
    return (*drain, *(_rank(rank, ranks[rank]) for rank in sorted(ranks, reverse=True)), *last)


def _rank(rank: int, programs: list[plan.ProgramPlan]) -> Share:
    longest = max(program.stop_timeout_seconds for program in programs)
    names = tuple(program.name for program in programs if program.stop_timeout_seconds == longest)
    return Share(f"rank {rank}", longest, DYING_SECONDS, names)


def seconds(programs: Iterable[plan.ProgramPlan], drain_seconds: float) -> float:
    """Return the longest that a stop of ``programs`` may take."""
    return total(shares(programs, drain_seconds))


def total(parts: Iterable[Share]) -> float:
    """Return the length of all ``parts`` together."""
    return sum(part.seconds + part.dying_seconds for part in parts)


def describe(parts: tuple[Share, ...]) -> str:
    """Return ``parts`` for a person: ``drain 5s, rank 1 11s (api), rank 0 11s (redis), probes 6s``."""
    return ", ".join(f"{part.what} {show(part.seconds + part.dying_seconds)}{_of(part.programs)}" for part in parts)


def _of(programs: tuple[str, ...]) -> str:
    if not programs:
        return ""
    more = f" and {len(programs) - _NAMED} more" if len(programs) > _NAMED else ""
    return f" ({', '.join(programs[:_NAMED])}{more})"


def show(length_seconds: float) -> str:
    """Return a length for a person: ``27s``, ``0.25s``."""
    return f"{round(length_seconds, 3):.15g}s"
