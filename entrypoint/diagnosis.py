"""Judging what ``machine`` found: each line OK, WARN or FAIL, and what to do. Pure.

Rules
-----
* FAIL is what a boot here cannot succeed with, or what a boot that runs is broken by; WARN is less than bootseal could use.
* Every WARN and FAIL says what to do.
* No engine is needed to boot; one that is there is told, and its lack outside containers alone.
"""

import dataclasses
from collections.abc import Iterator

from entrypoint import machine

OK, WARN, FAIL = "OK", "WARN", "FAIL"
LANDLOCK_KERNEL = "Linux 5.13"
_TRUNCATES = 3
_LEAST_DESCRIPTORS = 256
_LEAST_PIDS = 64
_LEAST_MEMORY = 64 << 20
_LEAST_FREE = 4 << 20
_CLIENTS = frozenset({"docker"})
"""The engines whose command is a client: what does the work is a daemon, which their version says nothing of."""
_PLAUSIBLE_CLOCK = 1_735_689_600
"""2025-01-01: this software did not exist before."""


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line: ``what`` was looked at, ``found``, and what to ``do`` about it, "" when it is OK."""

    level: str
    what: str
    found: str
    do: str = ""


def judge(facts: machine.Facts) -> list[Finding]:
    """Return every finding, in the order of the parts that are looked at."""
    return [
        *_kernel(facts),
        *_process(facts),
        *_place(facts),
        *_limits(facts),
        *_software(facts),
        *_plan(facts),
        *_boot(facts),
    ]


def _kernel(facts: machine.Facts) -> Iterator[Finding]:
    yield Finding(OK, "kernel", f"Linux {facts.kernel}{', in a container' if facts.in_container else ''}")
    if facts.landlock is None:
        yield Finding(WARN, "Landlock", f"{facts.landlock_lacks}; Stage A is not confined to what the manifest lets it write",
                      f"use a kernel from {LANDLOCK_KERNEL} on with lsm=landlock, and a seccomp profile that allows it")  # fmt: skip
    elif facts.landlock < _TRUNCATES:
        yield Finding(
            WARN,
            "Landlock",
            f"version {facts.landlock}: it does not restrict truncating files",
            "use a kernel from Linux 6.2 on",
        )
    else:
        yield Finding(OK, "Landlock", f"version {facts.landlock}")
    missing = [name for name, there in (("openat2", facts.has_openat2), ("pidfd_open", facts.has_pidfd)) if not there]
    if missing:
        yield Finding(
            WARN,
            "system calls",
            f"without {', '.join(missing)}",
            "use a kernel from Linux 5.6 on, and a seccomp profile of today",
        )
    else:
        yield Finding(OK, "system calls", "openat2, pidfd_open")


def _process(facts: machine.Facts) -> Iterator[Finding]:
    capabilities = facts.capabilities or 0
    users = facts.compiled is not None and facts.compiled.program_users
    who = f"uid {facts.uid}, {capabilities.bit_count()} capabilities"
    lacking = [name for name, number in machine.NEEDED.items() if not capabilities >> number & 1]
    if users and (facts.uid != 0 or lacking):
        need = f"CAP_{', CAP_'.join(lacking)}" if lacking else "root"
        yield Finding(
            FAIL,
            "user",
            f"{who}; the plan's exception program-users lacks {need}",
            "run it as 0:0 with --cap-add of what lacks",
        )
    elif facts.in_container and not users and (facts.uid == 0 or capabilities):
        yield Finding(WARN, "user", f"{who}; none are needed", "run it with --user 1000:1000 --cap-drop=ALL")
    else:
        yield Finding(OK, "user", who)
    words = f"no_new_privs {'set' if facts.no_new_privileges else 'not set'}, seccomp {facts.seccomp or 'unknown'}"
    if facts.in_container and not (facts.no_new_privileges and facts.seccomp == "filter"):
        yield Finding(
            WARN, "hardening", words, "run it with --security-opt=no-new-privileges and the engine's seccomp profile"
        )
    else:
        yield Finding(OK, "hardening", words)
    if facts.in_container and not facts.root_read_only:
        yield Finding(WARN, "root", "it can be written", "run it with --read-only")
    else:
        yield Finding(OK, "root", "read-only" if facts.root_read_only else "writable, as on any machine")


def _place(facts: machine.Facts) -> Iterator[Finding]:
    place = facts.place
    what, found = "run directory", f"{place.path}, {place.filesystem or 'unknown file system'}"
    option = " (--tmpfs /run:U)" if place.path.startswith("/run/") else ""
    found += "" if place.exists else ", not made yet"
    if place.problem and facts.in_container:
        yield Finding(
            FAIL,
            what,
            f"{found}: {place.problem}",
            f"mount a tmpfs there that this user owns{option}, or name another --run-dir",
        )
    elif place.problem:
        yield Finding(
            WARN,
            what,
            f"{found}: {place.problem}",
            "`bootseal up` makes its own; for `bootseal boot` name another --run-dir",
        )
    elif place.read_only:
        yield Finding(FAIL, what, f"{found}: its file system is read-only", f"mount a tmpfs there{option}")
    elif place.free_bytes is not None and place.free_bytes < _LEAST_FREE:
        yield Finding(
            FAIL, what, f"{found}: {place.free_bytes >> 10} KiB are free", f"leave {_LEAST_FREE >> 20} MiB or more"
        )
    elif facts.in_container and place.filesystem not in {"tmpfs", None}:
        yield Finding(WARN, what, f"{found}: what boots leave there stays", f"mount a tmpfs there{option}")
    else:
        yield Finding(OK, what, found)


def _limits(facts: machine.Facts) -> Iterator[Finding]:
    if facts.cgroups == "none":
        yield Finding(WARN, "cgroups", "none can be seen: limits are not known", "mount /sys/fs/cgroup read-only")
    elif facts.cgroups == "v2":
        yield Finding(OK, "cgroups", "v2")
    else:
        yield Finding(OK if facts.in_container else WARN, "cgroups", facts.cgroups,
                      "" if facts.in_container else "crun refuses cgroups that are not purely v2: take runc (container/engine does)")  # fmt: skip
    yield from _limit("memory", facts.memory_limit, facts.memory_used, _LEAST_MEMORY)
    yield from _limit("processes", facts.pids_limit, facts.pids_used, _LEAST_PIDS)
    needed = max(_LEAST_DESCRIPTORS, facts.compiled.descriptors if facts.compiled else 0)
    found = f"{_number(facts.descriptors_soft)} (hard {_number(facts.descriptors_hard)})"
    if 0 <= facts.descriptors_hard < needed:
        yield Finding(
            FAIL, "descriptors", f"{found}, and {needed} are needed", f"run it with --ulimit nofile={needed}:{needed}"
        )
    else:
        yield Finding(OK, "descriptors", found)
    if facts.clock < _PLAUSIBLE_CLOCK:
        yield Finding(
            WARN,
            "clock",
            "it is before 2025: times in events and seals are wrong, deadlines are not",
            "set the machine's clock",
        )
    else:
        yield Finding(OK, "clock", "plausible")


def _limit(what: str, limit: int | None, used: int | None, least: int) -> Iterator[Finding]:
    def shown(number: int) -> str:
        return f"{number >> 20} MiB" if what == "memory" else str(number)

    told = "" if used is None else f", {shown(used)} in use"
    if limit is None:
        yield Finding(OK, what, f"no limit{told}")
    elif limit < least or (used is not None and limit - used < least // 4):
        yield Finding(
            WARN,
            what,
            f"limit {shown(limit)}{told}: that is little",
            f"allow {shown(max(least, 2 * (used or 0)))} or more",
        )
    else:
        yield Finding(OK, what, f"limit {shown(limit)}{told}")


def _number(value: int) -> str:
    return "unlimited" if value < 0 else str(value)


def _software(facts: machine.Facts) -> Iterator[Finding]:
    if facts.libraries_missing:
        yield Finding(
            FAIL,
            "python",
            f"{facts.python} in {facts.prefix} lacks {', '.join(facts.libraries_missing)}",
            "install bootseal there again",
        )
    else:
        yield Finding(OK, "python", f"{facts.python} in {facts.prefix}")
    if not facts.engines and not facts.engines_broken and not facts.in_container:
        yield Finding(
            WARN, "engine", "no container engine", "install podman to build and run images; `bootseal up` needs none"
        )
    for name, said in facts.engines.items():
        if name == "crun" and facts.cgroups not in {"v2", "none"} and "runc" not in facts.engines:
            yield Finding(WARN, name, f"{said}: it refuses {facts.cgroups} cgroups", "install runc")
        else:
            yield Finding(OK, name, f"{said}: client only; its daemon was not asked" if name in _CLIENTS else said)
    for name, why in facts.engines_broken.items():
        yield Finding(WARN, name, why, f"`{name} --version` must answer; `bootseal up` needs no engine")


def _plan(facts: machine.Facts) -> Iterator[Finding]:
    compiled = facts.compiled
    if compiled is None:
        yield Finding(OK if not facts.in_container else WARN, "plan", "none was named, and the image has none",
                      "run `bootseal build`, or name its directory with --plan" if facts.in_container else "")  # fmt: skip
    elif compiled.problem:
        yield Finding(FAIL, "plan", f"{compiled.directory}: {compiled.problem}", "run `bootseal build` again")
    else:
        yield Finding(OK, "plan", f"{compiled.name} in {compiled.directory}")
        for taken in compiled.taken:
            yield Finding(FAIL, "port", taken, "stop what listens there, or change `probes:` in the manifest")


def _boot(facts: machine.Facts) -> Iterator[Finding]:
    booted = facts.booted
    if booted is None:
        yield Finding(OK, "boot", "none runs in the run directory")
        return
    if booted.stopped:
        yield Finding(FAIL, "boot", f"PID 1 is process {booted.pid1} and is stopped", f"kill -CONT {booted.pid1}")
    elif booted.problem:
        yield Finding(
            FAIL,
            "boot",
            f"PID 1 is process {booted.pid1}; {booted.problem}",
            "see `bootseal why`; start the container again",
        )
    else:
        yield Finding(OK, "boot", f"PID 1 is process {booted.pid1}, and its plan is the one it booted with")
    for door in booted.doors:
        if door.answer:
            yield Finding(
                FAIL,
                "socket",
                f"{door.what} at {door.where}: {door.answer}",
                "see `bootseal why`; is it booting or stopping?",
            )
        else:
            yield Finding(OK, "socket", f"{door.what} at {door.where}")
