"""What stands of each requirement: unmet until looked at, stale by time alone, and since when."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifest import plan, serving
from probes.checks import verdict
from probes.requirements import board
from tests.unit import boots

WORKSPACE = board.Requirement(board.MOUNT, "/workspace", required=True, stale_after_seconds=5.0)
RELAY = board.Requirement(board.CHECK, "relay", required=False, stale_after_seconds=20.0)
FULL = verdict.failed("12.3 MiB are free, 100 MiB must be")


def wall(moment):
    return f"T{moment:08.3f}"


@pytest.fixture
def made():
    return board.Board((WORKSPACE, RELAY), 100.0, wall)


def workspace(made, now):
    return made.rows(now)[0]


def test_what_nobody_looked_at_is_unmet_since_it_is_required(made):
    assert made.rows(150.0) == (
        board.Row("mount", "/workspace", True, False, "it was not looked at yet", wall(100)),
        board.Row("check", "relay", False, False, "it was not looked at yet", wall(100)),
    )
    assert made.age_seconds(workspace(made, 150.0), 150.0) is None


def test_a_look_that_found_it_meets_it_from_the_moment_it_is_told(made):
    made.take("mount", "/workspace", verdict.PASSED, 101.0, 101.5)

    assert workspace(made, 102.0) == board.Row("mount", "/workspace", True, True, "", wall(101.5))
    assert made.age_seconds(workspace(made, 102.0), 102.0) == 1.0


def test_since_is_the_last_change_and_neither_the_last_look_nor_now(made):
    for second in range(101, 104):
        made.take("mount", "/workspace", verdict.PASSED, second, second)
    for second in range(104, 110):
        made.take("mount", "/workspace", FULL, second, second)

    assert workspace(made, 110.0).since == workspace(made, 113.0).since == wall(104)


def test_a_new_reason_alone_is_no_change(made):
    made.take("mount", "/workspace", FULL, 101.0, 101.0)
    made.take("mount", "/workspace", verdict.failed("it is not there"), 102.0, 102.0)

    assert (workspace(made, 102.0).reason, workspace(made, 102.0).since) == ("it is not there", wall(100))


def test_a_finding_that_nothing_renewed_is_unmet_from_the_moment_its_time_was_over(made):
    made.take("mount", "/workspace", verdict.PASSED, 101.0, 101.5)
    assert workspace(made, 106.0).met

    row = workspace(made, 106.1)

    assert not row.met
    assert row.since == wall(106.0)
    assert workspace(made, 500.0) == row
    assert row.reason == f"no look at it that began after {wall(101)} has ended: its file system may hang"


def test_an_unmet_finding_that_grows_stale_keeps_its_cause_and_its_since(made):
    made.take("mount", "/workspace", FULL, 101.0, 101.0)

    row = workspace(made, 200.0)

    assert row.reason.startswith(f"{FULL.reason}; no look")
    assert row.since == wall(100)


def test_a_look_that_took_too_long_is_stale_when_it_ends(made):
    made.take("mount", "/workspace", verdict.PASSED, 101.0, 107.0)

    assert not workspace(made, 107.0).met


def test_an_outage_between_two_questions_is_still_an_outage(made):
    made.take("mount", "/workspace", verdict.PASSED, 101.0, 101.0)
    made.take("mount", "/workspace", verdict.PASSED, 120.0, 120.0)

    assert workspace(made, 120.0).since == wall(120)


def test_a_look_that_ends_after_a_later_one_is_not_heard(made):
    made.take("mount", "/workspace", verdict.PASSED, 103.0, 103.0)
    made.take("mount", "/workspace", FULL, 102.0, 103.5)

    assert workspace(made, 103.5).met


def test_while_nothing_changes_it_is_the_very_same_answer(made):
    made.take("mount", "/workspace", verdict.PASSED, 101.0, 101.0)
    made.take("check", "relay", verdict.PASSED, 101.0, 101.0)
    before = made.rows(101.0)

    made.take("mount", "/workspace", verdict.PASSED, 102.0, 102.0)

    assert made.rows(103.0) is before
    stale = made.rows(110.0)
    assert stale is not before
    assert made.rows(111.0) is stale


def test_a_requirement_that_nobody_required_cannot_be_met(made):
    with pytest.raises(KeyError):
        made.take("mount", "/elsewhere", verdict.PASSED, 101.0, 101.0)


def test_the_plan_says_what_is_required_and_how_long_a_check_counts():
    mount = serving.MountPlan("/workspace", is_mount=True, writable=True, free_bytes=1, required=False)
    check = boots.check(plan.TCP, timeout_seconds=3.0)
    relay = serving.ConditionPlan("relay", check, period_seconds=10.0, failures=3, successes=1, required=True)

    assert board.of(serving.ReadinessPlan((mount,), (relay,), 0.0)) == (
        board.Requirement("mount", "/workspace", False, 5.0),
        board.Requirement("check", "relay", True, 25.0),
    )


def test_a_mount_a_check_and_a_program_of_one_name_have_labels_of_their_own():
    assert [board.label(kind, "x") for kind in ("mount", "check", "program", "identity")] == [
        "mount:x", "check:x", "x", "x",
    ]  # fmt: skip


Step = st.tuples(
    st.sampled_from(["look", "fail", "late", "wait"]), st.sampled_from([WORKSPACE, RELAY]), st.floats(0.0, 12.0)
)


@given(st.lists(Step, max_size=40))
def test_since_is_never_later_than_now_and_changes_only_when_the_row_does(steps):
    now = 100.0
    made = board.Board((WORKSPACE, RELAY), now, repr)
    looked = {wanted.id: (-math.inf, False) for wanted in (WORKSPACE, RELAY)}
    before = made.rows(now)
    for act, what, seconds in steps:
        now += seconds
        earlier = dict(looked)
        if act != "wait":
            began = now - 7.0 if act == "late" else now
            made.take(what.kind, what.id, FULL if act == "fail" else verdict.PASSED, began, now)
            if began >= looked[what.id][0]:
                looked[what.id] = (began, act != "fail")
        after = made.rows(now)
        for wanted, old, new in zip((WORKSPACE, RELAY), before, after, strict=True):
            began, ok = looked[wanted.id]
            assert new.met == (ok and now <= began + wanted.stale_after_seconds)
            assert bool(new.reason) is not new.met
            assert float(old.since) <= float(new.since) <= now
            was_out = old.met and now > earlier[wanted.id][0] + wanted.stale_after_seconds
            if new.met == old.met and not was_out:
                assert new.since == old.since
            elif new.since == old.since:
                assert float(new.since) == now - seconds == now
        if after == before and act == "wait":
            assert after is before
        before = after
