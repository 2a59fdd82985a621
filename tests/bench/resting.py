"""What a tree costs while nothing happens: CPU time and memory.

Measures
--------
* idle: the CPU time of every process of the tree over the idle seconds. All systems rest at the same time, so that they rest on the
  same machine.
* memory: each system alone, and still shared with the bench's own interpreter and whatever else runs Python here: compare within
  one table.
"""

import contextlib
import time
from collections.abc import Iterator

import consumption
import figures
import launching
import rounds
import systems
import tree as trees
import workers

_SCENE = workers.Scene(4)


def report_idle(options: rounds.Options) -> None:
    """Measure and print the CPU time of idle trees."""
    seconds = options.idle_seconds
    table = figures.Table(
        f"CPU over {seconds:g} idle s, 4 programs, whole tree", (systems.PLAIN,), digits=2, unit="ms of CPU"
    )
    with contextlib.ExitStack() as stack:
        resting = [stack.enter_context(_settled(kind)) for kind in rounds.everyone()]
        before = [consumption.cpu_of_tree(system) for system in resting]
        time.sleep(seconds)
        for system, earlier in zip(resting, before, strict=True):
            later = consumption.cpu_of_tree(system)
            table.add(system.name, (sum(later.values()) - sum(earlier.values())) * 1000)
            if isinstance(system, systems.Bootseal):
                for pid in later:
                    table.add(
                        f"  {consumption.label(pid)}", (later[pid] - earlier.get(pid, 0.0)) * 1000, is_detail=True
                    )
            if set(earlier) != set(later):
                table.notes.append(f"{system.name}: processes came or went meanwhile")
    print(table.show(), flush=True)


def report_memory(_options: rounds.Options) -> None:
    """Measure and print the memory of idle trees."""
    table = figures.Table("PSS, 4 programs, whole tree", (systems.PLAIN,), digits=2, unit="MiB")
    for kind in rounds.everyone():
        with _settled(kind) as system:
            each = {pid: consumption.pss(pid) for pid in system.pids()}
            if None in each.values():
                table.notes.append(f"{kind.name}: some of its processes may not be read by this user")
            table.add(kind.name, sum(value or 0.0 for value in each.values()))
            if len(each) < 50:
                for pid, value in each.items():
                    name = consumption.label(pid)
                    if value is not None and "worker" not in name:
                        table.add(f"  {kind.name}: {name}", value, is_detail=True)
    print(table.show(), flush=True)


@contextlib.contextmanager
def _settled(kind: type[systems.System]) -> Iterator[systems.System]:
    with trees.directory() as root:
        system = kind(root, _SCENE, with_seal=False)
        system.prepare()
        try:
            launching.settle(system)
            yield system
        finally:
            system.destroy()
