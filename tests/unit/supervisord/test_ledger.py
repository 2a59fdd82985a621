import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import snapshot
from manifest import plan
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
        (entries.EXITED, FAILED_EXIT, snapshot.FAILED, "exited with code 7"),
        (entries.EXITED, OK, snapshot.FAILED, "exited with code 0, and it is not a one-shot"),
        (entries.EXITED, KILLED, snapshot.FAILED, "was killed by signal 9"),
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
        assert (gone.pid, gone.pid_start, gone.run) == (None, None, None)


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
    for what_follows in ("supervisord will try again",) * 3 + ("it is not started again",):
        entry = ledger.on_supervisor_state(entry, entries.STARTING, at(1))
        entry = ledger.on_supervisor_state(entry, entries.BACKOFF, at(1), spawn_error="can't find command '/x'")
        assert entry.reason == f"could not be spawned: can't find command '/x'; {what_follows}"
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
    """Ends after readiness: on purpose an end before it is a failed start instead, which is tried again."""
    entry = ready()
    for count in (1, 2):
        entry = ledger.on_supervisor_state(entry, entries.EXITED, at(20), ended=KILLED)
        assert entry.exits == count
        entry = ledger.on_spawn(ledger.on_supervisor_state(entry, entries.STARTING, at(20)), 43, 1, at(20))
        entry = ledger.judge(entry, at(25))
    stopped = ledger.on_supervisor_state(entry, entries.STOPPED, at(30), ended=KILLED)
    assert stopped.exits == 2
    assert ledger.on_supervisor_state(entry, entries.EXITED, at(30)).exits == 3
    assert entry.view(()).restarts == 2


def test_an_end_before_readiness_is_a_failed_start_and_no_exit():
    entry = ledger.on_supervisor_state(spawned(), entries.RUNNING, at(11))
    entry = ledger.on_supervisor_state(
        dataclasses.replace(entry, was_ready=False), entries.EXITED, at(12), ended=KILLED
    )
    assert (entry.state, entry.exits, entry.failed_starts, entry.final) == (snapshot.PENDING, 0, 1, False)
    assert entry.reason == "was killed by signal 9 before it was ready; supervisord will try again"
    assert entry.start_at > 12


def crash(entry: entries.Entry, seconds: float, state: str = entries.BACKOFF) -> entries.Entry:
    """Start ``entry`` at ``seconds`` and let its process end at once."""
    entry = ledger.on_supervisor_state(entry, entries.STARTING, at(seconds))
    entry = ledger.on_spawn(entry, 42, 1, at(seconds))
    return ledger.on_supervisor_state(entry, state, at(seconds), ended=FAILED_EXIT)


def test_a_program_that_needs_no_time_and_crashes_at_once_is_given_up():
    """It is ready whenever it was forked: its starts count as failed all the same, or it would be started for ever."""
    program = boots.program("api", ready=boots.ready(plan.RUNNING, for_seconds=0.0), start_retries=3)
    entry, seconds = ledger.first_entry(program, at(0)), 0.0
    for tries in range(1, 5):
        assert entry.given_up is None
        entry = crash(entry, seconds)
        assert entry.failed_starts == tries
        seconds = entry.start_at if entry.start_at is not None else seconds
    assert (entry.given_up, entry.start_at) == ("", None)
    fatal = ledger.on_supervisor_state(entry, entries.FATAL, at(seconds))
    assert (fatal.state, fatal.final) == (snapshot.FAILED, True)
    assert fatal.reason == "is FATAL after 4 tries: it exited with code 7 too early"


def test_a_program_that_came_up_once_begins_to_count_its_failed_starts_anew():
    entry = crash(crash(ledger.first_entry(boots.program("api"), at(0)), 0), 5)
    assert entry.failed_starts == 2
    entry = ledger.on_spawn(ledger.on_supervisor_state(entry, entries.STARTING, at(10)), 43, 1, at(10))
    entry = ledger.on_supervisor_state(ledger.judge(entry, at(11)), entries.RUNNING, at(11.1))
    assert (entry.is_ready, entry.failed_starts) == (True, 0)


