"""Every row of the decision: what is ready, and what each cause is called."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import reasons, snapshot
from probes import readiness
from probes.requirements import board

WHEN = "2026-01-01T00:00:05.000Z"
ACCEPTED = readiness.Verdict(True, "", WHEN, 1, 1.5)
REFUSED = readiness.Verdict(False, "seal /run/bootseal/bootstrap.done: it changed after PID 1 saw it written", WHEN)


def reading(ledger, age=0.0, refusal=""):
    return readiness.Reading(ledger, age, "2026-01-01T00:00:09.000Z", "2026-01-01T00:00:04.000Z", refusal)


@pytest.fixture
def judge(make):
    def judge(ledger, seal=ACCEPTED, *, wanted=None, rows=(), **how):
        return readiness.Judge(wanted or make.plan(), make.boot_id).judge(reading(ledger, **how), seal, rows)

    return judge


def rows(decided):
    return [(row.kind, row.id) for row in decided.missing]


def test_a_fresh_ledger_a_seal_and_every_required_program_is_ready(judge, make):
    assert judge(make.ledger()) == readiness.Readiness(True, "", ())


def test_no_ledger_is_never_ready(judge):
    decided = judge(None)

    assert rows(decided) == [("ledger", "ledger")]
    assert decided.reason == "PID 1 has not told its ledger yet"


def test_a_refused_ledger_is_named(judge):
    assert judge(None, refusal="a ledger of boot x was refused").reason == "a ledger of boot x was refused"


def test_a_stale_ledger_is_never_ready_and_hides_what_it_says(judge, make):
    ledger = make.ledger(programs=(make.view("migrate", snapshot.FAILED), make.view("api")))

    decided = judge(ledger, age=3.1)

    assert rows(decided) == [("ledger", "ledger")]
    assert "3.1 s" in decided.reason
    assert decided.missing[0].since == "2026-01-01T00:00:09.000Z"


def test_a_ledger_is_fresh_for_three_seconds(judge, make):
    assert judge(make.ledger(), age=3.0).ready


def test_a_foreign_boot_is_never_ready(judge, make):
    decided = judge(make.ledger(boot_id="f" * 32))

    assert rows(decided) == [("ledger", "ledger")]
    assert "another boot" in decided.reason


def test_a_program_that_the_ledger_does_not_know_is_missing(judge, make):
    decided = judge(make.ledger(programs=(make.view("migrate"),)))

    assert rows(decided) == [("program", "api")]
    assert "does not know" in decided.reason


@pytest.mark.parametrize("state", [snapshot.PENDING, snapshot.FAILED, snapshot.STALE, "something new"])
def test_a_required_program_in_any_other_state_is_missing_with_its_reason(judge, make, state):
    decided = judge(make.ledger(programs=(make.view("migrate"), make.view("api", state, reason="broke"))))

    assert rows(decided) == [("program", "api")]
    assert decided.reason == "required program api: broke"
    assert decided.missing[0].since == "2026-01-01T00:00:01.000Z"
    assert decided.missing[0].required


def test_an_optional_program_takes_nothing_away(judge, make):
    views = (make.view("migrate"), make.view("api"), make.view("worker", snapshot.FAILED, required=False))

    assert judge(make.ledger(programs=views)).ready


def test_the_plan_says_what_is_required_not_the_ledger(judge, make):
    views = (make.view("migrate"), make.view("api", snapshot.FAILED, required=False))

    assert rows(judge(make.ledger(programs=views))) == [("program", "api")]


def test_a_failed_program_comes_before_one_that_only_waits(judge, make):
    views = (make.view("migrate", snapshot.PENDING), make.view("api", snapshot.FAILED, reason="exited with code 1"))

    decided = judge(make.ledger(programs=views, phase=snapshot.BOOTING, seal=None))

    assert rows(decided) == [("program", "api"), ("program", "migrate"), ("seal", "bootstrap.done")]
    assert decided.reason == "required program api: exited with code 1 (and 1 more required program is not ready)"


def test_a_stopping_container_is_never_ready(judge, make):
    decided = judge(make.ledger(phase=snapshot.STOPPING))

    assert rows(decided) == [("boot", "boot")]
    assert decided.reason == "the container is stopping"
    assert decided.missing[0].since == "2026-01-01T00:00:04.000Z"


def test_a_held_boot_is_never_ready_and_names_its_failure(judge, make):
    decided = judge(make.ledger(phase=snapshot.HELD, seal=None, failure="program migrate exited with code 3"))

    assert rows(decided)[0] == ("boot", "boot")
    assert "program migrate exited with code 3" in decided.reason


def test_what_a_program_printed_is_detail_and_in_no_reason(judge, make):
    failure = reasons.with_last_output("program migrate exited with code 3", ["dsn=postgres://internal"])
    decided = judge(make.ledger(phase=snapshot.HELD, seal=None, failure=failure))
    told = [decided.reason, *(row.reason for row in decided.missing)]
    assert decided.reason.endswith("program migrate exited with code 3")
    assert not [reason for reason in told if "internal" in reason]


def test_an_unknown_phase_is_never_ready(judge, make):
    assert rows(judge(make.ledger(phase="dreaming"))) == [("boot", "boot")]


@pytest.mark.parametrize("phase", [snapshot.BOOTING, snapshot.SEALED])
def test_without_this_generations_seal_in_the_ledger_nothing_is_ready(judge, make, phase):
    decided = judge(make.ledger(phase=phase, seal=None), ACCEPTED)

    assert rows(decided) == [("seal", "bootstrap.done")]


def test_a_boot_that_still_boots_is_not_ready_whatever_seal_is_there(judge, make):
    assert rows(judge(make.ledger(phase=snapshot.BOOTING))) == [("seal", "bootstrap.done")]


def test_an_edited_seal_is_not_ready_and_named(judge, make):
    decided = judge(make.ledger(), REFUSED)

    assert rows(decided) == [("seal", "bootstrap.done")]
    assert decided.reason == REFUSED.reason


def test_a_verdict_on_another_generation_does_not_count(judge, make):
    assert rows(judge(make.ledger(generation=2), ACCEPTED)) == [("seal", "bootstrap.done")]


@pytest.mark.parametrize(
    ("changes", "seal", "is_fresh", "state"),
    [
        ({}, ACCEPTED, True, readiness.ACCEPTED),
        ({"seal": snapshot.SealView("a" * 64, WHEN, late=True)}, ACCEPTED, True, readiness.LATE),
        ({}, REFUSED, True, readiness.REFUSED),
        ({}, readiness.not_judged(WHEN), True, readiness.UNJUDGED),
        ({"generation": 2}, ACCEPTED, True, readiness.UNJUDGED),
        ({}, ACCEPTED, False, readiness.UNJUDGED),
        ({"seal": None}, ACCEPTED, True, readiness.ABSENT),
        ({"phase": snapshot.BOOTING}, ACCEPTED, True, readiness.ABSENT),
    ],
)
def test_a_seal_counts_for_its_own_generation_and_a_fresh_ledger_and_says_else_why_not(
    make, changes, seal, is_fresh, state
):
    assert readiness.seal_state(make.ledger(**changes), seal, is_fresh=is_fresh) == state
    assert bool(readiness.why_unsealed(state, seal)) is (state not in {readiness.ACCEPTED, readiness.LATE})


def test_a_required_set_that_is_empty_on_purpose_is_ready(judge, make):
    wanted = make.plan(required=(), empty_required_set=True)

    assert judge(make.ledger(), wanted=wanted).ready


def test_a_required_set_that_is_empty_by_accident_is_never_ready(judge, make):
    wanted = make.plan(required=(), empty_required_set=False)

    decided = judge(make.ledger(), wanted=wanted)

    assert rows(decided) == [("boot", "boot")]
    assert "required: []" in decided.reason


def row(kind, name, *, met=False, required=True, reason="broke"):
    return board.Row(kind, name, required, met, "" if met else reason, WHEN)


WORKSPACE = row("mount", "/workspace", reason="12.3 MiB are free, 100 MiB must be")
RELAY = row("check", "relay", reason="connection refused")
IDENTITY = row("identity", "identity", reason="identity /run/bootseal/identity/id: it is missing")


@pytest.mark.parametrize(
    ("unmet", "sentence"),
    [
        (WORKSPACE, "required mount /workspace: 12.3 MiB are free, 100 MiB must be"),
        (RELAY, "required check relay: connection refused"),
        (IDENTITY, "identity /run/bootseal/identity/id: it is missing"),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_a_required_mount_check_or_identity_that_is_unmet_is_missing_with_its_reason_and_since(
    judge, make, unmet, sentence
):
    decided = judge(make.ledger(), rows=(row("mount", "/data", met=True), unmet))

    assert not decided.ready
    assert decided.missing == (readiness.Missing(unmet.id, unmet.kind, unmet.reason, WHEN),)
    assert decided.reason == sentence


def test_requirements_that_are_met_take_nothing_away(judge, make):
    assert judge(make.ledger(), rows=(row("mount", "/a", met=True), row("check", "b", met=True))).ready


def test_what_is_not_required_never_makes_it_unready(judge, make):
    assert judge(make.ledger(), rows=(row("mount", "/a", required=False), row("check", "b", required=False))).ready


def test_causes_stand_in_the_order_of_causation(judge, make):
    ledger = make.ledger(programs=(make.view("migrate"), make.view("api", snapshot.FAILED)), phase="held", seal=None)

    decided = judge(ledger, rows=(RELAY, IDENTITY, WORKSPACE))

    assert [one.kind for one in decided.missing] == ["boot", "mount", "identity", "program", "check", "seal"]


def test_the_sentence_counts_what_else_is_missing(judge, make):
    ledger = make.ledger(programs=(make.view("migrate"), make.view("api", snapshot.FAILED)))

    assert judge(ledger, rows=(WORKSPACE, IDENTITY, RELAY)).reason == (
        "required mount /workspace: 12.3 MiB are free, 100 MiB must be "
        "(and 1 more required program is not ready, 2 more requirements are not met)"
    )


def test_without_a_ledger_what_this_process_looks_at_itself_is_told_all_the_same(judge):
    assert rows(judge(None, rows=(RELAY, WORKSPACE))) == [
        ("ledger", "ledger"), ("mount", "/workspace"), ("check", "relay"),
    ]  # fmt: skip


def test_every_kind_that_is_yielded_is_one_of_the_documented(judge, make):
    ledgers = [None, make.ledger(phase="held", seal=None, programs=())]

    yielded = {one.kind for ledger in ledgers for one in judge(ledger, rows=(RELAY, WORKSPACE, IDENTITY)).missing}

    assert yielded == set(readiness.KINDS) - {readiness.ADAPTER}


def test_a_boot_that_is_not_sealed_waits_for_programs_and_for_no_mount(judge, make):
    decided = judge(make.ledger(phase=snapshot.BOOTING, seal=None), rows=(WORKSPACE, RELAY))

    unsealed = readiness.of_the_seal(decided)

    assert rows(unsealed) == [("seal", "bootstrap.done")]
    assert unsealed.reason == "this generation is not sealed"


def test_the_same_question_gets_the_very_same_answer_and_a_later_moment_another(make):
    judge = readiness.Judge(make.plan(), make.boot_id)
    ledger, unmet = make.ledger(), (WORKSPACE,)

    first = judge.judge(reading(ledger), ACCEPTED, unmet)

    assert judge.judge(reading(ledger, 2.9), ACCEPTED, unmet) is first
    assert rows(judge.judge(reading(ledger, 3.1), ACCEPTED, unmet))[0] == ("ledger", "ledger")
    assert judge.judge(reading(ledger), ACCEPTED, ()).ready
    assert not judge.judge(reading(ledger), REFUSED, ()).ready
    assert not judge.judge(reading(make.ledger(phase=snapshot.STOPPING)), ACCEPTED, ()).ready


@given(
    phase=st.sampled_from(["booting", "sealed", "held", "stopping", "?"]),
    states=st.lists(st.sampled_from([*snapshot.STATES, "?"]), min_size=2, max_size=2),
    age=st.floats(0, 10),
    has_seal=st.booleans(),
    accepted=st.booleans(),
    same_boot=st.booleans(),
    met=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=3),
)
def test_ready_means_all_of_it_and_unready_always_has_a_cause(phase, states, age, has_seal, accepted, same_boot, met):
    from types import SimpleNamespace

    wanted = SimpleNamespace(
        required_programs=[SimpleNamespace(name="a"), SimpleNamespace(name="b")], empty_required_set=False
    )
    view = {"reason": "", "since": WHEN}
    ledger = SimpleNamespace(
        boot_id="x" if same_boot else "y",
        generation=1,
        phase=phase,
        failure=None,
        seal=SimpleNamespace(late=False) if has_seal else None,
        programs=[SimpleNamespace(name=name, state=state, **view) for name, state in zip("ab", states, strict=True)],
    )

    needs = tuple(row("mount", f"/{index}", met=met, required=must) for index, (met, must) in enumerate(met))
    verdict = dataclasses.replace(ACCEPTED, is_accepted=accepted)

    decided = readiness.Judge(wanted, "x").judge(reading(ledger, age), verdict, needs)

    everything = phase == "sealed" and states == ["ready", "ready"] and age <= 3 and has_seal and accepted and same_boot
    everything = everything and all(one.met for one in needs if one.required)
    assert decided.ready is everything
    assert bool(decided.reason) is bool(decided.missing) is not everything
