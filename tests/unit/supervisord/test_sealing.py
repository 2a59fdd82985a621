import hashlib
import json
import os

import pytest

from contract import errors, rundir, snapshot
from supervisord import sealing
from tests.unit import boots

START = 100.0
DEADLINE = 130.0


@pytest.fixture
def run(tmp_path) -> rundir.RunDirectory:
    return rundir.RunDirectory(str(tmp_path))


def make(run: rundir.RunDirectory, **changes) -> sealing.Sealing:
    the_plan = boots.make_plan(boot=boots.boot_plan(seal_timeout_seconds=30.0, **changes))
    return sealing.Sealing(run, the_plan, boots.boot(generation=2), START)


def write(run: rundir.RunDirectory, **changes) -> bytes:
    data = json.dumps({"boot_id": boots.BOOT_ID, "generation": 2, "late": False, **changes}).encode()
    with open(run.seal, "wb") as file:
        file.write(data)
    return data


def test_the_deadline_counts_from_the_start_and_passes_once_the_time_is_over(run):
    made = make(run)
    assert made.snapshot(1, ()).deadline_monotonic == DEADLINE
    assert not made.deadline_passed(129.9)
    assert made.deadline_passed(130.0)


def test_a_record_of_this_generation_seals_it_by_the_digest_of_its_bytes(run):
    made, data = make(run), write(run)
    made.take_record("wall")
    view = made.snapshot(5, ())
    assert (view.phase, view.revision) == (snapshot.SEALED, 5)
    assert view.seal == snapshot.SealView(hashlib.sha256(data).hexdigest(), "wall", False)
    assert view.boot_sealed_at == "wall"
    assert (view.deadline_monotonic, view.failure) == (None, None)
    assert not made.deadline_passed(1e9)
    assert made.next_due(0) is None


def test_a_later_generation_keeps_the_boots_first_seal(run):
    made = make(run)
    made.boot_sealed_at = "earlier"
    write(run)
    made.take_record("wall")
    assert made.snapshot(1, ()).boot_sealed_at == "earlier"


@pytest.mark.parametrize(
    "changes", [{"boot_id": "f" * 32}, {"boot_id": None}, {"generation": 1}, {"generation": 3}, {"generation": "2"}]
)
def test_a_record_of_another_boot_or_generation_is_never_taken(run, changes):
    made = make(run)
    write(run, **changes)
    with pytest.raises(errors.InvalidRecord, match="not this generation's"):
        made.take_record("wall")
    assert (made.snapshot(1, ()).phase, made.snapshot(1, ()).seal) == (snapshot.BOOTING, None)


@pytest.mark.parametrize("kind", ["missing", "empty", "garbage", "list", "directory", "fifo", "symlink", "huge"])
def test_what_is_no_record_is_never_taken(run, tmp_path, kind):
    match kind:
        case "missing":
            pass
        case "empty":
            (tmp_path / "bootstrap.done").write_bytes(b"")
        case "garbage":
            (tmp_path / "bootstrap.done").write_bytes(os.urandom(100))
        case "list":
            (tmp_path / "bootstrap.done").write_bytes(b"[]")
        case "directory":
            os.mkdir(run.seal)
        case "fifo":
            os.mkfifo(run.seal)
        case "symlink":
            write(rundir.RunDirectory(str(tmp_path)))
            os.rename(run.seal, tmp_path / "real")
            os.symlink("real", run.seal)
        case _:
            with open(run.seal, "wb") as file:
                file.truncate(5 * 1024 * 1024)
    made = make(run)
    with pytest.raises((OSError, errors.BootsealError)):
        made.take_record("wall")
    assert made.snapshot(1, ()).phase == snapshot.BOOTING


def test_a_failure_is_said_once_and_ends_or_holds_as_the_manifest_says(run):
    for on_failure, phase in (("exit", snapshot.STOPPING), ("hold", snapshot.HELD)):
        made = make(run, on_failure=on_failure)
        assert made.fail("first cause")
        assert not made.fail("second cause")
        view = made.snapshot(1, ())
        assert (view.phase, view.failure, view.deadline_monotonic) == (phase, "first cause", None)
        assert not made.deadline_passed(1e9)


