import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import snapshot
from supervisord import entries, ledger
from tests.unit import boots

OK, FAILED_EXIT, KILLED = snapshot.Exit(0, None), snapshot.Exit(7, None), snapshot.Exit(None, 9)


def at(seconds: float) -> entries.Moment:
    return entries.Moment(seconds, f"wall-{seconds:g}")


def spawned(program=None, *, seconds: float = 10.0) -> entries.Entry:
    """Return the entry of a program that was forked at ``seconds``."""
    entry = ledger.first_entry(program or boots.program("api"), at(0))
    entry = ledger.on_supervisor_state(entry, entries.STARTING, at(seconds))
    return ledger.on_spawn(entry, 42, 4200, at(seconds))


def ready(program=None) -> entries.Entry:
    return ledger.judge(spawned(program), at(11))


ONESHOT = boots.program("migrate", oneshot=True)
PROBES = boots.own_programs()[0]


def test_a_program_begins_pending():
    entry = ledger.first_entry(boots.program("api"), at(0))
    assert (entry.state, entry.reason, entry.since) == (snapshot.PENDING, "not started yet", "wall-0")


def test_running_is_not_ready():
    entry = ledger.on_supervisor_state(spawned(), entries.RUNNING, at(10.5))
    assert entry.state == snapshot.PENDING
    assert entry.reason == "was started and must stay up for 1s"


def test_a_program_is_ready_once_it_lived_its_time_and_not_before():
    assert not ledger.judge(spawned(), at(10.999)).is_ready
    entry = ledger.judge(spawned(), at(11))
    assert entry.is_ready
    assert (entry.reason, entry.ready_by, entry.ready_at, entry.since) == ("", "running for 1s", "wall-11", "wall-11")


def test_readiness_does_not_wait_for_supervisors_word():
    assert ledger.judge(spawned(), at(11)).supervisor_state == entries.STARTING


def test_a_program_that_needs_no_time_is_ready_when_it_was_forked():
    assert spawned(boots.program("api", ready=boots.ready("running", for_seconds=0.0))).is_ready


@pytest.mark.parametrize(
    ("state", "ended", "now", "reason"),
    [
        (entries.EXITED, FAILED_EXIT, snapshot.FAILED, "exited with code 7, and it is not a one-shot"),
        (entries.EXITED, OK, snapshot.FAILED, "exited with code 0, and it is not a one-shot"),
        (entries.EXITED, KILLED, snapshot.FAILED, "was killed by signal 9, and it is not a one-shot"),
        (entries.EXITED, None, snapshot.FAILED, "exited, and it is not a one-shot"),
        (entries.BACKOFF, KILLED, snapshot.PENDING, "was killed by signal 9 too early; supervisord will try again"),
        (entries.STOPPING, None, snapshot.PENDING, "is being stopped"),
        (entries.STOPPED, KILLED, snapshot.PENDING, "was stopped"),
        (entries.STARTING, None, snapshot.PENDING, "is being started"),
        (entries.UNKNOWN, None, snapshot.FAILED, "is in supervisord's state UNKNOWN"),
        ("SURPRISING", None, snapshot.FAILED, "is in supervisord's state SURPRISING"),
    ],
)
def test_any_end_stop_or_restart_takes_readiness_away_at_once(state, ended, now, reason):
    entry = ledger.on_supervisor_state(ready(), state, at(20), ended=ended)
    assert (entry.state, entry.reason, entry.since) == (now, reason, "wall-20")


def test_a_new_pid_must_prove_itself_again():
    entry = ledger.on_supervisor_state(ready(), entries.EXITED, at(20), ended=KILLED)
    entry = ledger.on_supervisor_state(entry, entries.STARTING, at(20))
    assert entry.reason == "is being started again after it was killed by signal 9"
    entry = ledger.on_spawn(entry, 43, 4300, at(20))
    assert (entry.state, entry.pid, entry.pid_start) == (snapshot.PENDING, 43, 4300)
    assert entry.reason == "was started again after it was killed by signal 9 and must stay up for 1s"
    assert not ledger.judge(entry, at(20.9)).is_ready
    assert ledger.judge(entry, at(21)).ready_at == "wall-21"


def test_the_pid_is_known_only_while_the_process_lives():
    entry = ready()
    assert (entry.pid, entry.pid_start) == (42, 4200)
    for state in (entries.RUNNING, entries.STOPPING):
        assert ledger.on_supervisor_state(entry, state, at(12)).pid == 42
    for state in (entries.EXITED, entries.STOPPED, entries.BACKOFF, entries.FATAL, entries.STARTING, entries.UNKNOWN):
        gone = ledger.on_supervisor_state(entry, state, at(12))
        assert (gone.pid, gone.pid_start, gone.spawned_at) == (None, None, None)


