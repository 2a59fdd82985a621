"""The planned profile against the one in force: each difference by its name, weaker or not, and what enforcing makes of it."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import attested
from entrypoint import attestation, effective_profile
from manifest import hardening, provisions
from tests.unit import boots

HERE = attestation.Place(in_kubernetes=False, groups={})
CLUSTER = attestation.Place(in_kubernetes=True, groups={})
MIB = 2**20
PROFILE = boots.profile()


def attest(profile=PROFILE, place=HERE, volumes=(), **security) -> attested.Attested:
    deploy = hardening.DeployPlan(None, 1, volumes)
    return attestation.attest(boots.make_plan(security=boots.security(**security), deploy=deploy), profile, place)


def with_sets(**sets: tuple[str, ...]) -> attested.Profile:
    return boots.profile(capabilities={**PROFILE.capabilities, **sets})


def with_tmpfs(path: str, **changes) -> attested.Profile:
    mounts = tuple(dataclasses.replace(one, **changes) if one.path == path else one for one in PROFILE.mounts)
    return boots.profile(mounts=mounts)


def without(path: str) -> attested.Profile:
    return boots.profile(mounts=tuple(one for one in PROFILE.mounts if one.path != path))


def with_namespace(name: str, value: str | None) -> attested.Profile:
    return boots.profile(namespaces={**PROFILE.namespaces, name: value})


SAFE = ("nosuid", "nodev", "noexec")

WEAKER = [
    (boots.profile(uid=0, gid=0, groups=(0,)), "user", "0:0", "--user=1000:1000"),
    (boots.profile(uid=0), "user", "0:1000", "--user=1000:1000"),
    (boots.profile(gid=0, groups=(0,)), "user", "1000:0", "--user=1000:1000"),
    (boots.profile(groups=(0, 1000)), "groups", "0, 1000", "no --group-add beyond the plan's"),
    (boots.profile(mounts=(*PROFILE.mounts, attested.FileSystem("/data", "ext4", None, ()))), "mount /data", "ext4, writable",
     "nothing writable at /data, or a path of boot.writable for it"),
    (with_sets(bounding=("NET_RAW",)), "capabilities", "NET_RAW (bounding)", "--cap-drop=ALL"),
    (with_sets(effective=("NET_RAW",), permitted=("NET_RAW",)), "capabilities", "NET_RAW (effective, permitted)", "--cap-drop=ALL"),
    (with_sets(ambient=("KILL",)), "capabilities", "KILL (ambient)", "--cap-drop=ALL"),
    (with_sets(inheritable=("KILL",)), "capabilities", "KILL (inheritable)", "--cap-drop=ALL"),
    (boots.profile(no_new_privileges=False), "no_new_privileges", "not set", "--security-opt=no-new-privileges"),
    (boots.profile(seccomp="disabled"), "seccomp", "disabled", "no --security-opt=seccomp=unconfined and no --privileged"),
    (with_namespace("pid", "host"), "pid namespace", "the machine's", "no --pid=host"),
    (with_namespace("ipc", "host"), "ipc namespace", "the machine's", "no --ipc=host"),
    (with_namespace("uts", "host"), "uts namespace", "the machine's", "no --uts=host"),
    (with_namespace("network", "host"), "network namespace", "the machine's", "no --network=host"),
    (boots.profile(root_read_only=False), "root", "writable", "--read-only"),
    (without("/run"), "tmpfs /run", "not mounted", "--tmpfs=/run:size=64m,nosuid,nodev,noexec"),
    (with_tmpfs("/run", kind="ext4", size_bytes=None), "tmpfs /run", "ext4", "--tmpfs=/run:size=64m,nosuid,nodev,noexec"),
    (with_tmpfs("/tmp", size_bytes=128 * MIB), "tmpfs /tmp", "128 MiB, nosuid, nodev, noexec", "--tmpfs=/tmp:size=64m,nosuid,nodev,noexec"),
    (with_tmpfs("/tmp", size_bytes=-1), "tmpfs /tmp", "unlimited, nosuid, nodev, noexec", "--tmpfs=/tmp:size=64m,nosuid,nodev,noexec"),
    (with_tmpfs("/tmp", options=("nosuid", "nodev")), "tmpfs /tmp", "64 MiB, nosuid, nodev", "--tmpfs=/tmp:size=64m,nosuid,nodev,noexec"),
    (with_tmpfs("/tmp", options=("nodev", "noexec")), "tmpfs /tmp", "64 MiB, nodev, noexec", "--tmpfs=/tmp:size=64m,nosuid,nodev,noexec"),
    (with_tmpfs("/tmp", options=("nosuid", "noexec")), "tmpfs /tmp", "64 MiB, nosuid, noexec", "--tmpfs=/tmp:size=64m,nosuid,nodev,noexec"),
    (boots.profile(memory_bytes=-1), "memory", "unlimited", "--memory=1g"),
    (boots.profile(memory_bytes=2**31), "memory", "2 GiB", "--memory=1g"),
    (boots.profile(pids=-1), "pids", "unlimited", "--pids-limit=1024"),
    (boots.profile(pids=2048), "pids", "2048", "--pids-limit=1024"),
    (boots.profile(files=1048576), "files", "1048576", "--ulimit=nofile=4096:4096"),
    (boots.profile(files=-1), "files", "unlimited", "--ulimit=nofile=4096:4096"),
]  # fmt: skip

NOTES = [
    (boots.profile(uid=2000, gid=2000, groups=(2000,)), "user", "2000:2000"),
    (boots.profile(groups=(44, 1000)), "groups", "44, 1000"),
    (with_tmpfs("/run", size_bytes=32 * MIB), "tmpfs /run", "32 MiB, nosuid, nodev, noexec"),
    (with_tmpfs("/run", options=("ro", *SAFE)), "tmpfs /run", "64 MiB, ro, nosuid, nodev, noexec"),
    (boots.profile(memory_bytes=2**29), "memory", "512 MiB"),
    (boots.profile(pids=100), "pids", "100"),
    (boots.profile(files=1024), "files", "1024"),
]  # fmt: skip

UNKNOWN = [
    (boots.profile(capabilities={}), "capabilities"),
    (boots.profile(no_new_privileges=None), "no_new_privileges"),
    (boots.profile(seccomp=None), "seccomp"),
    (boots.profile(root_read_only=None), "root"),
    (boots.profile(memory_bytes=None), "memory"),
    (boots.profile(pids=None), "pids"),
    (with_tmpfs("/run", size_bytes=None), "tmpfs /run size"),
    (with_namespace("pid", None), "pid namespace"),
    (with_namespace("network", None), "network namespace"),
]


def test_what_is_as_planned_differs_in_nothing_and_leaves_nothing_unknown():
    made = attest()
    assert (made.differences, made.unknown, made.enforced, made.effective) == ((), {}, False, PROFILE)
    assert attestation.warning(made) is None
    assert attestation.refusal(attest(enforce=True), HERE) is None


@pytest.mark.parametrize(("profile", "what", "found", "mend"), WEAKER, ids=lambda value: str(value)[:40])
def test_each_weakness_is_one_difference_named_warned_of_and_fatal_where_it_is_enforced(profile, what, found, mend):
    made = attest(profile)
    assert [(one.what, one.found, one.weaker, one.mend) for one in made.differences] == [(what, found, True, mend)]
    assert made.unknown == {}
    told = attestation.warning(made)
    assert told is not None and f"{what}: {found}, planned {made.differences[0].planned}" in told and mend in told
    assert attestation.refusal(made, HERE) is None, "nobody enforces it"
    refused = attestation.refusal(attest(profile, enforce=True), HERE)
    assert refused is not None and f"{what}: {found}" in refused.why and refused.remedy == f"run it with {mend}"


@pytest.mark.parametrize(("profile", "what", "found"), NOTES, ids=lambda value: str(value)[:40])
def test_what_differs_and_is_not_weaker_is_a_note_that_neither_warns_nor_ends_a_boot(profile, what, found):
    made = attest(profile, enforce=True)
    assert [(one.what, one.found, one.weaker, one.mend) for one in made.differences] == [(what, found, False, "")]
    assert attestation.warning(made) is None
    assert attestation.refusal(made, HERE) is None


@pytest.mark.parametrize(("profile", "what"), UNKNOWN, ids=lambda value: str(value)[:40])
def test_what_cannot_be_read_is_unknown_and_never_as_planned(profile, what):
    made = attest(profile, enforce=True)
    assert made.differences == ()
    assert set(made.unknown) == {what} and made.unknown[what]
    refused = attestation.refusal(made, HERE)
    if what == "network namespace":
        assert refused is None, "no process can know it on an old kernel"
    else:
        assert refused is not None and f"{what} is unknown ({made.unknown[what]})" in refused.why and refused.remedy


def test_a_refusal_names_every_weakness_and_each_remedy_once():
    profile = boots.profile(memory_bytes=-1, pids=-1, seccomp="disabled")
    refused = attestation.refusal(attest(profile, enforce=True), HERE)
    assert refused is not None
    for words in (
        "memory: unlimited, planned 1 GiB",
        "pids: unlimited, planned 1024",
        "seccomp: disabled, planned filter",
    ):
        assert words in refused.why
    assert refused.remedy.count("--memory=1g") == refused.remedy.count("--pids-limit=1024") == 1


def test_a_planned_cpu_limit_is_compared_and_none_is_not_asked_for():
    limits = dataclasses.replace(boots.security().limits, cpus=1.5)
    assert attest(boots.profile(cpus=4.0)).differences == ()
    assert attest(boots.profile(cpus=1.5), limits=limits).differences == ()
    for found, shown, weaker in ((-1, "unlimited", True), (2.0, "2", True), (1.0, "1", False)):
        [one] = attest(boots.profile(cpus=found), limits=limits).differences
        assert (one.what, one.planned, one.found, one.weaker) == ("cpus", "1.5", shown, weaker)
    assert set(attest(boots.profile(cpus=None), limits=limits).unknown) == {"cpus"}


def test_planned_capabilities_are_no_difference_and_a_missing_one_is_a_note():
    held = ("CHOWN", "NET_RAW")
    assert attest(with_sets(effective=held, permitted=held, bounding=held), capabilities=held).differences == ()
    [one] = attest(with_sets(bounding=held), capabilities=held).differences
    assert (one.what, one.planned, one.found, one.weaker) == (
        "capabilities",
        "CHOWN, NET_RAW",
        "CHOWN, NET_RAW not effective",
        False,
    )
    [one] = attest(with_sets(effective=(*held, "KILL")), capabilities=held).differences
    assert (one.found, one.weaker, one.mend) == (
        "KILL (effective)",
        True,
        "--cap-drop=ALL --cap-add=CHOWN --cap-add=NET_RAW",
    )


def test_all_capabilities_at_once_are_told_in_a_bounded_sentence():
    [one] = attest(with_sets(bounding=effective_profile.CAPABILITIES)).differences
    assert one.found.endswith("and 33 more (bounding)") and len(one.found) < 200


def test_root_where_root_was_planned_is_as_planned():
    assert attest(boots.profile(uid=0, gid=0, groups=(0,)), user=provisions.User(0, 0)).differences == ()
    [one] = attest(user=provisions.User(0, 0)).differences
    assert (one.what, one.weaker) == ("user", False)


def test_planned_groups_are_looked_up_by_name_or_number():
    place = attestation.Place(in_kubernetes=False, groups={"video": 44})
    assert attest(boots.profile(groups=(44, 105, 1000)), place, groups=("105", "video")).differences == ()
    [one] = attest(boots.profile(groups=(44, 1000)), place, groups=("105", "video")).differences
    assert (one.what, one.planned, one.found, one.weaker) == ("groups", "105, video", "44, 1000", False)
    assert set(attest(place=HERE, groups=("video",)).unknown) == {"group video"}


def test_an_executable_tmpfs_may_be_mounted_without_noexec_and_is_stricter_with_it():
    planned = (hardening.Tmpfs("/run", 64 * MIB, 0o755, True, None), boots.security().tmpfs[1])
    assert attest(with_tmpfs("/run", options=("nosuid", "nodev")), tmpfs=planned).differences == ()
    [one] = attest(tmpfs=planned).differences
    assert (one.what, one.planned, one.weaker) == ("tmpfs /run", "64 MiB, nosuid, nodev", False)


def test_a_volume_and_a_device_that_are_missing_are_told():
    volume, device = hardening.Volume("data", "/data", 2**30), hardening.Device("/dev/kfd", "rw")
    [lost, absent] = attest(volumes=(volume,), devices=(device,)).differences
    assert (lost.what, lost.found, lost.weaker, lost.mend) == (
        "volume /data",
        "not mounted",
        True,
        "--volume=data:/data",
    )
    assert (absent.what, absent.found, absent.weaker) == ("device /dev/kfd", "not there", False)
    there = boots.profile(
        mounts=(*PROFILE.mounts, attested.FileSystem("/data", "ext4", None, ())), devices=("/dev/kfd",)
    )
    assert attest(there, volumes=(volume,), devices=(device,)).differences == ()


def test_denied_system_calls_are_unknown_and_no_reason_to_refuse_and_without_a_filter_they_are_not_denied():
    made = attest(denied_syscalls=("unshare",), enforce=True)
    assert set(made.unknown) == {"denied system calls"}
    assert attestation.refusal(made, HERE) is None
    assert attest(boots.profile(seccomp="disabled"), denied_syscalls=("unshare",)).unknown == {}


def test_kubernetes_is_excused_for_what_it_cannot_set_and_for_nothing_else():
    loose = with_tmpfs("/run", options=())
    profile = dataclasses.replace(loose, pids=-1, files=-1)
    made = attest(profile, CLUSTER, enforce=True)
    assert [(one.what, one.weaker, one.mend) for one in made.differences] == [
        ("tmpfs /run", True, ""), ("pids", True, ""), ("files", True, ""),
    ]  # fmt: skip
    assert attestation.warning(made) is None
    assert attestation.refusal(made, CLUSTER) is None
    assert attestation.refusal(attest(boots.profile(pids=None), CLUSTER, enforce=True), CLUSTER) is None
    assert attestation.refusal(attest(profile, HERE, enforce=True), HERE) is not None
    excused = {"pids", "files"}
    for weaker, what, found, _ in WEAKER:
        refused = attestation.refusal(attest(weaker, CLUSTER, enforce=True), CLUSTER)
        if what in excused or (what.startswith("tmpfs") and found.startswith("64 MiB")):
            assert refused is None
        else:
            assert refused is not None and "--" not in refused.remedy, "it names what Kubernetes calls it"


def test_every_capability_of_a_plan_has_its_number_here():
    assert set(effective_profile.CAPABILITIES) == set(hardening.CAPABILITIES)


@settings(max_examples=500, derandomize=True)
@given(st.sampled_from(WEAKER), st.sampled_from(WEAKER), st.sampled_from(NOTES))
def test_no_weakness_hides_another(one, other, note):
    """Two profiles are laid over each other, field by field: what either was changed in is told."""
    changes = {}
    for profile in (note[0], one[0], other[0]):
        changes |= {
            field.name: getattr(profile, field.name)
            for field in dataclasses.fields(profile)
            if getattr(profile, field.name) != getattr(PROFILE, field.name)
        }
    made = attest(boots.profile(**changes), enforce=True)
    weak = {found.what for found in made.weaknesses}
    assert other[1] in weak or (other[1] == "groups" and "user" in weak), (
        "the process's own group is told with its user"
    )
    assert attestation.refusal(made, HERE) is not None
