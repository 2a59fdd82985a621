import types

import pytest

from contract import clock, snapshot
from manifest import plan
from supervisord import desk, entries, ledger, readiness_book
from tests.unit import boots

KILLED = snapshot.Exit(None, 9)
PROGRAMS = (
    boots.program("db"),
    boots.program("api", after=boots.needs("db", bind=True), rank=1),
    boots.program("worker", after=boots.needs("db", condition=plan.STARTED), rank=1),
    boots.program("web", after=boots.needs("api", bind=True), rank=2),
)


class Box:
    """A desk over a book in which bootseal's own programs are ready; time stands still until it is moved."""

    def __init__(self, *programs) -> None:
        self.now = 100.0
        self.sealing = types.SimpleNamespace(is_stopping=False)
        the_plan = boots.make_plan(*(programs or PROGRAMS))
        self.book = readiness_book.Book(the_plan.programs, self.moment(), lambda: 0.0)
        self.faults = object()
        self.desk = desk.Desk(the_plan, self.book, self.sealing, self.faults)
        self.start(plan.PROBES)
        self.book.change(plan.PROBES, self.moment(), lambda one: ledger.on_subscription(one, True, self.moment()))
        self.start(plan.STAGE_B)
        self.tell(plan.STAGE_B, entries.EXITED, snapshot.Exit(0, None))

    def moment(self) -> entries.Moment:
        return entries.Moment(self.now, "wall")

    def tell(self, name: str, state: str, ended=None) -> None:
        self.book.on_supervisor_state(name, state, self.moment(), ended, "")

    def start(self, name: str) -> None:
        self.tell(name, entries.STARTING)
        self.book.on_spawn(name, 42, 7, self.moment())

    def run(self, *names: str) -> "Box":
        """Let ``names`` become ready one after another."""
        for name in names:
            self.start(name)
            self.now += 1.5
            self.tell(name, entries.RUNNING)
            self.book.advance(self.moment())
            assert self.book.is_ready(name)
        return self

    def stop(self, name: str) -> None:
        """Do what an operator's stop does."""
        self.desk.unwant(name)
        if self.book.entries[name].run is not None:
            self.tell(name, entries.STOPPING)
        self.tell(name, entries.STOPPED, KILLED)

    def may_start(self, name: str) -> bool:
        return self.book.may_start(name, self.now)


@pytest.fixture
def make(monkeypatch):
    def made(*programs) -> Box:
        box = Box(*programs)
        monkeypatch.setattr(clock, "monotonic", lambda: box.now)
        return box

    return made


def test_the_desk_knows_the_plan_and_whose_a_program_is(make):
    box = make()
    assert (box.desk.knows("db"), box.desk.knows("stranger")) == (True, False)
    assert [box.desk.is_own(name) for name in (plan.PROBES, plan.SEAL, plan.STAGE_B, "db", "stranger")] == [
        True, True, True, False, False,
    ]  # fmt: skip
    assert [box.desk.rank(name) for name in ("db", "web", "stranger")] == [0, 2, 0]
    assert box.desk.faults() is box.faults


def test_nothing_stands_against_a_program_whose_needs_are_there_or_that_is_none_of_ours(make):
    box = make().run("db")
    for name in ("db", "api", "worker", "stranger"):
        assert box.desk.obstacle(name) is None, name


def test_what_comes_by_itself_is_pending(make):
    box = make()
    assert box.desk.obstacle("api") == (snapshot.PENDING, "waits for db")
    assert box.desk.obstacle("web") == (snapshot.PENDING, "waits for api")
    box.start("db")
    assert box.desk.obstacle("worker") is None
    assert box.desk.obstacle("api") == (snapshot.PENDING, "waits for db")


def test_a_need_that_was_stopped_is_named_however_far_it_is(make):
    box = make().run("db", "api", "web")
    for name in ("web", "api", "db"):
        box.stop(name)
    assert box.desk.obstacle("api") == (desk.STOPPED, "needs db, which was stopped; start db first")
    kind, reason = box.desk.obstacle("web")
    assert kind == desk.STOPPED
    assert "start api first" in reason
    box.desk.want("api")
    assert box.desk.obstacle("web") == (desk.STOPPED, "needs db, which was stopped; start db first")
    box.desk.want("db")
    assert box.desk.obstacle("web")[0] == snapshot.PENDING


