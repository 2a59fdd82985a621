import dataclasses
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import snapshot
from manifest import plan
from supervisord import entries, ledger, readiness_book, verdicts
from tests.unit import boots

OK, KILLED = snapshot.Exit(0, None), snapshot.Exit(None, 9)


def at(seconds: float) -> entries.Moment:
    return entries.Moment(seconds, f"wall-{seconds:g}")


def book(*programs) -> readiness_book.Book:
    """Return a book of ``programs`` in which the probe server and Stage B are ready, and nobody looked yet."""
    made = readiness_book.Book((*boots.own_programs()[:2], *programs), at(0), lambda: 0.0)
    start(made, plan.PROBES, 0, pid=10)
    made.change(plan.PROBES, at(0), lambda entry: ledger.on_subscription(entry, True, at(0)))
    start(made, plan.STAGE_B, 0, pid=11)
    made.on_supervisor_state(plan.STAGE_B, entries.EXITED, at(0), OK, "")
    made.take_changes()
    return made


def start(made: readiness_book.Book, name: str, seconds: float, pid: int = 42) -> None:
    made.on_supervisor_state(name, entries.STARTING, at(seconds), None, "")
    made.on_spawn(name, pid, 7, at(seconds))


def end(made: readiness_book.Book, name: str, seconds: float, state: str = entries.EXITED, ended=KILLED) -> None:
    made.on_supervisor_state(name, state, at(seconds), ended, "")


def startable(made: readiness_book.Book, seconds: float, *names: str) -> list[bool]:
    return [made.may_start(name, seconds) for name in names]


CHAIN = (
    boots.program("migrate", oneshot=True),
    boots.program("api", after=boots.needs("migrate")),
    boots.program("web", after=boots.needs("api")),
)
BOUND = (
    boots.program("a"),
    boots.program("b", after=boots.needs("a", bind=True)),
    boots.program("c", after=boots.needs("b", bind=True)),
)


def build(revision: int, views) -> snapshot.Snapshot:
    return boots.ledger(*views, revision=revision)


def test_dependants_are_held_until_what_they_need_is_ready_one_after_another():
    made = book(*CHAIN)
    assert startable(made, 1, "migrate", "api", "web") == [True, False, False]
    start(made, "migrate", 1)
    assert startable(made, 1, "migrate", "api") == [False, False]
    made.on_supervisor_state("migrate", entries.EXITED, at(2), OK, "")
    assert startable(made, 2, "api", "web") == [True, False]
    start(made, "api", 2)
    made.advance(at(2.9))
    assert not made.may_start("web", 2.9)
    made.advance(at(3))
    assert made.may_start("web", 3)


def test_a_failure_reaches_every_dependant_at_once_with_the_first_cause():
    made = book(*CHAIN)
    start(made, "migrate", 1)
    made.take_changes()
    made.on_supervisor_state("migrate", entries.EXITED, at(2), snapshot.Exit(3, None), "")
    assert {change.program.name: change.state for change in made.take_changes()} == dict.fromkeys(
        ("migrate", "api", "web"), snapshot.FAILED
    )
    assert made.entries["web"].reason == (
        "needs api, which needs migrate, which exited with code 3, and a one-shot must exit 0"
    )


def test_a_dependant_recovers_with_what_it_needs():
    made = book(*CHAIN)
    start(made, "migrate", 1)
    made.on_supervisor_state("migrate", entries.EXITED, at(2), KILLED, "")
    start(made, "migrate", 3)
    assert made.entries["web"].state == snapshot.PENDING
    made.on_supervisor_state("migrate", entries.EXITED, at(4), OK, "")
    assert made.entries["api"].reason == "is about to be started"


def test_a_program_that_was_started_before_waits_for_what_it_needs_too():
    """On purpose: every start is gated, not only the first."""
    made = book(*CHAIN)
    start(made, "migrate", 1)
    end(made, "migrate", 2, ended=OK)
    start(made, "api", 2)
    start(made, "web", 4)
    end(made, "api", 5)
    end(made, "web", 5)
    assert startable(made, 1000, "api", "web") == [True, False]
    start(made, "api", 6)
    made.advance(at(7))
    assert made.may_start("web", 1000)


