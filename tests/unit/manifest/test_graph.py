"""The graph of ``after``."""

import itertools

import hypothesis
from hypothesis import strategies

from manifest import graph

names = strategies.sampled_from("abcdefgh")
graphs = strategies.dictionaries(names, strategies.lists(names, max_size=4)).map(
    lambda written: {name: [one for one in before if one in written] for name, before in written.items()}
)


def test_a_rank_is_the_longest_chain() -> None:
    assert graph.ranks({"a": [], "b": ["a"], "c": ["a", "b"], "d": []}) == {"a": 0, "d": 0, "b": 1, "c": 2}


def test_a_cycle_is_named_from_its_first_program_on() -> None:
    assert graph.cycles({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}) == [["a", "b", "c", "a"]]


def test_each_circle_is_named() -> None:
    assert graph.cycles({"a": ["b"], "b": ["a"], "c": ["d"], "d": ["c"], "e": []}) == [["a", "b", "a"], ["c", "d", "c"]]


def test_a_circle_of_a_thousand_needs_no_recursion() -> None:
    [cycle] = graph.cycles({str(n): [str((n + 1) % 1000)] for n in range(1000)})
    assert len(cycle) == 1001


@hypothesis.given(graphs)
def test_every_program_has_a_rank_above_what_it_comes_after_or_there_is_a_cycle(written: graph.Graph) -> None:
    ranks = graph.ranks(written)
    assert all(ranks[name] > ranks[earlier] for name in ranks for earlier in written[name])
    assert bool(graph.cycles(written)) == (len(ranks) < len(written))


@hypothesis.given(graphs)
def test_a_cycle_is_one(written: graph.Graph) -> None:
    for cycle in graph.cycles(written):
        assert cycle[0] == cycle[-1]
        assert all(later in written[name] for name, later in itertools.pairwise(cycle))
