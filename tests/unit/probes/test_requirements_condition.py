"""A check of the whole: unmet until it first passed, then by its streak; asked in time, once at a time, and counted."""

import asyncio
import contextlib
import dataclasses

import pytest

from manifest import plan, serving
from probes.checks import runner, schedule, tally, verdict
from probes.requirements import condition
from tests.unit import boots

REFUSED = verdict.failed("connection refused")


def relay(**changes):
    made = serving.ConditionPlan(
        "relay", boots.check(plan.TCP, host="127.0.0.1", port=1), period_seconds=10.0, failures=3, successes=2, required=True
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def standing(wanted, outcomes):
    found, told = None, []
    for outcome in outcomes:
        found = condition.after(found, wanted, outcome)
        told.append(found is not None and found.is_up)
    return told


def test_it_is_unmet_until_it_first_passed_and_met_at_once_then():
    assert standing(relay(), [REFUSED, REFUSED, verdict.PASSED]) == [False, False, True]


def test_failures_in_a_row_end_it_and_successes_in_a_row_restore_it():
    passed, failed = verdict.PASSED, REFUSED
    row = [passed, failed, failed, passed, failed, failed, failed, passed, failed, passed, passed]

    assert standing(relay(), row) == [True] * 6 + [False] * 4 + [True]


@pytest.fixture
def made(monkeypatch):
    """Follow a condition whose checks do what the test says, in a loop whose sleeps are only noted."""

    class Made:
        slept: list[float] = []
        told: list[tuple[bool, str]] = []
        counted = tally.Tally()

        def __init__(self):
            self.slept, self.told, self.counted = [], [], tally.Tally()

        def run(self, wanted, outcomes, monkeypatch=monkeypatch):
            left = list(outcomes)
            real = asyncio.sleep

            async def check(_check):
                await real(0)
                return left.pop(0)

            async def sleep(seconds, *_):
                self.slept.append(seconds)
                if not left:
                    raise asyncio.CancelledError
                await real(0)

            monkeypatch.setitem(runner._KINDS, plan.TCP, lambda check_, _: check(check_))
            monkeypatch.setattr(asyncio, "sleep", sleep)

            async def follow():
                with contextlib.suppress(asyncio.CancelledError):
                    await condition.follow(
                        wanted,
                        runner.Attempts(self.counted),
                        lambda found, _began: self.told.append((found.ok, found.reason)),
                    )

            asyncio.run(follow())

    return Made()


def test_until_it_first_passed_the_pauses_double_up_to_its_period(made):
    made.run(relay(period_seconds=0.05), [REFUSED] * 6)

    assert made.slept == [0.01, 0.02, 0.04, 0.05, 0.05, 0.05]
    assert made.told == [(False, "connection refused")] * 6


def test_afterwards_it_begins_every_period(made):
    made.run(relay(), [verdict.PASSED] * 3)

    assert all(9.0 < seconds <= 10.0 for seconds in made.slept)
    assert made.told == [(True, "")] * 3


def test_each_check_is_told_so_that_it_never_grows_stale_while_somebody_checks(made):
    made.run(relay(failures=1), [verdict.PASSED, REFUSED, REFUSED, verdict.PASSED, verdict.PASSED])

    assert made.told == [
        (True, ""), (False, "connection refused"), (False, "connection refused"), (False, "connection refused"), (True, ""),
    ]  # fmt: skip


def test_its_checks_are_counted_under_its_name_as_a_condition(made):
    made.run(relay(), [verdict.PASSED, REFUSED])

    assert sum(made.counted.durations["relay", "condition"].counts) == 2
    assert made.counted.failures["relay", "condition"] == 1


def test_a_check_that_hangs_has_failed_at_its_timeout(monkeypatch):
    async def hang(*_):
        await asyncio.Event().wait()

    monkeypatch.setitem(runner._KINDS, plan.TCP, hang)
    wanted = relay(check=boots.check(plan.TCP, timeout_seconds=0.05))

    async def first():
        told = asyncio.get_running_loop().create_future()

        def tell(found, _began):
            if not told.done():
                told.set_result(found)

        task = asyncio.create_task(condition.follow(wanted, runner.Attempts(tally.Tally()), tell))
        try:
            return await asyncio.wait_for(told, 30)
        finally:
            task.cancel()

    assert asyncio.run(first()) == verdict.failed("no answer within 0.05 s")


def test_a_condition_of_the_kind_exec_is_never_met_whatever_plan_says_so():
    wanted = relay(check=boots.check(plan.EXEC, argv=("/bin/true",)))

    async def once():
        return await runner.Attempts(tally.Tally()).make(wanted, verdict.CONDITION, wanted.check)

    assert not asyncio.run(once())[0].ok


def test_a_standing_streak_is_told_with_the_last_failures_reason():
    found = schedule.Streak()
    for _ in range(3):
        found = condition.after(found, relay(), REFUSED)

    assert (found.is_up, found.reason) == (False, "connection refused")