def test_what_an_operator_stopped_is_never_started_by_itself():
    made = book(*CHAIN[:2])
    start(made, "api", 1)
    end(made, "api", 2, entries.STOPPED)
    assert made.entries["api"].reason == "was stopped"
    assert not made.may_start("api", 1e9)
    start(made, "migrate", 3)
    end(made, "migrate", 3, ended=OK)
    assert not made.may_start("api", 1e9)
    assert made.next_due(4) is None
    made.change("api", at(4), lambda entry: ledger.wanted(entry, at(4)))
    assert made.may_start("api", 4)


def test_programs_that_wait_for_each_other_are_pending_and_settle():
    made = book(boots.program("a", after=boots.needs("b")), boots.program("b", after=boots.needs("a")))
    assert (made.entries["a"].state, made.entries["a"].reason) == (snapshot.PENDING, "waits for b")
    assert (made.entries["b"].state, made.entries["b"].reason) == (snapshot.PENDING, "waits for a")


def test_a_circle_with_a_failure_in_it_settles_too():
    made = book(
        boots.program("a", after=boots.needs("b")), boots.program("b", after=boots.needs("a", "x")), boots.program("x")
    )
    made.on_supervisor_state("x", entries.FATAL, at(1), None, "")
    assert made.entries["a"].state == made.entries["b"].state == snapshot.FAILED
    assert len(made.entries["a"].reason) < 400


def test_the_revision_grows_with_every_visible_change_and_only_then():
    made = book(boots.program("api"))
    revision = made.revision
    made.advance(at(0.5))
    made.on_supervisor_state("nobody", entries.RUNNING, at(1), None, "")
    assert made.revision == revision
    start(made, "api", 1)
    assert made.revision > revision
    revision = made.revision
    made.advance(at(1.5))
    assert made.revision == revision
    made.advance(at(2))
    assert made.revision == revision + 1


def test_time_alone_makes_ready_exactly_when_it_is_due():
    made = book(boots.program("a"), boots.program("b", ready=boots.ready("running", for_seconds=5.0)))
    assert made.next_due(0) is None
    start(made, "a", 1)
    start(made, "b", 1)
    assert made.next_due(1) == 2.0
    made.advance(at(2.0))
    assert made.next_due(2) == 6.0
    made.advance(at(6.0))
    assert made.next_due(6) is None
    assert made.missing() == {}


def test_nothing_stays_due_in_the_past_whatever_ends_or_stops_the_program():
    """Supervisord's loop polls with a timeout of zero until the next due moment has passed."""
    for state in (entries.STOPPING, entries.STOPPED, entries.EXITED, entries.BACKOFF, entries.FATAL, entries.UNKNOWN):
        made = book(boots.program("api"))
        start(made, "api", 1)
        made.on_supervisor_state("api", state, at(1.5), None, "")
        made.advance(at(5))
        assert made.next_due(5) is None, state
    made = book(boots.program("api"))
    start(made, "api", 1)
    made.remove("api", at(1.5))
    assert made.next_due(5) is None


def test_what_is_missing_is_named_with_its_reason():
    made = book(*CHAIN, boots.program("extra", required=False), boots.own_programs()[2])
    assert made.missing() == {"migrate": "is about to be started", "api": "waits for migrate", "web": "waits for api"}


def test_no_program_of_the_manifest_starts_before_the_probe_server_and_stage_b_are_ready():
    made = readiness_book.Book((*boots.own_programs(), boots.program("api")), at(0))
    made.advance(at(0))
    assert made.missing() == {
        "probes": "is about to be started", "bootstrap": "is about to be started", "api": "waits for probes, bootstrap",
    }  # fmt: skip
    assert startable(made, 0, "probes", "bootstrap", "api") == [True, True, False]
    start(made, plan.STAGE_B, 1)
    made.on_supervisor_state(plan.STAGE_B, entries.EXITED, at(1), snapshot.Exit(6, None), "")
    assert made.entries["api"].state == snapshot.FAILED
    assert "needs bootstrap, which exited with code 6" in made.entries["api"].reason