def test_a_held_boot_may_still_seal_late(run):
    made = make(run, on_failure="hold")
    made.fail("cause")
    write(run, late=True)
    made.take_record("wall")
    view = made.snapshot(1, ())
    assert (view.phase, view.failure) == (snapshot.SEALED, None)
    assert view.seal is not None
    assert view.seal.late


def test_a_sealed_generation_does_not_fail_any_more(run):
    made = make(run)
    write(run)
    made.take_record("wall")
    assert not made.fail("too late")
    assert made.snapshot(1, ()).phase == snapshot.SEALED


def test_a_generation_that_stops_loses_its_seal_and_takes_none(run):
    made = make(run)
    write(run)
    made.take_record("wall")
    made.stop()
    made.take_record("again")
    view = made.snapshot(1, ())
    assert (view.phase, view.seal, view.boot_sealed_at) == (snapshot.STOPPING, None, "wall")
    assert not made.fail("cause")
    assert made.next_due(0) is None


def test_a_crashed_seal_program_starts_again_after_a_pause_that_doubles_up_to_five_seconds(run):
    made = make(run)
    pauses = []
    for _ in range(40):
        made.restart_later(100.0)
        pauses.append(made.restart_at - 100.0)
    assert pauses[:7] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    assert set(pauses[6:]) == {5.0}


def test_a_crashed_seal_program_never_extends_the_deadline(run):
    made = make(run)
    for _ in range(40):
        made.restart_later(129.0)
    assert made.next_due(129.0) == DEADLINE
    assert made.deadline_passed(DEADLINE)


def test_a_pause_that_is_over_is_not_due_any_more(run):
    """A moment that stays in the past would make supervisord's loop spin until the seal is written."""
    made = make(run, on_failure="hold")
    made.restart_later(100.0)
    assert made.next_due(100.0) == made.restart_at < DEADLINE
    assert made.next_due(101.0) == DEADLINE
    made.fail("cause")
    assert made.next_due(101.0) is None
    made.restart_later(200.0)
    assert made.next_due(200.0) == made.restart_at
    assert made.next_due(300.0) is None


def test_the_snapshot_names_this_boot_and_generation(run):
    view = make(run).snapshot(9, (boots.view("api"),))
    record = boots.boot(generation=2)
    assert (view.boot_id, view.generation, view.pid1, view.pid1_start) == (
        record.boot_id, 2, record.pid1, record.pid1_start,
    )  # fmt: skip
    assert snapshot.parse(snapshot.dump(view).encode(), "x") == view


def test_what_is_over_sealed_and_revivable_follows_the_phase(run):
    made = make(run, on_failure="hold")
    assert (made.is_booting, made.is_sealed, made.is_over, made.is_stopping, made.may_revive) == (True, *[False] * 4)
    made.fail("cause")
    assert (made.is_booting, made.is_sealed, made.is_over, made.is_stopping, made.may_revive) == (
        False, False, True, False, True,
    )  # fmt: skip
    write(run, late=True)
    made.take_record("wall")
    assert (made.is_sealed, made.is_over, made.may_revive) == (True, False, True)
    made.stop()
    assert (made.is_sealed, made.is_over, made.is_stopping, made.may_revive) == (False, True, True, False)


def test_a_generation_that_stops_remembers_that_somebody_may_have_read_ready(run):
    made = make(run)
    assert not made.was_sealed
    write(run)
    made.take_record("wall")
    made.stop("program api exited")
    assert made.was_sealed


def test_the_cause_of_an_end_that_nobody_asked_for_stands_in_the_ledger_and_the_first_one_stays(run):
    made = make(run)
    write(run)
    made.take_record("wall")
    made.stop("program api exited with code 3, and its on_exit is exit")
    made.stop()
    made.stop("another")
    assert made.snapshot(1, ()).failure == "program api exited with code 3, and its on_exit is exit"
    asked = make(run)
    asked.stop()
    assert asked.snapshot(1, ()).failure is None
