"""No exception and no combination of exceptions takes a part of the baseline away, from the manifest to what runs the container."""

import dataclasses
import itertools
import json
import pathlib
from typing import Any

import hypothesis
import pytest
import yaml
from hypothesis import strategies

from container import compose, engine_argv, rendering
from contract import errors
from manifest import hardening, plan, profile, provisions
from tests.unit.manifest import manifests

IMAGE = rendering.image(f"example.org/x@sha256:{'a' * 64}")
OPTIONS = rendering.Options(IMAGE, "x", "bootseal render", seccomp="/etc/seccomp.json")
ADDED = {"playwright": {"SYS_ADMIN"}, provisions.PROGRAM_USERS: {*hardening.PROGRAM_USERS_CAPABILITIES}}
CONFLICTS = ({"gpu-cuda", "gpu-rocm"}, {"gaussian-splatting", "gpu-rocm"})


def manifest(exceptions: dict[str, dict[str, Any]], **more: Any) -> str:
    has_users = provisions.PROGRAM_USERS in exceptions
    said = {
        "version": 1,
        "name": "x",
        "features": [name for name in exceptions if name != provisions.PROGRAM_USERS],
        "resources": {"memory": "16GiB"},
        "security": {
            "tmpfs": {"/dev/shm": "4GiB"},
            "exceptions": {n: {"reason": "y", **e} for n, e in exceptions.items()},
        },
        "programs": {"a": {"command": ["a"], **({"user": "7:7"} if has_users else {})}},
        "probes": {"listen": "0.0.0.0:8080"},
        **more,
    }
    return yaml.safe_dump(said)


def assert_baseline(made: plan.Plan, capabilities: set[str]) -> None:
    security = made.security
    has_users = any(one.name == provisions.PROGRAM_USERS for one in made.exceptions)
    assert security.user == (provisions.User(0, 0) if has_users else provisions.User(1000, 1000))
    assert {*security.capabilities} == capabilities
    assert {"/run", "/tmp"} <= {mount.path for mount in security.tmpfs}
    assert all(mount.size_bytes > 0 and not mount.executable for mount in security.tmpfs)
    assert min(security.limits.memory_bytes, security.limits.pids, security.limits.files) > 0
    assert plan.parse(plan.dump(made), "plan.json") == made
    loaded = plan.LoadedPlan(made, "/opt/bootseal/etc", "a" * 64)
    for engine in (engine_argv.PODMAN, engine_argv.DOCKER):
        assert_engine(engine_argv.argv(loaded, OPTIONS, engine), security)
    [service] = compose.document(loaded, OPTIONS)["services"].values()
    assert service["user"] == f"{security.user.uid}:{security.user.gid}"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert sorted(service.get("cap_add", [])) == sorted(capabilities)
    assert any(option.startswith("no-new-privileges") for option in service["security_opt"])
    assert not any("unconfined" in option for option in service["security_opt"])
    assert not {"privileged", "pid", "ipc", "network_mode", "userns_mode"} & set(service)


def assert_engine(argv: list[str], security: hardening.SecurityPlan) -> None:
    assert f"--user={security.user.uid}:{security.user.gid}" in argv
    assert {"--read-only", "--cap-drop=ALL"} <= set(argv)
    assert any(word.startswith("--security-opt=no-new-privileges") for word in argv)
    assert {word.removeprefix("--cap-add=") for word in argv if word.startswith("--cap-add")} == {
        *security.capabilities
    }
    assert not [word for word in argv if "unconfined" in word or word.startswith(("--privileged", "--cap-add=ALL"))]
    assert not [
        word for word in argv if word in {"--pid=host", "--ipc=host", "--net=host", "--network=host", "--userns=host"}
    ]


def test_every_combination_of_the_known_exceptions_keeps_the_baseline(tmp_path: pathlib.Path) -> None:
    names = (*hardening.FEATURES, provisions.PROGRAM_USERS)
    built = 0
    for number in range(len(names) + 1):
        for chosen in itertools.combinations(names, number):
            acknowledged: dict[str, dict[str, Any]] = {name: {} for name in chosen}
            if "playwright" in acknowledged:
                acknowledged["playwright"] = {"acknowledge": ["SYS_ADMIN"]}
            result = manifests.load(tmp_path, manifest(acknowledged))
            if any(conflict <= {*chosen} for conflict in CONFLICTS):
                assert {*manifests.codes(result)} == {"E100"}, chosen
                continue
            assert result.plan is not None, (chosen, result.diagnostics)
            assert_baseline(result.plan, set().union(*(ADDED.get(name, set()) for name in chosen)))
            built += 1
    assert built == 2 ** len(names) - 2**5 * 3  # of the three that need a GPU rocm goes with neither of the other two