def test_waiting_counts_what_is_missing_and_tells_trouble():
    made = book(*CHAIN)
    assert made.waiting(0) == (3, False)
    assert made.waiting(2) == (5, True)
    start(made, "migrate", 1)
    made.on_supervisor_state("migrate", entries.EXITED, at(2), OK, "")
    assert made.waiting(0) == (2, False)
    start(made, "api", 2)
    made.advance(at(3))
    made.on_supervisor_state("api", entries.EXITED, at(4), KILLED, "")
    assert made.waiting(0) == (2, True)
    start(made, "api", 5)
    assert made.waiting(0) == (2, True), "an exit between two polls must not be missed"


def test_a_removed_program_is_unknown_and_fails_who_needs_it():
    made = book(*CHAIN)
    revision = made.revision
    made.remove("migrate", at(1))
    assert made.revision > revision
    assert made.entries["api"].reason == "needs migrate, which is unknown to supervisord"
    made.add(CHAIN[0], at(2))
    assert made.entries["api"].reason == "waits for migrate"


def test_a_change_of_state_is_reported_once():
    made = book(boots.program("api"))
    start(made, "api", 1)
    made.advance(at(2))
    assert [(change.program.name, change.state) for change in made.take_changes()] == [("api", snapshot.READY)]
    assert made.take_changes() == []


def test_only_what_changed_is_sent_and_all_of_it():
    made = book(boots.program("a"), boots.program("b"))
    assert [view.name for view in made.take_unsent()] == ["probes", "bootstrap", "a", "b"]
    assert made.take_unsent() == ()
    start(made, "b", 1)
    made.advance(at(2))
    [view] = made.take_unsent()
    assert (view.name, view.state) == ("b", snapshot.READY)


def test_a_program_that_went_away_makes_the_whole_ledger_due():
    made = book(boots.program("a"), boots.program("b"))
    made.take_unsent()
    made.remove("b", at(1))
    assert made.take_unsent() is None
    assert made.take_unsent() == ()


def test_changes_merged_one_by_one_give_the_whole_ledger():
    made = book(*CHAIN)
    copy = build(made.revision, made.take_unsent())
    start(made, "migrate", 1)
    copy = snapshot.merge(copy, build(made.revision, made.take_unsent()))
    made.on_supervisor_state("migrate", entries.EXITED, at(2), OK, "")
    copy = snapshot.merge(copy, build(made.revision, made.take_unsent()))
    assert copy == snapshot.parse(made.text(build).encode(), "ledger")


def test_the_text_is_made_again_only_after_a_change():
    made, calls = book(boots.program("a")), []

    def counted(revision, views):
        calls.append(revision)
        return build(revision, views)

    assert made.text(counted) == made.text(counted)
    assert len(calls) == 1
    made.touch()
    made.text(counted)
    assert len(calls) == 2


def test_the_last_lines_of_a_program_are_in_its_view():
    made = book(boots.program("a"))
    made.last_lines = lambda name: (f"words of {name}",)
    assert snapshot.parse(made.text(build).encode(), "x").program("a").last_output == ("words of a",)


def test_a_program_that_is_not_ours_changes_nothing():
    made = book(boots.program("a"))
    before, revision = dict(made.entries), made.revision
    made.on_supervisor_state("stranger", entries.FATAL, at(1), None, "")
    made.on_spawn("stranger", 1, 1, at(1))
    made.remove("stranger", at(1))
    made.note("stranger", at(1), proof="x")
    assert (made.entries, made.revision) == (before, revision)
    assert not made.may_start("stranger", 1)
    assert not made.take_unbound("stranger")
    assert not made.is_ready("stranger")


