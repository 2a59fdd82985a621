"""What is remembered and what is not: transitions are told once, a sealed boot stays sealed."""

import dataclasses
import json

import pytest

from contract import events, snapshot
from probes import feed, observed, readiness

ACCEPTED = readiness.Verdict(True, "", "2026-01-01T00:00:05.000Z", 1, 1.5)
REFUSED = readiness.Verdict(False, "seal: it changed", "2026-01-01T00:00:06.000Z")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def told():
    return []


@pytest.fixture
def known(boot, told):
    def sink(data):
        told.append(json.loads(data))
        return True

    emitter = events.Emitter("probes", boot.record.boot_id, None, sink)
    return observed.Observed(boot.record, boot.loaded, emitter, Clock())


def test_each_change_of_readiness_is_told_once_with_its_cause(known, told, make):
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(ACCEPTED)
    known.readiness()
    known.take_message(feed.Change(10, make.ledger(revision=11, programs=(make.view("api", snapshot.FAILED),))))
    known.readiness()

    assert [(event["event"], event["ready"], event["missing"]) for event in told] == [
        ("ReadinessChanged", True, []),
        ("ReadinessChanged", False, ["api"]),
    ]
    assert "api" in told[1]["reason"]
    assert known.transitions == {"ready": 1, "unready": 1}


def test_a_ledger_that_grows_stale_is_a_change_that_time_makes(known, told, make):
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(ACCEPTED)
    known._now.now += 3.5

    assert not known.readiness().ready
    assert told[-1]["missing"] == ["ledger"]


def test_a_heartbeat_with_another_revision_asks_for_the_ledger_and_confirms_nothing(known, make):
    gaps = []
    known.on_gap = lambda: gaps.append("gap")
    known.take_message(feed.Whole(make.ledger(revision=10)))
    known.take_verdict(ACCEPTED)
    known._now.now += 2
    known.take_message(feed.Beat(10))
    assert gaps == []

    known._now.now += 2
    known.take_message(feed.Beat(11))
    known._now.now += 2
    known.take_message(feed.Beat(11))

    assert gaps == ["gap", "gap"]
    assert not known.readiness().ready
    assert known.liveness().heartbeat_age_seconds == 0.0


def test_the_whole_ledger_that_was_read_again_makes_it_ready(known, make):
    known.take_verdict(ACCEPTED)

    known.take_reread(make.ledger(), known._now.now)

    assert known.readiness().ready


def test_reading_again_is_no_heartbeat(known, make):
    known._now.now += 10
    known.take_reread(make.ledger(), known._now.now)

    assert known.liveness().heartbeat_age_seconds == 10.0


def test_a_boot_counts_as_sealed_when_its_seal_was_accepted(known, make):
    known.take_message(feed.Whole(make.ledger()))
    assert not known.startup.sealed

    known.take_verdict(ACCEPTED)

    assert known.startup == observed.Startup(True, "2026-01-01T00:00:05.000Z", 1)


def test_a_sealed_boot_stays_sealed_when_the_file_goes_and_in_the_next_generation(known, make):
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(ACCEPTED)
    known.take_verdict(REFUSED)
    known.take_message(feed.Whole(make.ledger(generation=2, revision=1, phase=snapshot.BOOTING, seal=None)))

    assert known.startup.sealed
    assert not known.readiness().ready


@pytest.mark.parametrize(
    "seal", [None, snapshot.SealView("b" * 64, "2026-01-01T01:00:00.000Z", False)], ids=["unsealed", "sealed anew"]
)
def test_a_probe_server_that_began_in_a_later_generation_knows_that_the_boot_was_sealed(known, make, seal):
    known.take_message(feed.Whole(make.ledger(generation=2, revision=1, seal=seal)))

    assert known.startup.sealed


def test_an_unsealed_boot_is_not_sealed(known, make):
    known.take_message(feed.Whole(make.ledger(phase=snapshot.BOOTING, seal=None, boot_sealed_at=None)))
    known.take_verdict(ACCEPTED)

    assert not known.startup.sealed


def test_a_verdict_on_another_generation_does_not_seal_the_boot(known, make):
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(dataclasses.replace(ACCEPTED, generation=7))

    assert not known.startup.sealed


def test_a_new_ledger_wakes_the_seals_watch_and_a_heartbeat_does_not(known, make):
    woken = []
    known.on_ledger = lambda: woken.append("wake")

    known.take_message(feed.Whole(make.ledger()))
    known.take_message(feed.Beat(10))

    assert woken == ["wake"]
