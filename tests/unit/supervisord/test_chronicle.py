"""Timelines and restart reasons, from what supervisor says to what readers see."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import snapshot
from manifest import plan
from supervisord import chronicle, entries, ledger
from tests.unit import boots

OK, CODE, SIGNAL = snapshot.Exit(0, None), snapshot.Exit(7, None), snapshot.Exit(None, 9)
STAGE_A = 1000.0
"""When Stage A began, on the monotonic clock."""


def at(seconds: float) -> entries.Moment:
    return entries.Moment(STAGE_A + seconds, f"wall-{seconds:g}")


def begin(program: plan.ProgramPlan | None = None) -> entries.Entry:
    return ledger.first_entry(program or boots.program("api"), at(0), origin=STAGE_A)


def spawn(entry: entries.Entry, seconds: float, pid: int = 42) -> entries.Entry:
    entry = ledger.on_supervisor_state(entry, entries.STARTING, at(seconds))
    return ledger.on_spawn(entry, pid, 7, at(seconds))


def end(entry: entries.Entry, seconds: float, ended: snapshot.Exit | None = CODE, state: str = entries.EXITED):
    return ledger.on_supervisor_state(entry, state, at(seconds), ended=ended)


def up(seconds: float = 1.0, program: plan.ProgramPlan | None = None) -> entries.Entry:
    """Return a program that was spawned at ``seconds``, ready after one second and RUNNING 0.1 s later."""
    entry = ledger.judge(spawn(begin(program), seconds), at(seconds + 1))
    return ledger.on_supervisor_state(entry, entries.RUNNING, at(seconds + 1.1))


ONESHOT = boots.program("job", oneshot=True)
INSTANT = boots.program("api", ready=boots.ready(plan.RUNNING, for_seconds=0.0))
NEVER = boots.program("api", ready=boots.ready(plan.NOTIFY))


def reasons(entry: entries.Entry) -> dict[str, int]:
    view = entry.view(())
    assert sum(view.restart_reasons.values()) == view.restarts
    return view.restart_reasons


# --- timelines ----------------------------------------------------------------------------------------------------


def test_a_program_that_was_never_started_has_no_steps():
    view = begin().view(())
    assert view.first == view.latest == snapshot.NO_TIMELINE


def test_steps_are_counted_from_the_start_of_stage_a():
    view = up(2.5).view(())
    assert view.first == view.latest == snapshot.Timeline(2.5, 3.6, 3.5)


def test_supervisors_running_is_not_readiness_and_readiness_not_running():
    entry = ledger.on_supervisor_state(spawn(begin(NEVER), 1), entries.RUNNING, at(2))
    assert entry.view(()).latest == snapshot.Timeline(1.0, 2.0, None)
    assert spawn(begin(INSTANT), 1).view(()).latest == snapshot.Timeline(1.0, None, 1.0)


def test_a_one_shot_is_ready_when_it_exited_0():
    entry = ledger.on_supervisor_state(spawn(begin(ONESHOT), 1), entries.RUNNING, at(1.1))
    assert end(entry, 4, OK).view(()).latest == snapshot.Timeline(1.0, 1.1, 4.0)
    assert end(entry, 4, CODE).view(()).latest == snapshot.Timeline(1.0, 1.1, None)


def test_the_first_timeline_keeps_each_step_from_whichever_process_reached_it_first():
    entry = end(spawn(begin(), 1), 1.5, CODE, entries.BACKOFF)
    assert entry.view(()).first == snapshot.Timeline(1.0, None, None)
    entry = ledger.judge(spawn(entry, 2), at(3))
    entry = ledger.on_supervisor_state(entry, entries.RUNNING, at(3.25))
    assert entry.view(()).first == snapshot.Timeline(1.0, 3.25, 3.0)
    assert entry.view(()).latest == snapshot.Timeline(2.0, 3.25, 3.0)
    entry = ledger.judge(spawn(end(entry, 10), 11), at(12))
    assert entry.view(()).first == snapshot.Timeline(1.0, 3.25, 3.0)
    assert entry.view(()).latest == snapshot.Timeline(11.0, None, 12.0)


def test_the_latest_timeline_outlives_its_process():
    for state in (entries.EXITED, entries.STOPPED):
        assert end(up(), 20, SIGNAL, state).view(()).latest == snapshot.Timeline(1.0, 2.1, 2.0)


def test_a_process_that_is_ready_again_keeps_its_first_readiness():
    entry = ledger.with_run(up(), at(5), doubt="is reloading")
    assert not entry.is_ready
    entry = ledger.with_run(entry, at(6), doubt="")
    assert (entry.is_ready, entry.ready_at) == (True, "wall-6")
    assert entry.view(()).latest.ready == 2.0


def test_what_travels_has_microseconds_and_no_more():
    entry = spawn(begin(), 1 / 3)
    assert entry.view(()).first.spawned == 0.333333


# --- why it was started again ---------------------------------------------------------------------------------------


def test_the_first_start_is_no_restart_whoever_asked_for_it():
    assert reasons(up()) == {}
    assert reasons(spawn(ledger.wanted(begin(), at(1)), 2)) == {}


@pytest.mark.parametrize(
    ("ended", "state", "reason"),
    [
        (CODE, entries.EXITED, snapshot.ENDED),
        (OK, entries.EXITED, snapshot.ENDED),
        (SIGNAL, entries.EXITED, snapshot.KILLED),
        (None, entries.EXITED, snapshot.ENDED),
    ],
)
def test_an_end_after_readiness_is_an_exit_or_a_signal(ended, state, reason):
    assert reasons(spawn(end(up(), 20, ended, state), 21)) == {reason: 1}


@pytest.mark.parametrize(("ended", "reason"), [(CODE, snapshot.ENDED), (SIGNAL, snapshot.KILLED)])
def test_readiness_and_not_supervisors_first_second_tells_an_exit_from_a_failed_start(ended, reason):
    instant = spawn(begin(INSTANT), 1)
    assert instant.was_ready
    assert reasons(spawn(end(instant, 1.2, ended, entries.BACKOFF), 2)) == {reason: 1}


@pytest.mark.parametrize("ended", [OK, CODE, SIGNAL])
@pytest.mark.parametrize("state", [entries.BACKOFF, entries.EXITED])
def test_an_end_before_readiness_is_a_failed_start(ended, state):
    assert reasons(spawn(end(spawn(begin(NEVER), 1), 1.2, ended, state), 2)) == {snapshot.UNSTARTED: 1}


def test_a_start_that_could_not_be_made_is_a_failed_start_and_no_restart_of_its_own():
    entry = end(up(), 20, CODE)
    for seconds in (21, 22):
        entry = ledger.on_supervisor_state(entry, entries.STARTING, at(seconds))
        entry = ledger.on_supervisor_state(entry, entries.BACKOFF, at(seconds), spawn_error="can't find command '/x'")
    assert reasons(entry) == {}
    assert reasons(spawn(entry, 23)) == {snapshot.UNSTARTED: 1}
    never = ledger.on_supervisor_state(begin(), entries.BACKOFF, at(1), spawn_error="can't find command '/x'")
    assert reasons(spawn(never, 2)) == {}, "nothing of it ever ran"


@pytest.mark.parametrize(("ended", "reason"), [(CODE, snapshot.ENDED), (SIGNAL, snapshot.KILLED)])
def test_a_one_shot_that_is_tried_again_exited_or_was_killed(ended, reason):
    seal = boots.own_programs()[2]
    assert reasons(spawn(end(spawn(begin(seal), 1), 2, ended), 3)) == {reason: 1}


@pytest.mark.parametrize("is_up", [True, False])
@pytest.mark.parametrize("state", [entries.BACKOFF, entries.EXITED])
def test_what_we_killed_was_unready(is_up, state):
    entry = up() if is_up else spawn(begin(NEVER), 1)
    entry = ledger.with_run(entry, at(5), killed_for="was not ready in time")
    assert reasons(spawn(end(entry, 6, SIGNAL, state), 7)) == {snapshot.UNREADY: 1}


def stopped(entry: entries.Entry, seconds: float) -> entries.Entry:
    entry = ledger.on_supervisor_state(entry, entries.STOPPING, at(seconds))
    return end(entry, seconds, SIGNAL, entries.STOPPED)


def test_who_asks_for_a_start_is_an_operator():
    entry = stopped(ledger.unwanted(up(), at(10)), 10)
    assert reasons(spawn(ledger.wanted(entry, at(11)), 12)) == {snapshot.OPERATOR: 1}
    waiting = end(up(), 10, CODE)
    assert reasons(spawn(ledger.wanted(waiting, at(11)), 12)) == {snapshot.OPERATOR: 1}


def test_what_stopped_with_what_it_is_bound_to_comes_back_for_that():
    assert reasons(spawn(stopped(ledger.paused(up(), at(10)), 10), 12)) == {snapshot.BOUND: 1}
    brought = ledger.paused(ledger.wanted(ledger.unwanted(up(), at(9)), at(10)), at(10))
    assert reasons(spawn(stopped(brought, 10), 12)) == {snapshot.BOUND: 1}


def test_the_last_thing_that_lets_a_start_come_is_its_reason():
    asked = ledger.wanted(stopped(up(), 10), at(11))
    asked = ledger.on_supervisor_state(asked, entries.STARTING, at(12))
    failed = ledger.on_supervisor_state(asked, entries.BACKOFF, at(12), spawn_error="can't find command '/x'")
    assert reasons(spawn(failed, 13)) == {snapshot.UNSTARTED: 1}
    assert reasons(spawn(ledger.wanted(failed, at(13)), 14)) == {snapshot.OPERATOR: 1}


def test_reasons_add_up_over_restarts():
    entry = up()
    for seconds, ended in ((10, CODE), (20, SIGNAL), (30, CODE)):
        entry = ledger.judge(spawn(end(entry, seconds, ended), seconds + 1), at(seconds + 5))
    assert reasons(entry) == {snapshot.ENDED: 2, snapshot.KILLED: 1}


def test_a_reader_keeps_what_it_saw():
    entry = spawn(end(up(), 10), 11)
    seen = entry.view(())
    again = ledger.judge(entry, at(13))
    spawn(end(again, 20), 21)
    assert (seen.restarts, seen.restart_reasons) == (1, {snapshot.ENDED: 1})
    seen.restart_reasons["exit"] = 7
    assert reasons(entry) == {snapshot.ENDED: 1}


# --- whatever happens -----------------------------------------------------------------------------------------------

STATES = st.sampled_from(["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN", "?"])
STEPS = st.lists(
    st.tuples(st.just("state"), STATES, st.sampled_from([None, OK, CODE, SIGNAL]))
    | st.tuples(st.sampled_from(["spawn", "time", "kill", "prove", "doubt", "wanted", "unwanted", "paused"])),
    max_size=20,
)


def step(entry: entries.Entry, number: int, action: tuple[object, ...]) -> entries.Entry:
    now = at(number)
    match action:
        case ("state", state, ended):
            return ledger.on_supervisor_state(entry, str(state), now, ended=ended)
        case ("spawn",):
            return ledger.on_spawn(entry, 100 + number, 7, now)
        case ("kill",):
            return ledger.with_run(entry, now, killed_for="fell silent")
        case ("prove",):
            return ledger.with_run(entry, now, proof="READY=1", proven_at=now.monotonic, doubt="")
        case ("doubt",):
            return ledger.with_run(entry, now, doubt="is reloading")
        case ("time",):
            return ledger.judge(entry, now)
        case _:
            return getattr(ledger, str(action[0]))(entry, now)


@given(st.sampled_from([boots.program("api"), INSTANT, NEVER, ONESHOT]), STEPS)
def test_whatever_happens_reasons_add_up_steps_are_in_order_and_no_change_is_hidden_from_readers(program, steps):
    entry = begin(program)
    for number, action in enumerate(steps, 1):
        before, entry = entry, step(entry, number, action)
        old, view = before.view(()), entry.view(())
        assert sum(view.restart_reasons.values()) == view.restarts
        assert set(view.restart_reasons) <= set(snapshot.RESTART_REASONS)
        for name in ("spawned", "running", "ready"):
            was, first, latest = (getattr(one, name) for one in (old.first, view.first, view.latest))
            assert was is None or first == was, "the first time stays"
            assert latest is None or first <= latest
        if view.latest.spawned is not None and view.latest.ready is not None:
            assert view.latest.spawned <= view.latest.ready
        if old != view:
            assert before.visible != entry.visible


def test_a_cause_that_nobody_noted_is_an_end():
    asked = chronicle.because(chronicle.Chronicle(), snapshot.OPERATOR)
    once = chronicle.spawned(asked, 1.0, is_restart=False)
    assert chronicle.spawned(once, 2.0, is_restart=True).reasons == {snapshot.ENDED: 1}
    assert once.reasons == {}


def test_running_that_is_said_of_another_process_without_a_word_between_is_seen_by_readers():
    entry = ledger.on_spawn(up(), 43, 7, at(5))
    again = ledger.on_supervisor_state(entry, entries.RUNNING, at(5.5))
    assert entry.view(()) != again.view(())
    assert entry.visible != again.visible
