"""What PID 1 is told: one printable line a verdict, the newest only, and nothing of a process that is gone."""

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from probes.checks import outbox, verdict


def about(program, *, purpose=verdict.LIVE, ok=True, reason="", pid=100):
    return verdict.Verdict(program, pid, 1000, purpose, ok, reason)


def taken(box):
    lines = asyncio.run(asyncio.wait_for(box.take(), 30)).splitlines()
    return [json.loads(line)["verdict"] for line in lines]


def test_a_verdict_is_one_line_of_json():
    told = about("api", purpose=verdict.READY, ok=False, reason="connection refused")

    assert json.loads(told.line()) == {
        "verdict": {
            "program": "api", "pid": 100, "pid_start": 1000, "purpose": "ready", "ok": False,
            "reason": "connection refused",
        }
    }  # fmt: skip
    assert told.line().count(b"\n") == 1


@given(st.text(max_size=2000))
def test_a_reason_is_printable_and_short_and_fits_a_line_of_the_feed(text):
    outcome = verdict.failed(text)

    assert outcome.reason
    assert outcome.reason.isprintable()
    assert len(outcome.reason) <= 300
    assert len(about("p" * 63, reason=outcome.reason).line()) < 2048


def test_a_newer_verdict_takes_the_place_of_one_that_still_waits():
    box = outbox.Outbox()
    for number in range(5000):
        box.tell(about("api", ok=number % 2 == 0))
        box.tell(about("web", purpose=verdict.READY))

    assert [(told["program"], told["ok"]) for told in taken(box)] == [("api", False), ("web", True)]


def test_what_was_sent_is_not_sent_again_but_to_a_new_connection():
    box = outbox.Outbox()
    box.tell(about("api"))
    taken(box)
    box.tell(about("web"))
    assert [told["program"] for told in taken(box)] == ["web"]

    box.begin_again()

    assert [told["program"] for told in taken(box)] == ["api", "web"]


def test_what_is_forgotten_is_never_sent():
    box = outbox.Outbox()
    box.tell(about("api"))
    box.tell(about("web"))
    box.forget("api")
    assert [told["program"] for told in taken(box)] == ["web"]

    box.begin_again()

    assert [told["program"] for told in taken(box)] == ["web"]
