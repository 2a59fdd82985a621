"""A seccomp profile that only narrows: made from an engine's own, or an operator's, judged against it. Pure.

Rules
-----
* An engine *replaces* its profile by the one it is given. So a profile is made of the engine's own with calls taken away, and
  a profile that somebody else wrote is compared with the engine's own, rule by rule.
* ``widenings`` is a proof, not a guess: empty only where every rule that permits something is covered by one of the default's that permits at
  least as much, and everything that the default restricts is restricted here, too. Where neither can be shown it is called a widening.
* What a rule needs of its environment (architecture, capabilities, kernel) counts: it is covered only by a rule that applies wherever it does.
* Which of two rules for the same arguments wins is libseccomp's to decide, by how specific they are. So a rule that permits may lie across
  one that restricts only as the default itself has them.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from container import rendering, seccomp_profile
from container.seccomp_profile import Argument, Profile, Rule

PODMANS_OWN = "/usr/share/containers/seccomp.json"
PODMANS_LOCAL = "/etc/containers/seccomp.json"
"""Where podman has its profile, and where a machine may have another in its place (containers.conf(5), seccomp_profile)."""
_EPERM = 1


def narrowed(default: Mapping[str, Any], denied: Iterable[str], comment: str = "") -> dict[str, Any]:
    """Return the profile ``default`` (as JSON) in which the system calls ``denied`` fail with EPERM.

    Raises NotAProfile, or CannotRender where ``default`` is no list of what is allowed.
    """
    if not seccomp_profile.parse(default, "the default profile").is_allow_list:
        why = "it allows what it does not name, so that nothing taken from it would make it narrow"
        raise rendering.CannotRender("the default profile", why, "name the engine's own with --default")
    names = sorted(set(denied))
    kept = []
    for group in default.get("syscalls") or []:
        left = [name for name in seccomp_profile.names_of(group) if name not in names]
        if left:
            kept.append({"names": left, **{key: value for key, value in group.items() if key not in {"name", "names"}}})
    denial = {
        "names": names,
        "action": f"{seccomp_profile.PREFIX}ERRNO",
        "args": [],
        "comment": comment,
        "includes": {},
        "excludes": {},
        "errnoRet": _EPERM,
        "errno": "EPERM",
    }
    return {**default, "syscalls": [*([denial] if names else []), *kept]}


def permitted(profile: Profile) -> frozenset[str]:
    """Return the system calls that ``profile`` permits somewhere, with some arguments."""
    return frozenset(name for name, rules in profile.rules.items() if any(rule.permits for rule in rules))


def widenings(candidate: Profile, default: Profile) -> list[str]:
    """Return everything in which ``candidate`` may permit more than ``default``; empty is the proof that it never does."""
    found = _wider_architectures(candidate, default)
    found += [f"the flag {flag}" for flag in sorted(candidate.flags - default.flags)]
    if not candidate.is_allow_list and candidate.default_action != default.default_action:
        action = f"{seccomp_profile.PREFIX}{candidate.default_action}"
        denied = sum(1 for name in candidate.rules if name not in permitted(candidate))
        why = f"everything is permitted but {denied} calls (defaultAction {action}), where only what is named was"
        return [why, *found]
    for name in sorted({*candidate.rules, *default.rules}):
        mine, theirs = candidate.rules.get(name, ()), default.rules.get(name, ())
        if mine != theirs:
            found += _newly_permitted(mine, theirs, default)
            found += _unrestricted(mine, theirs, candidate)
    return list(dict.fromkeys(found))


def _wider_architectures(candidate: Profile, default: Profile) -> list[str]:
    wider = [family for family in candidate.families if not any(family <= other for other in default.families)]
    return [f"the architectures {', '.join(sorted(family))}" for family in sorted(wider, key=sorted)]


def _newly_permitted(mine: Sequence[Rule], theirs: Sequence[Rule], default: Profile) -> list[str]:
    """Return what ``mine`` permits, for one call, and nothing in ``theirs`` does."""
    if not default.is_allow_list:
        return []
    return [f"{rule} is {_word(rule)}" for rule in mine if rule.permits and not _covering(rule, theirs)]


def _covering(rule: Rule, theirs: Sequence[Rule]) -> list[Rule]:
    """Return the rules of ``theirs`` that permit at least as much as ``rule``, wherever it applies."""
    return [other for other in theirs if other.permits and rule.is_at_most(other) and _applies_within(rule, other)]


def _unrestricted(mine: Sequence[Rule], theirs: Sequence[Rule], candidate: Profile) -> list[str]:
    """Return what ``theirs`` restricts, for one call, and ``mine`` may permit."""
    found = []
    for restriction in (rule for rule in theirs if not rule.permits):
        kept = [rule for rule in mine if not rule.permits and _applies_within(restriction, rule)]
        if not kept and not candidate.is_allow_list:
            found.append(f"{restriction} is not denied any more")
        for rule in (one for one in mine if one.permits and not _are_disjoint(one, restriction)):
            is_as_before = any(one.arguments == restriction.arguments for one in kept) and any(
                other.arguments == rule.arguments != restriction.arguments for other in _covering(rule, theirs)
            )
            if not is_as_before:
                found.append(f"{rule} is {_word(rule)}, across {restriction}, which is denied")
    return found


def _word(rule: Rule) -> str:
    return "permitted" if rule.action == "ALLOW" else f"left to {rule.action}"


def _applies_within(inner: Rule, outer: Rule) -> bool:
    """Say whether ``outer`` applies to every call, in every environment, that ``inner`` applies to."""
    return (
        outer.caps <= inner.caps
        and outer.without_caps <= inner.without_caps
        and (not outer.arches or (bool(inner.arches) and inner.arches <= outer.arches))
        and (outer.without_arches <= inner.without_arches or _is_elsewhere(inner, outer.without_arches))
        and outer.kernel <= inner.kernel
        and (not outer.without_kernel or outer.without_kernel == inner.without_kernel)
        and all(any(_implies(one, condition) for one in inner.arguments) for condition in outer.arguments)
    )


def _is_elsewhere(rule: Rule, arches: frozenset[str]) -> bool:
    return bool(rule.arches) and not rule.arches & arches


def _implies(one: Argument, condition: Argument) -> bool:
    """Say whether what meets ``one`` always meets ``condition``."""
    return one == condition or (one.index == condition.index and one.op == "EQ" and condition.is_met_by(one.value))


def _are_disjoint(one: Rule, other: Rule) -> bool:
    """Say whether no call in no environment has both rules apply."""
    return (
        bool(one.caps & other.without_caps or other.caps & one.without_caps)
        or bool(one.arches and other.arches and not one.arches & other.arches)
        or bool(one.arches and one.arches <= other.without_arches)
        or bool(other.arches and other.arches <= one.without_arches)
        or any(_contradict(*pair) for pair in itertools.product(one.arguments, other.arguments))
    )


def _contradict(one: Argument, other: Argument) -> bool:
    if one.index != other.index:
        return False
    return (one.op == "EQ" and not other.is_met_by(one.value)) or (other.op == "EQ" and not one.is_met_by(other.value))