def test_a_one_shot_is_ready_when_it_exited_0_and_only_then():
    entry = spawned(ONESHOT)
    assert (entry.state, entry.reason) == (snapshot.PENDING, "has not completed yet")
    assert not ledger.judge(entry, at(1000)).is_ready
    assert not ledger.on_supervisor_state(entry, entries.RUNNING, at(1000)).is_ready
    done = ledger.on_supervisor_state(entry, entries.EXITED, at(12), ended=OK)
    assert (done.state, done.ready_by, done.exits) == (snapshot.READY, "exit 0", 0)
    assert ledger.on_supervisor_state(entry, entries.EXITED, at(12), ended=FAILED_EXIT).state == snapshot.FAILED
    assert ledger.on_supervisor_state(entry, entries.EXITED, at(12), ended=KILLED).state == snapshot.FAILED


def test_a_one_shot_whose_end_nobody_saw_is_never_ready_by_an_earlier_run():
    done = ledger.on_supervisor_state(spawned(ONESHOT), entries.EXITED, at(12), ended=OK)
    again = ledger.on_supervisor_state(done, entries.STARTING, at(13))
    again = ledger.on_spawn(again, 43, 4300, at(13))
    assert not again.is_ready
    entry = ledger.on_supervisor_state(again, entries.EXITED, at(14), ended=None)
    assert (entry.state, entry.reason) == (snapshot.FAILED, "exited, and a one-shot must exit 0")


def test_the_probe_server_is_ready_while_it_is_subscribed():
    entry = spawned(PROBES)
    assert not ledger.judge(entry, at(1000)).is_ready
    entry = ledger.on_subscription(entry, True, at(12))
    assert (entry.state, entry.ready_by) == (snapshot.READY, "subscription")
    assert ledger.on_subscription(entry, False, at(13)).state == snapshot.PENDING


def test_a_subscription_ends_with_the_process():
    entry = ledger.on_subscription(spawned(PROBES), True, at(12))
    entry = ledger.on_supervisor_state(entry, entries.EXITED, at(13), ended=KILLED)
    entry = ledger.on_spawn(ledger.on_supervisor_state(entry, entries.STARTING, at(13)), 43, 1, at(13))
    assert not entry.is_ready


def test_a_program_that_cannot_be_spawned_says_why():
    entry = ledger.first_entry(boots.program("api"), at(0))
    for _ in range(4):
        entry = ledger.on_supervisor_state(entry, entries.STARTING, at(1))
        entry = ledger.on_supervisor_state(entry, entries.BACKOFF, at(1), spawn_error="can't find command '/x'")
    assert entry.reason == "could not be spawned: can't find command '/x'; supervisord will try again"
    entry = ledger.on_supervisor_state(entry, entries.FATAL, at(2))
    assert (entry.state, entry.reason) == (
        snapshot.FAILED, "is FATAL: it could not be spawned: can't find command '/x'",
    )  # fmt: skip


def test_a_spawn_error_without_words_is_still_a_cause():
    entry = ledger.on_supervisor_state(ready(), entries.BACKOFF, at(1))
    assert "could not be spawned: it could not be spawned" in entry.reason


def test_a_program_that_ends_too_early_too_often_is_fatal_with_its_last_end():
    entry = ledger.first_entry(boots.program("api"), at(0))
    for _ in range(3):
        entry = ledger.on_spawn(ledger.on_supervisor_state(entry, entries.STARTING, at(1)), 42, 1, at(1))
        entry = ledger.on_supervisor_state(entry, entries.BACKOFF, at(1), ended=FAILED_EXIT)
    entry = ledger.on_supervisor_state(entry, entries.FATAL, at(2))
    assert entry.reason == "is FATAL after 3 tries: it exited with code 7 too early"
    assert entry.state == snapshot.FAILED


def test_exits_counts_every_end_that_nobody_asked_for():
    entry = ready()
    for count in (1, 2):
        entry = ledger.on_supervisor_state(entry, entries.EXITED, at(20), ended=KILLED)
        assert entry.exits == count
        entry = ledger.on_spawn(ledger.on_supervisor_state(entry, entries.STARTING, at(20)), 43, 1, at(20))
    stopped = ledger.on_supervisor_state(entry, entries.STOPPED, at(30), ended=KILLED)
    assert stopped.exits == 2
    assert ledger.on_supervisor_state(entry, entries.EXITED, at(30)).exits == 3
    assert entry.view(()).restarts == 2


