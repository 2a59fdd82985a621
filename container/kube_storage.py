"""What a Pod mounts: file systems in memory, volumes and secrets, and the variables it gets by reference. Pure.

Rules
-----
* Each file system in memory is an emptyDir of medium Memory with its size. It outlives the container within the Pod: an earlier
  boot's seal is removed before anything else.
* The kubelet makes an emptyDir root's with mode 0777, given to ``fsGroup``, and no field says another mode, owner or noexec.
  One user runs everything, so nobody is let in by that. Under ``program-users`` others would be: there an init container closes
  them, as root and with nothing but CHOWN. Whose they are is settled by PID 1, as everywhere.
* A secret is a key of one Secret, mounted as the single file that the manifest names (``subPath``), so that it is no link and
  hides nothing beside it. It is root's: its group may read it where PID 1 is not root.
* A variable comes from a Secret or a ConfigMap by its key, and the one that names the container's identity is the Pod's own name.
"""

import dataclasses
from typing import Any

from container import kube_names, kube_security, rendering
from contract import errors
from manifest import plan

SECRETS = "secrets"
"""The volume that holds the secrets' files."""
_OF_GROUP, _OF_OWNER = 0o440, 0o400
_SET = """
import os, sys
wanted = [argument.split(":", 1) for argument in sys.argv[1:]]
for mode, path in wanted:
    os.chown(path, 0, 0)
    os.chmod(path, 0o700)
for mode, path in reversed(wanted):
    os.chmod(path, int(mode, 8))
"""
"""Makes directories root's and sets their modes, also a second time, when PID 1 has given some away. Those above come first, and are closed
last: root without a capability over files reaches nothing in another user's directory."""


@dataclasses.dataclass(frozen=True)
class References:
    """Where values come from: the names of a Secret and of a ConfigMap, and the Secret's key of each secret by name."""

    secret: str
    config: str
    file_keys: dict[str, str]
    variable_keys: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Storage:
    """A Pod's ``volumes``, its container's ``volumeMounts``, and the claims on volumes by the name they have in the Pod."""

    volumes: list[dict[str, Any]]
    mounts: list[dict[str, Any]]
    claims: dict[str, dict[str, Any]]


def references(made: plan.Plan, name: str) -> References:
    """Return where the container called ``name`` gets its values from; every secret has a key of its own."""
    found = rendering.secrets(made)
    files = {one.name: one.name for one in found.files}
    variables: dict[str, str] = {}
    for one in found.variables:
        variables[one.name] = kube_names.unlike(one.name, {*files, *variables.values()})
    return References(f"{name}-secrets", f"{name}-environment", files, variables)


def storage(made: plan.Plan, refer: References) -> Storage:
    """Return what the Pod mounts, each in what it lies in; names are unique. Raises CannotRender for a path that cannot be."""
    volumes: list[dict[str, Any]] = []
    _check_paths(made)
    mounts: list[dict[str, Any]] = []
    claims: dict[str, dict[str, Any]] = {}
    taken = {SECRETS}
    for one in sorted(made.deploy.volumes, key=lambda one: one.path):
        name = kube_names.unlike(kube_names.label(one.name), taken)
        taken.add(name)
        claims[name] = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": kube_security.size(one.size_bytes)}},
        }
        mounts.append({"name": name, "mountPath": one.path})
    for mount in rendering.tmpfs(made):
        name = kube_names.unlike(kube_names.label(mount.path), taken)
        taken.add(name)
        in_memory = {"medium": "Memory", "sizeLimit": kube_security.size(mount.size_bytes)}
        volumes.append({"name": name, "emptyDir": in_memory})
        mounts.append({"name": name, "mountPath": mount.path})
    files = rendering.secrets(made).files
    if files:
        keys = [{"key": refer.file_keys[one.name], "path": one.name} for one in files]
        mode = _OF_OWNER if made.security.user.uid == 0 else _OF_GROUP
        volumes.append({"name": SECRETS, "secret": {"secretName": refer.secret, "defaultMode": mode, "items": keys}})
        mounts += [{"name": SECRETS, "mountPath": one.path, "subPath": one.name, "readOnly": True} for one in files]
    return Storage(volumes, sorted(mounts, key=lambda one: str(one["mountPath"])), claims)


def _check_paths(made: plan.Plan) -> None:
    paths = [one.path for one in made.deploy.volumes]
    paths += [one.path for one in rendering.tmpfs(made)]
    paths += [one.path for one in rendering.secrets(made).files]
    for path in sorted(paths):
        if ":" in path:
            why = "Kubernetes takes no mountPath with a colon"
            raise rendering.CannotRender(f"path {errors.printable(path)}", why, "choose another")


def environment(made: plan.Plan, refer: References) -> list[dict[str, Any]]:
    """Return the container's ``env``, by reference alone."""
    carried = {one.variable: one for one in rendering.secrets(made).variables}
    found = []
    for variable in rendering.variables(made):
        if variable in carried:
            secret = carried[variable]
            key = {"name": refer.secret, "key": refer.variable_keys[secret.name], "optional": not secret.required}
            source: dict[str, Any] = {"secretKeyRef": key}
        elif variable == made.identity.env:
            source = {"fieldRef": {"fieldPath": "metadata.name"}}
        else:
            source = {"configMapKeyRef": {"name": refer.config, "key": variable, "optional": True}}
        found.append({"name": variable, "valueFrom": source})
    return found


def preparation(made: plan.Plan, image: dict[str, Any], stored: Storage) -> list[dict[str, Any]]:
    """Return the init container that sets modes under ``program-users``, of the same ``image``; else none."""
    if not made.has_program_users:
        return []
    in_memory = {str(one["name"]) for one in stored.volumes if "emptyDir" in one}
    wanted = [f"{one.mode:04o}:{one.path}" for one in rendering.tmpfs(made)]
    return [
        {
            "name": kube_names.unlike("directories", {made.name}),
            **image,
            "command": [f"{made.prefix}/bin/python", "-I", "-c", _SET.strip()],
            "args": wanted,
            "resources": {"requests": kube_security.bounded(made), "limits": kube_security.bounded(made)},
            "securityContext": kube_security.confined(("CHOWN",)),
            "volumeMounts": [one for one in stored.mounts if one["name"] in in_memory],
        }
    ]


def notes(made: plan.Plan, refer: References) -> list[str]:
    """Return what has to exist in the namespace, and what a mount here cannot be."""
    found = []
    needed = rendering.secrets(made)
    keys = [
        *(f"{refer.file_keys[one.name]} (the file {one.path})" for one in needed.files),
        *(
            f"{refer.variable_keys[one.name]} (the variable {one.variable}{'' if one.required else ', generated where it is missing'})"
            for one in needed.variables
        ),
    ]
    is_demanded = needed.files or any(one.required for one in needed.variables)
    if keys and is_demanded:
        found.append(f"the namespace needs the Secret {refer.secret} with the keys {', '.join(keys)}")
    elif keys:
        found.append(f"the Secret {refer.secret}, where there is one, may have the keys {', '.join(keys)}")
    plain = [one["name"] for one in environment(made, refer) if "configMapKeyRef" in one["valueFrom"]]
    if plain:
        found.append(f"the ConfigMap {refer.config}, where there is one, may have the keys {', '.join(plain)}")
    if any(not one.executable for one in rendering.tmpfs(made)):
        found.append("no field of an emptyDir says noexec: programs can be run from those in memory")
    return found
