"""Rounds of trials: every system once a round, so that what the machine does meanwhile falls on all of them.

Rules
-----
* A round begins with another system each time.
* A trial that misses is counted and told; the others go on.
* After each trial nothing of it runs any more.
"""

import dataclasses
from collections.abc import Callable, Sequence

import figures
import peers
import systems
import tree as trees
import trials
import workers


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    repeat: int
    programs: tuple[int, ...]
    idle_seconds: float
    probing_seconds: float = 60.0


Trial = Callable[[systems.System, figures.Table], None]
"""Prepares nothing and ends nothing: it launches the system and adds samples to the table."""
Kinds = Sequence[type[systems.System]]


def present(kinds: Kinds) -> list[type[systems.System]]:
    """Return those of ``kinds`` that can be measured here."""
    return [kind for kind in kinds if not kind.absent()]


def run(
    table: figures.Table, kinds: Kinds, scene: workers.Scene, repeat: int, trial: Trial, *, with_seal: bool = True
) -> None:
    """Try ``repeat`` rounds of ``kinds`` in ``scene``, and print the table."""
    for kind in kinds:
        table.row(kind.name)
    for number in range(repeat):
        shift = number % len(kinds)
        for kind in [*kinds[shift:], *kinds[:shift]]:
            once(table, kind, scene, trial, with_seal=with_seal)
    print(table.show(), flush=True)


def once(
    table: figures.Table, kind: type[systems.System], scene: workers.Scene, trial: Trial, *, with_seal: bool
) -> None:
    """Try ``kind`` once."""
    with trees.directory() as root:
        system = kind(root, scene, with_seal=with_seal)
        system.prepare()
        try:
            trial(system, table)
        except trials.Missed as missed:
            table.row(kind.name).missed.append(str(missed))
        finally:
            system.destroy()


def everyone(*, with_fast_seal: bool = False) -> list[type[systems.System]]:
    """Return every system that can be measured here."""
    plain = [systems.Plain, systems.PlainFast] if with_fast_seal else [systems.Plain]
    return [systems.Bootseal, *plain, *present(peers.ALL)]
