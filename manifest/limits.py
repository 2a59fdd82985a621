"""The rules of limits: what the container may use is enough for what runs in it.

Pure functions over a sound manifest and the plan that is made of it; each says which codes of ``manifest.rules`` it gives.
"""

from manifest import hardening_judge, hardening_plan, plan, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

LEAST_MEMORY = 112 * 2**20
"""What bootseal's own programs take, and whoever asks inside whether they are ready: a container with one program that only sleeps has used
74 MiB when its boot is sealed, and 94 MiB where `supervisorctl ready` was asked meanwhile (measured by its control group). Bounded by 64 MiB
it never is ready: the kernel kills the probe server, again and again."""
_RESOURCES = "resources"


def check(subject: Subject, made: plan.Plan, findings: Findings) -> None:
    """E108, W015: descriptors, processes and memory are enough; nothing is said of what was not written."""
    if subject.was_cut(_RESOURCES):
        return
    written, limits, programs = subject.model.resources, made.security.limits, len(made.programs)
    if limits.memory_bytes < LEAST_MEMORY:
        text = hardening_judge.size_text
        message = f"{text(limits.memory_bytes)} of memory: bootseal's own programs alone need {text(LEAST_MEMORY)}"
        findings.add("E108", _place(subject, "memory"), message, f"write at least {text(LEAST_MEMORY)}")
    elif not subject.was_cut("security") and not subject.was_cut("boot", "writable"):
        _check_tmpfs(subject, made, findings)
    if subject.was_cut("programs"):
        return
    needed = plan.descriptors_for(programs)
    if written.files is not None and written.files < needed:
        message = (
            f"{written.files} descriptors: supervisord needs {needed} for {programs} programs, bootseal's own included"
        )
        findings.add("E108", _place(subject, "files"), message, f"write at least {needed}, or remove `files`")
    if written.pids is None:
        return
    least, comfortable = hardening_plan.least_pids(programs), hardening_plan.comfortable_pids(programs)
    if written.pids < least:
        message = f"{written.pids} processes: {programs} programs, bootseal's own included, are {least} processes and threads at least"
        findings.add("E108", _place(subject, "pids"), message, f"write at least {comfortable}, or remove `pids`")
    elif written.pids < comfortable:
        message = f"{written.pids} processes and threads leave little room for those of {programs} programs"
        findings.add("W015", _place(subject, "pids"), message, f"write {comfortable} or more, or remove `pids`")


def _check_tmpfs(subject: Subject, made: plan.Plan, findings: Findings) -> None:
    """W015: what the file systems in memory may hold is memory; full, they leave the programs none."""
    memory, mounts = made.security.limits.memory_bytes, made.security.tmpfs
    total = sum(mount.size_bytes for mount in mounts)
    if total < memory:
        return
    text = hardening_judge.size_text
    largest = max(mounts, key=lambda mount: mount.size_bytes)
    message = (
        f"file systems in memory may hold {text(total)} of the {text(memory)} of memory, {quote(largest.path)} alone "
        f"{text(largest.size_bytes)}: full, they leave the programs none"
    )
    is_said = tree.find(subject.root, (_RESOURCES, "memory")) is not None
    place = _place(subject, "memory") if is_said else hardening_judge.origin(subject, largest.path)
    findings.add("W015", place or subject.root.place, message, "write more `resources.memory`, or smaller sizes")


def _place(subject: Subject, key: str) -> tree.Place:
    return hardening_judge.place(subject, _RESOURCES, key)
