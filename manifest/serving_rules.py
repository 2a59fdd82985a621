"""The rules of what is served and of the container's readiness: what several of their keys say together.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives.
"""

from collections.abc import Iterator

from manifest import serving, serving_model, serving_plan, structure, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

REQUIREMENT_LIMIT = 100
_DETAIL: tree.Path = ("probes", "detail")


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule of this module that the manifest breaks."""
    _check_listeners(subject, findings)
    if not subject.was_cut(*_DETAIL):
        _check_token(subject, findings)
        if not subject.was_cut("probes", "listen"):
            _warn_of_open(subject, findings)
    _check_mounts(subject, findings)
    _check_checks(subject, findings)


def _check_listeners(subject: Subject, findings: Findings) -> None:
    """E063: the ports of the probe server are as many as it has listeners."""
    probes = subject.model.probes
    reach, own = serving_plan.reach_of(probes)
    listeners: list[tuple[str, tuple[str, int]]] = [("listen", probes.listen)]
    if probes.metrics is not None:
        listeners.append(("metrics", probes.metrics))
    if reach == serving.OWN and own is not None:
        listeners.append(("detail", own))
    sound = [(key, address) for key, address in listeners if not subject.was_cut("probes", key)]
    for index, (key, address) in enumerate(sound):
        other = next((other for other in sound[:index] if _collide(address, other[1])), None)
        if other is None:
            continue
        names = ["probes" if one == "listen" else one for one in (other[0], key)]
        message = f"{names[0]} and {names[1]} would both listen on port {address[1]}"
        remedy = "choose another port"
        if (other[0], key) == ("listen", "detail"):
            remedy += f", or write {serving.address(*other[1])} to let all clients of the probes read it"
        findings.add("E063", _place(subject, "probes", key, "listen"), message, remedy)


def _collide(one: tuple[str, int], other: tuple[str, int]) -> bool:
    hosts = [serving_plan.ip(host) for host, _ in (one, other)]
    return one[1] == other[1] and (hosts[0] == hosts[1] or any(host.is_unspecified for host in hosts))


def _check_token(subject: Subject, findings: Findings) -> None:
    """E078, E088, E089: a token comes from one place, and guards something."""
    detail = subject.model.probes.detail
    token = detail.token
    if token is None:
        return
    key = tree.key_place(subject.root, (*_DETAIL, "token"))
    if detail.listen == serving.NOWHERE:
        message = "a token for detail that is on no address: the unix socket knows its clients by their user"
        findings.add("E089", key, message, "remove the token, or write an address")
    if token.file is not None and token.secret is not None:
        place = tree.key_place(subject.root, (*_DETAIL, "token", "secret"))
        message = "the token comes from a `file` and from a `secret`: there is one source"
        findings.add("E088", place, message, "keep one of them")
    elif token.file is None and token.secret is None:
        message = "the token comes from nowhere: it has no source"
        findings.add("E088", key, message, "add one of file, secret")
    known = subject.names("secrets")
    if token.secret is not None and token.secret not in known:
        nearest = findings.nearest(token.secret, known)
        remedy = f"write {quote(nearest)}" if nearest else "define it under `secrets`"
        message = f"unknown secret {quote(token.secret)}: nothing under `secrets` has this name"
        findings.add("E078", _place(subject, *_DETAIL, "token", "secret"), message, remedy)


def _warn_of_open(subject: Subject, findings: Findings) -> None:
    """W009: detail that is served beyond loopback asks for a token."""
    probes = subject.model.probes
    reach, own = serving_plan.reach_of(probes)
    address = own or (probes.listen if reach == serving.OPEN else None)
    if probes.detail.token is not None or address is None or serving_plan.ip(address[0]).is_loopback:
        return
    message = f"whoever reaches {serving.address(*address)} reads /health, with the last lines of programs that failed"
    findings.add("W009", _place(subject, *_DETAIL, "listen"), message, "add a `token`, or listen on loopback")


def _check_mounts(subject: Subject, findings: Findings) -> None:
    """E090, E095: a directory is required once, and there are so many."""
    mounts = subject.model.ready.mounts
    seen: set[str] = set()
    for index, mount in enumerate(mounts):
        if mount.path in seen:
            place = _place(subject, "ready", "mounts", index, "path")
            findings.add("E090", place, f"{quote(mount.path)} stands twice among the mounts", "keep one of them")
        seen.add(mount.path)
    _refuse_many(subject, "mounts", len(mounts), findings)


def _check_checks(subject: Subject, findings: Findings) -> None:
    """E065, E094, E095: a check of the container checks one thing, and there are so many."""
    for name in subject.model.ready.checks:
        path: tree.Path = ("ready", "checks", name)
        keys = list(_keys(subject, path))
        kinds = [key for key in keys if key in serving_model.CHECKS]
        for kind in kinds[1:]:
            message = f"`{kinds[0]}` and `{kind}` in the check {quote(name)}: there is one check"
            findings.add("E065", tree.key_place(subject.written, (*path, kind)), message, "keep one of them")
        is_misspelled = any(key not in structure.known_keys(path) for key in keys)
        if not kinds and not is_misspelled and not subject.was_cut(*path):
            message = f"the check {quote(name)} checks nothing"
            remedy = f"add one of {', '.join(serving_model.CHECKS)}"
            findings.add("E094", tree.key_place(subject.root, path), message, remedy)
    _refuse_many(subject, "checks", len(subject.model.ready.checks), findings)


def _refuse_many(subject: Subject, key: str, count: int, findings: Findings) -> None:
    if count > REQUIREMENT_LIMIT:
        message = f"{count} {key}: at most {REQUIREMENT_LIMIT} are allowed"
        place = tree.key_place(subject.root, ("ready", key))
        findings.add("E095", place, message, "require what the others need in common")


def _keys(subject: Subject, path: tree.Path) -> Iterator[str]:
    """Return the keys that were written in the section at ``path``, sound or not."""
    node = tree.find(subject.written, path)
    return iter(node.entries) if isinstance(node, tree.Mapping) else iter(())


def _place(subject: Subject, *path: str | int) -> tree.Place:
    """Return the place of what is at ``path``, in full or as a shorthand."""
    return tree.place_of(subject.root, tree.written(subject.root, path))
