import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import clock, events, masking, snapshot
from manifest import plan
from supervisord import entries, proofs, readiness_book
from tests.unit import boots

NOTIFYING = boots.program("api", ready=boots.ready(plan.NOTIFY, watchdog_seconds=3.0, timeout_seconds=5.0))
CHECKED = boots.program(
    "web",
    ready=boots.ready(plan.HTTP, check=boots.check(plan.HTTP)),
    live=plan.LivePlan(boots.check(plan.HTTP), 1.0, 1, 1, restart=False),
)
PLAIN = boots.program("plain")


class Box:
    """A book whose programs run as pid 42, started at 7, since 100; time stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[dict] = []
        emitter = events.Emitter("test", "b", None, lambda line: bool(self.lines.append(json.loads(line))) or True)
        self.book = readiness_book.Book((NOTIFYING, CHECKED, PLAIN), self.moment())
        self.proofs = proofs.Proofs(self.book, emitter)
        for name in ("api", "web", "plain"):
            self.start(name)

    def moment(self) -> entries.Moment:
        return entries.Moment(self.now, "wall")

    def start(self, name: str, pid: int = 42) -> None:
        self.tell(name, entries.STARTING)
        self.book.on_spawn(name, pid, 7, self.moment())

    def tell(self, name: str, state: str) -> None:
        self.book.on_supervisor_state(name, state, self.moment(), None, "")

    def run(self, name: str) -> entries.Run:
        return self.book.entries[name].run

    def state(self, name: str) -> tuple[str, str]:
        entry = self.book.entries[name]
        return entry.state, entry.reason

    def overdue(self, seconds: float) -> list[str]:
        return [why for _, _, why in self.book.take_overdue(entries.Moment(seconds, "wall"))]

    def verdict(self, **changes) -> None:
        self.proofs.verdict(
            {"program": "web", "pid": 42, "pid_start": 7, "purpose": "ready", "ok": True, "reason": "", **changes}
        )


@pytest.fixture
def box(monkeypatch):
    made = Box()
    monkeypatch.setattr(clock, "monotonic", lambda: made.now)
    return made


def test_a_proof_makes_ready_and_says_by_what(box):
    box.proofs.proven("api", "READY=1")
    assert box.book.is_ready("api")
    assert box.book.entries["api"].ready_by == "READY=1"


def test_nobodys_proof_changes_nothing(box):
    box.tell("api", entries.EXITED)
    before = dict(box.book.entries)
    for name in ("api", "stranger"):
        box.proofs.proven(name, "READY=1")
        box.proofs.withdrawn(name, "x")
        box.proofs.stopping(name)
        box.proofs.extended(name, 5.0)
        box.proofs.main_pid(name, 1)
        box.proofs.alive(name)
        box.proofs.alarmed(name)
        box.proofs.watchdog_interval(name, 1.0)
    assert box.book.entries == before


def test_a_proof_of_an_earlier_process_does_not_count_for_the_next(box):
    box.proofs.proven("api", "READY=1")
    box.tell("api", entries.EXITED)
    box.start("api", pid=43)
    assert not box.book.is_ready("api")


def test_doubt_takes_readiness_away_and_a_new_proof_gives_it_back(box):
    box.proofs.proven("api", "READY=1")
    box.proofs.withdrawn("api", "reloads")
    assert box.state("api") == (snapshot.PENDING, "reloads")
    box.proofs.proven("api", "READY=1")
    assert box.book.is_ready("api")
    box.proofs.stopping("api")
    assert box.state("api") == (snapshot.PENDING, "said STOPPING=1")


def test_a_proof_that_is_repeated_does_not_move_the_moment_of_the_first(box):
    box.proofs.proven("api", "READY=1")
    box.now = 150.0
    box.proofs.proven("api", "READY=1")
    assert box.run("api").proven_at == 100.0


def test_what_a_program_says_of_itself_is_shown_and_decides_nothing(box):
    box.proofs.said("api", "warming up")
    assert box.book.entries["api"].status == "warming up"
    assert not box.book.is_ready("api")
    box.proofs.said("stranger", "x")
    box.proofs.said("api", "  \x1bat\n work " + "x" * 300)
    assert box.book.entries["api"].status == "at work " + "x" * 248


@pytest.mark.parametrize("there", range(1, 14))
def test_where_a_status_is_cut_no_part_of_a_secret_is_left(box, there):
    hidden = masking.Hidden(["hunter22sesame", "hunter2 sesame"])
    box.proofs.hide = lambda _name, text: masking.mask(text, hidden)
    for printed in ("hunter22sesame", "hunter2\t\tsesame"):
        box.proofs.said("api", "." * (256 - there) + printed + "." * 20)
        assert box.book.entries["api"].status.strip(".*") == ""


def test_a_secret_of_much_white_space_is_hidden_before_it_is_drawn_together_and_after(box):
    hidden = masking.Hidden(["ab\tcd\tef  gh\tij\tkl", "one two three"])
    box.proofs.hide = lambda _name, text: masking.mask(text, hidden)
    box.proofs.said("api", "is ab\tcd\tef  gh\tij\tkl and one\ttwo\t\tthree")
    assert box.book.entries["api"].status == "is *** and ***"


@given(
    st.text(alphabet="abcdef0123 \té", min_size=8, max_size=50).filter(lambda one: len(one.strip()) >= 8),
    st.sampled_from([1, 7, 40]), st.integers(0, 320), st.sampled_from(["", " ", "\t\t"]),
)  # fmt: skip
def test_wherever_a_status_or_a_reason_is_cut_no_eight_characters_of_a_secret_are_shown(word, times, place, gap):
    box, secret = Box(), word.strip() * times
    hidden = masking.Hidden([secret])
    box.proofs.hide = lambda _name, text: masking.mask(text, hidden)
    box.proofs.said("api", "." * place + gap + secret + gap + "." * 300)
    box.proofs.verdict(
        {"program": "web", "pid": 42, "pid_start": 7, "purpose": "ready", "ok": False, "reason": "." * place + secret}
    )
    run = box.run("web")
    assert run.check_reason
    for shown in (box.book.entries["api"].status, run.check_reason):
        for at in range(len(secret) - 7):
            piece = secret[at : at + 8]
            assert len(piece.encode()[:8].strip()) < 4 or piece not in shown


def test_the_watchdog_begins_with_readiness_and_every_word_moves_it(box):
    box.proofs.alive("api")
    assert box.run("api").watchdog_at is None
    box.proofs.proven("api", "READY=1")
    box.now = 102.0
    box.proofs.alive("api")
    assert box.book.next_due(box.now) == 105.0
    assert box.overdue(104.9) == []
    assert box.overdue(105.0) == ["did not say WATCHDOG=1 within 3s"]


def test_a_program_without_a_watchdog_has_none_whatever_it_says(box):
    box.proofs.alive("plain")
    box.proofs.alarmed("plain")
    box.proofs.watchdog_interval("plain", 0.1)
    box.proofs.proven("plain", "READY=1")
    assert (box.run("plain").watchdog_seconds, box.run("plain").watchdog_at) == (None, None)
    assert not any("WATCHDOG" in why for why in box.overdue(1e9))


def test_an_alarm_is_due_at_once_also_before_readiness(box):
    box.proofs.alarmed("api")
    assert box.book.next_due(box.now) < box.now
    assert box.overdue(box.now) == ["did not say WATCHDOG=1 within 3s"]


def test_a_program_changes_how_often_it_speaks_but_never_turns_its_watchdog_off_or_against_itself(box):
    box.proofs.proven("api", "READY=1")
    box.proofs.watchdog_interval("api", 10.0)
    box.proofs.watchdog_interval("api", 0.0)
    assert box.overdue(109.9) == []
    assert box.overdue(110.0) == ["did not say WATCHDOG=1 within 10s"]


def test_more_time_moves_the_start_deadline_and_never_brings_it_nearer(box):
    box.proofs.extended("api", 60.0)
    assert box.run("api").start_deadline == 160.0
    box.proofs.extended("api", 1.0)
    assert box.run("api").start_deadline == 160.0
    box.proofs.extended("plain", 60.0)
    assert box.run("plain").start_deadline is None, "one that has no deadline gets none"


def test_more_time_holds_the_watchdog_off_too(box):
    box.proofs.proven("api", "READY=1")
    box.proofs.extended("api", 60.0)
    assert box.overdue(159.9) == []
    box.proofs.alive("api")
    assert box.overdue(159.9) == [], "a word in between does not shorten it"
    assert len(box.overdue(160.0)) == 1


def test_more_time_to_stop_is_asked_for_only_while_it_stops(box):
    asked: list[tuple[str, float]] = []
    box.proofs.on_longer_stop = lambda *one: asked.append(one)
    box.proofs.extended("api", 5.0)
    assert asked == []
    box.tell("api", entries.STOPPING)
    deadline = box.run("api").start_deadline
    box.proofs.extended("api", 5.0)
    assert asked == [("api", 5.0)]
    assert box.run("api").start_deadline == deadline


def test_refusals_are_told_and_a_flood_of_them_is_not(box):
    for number in range(1000):
        box.proofs.refused(f"reason {number}")
    assert [line["event"] for line in box.lines] == ["NotificationRefused"] * 20
    assert box.lines[0]["reason"] == "reason 0"


def test_a_verdict_of_the_present_process_makes_ready(box):
    box.verdict(ok=False, reason="connection refused")
    assert box.state("web")[1] == "was started and its http check has not passed yet: connection refused"
    box.verdict()
    assert box.book.is_ready("web")
    assert box.book.entries["web"].ready_by == "http check"


@pytest.mark.parametrize("other", [{"pid": 41}, {"pid_start": 8}, {"program": "stranger"}])
def test_a_verdict_of_another_process_is_nobodys(box, other):
    before = dict(box.book.entries)
    box.verdict(**other)
    assert (box.book.entries, box.lines) == (before, [])


@pytest.mark.parametrize("name", ["api", "plain"])
def test_a_program_that_proves_itself_is_not_made_ready_by_a_check(box, name):
    box.verdict(program=name)
    assert not box.book.is_ready(name)
    assert name in box.lines[0]["reason"]


@pytest.mark.parametrize(
    "changes",
    [{"ok": 1}, {"ok": "true"}, {"pid": "42"}, {"pid": None}, {"reason": None}, {"purpose": 3}, {"program": ["web"]}],
)
def test_a_verdict_of_the_wrong_shape_is_refused_and_changes_nothing(box, changes):
    before = dict(box.book.entries)
    box.verdict(**changes)
    assert box.book.entries == before
    assert [line["reason"] for line in box.lines] == ["a verdict of the probe server is incomplete"]


def test_an_incomplete_verdict_is_refused_and_an_unknown_purpose_is_ignored(box):
    box.proofs.verdict({})
    assert len(box.lines) == 1
    before = dict(box.book.entries)
    box.verdict(purpose="luck")
    assert box.book.entries == before


def test_a_live_verdict_takes_readiness_gives_it_back_and_renews_it(box):
    box.verdict()
    box.now = 101.0
    box.verdict(purpose="live", ok=False, reason="503")
    assert box.state("web") == (snapshot.FAILED, "its live check fails: 503")
    box.now = 102.0
    box.verdict(purpose="live")
    assert box.book.is_ready("web")
    assert box.run("web").live_at == 102.0


def test_a_live_verdict_proves_nothing_that_was_not_proven(box):
    box.verdict(purpose="live")
    assert not box.book.is_ready("web")


def test_a_reason_from_outside_is_bounded(box):
    box.verdict(ok=False, reason="x" * 100_000)
    assert len(box.state("web")[1]) < 400
    box.verdict()
    box.verdict(purpose="live", ok=False, reason="x" * 100_000)
    assert len(box.state("web")[1]) < 400


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["web", "ready", "live"]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner, max_size=2),
    max_leaves=4,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("program", "pid", "pid_start", "purpose", "ok", "reason"), JSON))
)
def test_whatever_the_probe_server_sends_nothing_breaks_and_nothing_else_becomes_ready(verdict):
    box = Box()
    box.proofs.verdict(verdict)
    assert not any(box.book.is_ready(name) for name in ("api", "plain"))
