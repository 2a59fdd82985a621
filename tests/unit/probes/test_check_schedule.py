"""When a check runs again, and what a row of outcomes means."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from manifest import plan
from probes.checks import schedule, verdict
from tests.unit import boots

DOWN = verdict.failed("refused")


def live(**changes):
    return plan.LivePlan(
        **(
            {"check": boots.check(plan.TCP), "period_seconds": 10.0, "failures": 3, "successes": 2, "restart": False}
            | changes
        )
    )


def after(outcomes, **changes):
    """Return the standing verdict after each of ``outcomes``, a word of + and -."""
    streak, stood = schedule.Streak(), []
    for outcome in outcomes:
        streak = streak.after(live(**changes), verdict.PASSED if outcome == "+" else DOWN)
        assert bool(streak.reason) != streak.is_up
        stood.append("+" if streak.is_up else "-")
    return "".join(stood)


def test_the_pause_grows_from_10_to_200_milliseconds():
    pauses, pause = [], None
    for _ in range(12):
        pause = schedule.pause_after(pause)
        pauses.append(pause)

    assert pauses[:3] == [0.01, 0.015, 0.0225]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 0.2


def test_failures_in_a_row_end_readiness_and_successes_restore_it():
    assert after("+--+---+-++-+") == "+++++" + "+-" + "---++" + "+"


def test_thresholds_of_one_follow_every_outcome():
    assert after("+-+--+", failures=1, successes=1) == "+-+--+"


@given(st.text("+-"), st.integers(1, 5), st.integers(1, 5))
def test_a_verdict_changes_only_by_a_whole_row(outcomes, failures, successes):
    stood = "+" + after(outcomes, failures=failures, successes=successes)
    for index, (before, now) in enumerate(itertools.pairwise(stood)):
        row = {"+": "-" * failures, "-": "+" * successes}[before]
        if before != now:
            assert outcomes[: index + 1].endswith(row)


def test_a_check_begins_every_period_and_a_late_one_is_not_made_up_for():
    assert schedule.next_start(100.0, 10.0, 100.4) == 110.0
    assert schedule.next_start(100.0, 10.0, 135.0) == 135.0
