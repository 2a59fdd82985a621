"""The families about programs: from the ledger, and from what their processes use.

A label's values come from the plan and the ledger: the names of the plan's programs, ``snapshot.STATES`` and
``snapshot.RESTART_REASONS``.
"""

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import core

from contract import snapshot
from probes.metrics import making, usage

_PROGRAM = ("program",)


def of(views: Sequence[snapshot.ProgramView], used: Mapping[str, usage.Usage]) -> Iterator[core.Metric]:
    """Yield the families of ``views``, and of those that use something."""
    yield making.gauges(
        "bootseal_program_state",
        "The readiness state of each program: of all states the one that holds is 1.",
        ("program", "state"),
        (((view.name, state), view.state == state) for view in views for state in snapshot.STATES),
    )
    yield making.gauges(
        "bootseal_program_ready_seconds",
        "From the start of the program's process to its readiness, of the process that is there (or the last one).",
        _PROGRAM,
        (((view.name,), took) for view in views if (took := _to_ready(view.latest)) is not None),
    )
    yield making.gauges(
        "bootseal_program_boot_ready_seconds",
        "From the start of Stage A to the program's first readiness in this generation.",
        _PROGRAM,
        (((view.name,), view.first.ready) for view in views if view.first.ready is not None),
    )
    yield making.counters(
        "bootseal_program_restarts",
        "Starts after the first in this generation, by why.",
        ("program", "reason"),
        (
            ((view.name, reason), view.restart_reasons.get(reason, 0))
            for view in views
            for reason in snapshot.RESTART_REASONS
        ),
    )
    yield making.counters(
        "bootseal_program_exits",
        "Exits that nobody asked for in this generation.",
        _PROGRAM,
        (((view.name,), view.exits) for view in views),
    )
    yield making.gauges(
        "bootseal_program_processes",
        "The program's process and those below it.",
        _PROGRAM,
        (((name,), one.processes) for name, one in used.items()),
    )
    yield making.gauges(
        "bootseal_program_resident_memory_bytes",
        "Resident memory of the program's processes; what they share counts for each.",
        _PROGRAM,
        (((name,), one.resident_bytes) for name, one in used.items()),
    )
    yield making.counters(
        "bootseal_program_cpu_seconds",
        "Processor time of the program's processes; begins anew with its process.",
        _PROGRAM,
        (((name,), one.cpu_seconds) for name, one in used.items()),
    )


def _to_ready(timeline: snapshot.Timeline) -> float | None:
    if timeline.spawned is None or timeline.ready is None:
        return None
    return max(0.0, timeline.ready - timeline.spawned)
