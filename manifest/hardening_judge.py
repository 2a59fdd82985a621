"""The rules of features and exceptions: each has the other, a reason, and somebody who answers for its capabilities.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives. What is mounted over what is judged in
``shadows``, what the container may use in ``limits``.
"""

import itertools
from collections.abc import Iterable

from manifest import graph, hardening, hardening_plan, profile, provisions, serving_fields, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

_EXCEPTIONS: tree.Path = ("security", "exceptions")
_ADDED = ("inherits", "devices", "tmpfs", "capabilities", "acknowledge", "groups", "runtime", "gpu")
_SHOWN = 8


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule of this module that the manifest breaks."""
    _check_lists(subject, findings)
    if subject.was_cut("security"):
        return
    written = hardening_plan.exceptions(subject.model)
    if not subject.was_cut("features"):
        _check_features(subject, findings)
    is_sound = _check_inheritance(subject, written, findings)
    _check_program_users(subject, findings)
    if is_sound:
        _check_capabilities(subject, written, findings)
        _check_conflicts(subject, written, findings)
    if not subject.was_cut("boot", "writable"):
        _check_storage(subject, findings)


def place(subject: Subject, *path: str | int) -> tree.Place:
    """Return the place of what is at ``path``, in full or as a shorthand."""
    return tree.place_of(subject.root, tree.written(subject.root, path))


def origin(subject: Subject, path: str) -> tree.Place | None:
    """Return where the manifest says that there is a file system in memory at ``path``; None where it does not say so."""
    here: tree.Path = ("security", "tmpfs", path)
    if path in subject.model.security.tmpfs:
        return tree.key_place(subject.root, here)
    written = hardening_plan.exceptions(subject.model)
    for name, one in written.items():
        if any(mount.path == path for mount in one.tmpfs):
            return tree.key_place(subject.root, (*_EXCEPTIONS, name, "tmpfs", path))
    for name in written:
        family = (name, *profile.inherited(name, written))
        if any(mount.path == path for layer in family for mount in profile.alone(layer, written).tmpfs):
            return tree.key_place(subject.root, (*_EXCEPTIONS, name))
    for index, root in enumerate(subject.model.boot.writable):
        if root.path == path:
            return place(subject, "boot", "writable", index, "path")
    return None


def _check_lists(subject: Subject, findings: Findings) -> None:
    """E054: what a list of names holds, it holds once; a device, whatever is allowed with it."""
    security = subject.model.security
    lists: list[tuple[tree.Path, Iterable[str]]] = [
        (("features",), subject.model.features),
        (("security", "seccomp", "deny"), security.seccomp.deny),
    ]
    for name, one in security.exceptions.items():
        here = (*_EXCEPTIONS, name)
        lists += [((*here, key), getattr(one, key)) for key in ("inherits", "capabilities", "acknowledge", "groups")]
        lists.append(((*here, "devices"), [device.path for device in one.devices]))
    for path, items in lists:
        seen: set[str] = set()
        for index, item in enumerate(items):
            if item in seen:
                message = f"{quote(item)} stands twice in this list"
                findings.add("E054", place(subject, *path, index), message, "keep one of them")
            seen.add(item)


def _check_features(subject: Subject, findings: Findings) -> None:
    """E096, E097: a feature that needs more than the baseline has its exception, and an exception its feature."""
    features, exceptions = subject.model.features, subject.model.security.exceptions
    misspelled: set[str] = set()
    for index, feature in enumerate(features):
        if feature in exceptions:
            continue
        here = place(subject, "features", index)
        if feature == provisions.PROGRAM_USERS:
            message = f"{quote(feature)} is no feature: its programs' users are what needs it"
            findings.add("E097", here, message, "remove it, or add `security.exceptions.program-users` with its reason")
        elif feature in hardening.FEATURES:
            message = f"the feature {quote(feature)} has no exception: what it needs is beyond the hardened baseline"
            findings.add("E097", here, message, f'add `{feature}: {{reason: "…"}}` under `security.exceptions`')
        else:
            known = [name for name in (*exceptions, *hardening.FEATURES) if name not in features]
            nearest = findings.nearest(feature, known)
            misspelled |= {nearest} if nearest else set()
            why = "neither an exception has this name, nor a feature that bootseal knows"
            remedy = f"write `{nearest}`" if nearest else f"add `{feature}` to `security.exceptions`, or remove it"
            findings.add("E097", here, f"unknown feature {quote(feature)}: {why}", remedy)
    for name in exceptions:
        if name not in {*features, *misspelled, provisions.PROGRAM_USERS}:
            message = f"the exception {quote(name)} is for no feature: nothing under `features` has this name"
            remedy = f"write `features: [{', '.join([*features, name])}]`, or remove the exception"
            findings.add("E096", tree.key_place(subject.root, (*_EXCEPTIONS, name)), message, remedy)


def _check_inheritance(subject: Subject, written: dict[str, profile.Additions], findings: Findings) -> bool:
    """E106: who is inherited from is there, and nobody inherits from itself; return whether that is so."""
    is_sound = True
    known = [name for name in dict.fromkeys((*written, *profile.PRESETS)) if name != provisions.PROGRAM_USERS]
    for name, one in written.items():
        for index, parent in enumerate(one.inherits):
            if parent in known:
                continue
            is_sound = False
            here = place(subject, *_EXCEPTIONS, name, "inherits", index)
            if parent == provisions.PROGRAM_USERS:
                message = f"nothing inherits from {quote(parent)}: it says who PID 1 is, and is or is not there"
                findings.add("E106", here, message, "write it as an exception of its own")
                continue
            nearest = findings.nearest(parent, known)
            why = "neither an exception has this name, nor a feature that bootseal knows"
            remedy = f"write `{nearest}`" if nearest else "name an exception of this manifest"
            findings.add("E106", here, f"{quote(name)} inherits from the unknown {quote(parent)}: {why}", remedy)
    family = {
        name: [parent for parent in profile.parents(name, written) if parent in known]
        for name in dict.fromkeys((*written, *profile.PRESETS))
    }
    for cycle in graph.cycles(family):
        is_sound = False
        edges = itertools.pairwise(cycle)
        heir, parent = next((a, b) for a, b in edges if a in written and b in written[a].inherits)
        index = written[heir].inherits.index(parent)
        shown = [*cycle[:_SHOWN], "…", cycle[-1]] if len(cycle) > _SHOWN + 1 else cycle
        message = f"exceptions inherit from each other: {' -> '.join(shown)}"
        here = place(subject, *_EXCEPTIONS, heir, "inherits", index)
        findings.add("E106", here, message, "remove one `inherits` of the circle")
    return is_sound


def _check_program_users(subject: Subject, findings: Findings) -> None:
    """E121: under program-users it is settled who PID 1 is and what it may."""
    exception = subject.model.security.exceptions.get(provisions.PROGRAM_USERS)
    if exception is None:
        return
    if subject.model.security.user is not None:
        message = (
            "`security.user` beside the exception `program-users`: PID 1 is root under it, and a program has its own"
        )
        findings.add("E121", tree.key_place(subject.root, ("security", "user")), message, "remove one of them")
    for key in _ADDED:
        if getattr(exception, key):
            message = f"`{key}` in `program-users`: the exception is the users, and adds nothing else"
            here = tree.key_place(subject.root, (*_EXCEPTIONS, provisions.PROGRAM_USERS, key))
            findings.add("E121", here, message, "write it in the exception of the feature that needs it")


def _check_capabilities(subject: Subject, written: dict[str, profile.Additions], findings: Findings) -> None:
    """E098: each capability that an exception adds, itself or by whom it inherits from, is acknowledged; and no other is."""
    for name, exception in subject.model.security.exceptions.items():
        if name == provisions.PROGRAM_USERS:
            continue
        added = profile.capabilities(name, written)
        missing = sorted(added - {*exception.acknowledge})
        if missing:
            others = sorted(
                other
                for other in profile.inherited(name, written) - {name}
                if {*missing} & {*profile.alone(other, written).capabilities}
            )
            origin = f" (as heir of {', '.join(map(quote, others))})" if others else ""
            message = f"{quote(name)} adds {', '.join(missing)}{origin}, and nobody answers for it"
            remedy = f"write `acknowledge: [{', '.join(sorted(added))}]`"
            findings.add("E098", tree.key_place(subject.root, (*_EXCEPTIONS, name)), message, remedy)
        for index, capability in enumerate(exception.acknowledge):
            if capability not in added:
                message = f"{capability} is acknowledged, and {quote(name)} does not add it"
                here = place(subject, *_EXCEPTIONS, name, "acknowledge", index)
                findings.add("E098", here, message, "remove it, or add it to `capabilities`")


def _check_conflicts(subject: Subject, written: dict[str, profile.Additions], findings: Findings) -> None:
    """E100: two exceptions, neither an heir of the other, do not say different things of one key."""
    merged = hardening_plan.merged(subject.model)
    for conflict in merged.conflicts:
        kind, _, path = conflict.key.partition(" ")
        both = {name: profile.alone(name, written) for name in (conflict.one, conflict.other)}
        shown = [f"{quote(name)} {_describe(one, kind, path)}" for name, one in both.items()]
        what = f"{quote(path)} as two things" if path else f"two {kind}s" if kind == "runtime" else "two kinds of GPU"
        message = f"two exceptions want {what}: {' and '.join(shown)}"
        remedy = "remove one, or say it in an exception that inherits from both"
        if kind == "tmpfs":
            larger = max(_mount(one, path) for one in both.values())
            remedy = f"say it in `security.tmpfs`: {quote(path)[1:-1]}: {{size: {larger[1]}, mode: {larger[2]}}}"
        findings.add("E100", _place_of(subject, written, conflict.other, kind, path), message, remedy)


def _mount(one: profile.Additions, path: str) -> tuple[int, str, str]:
    mount = next(mount for mount in one.tmpfs if mount.path == path)
    return mount.size_bytes, size_text(mount.size_bytes), f'"{mount.mode:04o}"'


def _describe(one: profile.Additions, kind: str, path: str) -> str:
    if kind == "tmpfs":
        _, size, mode = _mount(one, path)
        is_executable = any(mount.executable for mount in one.tmpfs if mount.path == path)
        return f"{{size: {size}, mode: {mode}{', executable: true' if is_executable else ''}}}"
    if kind == "device":
        return next(device.permissions for device in one.devices if device.path == path)
    return str(one.runtime if kind == "runtime" else one.gpu)


def _place_of(subject: Subject, written: dict[str, profile.Additions], name: str, kind: str, path: str) -> tree.Place:
    """Return where ``name`` says it: the value, or else the exception, or the one that inherits from it."""
    if name not in written:
        name = next(heir for heir in written if name in profile.inherited(heir, written))
    here = (*_EXCEPTIONS, name)
    if kind == "device":
        paths = [device.path for device in written[name].devices]
        return place(subject, *here, "devices", paths.index(path)) if path in paths else _key(subject, here)
    value = (*here, kind, path) if path else (*here, kind)
    return _key(subject, value if tree.find(subject.root, value) is not None else here)


def _key(subject: Subject, path: tree.Path) -> tree.Place:
    return tree.key_place(subject.root, path)


def _check_storage(subject: Subject, findings: Findings) -> None:
    """E120: a root has a size where something is mounted at it, and that is said once."""
    roots = subject.model.boot.writable
    merged = {mount.path for mount in hardening_plan.merged(subject.model).additions.tmpfs}
    always = {hardening_plan.RUN, hardening_plan.TMP}
    mounted = {root.path for root in roots if hardening_plan.is_volume(root) or root.storage is not None}
    for index, root in enumerate(roots):
        here: tree.Path = ("boot", "writable", index)
        is_mounted = root.path in mounted
        is_volume = hardening_plan.is_volume(root)
        if root.path in merged and not is_volume and (root.size is not None or root.storage is not None):
            key = "storage" if root.storage is not None else "size"
            message = (
                f"what is mounted at {quote(root.path)} is said twice: `security` has a file system in memory there"
            )
            findings.add("E120", _key(subject, (*here, key)), message, f"say it there, and remove `{key}` here")
            continue
        around = (path for path in {*merged, *always, *mounted, *(one.path for one in roots)} - {root.path})
        outer = max((path for path in around if hardening_plan.is_within(root.path, path)), key=len, default=None)
        if root.size is not None and not is_mounted and outer is not None:
            message = (
                f"{quote(root.path)} has a size, and nothing of its own is mounted there: it lies in {quote(outer)}"
            )
            findings.add("E120", _key(subject, (*here, "size")), message, "remove `size`, or add `storage: tmpfs`")


def size_text(size_bytes: int) -> str:
    """Return ``size_bytes`` as a manifest says it, in the largest unit that holds it exactly."""
    units = [(unit, factor) for unit, factor in serving_fields.UNITS.items() if size_bytes % factor == 0]
    unit, factor = units[-1]
    return f"{size_bytes // factor}{unit}"
