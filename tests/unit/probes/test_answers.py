"""What the paths say of requirements beside programs."""

import dataclasses
import json

import pytest

from contract import events, snapshot
from manifest import plan, serving
from probes import answers, feed, observed, readiness
from probes.checks import verdict
from probes.requirements import board
from tests.unit import boots

MOUNT = serving.MountPlan("/workspace", is_mount=False, writable=True, free_bytes=1, required=True)
RELAY = serving.ConditionPlan("relay", boots.check(plan.TCP), 10.0, 1, 1, required=False)
FULL = verdict.failed("12.3 MiB are free, 100 MiB must be")
ACCEPTED = readiness.Verdict(True, "", boots.WALL, 1, 1.5)


class Box:
    """What is observed of one sealed boot."""

    def __init__(self, settle_seconds=0.0):
        self.now = 100.0
        wanted = boots.make_plan(readiness=serving.ReadinessPlan((MOUNT,), (RELAY,), settle_seconds))
        loaded = plan.LoadedPlan(wanted, "/opt/box", boots.SHA256)
        emitter = events.Emitter("probes", boots.BOOT_ID, None, lambda _: True)
        record = dataclasses.replace(boots.boot(), pid1_start=7)
        self.known = observed.Observed(record, loaded, emitter, lambda: self.now)

    def tell(self, phase, revision=3):
        seal = snapshot.SealView("ab" * 32, boots.WALL, late=False) if phase == snapshot.SEALED else None
        at = boots.WALL if seal else None
        ledger = boots.ledger(boots.view("api"), phase=phase, seal=seal, boot_sealed_at=at, revision=revision)
        self.known.take_message(feed.Whole(ledger))

    def look(self, found=verdict.PASSED):
        self.known.take_requirement("mount", "/workspace", found, self.now)


@pytest.fixture
def box():
    made = Box()
    made.tell(snapshot.BOOTING)
    made.look()
    made.tell(snapshot.SEALED)
    made.known.take_verdict(ACCEPTED, made.known.now())
    return made


def test_ready_lists_what_is_required_programs_by_name_and_the_rest_by_kind_and_name(box):
    answer = answers.ready(box.known)()

    assert answer.status == 200
    assert answer.value == {"ready": True, "since": box.known.since, "requirements": ["api", "mount:/workspace"]}


def test_a_row_of_missing_has_these_fields_and_no_others(box):
    box.look(FULL)

    answer = answers.ready(box.known)()

    assert answer.status == 503
    assert answer.headers == {"Retry-After": "1"}
    [row] = answer.value["missing"]
    assert row == {
        "id": "/workspace", "kind": "mount", "reason": FULL.reason, "since": row["since"], "required": True,
    }  # fmt: skip


def test_health_shows_every_requirement_with_its_age_required_or_not(box):
    box.look(FULL)
    box.now += 2.0

    mount, relay = answers.health(box.known)().value["requirements"]

    assert mount | {"since": ""} == {
        "kind": "mount", "id": "/workspace", "required": True, "met": False, "reason": FULL.reason, "since": "",
        "age_seconds": 2.0,
    }  # fmt: skip
    assert (relay["id"], relay["required"], relay["met"], relay["age_seconds"]) == ("relay", False, False, None)
    assert mount["since"].endswith("Z")


def test_since_of_a_row_is_the_same_at_every_question(box):
    box.look(FULL)
    [first] = answers.ready(box.known)().value["missing"]
    for _ in range(3):
        box.now += 1.0
        box.look(FULL)
        box.tell(snapshot.SEALED)

    [last] = answers.ready(box.known)().value["missing"]

    assert first == last


def test_startup_that_was_kept_says_what_is_missing_by_now():
    box = Box()
    startup = answers.startupz(box.known)
    said = [startup().value["missing"][0]["kind"]]
    box.tell(snapshot.BOOTING)
    said.append(startup().value["missing"][0]["kind"])
    box.tell(snapshot.STOPPING, revision=4)
    said.append(startup().value["missing"][0]["kind"])

    assert said == ["ledger", "seal", "boot"]


def test_startup_does_not_blame_what_the_seal_does_not_wait_for():
    box = Box()
    box.tell(snapshot.BOOTING)
    box.look(FULL)

    answer = answers.startupz(box.known)()

    assert answer.status == 503
    assert [row["kind"] for row in answer.value["missing"]] == ["seal"]
    assert answer.value["reason"] == "this generation is not sealed"


def test_who_asks_again_while_nothing_changed_gets_the_very_same_bytes(box):
    ready, startup = answers.ready(box.known), answers.startupz(box.known)

    assert ready().body is ready().body
    assert startup().body is startup().body

    box.look(FULL)
    assert ready().status == 503
    assert ready().body is ready().body
    assert json.loads(ready().body) == ready().value


def test_an_answer_that_was_kept_follows_every_change(box):
    ready = answers.ready(box.known)
    seen = [ready()]
    for look in (FULL, verdict.failed("8 MiB are free, 100 MiB must be"), verdict.PASSED):
        box.look(look)
        seen.append(ready())
    box.now += readiness.STALE_AFTER_SECONDS + 1.0
    seen.append(ready())

    assert [one.status for one in seen] == [200, 503, 503, 200, 503]
    assert "8 MiB" in seen[2].value["reason"]
    assert [row["kind"] for row in seen[4].value["missing"]] == ["ledger"]


def test_what_was_ready_again_says_since_when_and_all_that_is_required_by_now(box):
    ready = answers.ready(box.known)
    ready()
    box.known.require(board.Requirement(board.IDENTITY, board.IDENTITY, required=True, stale_after_seconds=100.0))
    box.known.take_requirement(board.IDENTITY, board.IDENTITY, verdict.PASSED, box.now)

    assert ready().value["requirements"] == ["api", "mount:/workspace", "identity"]
    assert ready().value["since"] == box.known.since


def test_a_seal_that_nobody_judged_is_not_accepted_in_health_either(box):
    assert answers.health(box.known)().value["seal"]["accepted"]

    box.known.take_verdict(dataclasses.replace(ACCEPTED, generation=7), box.known.now())

    seal = answers.health(box.known)().value["seal"]
    assert (seal["accepted"], seal["reason"]) == (False, "the seal of this generation is not judged yet")


def test_a_ledger_that_is_stale_accepts_no_seal_in_health_either(box):
    box.now += readiness.STALE_AFTER_SECONDS + 1.0

    assert not answers.health(box.known)().value["seal"]["accepted"]


def test_health_is_shared_for_a_moment_and_shows_every_change_at_once(box):
    health = answers.health(box.known)
    first = health()
    box.now += answers.SHARED_SECONDS / 2
    assert health().body is first.body

    box.tell(snapshot.SEALED, revision=4)
    second = health()
    assert (first.value["ledger"]["revision"], second.value["ledger"]["revision"]) == (3, 4)
    box.look(FULL)
    assert health().value["status"] == "unready"

    third = health()
    box.now += answers.SHARED_SECONDS
    assert health().value["requirements"][0]["age_seconds"] > third.value["requirements"][0]["age_seconds"]


def test_while_it_settles_the_client_is_told_when_to_come_again():
    box = Box(settle_seconds=5.0)
    box.look()
    box.known.take_verdict(ACCEPTED, box.known.now())
    box.tell(snapshot.SEALED)
    box.now += 2.1
    box.look()

    answer = answers.ready(box.known)()

    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert answer.value["reason"] == "ready for 2.1 s of the 5 s that it must settle"
