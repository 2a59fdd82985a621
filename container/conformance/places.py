"""What lies in the run directory, whose it is and who may read it. Judges; see ``promise``.

Rules
-----
* Everything there belongs to PID 1's user, but what is given to a program's own user under ``program-users``.
* What is public can be read by everybody and written by nobody; keys, secrets and the ways to PID 1 are one user's alone.
* A secret lies in the directories of the programs that are named for it, and its source variable is in no program's environment.
"""

import os

from container.conformance import facts
from container.conformance.promise import Judging, Subject, Unseen, Violation, counted
from manifest import provisions

_CHANGED = "boot gives it these: look for what changed them since"
_VALUES = ".values"
_BY_OTHERS = 0o022


def run_directory(subject: Subject) -> Judging:
    """The run directory is PID 1's user's, and nobody else can write to it."""
    found, owner = subject.inside.told.run_directory, subject.main.uids[0]
    if found is None or found.kind != "directory":
        kind = "it is not there" if found is None else f"it is a {found.kind}"
        yield Violation(subject.run.path, kind, "look for what replaced it")
        return ""
    if found.uid != owner:
        yield Violation(subject.run.path, f"it belongs to uid {found.uid}, and PID 1 is uid {owner}", _CHANGED)
    if found.mode & _BY_OTHERS:
        yield Violation(subject.run.path, f"its mode {found.mode:04o} lets group or others write", _CHANGED)
    return f"mode {found.mode:04o}, uid {found.uid}"


def records(subject: Subject) -> Judging:
    """What the boot and the seal wrote down can be read by everybody and written by nobody."""
    run = subject.run
    wanted = dict.fromkeys((run.boot_record, run.seal, run.attestation, run.hints), 292)
    wanted[run.events] = 0o600
    yield from _judged(subject, wanted, "file")
    return f"{counted(len(wanted), 'file')}, modes 0444 and 0600"


def identity(subject: Subject) -> Judging:
    """The public identity is there, and names this boot; everybody can read it, nobody write."""
    run, entries = subject.run, subject.inside.entries
    mounted = subject.inside.mount(run.identity)
    if mounted is not None:  # its modes are whoever's mounted it
        if not mounted.is_read_only:
            yield Violation(run.identity, "it is mounted writable", "mount it read-only")
        return "mounted by whoever runs the container"
    wanted = {f"{run.identity}/{name}": 0o444 for name in ("id", "boot-id", "ed25519.pub")}
    yield from _judged(subject, {run.identity: 0o755}, "directory")
    yield from _judged(subject, wanted, "file")
    others = [path for path in entries if os.path.dirname(path) == run.identity and path not in wanted]
    yield from _judged(subject, dict.fromkeys(others, 0o444), "file")
    return f"{counted(len(wanted) + len(others), 'file')}, modes 0444"


def private_keys(subject: Subject) -> Judging:
    """Private keys are PID 1's user's alone."""
    store = subject.plan.identity.store
    places = [place for place in (subject.run.keys, store) if place is not None]
    found = 0
    for place in places:
        entry = subject.inside.entries.get(place)
        if entry is None:
            continue
        if place == subject.run.keys:
            yield from _judged(subject, {place: 0o700}, "directory")
        keys = [path for path in subject.inside.entries if os.path.dirname(path) == place and path.endswith(".key")]
        found += len(keys)
        yield from _judged(subject, dict.fromkeys(keys, 0o600), "file")
    if not found:
        raise Unseen(f"no key lies in {' or '.join(places)}, or nobody within may list them")
    return f"{counted(found, 'key')}, modes 0600"


def sockets(subject: Subject) -> Judging:
    """The ways to PID 1 and to detail are open to its user alone; programs of other users reach the notify socket only."""
    run = subject.run
    wanted = {run.supervisor_socket: 0o700, run.ledger_socket: 0o700, run.probes_socket: 0o600}
    yield from _judged(subject, wanted, "socket")
    notify = subject.inside.entries.get(run.notify_socket)
    if notify is not None:
        mode = 0o666 if subject.plan.has_program_users else 0o700
        yield from _judged(subject, {run.notify_socket: mode}, "socket")
    return ", ".join(f"{os.path.basename(path)} {mode:04o}" for path, mode in wanted.items())


