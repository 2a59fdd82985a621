"""The longest a stop may take."""

import hypothesis
from hypothesis import strategies

from manifest import budget
from tests.unit import boots

PROBES = boots.program("probes", role="probes", stop_timeout_seconds=5.0)


def test_the_most_patient_of_a_rank_decides_and_ranks_add_up() -> None:
    programs = [
        boots.program("redis", stop_timeout_seconds=10.0),
        boots.program("api", rank=1, stop_timeout_seconds=3.0),
        boots.program("worker", rank=1, stop_timeout_seconds=7.0),
        PROBES,
    ]
    assert budget.seconds(programs, 5.0) == 5 + (7 + 1) + (10 + 1) + (5 + 1)
    assert (
        budget.describe(budget.shares(programs, 5.0)) == "drain 5s, rank 1 8s (worker), rank 0 11s (redis), probes 6s"
    )


def test_our_own_programs_beside_the_probe_server_add_nothing() -> None:
    patient = boots.program("bootstrap", role="stage-b", stop_timeout_seconds=99.0)
    assert budget.seconds([patient, PROBES], 0.0) == 6.0


def test_no_drain_is_no_part() -> None:
    assert [part.what for part in budget.shares([PROBES], 0.0)] == ["probes"]


def test_many_names_are_counted() -> None:
    programs = [boots.program(f"p{number}", stop_timeout_seconds=1.0) for number in range(5)]
    assert budget.describe(budget.shares(programs, 0.0)) == "rank 0 2s (p0, p1, p2 and 2 more)"


timeouts = strategies.lists(strategies.tuples(strategies.integers(0, 5), strategies.integers(0, 3600)), max_size=8)


@hypothesis.given(timeouts)
def test_one_after_another_never_takes_less(written: list[tuple[int, int]]) -> None:
    programs = [
        boots.program(f"p{number}", rank=rank, stop_timeout_seconds=float(timeout))
        for number, (rank, timeout) in enumerate(written)
    ]
    found = budget.seconds(programs, 0.0)
    assert (
        max((timeout + 1 for _, timeout in written), default=0) <= found <= sum(timeout + 1 for _, timeout in written)
    )


def test_a_length_is_short() -> None:
    assert [budget.show(length) for length in (27.0, 0.25, 5.5, 3600.0, 0.1 + 0.2)] == [
        "27s",
        "0.25s",
        "5.5s",
        "3600s",
        "0.3s",
    ]