def idle_turn(made: readiness_book.Book, seconds: float) -> None:
    """What the extension and the gate ask in each turn of supervisord's loop."""
    made.advance(at(seconds))
    assert made.take_overdue(at(seconds)) == []
    made.next_due(seconds)
    for name in made.entries:
        made.may_start(name, seconds)
        made.take_unbound(name)


def test_a_thousand_programs_are_not_judged_while_nothing_changes(monkeypatch):
    """Neither those that wait for another, nor those that run, nor those with a live check."""
    live = plan.LivePlan(boots.check(plan.TCP), 1e6, 1, 1, restart=True)
    made = book(
        *(
            boots.program(f"w{number}", after=boots.needs(f"w{number - 1}" if number else "r0"))
            for number in range(500)
        ),
        *(boots.program(f"r{number}", ready=boots.ready(plan.NOTIFY), live=live) for number in range(500)),
    )
    for number in range(500):
        start(made, f"r{number}", 1, pid=1000 + number)
        if number:
            made.note(f"r{number}", at(1), proof="READY=1", proven_at=1.0)
    idle_turn(made, 1.5)
    asked = []
    for module, name in (
        (ledger, "judge"),
        (ledger, "obstacle"),
        (verdicts, "of"),
        (verdicts, "due"),
        (verdicts, "overdue"),
    ):
        monkeypatch.setattr(module, name, lambda *_arguments, name=name: asked.append(name))
    for number in range(100):
        idle_turn(made, 2.0 + number)
    assert asked == []


def test_steps_are_counted_from_the_start_of_stage_a_also_of_a_program_that_is_added():
    made = readiness_book.Book((boots.program("a"),), at(100), lambda: 0.0, origin=90.0)
    made.add(boots.program("b"), at(100))
    for name in ("a", "b"):
        start(made, name, 100.5)
        assert made.entries[name].view(()).first.spawned == 10.5


def test_entries_are_frozen_and_a_reader_keeps_what_it_saw():
    made = book(boots.program("a"))
    seen = made.entries["a"]
    start(made, "a", 1)
    assert seen.pid is None
    assert dataclasses.replace(seen) == seen


# --- bound programs -----------------------------------------------------------------------------------------------


def running(*programs, seconds: float = 10.0) -> readiness_book.Book:
    """Return a book in which ``programs`` were started one after another, each once the one before was ready."""
    made = book(*programs)
    for number, one in enumerate(programs):
        assert made.may_start(one.name, seconds + number), one.name
        start(made, one.name, seconds + number, pid=100 + number)
        made.on_supervisor_state(one.name, entries.RUNNING, at(seconds + number + 1), None, "")
        made.advance(at(seconds + number + 1))
        assert made.is_ready(one.name)
    return made


def stop_unbound(made: readiness_book.Book, name: str, seconds: float) -> None:
    """Do what the gate does with a program that lost what it is bound to, and let it end."""
    assert made.take_unbound(name), name
    assert not made.take_unbound(name), "once"
    made.change(name, at(seconds), lambda entry: ledger.paused(entry, at(seconds)))
    made.on_supervisor_state(name, entries.STOPPING, at(seconds), None, "")


def test_a_chain_of_bound_programs_stops_link_by_link_and_comes_back_in_order():
    made = running(*BOUND)
    end(made, "a", 20)
    assert not made.take_unbound("c"), "b still runs"
    stop_unbound(made, "b", 20)
    stop_unbound(made, "c", 20)
    end(made, "c", 20.1, entries.STOPPED)
    end(made, "b", 20.2, entries.STOPPED)
    assert startable(made, 21, "a", "b", "c") == [True, False, False]
    start(made, "a", 21, pid=200)
    assert startable(made, 21.5, "b", "c") == [False, False]
    made.advance(at(22))
    assert startable(made, 22, "b", "c") == [True, False]
    start(made, "b", 22, pid=201)
    made.advance(at(23))
    assert made.may_start("c", 23)


