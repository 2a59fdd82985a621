import dataclasses
import json
import types

import pytest

from contract import clock, events, snapshot
from supervisord import entries, ledger, output, telling
from tests.unit import boots


class Book:
    """The ledger's book as far as telling asks it."""

    def __init__(self):
        self.revision = 1
        self.entries = {}
        self.waits = True

    def is_waiting(self):
        return self.waits

    def take_unsent(self):
        return ()

    def text(self, build):
        return snapshot.dump(build(self.revision, ()))


class Sealing:
    """A generation that is booting or not."""

    def __init__(self, *, is_booting):
        self.is_booting = is_booting

    def snapshot(self, revision, views):
        phase = snapshot.BOOTING if self.is_booting else snapshot.SEALED
        return snapshot.Snapshot(snapshot.SCHEMA, "b", 1, 1, 1, revision, phase, None, None, None, None, tuple(views))


class Subscribers:
    def __init__(self):
        self.lines = []

    def broadcast(self, line):
        self.lines.append(json.loads(line))


@pytest.fixture
def now(monkeypatch):
    """A clock that stands still until it is moved."""
    moment = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: moment[0])
    return moment


def make(*, is_booting):
    channels = (output.Channel(1), output.Channel(2))
    emitter = events.Emitter("test", "b", None, lambda _line: True)
    return telling.Telling(None, Book(), Sealing(is_booting=is_booting), emitter, channels)


def test_while_booting_changes_gather_and_are_due_soon(now):
    told, subscribers = make(is_booting=True), Subscribers()
    told.publish(subscribers)
    told._book.revision = 2
    told.publish(subscribers)
    assert [line["snapshot"]["revision"] for line in subscribers.lines] == [1]
    assert now[0] < told.next_due() <= now[0] + 0.1
    now[0] = told.next_due()
    told.publish(subscribers)
    assert [(line["after"], line["snapshot"]["revision"]) for line in subscribers.lines] == [(-1, 1), (1, 2)]
    assert told.next_due() is None


def test_the_change_that_makes_everything_ready_does_not_wait(now):
    told, subscribers = make(is_booting=True), Subscribers()
    told.publish(subscribers)
    told._book.revision = 2
    told._book.waits = False
    assert told.next_due() <= now[0]
    told.publish(subscribers)
    assert [line["snapshot"]["revision"] for line in subscribers.lines] == [1, 2]


def test_once_sealed_every_change_is_told_at_once(now):
    told, subscribers = make(is_booting=False), Subscribers()
    for revision in (1, 2, 3):
        told._book.revision = revision
        told.publish(subscribers)
    assert [line["snapshot"]["revision"] for line in subscribers.lines] == [1, 2, 3]
    assert told.next_due() is None


def test_without_a_change_a_beat_says_once_a_second_that_pid_1_lives(now):
    told, subscribers = make(is_booting=False), Subscribers()
    told.publish(subscribers)
    for _ in range(10):
        now[0] += 0.25
        told.publish(subscribers)
    kinds = [line["type"] for line in subscribers.lines]
    assert kinds[0] == "change"
    assert kinds[1:] == ["beat", "beat"]
    assert subscribers.lines[1]["revision"] == 1


def test_a_program_that_changes_all_the_time_does_not_push_the_boot_out_of_the_log(now, monkeypatch):
    told = make(is_booting=False)
    emitted = []
    monkeypatch.setattr(told, "_emitter", types.SimpleNamespace(emit=lambda event, **fields: emitted.append(event)))
    entry = ledger.judge(ledger.first_entry(boots.program("api"), entries.Moment(0.0, "w")), entries.Moment(0.0, "w"))
    ready = dataclasses.replace(entry, state=snapshot.READY)
    told._book.take_changes = lambda: [ready]
    told._book.last_lines = lambda _name: ()
    for _ in range(200):
        told.report_changes()
    assert emitted == ["ProgramReady"] * 20 + ["ProgramFlapping"]
    now[0] += 61
    told.report_changes()
    assert emitted[-1] == "ProgramReady"