def test_a_need_that_was_stopped_does_not_matter_where_it_is_met_otherwise(make):
    box = make(boots.program("migrate", oneshot=True), boots.program("api", after=boots.needs("migrate")))
    box.start("migrate")
    box.tell("migrate", entries.EXITED, snapshot.Exit(0, None))
    assert box.desk.obstacle("api") is None, "a one-shot that completed does not start by itself, and need not"


def test_what_failed_for_good_is_failed_until_somebody_wants_it_again(make):
    box = make(boots.program("db", start_retries=0), PROGRAMS[1])
    box.start("db")
    box.tell("db", entries.BACKOFF, KILLED)
    box.tell("db", entries.FATAL)
    kind, reason = box.desk.obstacle("api")
    assert kind == snapshot.FAILED
    assert reason.startswith("needs db, which is FATAL")
    box.desk.want("db")
    assert box.may_start("db")
    assert box.desk.obstacle("api")[0] == snapshot.PENDING, "start all must not refuse who needs it"


def test_a_want_holds_until_the_needs_come_and_a_later_stop_takes_it_back(make):
    box = make().run("db", "api")
    box.stop("api")
    box.stop("db")
    box.desk.want("api")
    assert not box.may_start("api")
    box.desk.want("db")
    box.run("db")
    assert box.may_start("api")
    box.desk.unwant("api")
    assert not box.may_start("api")
    assert not box.may_start("stranger")
    box.desk.want("stranger")
    box.desk.unwant("stranger")


def test_a_program_that_was_stopped_during_its_pause_stays_stopped(make):
    box = make()
    box.start("db")
    box.tell("db", entries.BACKOFF, KILLED)
    box.stop("db")
    box.now += 1e6
    box.book.advance(box.moment())
    assert not box.may_start("db")


def test_who_is_bound_is_named_with_its_own_dependants_first(make):
    box = make().run("db", "api", "web", "worker")
    assert box.desk.bound("db") == ["web", "api"]
    assert box.desk.bound("api") == ["web"]
    assert box.desk.bound("web") == []
    assert box.desk.bound("stranger") == []


def test_who_is_bound_and_neither_runs_nor_is_to_run_is_not_named(make):
    box = make().run("db", "api", "web")
    box.stop("web")
    assert box.desk.bound("db") == ["api"]
    box.desk.want("web")
    assert box.desk.bound("db") == ["web", "api"]


def test_a_circle_of_bonds_ends(make):
    box = make(
        boots.program("a", after=boots.needs("b", bind=True)), boots.program("b", after=boots.needs("a", bind=True))
    )
    assert set(box.desk.bound("a")) == {"a", "b"}


def test_what_is_paused_comes_back_with_what_it_is_bound_to_and_what_is_stopped_does_not(make):
    box = make().run("db", "api")
    box.desk.pause_bound("api")
    box.tell("api", entries.STOPPING)
    box.tell("api", entries.STOPPED, KILLED)
    box.stop("db")
    assert not box.may_start("api")
    box.desk.want("db")
    box.run("db")
    assert box.may_start("api")


def test_a_program_is_described_in_the_ledgers_words(make):
    box = make()
    assert box.desk.describe("api") == "waits for db"
    box.run("db")
    assert box.desk.describe("db") == "ready (running for 1s)"
    box.book.change("db", box.moment(), lambda one: ledger.with_status(one, "serving 7"))
    assert box.desk.describe("db") == "ready (running for 1s) [serving 7]"
    assert box.desk.describe("stranger") == "not in the plan"


def test_the_desk_says_whether_all_stops(make):
    box = make()
    assert not box.desk.is_stopping()
    box.sealing.is_stopping = True
    assert box.desk.is_stopping()
