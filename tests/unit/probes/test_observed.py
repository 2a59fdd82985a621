"""What is remembered and what is not: transitions are told once, a sealed boot stays sealed."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import events, snapshot
from manifest import plan, serving
from probes import feed, observed, readiness
from probes.checks import verdict
from probes.requirements import board
from tests.unit import boots

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
    known.take_verdict(ACCEPTED, known.now())
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
    known.take_verdict(ACCEPTED, known.now())
    known._now.now += 3.5

    assert not known.readiness().ready
    assert told[-1]["missing"] == ["ledger"]


def test_a_seal_that_nobody_looks_at_any_more_ends_readiness_by_time_alone_and_says_so(known, told, make):
    began = known._now.now
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(ACCEPTED, began)
    for _ in range(5):
        known._now.now += 1.0
        known.take_message(feed.Beat(10))
    assert known.readiness().ready

    known._now.now += 0.1

    [row] = known.readiness().missing
    assert (row.id, row.kind) == ("bootstrap.done", "seal")
    assert row.reason.startswith("no look at the seal that began after 20")
    assert known.readiness() is known.readiness()
    assert known.readiness().missing[0].since == row.since > ACCEPTED.since
    assert told[-1]["missing"] == ["bootstrap.done"]


def test_a_look_at_the_seal_that_hung_says_nothing_when_it_ends_at_last_and_the_next_one_does(known, make):
    began = known._now.now
    known._now.now += readiness.SEAL_STALE_AFTER_SECONDS + 1.0
    known.take_message(feed.Whole(make.ledger()))

    known.take_verdict(ACCEPTED, began)
    assert not known.readiness().ready
    assert not known.startup.sealed

    known.take_verdict(ACCEPTED, known._now.now)
    assert known.readiness().ready


def test_a_refusal_that_grows_old_keeps_its_cause_and_since(known, make):
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(REFUSED, known.now())
    known._now.now += readiness.SEAL_STALE_AFTER_SECONDS + 1.0

    assert known.seal.reason.startswith(f"{REFUSED.reason}; no look at the seal")
    assert (known.seal.since, known.seal.is_judged) == (REFUSED.since, False)


def test_a_heartbeat_with_another_revision_asks_for_the_ledger_and_confirms_nothing(known, make):
    gaps = []
    known.on_gap = lambda: gaps.append("gap")
    known.take_message(feed.Whole(make.ledger(revision=10)))
    known.take_verdict(ACCEPTED, known.now())
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
    known.take_verdict(ACCEPTED, known.now())

    known.take_reread(make.ledger(), known._now.now)

    assert known.readiness().ready


def test_reading_again_is_no_heartbeat(known, make):
    known._now.now += 10
    known.heartbeat.note_lag(0.0, known._now.now)
    known.take_reread(make.ledger(), known._now.now)

    assert known.liveness().heartbeat_age_seconds == 10.0


def test_a_boot_counts_as_sealed_when_its_seal_was_accepted(known, make):
    known.take_message(feed.Whole(make.ledger()))
    assert not known.startup.sealed

    known.take_verdict(ACCEPTED, known.now())

    assert known.startup == observed.Startup(True, "2026-01-01T00:00:05.000Z", 1)


def test_a_sealed_boot_stays_sealed_when_the_file_goes_and_in_the_next_generation(known, make):
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(ACCEPTED, known.now())
    known.take_verdict(REFUSED, known.now())
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
    known.take_verdict(ACCEPTED, known.now())

    assert not known.startup.sealed


def test_a_verdict_on_another_generation_does_not_seal_the_boot(known, make):
    known.take_message(feed.Whole(make.ledger()))
    known.take_verdict(dataclasses.replace(ACCEPTED, generation=7), known.now())

    assert not known.startup.sealed


def test_a_new_ledger_wakes_the_seals_watch_and_a_heartbeat_does_not(known, make):
    woken = []
    known.on_ledger = lambda: woken.append("wake")

    known.take_message(feed.Whole(make.ledger()))
    known.take_message(feed.Beat(10))

    assert woken == ["wake"]


# --- requirements beside programs -------------------------------------------------------------------------------------

MOUNT = serving.MountPlan("/workspace", is_mount=False, writable=True, free_bytes=1, required=True)
RELAY = serving.ConditionPlan("relay", boots.check(plan.TCP), 1.0, 1, 1, required=False)
FULL = verdict.failed("12.3 MiB are free, 100 MiB must be")


class Box:
    """What is observed of one boot without files or processes, and what it told."""

    def __init__(self, *, settle_seconds=0.0):
        self.now = 100.0
        self.told = []
        wanted = boots.make_plan(readiness=serving.ReadinessPlan((MOUNT,), (RELAY,), settle_seconds))
        loaded = plan.LoadedPlan(wanted, "/opt/box", boots.SHA256)
        emitter = events.Emitter("probes", boots.BOOT_ID, None, lambda data: self.told.append(json.loads(data)) or True)
        record = dataclasses.replace(boots.boot(), pid1_start=7)
        self.known = observed.Observed(record, loaded, emitter, lambda: self.now)

    def tell(self, phase=snapshot.SEALED, state=snapshot.READY, revision=3):
        seal = snapshot.SealView("ab" * 32, boots.WALL, late=False) if phase == snapshot.SEALED else None
        self.known.take_message(
            feed.Whole(
                boots.ledger(
                    boots.view("api", state=state), phase=phase, seal=seal, revision=revision,
                    boot_sealed_at=boots.WALL if phase == snapshot.SEALED else None,
                )
            )
        )  # fmt: skip

    def look(self, found=verdict.PASSED, *, kind="mount", name="/workspace"):
        self.known.take_requirement(kind, name, found, self.now)

    def booted(self):
        """Boot, and be ready."""
        self.tell(snapshot.BOOTING)
        self.look()
        self.tell()
        self.known.take_verdict(ACCEPTED, self.known.now())
        assert self.known.readiness().ready
        return self


def test_a_boot_whose_mounts_nobody_looked_at_is_not_ready():
    box = Box()
    box.tell()
    box.known.take_verdict(ACCEPTED, box.known.now())

    decided = box.known.readiness()

    assert decided.reason == "required mount /workspace: it was not looked at yet"


def test_a_mount_that_fills_up_ends_readiness_and_one_that_is_freed_restores_it():
    box = Box().booted()

    box.look(FULL)
    assert box.known.readiness().reason == f"required mount /workspace: {FULL.reason}"
    box.look()

    assert box.known.readiness().ready
    assert [(event["ready"], event["missing"]) for event in box.told] == [
        (True, []), (False, ["mount:/workspace"]), (True, []),
    ]  # fmt: skip
    assert box.known.transitions == {"ready": 2, "unready": 1}


def test_a_mount_that_nobody_looks_at_any_more_ends_readiness_by_time_alone():
    box = Box().booted()
    for _ in range(6):
        box.now += 1.0
        box.tell()
        box.known.take_verdict(ACCEPTED, box.known.now())

    assert [one.id for one in box.known.readiness().missing] == ["/workspace"]


def test_an_optional_check_is_shown_and_takes_nothing_away():
    box = Box().booted()

    box.look(verdict.failed("connection refused"), kind="check", name="relay")

    assert box.known.readiness().ready
    assert box.known.required_names() == ["api", "mount:/workspace"]
    assert [(one.id, one.met, one.required) for one in box.known.requirements()] == [
        ("/workspace", True, True), ("relay", False, False),
    ]  # fmt: skip


def test_what_is_required_later_counts_from_then_on():
    box = Box().booted()
    assert box.known.required_names() == ["api", "mount:/workspace"]

    box.known.require(board.THE_IDENTITY)

    assert [one.kind for one in box.known.readiness().missing] == ["identity"]
    assert box.known.required_names() == ["api", "mount:/workspace", "identity"]


def test_after_an_outage_it_settles_and_settling_is_no_transition():
    box = Box(settle_seconds=2.0).booted()
    box.tell(state=snapshot.FAILED, revision=4)
    box.now += 1.0
    box.tell(revision=5)

    decided = box.known.readiness()

    assert [(one.id, one.kind) for one in decided.missing] == [("settle", "boot")]
    box.now += 2.0
    assert box.known.readiness().ready
    assert [event["ready"] for event in box.told] == [True, False, True]


def test_an_outage_that_only_time_made_is_not_hidden_by_the_news_that_ends_it():
    """Nobody asked between the ledger's end of freshness and the heartbeat that renews it."""
    box = Box(settle_seconds=2.0).booted()
    box.now += 3.5
    box.known.take_message(feed.Beat(3))

    assert box.known.transitions == {"ready": 1, "unready": 1}
    assert [one.id for one in box.known.readiness().missing] == ["settle"]


