"""Is this process able to give every program a user of its own, and are they kept out then?

Rules
-----
* Only a plan with the exception ``program-users`` asks; without it root boots as anybody else does.
* It takes root and four capabilities: CAP_SETUID and CAP_SETGID to become a program's user, CAP_CHOWN to give it its directory
  and secrets, CAP_KILL to stop it. What is missing is named, with the option of the engine that gives it.
* No other capability is needed. One that is there is said: every program that is root keeps it, ours are.
* In a user namespace every uid and gid of the plan must be mapped, and setgroups(2) allowed (user_namespaces(7)).
* Every directory above the run directory is root's, can be searched by all, and lets nobody else replace what is in it.
"""

import os
import stat

from contract import directories, errors, records
from manifest import plan, provisions

NEEDED = {"CHOWN": 0, "KILL": 5, "SETGID": 6, "SETUID": 7}
"""The capabilities under the exception, with their numbers (linux/capability.h)."""
_EXCEPTION = f"security.exceptions.{provisions.PROGRAM_USERS}"
_ENGINES_ROOT = "run it with --user 0:0 (Kubernetes: runAsUser: 0)"


@records.dataclass(frozen=True)
class Process:
    """What the kernel says of this process; the maps hold the first and the last id of each range."""

    uid: int
    gid: int
    capabilities: int
    uids: tuple[tuple[int, int], ...]
    gids: tuple[tuple[int, int], ...]
    may_set_groups: bool


def check(the_plan: plan.Plan, run_directory: str) -> list[str]:
    """See that the exception can be kept where ``the_plan`` has it; return what is more than it needs, as warnings.

    Raises BootsealError naming what is missing, OSError when /proc cannot be read.
    """
    if not the_plan.has_program_users:
        return []
    found = read()
    problem = lacking(the_plan, found)
    if problem is not None:
        raise problem
    check_above(run_directory)
    return needless(found)


def lacking(the_plan: plan.Plan, found: Process) -> errors.BootsealError | None:
    """Return what ``found`` lacks for the exception, or None."""
    if found.uid != 0 or found.gid != 0:
        why = f"it takes a PID 1 of root, and this one is {found.uid}:{found.gid}"
        return errors.BootsealError(_EXCEPTION, why, _ENGINES_ROOT)
    missing = [name for name, number in NEEDED.items() if not found.capabilities >> number & 1]
    if missing:
        names = ", ".join(f"CAP_{name}" for name in missing)
        remedy = f"run it with --cap-add={','.join(missing)} (Kubernetes: capabilities.add)"
        return errors.BootsealError(_EXCEPTION, f"this process lacks {names}", remedy)
    if not found.may_set_groups:
        why = "setgroups(2) is denied in this user namespace, so that programs would keep root's groups"
        return errors.BootsealError(_EXCEPTION, why, "map groups with newgidmap (a range in /etc/subgid)")
    for what, user in _users(the_plan):
        for kind, number, mapped in (("uid", user.uid, found.uids), ("gid", user.gid, found.gids)):
            if not any(first <= number <= last for first, last in mapped):
                why = f"{kind} {number} of {what} is not mapped in this user namespace"
                return errors.BootsealError(_EXCEPTION, why, f"choose one that is: {_ranges(mapped)}")
    return None


def needless(found: Process) -> list[str]:
    """Return the capabilities that are there without need, as one warning."""
    wanted = sum(1 << number for number in NEEDED.values())
    more = found.capabilities & ~wanted
    if not more:
        return []
    numbers = ", ".join(str(number) for number in range(more.bit_length()) if more >> number & 1)
    return [f"{_EXCEPTION}: this process has capabilities it does not need (numbers {numbers}): --cap-drop=ALL first"]


def check_above(path: str) -> None:
    """Raise UnsafePath when a directory above ``path`` keeps programs out, or lets others move what is in it."""
    parts = directories.components(path)
    for depth in range(len(parts)):
        above = "/" + "/".join(parts[:depth])
        status = os.stat(above, follow_symlinks=False)
        mode = stat.S_IMODE(status.st_mode)
        why = remedy = ""
        if status.st_uid != 0:
            why, remedy = f"{above} belongs to uid {status.st_uid}, who can replace it", "give it to root"
        elif mode & (stat.S_IWGRP | stat.S_IWOTH) and not mode & stat.S_ISVTX:
            why = f"{above} has mode {mode:04o}, so that others can replace what is in it"
            remedy = "chmod go-w it, or set its sticky bit"
        elif not mode & stat.S_IXOTH:
            why, remedy = f"{above} has mode {mode:04o}, so that programs cannot reach it", "chmod o+x it"
        if why:
            raise errors.UnsafePath(f"run directory {path}", f"under {_EXCEPTION}, {why}", remedy)


def read() -> Process:
    """Return what /proc says of this process; raises OSError."""
    with open("/proc/self/status", encoding="utf-8", errors="replace") as file:
        effective = next((line.split()[1] for line in file if line.startswith("CapEff:")), "0")
    try:
        with open("/proc/self/setgroups", encoding="ascii") as file:
            may_set_groups = file.read().strip() != "deny"
    except FileNotFoundError:  # no user namespaces in this kernel
        may_set_groups = True
    return Process(
        uid=os.geteuid(),
        gid=os.getegid(),
        capabilities=int(effective, 16),
        uids=_read_map("/proc/self/uid_map"),
        gids=_read_map("/proc/self/gid_map"),
        may_set_groups=may_set_groups,
    )


def parse_map(text: str) -> tuple[tuple[int, int], ...]:
    """Return the ranges of a uid_map or gid_map as seen from inside (user_namespaces(7)); raises ValueError."""
    ranges = []
    for line in text.splitlines():
        inside, _outside, length = (int(word) for word in line.split())
        ranges.append((inside, inside + length - 1))
    return tuple(ranges)


def _read_map(path: str) -> tuple[tuple[int, int], ...]:
    try:
        with open(path, encoding="ascii") as file:
            return parse_map(file.read())
    except FileNotFoundError:  # no user namespaces in this kernel
        return ((0, (1 << 32) - 2),)


def _users(the_plan: plan.Plan) -> list[tuple[str, provisions.User]]:
    programs = [(f"program {program.name}", program.user) for program in the_plan.programs]
    roots = [(f"writable root {root.path}", root.owner) for root in the_plan.boot.writable]
    return [(what, user) for what, user in (*programs, *roots) if user is not None]


def _ranges(mapped: tuple[tuple[int, int], ...]) -> str:
    return ", ".join(f"{first} to {last}" for first, last in mapped) or "there is none"
