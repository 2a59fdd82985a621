"""A profile that only narrows: proven for what we make, and never claimed of what widens."""

import copy
import itertools
import json
import os
import pathlib

import hypothesis
import pytest
from hypothesis import strategies as st

from container import rendering, seccomp, seccomp_profile

PODMANS = pathlib.Path(seccomp.PODMANS_OWN)


@pytest.fixture(scope="module")
def default():
    """The profile of the engine that is installed here."""
    if not PODMANS.exists():
        needs = f"{PODMANS}: install podman (golang-github-containers-common)"
        pytest.fail(needs) if os.environ.get("CI") else pytest.skip(needs)
    return json.loads(PODMANS.read_bytes())


def parsed(value):
    return seccomp_profile.parse(value, "test")


@pytest.fixture(scope="module")
def known(default):
    """The same, parsed."""
    return parsed(default)


def wider(candidate, default):
    return seccomp.widenings(parsed(candidate), parsed(default))


def rule(*names, action="ALLOW", **changes):
    return {"names": list(names), "action": f"SCMP_ACT_{action}", "args": [], "includes": {}, "excludes": {}, **changes}


def argument(index, value, op="EQ", two=0):
    return {"index": index, "value": value, "valueTwo": two, "op": f"SCMP_CMP_{op}"}


def profile(*rules, default_action="ERRNO", **changes):
    return {"defaultAction": f"SCMP_ACT_{default_action}", "syscalls": list(rules), **changes}


