"""What the container may do: who its processes are, and what the kernel lets them. Judges; see ``promise``.

Rules
-----
* What the host's kernel says of the container's first process is judged beside what was seen from within: an image can make its
  interpreter lie, and cannot reach the host's /proc.
* Each process of the boot is judged, not PID 1 alone. Who is in the container by the engine's exec is not of the boot.
"""

from collections.abc import Iterator

from container.conformance import facts
from container.conformance.promise import Judging, Subject, Unseen, Violation, counted
from manifest import plan, provisions

NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")
"""What a container has of its own in the baseline, by the names in /proc/PID/ns (namespaces(7))."""

_FILTERED = 2
_OF_OURS = ("TMPDIR", "BOOTSEAL_RUN_DIR", "SUPERVISOR_ENABLED", "PATH")
_ENGINE = "start it as `bootseal render` says"


def main_process(subject: Subject) -> Judging:
    """PID 1 is supervisord, by our interpreter, and the process of boot.json."""
    told = subject.inside.told
    if told.boot_record is None:
        yield Violation(subject.run.boot_record, "it is not there", "boot the container by bootseal's entrypoint")
        return ""
    try:
        boot, main = subject.boot, subject.main
    except Unseen as error:
        yield Violation("PID 1", str(error), "boot the container by bootseal's entrypoint")
        return ""
    configuration = f"{boot.plan_directory}/{plan.CONFIG_FILE}"
    wanted = [f"{subject.plan.prefix}/bin/python", "-I", "-X", "utf8", "-m", "supervisord.pid1", "--nodaemon"]
    if list(main.argv) != [*wanted, "--configuration", configuration]:
        why = f"it runs `{' '.join(main.argv)[:200]}`, not supervisord by {wanted[0]} with {configuration}"
        yield Violation(main.shown, why, "start the image with its own entrypoint")
    if main.start != boot.pid1_start:
        why = f"it started at {main.start}, and boot.json names the process that started at {boot.pid1_start}"
        yield Violation(main.shown, why, "look for what put another process in PID 1's place")
    outside = subject.outside.main
    if outside is not None and outside.start != main.start and not _has_init(subject):
        why = f"the host sees it start at {outside.start}, and from within it started at {main.start}"
        yield Violation("the container's first process", why, "the image does not say the truth about itself")
    place = "PID 1" if main.pid == 1 else f"pid {main.pid}, beneath another init"
    return f"{place}, {wanted[0]}, started at {main.start}"


def user(subject: Subject) -> Judging:
    """Every process has the user and group that the plan says."""
    subject.must_be_confined()
    wanted = subject.plan.security.user
    of_program = {one.name: one.user for one in subject.plan.programs if one.user is not None}
    pids = _pids(subject) if of_program else {}
    main = subject.main
    others = set(of_program.values())
    for one in subject.inside.processes:
        name = pids.get(one.pid)
        allowed = {of_program[name]} if name in of_program else {wanted, *others}
        if one.pid == main.pid:
            allowed = {wanted}
        found = {provisions.User(*pair) for pair in zip(one.uids, one.gids, strict=True)}
        if len(found) != 1 or not found <= allowed:
            shown = f"it runs as uid {_numbers(one.uids)} and gid {_numbers(one.gids)}"
            names = " or ".join(sorted({f"{each.uid}:{each.gid}" for each in allowed}))
            yield Violation(one.shown, f"{shown}, and the plan says {names}", f"run the container as user {names}")
    users = sorted({f"{one.uids[0]}:{one.gids[0]}" for one in subject.inside.processes})
    return f"{counted(len(subject.inside.processes), 'process')} of user {', '.join(users)}"


def groups(subject: Subject) -> Judging:
    """No process has another supplementary group than the plan's."""
    subject.must_be_confined()
    security, main = subject.plan.security, subject.main
    numbers = subject.inside.told.groups
    wanted = {name: int(name) if name.isdecimal() else numbers.get(name) for name in security.groups}
    known = {number for number in wanted.values() if number is not None}
    for one in subject.inside.processes:
        extra = sorted(set(one.groups) - known - {security.user.gid, *one.gids})
        if extra and None not in wanted.values():
            why = f"it is in the groups {_numbers(extra)}, and the plan names {', '.join(security.groups) or 'none'}"
            yield Violation(one.shown, why, "leave out --group-add, and the user's lines in the image's /etc/group")
    for name, number in wanted.items():
        if number is not None and number not in main.groups:
            yield Violation(main.shown, f"it is not in the group {name}, which the plan adds", _ENGINE)
    return f"groups {_numbers(sorted({group for one in subject.inside.processes for group in one.groups})) or 'none'}"