def test_only_what_time_may_make_ready_is_due():
    assert ledger.due(spawned()) == 11.0
    assert ledger.due(ledger.first_entry(boots.program("api"), at(0))) is None
    assert ledger.due(ready()) is None
    assert ledger.due(spawned(ONESHOT)) is None
    assert ledger.due(spawned(PROBES)) is None


def test_a_program_that_is_being_stopped_is_not_due_any_more():
    """A moment that stays in the past would make supervisord's loop spin until the program ended."""
    entry = ledger.on_supervisor_state(spawned(), entries.STOPPING, at(10.5))
    assert ledger.due(entry) is None


def entries(**states: str) -> dict[str, entries.Entry]:
    return {
        name: dataclasses.replace(
            ledger.first_entry(boots.program(name), at(0)), state=state, reason=f"reason of {name}"
        )
        for name, state in states.items()
    }


def test_a_program_is_held_until_everything_it_needs_is_ready():
    known = entries(a=snapshot.READY, b=snapshot.PENDING, c=snapshot.STALE, d=snapshot.READY)
    assert ledger.obstacle((), known) is None
    assert ledger.obstacle(("a", "d"), known) is None
    assert ledger.obstacle(("a", "b", "c"), known) == (snapshot.PENDING, "waits for b, c")


def test_a_failed_need_fails_its_dependants_by_name_before_one_that_is_only_late():
    known = entries(a=snapshot.PENDING, b=snapshot.FAILED)
    assert ledger.obstacle(("a", "b"), known) == (snapshot.FAILED, "needs b, which reason of b")


def test_an_unknown_need_is_a_failure_and_never_satisfied():
    assert ledger.obstacle(("ghost",), {}) == (snapshot.FAILED, "needs ghost, which is unknown to supervisord")


def test_a_long_chain_of_causes_stays_short():
    known = entries(a=snapshot.FAILED)
    known["a"] = dataclasses.replace(known["a"], reason="x" * 100_000)
    state, reason = ledger.obstacle(("a",), known)
    assert state == snapshot.FAILED
    assert len(reason) < 400


def test_a_hold_changes_the_moment_only_with_the_state():
    entry = ledger.first_entry(boots.program("api"), at(0))
    held = ledger.held(entry, snapshot.PENDING, "waits for a", at(5))
    assert (held.reason, held.since) == ("waits for a", "wall-0")
    assert ledger.held(held, snapshot.PENDING, "waits for a", at(6)) is held
    assert ledger.held(held, snapshot.FAILED, "needs a", at(7)).since == "wall-7"


def test_the_seal_program_is_never_waited_for():
    probes, stage_b, seal = (ledger.first_entry(program, at(0)) for program in boots.own_programs())
    assert (probes.must_be_ready, stage_b.must_be_ready, seal.must_be_ready) == (True, True, False)
    assert not ledger.first_entry(boots.program("x", required=False), at(0)).must_be_ready


def test_a_view_says_what_the_entry_knows():
    view = ready().view(("last",))
    assert (view.name, view.state, view.pid, view.pid_start, view.restarts) == ("api", "ready", 42, 4200, 0)
    assert view.last_output == ("last",)


STATES = st.sampled_from(["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN", "?"])
ENDS = st.sampled_from([None, OK, FAILED_EXIT, KILLED])
STEPS = st.lists(
    st.tuples(st.just("state"), STATES, ENDS) | st.tuples(st.just("spawn")) | st.tuples(st.just("time")), max_size=12
)


@given(st.sampled_from([boots.program("api"), ONESHOT, PROBES]), STEPS)
def test_whatever_happens_ready_has_a_proof_and_anything_else_a_reason(program, steps):
    entry = ledger.first_entry(program, at(0))
    for number, step in enumerate(steps):
        now = at(float(number))
        match step:
            case ("state", state, ended):
                entry = ledger.on_supervisor_state(entry, state, now, ended=ended)
            case ("spawn",):
                entry = ledger.on_spawn(entry, 100 + number, 1, now)
            case _:
                entry = ledger.judge(entry, now)
        if entry.is_ready:
            assert entry.ready_by and entry.ready_at and not entry.reason
            completed = program.oneshot and entry.supervisor_state == "EXITED" and entry.last_exit == OK
            assert completed or (entry.supervisor_state in {"STARTING", "RUNNING"} and entry.pid is not None)
        else:
            assert entry.reason
