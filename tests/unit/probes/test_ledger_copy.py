"""Which ledger replaces which, and what confirms it."""

import pytest

from contract import snapshot
from probes import ledger_copy

WALL = "2026-01-01T00:00:00.000Z"


@pytest.fixture
def copy(make):
    return ledger_copy.LedgerCopy(make.boot_id, make.pid1_start, 100.0, WALL)


def test_the_age_counts_from_the_beginning_until_a_ledger_comes(copy, make):
    assert copy.reading(104.0).age_seconds == 4.0
    assert not copy.reading(100.0).is_fresh

    copy.take(make.ledger(), 104.0, WALL)

    assert copy.reading(105.0).age_seconds == 1.0
    assert copy.reading(107.0).is_fresh
    assert not copy.reading(107.5).is_fresh


def test_a_ledger_of_another_boot_is_refused_and_told(copy, make):
    assert not copy.take(make.ledger(boot_id="f" * 32), 101.0, WALL)
    assert copy.ledger is None
    assert "another" not in copy.reading(101.0).refusal
    assert "f" * 32 in copy.reading(101.0).refusal


def test_a_ledger_of_another_pid_1_is_refused(copy, make):
    assert not copy.take(make.ledger(pid1_start=1), 101.0, WALL)
    assert "another PID 1" in copy.reading(101.0).refusal


def test_a_refused_ledger_confirms_nothing(copy, make):
    copy.take(make.ledger(), 101.0, WALL)

    copy.take(make.ledger(boot_id="f" * 32), 105.0, WALL)

    assert copy.reading(105.0).age_seconds == 4.0
    assert copy.ledger == make.ledger()


def test_an_older_revision_never_replaces_a_newer_one_and_confirms_nothing(copy, make):
    copy.take(make.ledger(revision=10), 101.0, WALL)

    assert not copy.take(make.ledger(revision=9), 103.0, WALL)
    assert copy.ledger.revision == 10
    assert copy.reading(103.0).age_seconds == 2.0


def test_the_same_revision_confirms_and_replaces(copy, make):
    """A whole ledger also drops programs that went away, which no change tells."""
    copy.take(make.ledger(), 101.0, WALL)

    assert copy.take(make.ledger(programs=()), 103.0, WALL)
    assert copy.ledger.programs == ()
    assert copy.reading(103.0).age_seconds == 0.0


def test_a_higher_generation_always_wins(copy, make):
    copy.take(make.ledger(revision=500), 101.0, WALL)

    assert copy.take(make.ledger(generation=2, revision=1), 102.0, WALL)
    assert not copy.take(make.ledger(generation=1, revision=900), 103.0, WALL)
    assert (copy.ledger.generation, copy.ledger.revision) == (2, 1)


def test_an_answer_that_was_asked_for_earlier_does_not_make_the_copy_older(copy, make):
    copy.take(make.ledger(revision=10), 105.0, WALL)
    copy.take(make.ledger(revision=10), 104.0, WALL)

    assert copy.reading(106.0).age_seconds == 1.0


def test_a_change_is_merged(copy, make):
    copy.take(make.ledger(revision=10), 101.0, WALL)
    change = make.ledger(revision=12, programs=(make.view("api", snapshot.FAILED),))

    assert copy.apply(change, 10, 102.0, WALL)
    assert copy.ledger.program("api").state == snapshot.FAILED
    assert copy.ledger.program("migrate").state == snapshot.READY
    assert copy.ledger.revision == 12


def test_a_change_that_begins_before_our_revision_is_merged(copy, make):
    """A subscriber gets the whole ledger in the middle of a turn, and the turn's change after it."""
    copy.take(make.ledger(revision=11), 101.0, WALL)

    assert copy.apply(make.ledger(revision=12, programs=()), 10, 102.0, WALL)


@pytest.mark.parametrize(("after", "revision"), [(11, 12), (8, 9)])
def test_a_change_with_a_gap_or_from_the_past_is_not_merged(copy, make, after, revision):
    copy.take(make.ledger(revision=10), 101.0, WALL)

    assert not copy.apply(make.ledger(revision=revision, programs=()), after, 104.0, WALL)
    assert copy.ledger.revision == 10
    assert copy.reading(104.0).age_seconds == 3.0


def test_a_change_without_a_whole_ledger_before_it_is_not_merged(copy, make):
    assert not copy.apply(make.ledger(), 0, 101.0, WALL)
    assert copy.ledger is None


def test_a_change_of_another_generation_or_boot_is_not_merged(copy, make):
    copy.take(make.ledger(), 101.0, WALL)

    assert not copy.apply(make.ledger(generation=2, revision=12), 10, 102.0, WALL)
    assert not copy.apply(make.ledger(boot_id="f" * 32, revision=12), 10, 102.0, WALL)


def test_a_heartbeat_of_our_revision_confirms(copy, make):
    copy.take(make.ledger(revision=10), 101.0, WALL)

    assert copy.confirm(10, 104.0, WALL)
    assert copy.reading(104.0).age_seconds == 0.0


@pytest.mark.parametrize("revision", [9, 11])
def test_a_heartbeat_of_another_revision_confirms_nothing(copy, make, revision):
    copy.take(make.ledger(revision=10), 101.0, WALL)

    assert not copy.confirm(revision, 104.0, WALL)
    assert copy.reading(104.0).age_seconds == 3.0


def test_a_heartbeat_before_any_ledger_confirms_nothing(copy):
    assert not copy.confirm(0, 101.0, WALL)


def test_the_phase_began_when_it_was_first_seen(copy, make):
    copy.take(make.ledger(revision=10), 101.0, "t1")
    copy.take(make.ledger(revision=11), 102.0, "t2")
    assert copy.reading(102.0).phase_since == "t1"

    copy.take(make.ledger(revision=12, phase=snapshot.STOPPING), 103.0, "t3")

    assert copy.reading(103.0).phase_since == "t3"