def capabilities(subject: Subject) -> Judging:
    """No capability is in any set of any process but those that the plan adds."""
    subject.must_be_confined()
    wanted = set(subject.plan.security.capabilities)
    for one in _seen(subject):
        for name in facts.CAPABILITY_SETS:
            extra = sorted(set(one.capabilities[name]) - wanted)
            if extra:
                why = f"{', '.join(extra)} {'is' if len(extra) == 1 else 'are'} in its {SETS[name]} set"
                yield Violation(one.shown, why, "drop ALL capabilities, and add only those of the plan")
    main = subject.main
    missing = sorted(wanted - set(main.capabilities["Bnd"]))
    if missing:
        yield Violation(main.shown, f"it can never have {', '.join(missing)}, which the plan adds", _ENGINE)
    return f"at most {', '.join(sorted(wanted)) or 'none'} in the five sets of {_of_whom(subject)}"


def no_new_privileges(subject: Subject) -> Judging:
    """No process can gain privileges by executing a file."""
    subject.must_be_confined()
    for one in _seen(subject):
        if not one.no_new_privileges:
            why = "its NoNewPrivs is 0: a set-uid file would give it another user"
            yield Violation(one.shown, why, "run it with --security-opt=no-new-privileges")
    return f"NoNewPrivs is 1 for {_of_whom(subject)}"


def seccomp(subject: Subject) -> Judging:
    """The system calls of every process are filtered."""
    subject.must_be_confined()
    for one in _seen(subject):
        if one.seccomp != _FILTERED:
            yield Violation(
                one.shown, f"its Seccomp is {one.seccomp}: no filter is in force", "leave the engine's profile in force"
            )
    return f"a filter is in force for {_of_whom(subject)}"


def denied_syscalls(subject: Subject) -> Judging:
    """What the plan denies beyond the engine's profile is denied."""
    subject.must_be_confined()
    denied = subject.plan.security.denied_syscalls
    if not denied:
        raise Unseen("the plan denies no system call beyond the engine's profile")
    outside = subject.outside
    if outside.allowed_syscalls is None and outside.privileged is None:
        raise Unseen(f"which profile is in force is seen by the engine alone: {outside.why}")
    if outside.allowed_syscalls is None:
        why = f"the engine's own profile is in force, and the plan denies {', '.join(denied)} beyond it"
        yield Violation("seccomp profile", why, "give the engine the profile that `bootseal render seccomp` writes")
        return ""
    allowed = sorted(set(denied) & set(outside.allowed_syscalls))
    if allowed:
        remedy = "give the engine the profile that `bootseal render seccomp` writes"
        yield Violation("seccomp profile", f"it allows {', '.join(allowed)}, which the plan denies", remedy)
    return f"{', '.join(denied)} denied"


def namespaces(subject: Subject) -> Judging:
    """The container shares no namespace with its host, and is not privileged."""
    subject.must_be_confined()
    outside = subject.outside
    if outside.shared is None and outside.privileged is None:
        raise Unseen(f"it is seen from the host alone: {outside.why}")
    for name in outside.shared or ():
        yield Violation("the container", f"it is in the {name} namespace of its host", "give it one of its own")
    if outside.privileged:
        yield Violation("the container", "it is privileged", "leave out --privileged")
    if outside.shared is None:
        raise Unseen(
            f"its namespaces are seen from the host alone: {outside.why or 'this user may not read them there'}"
        )
    return f"not privileged, says {outside.backend}, with {', '.join(NAMESPACES)} namespaces of its own"


def environment(subject: Subject) -> Judging:
    """PID 1's environment holds only what the plan lets through."""
    main = subject.main if subject.outside.main is None else subject.outside.main
    if main.variables is None:
        raise Unseen(f"nobody within may read it, and outside: {subject.outside.why or 'this user may not either'}")
    secret = {one.variable for one in subject.plan.secrets}
    for name in main.variables:
        is_declared = name in subject.plan.boot.environment or name in _OF_OURS or provisions.is_inherited(name)
        if not is_declared or name in secret:
            why = (
                f"it holds {name}, which {'is the source of a secret' if name in secret else 'the plan does not name'}"
            )
            yield Violation("PID 1's environment", why, "boot the container by bootseal's entrypoint")
    return f"{', '.join(sorted(main.variables))}"


SETS = {"Inh": "inheritable", "Prm": "permitted", "Eff": "effective", "Bnd": "bounding", "Amb": "ambient"}


def _seen(subject: Subject) -> Iterator[facts.Process]:
    """Yield each process that was seen; raises Unseen where PID 1 is not among them."""
    subject.main  # noqa: B018  (who saw no process has seen nothing)
    yield from subject.inside.processes
    if subject.outside.main is not None:
        yield subject.outside.main


def _of_whom(subject: Subject) -> str:
    host = "" if subject.outside.main is None else ", PID 1 seen from the host too"
    return f"{counted(len(subject.inside.processes), 'process')}{host}"


def _pids(subject: Subject) -> dict[int, str]:
    return {view.pid: view.name for view in subject.ledger.programs if view.pid is not None}


def _has_init(subject: Subject) -> bool:
    return subject.boot.pid1 != 1


def _numbers(numbers: tuple[int, ...] | list[int]) -> str:
    return ", ".join(str(one) for one in dict.fromkeys(numbers))
