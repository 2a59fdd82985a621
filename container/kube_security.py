"""How a Pod is confined, and what of it a cluster has to provide. Pure.

Rules
-----
* The baseline alone satisfies the Pod Security Standard "restricted". What an exception adds is rendered and needs a namespace
  that allows it; ``level`` says which one, and the output begins with it.
* Groups are numbers for the kubelet: the name of one has a meaning on a node and none in a Pod.
* A port below 1024 is opened to everybody in the Pod by a sysctl of its network, which "restricted" takes, and from the lowest such port on: a
  capability would reach no user who is not root.
* A device of the host comes from a device plugin, as a resource: a Pod that mounts one by ``hostPath`` may not open it without being
  privileged. A GPU stands for its devices.
* What Kubernetes cannot say of a Pod is said in a note, never left out silently.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from container import kube_names, rendering
from manifest import hardening, plan

RESTRICTED, BASELINE, PRIVILEGED = LEVELS = ("restricted", "baseline", "privileged")
"""Levels of the Pod Security Standards, the strictest first."""
_OF_RESTRICTED = {"NET_BIND_SERVICE"}
_OF_BASELINE = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
"""The capabilities that a Pod may add at each level (Kubernetes, Pod Security Standards)."""
_GPU_RESOURCES = {hardening.NVIDIA: "nvidia.com/gpu", hardening.AMD: "amd.com/gpu"}
_GPU_DEVICES = {hardening.NVIDIA: ("/dev/nvidia",), hardening.AMD: ("/dev/kfd", "/dev/dri")}
"""What the device plugin of each kind brings: these devices, and those below or numbered behind them."""
_RUNTIME_CLASS = re.compile(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?")
_RESOURCE = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_HIGHEST_ID = 2**31 - 1
"""The highest number of a user or a group that the API server takes."""
_PRIVILEGED_PORTS = 1024
_PROFILES = "/var/lib/kubelet/seccomp/"
"""Where the kubelet looks for profiles of type Localhost."""


@dataclasses.dataclass(frozen=True)
class Provided:
    """What the cluster knows that the plan does not: the number of a group by name, the resource of a device by path."""

    groups: Mapping[str, int]
    devices: Mapping[str, str]


def level(security: hardening.SecurityPlan) -> str:
    """Return the strictest of LEVELS that a Pod under ``security`` satisfies."""
    added = set(security.capabilities)
    if added - _OF_BASELINE:
        return PRIVILEGED
    return BASELINE if security.user.uid == 0 or added - _OF_RESTRICTED else RESTRICTED


def check(security: hardening.SecurityPlan, provided: Provided) -> None:
    """Raise CannotRender for a group or device that nobody asks for, a group that is root's, a resource that is none."""
    for name, number in provided.groups.items():
        if name not in security.groups:
            asked = ", ".join(security.groups) or "none"
            raise rendering.CannotRender(f"group {name}", "the plan does not ask for it", f"there are: {asked}")
        if not 0 < number <= _HIGHEST_ID:
            why = f"{number} is no number of a group, or root's"
            raise rendering.CannotRender(f"group {name}", why, f"write 1 to {_HIGHEST_ID}")
    for path, resource in provided.devices.items():
        paths = [device.path for device in security.devices]
        if path not in paths:
            why = "the plan does not ask for it"
            raise rendering.CannotRender(f"device {path}", why, f"there are: {', '.join(paths) or 'none'}")
        if not _RESOURCE.fullmatch(resource):
            why = f"{resource!r} is no resource of a device plugin, which is DOMAIN/NAME"
            raise rendering.CannotRender(f"device {path}", why, "write for example devices.example.com/fuse")


def of_pod(made: plan.Plan, name: str, seccomp: str | None, provided: Provided) -> dict[str, Any]:
    """Return the Pod's ``securityContext``; raises CannotRender for a group without a number, and for numbers that are too high.

    ``seccomp`` is where the nodes have the narrowed profile, where there is one.
    """
    user = made.security.user
    if max(user.uid, user.gid) > _HIGHEST_ID:
        why = f"Kubernetes takes no number of a user or group above {_HIGHEST_ID}"
        raise rendering.CannotRender(f"user {user.uid}:{user.gid}", why, "choose a lower one in `security.user`")
    found: dict[str, Any] = {
        "runAsNonRoot": user.uid != 0,
        "runAsUser": user.uid,
        "runAsGroup": user.gid,
        "seccompProfile": _seccomp(made, name, seccomp),
    }
    if user.uid != 0:
        found |= {"fsGroup": user.gid, "fsGroupChangePolicy": "OnRootMismatch"}
    if groups := sorted({_group(one, provided) for one in made.security.groups}):
        found["supplementalGroups"] = groups
    if (lowest := lowest_port(made)) < _PRIVILEGED_PORTS:
        found["sysctls"] = [{"name": "net.ipv4.ip_unprivileged_port_start", "value": str(lowest)}]
    return found


def lowest_port(made: plan.Plan) -> int:
    """Return the lowest port that something in the container listens on."""
    probes = made.probes
    own = [probes.port, *(one for one in (probes.metrics_port, probes.detail.port) if one is not None)]
    return min([*own, *(one.port for program in made.programs for one in program.ports)])


def of_container(security: hardening.SecurityPlan) -> dict[str, Any]:
    """Return the container's ``securityContext``."""
    return confined(security.capabilities)


def confined(added: tuple[str, ...]) -> dict[str, Any]:
    """Return the ``securityContext`` of a container with the capabilities ``added`` and no others."""
    capabilities: dict[str, Any] = {"drop": ["ALL"]}
    if added:
        capabilities["add"] = sorted(added)
    return {"allowPrivilegeEscalation": False, "capabilities": capabilities, "readOnlyRootFilesystem": True}