def test_on_exit_decides_whether_a_program_is_started_again():
    for on_exit, starts in ((plan.RESTART, True), (plan.DEGRADE, False), (plan.END, False)):
        program = boots.program("api", on_exit=on_exit)
        entry = ledger.on_supervisor_state(ready(program), entries.RUNNING, at(12))
        entry = ledger.on_supervisor_state(entry, entries.EXITED, at(20), ended=OK)
        assert ((entry.start_at is not None), entry.final) == (starts, not starts), on_exit


def test_a_one_shot_is_run_once():
    for ended in (OK, FAILED_EXIT):
        entry = ledger.on_supervisor_state(spawned(ONESHOT), entries.EXITED, at(12), ended=ended)
        assert entry.start_at is None
    assert (entry.exits, entry.final) == (1, True)


def test_a_stop_stays_until_somebody_wants_a_start():
    for state in (entries.STOPPING, entries.STOPPED):
        entry = ledger.on_supervisor_state(ready(), state, at(20), ended=None)
        assert entry.start_at is None, state
    entry = ledger.on_supervisor_state(entry, entries.STOPPED, at(21), ended=KILLED)
    assert (entry.start_at, entry.exits) == (None, 0)
    assert ledger.wanted(entry, at(22)).start_at == 0.0
    assert ledger.unwanted(ledger.wanted(entry, at(22)), at(23)).start_at is None


def test_a_stop_during_the_pause_before_a_start_wins_over_the_start_and_over_giving_up():
    entry = crash(ledger.first_entry(boots.program("api", start_retries=0), at(0)), 0)
    assert entry.given_up is not None
    entry = ledger.on_supervisor_state(entry, entries.STOPPED, at(0.1))
    assert (entry.start_at, entry.given_up, entry.final) == (None, None, False)


def test_what_stops_with_what_it_is_bound_to_comes_back_unless_it_is_stopped_itself():
    bound = ledger.paused(ready(), at(20))
    stopped = ledger.on_supervisor_state(ledger.on_supervisor_state(bound, entries.STOPPING, at(20)), "STOPPED", at(21))
    assert stopped.start_at == 0.0
    assert ledger.unwanted(stopped, at(22)).start_at is None
    taken_back = ledger.unwanted(ledger.on_supervisor_state(bound, entries.STOPPING, at(20)), at(20.5))
    assert ledger.on_supervisor_state(taken_back, entries.STOPPED, at(21)).start_at is None
    again = ledger.on_spawn(ledger.on_supervisor_state(stopped, entries.STARTING, at(22)), 43, 1, at(22))
    assert ledger.on_supervisor_state(again, entries.STOPPED, at(23)).start_at is None, "it comes back once"


def test_a_wanted_program_begins_anew():
    entry = crash(ledger.first_entry(boots.program("api", start_retries=0), at(0)), 0)
    entry = ledger.on_supervisor_state(entry, entries.FATAL, at(0))
    assert entry.final
    entry = ledger.wanted(entry, at(1))
    assert (entry.start_at, entry.given_up, entry.failed_starts, entry.history.ends) == (0.0, None, 0, ())
    assert not entry.final, "it is only waiting: nobody must fail for it"


@pytest.mark.parametrize(
    "program", [ONESHOT, boots.program("api", on_exit=plan.DEGRADE), boots.program("api", on_exit=plan.END)]
)
def test_who_waits_for_a_start_that_was_asked_for_has_not_failed_for_good(program):
    before = spawned(program) if program.oneshot else ready(program)
    entry = ledger.on_supervisor_state(before, entries.EXITED, at(12), ended=FAILED_EXIT)
    assert entry.final
    assert not ledger.wanted(entry, at(13)).final


def known_entries(final: tuple[str, ...] = (), **states: str) -> dict[str, entries.Entry]:
    return {
        name: dataclasses.replace(
            ledger.first_entry(boots.program(name), at(0)),
            state=state, reason=f"reason of {name}", final=name in final,
        )
        for name, state in states.items()
    }  # fmt: skip


def ready_needs(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, plan.READY)


