"""Waiting: what is reached, what may still come, and what never will."""

import dataclasses

import pytest

from contract import snapshot
from entrypoint import asking, awaiting, situation, unknown
from tests.unit import boots

READY = awaiting.Goal(awaiting.READY)
SEALED = awaiting.Goal(awaiting.SEALED)
API = awaiting.Goal(awaiting.PROGRAM, "api")
PENDING = boots.view("api", state=snapshot.PENDING, reason="must stay up for 1s")


def situated(*views, **changes):
    made = situation.Situation(
        situation.PROBES, snapshot.BOOTING, False, "not yet", boots.WALL, boots.BOOT_ID, programs=views
    )
    return dataclasses.replace(made, **changes)


@pytest.mark.parametrize(
    ("text", "goal"),
    [("ready", READY), ("sealed", SEALED), ("program=api", API), ("requirement=/data", awaiting.Goal(awaiting.REQUIREMENT, "/data")),
     ("program", None), ("program=", None), ("ready=x", None), ("", None), ("Ready", None)],
)  # fmt: skip
def test_a_goal_is_what_the_help_says(text, goal):
    assert awaiting.parse(text) == goal


@pytest.mark.parametrize(
    ("goal", "found", "reached"),
    [
        (READY, situated(boots.view("api"), ready=True), True),
        (READY, situated(PENDING), None),
        (READY, situated(PENDING, ready=None), None),
        (READY, situated(PENDING, phase=snapshot.HELD, failure="api failed"), False),
        (READY, situated(PENDING, phase=snapshot.STOPPING), False),
        (READY, situated(phase=situation.STARTING, failure="plan: broken"), False),
        (READY, situated(boots.view("api", state=snapshot.FAILED, reason="is FATAL", final=True)), False),
        (READY, situated(boots.view("api", state=snapshot.FAILED, reason="exited with code 1")), None),
        (
            READY,
            situated(boots.view("api", state=snapshot.FAILED, reason="is FATAL", final=True, required=False)),
            None,
        ),
        (READY, situated(PENDING, phase=snapshot.SEALED, failure="an outage of long ago"), None),
        (READY, situated(phase=situation.ENDED), False),
        (SEALED, situated(PENDING, sealed_at=boots.WALL), True),
        (SEALED, situated(PENDING), None),
        (API, situated(boots.view("api")), True),
        (API, situated(PENDING), None),
        (API, situated(boots.view("api", state=snapshot.FAILED, reason="is FATAL", final=True)), False),
        (API, situated(PENDING, phase=snapshot.STOPPING), False),
        (API, situated(PENDING, phase=snapshot.HELD), None),
        (API, situated(phase=situation.STARTING), None),
    ],
)
def test_what_is_reached_what_may_come_and_what_never_will(goal, found, reached):
    verdict = awaiting.judge(goal, found)
    assert verdict.reached is reached
    assert verdict.why


def test_a_requirement_is_met_by_its_id_or_its_kind_and_id():
    row = situation.Requirement("/data", "mount", False, "1 MiB is free", boots.WALL, True)
    found = situated(boots.view("api"), requirements=(row,))
    for name in ("/data", "mount:/data"):
        goal = awaiting.Goal(awaiting.REQUIREMENT, name)
        assert awaiting.judge(goal, found) == awaiting.Verdict(None, "1 MiB is free")
        met = dataclasses.replace(found, requirements=(dataclasses.replace(row, met=True),))
        assert awaiting.judge(goal, met).reached


@pytest.mark.parametrize("goal", [awaiting.Goal(awaiting.PROGRAM, "apj"), awaiting.Goal(awaiting.REQUIREMENT, "/dota")])
def test_what_does_not_exist_is_not_waited_for(goal):
    row = situation.Requirement("/data", "mount", True, "", boots.WALL, True)
    with pytest.raises(unknown.Unknown, match="did you mean"):
        awaiting.judge(goal, situated(boots.view("api"), requirements=(row,)))


@pytest.fixture
def story(monkeypatch):
    """Let each look see the next of the situations that the test gives; the last one stays."""

    def tell(*situations):
        left = list(situations)
        monkeypatch.setattr(asking, "look", lambda _, **__: left.pop(0) if len(left) > 1 else left[0])
        monkeypatch.setattr(asking, "probe", lambda *_, **__: [(503, {})])
        return awaiting.wait(None, READY, 0.05 if len(left) == 1 else 60.0, sleep=lambda _: None)

    return tell


ENDED = situated(phase=situation.ENDED, reason="the boot failed: plan: broken", failure="plan: broken", boot_id="old")
NEW = {"boot_id": "new"}


def test_a_boot_that_had_ended_before_is_not_the_one_that_is_waited_for(story):
    assert story(ENDED, ENDED, situated(PENDING, **NEW), situated(boots.view("api"), ready=True, **NEW)).reached is True


def test_a_boot_that_came_and_failed_meanwhile_is(story):
    assert story(ENDED, dataclasses.replace(ENDED, **NEW)).reached is False
    assert story(situated(PENDING), dataclasses.replace(ENDED, boot_id=boots.BOOT_ID)).reached is False


def test_a_directory_that_does_not_exist_yet_is_waited_for_and_one_that_goes_away_is_the_end(story):
    absent = situation.Situation(situation.NOTHING, situation.ABSENT, None, "no boot is known there")
    assert story(absent, absent, situated(boots.view("api"), ready=True)).reached is True
    assert story(absent, situated(PENDING), absent) == awaiting.Verdict(False, "the container is gone")


def test_each_look_is_given_the_time_that_is_left(monkeypatch):
    given = []

    def look(_run, *, timeout_seconds):
        given.append(timeout_seconds)
        return situated(PENDING)

    monkeypatch.setattr(asking, "look", look)
    monkeypatch.setattr(asking, "probe", lambda *_, **__: [(503, {})])
    assert awaiting.wait(None, READY, 0.02, sleep=lambda _: None).reached is None
    assert given == sorted(given, reverse=True) and given[0] <= 0.02


def test_a_time_that_is_over_says_what_lacks(story):
    assert story(situated(PENDING)) == awaiting.Verdict(None, "not yet")
    assert "the boot failed" in story(ENDED).why


def test_what_pid_1_said_once_is_not_reached():
    goal = awaiting.Goal(awaiting.PROGRAM, "api")
    known = situation.of_ledger(boots.ledger(boots.view("api")), None, "x")
    assert awaiting.judge(goal, known).reached is True
    old = awaiting.judge(goal, dataclasses.replace(known, unconfirmed_seconds=30.0))
    assert (old.reached, old.why) == (None, "PID 1 has not confirmed its ledger for 30 s")
