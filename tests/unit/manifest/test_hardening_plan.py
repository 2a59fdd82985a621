"""What a manifest says of confinement and deployment, as it stands in the plan; and what a mount may not hide."""

import itertools
import pathlib
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from manifest import compile as compiling
from manifest import diagnostics, hardening, hardening_plan, plan, provisions, shadows, source, structure
from tests.unit.manifest import manifests

MIB = 2**20
SMALL = manifests.SMALL


def made(tmp_path: pathlib.Path, text: str, options: compiling.BuildOptions | None = None) -> plan.Plan:
    result = manifests.load(tmp_path, text, options)
    assert result.plan is not None, result.diagnostics
    assert plan.parse(plan.dump(result.plan), "plan.json") == result.plan
    return result.plan


def mounts(of: plan.Plan) -> dict[str, int]:
    return {mount.path: mount.size_bytes // MIB for mount in of.security.tmpfs}


def test_a_manifest_that_says_nothing_has_the_baseline(tmp_path: pathlib.Path) -> None:
    found = made(tmp_path, SMALL)
    assert found.security == hardening.SecurityPlan(
        enforce=False,
        user=provisions.User(1000, 1000),
        capabilities=(),
        devices=(),
        groups=(),
        runtime=None,
        gpu=None,
        tmpfs=(
            hardening.Tmpfs("/run", 64 * MIB, 0o755, executable=False, owner=None),
            hardening.Tmpfs("/tmp", 64 * MIB, 0o1777, executable=False, owner=None),
        ),
        denied_syscalls=(),
        limits=hardening.Limits(2**30, None, 1024, 4096),
    )
    assert found.deploy == hardening.DeployPlan(None, 1, ())
    assert found.deploy.workload == hardening.DEPLOYMENT


def test_what_is_said_stands_in_the_plan(tmp_path: pathlib.Path) -> None:
    text = SMALL + (
        "features: [scanner]\n"
        "security:\n"
        "  enforce: true\n"
        '  user: "2000:3000"\n'
        '  tmpfs: {/cache: 128MiB, /srv/x: {size: 1MiB, mode: "0700", executable: true}}\n'
        "  seccomp: [unshare, mount]\n"
        "  exceptions:\n"
        "    scanner: {reason: raw sockets, capabilities: [cap_net_raw], acknowledge: [NET_RAW], devices: ['/dev/x:r'], groups: [7, video],\n"
        "      runtime: kata, gpu: amd}\n"
        "resources: {memory: 2GiB, cpus: 1.5, pids: 100, files: 2048}\n"
        "deploy: {kind: statefulset, replicas: 3}\n"
    )
    found = made(tmp_path, text)
    security = found.security
    assert (security.enforce, security.user, security.capabilities) == (True, provisions.User(2000, 3000), ("NET_RAW",))
    assert (security.devices, security.groups) == ((hardening.Device("/dev/x", "r"),), ("7", "video"))
    assert (security.runtime, security.gpu, security.denied_syscalls) == ("kata", "amd", ("mount", "unshare"))
    assert security.limits == hardening.Limits(2 * 2**30, 1.5, 100, 2048)
    assert hardening.Tmpfs("/srv/x", MIB, 0o700, executable=True, owner=None) in security.tmpfs
    assert found.deploy == hardening.DeployPlan("statefulset", 3, ())
    assert found.exceptions == (provisions.ExceptionPlan("scanner", "raw sockets"),)


def test_under_program_users_pid_1_is_root_with_four_capabilities(tmp_path: pathlib.Path) -> None:
    text = (
        "version: 1\nname: x\nprograms: {a: {command: [a], user: 7}}\nboot: {writable: [{path: /w, owner: 7}]}\n"
        "security: {exceptions: {program-users: because}}\n"
    )
    found = made(tmp_path, text).security
    assert (found.user, found.capabilities) == (provisions.User(0, 0), ("CHOWN", "KILL", "SETGID", "SETUID"))
    assert {mount.path: mount.owner for mount in found.tmpfs}["/w"] == provisions.User(7, 7)
    moved = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)
    up = made(tmp_path, text, compiling.BuildOptions(relocation=moved))
    assert (up.security.user, up.security.capabilities) == (provisions.User(1000, 1000), ())
    assert {mount.owner for mount in up.security.tmpfs} == {None}