def test_an_engines_own_profile_is_no_wider_than_itself(default):
    assert wider(default, default) == []


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=25, deadline=None)
def test_what_is_taken_from_an_engines_profile_never_widens_it(default, known, data):
    denied = data.draw(
        st.sets(st.sampled_from(sorted(known.rules)) | st.from_regex(r"[a-z_]{2,12}", fullmatch=True), max_size=40)
    )
    before = copy.deepcopy(default)
    made = seccomp.narrowed(default, denied)
    assert default == before, "the default is left as it is"
    narrow = parsed(made)
    assert seccomp.widenings(narrow, known) == []
    assert seccomp.permitted(narrow) == seccomp.permitted(known) - denied
    for name in denied:
        assert [one.action for one in narrow.rules[name]] == ["ERRNO"]
    assert made == seccomp.narrowed(default, sorted(denied, reverse=True)), "the same bytes in any order"


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=25, deadline=None)
def test_a_call_that_is_allowed_in_addition_is_always_found(default, known, data):
    permitted = seccomp.permitted(known)
    restricted = sorted(known.rules.keys() - permitted)
    new = st.from_regex(r"[a-z_]{2,12}", fullmatch=True).filter(lambda one: one not in permitted)
    name = data.draw(st.sampled_from(restricted) | new)
    condition = data.draw(
        st.sampled_from(
            (
                {},
                {"includes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"includes": {"arches": ["amd64"]}},
                {"excludes": {"caps": ["CAP_SYS_ADMIN"]}},
                {"args": [argument(0, 1)]},
                {"includes": {"minKernel": "4.8"}},
            )
        )
    )
    action = data.draw(st.sampled_from(("ALLOW", "LOG", "NOTIFY", "TRACE")))
    rules = list(default["syscalls"])
    rules.insert(data.draw(st.integers(0, len(rules))), rule(name, action=action, **condition))
    assert any(line.startswith(name) for line in seccomp.widenings(parsed({**default, "syscalls": rules}), known))


@hypothesis.given(data=st.data())
@hypothesis.settings(max_examples=40, deadline=None)
def test_a_condition_that_is_left_out_is_always_found(default, known, data):
    conditional = [
        number
        for number, group in enumerate(default["syscalls"])
        if group["action"] == "SCMP_ACT_ALLOW" and (group["args"] or group["includes"]) and len(group["names"]) < 100
    ]
    rules = list(default["syscalls"])
    number = data.draw(st.sampled_from(conditional))
    rules[number] = {**rules[number], "args": [], "includes": {}, "excludes": {}}
    assert seccomp.widenings(parsed({**default, "syscalls": rules}), known)


def test_a_list_of_denials_in_place_of_a_list_of_what_is_allowed_is_found_to_widen(default):
    """The kind of profile that looks like hardening, and replaces an engine's stronger one."""
    denials = profile(
        rule("unshare", "setns", "mount", "ptrace", action="ERRNO"),
        rule("socket", action="ERRNO", args=[argument(0, 38)]),
        default_action="ALLOW",
    )
    [line] = wider(denials, default)
    assert line.startswith("everything is permitted but 5 calls (defaultAction SCMP_ACT_ALLOW)")
    with pytest.raises(rendering.CannotRender, match="it allows what it does not name"):
        seccomp.narrowed(denials, ["bpf"])


WIDER = {
    "another call": (profile(rule("a")), profile(rule("a", "b")), "b is permitted"),
    "without its argument": (profile(rule("a", args=[argument(0, 1)])), profile(rule("a")), "a is permitted"),
    "another value": (
        profile(rule("a", args=[argument(0, 1)])),
        profile(rule("a", args=[argument(0, 2)])),
        "a (argument 0 EQ 2)",
    ),
    "one of two arguments": (
        profile(rule("a", args=[argument(0, 1), argument(1, 1)])),
        profile(rule("a", args=[argument(0, 1)])),
        "a (argument 0 EQ 1)",
    ),
    "without its capability": (profile(rule("a", includes={"caps": ["CAP_X"]})), profile(rule("a")), "a is permitted"),
    "with another capability": (
        profile(rule("a", includes={"caps": ["CAP_X"]})),
        profile(rule("a", includes={"caps": ["CAP_Y"]})),
        "a (with CAP_Y)",
    ),
    "without what excludes it": (
        profile(rule("a", excludes={"caps": ["CAP_X"]})),
        profile(rule("a")),
        "a is permitted",
    ),
    "everywhere": (profile(rule("a", includes={"arches": ["arm"]})), profile(rule("a")), "a is permitted"),
    "elsewhere": (
        profile(rule("a", includes={"arches": ["arm"]})),
        profile(rule("a", includes={"arches": ["arm", "x86"]})),
        "a (on arm, x86)",
    ),
    "for older kernels": (
        profile(rule("a", includes={"minKernel": "5.4"})),
        profile(rule("a", includes={"minKernel": "4.8"})),
        "a (from kernel 4.8)",
    ),
    "an audited one silently": (profile(rule("a", action="LOG")), profile(rule("a")), "a is permitted"),
    "a restriction gone": (
        profile(rule("a"), rule("a", action="ERRNO", args=[argument(0, 1)])),
        profile(rule("a")),
        "a is permitted, across a (argument 0 EQ 1)",
    ),
    "a hole in a restriction": (
        profile(rule("a"), rule("a", action="ERRNO", args=[argument(0, 1)])),
        profile(
            rule("a"),
            rule("a", action="ERRNO", args=[argument(0, 1)]),
            rule("a", args=[argument(0, 1), argument(1, 2)]),
        ),
        "across a (argument 0 EQ 1)",
    ),
    "a restriction made general, and a hole in it": (
        profile(rule("a"), rule("a", action="ERRNO", args=[argument(0, 1)])),
        profile(rule("a", action="ERRNO"), rule("a", args=[argument(0, 1)])),
        "across a (argument 0 EQ 1)",
    ),
    "an architecture": (
        profile(archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]),
        profile(archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86", "SCMP_ARCH_X32"]}]),
        "the architectures",
    ),
    "an architecture, said the old way": (
        profile(),
        profile(architectures=["SCMP_ARCH_X32"]),
        "the architectures SCMP_ARCH_X32",
    ),
    "a flag": (profile(), profile(flags=["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]), "the flag SECCOMP_FILTER_FLAG_SPEC_ALLOW"),
    "all but": (
        profile(rule("a", action="ERRNO"), default_action="ALLOW"),
        profile(default_action="ALLOW"),
        "a is not denied any more",
    ),
}


@pytest.mark.parametrize(("known", "judged", "said"), WIDER.values(), ids=WIDER)
def test_each_way_of_widening_is_found_and_said(known, judged, said):
    assert any(said in line for line in wider(judged, known)), wider(judged, known)
    assert wider(known, known) == []
    assert wider(judged, judged) == []


NARROWER = {
    "a call fewer": (profile(rule("a", "b")), profile(rule("b"))),
    "one argument": (profile(rule("a")), profile(rule("a", args=[argument(0, 1)]))),
    "a value that a comparison allows": (
        profile(rule("a", args=[argument(0, 5, "GE")])),
        profile(rule("a", args=[argument(0, 7)])),
    ),
    "a value that a mask allows": (
        profile(rule("a", args=[argument(0, 0x0F, "MASKED_EQ", 0)])),
        profile(rule("a", args=[argument(0, 0x30)])),
    ),
    "an argument more": (
        profile(rule("a", args=[argument(0, 1)])),
        profile(rule("a", args=[argument(0, 1), argument(1, 3)])),
    ),
    "only with a capability": (profile(rule("a")), profile(rule("a", includes={"caps": ["CAP_X"]}))),
    "one architecture of two": (
        profile(rule("a", includes={"arches": ["arm", "x86"]})),
        profile(rule("a", includes={"arches": ["arm"]})),
    ),
    "not on another than excluded": (
        profile(rule("a", excludes={"arches": ["s390"]})),
        profile(rule("a", includes={"arches": ["arm"]})),
    ),
    "audited": (profile(rule("a")), profile(rule("a", action="LOG"))),
    "a restriction more": (profile(rule("a")), profile(rule("a"), rule("a", action="ERRNO", args=[argument(0, 1)]))),
    "a restriction with nothing left to it": (profile(rule("a", action="ERRNO"), rule("b")), profile(rule("b"))),
    "killed in place of refused": (profile(rule("a", action="ERRNO")), profile(rule("a", action="KILL_PROCESS"))),
    "fewer architectures": (
        profile(archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]}]),
        profile(archMap=[{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []}]),
    ),
    "none named": (profile(architectures=["SCMP_ARCH_X32"]), profile()),
    "one argument twice is one or the other": (
        profile(rule("a", args=[argument(0, 1), argument(0, 2)])),
        profile(rule("a", args=[argument(0, 2)])),
    ),
}


@pytest.mark.parametrize(("known", "judged"), NARROWER.values(), ids=NARROWER)
def test_what_narrows_is_not_called_a_widening(known, judged):
    assert wider(judged, known) == []


CAPS, ARCHES, VALUES = ("CAP_A", "CAP_B"), ("x", "y"), (0, 1, 2)
CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "caps": st.lists(st.sampled_from(CAPS), min_size=1, max_size=2),
        "arches": st.lists(st.sampled_from(ARCHES), min_size=1, max_size=2),
    },
)
ARGUMENTS = st.lists(
    st.builds(argument, st.sampled_from((0, 1)), st.sampled_from(VALUES), st.sampled_from(("EQ", "NE", "LT", "GE"))),
    max_size=2,
)
RULES = st.builds(
    lambda action, args, includes, excludes: rule("a", action=action, args=args, includes=includes, excludes=excludes),
    st.sampled_from(("ALLOW", "ERRNO", "KILL")),
    ARGUMENTS,
    CONDITIONS,
    CONDITIONS,
)
PROFILES = st.builds(
    lambda rules, action: profile(*rules, default_action=action),
    st.lists(RULES, max_size=3),
    st.sampled_from(("ERRNO", "ERRNO", "ALLOW")),
)
WORLDS = [
    (set(caps), arch, pair)
    for size in range(3)
    for caps in itertools.combinations(CAPS, size)
    for arch in ARCHES
    for pair in itertools.product(VALUES, VALUES)
]


