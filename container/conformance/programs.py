"""What runs, and whether it is what the plan says and ready. Judges; see ``promise``.

Rules
-----
* Three witnesses must agree: supervisord's own word by ``supervisorctl status``, the verdict of ``supervisorctl ready``, and PID
  1's ledger.
* A required one-shot is ready when it exited 0; every other required program runs.
"""

import re

from container.conformance.promise import Judging, Subject, Unseen, Violation, counted
from contract import snapshot
from manifest import plan

STATUS, READY = "status", "ready"
"""The commands of supervisorctl that are run in the container."""
_LINE = re.compile(r"^(\S+)\s+(STOPPED|STARTING|RUNNING|BACKOFF|STOPPING|EXITED|FATAL|UNKNOWN)\b", re.MULTILINE)
_WHY = "ask `bootseal why` in the container"


def same_plan(subject: Subject) -> Judging:
    """The image's plan is the given one, and so are the files that come from it."""
    told, the_plan = subject.inside.told, subject.plan
    wanted = [
        ("plan.json", told.plan_sha256, subject.plan_sha256),
        (plan.CONFIG_FILE, told.config_sha256, the_plan.config_sha256),
    ]
    if the_plan.lock is not None:
        wanted.append((plan.LOCK_FILE, told.lock_sha256, the_plan.lock.sha256))
    try:
        wanted.append(("boot.json: the plan that was booted", subject.boot.plan_sha256, subject.plan_sha256))
    except Unseen as error:
        yield Violation("boot.json", str(error), "boot the container by bootseal's entrypoint")
    for what, found, right in wanted:
        if found != right:
            shown = "it cannot be read" if found is None else f"its sha256 is {found}"
            remedy = "give the suite the plan.json that the image was built with, or build the image anew"
            yield Violation(what, f"{shown}, and that of the given plan is {right}", remedy)
    return f"sha256 {subject.plan_sha256}"


def ledger(subject: Subject) -> Judging:
    """PID 1's ledger is this boot's, sealed, and knows exactly the plan's programs."""
    try:
        seen, boot = subject.ledger, subject.boot
    except Unseen as error:
        yield Violation("ledger", str(error), "look at the container's log")
        return ""
    for what, found, right in (
        ("boot_id", seen.boot_id, boot.boot_id),
        ("generation", seen.generation, boot.generation),
        ("PID 1", (seen.pid1, seen.pid1_start), (boot.pid1, boot.pid1_start)),
        ("phase", seen.phase, snapshot.SEALED),
        ("failure", seen.failure, None),
    ):
        if found != right:
            yield Violation("ledger", f"its {what} is {found}, not {right}", _WHY)
    names, wanted = {view.name for view in seen.programs}, {one.name for one in subject.plan.programs}
    for name in sorted(names ^ wanted):
        where = "the plan has no such program" if name in names else "the ledger does not know it"
        yield Violation(f"program {name}", where, "the plan in the image is another one")
    return f"boot {boot.boot_id[:12]}, generation {seen.generation}, {seen.phase}, {counted(len(names), 'program')}"


def running(subject: Subject) -> Judging:
    """Every required program is RUNNING, or, for a one-shot, EXITED; supervisorctl needs no option to say so."""
    done = subject.inside.told.ran[STATUS]
    states = {name.rpartition(":")[2]: state for name, state in _LINE.findall(done.output)}
    if not states:
        why = f"it exited {done.code} and said: {done.output.strip()[:200] or 'nothing'}"
        yield Violation("supervisorctl status", why, "is the container booting, stopping or not supervised?")
        return ""
    for program in subject.plan.programs:
        if not program.required and program.role == "program":
            continue
        right = "EXITED" if program.oneshot else "RUNNING"
        found = states.get(program.name)
        if found != right:
            yield Violation(f"program {program.name}", f"it is {found or 'unknown'}, not {right}", _WHY)
    return ", ".join(f"{name} {state}" for name, state in sorted(states.items()))


def ready(subject: Subject) -> Judging:
    """Every required program is ready by PID 1's ledger, and `supervisorctl ready` says so."""
    done = subject.inside.told.ran[READY]
    if done.code != 0:
        why = f"it exited {done.code} and said: {done.output.strip()[:200] or 'nothing'}"
        yield Violation("supervisorctl ready", why, _WHY)
    try:
        seen = subject.ledger
    except Unseen as error:
        yield Violation("ledger", str(error), "look at the container's log")
        return ""
    for program in subject.plan.required_programs:
        view = seen.program(program.name)
        if view is None or view.state != snapshot.READY:
            shown = "the ledger does not know it" if view is None else f"it is {view.state}: {view.reason}"
            yield Violation(f"program {program.name}", shown, _WHY)
    names = (f"{one.name} by {one.ready_by}" for one in seen.programs if one.role == "program" and one.ready_by)
    return ", ".join(names) or "no program is required"
