import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import snapshot
from manifest import plan
from supervisord import entries, verdicts
from tests.unit import boots

INFINITY = float("inf")
NOTIFY = boots.ready(plan.NOTIFY, watchdog_seconds=3.0, timeout_seconds=5.0)
LIVE = plan.LivePlan(boots.check(plan.TCP), period_seconds=5.0, failures=3, successes=1, restart=True)
STALE_AFTER = 2 * 5.0 + 1.0 + 2.0
"""Two periods, a timeout and the margin."""


def entry(program: plan.ProgramPlan | None = None, *, ran: bool = True, **changes) -> entries.Entry:
    """Return an entry whose process was forked at 100, in supervisor's state RUNNING but for ``changes``."""
    facts = {
        key: changes.pop(key) for key in list(changes) if key in {one.name for one in dataclasses.fields(entries.Run)}
    }
    made = entries.Entry(
        program or boots.program("api"), snapshot.PENDING, "why", boots.WALL, supervisor_state=entries.RUNNING, spawns=1,
        run=entries.Run(42, 4200, 100.0, **facts) if ran else None,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def notifying(**changes) -> entries.Entry:
    return entry(boots.program("api", ready=NOTIFY), **{"watchdog_seconds": 3.0, "start_deadline": 105.0, **changes})


def checked(**changes) -> entries.Entry:
    """Return a program that is proven by a check and has a live one."""
    program = boots.program("api", ready=boots.ready(plan.TCP, check=boots.check(plan.TCP)), live=LIVE)
    return entry(program, **{"proof": "tcp check", "proven_at": 101.0, **changes})


def of(made: entries.Entry, now: float) -> tuple[str, str]:
    verdict = verdicts.of(made, now)
    return verdict.state, verdict.proof or verdict.reason


@pytest.mark.parametrize(
    ("ready", "lacks"),
    [
        (boots.ready(plan.RUNNING), "must stay up for 1s"),
        (boots.ready(plan.NOTIFY), "has not said READY=1 yet"),
        (boots.ready(plan.DESCRIPTOR, descriptor=3), "has not written a newline to descriptor 3 yet"),
        (boots.ready(plan.LOG, pattern="^up"), "a line that matches '^up' was not printed yet"),
        (boots.ready(plan.FILE, path="/run/x"), "has not made /run/x yet"),
        (boots.ready(plan.HTTP, check=boots.check(plan.HTTP)), "its http check has not passed yet"),
        (boots.ready(plan.EXEC, check=boots.check(plan.EXEC)), "its exec check has not passed yet"),
    ],
)
def test_every_kind_of_proof_says_what_is_lacking_and_is_ready_with_it(ready, lacks):
    program = boots.program("api", ready=ready)
    assert of(entry(program), 100.0) == (snapshot.PENDING, f"was started and {lacks}")
    proven = entry(program, proof="seen", proven_at=100.5)
    assert of(proven, 101.0)[0] == snapshot.READY


def test_a_proof_from_outside_does_not_shorten_the_time_a_program_must_live():
    assert of(entry(proof="somebody said so"), 100.9)[0] == snapshot.PENDING
    assert of(entry(), 101.0) == (snapshot.READY, "running for 1s")


def test_a_check_that_fails_says_why():
    ready = boots.ready(plan.TCP, check=boots.check(plan.TCP))
    made = entry(boots.program("api", ready=ready), check_reason="connection refused")
    assert of(made, 101.0)[1] == "was started and its tcp check has not passed yet: connection refused"


def test_what_is_in_doubt_is_pending_with_the_doubt_although_it_was_proven():
    assert of(notifying(proof="READY=1", doubt="reloads"), 101.0) == (snapshot.PENDING, "reloads")


def test_what_was_killed_is_failed_before_it_is_gone_and_is_not_final():
    verdict = verdicts.of(notifying(proof="READY=1", killed_for="did not say WATCHDOG=1 within 3s"), 101.0)
    assert (verdict.state, verdict.final) == (snapshot.FAILED, False)
    assert verdict.reason == "did not say WATCHDOG=1 within 3s and was killed"


def test_a_live_check_that_fails_takes_readiness_away_and_may_give_it_back():
    assert of(checked(), 102.0) == (snapshot.READY, "tcp check")
    verdict = verdicts.of(checked(live_ok=False, live_reason="refused", live_at=103.0), 103.0)
    assert (verdict.state, verdict.reason, verdict.final) == (snapshot.FAILED, "its live check fails: refused", False)
    assert of(checked(live_ok=True, live_at=104.0), 104.0)[0] == snapshot.READY


@pytest.mark.parametrize(("facts", "since"), [({}, 101.0), ({"live_ok": True, "live_at": 110.0}, 110.0)])
def test_a_live_verdict_that_nobody_renews_is_stale_after_two_periods_a_timeout_and_a_margin(facts, since):
    made = checked(**facts)
    assert of(made, since + STALE_AFTER - 0.001)[0] == snapshot.READY
    assert of(made, since + STALE_AFTER) == (
        snapshot.STALE, "its live check was not renewed in time: nobody checks it",
    )  # fmt: skip


def test_a_program_that_must_live_long_is_not_stale_at_the_moment_it_becomes_ready():
    """Its live check begins with its readiness."""
    program = boots.program("api", ready=boots.ready(plan.RUNNING, for_seconds=60.0), live=LIVE)
    assert of(entry(program), 160.0)[0] == snapshot.READY
    assert of(entry(program), 160.0 + STALE_AFTER)[0] == snapshot.STALE


@pytest.mark.parametrize(
    "state", [entries.STOPPED, entries.STOPPING, entries.BACKOFF, entries.EXITED, entries.FATAL, "?"]
)
def test_nothing_but_a_completed_one_shot_is_ready_without_a_living_process(state):
    proven = checked(supervisor_state=state, subscribed=True, was_ready=True)
    assert of(proven, 102.0)[0] != snapshot.READY
    oneshot = entry(boots.program("m", oneshot=True), supervisor_state=state, last_exit=snapshot.Exit(0, None))
    assert (of(oneshot, 102.0)[0] == snapshot.READY) == (state == entries.EXITED)


def test_what_is_due_is_the_first_moment_that_means_something():
    assert verdicts.due(entry()) == 101.0
    assert verdicts.due(entry(was_ready=True)) is None
    assert verdicts.due(notifying()) == 105.0
    assert verdicts.due(notifying(watchdog_at=101.0)) == 104.0
    assert verdicts.due(notifying(watchdog_at=101.0, was_ready=True)) == 104.0
    assert verdicts.due(checked(was_ready=True)) is None, "only what is ready can become stale"
    assert verdicts.due(checked(was_ready=True, state=snapshot.READY)) == 101.0 + STALE_AFTER


@pytest.mark.parametrize(
    "made",
    [
        entry(ran=False),
        entry(boots.program("m", oneshot=True)),
        notifying(killed_for="x", watchdog_at=101.0),
        notifying(supervisor_state=entries.STOPPING, watchdog_at=101.0),
        entry(boots.own_programs()[0]),
    ],
)
def test_nothing_is_due_of_who_is_not_alive_or_whom_time_does_not_change(made):
    assert verdicts.due(made) is None


def test_a_moment_that_has_acted_is_left_out_and_hides_no_later_one():
    """The proof's own moment may pass without readiness (a live check fails): the start deadline must still come."""
    ready = boots.ready(plan.RUNNING, timeout_seconds=5.0)
    made = entry(boots.program("api", ready=ready, live=LIVE), live_ok=False, start_deadline=105.0)
    assert verdicts.due(made) == 101.0
    assert verdicts.due(made, 101.0) == 105.0
    assert verdicts.due(made, 105.0) is None


def test_an_alarm_is_due_at_once():
    made = notifying(watchdog_at=-INFINITY, was_ready=True)
    assert verdicts.due(made) == -INFINITY
    assert verdicts.overdue(made, 100.0) == "did not say WATCHDOG=1 within 3s"


def test_a_start_that_takes_too_long_is_overdue_with_what_it_lacks_and_a_program_that_was_ready_is_not():
    assert verdicts.overdue(notifying(), 104.999) is None
    assert verdicts.overdue(notifying(), 105.0) == "was not ready in time (has not said READY=1 yet)"
    assert verdicts.overdue(notifying(was_ready=True), 1e6) is None


def test_a_silent_watchdog_is_overdue_from_readiness_on_only():
    assert verdicts.overdue(notifying(was_ready=True, watchdog_at=None), 1e6) is None
    assert verdicts.overdue(notifying(was_ready=True, watchdog_at=101.0), 103.999) is None
    assert verdicts.overdue(notifying(was_ready=True, watchdog_at=101.0), 104.0) == "did not say WATCHDOG=1 within 3s"


def test_a_live_check_that_fails_kills_only_where_the_manifest_says_so_and_after_readiness():
    failing = {"live_ok": False, "live_reason": "refused", "live_at": 103.0}
    assert verdicts.overdue(checked(was_ready=True, **failing), 103.0) == "failed its live check (refused)"
    assert verdicts.overdue(checked(was_ready=False, **failing), 103.0) is None
    assert verdicts.overdue(checked(was_ready=True, live_ok=True), 103.0) is None
    made = checked(was_ready=True, **failing)
    patient = dataclasses.replace(made.program, live=dataclasses.replace(LIVE, restart=False))
    assert verdicts.overdue(dataclasses.replace(made, program=patient), 103.0) is None


def test_a_process_is_killed_once_and_never_while_it_stops():
    made = notifying(killed_for="x")
    assert verdicts.overdue(made, 1e6) is None
    assert verdicts.overdue(notifying(supervisor_state=entries.STOPPING), 1e6) is None
    assert verdicts.overdue(notifying(ran=False, supervisor_state=entries.EXITED), 1e6) is None


MOMENTS = st.none() | st.floats(90, 120)
MADE = st.builds(
    lambda make, was_ready, state, facts: make(was_ready=was_ready, supervisor_state=state, **facts),
    st.sampled_from([entry, notifying, checked]),
    st.booleans(),
    st.sampled_from([entries.STARTING, entries.RUNNING, entries.STOPPING, entries.EXITED]),
    st.fixed_dictionaries(
        {"start_deadline": MOMENTS, "watchdog_at": MOMENTS, "live_at": MOMENTS, "live_ok": st.none() | st.booleans()}
    ),
)


@given(MADE, st.floats(95, 130), st.floats(95, 130))
def test_between_two_due_moments_nothing_changes_by_time(made, one, other):
    """What the loop is not woken for must not happen: neither a verdict nor a kill."""
    first = 101.0 if made.was_ready else 95.0  # what was ready had lived its second
    early, late = max(first, min(one, other)), max(first, one, other)
    changed = (
        verdicts.of(made, early) != verdicts.of(made, late),
        verdicts.overdue(made, early) != verdicts.overdue(made, late),
    )
    due = verdicts.due(dataclasses.replace(made, state=verdicts.of(made, early).state), early)
    if due is None or due > late:
        assert changed == (False, False)