def test_a_program_is_held_until_everything_it_needs_is_ready():
    known = known_entries(a=snapshot.READY, b=snapshot.PENDING, c=snapshot.STALE, d=snapshot.READY)
    assert ledger.obstacle({}, known) is None
    assert ledger.obstacle(ready_needs("a", "d"), known) is None
    assert ledger.obstacle(ready_needs("a", "b", "c"), known) == (snapshot.PENDING, "waits for b, c", False)


def test_the_weak_need_is_met_by_a_process_and_by_a_one_shot_that_completed():
    needs = {"x": plan.STARTED}
    assert ledger.obstacle(needs, {"x": ledger.first_entry(boots.program("x"), at(0))}) is not None
    running = spawned(boots.program("x"))
    assert not running.is_ready
    assert ledger.obstacle(needs, {"x": running}) is None
    assert ledger.obstacle(needs, {"x": ledger.on_supervisor_state(running, entries.STOPPING, at(11))}) is not None
    migrate = spawned(boots.program("x", oneshot=True))
    assert ledger.obstacle(needs, {"x": migrate}) is None
    assert ledger.obstacle(needs, {"x": ledger.on_supervisor_state(migrate, entries.EXITED, at(11), ended=OK)}) is None
    failed = ledger.on_supervisor_state(migrate, entries.EXITED, at(11), ended=FAILED_EXIT)
    assert ledger.obstacle(needs, {"x": failed})[2] is True


def test_a_need_that_failed_for_good_fails_its_dependants_by_name_before_one_that_is_only_late():
    known = known_entries(final=("b",), a=snapshot.PENDING, b=snapshot.FAILED)
    assert ledger.obstacle(ready_needs("a", "b"), known) == (snapshot.FAILED, "needs b, which reason of b", True)


def test_a_need_that_failed_and_may_recover_is_waited_for():
    """On purpose: a live check that fails, or an exit before a restart, passes by itself."""
    known = known_entries(b=snapshot.FAILED)
    assert ledger.obstacle(ready_needs("b"), known) == (snapshot.PENDING, "waits for b", False)


def test_an_unknown_need_is_a_failure_and_never_satisfied():
    for condition in (plan.READY, plan.STARTED):
        assert ledger.obstacle({"ghost": condition}, {}) == (
            snapshot.FAILED, "needs ghost, which is unknown to supervisord", True,
        )  # fmt: skip


def test_a_long_chain_of_causes_stays_short():
    known = known_entries(final=("a",), a=snapshot.FAILED)
    known["a"] = dataclasses.replace(known["a"], reason="x" * 100_000)
    state, reason, _ = ledger.obstacle(ready_needs("a"), known)
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


NOTIFYING = boots.program("notifying", ready=boots.ready(plan.NOTIFY, watchdog_seconds=3.0, timeout_seconds=5.0))
CHECKED = boots.program(
    "checked",
    ready=boots.ready(plan.TCP, check=boots.check(plan.TCP)),
    live=plan.LivePlan(boots.check(plan.TCP), 1.0, 2, 1, restart=True),
)
STATES = st.sampled_from(["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL", "UNKNOWN", "?"])
ENDS = st.sampled_from([None, OK, FAILED_EXIT, KILLED])
FACTS = st.sampled_from([
    {"proof": "READY=1", "proven_at": 0.0}, {"doubt": "reloads"}, {"doubt": ""}, {"check_reason": "refused"},
    {"live_ok": True, "live_at": 1.0}, {"live_ok": False, "live_at": 1.0, "live_reason": "refused"},
    {"killed_for": "fell silent"}, {"watchdog_at": float("-inf")}, {"main_pid": 7},
])  # fmt: skip
STEPS = st.lists(
    st.tuples(st.just("state"), STATES, ENDS)
    | st.tuples(st.just("spawn"))
    | st.tuples(st.just("time"), st.floats(0, 100))
    | st.tuples(st.just("facts"), FACTS)
    | st.tuples(st.just("subscription"), st.booleans())
    | st.tuples(st.sampled_from(["wanted", "unwanted", "paused"])),
    max_size=14,
)
OWN_PROOFS = {
    "api": lambda entry, now: now - entry.run.spawned_at >= 1.0,
    "probes": lambda entry, _now: entry.subscribed,
    "notifying": lambda entry, _now: entry.run.proof == "READY=1" and not entry.run.doubt,
    "checked": lambda entry, _now: entry.run.proof == "READY=1" and entry.run.live_ok is not False,
}


