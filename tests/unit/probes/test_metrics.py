"""/metrics: names that Prometheus' own linter takes, labels that only the plan can make, values of one moment."""

import asyncio
import copy
import itertools
import json

import hypothesis
import pytest
from hypothesis import strategies as st
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from contract import events, snapshot
from probes import feed, observed, readiness
from probes.checks import verdict
from probes.metrics import exposition, picture, scrape
from probes.requirements import board
from tests import promtool

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.fixture
def known(boot):
    emitter = events.Emitter("probes", boot.record.boot_id, None, lambda _: True)
    return observed.Observed(boot.record, boot.loaded, emitter)


@pytest.fixture
def full(known, make):
    """Something of everything."""
    views = (
        make.view("migrate", restarts=3, restart_reasons={snapshot.ENDED: 2, snapshot.OPERATOR: 1}, exits=2),
        make.view("api", first=snapshot.Timeline(0.5, 1.5, 1.75), latest=snapshot.Timeline(10.0, 11.0, 10.25)),
        make.view("worker", snapshot.PENDING, pid=None, pid_start=None, latest=snapshot.Timeline(10.0, None, None)),
    )
    known.take_message(feed.Whole(make.ledger(programs=views)))
    known.take_verdict(readiness.Verdict(True, "", "2026-01-01T00:00:05.000Z", 1, 1.5), known.now())
    known.checks.note("api", "live", 0.02, ok=False)
    known.checks.note("api", "live", 20.0, ok=True)
    return known


def text_of(known, boot, wanted=scrape.TEXT):
    return exposition.Exposition(boot.run).render(picture.take(known), frozenset({wanted}))[wanted][0].decode()


def samples_of(text, read=parser.text_string_to_metric_families):
    return {
        (one.name, *(f"{name}={value}" for name, value in sorted(one.labels.items()))): one.value
        for family in read(text)
        for one in family.samples
    }


def test_every_value_is_what_is_known(full, boot):
    found = samples_of(text_of(full, boot))

    assert found["bootseal_readiness",] == 1
    assert found["bootseal_readiness_transitions_total", "to=ready"] == 1
    assert found["bootseal_boot_phase_seconds", "phase=writable"] == 0.0125
    assert found["bootseal_program_ready_seconds", "program=api"] == 0.25
    assert found["bootseal_program_boot_ready_seconds", "program=api"] == 1.75
    assert ("bootseal_program_ready_seconds", "program=worker") not in found
    assert found["bootseal_program_state", "program=worker", "state=pending"] == 1
    assert found["bootseal_program_state", "program=worker", "state=ready"] == 0
    reasons = [
        found["bootseal_program_restarts_total", "program=migrate", f"reason={reason}"]
        for reason in snapshot.RESTART_REASONS
    ]
    assert reasons == [2, 0, 0, 0, 1, 0]
    assert found["bootseal_program_exits_total", "program=migrate"] == 2
    assert found["bootseal_seal_timestamp_seconds",] == 1767225605
    assert found["bootseal_seal_elapsed_seconds",] == 1.5
    assert found["bootseal_seal_state", "state=accepted"] == 1
    assert found["bootseal_generation_state", "state=sealed"] == 1
    assert found["bootseal_check_seconds_bucket", "le=0.025", "program=api", "purpose=live"] == 1
    assert found["bootseal_check_seconds_bucket", "le=10.0", "program=api", "purpose=live"] == 1
    assert found["bootseal_check_seconds_bucket", "le=+Inf", "program=api", "purpose=live"] == 2
    assert found["bootseal_check_failures_total", "program=api", "purpose=live"] == 1
    assert found["process_open_fds",] > 0


def test_every_requirement_is_told_met_or_not(full, boot, make):
    full.traffic.note("/ready", 200, 0.0002)
    before = samples_of(text_of(full, boot))
    views = (make.view("migrate"), make.view("api", snapshot.FAILED))
    full.take_message(feed.Whole(make.ledger(revision=11, programs=views)))
    after = samples_of(text_of(full, boot))
    met = {key[1]: before[key] for key in before if key[0] == "bootseal_requirement_met"}

    assert met == dict.fromkeys(["id=api", "id=boot", "id=bootstrap.done", "id=ledger", "id=migrate"], 1.0)
    assert after["bootseal_requirement_met", "id=api", "kind=program", "required=true"] == 0
    assert after["bootseal_requirement_met", "id=migrate", "kind=program", "required=true"] == 1
    assert before["bootseal_probe_requests_total", "code=200", "path=/ready"] == 1
    assert before["bootseal_probe_request_seconds_bucket", "le=0.00025", "path=/ready"] == 1