def test_a_need_that_is_back_before_anybody_looked_still_restarts_who_is_bound_to_it():
    """It is another process: what is bound must begin anew with it."""
    made = running(*BOUND[:2])
    end(made, "a", 20)
    start(made, "a", 20, pid=200)
    stop_unbound(made, "b", 20)
    end(made, "b", 20.1, entries.STOPPED)
    assert not made.may_start("b", 20.1)
    made.advance(at(21))
    assert made.may_start("b", 21)


def test_a_need_that_is_only_not_ready_stops_nobody():
    live = plan.LivePlan(boots.check(plan.TCP), 1.0, 1, 1, restart=False)
    made = running(dataclasses.replace(BOUND[0], live=live), BOUND[1])
    made.note("a", at(21), live_ok=False, live_at=21.0)
    assert made.entries["a"].state == snapshot.FAILED
    assert not made.take_unbound("b")


def test_a_need_without_bind_stops_nobody():
    made = running(boots.program("a"), boots.program("b", after=boots.needs("a")))
    end(made, "a", 20)
    assert not made.take_unbound("b")
    assert made.is_ready("b")


def test_who_ended_by_itself_in_the_meantime_is_not_stopped_as_its_next_process():
    made = running(*BOUND[:2])
    end(made, "a", 20)
    end(made, "b", 20)
    start(made, "a", 21, pid=200)
    made.advance(at(22))
    start(made, "b", 22, pid=201)
    assert not made.take_unbound("b")


def test_a_bound_program_waits_for_a_need_that_was_stopped_and_fails_with_one_that_was_given_up():
    for state, expected in ((entries.STOPPED, snapshot.PENDING), (entries.FATAL, snapshot.FAILED)):
        made = running(*BOUND[:2])
        end(made, "a", 20, state)
        stop_unbound(made, "b", 20)
        end(made, "b", 21, entries.STOPPED)
        assert made.entries["b"].state == expected
        assert not made.may_start("b", 1e9)


def test_a_need_that_was_removed_stops_who_is_bound_to_it():
    made = running(*BOUND[:2])
    made.remove("a", at(20))
    assert made.take_unbound("b")


def test_a_program_that_is_started_again_once_it_was_given_up_lets_its_dependants_wait_on():
    made = book(boots.program("a", start_retries=0), boots.program("b", after=boots.needs("a")))
    start(made, "a", 1)
    end(made, "a", 1, entries.BACKOFF)
    end(made, "a", 1, entries.FATAL, None)
    assert (made.entries["b"].state, made.entries["b"].final) == (snapshot.FAILED, True)
    made.change("a", at(2), lambda entry: ledger.wanted(entry, at(2)))
    assert made.may_start("a", 2)
    assert (made.entries["b"].state, made.entries["b"].final) == (snapshot.PENDING, False)


def test_the_pause_before_a_further_start_is_kept_and_is_due_when_it_is_over():
    made = book(boots.program("a"))
    start(made, "a", 1)
    end(made, "a", 1.5, entries.BACKOFF)
    assert made.entries["a"].start_at == pytest.approx(1.7)
    assert made.next_due(1.5) == made.entries["a"].start_at
    assert startable(made, 1.6, "a") == [False]
    assert startable(made, 1.71, "a") == [True]
    assert made.next_due(1.71) is None, "a start that is due stays due for the gate, not for the loop"


# --- what must be killed ------------------------------------------------------------------------------------------


def test_each_process_is_to_be_killed_once():
    made = book(boots.program("a", ready=boots.ready(plan.NOTIFY, timeout_seconds=5.0)))
    start(made, "a", 1, pid=77)
    assert made.next_due(1) == 6.0
    assert made.take_overdue(at(5.9)) == []
    assert made.take_overdue(at(6)) == [("a", 77, "was not ready in time (has not said READY=1 yet)")]
    assert made.take_overdue(at(7)) == []
    assert made.next_due(7) is None
    end(made, "a", 7, ended=KILLED)
    assert "was not ready in time" in made.entries["a"].reason
    start(made, "a", 8, pid=78)
    assert [pid for _, pid, _ in made.take_overdue(at(20))] == [78]