ROOTS = {
    "/data": "{path: /data, mount: required}",
    "/data/cache": "{path: /data/cache, storage: tmpfs, size: 5MiB}",
    "/data/more": "/data/more",
    "/run/x": "/run/x",
    "/run/y": "{path: /run/y, storage: tmpfs}",
    "/var": '{path: /srv, size: 7MiB, mode: "0700"}',
    "/srv/deep": "/srv/deep",
    "/keep": "{path: /keep, storage: volume, size: 10GiB}",
}


def test_what_is_written_is_in_memory_or_on_a_volume_whatever_the_order(tmp_path: pathlib.Path) -> None:
    for order in itertools.islice(itertools.permutations(ROOTS.values()), 0, None, 997):
        found = made(tmp_path, SMALL + f"boot: {{writable: [{', '.join(order)}]}}\n")
        assert mounts(found) == {"/data/cache": 5, "/run": 64, "/run/y": 64, "/srv": 7, "/tmp": 64}
        assert found.deploy.volumes == (
            hardening.Volume("data", "/data", 2**30),
            hardening.Volume("keep", "/keep", 10 * 2**30),
        )
        assert found.deploy.workload == hardening.STATEFULSET


def test_a_root_at_run_or_tmp_says_how_they_are(tmp_path: pathlib.Path) -> None:
    found = made(tmp_path, SMALL + "boot: {writable: [{path: /tmp, size: 100MiB}, {path: /run, storage: tmpfs}]}\n")
    assert mounts(found) == {"/run": 64, "/tmp": 100}
    found = made(tmp_path, SMALL + "boot: {writable: [{path: /tmp, storage: volume}]}\n")
    assert mounts(found) == {"/run": 64}
    assert [volume.path for volume in found.deploy.volumes] == ["/tmp"]


def test_the_run_directory_can_be_written_wherever_it_is(tmp_path: pathlib.Path) -> None:
    found = made(tmp_path, SMALL, compiling.BuildOptions(run_directory="/var/lib/bootseal"))
    assert "/var/lib/bootseal" in mounts(found)
    text = SMALL + "boot: {writable: [{path: /var/lib, storage: volume}]}\n"
    found = made(tmp_path, text, compiling.BuildOptions(run_directory="/var/lib/bootseal"))
    assert "/var/lib/bootseal" not in mounts(found)


def test_a_volume_is_named_for_its_path() -> None:
    named = {
        "/data": "data",
        "/var/lib/app": "var-lib-app",
        "/var/lib/my-app": "var-lib-my--app",
        "/Data": "data---d33637c1",
        "/home/node/.cache": "home-node--cache---fecc08c3",
        "/é": "volume---e6899f85",
    }
    assert {path: hardening_plan.volume_name(path) for path in named} == named


parts = strategies.text(alphabet="ab-_.Aé0", min_size=1, max_size=30).filter(lambda part: part not in {".", ".."})


@hypothesis.settings(max_examples=300, deadline=None)
@hypothesis.given(strategies.sets(strategies.lists(parts, min_size=1, max_size=4).map(tuple), min_size=2, max_size=8))
def test_no_two_volumes_have_one_name(paths: set[tuple[str, ...]]) -> None:
    names = {hardening_plan.volume_name(f"/{'/'.join(path)}") for path in paths}
    assert len(names) == len(paths)
    assert all(structure.fields.label_fault(name) is None and len(name) <= 51 for name in names)


@pytest.mark.parametrize(
    ("one", "other"), [("/a-b", "/a/b"), ("/a_b", "/a.b"), ("/a-/b", "/a/-b"), ("/A", "/a"), ("/a--b", "/a-/-b")]
)
def test_paths_that_look_alike_are_two_volumes(one: str, other: str, tmp_path: pathlib.Path) -> None:
    found = made(
        tmp_path,
        SMALL + f"boot: {{writable: [{{path: {one}, storage: volume}}, {{path: {other}, storage: volume}}]}}\n",
    )
    assert len({volume.name for volume in found.deploy.volumes}) == 2


