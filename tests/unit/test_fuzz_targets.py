"""Every fuzz target runs here too, shortly and without the fuzzer: its seeds, and random damage to them."""

import importlib
import pathlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

FOLDER = pathlib.Path(__file__).parents[1] / "fuzz"
TARGETS = sorted(path.stem for path in FOLDER.glob("[a-z]*.py"))


def target(name: str) -> Any:
    return importlib.import_module(f"tests.fuzz.{name}")


def test_every_parser_of_bytes_from_outside_has_a_target() -> None:
    assert {"lock", "private_key", "nsec", "identity_file", "mountinfo", "acl"} <= set(TARGETS)


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_taken(name: str) -> None:
    seeds = target(name).SEEDS
    assert len(seeds) >= 3
    for seed in seeds:
        target(name).test_one_input(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_damage_is_refused_or_read_and_nothing_else(name: str) -> None:
    one = target(name)

    @settings(max_examples=300, deadline=None, database=None)
    @given(st.data())
    def damaged(data: st.DataObject) -> None:
        seed = data.draw(st.sampled_from(one.SEEDS))
        start = data.draw(st.integers(0, len(seed)))
        end = data.draw(st.integers(start, min(len(seed), start + 20)))
        one.test_one_input(seed[:start] + data.draw(st.binary(max_size=20)) + seed[end:])

    damaged()