@given(st.sampled_from([boots.program("api"), ONESHOT, PROBES, NOTIFYING, CHECKED]), STEPS)
def test_whatever_happens_ready_has_its_own_proof_under_the_present_pid_and_anything_else_a_reason(program, steps):
    entry, seconds = ledger.first_entry(program, at(0)), 0.0
    for number, step in enumerate(steps):
        now = at(seconds)
        match step:
            case ("state", state, ended):
                entry = ledger.on_supervisor_state(entry, state, now, ended=ended, draw=0.5)
            case ("spawn",):
                entry = ledger.on_spawn(entry, 100 + number, 1, now)
                assert entry.run.proof is None
            case ("time", more):
                seconds += more
                now = at(seconds)
                entry = ledger.judge(entry, now)
            case ("facts", facts):
                entry = ledger.with_run(entry, now, **facts)
            case ("subscription", began):
                entry = ledger.on_subscription(entry, began, now)
            case (what,):
                entry = getattr(ledger, what)(entry, now)
        if not entry.is_ready:
            assert entry.reason
            continue
        assert entry.ready_by
        assert entry.ready_at
        assert not entry.reason
        assert not entry.final
        if program.oneshot:
            assert (entry.supervisor_state, entry.last_exit) == ("EXITED", OK)
        else:
            assert entry.supervisor_state in {"STARTING", "RUNNING"}
            assert entry.pid is not None
            assert not entry.run.killed_for
            assert OWN_PROOFS[program.name](entry, seconds)


@given(st.sampled_from([boots.program("api"), ONESHOT, NOTIFYING]), STEPS)
def test_what_failed_for_good_never_has_a_start_ahead(program, steps):
    """Or who needs it would fail for one that comes."""
    entry = ledger.first_entry(program, at(0))
    for number, step in enumerate(steps):
        match step:
            case ("state", state, ended):
                entry = ledger.on_supervisor_state(entry, state, at(number), ended=ended)
            case ("spawn",):
                entry = ledger.on_spawn(entry, 100 + number, 1, at(number))
            case ("wanted" | "unwanted" | "paused" as what,):
                entry = getattr(ledger, what)(entry, at(number))
        if entry.final and entry.supervisor_state in entries.STARTABLE:
            assert entry.start_at is None


def test_an_entry_does_not_grow_with_its_restarts():
    program = boots.program("api", on_fatal=plan.RESTART, restart=plan.RestartPlan(0.0, 0.0, 1e9, 5, 1e9))
    entry = ledger.first_entry(program, at(0))
    for number in range(200):
        entry = crash(entry, float(number))
    assert len(entry.history.ends) <= 6
    assert entry.spawns == 200


@pytest.mark.parametrize("on_exit", [plan.DEGRADE, plan.RESTART])
def test_an_end_before_readiness_is_a_failed_start_and_tried_again_whatever_on_exit_says(on_exit):
    program = boots.program("api", on_exit=on_exit, ready=boots.ready("notify"))
    entry = ledger.on_supervisor_state(spawned(program), entries.EXITED, at(15), ended=FAILED_EXIT)
    assert (entry.state, entry.final, entry.exits, entry.failed_starts) == (snapshot.PENDING, False, 0, 1)
    assert entry.reason == "exited with code 7 before it was ready; supervisord will try again"
    assert entry.start_at is not None


@pytest.mark.parametrize(
    "error", ["too many open files to spawn 'api'", "Too many processes in process table to spawn 'api'"]
)
def test_a_start_for_which_nothing_was_left_is_tried_again_for_ever_and_is_no_fault_of_the_program(error):
    entry = ledger.first_entry(boots.program("api", start_retries=0), at(0))
    for seconds in range(1, 30):
        entry = ledger.on_supervisor_state(entry, entries.STARTING, at(seconds))
        entry = ledger.on_supervisor_state(entry, entries.BACKOFF, at(seconds), spawn_error=error)
        assert (entry.given_up, entry.failed_starts, entry.start_at) == (None, 0, seconds + 0.5)
    assert error in entry.reason