def meets(one, pair):
    found, wanted = pair[one["index"]], one["value"]
    op = one["op"].removeprefix("SCMP_CMP_")
    return {"EQ": found == wanted, "NE": found != wanted, "LT": found < wanted, "GE": found >= wanted}[op]


def applies(group, world):
    caps, arch, pair = world
    includes, excludes = group["includes"], group["excludes"]
    if not set(includes.get("caps", ())) <= caps or set(excludes.get("caps", ())) & caps:
        return False
    if ("arches" in includes and arch not in includes["arches"]) or arch in excludes.get("arches", ()):
        return False
    indexes = [one["index"] for one in group["args"]]
    judge = any if len(set(indexes)) < len(indexes) else all
    return not indexes or judge(meets(one, pair) for one in group["args"])


def outcomes(value, world):
    """Return whether the call is permitted, by each way in which two rules that both apply could be reconciled."""
    found = [group for group in value["syscalls"] if applies(group, world)]
    if not found:
        return (value["defaultAction"] == "SCMP_ACT_ALLOW",) * 3
    permits = [group["action"] == "SCMP_ACT_ALLOW" for group in found]
    closest = max(len(group["args"]) for group in found)
    of_closest = [permit for permit, group in zip(permits, found, strict=True) if len(group["args"]) == closest]
    return any(permits), all(permits), all(of_closest)


