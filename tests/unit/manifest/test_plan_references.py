"""A plan whose parts do not fit is refused when it is read, whoever wrote it; and what reads it needs no third party."""

import dataclasses
import subprocess
import sys
from typing import Any

import pytest

from contract import errors
from manifest import plan, provisions, serving
from tests.unit import boots

CHECK = boots.check(plan.TCP, host="127.0.0.1", port=1)


def holding(**changes: Any) -> plan.Plan:
    return boots.make_plan(boots.program("api", **changes))


def with_keys(*kinds: str, secret: str | None = None) -> provisions.IdentityPlan:
    return provisions.IdentityPlan(None, "box", None, tuple(provisions.KeyPlan(kind, None, secret) for kind in kinds))


def having(**changes: Any) -> plan.Plan:
    made = dataclasses.replace(boots.secret("s", "api"), **changes)
    return boots.make_plan(secrets=(made,))


def served(detail: serving.DetailPlan, **changes: Any) -> plan.Plan:
    return boots.make_plan(probes=boots.listening(detail=detail), **changes)


def ready(**changes: Any) -> plan.Plan:
    return boots.make_plan(readiness=dataclasses.replace(serving.ReadinessPlan((), (), 0.0), **changes))


def needing(condition: serving.ConditionPlan, **changes: Any) -> plan.Plan:
    return ready(conditions=(dataclasses.replace(condition, check=dataclasses.replace(condition.check, **changes)),))


SECRETS = "/run/bootseal/secrets/probes"
MOUNT = serving.MountPlan("/x", is_mount=False, writable=True, free_bytes=0, required=True)
CHECK_OF_ALL = serving.ConditionPlan("relay", CHECK, 10.0, 3, 1, required=True)
USERS = (provisions.ExceptionPlan(provisions.PROGRAM_USERS, "strangers"),)