def test_a_live_check_that_fails_is_to_be_killed_without_waiting_for_a_moment():
    live = plan.LivePlan(boots.check(plan.TCP), 1.0, 1, 1, restart=True)
    made = running(boots.program("a", live=live))
    made.note("a", at(12), live_ok=False, live_reason="refused", live_at=12.0)
    assert [name for name, _, _ in made.take_overdue(at(12))] == ["a"]


def test_a_moment_that_changed_nothing_hides_no_later_one():
    ready = boots.ready(plan.RUNNING, timeout_seconds=5.0)
    made = book(boots.program("a", ready=ready, live=plan.LivePlan(boots.check(plan.TCP), 1.0, 1, 1, restart=False)))
    start(made, "a", 1, pid=77)
    made.note("a", at(1.5), live_ok=False, live_at=1.5)
    made.advance(at(2))
    assert made.take_overdue(at(2)) == []
    assert made.next_due(2) == 6.0
    assert [name for name, _, _ in made.take_overdue(at(6))] == ["a"]


# --- whatever happens ---------------------------------------------------------------------------------------------

NOTIFY = boots.ready(plan.NOTIFY, watchdog_seconds=3.0, timeout_seconds=5.0)
LIVE = plan.LivePlan(boots.check(plan.TCP), 2.0, 1, 1, restart=True)
POLICY = plan.RestartPlan(0.2, 2.0, 60.0, 4, 60.0)
WORLD = tuple(
    dataclasses.replace(one, restart=POLICY)
    for one in (
        boots.program("job", oneshot=True),
        boots.program("db", after=boots.needs("job"), ready=NOTIFY),
        boots.program("cache", ready=boots.ready(plan.RUNNING, for_seconds=0.0), on_fatal=plan.RESTART),
        boots.program(
            "api", after=(*boots.needs("db", bind=True), *boots.needs("cache", condition=plan.STARTED)), live=LIVE
        ),
        boots.program("web", after=boots.needs("api", bind=True)),
    )
)
NAMES = st.sampled_from([one.name for one in WORLD])
ACTIONS = st.lists(
    st.tuples(st.just("wait"), st.floats(0.01, 20))
    | st.tuples(st.sampled_from(["end", "crash", "stop", "want", "prove", "doubt", "live", "dead"]), NAMES),
    max_size=25,
)


