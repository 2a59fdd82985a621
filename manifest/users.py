"""The rules of the exception ``program-users``: with it everybody has a user of his own, without it nobody has.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives.
"""

from manifest import provisions, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

_EXCEPTION = f"security.exceptions.{provisions.PROGRAM_USERS}"


def is_excepted(subject: Subject) -> bool:
    """Say whether the manifest has the exception."""
    return provisions.PROGRAM_USERS in subject.model.security.exceptions


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule of this module that the manifest breaks."""
    if subject.was_cut("security"):
        return
    if is_excepted(subject):
        _check_everybody_has_one(subject, findings)
        _check_sharing(subject, findings)
    else:
        _check_nobody_has_one(subject, findings)


def evidence_fault(subject: Subject, name: str, file: str) -> tuple[str, str] | None:
    """Return why the program ``name`` cannot make ``file``, its proof of readiness, and what to do; None when it can.

    For E070: under the exception the writable root that it lies in must belong to the program's user.
    """
    program = subject.model.programs.get(name)
    if not is_excepted(subject) or program is None or program.user is None:
        return None
    roots = [root for root in subject.model.boot.writable if file.startswith(f"{root.path}/")]
    if not roots:
        return None
    root = max(roots, key=lambda one: len(one.path))
    if root.owner is not None and root.owner.uid == program.user.uid:
        return None
    whose = "PID 1's" if root.owner is None else f"{root.owner.uid}'s"
    why = f"the writable root {root.path} is {whose}, and {quote(name)} runs as {program.user.uid}"
    return why, f'add owner: "{program.user.uid}:{program.user.gid}" to that root'


def _check_everybody_has_one(subject: Subject, findings: Findings) -> None:
    """E083: under the exception a program without a user would be root."""
    for name, program in subject.model.programs.items():
        if program.user is None and not subject.was_cut("programs", name, "user"):
            message = f"{quote(name)} has no user: under {_EXCEPTION} it would be root"
            place = tree.key_place(subject.root, ("programs", name))
            findings.add("E083", place, message, 'add for example `user: "1001:1001"`')


def _check_nobody_has_one(subject: Subject, findings: Findings) -> None:
    """E083: without the exception PID 1 is nobody who could give a user, or a directory, to others."""
    why = f"PID 1 can do that only under {_EXCEPTION}"
    remedy = "add the exception with its reason, or remove this"
    for name, program in subject.model.programs.items():
        if program.user is not None:
            place = tree.key_place(subject.root, ("programs", name, "user"))
            findings.add("E083", place, f"{quote(name)} is to have a user of its own: {why}", remedy)
    for index, root in enumerate(subject.model.boot.writable):
        if root.owner is not None:
            place = tree.key_place(subject.root, ("boot", "writable", index, "owner"))
            findings.add("E083", place, f"{quote(root.path)} is to belong to another user: {why}", remedy)


def _check_sharing(subject: Subject, findings: Findings) -> None:
    """W006: programs of one user are not apart."""
    owners: dict[int, str] = {}
    for name, program in subject.model.programs.items():
        if program.user is None:
            continue
        owner = owners.setdefault(program.user.uid, name)
        if owner != name:
            place = tree.place_of(subject.root, ("programs", name, "user"))
            message = f"{quote(name)} and {quote(owner)} have one user: each can read and stop the other"
            findings.add("W006", place, message, "give each a number of its own")
