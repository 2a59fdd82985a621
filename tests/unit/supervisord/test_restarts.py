import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from manifest import plan
from supervisord import restarts
from tests.unit import boots

POLICY = plan.RestartPlan(
    first_seconds=0.2, cap_seconds=30.0, reset_seconds=60.0, limit_times=10, limit_window_seconds=60.0
)


def program(**changes) -> plan.ProgramPlan:
    """Return a program of POLICY but for ``changes``, whose storm limit is out of reach unless given."""
    fields = {field.name for field in dataclasses.fields(plan.RestartPlan)}
    policy = {"limit_times": 1_000_000, **{key: changes.pop(key) for key in list(changes) if key in fields}}
    return boots.program(
        "api", restart=dataclasses.replace(POLICY, **policy), **{"start_retries": 1_000_000, **changes}
    )


def pauses(one: plan.ProgramPlan, ends: list[restarts.End], draw: float = 0.0) -> list[float | None]:
    """Return the pause after each of ``ends``, None where the program is given up."""
    history, found = restarts.History(), []
    for end in ends:
        history, follows = restarts.after(one, history, end, draw)
        found.append(follows.at - end.at if isinstance(follows, restarts.Again) else None)
    return found


def crashes(count: int, *, was_ready: bool, lived: float = 1.0, every: float = 1000.0) -> list[restarts.End]:
    return [
        restarts.End(number * every, lived, was_ready, 0 if was_ready else number + 1) for number in range(count)
    ]  # fmt: skip


def test_a_program_that_was_ready_is_started_again_at_once_and_then_ever_later_up_to_the_cap():
    expected = [0.0, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0]
    assert pauses(program(), crashes(11, was_ready=True)) == pytest.approx(expected)


def test_a_failed_start_waits_from_the_first_time_on():
    expected = [0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0]
    assert pauses(program(), crashes(9, was_ready=False)) == pytest.approx(expected)


def test_a_program_that_lived_long_enough_begins_anew():
    history = restarts.History((1.0, 2.0, 3.0), 7)
    _, short = restarts.after(program(), history, restarts.End(100.0, 59.9, True, 0), 0.0)
    after, long = restarts.after(program(), history, restarts.End(100.0, 60.0, True, 0), 0.0)
    assert short.at > 100.0
    assert (long, after.streak) == (restarts.Again(100.0), 1)


def test_a_storm_is_given_up_and_ends_outside_the_window_are_none():
    stormy = program(limit_times=3, limit_window_seconds=60.0)
    assert pauses(stormy, crashes(4, was_ready=True, every=10.0))[-1] is None
    assert None not in pauses(stormy, crashes(50, was_ready=True, every=20.0))
    _, follows = restarts.after(stormy, restarts.History((1.0, 2.0, 3.0), 3), restarts.End(4.0, 1.0, True, 0), 0.0)
    assert follows == restarts.GivenUp("ended 4 times within 60s")


def test_the_window_counts_strictly_younger_ends():
    stormy = program(limit_times=1, limit_window_seconds=60.0)
    assert pauses(stormy, crashes(2, was_ready=True, every=60.0))[-1] is not None
    assert pauses(stormy, crashes(2, was_ready=True, every=59.9))[-1] is None


def test_one_failed_start_more_than_the_retries_is_given_up():
    assert pauses(program(start_retries=3), crashes(4, was_ready=False)) == [
        *pauses(program(), crashes(3, was_ready=False)),
        None,
    ]
    assert pauses(program(start_retries=0), crashes(1, was_ready=False)) == [None]
    assert None not in pauses(program(start_retries=3), crashes(50, was_ready=True))


def test_jitter_takes_up_to_a_quarter_off():
    assert pauses(program(), crashes(2, was_ready=True), draw=1.0) == pytest.approx([0.0, 0.15])
    assert pauses(program(), crashes(1, was_ready=False), draw=0.5) == pytest.approx([0.175])


ENDS = st.lists(
    st.tuples(st.floats(0, 100), st.floats(0, 200), st.booleans(), st.integers(0, 20)), min_size=1, max_size=60
).map(lambda raw: [
    restarts.End(sum(one[0] for one in raw[: number + 1]), lived, was_ready, failed)
    for number, (_, lived, was_ready, failed) in enumerate(raw)
])  # fmt: skip
POLICIES = st.builds(
    plan.RestartPlan,
    st.floats(0.001, 10),
    st.floats(0.001, 300),
    st.floats(0, 100),
    st.integers(1, 20),
    st.floats(1, 600),
)


@given(POLICIES, ENDS, st.floats(0, 1), st.booleans())
def test_whatever_ends_every_pause_is_in_its_range_and_the_history_is_bounded(policy, ends, draw, endless):
    one = boots.program("api", restart=policy, on_fatal=plan.RESTART if endless else plan.DEGRADE, start_retries=3)
    history, streak = restarts.History(), 0
    for end in ends:
        history, follows = restarts.after(one, history, end, draw)
        streak = 1 if end.lived_seconds >= policy.reset_seconds else streak + 1
        assert len(history.ends) <= policy.limit_times + 1
        if isinstance(follows, restarts.GivenUp):
            assert not endless
            continue
        doublings = streak - 1 - end.was_ready
        full = min(policy.cap_seconds, policy.first_seconds * 2.0**doublings) if doublings >= 0 else 0.0
        pause = follows.at - end.at
        assert 0.75 * full - 1e-6 <= pause <= full + 1e-6


@given(st.integers(1, 10), st.integers(0, 10), st.booleans())
def test_who_keeps_dying_is_always_given_up_in_time_unless_it_is_to_be_started_for_ever(limit, retries, was_ready):
    one = program(limit_times=limit, start_retries=retries, on_fatal=plan.DEGRADE)
    ends = crashes(limit + 1, was_ready=was_ready, every=1.0)
    assert None in pauses(one, ends)
    endless = program(limit_times=limit, start_retries=retries, on_fatal=plan.RESTART)
    assert None not in pauses(endless, ends * 3)


def test_a_streak_without_end_stays_a_number():
    history = restarts.History((), 10**6)
    _, follows = restarts.after(program(), history, restarts.End(5.0, 0.0, True, 0), 0.0)
    assert follows.at == 35.0