REFUSED = {
    "an unknown condition": (holding(after=boots.needs("probes", condition="up")), "neither ready nor started"),
    "an unknown on_exit": (holding(on_exit="stop"), "neither exit, degrade nor restart"),
    "an unknown on_fatal": (holding(on_fatal=""), "neither exit, degrade nor restart"),
    "an unknown proof": (holding(ready=boots.ready("magic")), "not of a known kind"),
    "a check without its details": (holding(ready=boots.ready(plan.TCP)), "lacks what its kind needs"),
    "a check of another kind": (holding(ready=boots.ready(plan.HTTP, check=CHECK)), "lacks what its kind needs"),
    "a check beside another proof": (holding(ready=boots.ready(plan.NOTIFY, check=CHECK)), "lacks what its kind needs"),
    "no descriptor": (holding(ready=boots.ready(plan.DESCRIPTOR)), "lacks what its kind needs"),
    "no pattern": (holding(ready=boots.ready(plan.LOG)), "lacks what its kind needs"),
    "no file": (holding(ready=boots.ready(plan.FILE)), "lacks what its kind needs"),
    "an unknown live check": (
        holding(live=plan.LivePlan(dataclasses.replace(CHECK, kind="log"), 10.0, 3, 1, restart=False)),
        "the check of a program",
    ),
    "a signal for nobody known": (
        boots.make_plan(signals=(plan.SignalPlan("HUP", ("nobody",), "HUP"),)),
        "a signal is passed on to a program that does not exist",
    ),
    "no key for the seal": (boots.make_plan(identity=with_keys(provisions.NOSTR)), "the identity's keys"),
    "a key twice": (boots.make_plan(identity=with_keys("ed25519", "ed25519")), "the identity's keys"),
    "an unknown key": (boots.make_plan(identity=with_keys("ed25519", "rsa")), "the identity's keys"),
    "a key from no secret": (
        boots.make_plan(identity=with_keys("ed25519", secret="s")),
        "a secret that does not exist",
    ),
    "a secret from nowhere": (having(generate_bytes=None), "no source, or more than one"),
    "a secret from two places": (having(file="/s"), "no source, or more than one"),
    "a secret for nobody known": (having(programs=("none",)), "not one of the manifest's"),
    "a secret for one of ours": (having(programs=("probes",)), "not one of the manifest's"),
    "a secret that leaves its directory": (having(name="../x"), "it names files"),
    "a secret twice": (
        boots.make_plan(secrets=(boots.secret("s", "api"), boots.secret("s", "api"))),
        "a secret or an artifact stands twice",
    ),
    "an artifact that is not there": (holding(artifacts=("t",)), "an artifact that does not exist"),
    "an unknown verification": (
        boots.make_plan(artifacts=(plan.ArtifactPlan("t", "/t", True, verify="crc"),)),
        "neither digest, metadata nor presence",
    ),
    "a verification without a lock": (
        boots.make_plan(artifacts=(plan.ArtifactPlan("t", "/t", True, verify="digest"),)),
        "against a lock, and there is none",
    ),
    "a user without the exception": (holding(user=provisions.User(7, 7)), "exactly under the exception"),
    "no user under the exception": (boots.make_plan(exceptions=USERS), "exactly under the exception"),
    "root under the exception": (
        boots.make_plan(boots.program("api", user=provisions.User(7, 0)), exceptions=USERS),
        "a program's user is root",
    ),
    "an owner without the exception": (
        boots.make_plan(
            boot=boots.boot_plan(writable=(plan.WritableRoot("/w", 0o755, None, False, provisions.User(7, 7)),))
        ),
        "a writable root is another user's",
    ),
    "an unknown reach": (served(serving.DetailPlan("everybody", None, None, None)), "who is answered detail"),
    "an own address that is not there": (
        served(serving.DetailPlan(serving.OWN, None, None, None)),
        "where it is its own",
    ),
    "half an own address": (served(serving.DetailPlan(serving.OWN, "::1", None, None)), "where it is its own"),
    "an address that is not its own": (
        served(serving.DetailPlan(serving.OPEN, "::1", 81, None)),
        "where it is its own",
    ),
    "a token that guards nothing": (served(serving.DetailPlan(serving.SOCKET, None, None, "/t")), "guards nothing"),
    "a token at no path": (served(serving.DetailPlan(serving.OPEN, None, None, "t")), "not an absolute path"),
    "a token that nobody delivers": (
        served(serving.DetailPlan(serving.OPEN, None, None, f"{SECRETS}/t")),
        "does not get",
    ),
    "a token that others get": (
        served(serving.DetailPlan(serving.OPEN, None, None, f"{SECRETS}/t"), secrets=(boots.secret("t", "api"),)),
        "does not get",
    ),
    "another secret for the probe server": (
        served(
            serving.DetailPlan(serving.OPEN, None, None, f"{SECRETS}/t"),
            secrets=(boots.secret("t", "probes"), boots.secret("u", "probes")),
        ),
        "not one of the manifest's",
    ),
    "a port that is none": (boots.make_plan(probes=boots.listening(metrics_port=0)), "not 1 to 65535"),
    "no time to be heard in": (
        boots.make_plan(probes=boots.listening(liveness_deadline_seconds=0.0)),
        "probes.liveness_deadline",
    ),
    "an unknown log level": (
        boots.make_plan(observability=serving.ObservabilityPlan("trace", None)),
        "observability.log_level",
    ),
    "another endpoint": (
        boots.make_plan(observability=serving.ObservabilityPlan("info", "ftp://x")),
        "neither http nor https",
    ),
    "another form of logs": (boots.make_plan(logs="xml"), "logs is none of plain, prefixed, json"),
    "a command as a condition": (needing(CHECK_OF_ALL, kind=plan.EXEC, argv=("a",)), "not of kind http, tcp or unix"),
    "a condition without its details": (needing(CHECK_OF_ALL, port=None), "lacks what its kind needs"),
    "a condition of no number": (
        needing(dataclasses.replace(CHECK_OF_ALL, failures=0)),
        "no number of failures or successes",
    ),
    "a condition without end": (needing(dataclasses.replace(CHECK_OF_ALL, period_seconds=0.0)), "no period"),
    "a condition of no name": (needing(dataclasses.replace(CHECK_OF_ALL, name="A b")), "not a DNS-1123 label"),
    "a condition twice": (ready(conditions=(CHECK_OF_ALL, CHECK_OF_ALL)), "stands twice"),
    "a mount twice": (ready(mounts=(MOUNT, MOUNT)), "stands twice"),
    "a relative mount": (ready(mounts=(dataclasses.replace(MOUNT, path="x"),)), "a mount's path is not absolute"),
    "a mount of less than nothing": (ready(mounts=(dataclasses.replace(MOUNT, free_bytes=-1),)), "less than nothing"),
    "a negative settling": (ready(settle_seconds=-1.0), "ready.settle"),
}


@pytest.mark.parametrize(("made", "why"), REFUSED.values(), ids=REFUSED)
def test_parts_that_do_not_fit_are_refused(made: plan.Plan, why: str) -> None:
    with pytest.raises(errors.InvalidRecord, match=why):
        plan.parse(plan.dump(made), "plan.json")


@pytest.mark.parametrize("kind", [plan.RUNNING, plan.NOTIFY, plan.EXIT, plan.SUBSCRIPTION])
def test_a_proof_that_needs_nothing_else_is_read_back(kind: str) -> None:
    made = holding(ready=boots.ready(kind))
    assert plan.parse(plan.dump(made), "plan.json") == made


def test_a_check_is_read_back() -> None:
    live = plan.LivePlan(CHECK, 10.0, 3, 1, restart=True)
    made = holding(ready=boots.ready(plan.TCP, check=CHECK), live=live)
    assert plan.parse(plan.dump(made), "plan.json") == made


def test_what_is_served_and_needed_is_read_back() -> None:
    made = served(
        serving.DetailPlan(serving.OPEN, None, None, f"{SECRETS}/t"),
        secrets=(boots.secret("t", "api", "probes"),),
        readiness=serving.ReadinessPlan((MOUNT,), (CHECK_OF_ALL,), 5.0),
        observability=serving.ObservabilityPlan("debug", "https://x"),
        logs=serving.JSON,
    )
    assert plan.parse(plan.dump(made), "plan.json") == made


def test_pid_1_reads_plan_and_budget_with_the_standard_library_alone() -> None:
    script = "import sys; from manifest import budget, plan; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert {"pydantic", "yaml", "click"} & set(done.stdout.split()) == set()