names = strategies.sampled_from(["one", "two", "three", *hardening.FEATURES])
said = strategies.fixed_dictionaries(
    {},
    optional={
        "inherits": strategies.lists(names, max_size=2, unique=True),
        "capabilities": strategies.lists(strategies.sampled_from(hardening.CAPABILITIES), max_size=3, unique=True),
        "devices": strategies.lists(strategies.sampled_from(["/dev/x", "/dev/y:rwm"]), max_size=2, unique=True),
        "tmpfs": strategies.dictionaries(
            strategies.sampled_from(["/run", "/tmp", "/a", "/dev/shm"]), strategies.sampled_from(["1MiB", "2MiB"])
        ),
        "groups": strategies.lists(strategies.sampled_from(["video", 7]), max_size=2, unique=True),
        "runtime": strategies.sampled_from(["kata", "nvidia"]),
        "gpu": strategies.sampled_from(hardening.GPUS),
    },
)


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=list(hypothesis.HealthCheck))
@hypothesis.given(strategies.dictionaries(names, said, max_size=4), strategies.booleans(), strategies.data())
def test_no_random_combination_takes_a_part_of_the_baseline_away(tmp_path, written, has_users, data) -> None:
    order = data.draw(strategies.permutations(list(written)))
    exceptions: dict[str, dict[str, Any]] = {name: written[name] for name in order}
    as_said = {name: said_of(one) for name, one in exceptions.items()}
    for name, one in exceptions.items():
        added = profile.capabilities(name, as_said)
        exceptions[name] = {**one, **({"acknowledge": sorted(added)} if added else {})}
    if has_users:
        exceptions[provisions.PROGRAM_USERS] = {}
    result = manifests.load(tmp_path, manifest(exceptions))
    assert {*manifests.codes(result)} <= {"E100", "E106"}
    if result.plan is not None:
        added = {one for name in as_said for one in profile.capabilities(name, as_said)}
        assert_baseline(result.plan, added | (ADDED[provisions.PROGRAM_USERS] if has_users else set()))


def said_of(one: dict[str, Any]) -> profile.Additions:
    return profile.Additions(inherits=tuple(one.get("inherits", ())), capabilities=tuple(one.get("capabilities", ())))


WEAKER = {
    "the root file system": "read_only: false",
    "privileges": "no_new_privileges: false",
    "everything": "privileged: true",
    "seccomp": "seccomp: unconfined",
    "the host's network": "network: host",
    "the host's processes": "pid: host",
    "dropped capabilities": "cap_drop: []",
    "the baseline's user": "user: 0",
}


@pytest.mark.parametrize("line", WEAKER.values(), ids=WEAKER)
@pytest.mark.parametrize("where", ["security", "exception"])
def test_nothing_that_weakens_the_baseline_can_be_written(line: str, where: str, tmp_path: pathlib.Path) -> None:
    section = f"{{{line}}}" if where == "security" else f"{{exceptions: {{x: {{reason: y, {line}}}}}}}"
    text = manifests.SMALL + f"features: [x]\nsecurity: {section}\n"
    result = manifests.load(tmp_path, text)
    assert result.plan is None
    assert {*manifests.codes(result)} & {"E020", "E022", "E083"}


def test_the_plan_has_no_word_for_the_baseline() -> None:
    """What is not in the plan cannot be changed there. A new field has to be thought of here: can its value weaken anything?"""
    assert {field.name for field in dataclasses.fields(hardening.SecurityPlan)} == {
        "enforce", "user", "capabilities", "devices", "groups", "runtime", "gpu", "tmpfs", "denied_syscalls", "limits",
    }  # fmt: skip


def test_a_plan_that_was_changed_by_hand_gets_nothing_without_an_exception(tmp_path: pathlib.Path) -> None:
    result = manifests.load(tmp_path, manifests.SMALL)
    assert result.plan is not None
    value = json.loads(plan.dump(result.plan))
    value["security"]["capabilities"] = ["SYS_ADMIN"]
    with pytest.raises(errors.InvalidRecord, match="without an exception"):
        plan.parse(json.dumps(value).encode(), "plan.json")
