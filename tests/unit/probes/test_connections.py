"""Who goes when there are too many, and who was silent too long."""

import gc
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes import connections, descriptors


class Someone:
    """A client that remembers how it was treated."""

    def __init__(self, name=""):
        self.name = name
        self.treated = ""

    def evict(self):
        self.treated += "evicted "

    def expire(self):
        self.treated += "expired "

    def leave(self):
        self.treated += "left "


@pytest.fixture
def clock():
    class Clock:
        moment = 100.0

        def __call__(self):
            return self.moment

    return Clock()


def test_where_there_is_no_room_the_one_that_was_silent_longest_makes_it(clock):
    known = connections.Connections(clock, limit=3)
    a, b, c = (Someone() for _ in range(3))
    for someone in (a, b, c):
        assert known.make_room()
        known.come(someone)
    known.be_silent(a)  # it began a head

    assert known.make_room()

    assert (a.treated, b.treated, c.treated) == ("", "evicted ", "")
    assert (len(known), known.evicted) == (3, 1)
    known.stay_away()  # the newcomer left before it was here
    assert len(known) == 2


def test_a_client_whose_request_is_answered_is_never_sent_away(clock):
    known = connections.Connections(clock, limit=2)
    held = [Someone(), Someone()]
    for someone in held:
        assert known.make_room()
        known.come(someone)
        known.be_answered(someone)
    clock.moment += 1000

    assert not known.make_room()
    known.expire()
    assert [someone.treated for someone in held] == ["", ""]
    known.be_silent(held[0])  # it has its answer
    assert known.make_room()
    assert held[0].treated == "evicted "


def test_silence_ends_after_its_time_and_not_before(clock):
    known = connections.Connections(clock)
    early, late = Someone(), Someone()
    known.be_silent(early)
    clock.moment += 1
    known.be_silent(late)
    clock.moment += connections.SILENCE_SECONDS - 0.5

    known.expire()

    assert (early.treated, late.treated) == ("expired ", "")
    assert len(known) == 1


def test_a_client_that_is_gone_is_nobody(clock):
    known = connections.Connections(clock, limit=1)
    gone = Someone()
    known.be_silent(gone)
    known.forget(gone)
    known.forget(gone)
    known.be_answered(gone)  # its request was still on its way to a handler

    assert len(known) == 0
    assert not known.evict_one()
    known.end()
    assert gone.treated == ""


def test_where_too_much_is_owed_those_go_that_owe_too_long_and_nobody_owes_more_until_then(clock):
    known = connections.Connections(clock)
    half = connections.UNTAKEN_LIMIT // 2
    first, second, streaming, quick = (Someone() for _ in range(4))
    for someone in (first, second, streaming, quick):
        assert known.make_room()
        known.come(someone)
    known.be_answered(streaming)
    assert known.may_owe()
    for someone in (streaming, first, second):
        known.owe(someone, half)
    assert not known.may_owe()
    assert first.treated == ""
    clock.moment += connections.GRACE_SECONDS

    assert known.may_owe()

    assert (first.treated, second.treated, streaming.treated, quick.treated) == ("evicted ", "", "", "")
    assert known.untaken_bytes == half + connections.KERNEL_BYTES
    known.forget(second)
    assert known.untaken_bytes == 0


def test_a_client_that_is_sent_away_owes_nothing(clock):
    known = connections.Connections(clock)
    assert known.make_room()
    someone = Someone()
    known.come(someone)
    known.owe(someone, 1000)
    known.evict_one()

    assert known.untaken_bytes == 0


STEPS = st.lists(st.tuples(st.sampled_from(["come", "ask", "answer", "go"]), st.integers(0, 9)), max_size=200)


def test_who_is_on_the_way_has_a_place_already(clock):
    """Taking a connection from the kernel and having it here are not one moment; between them many come at once."""
    known = connections.Connections(clock, limit=2)
    first = Someone()
    assert known.make_room()
    known.come(first)

    assert [known.make_room() for _ in range(3)] == [True, True, False]
    assert first.treated == "evicted "


@given(STEPS)
def test_there_are_never_more_than_the_limit_and_nobody_is_lost(steps):
    known = connections.Connections(lambda: 0.0, limit=4)
    people = {index: Someone(str(index)) for index in range(10)}
    here, asking = set(), set()
    for step, index in steps:
        someone = people[index]
        if someone.treated:
            here.discard(index)
            asking.discard(index)
            people[index] = someone = Someone(str(index))
        if step == "come" and index not in here and known.make_room():
            known.come(someone)
            here.add(index)
        elif step == "ask" and index in here:
            known.be_answered(someone)
            asking.add(index)
        elif step == "answer" and index in asking:
            known.be_silent(someone)
            asking.discard(index)
        elif step == "go":
            known.forget(someone)
            here.discard(index)
            asking.discard(index)
        here = {one for one in here if not people[one].treated}
        assert len(known) == len(here) <= 4
        assert known.answering == len(asking & here)


def cost(count):
    """Return the seconds that 20,000 newcomers cost where ``count`` are here already."""
    known = connections.Connections(lambda: 0.0, limit=count)
    for _ in range(count):
        known.make_room()
        known.come(Someone())
    newcomers = [Someone() for _ in range(20_000)]
    gc.disable()
    began = time.process_time()
    for someone in newcomers:
        known.make_room()
        known.come(someone)
    took = time.process_time() - began
    gc.enable()
    return took


def test_a_newcomer_costs_the_same_however_many_there_are():
    """A thousand times as many: a walk through them would cost a thousand times as much."""
    assert min(cost(100_000) for _ in range(3)) < 20 * min(cost(100) for _ in range(3))


# --- descriptors -------------------------------------------------------------------------------------------------------


class Limits:
    """The process's limits, for a test."""

    RLIM_INFINITY = -1
    RLIMIT_NOFILE = 7

    def __init__(self, soft, hard, *, is_forbidden=False):
        self.now, self.is_forbidden = (soft, hard), is_forbidden

    def getrlimit(self, _which):
        return self.now

    def setrlimit(self, _which, limits):
        if self.is_forbidden:
            raise ValueError("not allowed to raise maximum limit")
        self.now = limits


@pytest.mark.parametrize(
    ("limits", "room", "soft"),
    [
        (Limits(1024, 4096), 2048, 2048 + descriptors.RESERVE), (Limits(1024, 1024), 1024 - descriptors.RESERVE, 1024),
        (Limits(65536, 65536), 2048, 65536), (Limits(-1, -1), 2048, -1), (Limits(1024, -1), 2048, 2048 + descriptors.RESERVE),
        (Limits(1024, 4096, is_forbidden=True), 1024 - descriptors.RESERVE, 1024), (Limits(64, 64), 16, 64),
    ],
)  # fmt: skip
def test_the_soft_limit_is_raised_as_far_as_needed_and_allowed(monkeypatch, limits, room, soft):
    monkeypatch.setattr(descriptors, "resource", limits)

    assert descriptors.room_for(2048) == room
    assert limits.now[0] == soft
