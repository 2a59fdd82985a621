"""launch → sealed, where that time goes, and how long the seal comes after the last program that was ready.

Measures
--------
* boot: launch → the seal's file, for each number of programs and each way to be ready. Peers whose programs cannot say
  themselves that they are ready are measured with ``running`` only; plain supervisord, the base, is measured with both.
* The CPU time that this took of all processes, in the same boots: on a machine that does something else, it says more than the clock.
* The breakdown is made of our own events (whole milliseconds, wall clock) in the same boots.
* seal: the programs say that they are ready a second after their start, when all else stands; from the last one's own clock
  reading to the seal's file. The systems that have no such programs have no such number. From 100 boots on (--repeat 25) there is a p99.
"""

import datetime as dt
import json
import time
from pathlib import Path
from typing import Any

import consumption
import figures
import peers
import rounds
import systems
import trials
import workers

_SEALED, _READY = systems.BOOTSEAL, "bootseal, /ready 200"


def report(options: rounds.Options) -> None:
    """Measure and print launch → sealed."""
    for number in options.programs:
        for ready in (workers.RUNNING, workers.NOTIFY):
            _report_one(options, workers.Scene(number, ready))
    _report_one(options, workers.Scene(options.programs[0], lasting_seconds=1))


def _report_one(options: rounds.Options, scene: workers.Scene) -> None:
    how = f"running for {scene.lasting_seconds}s" if scene.ready == workers.RUNNING else "notify"
    kinds = rounds.everyone(with_fast_seal=True)
    table = figures.Table(
        f"launch -> sealed, {scene.number} programs, ready: {how}", (systems.PLAIN, systems.PLAIN_FAST)
    )
    if scene.ready == workers.NOTIFY:
        table.notes.append("plain supervisord has no notify: its programs run the same, and its seal waits for RUNNING")
        deaf = [kind for kind in rounds.present(peers.ALL) if not kind.notifies]
        kinds = [kind for kind in kinds if kind not in deaf]
        table.notes += [f"{kind.name} has no program that says itself when it is ready" for kind in deaf]
    cost = figures.Table("of which CPU time, whole tree", (systems.PLAIN, systems.PLAIN_FAST), unit="ms of CPU")
    steps = figures.Table(f"where it goes, {scene.number} programs, ready: {how}")

    def trial(system: systems.System, into: figures.Table) -> None:
        sealed = system.launch_and_see_done() - system.launched
        into.add(system.name, sealed * 1000)
        spent = sum(consumption.cpu_of_tree(system).values()) + consumption.cpu_of_reaped(system)
        cost.add(system.name, spent * 1000)
        if isinstance(system, systems.Bootseal):
            ready = trials.until(lambda: system.tree.get("/ready")[0] == 200, "/ready 200") - system.launched
            into.add(_READY, ready * 1000)
            _add_steps(steps, system)

    table.row(_SEALED)
    table.row(_READY)
    rounds.run(table, kinds, scene, options.repeat, trial)
    print(cost.show(), _between(steps).show(), sep="\n", flush=True)


def _add_steps(table: figures.Table, system: systems.Bootseal) -> None:
    """Add the moments of one boot, in ms since its launch."""
    events = events_of(system)

    def since(event: dict[str, Any]) -> float:
        return (wall(event) - system.launched_wall) * 1000

    def first(name: str, **fields: str) -> float | None:
        return next(
            (since(event) for event in events if event["event"] == name and fields.items() <= event.items()), None
        )

    def all_of(name: str) -> list[float]:
        wanted = set(system.scene.names)
        return [since(event) for event in events if event["event"] == name and event.get("program") in wanted]

    started, ready = all_of("ProgramStarted"), all_of("ProgramReady")
    for name, moment in (
        ("first event: interpreter, imports", first("BootstrapStarted")),
        ("identity begins", first("PhaseStarted", phase="identity")),
        ("identity done", first("PhaseCompleted", phase="identity")),
        ("last phase done: exec follows", first("PhaseCompleted", phase="preflight")),
        ("supervisord runs", first("SupervisorStarted")),
        ("probes started", first("ProgramStarted", program="probes")),
        ("Stage B started", first("ProgramStarted", program="bootstrap")),
        ("seal program started", first("ProgramStarted", program="bootstrap-seal")),
        ("probes serve", first("ProgramReady", program="probes")),
        ("Stage B done", first("ProgramReady", program="bootstrap")),
        ("seal program polls", first("BootstrapSealStarted")),
        ("first program started", min(started, default=None)),
        ("last program started", max(started, default=None)),
        ("last program ready", max(ready, default=None)),
        ("sealed", first("BootstrapCompleted")),
    ):
        if moment is not None:
            table.add(name, moment)


def _between(steps: figures.Table) -> figures.Table:
    """Return the steps in the order of their medians, each with how long it came after the one before."""
    ordered = figures.Table(steps.title, unit="ms since launch, + after the line before")
    rows = sorted((row for row in steps.rows.values() if row.samples), key=lambda row: row.median or 0.0)
    earlier = 0.0
    for row in rows:
        moment = row.median or 0.0
        ordered.rows[f"+{moment - earlier:6.1f}  {row.name}"] = row
        row.name = f"+{moment - earlier:6.1f}  {row.name}"
        earlier = moment
    return ordered


def report_seal(options: rounds.Options) -> None:
    """Measure and print last ready → seal."""
    scene = workers.Scene(4, workers.NOTIFY, ready_after_ms=1000)
    table = figures.Table("last program says it is ready -> seal written, 4 programs", digits=2)
    kinds = [kind for kind in rounds.everyone() if kind.notifies]

    def trial(system: systems.System, into: figures.Table) -> None:
        sealed = system.launch_and_see_done()
        last = max(note.moment for note in workers.wait_for_all(scene, system.notes, "ready").values())
        into.add(system.name, (sealed - last) * 1000)

    rounds.run(table, kinds, scene, 4 * options.repeat, trial)


def events_of(system: systems.Bootseal) -> list[dict[str, Any]]:
    """Return the boot's events so far, from its log."""
    path = Path(system.tree.run.events)
    files = [path.with_name(f"{path.name}.1"), path]
    lines = [line for file in files if file.exists() for line in file.read_text().splitlines()]
    return [json.loads(line) for line in lines]


def wall(event: dict[str, Any]) -> float:
    """Return the Unix time of ``event``."""
    return dt.datetime.fromisoformat(event["time"]).timestamp()


def settle(system: systems.System) -> None:
    """Launch ``system`` and wait until all its programs run, and ours is ready; what its start left to do is done then."""
    system.launch()
    system.wait_started()
    if isinstance(system, systems.Bootseal):
        trials.until(lambda: system.tree.get("/ready")[0] == 200, "/ready 200")
    time.sleep(1.2)