def test_without_a_ledger_no_requirement_of_it_is_met(known, boot):
    found = samples_of(text_of(known, boot))

    assert {value for key, value in found.items() if key[0] == "bootseal_requirement_met"} == {0.0}


def test_mounts_and_checks_are_requirements_too(known, boot):
    known.require(board.Requirement(board.MOUNT, "/data", required=True, stale_after_seconds=1000.0))
    known.require(board.Requirement(board.CHECK, "relay", required=False, stale_after_seconds=1000.0))
    known.take_requirement(board.CHECK, "relay", verdict.PASSED, known._now())
    found = samples_of(text_of(known, boot))

    assert found["bootseal_requirement_met", "id=/data", "kind=mount", "required=true"] == 0
    assert found["bootseal_requirement_met", "id=relay", "kind=check", "required=false"] == 1


def test_which_boot_of_which_container_and_from_what(full, boot, make):
    read = openmetrics_parser.text_string_to_metric_families(text_of(full, boot, scrape.OPENMETRICS))
    infos = {family.name: family.samples[0].labels for family in read if family.type == "info"}

    assert infos["bootseal_boot"] == {"boot_id": make.boot_id, "generation": "1", "identity": "box-7"}
    assert infos["bootseal_plan"]["plan_sha256"] == boot.plan_sha256
    assert set(infos["bootseal_build"]) == {"version", "python"}


def test_an_identity_that_cannot_be_read_ends_no_scrape(full, boot):
    with open(f"{boot.run.identity}/id", "wb") as file:
        file.write(b'"}\nforged 1\n')

    assert ("bootseal_boot_info", f"boot_id={boot.record.boot_id}", "generation=1", "identity=") in samples_of(
        text_of(full, boot)
    )


@pytest.mark.parametrize(
    ("verdict", "late", "wanted"),
    [
        (readiness.Verdict(True, "", "", 1, 1.5), False, readiness.ACCEPTED),
        (readiness.Verdict(True, "", "", 1, 1.5), True, readiness.LATE),
        (readiness.Verdict(True, "", "", 0, 1.5), False, readiness.UNJUDGED),
        (readiness.not_judged(""), False, readiness.UNJUDGED),
        (readiness.Verdict(False, "it changed", ""), False, readiness.REFUSED),
    ],
)
def test_the_state_of_the_seal(known, boot, make, verdict, late, wanted):
    known.take_message(feed.Whole(make.ledger(seal=snapshot.SealView("a" * 64, "2026-01-01T00:00:05.000Z", late))))
    known.take_verdict(verdict, known.now())
    found = samples_of(text_of(known, boot))

    assert {state: found["bootseal_seal_state", f"state={state}"] for state in readiness.SEAL_STATES} == {
        state: float(state == wanted) for state in readiness.SEAL_STATES
    }


def test_before_anything_is_known_a_scrape_says_so(known, boot):
    found = samples_of(text_of(known, boot))

    assert found["bootseal_readiness",] == 0
    assert found["bootseal_seal_state", "state=absent"] == 1
    lives = [value for key, value in found.items() if key[0] == "bootseal_generation_state"]
    assert lives == [0.0] * 4
    assert not any("bootseal_program_" in key[0] for key in found)
    assert ("bootseal_seal_timestamp_seconds",) not in found


def test_promtool_has_nothing_to_say(full, boot):
    full.traffic.note("/ready", 200, 0.0002)

    assert promtool.check_metrics(text_of(full, boot).encode()) == ""


def test_promtool_would_have_something_to_say():
    assert "no help text" in promtool.check_metrics(b"# TYPE x_milliseconds gauge\nx_milliseconds 1\n")


def test_both_formats_say_the_same_and_openmetrics_knows_the_units(full, boot):
    made = exposition.Exposition(boot.run).render(picture.take(full), frozenset({scrape.TEXT, scrape.OPENMETRICS}))
    whole = made[scrape.OPENMETRICS][0].decode()

    assert made[scrape.OPENMETRICS][1].startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert made[scrape.TEXT][1] == "text/plain; version=0.0.4; charset=utf-8"
    assert whole.endswith("# EOF\n")
    assert "# UNIT bootseal_boot_phase_seconds seconds\n" in whole
    modern = samples_of(whole, openmetrics_parser.text_string_to_metric_families)
    assert modern == samples_of(made[scrape.TEXT][0].decode())


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", scrape.TEXT),
        ("*/*", scrape.TEXT),
        ("text/plain", scrape.TEXT),
        (OPENMETRICS, scrape.OPENMETRICS),
        (PROMETHEUS, scrape.OPENMETRICS),
        ("application/openmetrics-text", scrape.OPENMETRICS),
        ("Application/OpenMetrics-Text ; Version=1.0.0", scrape.OPENMETRICS),
        ("application/openmetrics-text; version=0.0.1", scrape.TEXT),
        ("application/openmetrics-text; version=1.0.0; q=0.000", scrape.TEXT),
        ("application/openmetrics-text; version=9.9\r\nX: y", scrape.TEXT),
    ],
)
def test_the_format_is_what_the_client_takes(accept, wanted):
    assert scrape.choose(accept) == wanted