@pytest.mark.parametrize(("first", "ready"), [(snapshot.BOOTING, True), (snapshot.SEALED, False)])
def test_only_the_first_readiness_of_the_boot_needs_no_settling(first, ready):
    """A probe server that was started again, into a boot that was sealed, sees the end of an outage."""
    box = Box(settle_seconds=2.0)
    box.look()
    box.known.take_verdict(ACCEPTED, box.known.now())
    box.tell(first)
    box.tell(revision=4)

    assert box.known.readiness().ready is ready


Act = st.one_of(
    st.tuples(st.just("tell"), st.sampled_from([snapshot.SEALED, snapshot.BOOTING, snapshot.STOPPING]), st.sampled_from(snapshot.STATES)),
    st.tuples(st.just("beat"), st.booleans(), st.none()),
    st.tuples(st.just("look"), st.booleans(), st.sampled_from([("mount", "/workspace"), ("check", "relay")])),
    st.tuples(st.just("seal"), st.booleans(), st.none()),
    st.tuples(st.just("wait"), st.floats(0.0, 7.0), st.none()),
)  # fmt: skip


@given(st.lists(Act, max_size=40), st.sampled_from([0.0, 3.0]))
def test_ready_is_never_said_while_anything_required_is_unmet_and_every_change_is_counted_and_told_once(acts, settle):
    box = Box(settle_seconds=settle)
    revision, seen = 3, [False]  # every answer that differs from the one before
    for act, first, second in [("tell", snapshot.BOOTING, snapshot.READY), *acts]:
        match act:
            case "tell":
                revision += 1
                box.tell(first, second, revision)
            case "beat":
                box.known.take_message(feed.Beat(revision if first else revision + 1))
            case "look":
                box.look(verdict.PASSED if first else FULL, kind=second[0], name=second[1])
            case "seal":
                box.known.take_verdict(ACCEPTED if first else REFUSED, box.known.now())
            case _:
                box.now += first
        decided = box.known.readiness()
        reading = box.known.reading()
        if decided.ready:
            assert all(one.met for one in box.known.requirements() if one.required)
            assert all(box.known.age_seconds(one) <= 5.0 for one in box.known.requirements() if one.required)
            assert reading.is_fresh
            assert reading.ledger.phase == snapshot.SEALED
            assert [view.state for view in reading.ledger.programs] == [snapshot.READY]
            assert box.known.seal.is_accepted
        assert bool(decided.missing) is not decided.ready
        if decided.ready is not seen[-1]:
            seen.append(decided.ready)
        told = [event["ready"] for event in box.told if event["event"] == "ReadinessChanged"]
        assert told == [index % 2 == 0 for index in range(len(told))]
        assert (bool(told) and told[-1]) is decided.ready
        assert box.known.transitions == {"ready": told.count(True), "unready": told.count(False)}
        assert len(told) >= len(seen) - 1  # between two questions there may be more than one change
