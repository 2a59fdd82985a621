import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import snapshot
from manifest import plan
from seal import decision
from tests.unit import boots

MIGRATE = boots.program("migrate", oneshot=True)
API = boots.program("api")
EXTRA = boots.program("extra", required=False)
PLAN = boots.make_plan(MIGRATE, API, EXTRA)
VIEWS = {
    plan.PROBES: boots.view(plan.PROBES, role="probes"),
    plan.STAGE_B: boots.view(plan.STAGE_B, role="stage-b", oneshot=True, pid=None, pid_start=None),
    "migrate": boots.view("migrate", oneshot=True, pid=None, pid_start=None),
    "api": boots.view("api"),
    "extra": boots.view("extra", required=False),
    plan.SEAL: boots.view(plan.SEAL, role="seal", oneshot=True, state=snapshot.PENDING, reason="has not completed yet"),
}
KILLED = snapshot.Exit(None, 9)


def decide(the_plan: plan.Plan = PLAN, **changes) -> decision.Decision:
    """Decide for a ledger in which everything is ready but for ``changes`` (None: the program is not there)."""
    views = {name.replace("-", "_"): view for name, view in VIEWS.items()}
    views.update(
        {name: dataclasses.replace(views[name], **fields) if fields else None for name, fields in changes.items()}
    )
    return decision.decide(the_plan, boots.ledger(*(view for view in views.values() if view is not None)))


PENDING = {"state": snapshot.PENDING, "reason": "not yet"}
FAILED = {"state": snapshot.FAILED, "reason": "is FATAL", "final": True}


def test_when_everything_required_is_ready_it_is_complete_with_the_manifests_programs_in_order():
    assert decide() == decision.Complete((VIEWS["migrate"], VIEWS["api"]))


def test_every_required_program_is_waited_for_by_name_and_reason():
    assert decide(api=PENDING) == decision.Waiting({"api": "not yet"})
    assert decide(migrate=PENDING, api=PENDING, probes=PENDING) == decision.Waiting(
        {"probes": "not yet", "migrate": "not yet", "api": "not yet"}
    )


@pytest.mark.parametrize("name", ["probes", "bootstrap"])
def test_bootseals_own_programs_are_waited_for_and_fail_the_boot(name):
    assert decide(**{name: PENDING}) == decision.Waiting({name: "not yet"})
    assert decide(**{name: FAILED}) == decision.Failed(name, f"program {name} is FATAL")
    assert decide(**{name: None}) == decision.Failed(name, f"program {name} is unknown to supervisord")


def test_a_stale_proof_is_no_proof():
    assert decide(api={"state": snapshot.STALE, "reason": "too old"}) == decision.Waiting({"api": "too old"})


def test_a_state_that_nobody_knows_is_never_ready():
    assert decide(api={"state": "READY", "reason": "?"}) == decision.Waiting({"api": "?"})


def test_a_failed_required_program_ends_the_boot_at_once_also_while_others_are_late():
    assert decide(migrate=PENDING, api=FAILED) == decision.Failed("api", "program api is FATAL")


def test_a_failure_that_may_mend_is_waited_for():
    reason = "its live check fails: connection refused"
    verdict = decide(api={"state": snapshot.FAILED, "reason": reason, "final": False})
    assert verdict == decision.Waiting({"api": reason})


def test_an_unknown_required_program_ends_the_boot_at_once():
    assert decide(api=None) == decision.Failed("api", "program api is unknown to supervisord")


def test_a_required_program_that_exited_unasked_ends_the_boot_even_when_it_runs_again():
    verdict = decide(api={**PENDING, "exits": 1, "last_exit": KILLED})
    assert verdict == decision.Failed("api", "program api was killed by signal 9")


def test_readiness_wins_over_history():
    assert isinstance(decide(api={"exits": 3, "last_exit": KILLED}), decision.Complete)


def test_the_last_output_is_part_of_the_cause():
    verdict = decide(api={**FAILED, "last_output": ("no such", "table: users")})
    assert verdict.cause == "program api is FATAL; its last output: no such | table: users"


@pytest.mark.parametrize("state", [PENDING, FAILED, None])
def test_an_optional_program_neither_delays_nor_ends_the_boot(state):
    assert isinstance(decide(extra=state), decision.Complete)


def test_an_empty_required_set_is_never_sealed_by_accident():
    the_plan = dataclasses.replace(PLAN, programs=(*boots.own_programs(), EXTRA))
    assert decide(the_plan) == decision.Failed(
        "", "no program is required, and the manifest does not say `required: []`"
    )


def test_an_empty_required_set_on_purpose_still_needs_bootseals_own_programs():
    the_plan = dataclasses.replace(PLAN, programs=(*boots.own_programs(), EXTRA), empty_required_set=True)
    assert decide(the_plan) == decision.Complete(())
    assert decide(the_plan, bootstrap=PENDING) == decision.Waiting({"bootstrap": "not yet"})


def test_an_empty_ledger_is_never_ready():
    assert isinstance(decision.decide(PLAN, boots.ledger()), decision.Failed)


STATE = st.sampled_from([*snapshot.STATES, "", "Ready", "RUNNING"])


@given(st.dictionaries(st.sampled_from(["probes", "bootstrap", "migrate", "api", "extra"]), STATE | st.none()))
def test_complete_means_that_everything_that_must_be_ready_says_so(states):
    verdict = decide(**{name: {"state": state} if state is not None else None for name, state in states.items()})
    all_ready = all(states.get(name, "ready") == "ready" for name in ("probes", "bootstrap", "migrate", "api"))
    assert isinstance(verdict, decision.Complete) == all_ready
