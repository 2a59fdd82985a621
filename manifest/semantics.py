"""The rules that look at several values at once: names, roots, what is required.

Order is judged in ``order``; readiness, failure and signals in ``policy``; secrets in ``custody``; users in ``users``; what is served in ``serving_rules``; exceptions in ``hardening_judge``; ports in
``port_judge``; secrets that were written down in ``literal_secrets``; what a cluster makes of it in ``deploy_judge``.
Pure functions over a sound manifest; each says where it looks and which code of ``manifest.rules`` it gives.
"""

from collections.abc import Iterable, Iterator

from manifest import (
    custody,
    deploy_judge,
    diagnostics,
    hardening_judge,
    literal_secrets,
    order,
    policy,
    port_judge,
    serving_rules,
    tree,
    users,
)
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

PROGRAM_LIMIT = 1000


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule that the manifest breaks."""
    for rule in _RULES:
        rule(subject, findings)


def _check_lists(subject: Subject, findings: Findings) -> None:
    """E054: what a list of names holds, it holds once."""
    manifest = subject.model
    _refuse_twice(subject, ("boot", "immutable"), manifest.boot.immutable, findings)
    _refuse_twice(subject, ("boot", "environment"), manifest.boot.environment, findings)
    for name, program in manifest.programs.items():
        _refuse_twice(subject, ("programs", name, "artifacts"), program.artifacts, findings)


def _refuse_twice(subject: Subject, path: tree.Path, names: list[str], findings: Findings) -> None:
    for index in _repeats(names):
        message = f"{quote(names[index])} stands twice in this list"
        findings.add("E054", tree.place_of(subject.root, (*path, index)), message, "keep one of them")


def _repeats(names: Iterable[str]) -> Iterator[int]:
    seen: set[str] = set()
    for index, name in enumerate(names):
        if name in seen:
            yield index
        seen.add(name)


def _check_program_names(subject: Subject, findings: Findings) -> None:
    """E050, E051: the names of bootseal's own programs are taken, and supervisord serves so many."""
    programs = subject.model.programs
    for name in programs:
        if name in order.RESERVED_PROGRAMS:
            message = f"{quote(name)} is reserved: bootseal itself brings a program of this name"
            findings.add(
                "E050", tree.key_place(subject.root, ("programs", name)), message, f"rename it, e.g. my-{name}"
            )
    if len(programs) > PROGRAM_LIMIT:
        message = f"{len(programs)} programs: at most {PROGRAM_LIMIT} are allowed"
        findings.add("E051", tree.key_place(subject.root, ("programs",)), message, "split the container")


def _check_artifacts(subject: Subject, findings: Findings) -> None:
    """E057, W002, W007: programs use artifacts that exist, and artifacts are used."""
    known = subject.names("artifacts")
    used: set[str] = set()
    for name, program in subject.model.programs.items():
        used.update(program.artifacts)
        for index, artifact in enumerate(program.artifacts):
            if artifact not in known:
                nearest = findings.nearest(artifact, known)
                used.add(nearest or artifact)
                place = tree.place_of(subject.root, ("programs", name, "artifacts", index))
                remedy = f"write {quote(nearest)}" if nearest else "define it under `artifacts`"
                findings.add(
                    "E057",
                    place,
                    f"unknown artifact {quote(artifact)}: nothing under `artifacts` has this name",
                    remedy,
                )
            elif program.required and not subject.was_cut("programs", name, "required"):
                _warn_of_optional(subject, name, index, artifact, findings)
    if subject.was_cut("programs"):
        return
    for artifact in subject.model.artifacts:
        if artifact not in used:
            place = tree.key_place(subject.root, ("artifacts", artifact))
            message = f"the artifact {quote(artifact)} is used by no program"
            findings.add("W002", place, message, "name it in a program's `artifacts`, or remove it")


def _warn_of_optional(subject: Subject, name: str, index: int, artifact: str, findings: Findings) -> None:
    found = subject.model.artifacts.get(artifact)
    if found is not None and not found.required:
        place = tree.place_of(subject.root, ("programs", name, "artifacts", index))
        message = f"{quote(name)} is required and {quote(artifact)} is not: without it the boot fails all the same"
        findings.add("W007", place, message, "make the artifact required, or the program optional")


def _check_required(subject: Subject, findings: Findings) -> None:
    """E061, E062: an empty required set is either an oversight or said on purpose."""
    doubtful = any(subject.was_cut("programs", name, "required") for name in subject.names("programs"))
    all_cut = subject.was_cut("programs", "")  # no program has this name: only a cut of all programs touches it
    if doubtful or all_cut or subject.was_cut("required"):
        return
    programs = subject.model.programs
    required = next((name for name, program in programs.items() if program.required), None)
    if subject.model.required is not None and required is not None:
        message = f"`required: []` says that no program is required, and {quote(required)} is"
        place = tree.key_place(subject.root, ("required",))
        findings.add("E062", place, message, "remove it, or write `required: false` in the programs")
    elif subject.model.required is None and required is None:
        message = "no program is required: the container would be ready with nothing running"
        has_programs = tree.find(subject.root, ("programs",)) is not None
        place = tree.key_place(subject.root, ("programs",)) if has_programs else subject.root.place
        findings.add("E061", place, message, "make one required, or write `required: []` if that is meant")


def _check_writable(subject: Subject, findings: Findings) -> None:
    """E058, E060: a writable root is named once, and the identity store lies under one."""
    roots = [root.path for root in subject.model.boot.writable]
    for index in _repeats(roots):
        place = tree.place_of(subject.root, ("boot", "writable", index, "path"))
        findings.add("E058", place, f"{quote(roots[index])} is writable already: it stands twice", "keep one of them")
    store = subject.model.identity.store
    if store is None or subject.was_cut("boot", "writable") or any(is_within(store, root) for root in roots):
        return
    nearest = diagnostics.nearest(store, roots)
    place = tree.place_of(subject.root, ("identity", "store"))
    message = f"the identity store {quote(store)} is not writable: it lies under no path of boot.writable"
    remedy = f"put it under {nearest}" if nearest else f"add {store} to boot.writable"
    findings.add("E060", place, message, remedy)


def is_within(path: str, root: str) -> bool:
    """Say whether ``path`` is ``root`` or lies beneath it."""
    return path == root or path.startswith(f"{root}/")


_RULES = (
    _check_lists,
    _check_program_names,
    order.check,
    policy.check,
    _check_artifacts,
    custody.check,
    users.check,
    _check_required,
    serving_rules.check,
    hardening_judge.check,
    port_judge.check,
    literal_secrets.check,
    deploy_judge.check,
    _check_writable,
)
