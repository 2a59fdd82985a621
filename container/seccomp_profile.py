"""A seccomp profile, read whole or not at all: what an engine is told of system calls. Pure.

Rules
-----
* What is not understood (a field, an action, a comparison, a name that is said twice) is refused by name: nothing could be proven of it.
* A rule that names one argument twice stands for several, each with one comparison, as engines take it; else all of its comparisons
  must hold (seccomp_rule_add(3)).

The format is that of containers (github.com/containers/common, pkg/seccomp) and docker (docs.docker.com/engine/security/seccomp): a
rule applies where all of ``includes`` and none of ``excludes`` do.
"""

import dataclasses
import itertools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from contract import errors

PREFIX = "SCMP_ACT_"
ACTIONS = ("KILL_PROCESS", "KILL_THREAD", "KILL", "TRAP", "ERRNO", "NOTIFY", "TRACE", "LOG", "ALLOW")
"""From the strictest to what permits all; NOTIFY and TRACE leave it to somebody else, who may permit it."""
STRICT = frozenset({"KILL_PROCESS", "KILL_THREAD", "KILL", "TRAP", "ERRNO"})
_COMPARISONS = frozenset({"NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"})
_KNOWN = frozenset(
    {"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "syscalls", "flags"}
)
_KNOWN_OF_RULES = frozenset({"name", "names", "action", "args", "comment", "includes", "excludes", "errnoRet", "errno"})
_KNOWN_OF_CONDITIONS = frozenset({"caps", "arches", "minKernel"})
_KNOWN_OF_ARGUMENTS = frozenset({"index", "value", "valueTwo", "op"})


class NotAProfile(errors.BootsealError):
    """The bytes are no seccomp profile that can be understood whole."""


@dataclasses.dataclass(frozen=True, order=True)
class Argument:
    """A comparison of the argument ``index``; of MASKED_EQ ``value`` is the mask and ``value_two`` what is left."""

    index: int
    op: str
    value: int
    value_two: int

    def is_met_by(self, value: int) -> bool:
        """Say whether the argument's ``value`` meets the comparison."""
        if self.op == "MASKED_EQ":
            return value & self.value == self.value_two
        compared = {
            "NE": value != self.value,
            "LT": value < self.value,
            "LE": value <= self.value,
            "EQ": value == self.value,
            "GE": value >= self.value,
            "GT": value > self.value,
        }
        return compared[self.op]


@dataclasses.dataclass(frozen=True)
class Rule:
    """What happens to one syscall, and where: all ``caps`` and one of ``arches`` are there, none of the ``without_`` ones is."""

    name: str
    action: str
    arguments: tuple[Argument, ...]
    caps: frozenset[str]
    arches: frozenset[str]
    kernel: tuple[int, ...]
    without_caps: frozenset[str]
    without_arches: frozenset[str]
    without_kernel: tuple[int, ...]

    @property
    def permits(self) -> bool:
        """Whether the call may happen under this rule."""
        return self.action not in STRICT

    def is_at_most(self, other: "Rule") -> bool:
        """Say whether this rule's action permits no more than that of ``other``."""
        return ACTIONS.index(self.action) <= ACTIONS.index(other.action)

    def __str__(self) -> str:
        said = [f"argument {one.index} {one.op} {one.value}" for one in self.arguments]
        said += [f"with {', '.join(sorted(self.caps))}"] if self.caps else []
        said += [f"on {', '.join(sorted(self.arches))}"] if self.arches else []
        said += [f"from kernel {'.'.join(map(str, self.kernel))}"] if self.kernel else []
        said += [f"without {', '.join(sorted(self.without_caps))}"] if self.without_caps else []
        said += [f"not on {', '.join(sorted(self.without_arches))}"] if self.without_arches else []
        return f"{self.name} ({'; '.join(said)})" if said else self.name


@dataclasses.dataclass(frozen=True)
class Profile:
    """A profile, understood: ``families`` are the sets of architectures, one of which it applies to."""

    default_action: str
    families: frozenset[frozenset[str]]
    flags: frozenset[str]
    rules: Mapping[str, tuple[Rule, ...]]

    @property
    def is_allow_list(self) -> bool:
        """Whether only what it names is permitted."""
        return self.default_action in STRICT


def load(data: bytes, where: str) -> dict[str, Any]:
    """Return the JSON of the profile in ``data``; raises NotAProfile naming ``where``, also where it is not understood whole."""
    try:
        value = json.loads(data, object_pairs_hook=lambda pairs: _once(pairs, where))
    except (ValueError, RecursionError) as error:
        raise NotAProfile(where, f"it is not JSON: {error}", "name a seccomp profile") from error
    parse(value, where)
    found: dict[str, Any] = value
    return found


def parse(value: Any, where: str) -> Profile:
    """Return the profile in ``value``, JSON values; raises NotAProfile naming ``where`` and what is not understood."""
    profile = _fields(value, _KNOWN, where, "the profile")
    rules: dict[str, list[Rule]] = {}
    for group in _list(profile.get("syscalls"), where, "syscalls"):
        for rule in _rules(_fields(group, _KNOWN_OF_RULES, where, "a rule"), where):
            rules.setdefault(rule.name, []).append(rule)
    return Profile(
        default_action=_action(profile.get("defaultAction"), where),
        families=_families(profile, where),
        flags=frozenset(_texts(profile.get("flags"), where, "flags")),
        rules={name: tuple(found) for name, found in rules.items()},
    )


def _once(pairs: list[tuple[str, Any]], where: str) -> dict[str, Any]:
    """Return an object of JSON none of whose names comes twice: engines join two that hold objects, and others take the last."""
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise NotAProfile(
            where, f"it says {errors.printable(twice)} twice, and readers differ in what that is", "say it once"
        )
    return found


def _rules(group: Mapping[str, Any], where: str) -> Iterable[Rule]:
    includes = _fields(group.get("includes") or {}, _KNOWN_OF_CONDITIONS, where, "includes")
    excludes = _fields(group.get("excludes") or {}, _KNOWN_OF_CONDITIONS, where, "excludes")
    arguments = [_argument(one, where) for one in _list(group.get("args"), where, "args")]
    indexes = [one.index for one in arguments]
    is_any_of = len(set(indexes)) < len(indexes)
    alternatives = [(one,) for one in arguments] if is_any_of else [tuple(sorted(arguments))]
    for name, one in itertools.product(_texts(names_of(group), where, "names"), alternatives):
        yield Rule(
            name=name,
            action=_action(group.get("action"), where),
            arguments=one,
            caps=frozenset(_texts(includes.get("caps"), where, "caps")),
            arches=frozenset(_texts(includes.get("arches"), where, "arches")),
            kernel=_version(includes.get("minKernel"), where),
            without_caps=frozenset(_texts(excludes.get("caps"), where, "caps")),
            without_arches=frozenset(_texts(excludes.get("arches"), where, "arches")),
            without_kernel=_version(excludes.get("minKernel"), where),
        )


def names_of(group: Mapping[str, Any]) -> list[Any]:
    """Return the system calls that a group of ``syscalls`` is about."""
    names = group.get("names") or []
    return [*names, *([group["name"]] if group.get("name") else [])] if isinstance(names, list) else [names]


def _families(profile: Mapping[str, Any], where: str) -> frozenset[frozenset[str]]:
    mapped = [
        _fields(one, frozenset({"architecture", "subArchitectures"}), where, "archMap")
        for one in _list(profile.get("archMap"), where, "archMap")
    ]
    found = [
        [one.get("architecture"), *_list(one.get("subArchitectures"), where, "subArchitectures")] for one in mapped
    ]
    listed = _list(profile.get("architectures"), where, "architectures")
    return frozenset(frozenset(_texts(one, where, "architectures")) for one in [*found, *([listed] if listed else [])])


def _argument(value: Any, where: str) -> Argument:
    found = _fields(value, _KNOWN_OF_ARGUMENTS, where, "an argument")
    op = str(found.get("op", "")).removeprefix("SCMP_CMP_")
    numbers = [found.get(name, 0) for name in ("index", "value", "valueTwo")]
    if op not in _COMPARISONS or any(not isinstance(one, int) or isinstance(one, bool) for one in numbers):
        raise NotAProfile(where, f"an argument is not understood: {json.dumps(value)[:200]}", "name a seccomp profile")
    index, first, second = numbers
    return Argument(index, op, first, second)


def _action(value: Any, where: str) -> str:
    action = str(value).removeprefix(PREFIX)
    if not str(value).startswith(PREFIX) or action not in ACTIONS:
        raise NotAProfile(where, f"the action {value!r} is not understood", "write for example SCMP_ACT_ERRNO")
    return action


def _version(value: Any, where: str) -> tuple[int, ...]:
    if value in (None, ""):
        return ()
    parts = str(value).split(".")
    if not all(part.isdecimal() for part in parts):
        raise NotAProfile(where, f"minKernel {value!r} is not understood", "write for example 4.8")
    return tuple(int(part) for part in parts)


def _fields(value: Any, known: frozenset[str], where: str, what: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotAProfile(where, f"{what} is no object of JSON", "name a seccomp profile")
    unknown = sorted(set(map(str, value)) - known)
    if unknown:
        why = f"{what} holds {', '.join(unknown)}, which is not understood, so nothing can be proven of it"
        raise NotAProfile(where, why, "leave it out")
    return value


def _list(value: Any, where: str, what: str) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise NotAProfile(where, f"{what} is no list", "name a seccomp profile")
    return value


def _texts(value: Any, where: str, what: str) -> list[str]:
    found = _list(value, where, what)
    if not all(isinstance(one, str) and one for one in found):
        raise NotAProfile(where, f"{what} holds what is no name", "name a seccomp profile")
    return found
