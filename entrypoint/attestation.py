"""The planned profile and the one that is in force: what differs, and what is weaker. Pure, standard library only.

Rules
-----
* Weaker is what lets the container do more, or holds it less, than planned: more capabilities, root where another user was planned,
  a root file system that can be written, no seccomp filter, no no-new-privileges, a namespace of the machine's, a limit that is larger
  or missing, a file system in memory that is larger, missing, or takes programs, devices or set-uid files that were not planned, a
  volume that is missing, a mount that can be written and was not planned. Everything else that differs is a note: another user than planned who is not root, smaller limits.
* What could not be read is unknown, and unknown is never as planned.
* Each weakness names the option of whoever runs the container that mends it. Kubernetes has none for the options of an emptyDir,
  for a container's processes and for its descriptors: there these are told, and neither warned of nor fatal.
* Where the plan enforces the profile, a weakness ends the boot, and so does what is unknown, unless no process can know it from
  inside: which calls a filter denies, and before Linux 6.18 whose the network is.
"""

from collections.abc import Iterator, Mapping

from contract import attested, errors, records
from entrypoint import effective_profile
from manifest import hardening, plan

_UNITS = (("GiB", "g", 2**30), ("MiB", "m", 2**20), ("KiB", "k", 2**10))
_ROUNDING_BYTES = 65536
"""Limits and sizes are kept in pages, of 4 to 64 KiB."""
_ROUNDING_CPUS = 0.01
_MOST_NAMED = 8
_NAMESPACES = {
    "pid": "--pid=host",
    "ipc": "--ipc=host",
    "uts": "--uts=host",
    effective_profile.NETWORK: "--network=host",
}
_HOST_NAMESPACES = {"pid": "hostPID", "ipc": "hostIPC", "uts": "hostNetwork", effective_profile.NETWORK: "hostNetwork"}


@records.dataclass(frozen=True)
class Place:
    """Where the container runs, as far as it matters here; ``groups`` are the numbers of the planned groups that are names."""

    in_kubernetes: bool
    groups: Mapping[str, int]


@records.dataclass(frozen=True)
class _Question:
    """What is compared with what."""  # without it dataclasses asks inspect.signature for one, for 1.5 ms

    wanted: plan.Plan
    found: attested.Profile
    place: Place

    @property
    def security(self) -> hardening.SecurityPlan:
        return self.wanted.security

    def mend(self, engine: str, kubernetes: str = "") -> str:
        return kubernetes if self.place.in_kubernetes else engine


def attest(wanted: plan.Plan, found: attested.Profile, place: Place) -> attested.Attested:
    """Return how ``found`` differs from what ``wanted`` plans, and what of it is unknown."""
    question = _Question(wanted, found, place)
    differences: list[attested.Difference] = []
    unknown: dict[str, str] = {}
    for one in _differences(question):
        if isinstance(one, attested.Difference):
            differences.append(one)
        else:
            unknown |= one
    return attested.Attested(question.security.enforce, found, tuple(differences), unknown)


def refusal(made: attested.Attested, place: Place) -> errors.BootsealError | None:
    """Return why a boot that enforces its profile must fail, or None; every weakness is named with what mends it."""
    if not made.enforced:
        return None
    excused = {*attested.NOT_FROM_INSIDE, *({"pids"} if place.in_kubernetes else ())}
    unread = [f"{what} is unknown ({why})" for what, why in made.unknown.items() if what not in excused]
    reasons = [*(_sentence(one) for one in made.weaknesses), *unread]
    if not reasons:
        return None
    why = f"security.enforce is set, and the profile in force is weaker than planned: {'; '.join(reasons)}"
    return errors.BootsealError("security profile", why, _remedy(made))


def warning(made: attested.Attested) -> str | None:
    """Return the one line that tells people of every weakness, or None."""
    weak = made.weaknesses
    if not weak:
        return None
    told = "; ".join(_sentence(one) for one in weak)
    return f"the container is less confined than planned ({told}): {_remedy(made)}"


def _sentence(one: attested.Difference) -> str:
    return f"{one.what}: {one.found}, planned {one.planned}"


def _remedy(made: attested.Attested) -> str:
    options = list(dict.fromkeys(one.mend for one in made.weaknesses))
    return f"run it with {', '.join(options)}" if options else "let it see /proc and /sys/fs/cgroup"


_Told = Iterator[attested.Difference | dict[str, str]]


def _differences(question: _Question) -> _Told:
    yield from _user(question)
    yield from _groups(question)
    yield from _capabilities(question)
    yield from _privileges(question)
    yield from _namespaces(question)
    yield from _root(question)
    yield from _file_systems(question)
    yield from _limits(question)
    yield from _beyond(question)


