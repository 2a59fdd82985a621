"""The rules of deployment: what several replicas can have in common, and what they cannot.

Pure functions over a sound manifest; each says which codes of ``manifest.rules`` it gives.
"""

import re

from manifest import fields, hardening, hardening_plan, tree
from manifest.diagnostics import Findings, quote
from manifest.structure import Subject

_HOSTNAME = "hostname"


def check(subject: Subject, findings: Findings) -> None:
    """Add a finding for every rule of this module that the manifest breaks."""
    _check_volumes(subject, findings)
    if not subject.was_cut("deploy"):
        _check_replicas(subject, findings)


def _check_replicas(subject: Subject, findings: Findings) -> None:
    """E109, W014: as many as the kind can have, each with storage and a name of its own."""
    deploy = hardening_plan.deploy(subject.model)
    place = tree.place_of(subject.root, ("deploy", "replicas"))
    if deploy.kind == hardening.POD and deploy.replicas != 1:
        message = f"a pod with {deploy.replicas} replicas: a Pod is one, and nothing makes another"
        findings.add("E109", place, message, "remove `replicas`, or write `kind: deployment`")
    if deploy.kind == hardening.DEPLOYMENT and deploy.replicas > 1 and deploy.volumes:
        path = deploy.volumes[0].path
        message = f"{deploy.replicas} replicas of a deployment would share one volume, {quote(path)}"
        remedy = "write `kind: statefulset`, where each has its own, or `storage: tmpfs` for what need not last"
        findings.add("E109", place, message, remedy)
    identity = subject.model.identity.id
    is_one = identity.env is None and identity.default != _HOSTNAME and not subject.was_cut("identity")
    if deploy.replicas > 1 and deploy.kind != hardening.POD and is_one:
        at = tree.written(subject.root, ("identity", "id", "default"))
        message = f"{deploy.replicas} replicas would all be {quote(identity.default)}"
        findings.add(
            "W014", tree.place_of(subject.root, at), message, "remove it, or name a variable: `id: {env: POD_NAME}`"
        )


def _check_volumes(subject: Subject, findings: Findings) -> None:
    """E109: each volume has a name, and no other has it."""
    indices = {root.path: index for index, root in enumerate(subject.model.boot.writable)}
    owners: dict[str, str] = {}
    for volume in hardening_plan.deploy(subject.model).volumes:
        at = tree.written(subject.root, ("boot", "writable", indices[volume.path], "path"))
        owner = owners.setdefault(volume.name, volume.path)
        if owner != volume.path:
            message = (
                f"the volumes of {quote(owner)} and {quote(volume.path)} would both be called {quote(volume.name)}"
            )
            findings.add("E109", tree.place_of(subject.root, at), message, "choose another path")
        elif not re.fullmatch(fields.LABEL, volume.name):
            message = (
                f"a volume cannot be called {quote(volume.name)}, after {quote(volume.path)}: it is no DNS-1123 label"
            )
            findings.add("E109", tree.place_of(subject.root, at), message, "choose a path of a-z, 0-9, -, _ and .")