def test_limits_that_nobody_wrote_grow_with_the_programs(tmp_path: pathlib.Path) -> None:
    text = "version: 1\nname: x\nprograms:\n" + "".join(f"  p{number}: {{command: [a]}}\n" for number in range(1000))
    found = made(tmp_path, text)
    assert found.security.limits.pids == 4 * 1003 + 12
    assert found.security.limits.files == found.descriptors == 4 * 1003 + 128


def test_limits_that_were_written_stay(tmp_path: pathlib.Path) -> None:
    assert made(tmp_path, SMALL + "resources: {pids: 28, files: 1024}\n").security.limits.pids == 28


def judged(tmp_path: pathlib.Path, text: str, here: str, options: compiling.BuildOptions | None = None) -> list[Any]:
    """Return what is said of a manifest that lies in the directory ``here``."""
    found = made(tmp_path, text, options)
    findings = diagnostics.Findings()
    root = source.parse(text, findings)
    assert root is not None
    subject = structure.check(root, findings)
    assert subject is not None
    shadows.check(subject, found, here, findings)
    return list(findings.ordered())


IN_TMP = "version: 1\nname: x\nprograms: {a: {command: [/tmp/x/a]}}\n"


def test_what_lies_in_tmp_is_hidden_by_it(tmp_path: pathlib.Path) -> None:
    [found] = judged(tmp_path, IN_TMP, "/opt/app")
    assert found.code == "E105"
    assert "`/tmp` is in memory" in found.message
    assert "the command of `a` (/tmp/x/a)" in found.message
    assert found.place is not None
    assert found.place.line == 3


def test_a_manifest_that_lies_in_tmp_is_not_judged_by_it(tmp_path: pathlib.Path) -> None:
    assert judged(tmp_path, IN_TMP, "/tmp/checkout") == []


def test_a_boot_that_was_moved_is_not_judged_by_mounts_it_has_not(tmp_path: pathlib.Path) -> None:
    moved = compiling.Relocation("/srv/up/root", loopback_only=True, strict=False, listen=None)
    assert judged(tmp_path, IN_TMP, "/opt/app", compiling.BuildOptions(relocation=moved)) == []


@pytest.mark.parametrize(
    "text",
    [
        "boot: {writable: [{path: /run/x, storage: volume}]}\nartifacts: {t: /run/x/t}\n",
        "security: {tmpfs: {/srv: 1MiB}}\nboot: {writable: [{path: /srv/x, mount: required}]}\nartifacts: {t: /srv/x/t}\n",
        "security: {tmpfs: {/srv: 1MiB}}\nartifacts: {t: /srvx/t}\n",
    ],
)
def test_what_another_mount_brings_is_not_hidden(text: str, tmp_path: pathlib.Path) -> None:
    whole = "version: 1\nname: x\nprograms: {a: {command: [a], artifacts: [t]}}\n" + text
    assert manifests.load(tmp_path, whole).diagnostics == ()


@pytest.mark.parametrize("command", ["/w/a", "${writable:/w}/a", "${run}/a", "/run/w/a"])
def test_a_program_that_is_made_at_boot_runs_where_programs_may(command: str, tmp_path: pathlib.Path) -> None:
    text = (
        f"version: 1\nname: x\nprograms: {{a: {{command: ['{command}']}}}}\nboot: {{writable: [/w, /run/w]}}\n"
        "security: {tmpfs: {/w: {executable: true}, /run: {executable: true}}}\n"
    )
    assert manifests.load(tmp_path, text).diagnostics == ()


def test_a_mount_that_hides_much_is_one_finding(tmp_path: pathlib.Path) -> None:
    programs = ", ".join(f"p{number}: {{command: [/srv/p{number}]}}" for number in range(500))
    text = f"version: 1\nname: x\nprograms: {{{programs}}}\nsecurity: {{tmpfs: {{/srv: {{executable: true}}}}}}\n"
    [found] = manifests.load(tmp_path, text).diagnostics
    assert found.code == "E105"
    assert "and 497 more" in found.message
    assert len(found.message) < 400
