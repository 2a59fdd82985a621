"""What the paths say of requirements beside programs."""

import dataclasses

import pytest

from contract import events, snapshot
from manifest import plan, serving
from probes import answers, feed, observed, readiness
from probes.checks import verdict
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
    made.known.take_verdict(ACCEPTED)
    return made


def test_ready_lists_what_is_required_programs_by_name_and_the_rest_by_kind_and_name(box):
    answer = answers.ready(box.known)

    assert answer.status == 200
    assert answer.value == {"ready": True, "since": box.known.since, "requirements": ["api", "mount:/workspace"]}


def test_a_row_of_missing_has_these_fields_and_no_others(box):
    box.look(FULL)

    answer = answers.ready(box.known)

    assert answer.status == 503
    assert answer.headers == {"Retry-After": "1"}
    [row] = answer.value["missing"]
    assert row == {
        "id": "/workspace", "kind": "mount", "reason": FULL.reason, "since": row["since"], "required": True,
    }  # fmt: skip


def test_health_shows_every_requirement_with_its_age_required_or_not(box):
    box.look(FULL)
    box.now += 2.0

    mount, relay = answers.health(box.known).value["requirements"]

    assert mount | {"since": ""} == {
        "kind": "mount", "id": "/workspace", "required": True, "met": False, "reason": FULL.reason, "since": "",
        "age_seconds": 2.0,
    }  # fmt: skip
    assert (relay["id"], relay["required"], relay["met"], relay["age_seconds"]) == ("relay", False, False, None)
    assert mount["since"].endswith("Z")


def test_since_of_a_row_is_the_same_at_every_question(box):
    box.look(FULL)
    [first] = answers.ready(box.known).value["missing"]
    for _ in range(3):
        box.now += 1.0
        box.look(FULL)
        box.tell(snapshot.SEALED)

    [last] = answers.ready(box.known).value["missing"]

    assert first == last


def test_startup_does_not_blame_what_the_seal_does_not_wait_for():
    box = Box()
    box.tell(snapshot.BOOTING)
    box.look(FULL)

    answer = answers.startupz(box.known)

    assert answer.status == 503
    assert [row["kind"] for row in answer.value["missing"]] == ["seal"]
    assert answer.value["reason"] == "this generation is not sealed"


def test_while_it_settles_the_client_is_told_when_to_come_again():
    box = Box(settle_seconds=5.0)
    box.look()
    box.known.take_verdict(ACCEPTED)
    box.tell(snapshot.SEALED)
    box.now += 2.1
    box.look()

    answer = answers.ready(box.known)

    assert (answer.status, answer.headers["Retry-After"]) == (503, "3")
    assert answer.value["reason"] == "ready for 2.1 s of the 5 s that it must settle"