def _user(question: _Question) -> _Told:
    planned, found = question.security.user, question.found
    if (planned.uid, planned.gid) == (found.uid, found.gid):
        return
    is_weaker = (found.uid == 0 and planned.uid != 0) or (found.gid == 0 and planned.gid != 0)
    mend = question.mend(f"--user={planned.uid}:{planned.gid}", f"runAsUser: {planned.uid}, runAsGroup: {planned.gid}")
    yield _difference("user", f"{planned.uid}:{planned.gid}", f"{found.uid}:{found.gid}", mend, weaker=is_weaker)


def _groups(question: _Question) -> _Told:
    security, found = question.security, question.found
    numbers = {
        name: question.place.groups.get(name, int(name) if name.isdecimal() else None) for name in security.groups
    }
    for name, number in numbers.items():
        if number is None:
            yield {f"group {name}": "the image has no group of that name"}
    allowed = {security.user.gid, found.gid, *(number for number in numbers.values() if number is not None)}
    extra = sorted({*found.groups} - allowed)
    lacking = [
        name for name, number in numbers.items() if number is not None and number not in (*found.groups, found.gid)
    ]
    if extra or lacking:
        shown = ", ".join(map(str, found.groups)) or "none"
        planned = ", ".join(security.groups) or "none"
        mend = question.mend("no --group-add beyond the plan's", "no supplementalGroups beyond the plan's")
        yield _difference("groups", planned, shown, mend, weaker=0 in extra)


def _capabilities(question: _Question) -> _Told:
    planned, sets = set(question.security.capabilities), question.found.capabilities
    if not sets:
        yield {"capabilities": "/proc/self/status does not hold them"}
        return
    beyond: dict[str, list[str]] = {}
    for name, held in sets.items():
        for capability in held:
            if capability not in planned:
                beyond.setdefault(capability, []).append(name)
    lacking = sorted(planned - {*sets["effective"]})
    if not beyond and not lacking:
        return
    grouped: dict[str, list[str]] = {}
    for capability, names in beyond.items():
        grouped.setdefault(", ".join(names), []).append(capability)
    told = [f"{_listed(names)} ({where})" for where, names in grouped.items()]
    told += [f"{_listed(lacking)} not effective"] if lacking else []
    added = "".join(f" --cap-add={name}" for name in sorted(planned))
    mend = question.mend(f"--cap-drop=ALL{added}", f"capabilities.drop: [ALL], add: [{', '.join(sorted(planned))}]")
    yield _difference("capabilities", _listed(sorted(planned)), "; ".join(told), mend, weaker=bool(beyond))


def _privileges(question: _Question) -> _Told:
    found = question.found
    if found.no_new_privileges is None:
        yield {"no_new_privileges": "/proc/self/status does not say"}
    elif not found.no_new_privileges:
        mend = question.mend("--security-opt=no-new-privileges", "allowPrivilegeEscalation: false")
        yield _difference("no_new_privileges", "set", "not set", mend, weaker=True)
    if found.seccomp is None:
        yield {"seccomp": "/proc/self/status does not say"}
    elif found.seccomp == "disabled":
        mend = question.mend(
            "no --security-opt=seccomp=unconfined and no --privileged", "seccompProfile.type: RuntimeDefault"
        )
        yield _difference("seccomp", "filter", found.seccomp, mend, weaker=True)
    if question.security.denied_syscalls and found.seccomp == "filter":
        yield {attested.DENIED: "which calls a seccomp filter denies cannot be read"}


def _namespaces(question: _Question) -> _Told:
    for name, option in _NAMESPACES.items():
        found = question.found.namespaces.get(name)
        what = f"{name} namespace"
        if found is None:
            yield {what: "this kernel does not tell the machine's from another"}
        elif found == effective_profile.HOST:
            mend = question.mend(f"no {option}", f"{_HOST_NAMESPACES[name]}: false")
            yield _difference(what, "its own", "the machine's", mend, weaker=True)


def _root(question: _Question) -> _Told:
    found = question.found.root_read_only
    if found is None:
        yield {"root": "statvfs(2) of / fails"}
    elif not found:
        mend = question.mend("--read-only", "readOnlyRootFilesystem: true")
        yield _difference("root", "read-only", "writable", mend, weaker=True)