@hypothesis.given(known=PROFILES, judged=PROFILES, is_mutated=st.booleans(), data=st.data())
@hypothesis.settings(max_examples=250, deadline=None, suppress_health_check=[hypothesis.HealthCheck.filter_too_much])
def test_what_is_proven_to_narrow_permits_nothing_more_in_any_world(known, judged, is_mutated, data):
    """Every capability, architecture and argument there is in a small world, whichever of two rules wins."""
    if is_mutated:
        judged = copy.deepcopy(known)
        if judged["syscalls"]:
            group = judged["syscalls"][data.draw(st.integers(0, len(judged["syscalls"]) - 1))]
            group |= data.draw(
                st.sampled_from(
                    (
                        {"args": []},
                        {"includes": {}},
                        {"excludes": {}},
                        {"action": "SCMP_ACT_ERRNO"},
                        {"action": "SCMP_ACT_ALLOW"},
                    )
                )
            )
        judged["syscalls"] += data.draw(st.lists(RULES, max_size=1))
    if wider(judged, known):
        return
    for world in WORLDS:
        for here, there in zip(outcomes(judged, world), outcomes(known, world), strict=True):
            assert there or not here, (world, known, judged)


NOT_UNDERSTOOD = {
    "no object": [],
    "no action": {"syscalls": []},
    "an action": profile(rule("a", action="MAYBE")),
    "a field": profile(extra=1),
    "a field of a rule": profile(rule("a", until="noon")),
    "a condition": profile(rule("a", includes={"users": ["me"]})),
    "a comparison": profile(rule("a", args=[argument(0, 1, "LIKE")])),
    "a field of an argument": profile(rule("a", args=[{**argument(0, 1), "mask": 1}])),
    "a value": profile(rule("a", args=[argument(0, "1")])),
    "a truth": profile(rule("a", args=[argument(0, True)])),
    "a name": profile(rule(7)),
    "no list": profile(syscalls={}),
    "a kernel": profile(rule("a", includes={"minKernel": "new"})),
    "an agent": profile(listenerPath="/run/agent.sock"),
}


@pytest.mark.parametrize("value", NOT_UNDERSTOOD.values(), ids=NOT_UNDERSTOOD)
def test_what_is_not_understood_is_refused_by_name(value):
    with pytest.raises(seccomp_profile.NotAProfile, match=r"^some\.json: "):
        seccomp_profile.parse(value, "some.json")


@pytest.mark.parametrize("data", [b"", b"{", b"[1]", b"null", b"\xff", b"[" * 100000])
def test_what_is_no_json_or_no_profile_is_refused(data):
    with pytest.raises(seccomp_profile.NotAProfile, match=r"^some\.json: "):
        seccomp_profile.load(data, "some.json")


def test_a_denied_call_is_refused_with_eperm_and_the_comment_is_kept(default):
    made = seccomp.narrowed(default, ["unshare", "mount"], "generated by me")
    first = made["syscalls"][0]
    assert (first["names"], first["action"], first["errnoRet"]) == (["mount", "unshare"], "SCMP_ACT_ERRNO", 1)
    assert first["comment"] == "generated by me"


def test_nothing_denied_leaves_the_profile_as_it_is(default):
    assert seccomp.narrowed(default, []) == default


TWICE = {
    "a condition that engines keep": '{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["a"], "action": "SCMP_ACT_ERRNO", '
    '"excludes": {"arches": ["arm64"]}, "excludes": {}}]}',
    "an action": '{"defaultAction": "SCMP_ACT_ALLOW", "defaultAction": "SCMP_ACT_ERRNO"}',
    "what does not matter": '{"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [], "syscalls": []}',
}


@pytest.mark.parametrize("text", TWICE.values(), ids=TWICE)
def test_what_is_said_twice_is_refused_because_readers_differ(text):
    with pytest.raises(seccomp_profile.NotAProfile, match=r"^some\.json: it says \w+ twice"):
        seccomp_profile.load(text.encode(), "some.json")
