"""The graph of ``after``: ranks and cycles. Pure, and without recursion: a chain may be as long as there are programs."""

from collections.abc import Mapping, Sequence

Graph = Mapping[str, Sequence[str]]
"""For each program the ones it comes after; every name is a key."""


def ranks(graph: Graph) -> dict[str, int]:
    """Return for each program the length of the longest chain before it; programs on or behind a cycle are left out."""
    waiting = {name: len(before) for name, before in graph.items()}
    behind: dict[str, list[str]] = {name: [] for name in graph}
    for name, before in graph.items():
        for earlier in before:
            behind[earlier].append(name)
    rank = {name: 0 for name, number in waiting.items() if number == 0}
    free = list(rank)
    for name in free:  # grows while it is walked
        for later in behind[name]:
            waiting[later] -= 1
            if waiting[later] == 0:
                rank[later] = 1 + max(rank[earlier] for earlier in graph[later])
                free.append(later)
    return rank


def cycles(graph: Graph) -> list[list[str]]:
    """Return cycles, at least one for each set of programs that wait for each other; the first name comes again last."""
    sound = ranks(graph)
    found: list[list[str]] = []
    visited: set[str] = set()
    for start in graph:
        trail: list[str] = []
        index: dict[str, int] = {}
        name: str | None = None if start in sound else start
        while name is not None and name not in visited:
            visited.add(name)
            index[name] = len(trail)
            trail.append(name)
            name = next(earlier for earlier in graph[name] if earlier not in sound)
        if name in index:
            found.append([*trail[index[name] :], name])
    return found
