import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import errors, snapshot
from tests.unit import boots

FULL = boots.ledger(
    boots.view("migrate", oneshot=True, pid=None, pid_start=None, last_exit=snapshot.Exit(0, None)),
    boots.view(
        "api", state=snapshot.FAILED, reason="ü", last_exit=snapshot.Exit(None, 9), last_output=("a\x1b[0m", "b")
    ),
    seal=snapshot.SealView("ab", boots.WALL, True),
    boot_sealed_at=boots.WALL,
    deadline_monotonic=None,
)


def test_a_snapshot_survives_the_way_to_another_process():
    assert snapshot.parse(snapshot.dump(FULL).encode(), "snapshot") == FULL
    assert snapshot.parse(snapshot.dump(boots.ledger()).encode(), "snapshot") == boots.ledger()


def test_a_snapshot_is_one_line_whatever_the_programs_print():
    assert "\n" not in snapshot.dump(boots.ledger(boots.view("api", last_output=("a\nb",), reason="c\nd")))


def test_an_exit_says_how_it_ended():
    assert str(snapshot.Exit(3, None)) == "exited with code 3"
    assert str(snapshot.Exit(None, 9)) == "was killed by signal 9"


def test_an_unknown_program_is_none_and_never_a_ready_one():
    assert FULL.program("api") is FULL.programs[1]
    assert FULL.program("API") is None
    assert boots.ledger().program("") is None


def test_a_merge_replaces_what_changed_keeps_the_rest_and_appends_what_is_new():
    base = boots.ledger(boots.view("a"), boots.view("b"), revision=3)
    change = boots.ledger(boots.view("b", state=snapshot.FAILED), boots.view("c"), revision=5, phase=snapshot.HELD)
    merged = snapshot.merge(base, change)
    assert [(view.name, view.state) for view in merged.programs] == [("a", "ready"), ("b", "failed"), ("c", "ready")]
    assert (merged.revision, merged.phase) == (5, snapshot.HELD)


def test_a_summary_is_decoded_strictly():
    good = {"boot_id": "b", "generation": 1, "revision": 2, "phase": "booting", "waiting": 0, "troubled": False}
    assert snapshot.parse_summary(json.dumps(good).encode(), "summary") == snapshot.Summary(
        "b", 1, 2, "booting", 0, False
    )
    for bad in ({**good, "waiting": False}, {**good, "troubled": 0}, {**good, "more": 1}, {}):
        with pytest.raises(errors.InvalidRecord):
            snapshot.parse_summary(json.dumps(bad).encode(), "summary")


def test_a_snapshot_of_another_schema_is_refused():
    with pytest.raises(errors.InvalidRecord, match="schema"):
        snapshot.parse(snapshot.dump(dataclasses.replace(FULL, schema="bootseal.ledger/1")).encode(), "snapshot")


def test_a_snapshot_cut_at_any_byte_is_refused():
    data = snapshot.dump(FULL).encode()
    for length in range(len(data)):
        with pytest.raises(errors.InvalidRecord):
            snapshot.parse(data[:length], "snapshot")


@given(st.data())
def test_a_snapshot_edited_anywhere_is_parsed_or_refused_and_nothing_else(data):
    edited = bytearray(snapshot.dump(FULL).encode())
    edited[data.draw(st.integers(0, len(edited) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert isinstance(snapshot.parse(bytes(edited), "snapshot"), snapshot.Snapshot)
    except errors.InvalidRecord as error:
        assert error.what == "snapshot"