class World:
    """supervisord, its loop and its programs, reduced to what the book learns of them; time is counted, not waited for."""

    def __init__(self) -> None:
        self.now = 100.0
        self.book = book(*WORLD)
        self.stopped: set[str] = set()
        self.pids = iter(range(1000, 10**6))

    def entry(self, name: str) -> entries.Entry:
        return self.book.entries[name]

    def tell(self, name: str, state: str, ended=None) -> None:
        self.book.on_supervisor_state(name, state, at(self.now), ended, "")

    def act(self, action: str, name: str) -> None:
        entry, alive = self.entry(name), self.entry(name).run is not None
        match action:
            case "end" if alive:
                self.die(name, OK)
            case "crash" if alive:
                self.die(name, KILLED)
            case "stop":
                self.stopped.add(name)
                self.book.change(name, at(self.now), lambda one: ledger.unwanted(one, at(self.now)))
                if alive or entry.supervisor_state == entries.BACKOFF:
                    self.stop(name)
            case "want":
                self.stopped.discard(name)
                self.book.change(name, at(self.now), lambda one: ledger.wanted(one, at(self.now)))
            case "prove":
                self.book.note(name, at(self.now), proof="READY=1", proven_at=self.now, watchdog_at=self.now, doubt="")
            case "doubt":
                self.book.note(name, at(self.now), doubt="reloads")
            case "live" | "dead":
                self.book.note(name, at(self.now), live_ok=action == "live", live_at=self.now)
        self.turn()

    def stop(self, name: str) -> None:
        if self.entry(name).run is not None:
            self.tell(name, entries.STOPPING)
        self.tell(name, entries.STOPPED, KILLED)

    def die(self, name: str, ended: snapshot.Exit) -> None:
        entry = self.entry(name)
        is_young = self.now - entry.run.spawned_at < 1.0 and not entry.program.oneshot
        if not is_young:
            self.tell(name, entries.RUNNING)
        self.tell(name, entries.BACKOFF if is_young else entries.EXITED, ended)

    def turn(self) -> None:
        """Do what the extension and the gate do in one turn, and look whether all is as it must be."""
        self.book.advance(at(self.now))
        for name, _, _ in self.book.take_overdue(at(self.now)):
            self.die(name, KILLED)
        for name in list(self.book.entries):
            entry = self.entry(name)
            if entry.run is not None and self.book.take_unbound(name):
                self.book.change(name, at(self.now), lambda one: ledger.paused(one, at(self.now)))
                self.stop(name)
            elif entry.run is None and entry.given_up is not None and entry.supervisor_state != entries.FATAL:
                self.tell(name, entries.FATAL)
            elif self.book.may_start(name, self.now):
                self.start(name)
        self.look()

    def start(self, name: str) -> None:
        assert name not in self.stopped, "what was stopped is not started by itself"
        for need in self.entry(name).program.after:
            other = self.entry(need.name)
            assert other.is_ready if need.condition == plan.READY else other.is_started, need
        self.tell(name, entries.STARTING)
        self.book.on_spawn(name, next(self.pids), 7, at(self.now))

    def look(self) -> None:
        for name, entry in self.book.entries.items():
            assert entry.is_ready == (not entry.reason)
            if entry.is_ready and not entry.program.oneshot:
                assert entry.run is not None, name
            view = entry.view(())
            assert sum(view.restart_reasons.values()) == view.restarts, name
            if entry.final and entry.supervisor_state in entries.STARTABLE - {entries.STOPPED}:
                assert entry.start_at is None, name
            if entry.supervisor_state == entries.FATAL:
                assert entry.program.on_fatal != plan.RESTART

    def wait(self, seconds: float) -> None:
        """Turn whenever something is due; a moment that stays due would let the loop spin."""
        until, turns_now = self.now + seconds, 0
        while (due := self.book.next_due(self.now)) is not None and due <= until:
            turns_now = turns_now + 1 if due <= self.now else 0
            assert turns_now < len(WORLD) + 3, "the loop spins"
            self.now = max(self.now, due)
            self.turn()
        self.now = until
        self.turn()


@given(ACTIONS)
def test_whatever_happens_nothing_starts_before_its_needs_or_against_an_operator_and_the_loop_never_spins(actions):
    world = World()
    world.turn()
    for action, what in actions:
        if action == "wait":
            world.wait(what)
        else:
            world.act(action, what)


@pytest.mark.parametrize("on_fatal", [plan.DEGRADE, plan.END, plan.RESTART])
def test_a_program_that_crashes_for_ever_is_given_up_unless_it_is_to_be_started_for_ever(on_fatal):
    world = World()
    job = boots.program("loop", ready=boots.ready(plan.RUNNING, for_seconds=0.0), on_fatal=on_fatal, restart=POLICY)
    world.book.add(job, at(world.now))
    for _ in range(50):
        world.turn()
        if world.entry("loop").run is not None:
            world.die("loop", KILLED)
        world.wait(2.5)
    assert (world.entry("loop").supervisor_state == entries.FATAL) == (on_fatal != plan.RESTART)


def test_the_book_does_not_grow_with_restarts():
    made = book(boots.program("a", on_fatal=plan.RESTART), *BOUND[1:])
    sizes = set()
    for number in range(1, 300):
        start(made, "a", number * 10.0, pid=number)
        end(made, "a", number * 10.0 + random.Random(number).choice([0.5, 5]), entries.EXITED)
        made.take_overdue(at(number * 10.0 + 9))
        made.take_changes()
        made.take_unsent()
        if number > 20:
            sizes.add(sum(len(value) for value in vars(made).values() if isinstance(value, (dict, set, list))))
    assert len(sizes) == 1
