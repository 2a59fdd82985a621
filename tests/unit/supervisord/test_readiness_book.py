import dataclasses

from contract import snapshot
from manifest import plan
from supervisord import entries, ledger, readiness_book
from tests.unit import boots

OK, KILLED = snapshot.Exit(0, None), snapshot.Exit(None, 9)


def at(seconds: float) -> entries.Moment:
    return entries.Moment(seconds, f"wall-{seconds:g}")


def book(*programs) -> readiness_book.Book:
    """Return a book of ``programs`` in which the probe server and Stage B are ready, and nobody looked yet."""
    made = readiness_book.Book((*boots.own_programs()[:2], *programs), at(0))
    start(made, plan.PROBES, 0, pid=10)
    made.on_subscription(plan.PROBES, True, at(0))
    start(made, plan.STAGE_B, 0, pid=11)
    made.on_supervisor_state(plan.STAGE_B, entries.EXITED, at(0), OK, "")
    made.take_changes()
    return made


def start(made: readiness_book.Book, name: str, seconds: float, pid: int = 42) -> None:
    made.on_supervisor_state(name, entries.STARTING, at(seconds), None, "")
    made.on_spawn(name, pid, 7, at(seconds))


CHAIN = (
    boots.program("migrate", oneshot=True),
    boots.program("api", after=("migrate",)),
    boots.program("web", after=("api",)),
)


def build(revision: int, views) -> snapshot.Snapshot:
    return boots.ledger(*views, revision=revision)


def test_dependants_are_held_until_what_they_need_is_ready_one_after_another():
    made = book(*CHAIN)
    assert [made.is_held(name) for name in ("migrate", "api", "web")] == [False, True, True]
    start(made, "migrate", 1)
    assert made.is_held("api")
    made.on_supervisor_state("migrate", entries.EXITED, at(2), OK, "")
    assert [made.is_held(name) for name in ("api", "web")] == [False, True]
    start(made, "api", 2)
    made.advance(at(2.9))
    assert made.is_held("web")
    made.advance(at(3))
    assert not made.is_held("web")


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


def test_a_program_that_was_started_before_is_never_held():
    made = book(*CHAIN[:2])
    start(made, "api", 1)
    made.on_supervisor_state("api", entries.STOPPED, at(2), KILLED, "")
    assert made.entries["api"].reason == "was stopped"


def test_programs_that_wait_for_each_other_are_pending_and_settle():
    made = book(boots.program("a", after=("b",)), boots.program("b", after=("a",)))
    assert (made.entries["a"].state, made.entries["a"].reason) == (snapshot.PENDING, "waits for b")
    assert (made.entries["b"].state, made.entries["b"].reason) == (snapshot.PENDING, "waits for a")


def test_a_circle_with_a_failure_in_it_settles_too():
    made = book(boots.program("a", after=("b",)), boots.program("b", after=("a", "x")), boots.program("x"))
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
    assert made.next_due() is None
    start(made, "a", 1)
    start(made, "b", 1)
    assert made.next_due() == 2.0
    made.advance(at(2.0))
    assert made.next_due() == 6.0
    made.advance(at(6.0))
    assert made.next_due() is None
    assert made.missing() == {}


def test_nothing_stays_due_in_the_past_whatever_ends_or_stops_the_program():
    """Supervisord's loop polls with a timeout of zero until the next due moment has passed."""
    for state in (entries.STOPPING, entries.STOPPED, entries.EXITED, entries.BACKOFF, entries.FATAL, entries.UNKNOWN):
        made = book(boots.program("api"))
        start(made, "api", 1)
        made.on_supervisor_state("api", state, at(1.5), None, "")
        made.advance(at(5))
        assert made.next_due() is None, state
    made = book(boots.program("api"))
    start(made, "api", 1)
    made.remove("api")
    assert made.next_due() is None


def test_what_is_missing_is_named_with_its_reason():
    made = book(*CHAIN, boots.program("extra", required=False), boots.own_programs()[2])
    assert made.missing() == {"migrate": "is about to be started", "api": "waits for migrate", "web": "waits for api"}


def test_no_program_of_the_manifest_starts_before_the_probe_server_and_stage_b_are_ready():
    made = readiness_book.Book((*boots.own_programs(), boots.program("api")), at(0))
    made.advance(at(0))
    assert made.missing() == {
        "probes": "is about to be started", "bootstrap": "is about to be started", "api": "waits for probes, bootstrap",
    }  # fmt: skip
    assert [made.is_held(name) for name in ("probes", "bootstrap", "api")] == [False, False, True]
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
    made.remove("migrate")
    made.advance(at(1))
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
    made.remove("b")
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
    made.remove("stranger")
    assert (made.entries, made.revision) == (before, revision)
    assert not made.is_held("stranger")


def test_five_hundred_programs_cost_nothing_while_nothing_changes(monkeypatch):
    made = book(*(boots.program(f"p{number}", after=(f"p{number - 1}",) if number else ()) for number in range(500)))
    asked = []
    monkeypatch.setattr(ledger, "judge", lambda entry, _now: asked.append(entry) or entry)
    monkeypatch.setattr(ledger, "obstacle", lambda *_arguments: asked.append(1))
    for number in range(100):
        made.advance(at(1 + number))
    assert asked == []


def test_entries_are_frozen_and_a_reader_keeps_what_it_saw():
    made = book(boots.program("a"))
    seen = made.entries["a"]
    start(made, "a", 1)
    assert seen.pid is None
    assert dataclasses.replace(seen) == seen