@hypothesis.given(st.text())
def test_no_accept_header_breaks_the_choice(accept):
    assert scrape.choose(accept) in {scrape.TEXT, scrape.OPENMETRICS}


def test_five_hundred_programs_make_a_bounded_number_of_series(known, boot, make):
    views = tuple(make.view(f"p{number}", pid=None, pid_start=None) for number in range(500))
    known.take_message(feed.Whole(make.ledger(programs=views)))
    found = samples_of(text_of(known, boot))
    for_one = len(snapshot.STATES) + len(snapshot.RESTART_REASONS) + 2

    assert sum("program=p7" in key for key in found) == for_one
    assert len(found) < 500 * for_one + 150


# --- one at a time -------------------------------------------------------------------------------------------------


class Slow:
    """An exposition that counts, and takes as long as it is told to."""

    work = 400

    def __init__(self):
        self.begun, self.most, self.running, self.formats = 0, 0, 0, []
        self.states = []

    def render(self, taken, formats):
        self.begun += 1
        self.running += 1
        self.most = max(self.most, self.running)
        self.formats.append(set(formats))
        self.states.append(taken.transitions["ready"])
        for _ in range(self.work):
            json.dumps(list(range(5000)))
        self.running -= 1
        return {name: (b"%d" % self.begun, name) for name in formats}


@pytest.fixture
def slow(known, boot):
    scrapes = scrape.Scrapes(known, boot.run)
    scrapes._exposition = Slow()
    return scrapes


def test_who_asks_while_one_is_made_shares_the_next(slow):
    async def ask():
        first = asyncio.create_task(slow.scrape(""))
        await asyncio.sleep(0.01)
        later = []
        for accept in itertools.islice(itertools.cycle(["", OPENMETRICS]), 50):
            later.append(asyncio.create_task(slow.scrape(accept)))
            await asyncio.sleep(0)
        assert not first.done()
        return await first, await asyncio.gather(*later)

    first, later = asyncio.run(ask())

    assert first == (b"1", scrape.TEXT)
    assert set(later) == {(b"2", scrape.TEXT), (b"2", scrape.OPENMETRICS)}
    assert (slow._exposition.begun, slow._exposition.most) == (2, 1)


def test_nobody_is_told_what_was_known_before_they_asked(slow, known):
    async def ask():
        first = asyncio.create_task(slow.scrape(""))
        await asyncio.sleep(0.01)
        known.transitions["ready"] += 1
        await slow.scrape("")
        await first

    asyncio.run(ask())

    assert slow._exposition.states == [0, 1]


def test_a_client_that_leaves_takes_nobody_elses_answer_along(slow):
    async def ask():
        leaver, stayer = (asyncio.create_task(slow.scrape("")) for _ in range(2))
        await asyncio.sleep(0.01)
        leaver.cancel()
        return await stayer

    assert asyncio.run(ask()) == (b"1", scrape.TEXT)


def test_a_scrape_that_fails_is_not_the_last(slow):
    whole, slow._exposition = slow._exposition, None

    async def ask():
        slow._run = None
        slow._exposition = type("Broken", (), {"render": lambda *_: 1 / 0})()
        with pytest.raises(ZeroDivisionError):
            await slow.scrape("")
        slow._exposition = whole
        return await slow.scrape("")

    assert asyncio.run(ask()) == (b"1", scrape.TEXT)


def test_the_loop_turns_while_a_scrape_is_made(slow):
    turns = 0

    async def ask():
        nonlocal turns
        task = asyncio.create_task(slow.scrape(""))
        while not task.done():
            turns += 1
            await asyncio.sleep(0)

    asyncio.run(ask())

    assert turns > 10


def test_a_picture_does_not_change_any_more(full, make):
    taken = picture.take(full)
    before = copy.deepcopy(taken)
    full.checks.note("api", "live", 0.02, ok=False)
    full.traffic.note("/ready", 200, 0.0002)
    full.take_message(feed.Whole(make.ledger(revision=11, programs=())))

    assert taken == before
    assert taken.checks["api", "live"].counts != tuple(full.checks.durations["api", "live"].counts)
