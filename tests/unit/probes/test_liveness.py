"""Alive is a matter of the loop and of PID 1's heartbeat alone."""

from probes import liveness

DEADLINE = 30.0


def judged(heartbeat, now):
    """Return the decision at ``now``, with a loop that turned just before."""
    heartbeat.note_lag(0.0, now)
    return heartbeat.judge(now)


def test_before_the_first_heartbeat_the_age_counts_from_the_start():
    heartbeat = liveness.Heartbeat(100.0, DEADLINE)

    assert judged(heartbeat, 100.0 + DEADLINE).live
    assert not judged(heartbeat, 100.1 + DEADLINE).live


def test_a_heartbeat_begins_the_age_anew():
    heartbeat = liveness.Heartbeat(100.0, DEADLINE)
    heartbeat.hear(125.0)

    found = judged(heartbeat, 140.0)

    assert found == liveness.Liveness(True, "", 40.0, 0.0, 15.0)


def test_the_refusal_says_how_long_pid_1_was_silent():
    found = judged(liveness.Heartbeat(100.0, DEADLINE), 142.5)

    assert found.reason == "PID 1 was last heard 42.5 s ago, and the deadline is 30 s"


def test_time_in_which_our_own_loop_stood_still_is_not_held_against_pid_1():
    heartbeat = liveness.Heartbeat(100.0, DEADLINE)
    heartbeat.hear(101.0)
    heartbeat.note_lag(600.0, 701.5)

    assert heartbeat.judge(701.5).live
    assert heartbeat.judge(701.5).heartbeat_age_seconds == 0.5
    assert not judged(heartbeat, 701.5 + DEADLINE).live


def test_a_small_lag_forgives_nothing():
    heartbeat = liveness.Heartbeat(100.0, DEADLINE)
    heartbeat.note_lag(0.9, 110.0)

    assert heartbeat.judge(110.0).heartbeat_age_seconds == 10.0
    assert heartbeat.judge(110.0).loop_lag_seconds == 0.9


def test_a_question_that_comes_before_the_loop_knows_that_it_stood_still_does_not_hold_it_against_pid_1():
    heartbeat = liveness.Heartbeat(100.0, DEADLINE)
    heartbeat.hear(101.0)
    heartbeat.note_lag(0.0, 101.25)

    found = heartbeat.judge(701.25)

    assert found.live
    assert found.heartbeat_age_seconds == 0.25


def test_the_deadline_is_the_plans():
    heartbeat = liveness.Heartbeat(100.0, 5.0)

    assert judged(heartbeat, 105.0).live
    assert not judged(heartbeat, 105.1).live


def test_a_loop_that_stands_still_again_and_again_hides_no_wedged_pid_1():
    heartbeat = liveness.Heartbeat(0.0, DEADLINE)
    now = 0.0
    while now < 2 * DEADLINE:  # a flood: every turn takes two seconds
        now += 2.25
        heartbeat.note_lag(2.0, now)

    assert not heartbeat.judge(now).live
    assert heartbeat.judge(now).heartbeat_age_seconds == now - 3 * 2.0
    assert not heartbeat.judge(now + 2.0).live  # nor is the turn forgiven that has not ended yet


def test_each_word_of_pid_1_begins_the_count_of_what_is_forgiven_anew():
    heartbeat = liveness.Heartbeat(0.0, DEADLINE)
    now = 0.0
    for _ in range(10):
        heartbeat.hear(now)
        now += 100.0
        heartbeat.note_lag(99.0, now)

        assert heartbeat.judge(now).heartbeat_age_seconds == 1.0