def secrets(subject: Subject) -> Judging:
    """Each secret lies where the programs that are named for it find it, and nowhere else."""
    delivered = {one.name: one.programs for one in subject.plan.secrets if one.programs}
    top, has_users = subject.run.secrets, subject.plan.has_program_users
    entries = subject.inside.entries
    if not delivered:
        if top in entries:
            yield Violation(top, "it is there, and the plan delivers no secret", "look for what made it")
        return "the plan delivers none"
    users = {one.name: one.user for one in subject.plan.programs}
    wanted: dict[str, tuple[int, provisions.User | None]] = {top: (0o711 if has_users else 0o700, None)}
    folders = {program: [name for name, programs in delivered.items() if program in programs] for program in users}
    folders = {program: names for program, names in folders.items() if names} | {_VALUES: list(delivered)}
    for program, names in folders.items():
        user = users.get(program) if has_users else None
        wanted[f"{top}/{program}"] = (0o500 if user else 0o700, user)
        wanted |= {f"{top}/{program}/{name}": (0o400, user) for name in names}
    hidden = 0
    for path, (mode, user) in wanted.items():
        if has_users and path not in entries and os.path.dirname(path) in entries and os.path.dirname(path) != top:
            hidden += 1  # the directory of another user: without CAP_DAC_OVERRIDE root does not see what is in it
            continue
        yield from _judged(subject, {path: mode}, None, user)
    for path in entries:
        if facts.is_within(path, [top]) and path not in wanted:
            yield Violation(path, "no program is named for it in the plan", "look for what put it there")
    seen = f"{counted(len(delivered), 'secret')} for {', '.join(sorted(set(folders) - {_VALUES}))}"
    return f"{seen}; {hidden} of other users not seen" if hidden else seen


def secret_variables(subject: Subject) -> Judging:
    """The variable that a secret comes from reaches no program, and the one that carries it only those named for it."""
    sources = {one.variable for one in subject.plan.secrets if one.variable is not None}
    carriers: dict[str, set[str]] = {}
    for one in subject.plan.secrets:
        if one.environment is not None:
            carriers.setdefault(one.environment, set()).update(one.programs)
    if not sources and not carriers:
        raise Unseen("no secret of the plan comes from a variable or goes into one")
    names = {view.pid: view.name for view in subject.ledger.programs if view.pid is not None}
    looked_at = 0
    for process in subject.inside.processes:
        if process.variables is None:
            continue
        looked_at += 1
        program = names.get(process.pid)
        own = {key for key, programs in carriers.items() if program is None or program in programs}
        for variable in sorted(set(process.variables) & (sources | set(carriers)) - own):
            what = f"{process.shown} of {program or 'no program'}"
            yield Violation(what, f"its environment holds {variable}", "take it out of the environment in the manifest")
    if not looked_at:
        raise Unseen("nobody within may read the environment of any process")
    return f"the environments of {counted(looked_at, 'process')}: no {', '.join(sorted(sources | set(carriers)))}"


def _judged(subject: Subject, wanted: dict[str, int], kind: str | None, user: provisions.User | None = None) -> Judging:
    """Yield what of ``wanted`` (modes by path) is not there, of another kind or mode, or not its owner's."""
    owner = subject.main.uids[0] if user is None else user.uid
    for path, mode in wanted.items():
        entry = subject.inside.entries.get(path)
        if entry is None:
            yield Violation(path, "it is not there", "look for what removed it")
        elif kind is not None and entry.kind != kind:
            yield Violation(path, f"it is a {entry.kind}, not a {kind}", "look for what replaced it")
        else:
            if entry.mode != mode:
                yield Violation(path, f"its mode is {entry.mode:04o}, not {mode:04o}", _CHANGED)
            if entry.uid != owner:
                yield Violation(path, f"it belongs to uid {entry.uid}, not {owner}", _CHANGED)
    return ""
