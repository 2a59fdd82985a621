"""What exceptions add together depends on nothing but what they are: never on an order, and never takes anything away."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import hypothesis
import pytest
from hypothesis import strategies

from manifest import hardening, profile, provisions

Additions = profile.Additions
MIB = 2**20
OWN = ("one", "two", "three", "four")
NAMES = (*OWN, *profile.PRESETS)
quick = hypothesis.settings(max_examples=60, deadline=None)


def mount(path: str, size: int = MIB, mode: int = 0o755) -> hardening.Tmpfs:
    return hardening.Tmpfs(path, size, mode, executable=False, owner=None)


def some(values: Any, **bounds: Any) -> Any:
    return strategies.lists(values, max_size=3, **bounds).map(tuple)


mounts = some(
    strategies.builds(mount, strategies.sampled_from(["/dev/shm", "/a", "/b"]), strategies.sampled_from([MIB, 2**30])),
    unique_by=lambda one: one.path,
)
devices = some(
    strategies.builds(
        hardening.Device, strategies.sampled_from(["/dev/dri", "/dev/x"]), strategies.sampled_from(["r", "rw"])
    ),
    unique_by=lambda one: one.path,
)
additions = strategies.builds(
    Additions,
    inherits=some(strategies.sampled_from((*NAMES, "nobody")), unique=True),
    devices=devices,
    tmpfs=mounts,
    capabilities=some(strategies.sampled_from(["NET_RAW", "NET_ADMIN", "SYS_PTRACE"]), unique=True),
    groups=some(strategies.sampled_from(["video", "audio", "7"]), unique=True),
    runtime=strategies.sampled_from([None, None, "kata", "nvidia"]),
    gpu=strategies.sampled_from([None, None, *hardening.GPUS]),
)
exceptions = strategies.dictionaries(strategies.sampled_from(NAMES), additions, max_size=5)


def shuffled(one: Additions, data: strategies.DataObject) -> Additions:
    lists = ("inherits", "devices", "tmpfs", "capabilities", "groups")
    return dataclasses.replace(
        one, **{key: tuple(data.draw(strategies.permutations(getattr(one, key)))) for key in lists}
    )


@quick
@hypothesis.given(exceptions, mounts, strategies.data())
def test_the_order_in_which_things_are_written_decides_nothing(written, said, data) -> None:
    names = data.draw(strategies.permutations(list(written)))
    other = {name: shuffled(written[name], data) for name in names}
    assert profile.merge(other, data.draw(strategies.permutations(said))) == profile.merge(written, said)


def parts(merged: profile.Merged) -> set[tuple[str, str]]:
    """Return what is there, by kind and key; what it is may be said anew by an heir."""
    added = merged.additions
    found = {("device", one.path) for one in added.devices} | {("tmpfs", one.path) for one in added.tmpfs}
    found |= {("capability", name) for name in added.capabilities} | {("group", name) for name in added.groups}
    return found | {(key, "") for key in ("runtime", "gpu") if getattr(added, key) is not None}


@quick
@hypothesis.given(exceptions, mounts, strategies.sampled_from(NAMES), additions)
def test_an_exception_more_never_removes_anything(written, said, name, one) -> None:
    more = {**written, name: one} if name not in written else written
    assert parts(profile.merge(written, said)) <= parts(profile.merge(more, said))
    assert parts(profile.merge(written)) <= parts(profile.merge(written, said))


@quick
@hypothesis.given(exceptions)
def test_what_is_added_is_what_somebody_says(written: Mapping[str, Additions]) -> None:
    """Exactly: nothing is made up, and nothing that was said is lost."""
    found = profile.merge(written).additions
    involved = {*written, *(name for one in written for name in profile.inherited(one, written))}
    said = [profile.alone(name, written) for name in involved]
    assert {*found.capabilities} == {name for one in said for name in one.capabilities}
    assert {*found.groups} == {name for one in said for name in one.groups}
    assert {one.path for one in found.tmpfs} == {mount.path for one in said for mount in one.tmpfs}
    assert {*found.tmpfs} <= {mount for one in said for mount in one.tmpfs}
    assert {*found.devices} <= {device for one in said for device in one.devices}
    assert {found.runtime} <= {None, *(one.runtime for one in said)}
    assert {found.gpu} <= {None, *(one.gpu for one in said)}


def value(one: Additions, key: str) -> Any:
    kind, _, path = key.partition(" ")
    if kind in {"tmpfs", "device"}:
        keyed = one.tmpfs if kind == "tmpfs" else one.devices
        return next((item for item in keyed if item.path == path), None)
    return getattr(one, kind)


KEYS = (
    "tmpfs /dev/shm",
    "tmpfs /a",
    "tmpfs /b",
    "device /dev/dri",
    "device /dev/x",
    "device /dev/kfd",
    "runtime",
    "gpu",
)


@quick
@hypothesis.given(exceptions, mounts)
def test_two_that_differ_are_a_conflict_unless_somebody_who_inherits_says_it(written, said) -> None:
    merged = profile.merge(written, said)
    involved = sorted({*written, *(name for one in written for name in profile.inherited(one, written))})
    alone = {name: profile.alone(name, written) for name in involved}
    above = {name: profile.inherited(name, written) for name in involved}
    reported = {conflict.key for conflict in merged.conflicts}
    for key in KEYS:
        if value(Additions(tmpfs=said), key) is not None:  # security.tmpfs has the last word
            assert key not in reported
            assert value(merged.additions, key) == value(Additions(tmpfs=said), key)
            continue
        saying = [name for name in involved if value(alone[name], key) is not None]
        last = [
            name
            for name in saying
            if not any(name in above[heir] - {heir} and heir not in above[name] for heir in saying)
        ]
        values = {value(alone[name], key) for name in last}
        assert (key in reported) == (len(values) > 1)
        assert value(merged.additions, key) in values or not saying
    for conflict in merged.conflicts:
        assert value(alone[conflict.one], conflict.key) != value(alone[conflict.other], conflict.key)
        is_heir = conflict.one in above[conflict.other], conflict.other in above[conflict.one]
        assert is_heir in {(False, False), (True, True)}


@quick
@hypothesis.given(strategies.permutations(OWN), strategies.lists(additions, min_size=4, max_size=4))
def test_inheritance_is_transitive(names: list[str], said: list[Additions]) -> None:
    chain = {name: dataclasses.replace(one, inherits=()) for name, one in zip(names, said, strict=True)}
    for heir, parent in itertools.pairwise(names):
        chain[heir] = dataclasses.replace(chain[heir], inherits=(parent,))
    assert profile.inherited(names[0], chain) == {*names[1:]}
    assert profile.capabilities(names[0], chain) == {name for one in said for name in one.capabilities}
    assert profile.merge(chain).conflicts == ()


@quick
@hypothesis.given(strategies.dictionaries(strategies.sampled_from(OWN), additions, min_size=1, max_size=3))
def test_who_says_the_same_once_more_changes_nothing(written: Mapping[str, Additions]) -> None:
    strangers = {name: dataclasses.replace(one, inherits=()) for name, one in written.items()}
    before, after = profile.merge(strangers), profile.merge({**strangers, "zzz": next(iter(strangers.values()))})
    assert after.additions == before.additions
    assert {conflict.key for conflict in after.conflicts} == {conflict.key for conflict in before.conflicts}


def test_an_heir_replaces_as_a_whole_what_it_says_again() -> None:
    written = {
        "studio": Additions(inherits=("gaussian-splatting",), tmpfs=(mount("/dev/shm", 8 * MIB),), gpu="amd"),
    }
    found = profile.merge(written)
    assert found.conflicts == ()
    assert found.additions.tmpfs == (mount("/dev/shm", 8 * MIB, 0o755),)
    assert (found.additions.runtime, found.additions.gpu) == ("nvidia", "amd")


def test_what_is_written_under_a_presets_name_is_its_heir() -> None:
    bigger = mount("/run/user", 128 * MIB, 0o700)
    found = profile.merge({"desktop": Additions(tmpfs=(bigger,), capabilities=("NET_RAW",))})
    assert found.additions.tmpfs == (bigger, mount("/tmp/.X11-unix", MIB, 0o1777))
    assert found.additions.capabilities == ("NET_RAW",)
    more = Additions(capabilities=("NET_RAW",), groups=("video",))
    assert profile.merge({"playwright": more}).additions.capabilities == ("NET_RAW", "SYS_ADMIN")
    assert profile.merge({"gpu-rocm": more}).additions.groups == ("render", "video")


def test_an_heir_of_both_decides_between_two() -> None:
    both = {"gpu-cuda": Additions(), "gpu-rocm": Additions()}
    assert [one.key for one in profile.merge(both).conflicts] == ["gpu"]
    both["workstation"] = Additions(inherits=("gpu-cuda", "gpu-rocm"), gpu="nvidia")
    found = profile.merge(both)
    assert found.conflicts == ()
    assert found.additions.gpu == "nvidia"
    assert found.additions.devices == profile.PRESETS["gpu-rocm"].devices


def test_two_sizes_are_a_conflict_until_security_tmpfs_says_one() -> None:
    both = {"gaussian-splatting": Additions(), "playwright": Additions()}
    [conflict] = profile.merge(both).conflicts
    assert conflict == profile.Conflict("tmpfs /dev/shm", "gaussian-splatting", "playwright")
    said = mount("/dev/shm", 3 * MIB)
    found = profile.merge(both, [said])
    assert (found.conflicts, found.additions.tmpfs) == ((), (said,))


def test_a_circle_ends_and_replaces_nobody() -> None:
    circle = {
        "one": Additions(inherits=("two",), gpu="amd"),
        "two": Additions(inherits=("one",), gpu="nvidia"),
    }
    assert [conflict.key for conflict in profile.merge(circle).conflicts] == ["gpu"]
    assert profile.inherited("one", circle) == {"one", "two"}


def test_nobody_is_a_preset_but_what_is_documented() -> None:
    assert set(profile.PRESETS) == {*hardening.FEATURES, provisions.PROGRAM_USERS}
    assert profile.PRESETS[provisions.PROGRAM_USERS] == Additions(capabilities=("CHOWN", "KILL", "SETGID", "SETUID"))
    assert profile.PRESETS["gaussian-splatting"].inherits == ("gpu-cuda",)
    with_capabilities = {name for name, one in profile.PRESETS.items() if one.capabilities}
    assert with_capabilities == {"playwright", provisions.PROGRAM_USERS}


@pytest.mark.parametrize("key", [field.name for field in dataclasses.fields(Additions)])
def test_an_exception_can_only_add(key: str) -> None:
    """There is no key that takes something away, and none that says what the baseline says; a new one has to be thought of here."""
    assert key in {"inherits", "devices", "tmpfs", "capabilities", "groups", "runtime", "gpu"}
    assert getattr(Additions(), key) in ((), None)


def test_no_exception_is_nothing() -> None:
    assert profile.merge({}) == profile.Merged(Additions(), ())
