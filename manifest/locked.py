"""What the compiler knows of ``closures.lock``, and the rules that bind a manifest to it.

Whoever calls the compiler has read the lock; here it is only compared. Pure; says which codes of ``manifest.rules`` it gives.
"""

import dataclasses
from collections.abc import Mapping

from manifest import plan, provisions, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject


@dataclasses.dataclass(frozen=True)
class Artifact:
    """An artifact in the lock: the path and the kind that it was locked as."""

    path: str
    kind: str


@dataclasses.dataclass(frozen=True)
class Locked:
    """A lock that was read: the digest of its bytes, and its artifacts by name, with their paths in full."""

    sha256: str
    artifacts: Mapping[str, Artifact]


@dataclasses.dataclass(frozen=True)
class Unusable:
    """A lock that is there and cannot be used, and why."""

    why: str


@dataclasses.dataclass(frozen=True)
class ToBeWritten:
    """The lock that is about to be written: everything will be in it as it is declared."""


TO_BE_WRITTEN = ToBeWritten()
Lock = Locked | Unusable | ToBeWritten | None


def artifacts(
    subject: Subject, made: tuple[plan.ArtifactPlan, ...], lock: Lock, findings: Findings
) -> tuple[plan.ArtifactPlan, ...]:
    """Return ``made`` with the verification of each decided, where the manifest left it open.

    E084 where one is to be verified against a lock that is not there; E085 where the lock cannot be used, or is another
    manifest's. An optional artifact may be missing in the lock: what was not there when it was written.
    """
    if isinstance(lock, Unusable):
        if subject.model.artifacts:
            place = tree.key_place(subject.root, ("artifacts",))
            findings.add(
                "E085", place, f"closures.lock cannot be used: {lock.why}", "run `bootseal lock` on this manifest"
            )
        return made
    return tuple(_artifact(subject, artifact, lock, findings) for artifact in made)


def _artifact(
    subject: Subject, artifact: plan.ArtifactPlan, lock: Locked | ToBeWritten | None, findings: Findings
) -> plan.ArtifactPlan:
    written = subject.model.artifacts[artifact.id].verify
    verify = written or (provisions.DIGEST if lock is not None else provisions.PRESENCE)
    if verify != provisions.PRESENCE and not isinstance(lock, ToBeWritten):
        _judge(subject, artifact, verify, lock, findings)
    return dataclasses.replace(artifact, verify=verify)


def _judge(subject: Subject, artifact: plan.ArtifactPlan, verify: str, lock: Locked | None, findings: Findings) -> None:
    remedy = "run `bootseal lock` on this manifest"
    path: tree.Path = ("artifacts", artifact.id)
    if subject.was_cut(*path):
        return
    if lock is None:
        message = f"{quote(artifact.id)} is to be verified by `{verify}`: there is no closures.lock beside the manifest"
        findings.add("E084", tree.place_of(subject.root, (*path, "verify")), message, remedy)
        return
    found = lock.artifacts.get(artifact.id)
    problem = None
    if found is None:
        problem = f"{quote(artifact.id)} is not in it" if artifact.required else None
    elif found.path != artifact.path:
        problem = f"{quote(artifact.id)} is {found.path} there"
    elif artifact.kind not in {None, found.kind}:
        problem = f"{quote(artifact.id)} is of the kind {found.kind} there"
    if problem is not None:
        message = f"closures.lock is not this manifest's: {problem}"
        findings.add("E085", tree.key_place(subject.root, path), message, remedy)