def bounded(made: plan.Plan) -> dict[str, Any]:
    """Return the memory and CPUs that a container may use at most; all containers of a Pod alike, so that an init container asks for no more."""
    limits = made.security.limits
    found: dict[str, Any] = {} if limits.cpus is None else {"cpu": cpus(limits.cpus)}
    return {**found, "memory": size(limits.memory_bytes)}


def resources(made: plan.Plan, provided: Provided) -> dict[str, Any]:
    """Return the container's ``resources``; raises CannotRender for a device that nothing brings.

    What it may use is what it asks for: memory cannot be taken back, and its file systems in memory count as memory.
    """
    extended = dict.fromkeys(sorted(set(_extended(made.security, provided))), 1)
    return {"requests": bounded(made), "limits": {**bounded(made), **extended}}


def runtime_class(security: hardening.SecurityPlan) -> str | None:
    """Return the RuntimeClass, which is called as the engine's runtime is; raises CannotRender when none can be."""
    if security.runtime is not None and not _RUNTIME_CLASS.fullmatch(security.runtime):
        why = "a RuntimeClass has a name of a-z, 0-9, - and ."
        raise rendering.CannotRender(f"runtime {security.runtime}", why, "give the runtime such a name in the manifest")
    return security.runtime


def profile(name: str, seccomp: str | None) -> str:
    """Return the place of the narrowed profile below the kubelet's directory; raises CannotRender when it cannot be there."""
    place = f"bootseal/{name}.json" if seccomp is None else seccomp.removeprefix(_PROFILES)
    if place.startswith("/") or any(part in {"", ".", ".."} for part in place.split("/")):
        why = f"the kubelet reads profiles below {_PROFILES} and nowhere else"
        raise rendering.CannotRender(f"seccomp profile {seccomp}", why, f"write for example bootseal/{name}.json")
    return place


def _seccomp(made: plan.Plan, name: str, seccomp: str | None) -> dict[str, Any]:
    if not made.security.denied_syscalls:
        return {"type": "RuntimeDefault"}
    return {"type": "Localhost", "localhostProfile": profile(name, seccomp)}


def _group(name: str, provided: Provided) -> int:
    if name.isdecimal():
        if int(name) > _HIGHEST_ID:
            why = f"Kubernetes takes no number of a group above {_HIGHEST_ID}"
            raise rendering.CannotRender(f"group {name}", why, "choose a lower one in the manifest")
        return int(name)
    if name not in provided.groups:
        why = "a Pod's groups are numbers, and what a name stands for is known on the nodes alone"
        remedy = f"add `--group {name}=GID`, with what `getent group {name}` says there"
        raise rendering.CannotRender(f"group {name}", why, remedy)
    return provided.groups[name]


def _extended(security: hardening.SecurityPlan, provided: Provided) -> list[str]:
    """Return the resources of device plugins that the container needs."""
    found = [] if security.gpu is None else [_GPU_RESOURCES[security.gpu]]
    brought = _GPU_DEVICES.get(security.gpu or "", ())
    for device in security.devices:
        if device.path in provided.devices:
            found.append(provided.devices[device.path])
        elif not any(_is_of(device.path, one) for one in brought):
            why = "a Pod gets devices from a device plugin, as a resource, and which one brings this is not said"
            remedy = f"add `--device {device.path}=RESOURCE`, for example devices.example.com/{kube_names.label(device.path)}"
            raise rendering.CannotRender(f"device {device.path}", why, remedy)
    return found


def _is_of(path: str, brought: str) -> bool:
    return path == brought or (
        path.startswith(brought) and (path[len(brought)] in "/-" or path[len(brought)].isdigit())
    )


def size(bytes_: int) -> str:
    """Return a number of bytes as Kubernetes writes it: ``64Mi``."""
    for unit, length in (("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if bytes_ and bytes_ % length == 0:
            return f"{bytes_ // length}{unit}"
    return str(bytes_)


def cpus(number: float) -> str:
    """Return a number of CPUs as Kubernetes writes it: ``2``, ``500m``."""
    thousandths = round(number * 1000)
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def notes(made: plan.Plan, name: str, seccomp: str | None) -> list[str]:
    """Return what a reader has to know of the Pod's confinement beside what it says."""
    security = made.security
    found = []
    if (needed := level(security)) != RESTRICTED:
        needs = ", ".join(
            [*(["a PID 1 of root"] if security.user.uid == 0 else []), *(f"CAP_{one}" for one in security.capabilities)]
        )
        found.append(
            f"needs a namespace with the label pod-security.kubernetes.io/enforce: {needed}, or a looser one: it has {needs}"
        )
    if security.capabilities and security.user.uid != 0:
        found.append(
            f"Kubernetes gives added capabilities to root alone: uid {security.user.uid} has them in its bounding set, and in"
            " force only in a program whose file carries them"
        )
    if security.denied_syscalls:
        place = f"{_PROFILES}{profile(name, seccomp)}"
        found.append(f"every node needs {place}, which `bootseal render seccomp` writes")
    if security.runtime is not None:
        found.append(f"the cluster needs the RuntimeClass {runtime_class(security)}")
    if security.gpu is not None:
        found.append(f"the nodes need the device plugin that offers {_GPU_RESOURCES[security.gpu]}")
    limits = security.limits
    found.append(
        f"no field of a Pod limits processes ({limits.pids} are planned: podPidsLimit of the kubelet) or descriptors"
        f" ({limits.files} are planned: the container runtime's)"
    )
    return found
