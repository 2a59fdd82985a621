"""The rules of readiness, failure and signals: what several keys of one program say together.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives.
"""

from collections.abc import Iterable

from manifest import budget, model, order, plan, readiness, structure, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule of this module that the manifest breaks."""
    for name, program in subject.model.programs.items():
        for rule in _RULES:
            rule(subject, name, program, findings)
    _check_signals(subject, findings)


def _keys(subject: Subject, *path: str) -> tuple[str, ...]:
    """Return the keys that were written in the section at ``path``, sound or not."""
    node = tree.find(subject.written, path)
    return tuple(node.entries) if isinstance(node, tree.Mapping) else ()


def _check_oneshot(subject: Subject, name: str, program: model.Program, findings: Findings) -> None:
    """E056, E068, E074: a one-shot is ready when it has exited 0, and it is not run again."""
    if not program.oneshot:
        return
    here: tree.Path = ("programs", name)
    if program.ready is not None:
        message = f"`ready` in the one-shot {quote(name)}: a one-shot is ready when it has exited 0"
        findings.add(
            "E056", tree.key_place(subject.root, (*here, "ready")), message, "remove `ready`, or `oneshot: true`"
        )
    if program.live is not None and program.live is not readiness.NO_LIVE:
        message = f"`live` in the one-shot {quote(name)}: when it is ready it has ended"
        findings.add(
            "E074", tree.key_place(subject.root, (*here, "live")), message, "remove `live`, or `oneshot: true`"
        )
    for key, outcome in (("on_exit", program.on_exit), ("on_fatal", program.on_fatal)):
        if outcome == plan.RESTART:
            place = tree.place_of(subject.root, (*here, key))
            message = f"`{key}: restart` in the one-shot {quote(name)}: it runs once, and how it ended stands"
            findings.add("E068", place, message, "write degrade or exit")


def _check_kinds(subject: Subject, name: str, program: model.Program, findings: Findings) -> None:
    """E065, E066, E067: one kind of proof, and what belongs to it."""
    if program.oneshot:
        return
    ready = _keys(subject, "programs", name, "ready")
    _refuse_second(subject, ("programs", name, "ready"), [key for key in ready if key in readiness.KINDS], findings)
    _refuse_stray(subject, name, ready, "for", "running", is_default=True, findings=findings)
    _refuse_stray(subject, name, ready, "watchdog", "notify", is_default=False, findings=findings)
    live = _keys(subject, "programs", name, "live")
    checks = [key for key in live if key in readiness.CHECKS]
    _refuse_second(subject, ("programs", name, "live"), checks, findings)
    _refuse_live_of_nothing(subject, name, ready, live, findings)


def _refuse_live_of_nothing(
    subject: Subject, name: str, ready: tuple[str, ...], live: tuple[str, ...], findings: Findings
) -> None:
    path: tree.Path = ("programs", name, "live")
    misspelled = [key for key in live if key not in structure.known_keys(path)]
    misspelled += [key for key in ready if key not in structure.known_keys(("programs", name, "ready"))]
    is_written = isinstance(tree.find(subject.written, path), tree.Mapping)
    if not is_written or misspelled or any(key in readiness.CHECKS for key in (*ready, *live)):
        return
    message = f"`live` of {quote(name)} checks nothing: neither it nor `ready` has a check from outside"
    remedy = f"add one of {', '.join(readiness.CHECKS)}"
    findings.add("E067", tree.key_place(subject.written, path), message, remedy)


def _refuse_second(subject: Subject, path: tree.Path, kinds: list[str], findings: Findings) -> None:
    for kind in kinds[1:]:
        message = (
            f"`{kinds[0]}` and `{kind}` in one `{path[-1]}`: there is one {'proof' if path[-1] == 'ready' else 'check'}"
        )
        findings.add("E065", tree.key_place(subject.written, (*path, kind)), message, "keep one of them")


def _refuse_stray(
    subject: Subject, name: str, keys: Iterable[str], key: str, kind: str, *, is_default: bool, findings: Findings
) -> None:
    """Refuse ``key`` beside another kind than its own; ``is_default``: its kind need not be written."""
    written = [one for one in keys if one in readiness.KINDS]
    if key not in keys or kind in written or (is_default and not written):
        return
    beside = f"and here it is `{written[0]}`" if written else "which is not here"
    message = f"`{key}` belongs to `{kind}`, {beside}"
    place = tree.key_place(subject.written, ("programs", name, "ready", key))
    findings.add("E066", place, message, f"remove `{key}`" if written else f"add `{kind}: true`")


def _check_restart(subject: Subject, name: str, program: model.Program, findings: Findings) -> None:
    """E072, W003: pauses grow, and what `live` ends can begin again."""
    here: tree.Path = ("programs", name)
    pauses = program.restart
    if pauses.cap < pauses.backoff and not subject.was_cut(*here, "restart"):
        is_said = tree.find(subject.root, (*here, "restart", "cap")) is not None
        place = tree.place_of(subject.root, (*here, "restart", "cap" if is_said else "backoff"))
        default = "" if is_said else " by default"
        message = (
            f"the longest pause, {budget.show(pauses.cap)}{default}, "
            f"is shorter than the first, {budget.show(pauses.backoff)}"
        )
        findings.add("E072", place, message, f"write a `cap` of at least {budget.show(pauses.backoff)}")
    if program.live is not None and program.live.restart and program.on_exit in {plan.END, plan.DEGRADE}:
        place = tree.place_of(subject.root, (*here, "live", "restart"))
        what = "the container ends with it" if program.on_exit == plan.END else "it is not started again"
        message = f"`live` kills {quote(name)} to restart it, and by `on_exit: {program.on_exit}` {what}"
        findings.add("W003", place, message, "write `on_exit: restart`, or remove `restart`")


def _check_patience(subject: Subject, name: str, program: model.Program, findings: Findings) -> None:
    """W004: a start is given up before the boot is."""
    limit = subject.model.boot.seal_timeout
    if program.ready is None or not program.required or subject.was_cut("boot", "seal_timeout"):
        return
    for key, length in (("timeout", program.ready.timeout or 0.0), ("for", program.ready.lasting)):
        if length > limit and not subject.was_cut("programs", name, "ready", key):
            place = tree.place_of(subject.root, ("programs", name, "ready", key))
            message = (
                f"`{key}` is {budget.show(length)}, and the boot fails after boot.seal_timeout, {budget.show(limit)}"
            )
            findings.add("W004", place, message, "make it shorter, or boot.seal_timeout longer")


def _check_signals(subject: Subject, findings: Findings) -> None:
    """E052, E054, E075: a signal is passed on to programs that run on."""
    for signal, target in subject.model.signals.items():
        seen: set[str] = set()
        for index, name in enumerate(target.programs):
            path = tree.written(subject.root, ("signals", signal, "programs", index))
            place = tree.place_of(subject.root, path)
            if name in seen:
                findings.add("E054", place, f"{quote(name)} stands twice in this list", "keep one of them")
            seen.add(name)
            is_known = order.is_program(subject, name, place, "it gets no signals", findings)
            if is_known and subject.model.programs[name].oneshot:
                message = f"{quote(name)} is a one-shot: it has ended when a signal comes"
                findings.add("E075", place, message, "name a program that runs on")


_RULES = (_check_oneshot, _check_kinds, _check_restart, _check_patience)