def _file_systems(question: _Question) -> _Told:
    mounted = {one.path: one for one in question.found.mounts}
    for planned in question.security.tmpfs:
        yield from _tmpfs(question, planned, mounted.get(planned.path))
    for volume in question.wanted.deploy.volumes:
        if volume.path not in mounted:
            mend = question.mend(f"--volume={volume.name}:{volume.path}", f"a volumeMount at {volume.path}")
            yield _difference(f"volume {volume.path}", "mounted", "not mounted", mend, weaker=True)
    for device in question.security.devices:
        if device.path not in question.found.devices:
            yield _difference(f"device {device.path}", device.permissions, "not there", "", weaker=False)


def _tmpfs(question: _Question, planned: hardening.Tmpfs, found: attested.FileSystem | None) -> _Told:
    what = f"tmpfs {planned.path}"
    flags = ("nosuid", "nodev", *(() if planned.executable else ("noexec",)))
    wanted = ", ".join((_bytes(planned.size_bytes), *flags))
    option = f"--tmpfs={planned.path}:size={_option(planned.size_bytes)},{','.join(flags)}"
    mend = question.mend(option, f"an emptyDir of medium Memory and sizeLimit at {planned.path}")
    if found is None:
        yield _difference(what, wanted, "not mounted", mend, weaker=True)
        return
    if found.kind != "tmpfs":
        yield _difference(what, wanted, found.kind, mend, weaker=True)
        return
    if found.size_bytes is None:
        yield {f"{what} size": "statvfs(2) of it fails"}
    lacks = [flag for flag in flags if flag not in found.options]
    size = planned.size_bytes if found.size_bytes is None else found.size_bytes
    is_larger = size == attested.UNLIMITED or size >= planned.size_bytes + _ROUNDING_BYTES
    is_smaller = not is_larger and size <= planned.size_bytes - _ROUNDING_BYTES
    is_stricter = any(flag in found.options for flag in ("ro", *(("noexec",) if planned.executable else ())))
    if lacks or is_larger or is_smaller or is_stricter:
        told = "of unknown size" if found.size_bytes is None else _bytes(size)
        shown = ", ".join((told, *found.options))
        can_be_set = is_larger or not question.place.in_kubernetes
        yield _difference(what, wanted, shown, mend if can_be_set else "", weaker=bool(lacks) or is_larger)


def _limits(question: _Question) -> _Told:
    found, limits = question.found, question.security.limits
    memory = question.mend(
        f"--memory={_option(limits.memory_bytes)}", f"resources.limits.memory: {limits.memory_bytes}"
    )
    yield from _limit("memory", limits.memory_bytes, found.memory_bytes, memory, _ROUNDING_BYTES)
    if limits.cpus is not None:
        cpus = question.mend(f"--cpus={limits.cpus:g}", f"resources.limits.cpu: {limits.cpus:g}")
        yield from _limit("cpus", limits.cpus, found.cpus, cpus, _ROUNDING_CPUS)
    yield from _limit("pids", limits.pids, found.pids, question.mend(f"--pids-limit={limits.pids}"))
    yield from _limit(
        "files", limits.files, found.files, question.mend(f"--ulimit=nofile={limits.files}:{limits.files}")
    )


def _limit(what: str, planned: float, found: float | None, mend: str, rounding: float = 1) -> _Told:
    if found is None:
        yield {what: "no control group that says it can be seen"}
        return
    is_larger = found == attested.UNLIMITED or found >= planned + rounding
    if is_larger or found <= planned - rounding:
        shown = [_bytes(int(one)) if what == "memory" else _number(one) for one in (planned, found)]
        yield _difference(what, shown[0], shown[1], mend, weaker=is_larger)


def _beyond(question: _Question) -> _Told:
    """Tell what can be written beside what was planned, and is no mount of the kernel's or the engine's own."""
    planned = {
        *(one.path for one in question.security.tmpfs),
        *(one.path for one in question.wanted.deploy.volumes),
    }
    for one in question.found.mounts:
        if one.path not in planned:
            mend = f"nothing writable at {one.path}, or a path of boot.writable for it"
            yield _difference(f"mount {one.path}", "none", f"{one.kind}, writable", mend, weaker=True)


def _difference(what: str, planned: str, found: str, mend: str, *, weaker: bool) -> attested.Difference:
    return attested.Difference(what, planned, found, weaker, mend if weaker else "")


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMED
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _number(value: float) -> str:
    return "unlimited" if value == attested.UNLIMITED else f"{value:g}" if isinstance(value, float) else str(value)


def _bytes(value: int) -> str:
    if value == attested.UNLIMITED:
        return "unlimited"
    return next(
        (f"{value // size} {unit}" for unit, _, size in _UNITS if value and value % size == 0), f"{value} bytes"
    )


def _option(value: int) -> str:
    return next((f"{value // size}{letter}" for _, letter, size in _UNITS if value and value % size == 0), f"{value}b")
