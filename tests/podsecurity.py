"""The Pod Security Standards, as Kubernetes documents them, read without a look at what bootseal renders.

Source: Kubernetes, Concepts, Security, "Pod Security Standards" (the controls of the levels baseline and restricted, for Linux), as
of v1.34. Each control is a function that says what it refuses; a Pod satisfies a level when nothing is refused.
"""

from collections.abc import Iterator
from typing import Any

BASELINE_CAPABILITIES = {
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID",
    "SETPCAP", "SETUID", "SYS_CHROOT",
}  # fmt: skip
RESTRICTED_VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip
SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
}  # fmt: skip
SELINUX_TYPES = {None, "", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}


def pods(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the Pod of a document, as ``{metadata, spec}``; none for what makes no Pods."""
    if document["kind"] == "Pod":
        return [document]
    if document["kind"] in {"Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job"}:
        return [document["spec"]["template"]]
    return []


def violations_of_baseline(pod: dict[str, Any]) -> list[str]:
    """Return what the level baseline refuses."""
    return list(_baseline(pod.get("metadata", {}), pod["spec"]))


def violations_of_restricted(pod: dict[str, Any]) -> list[str]:
    """Return what the level restricted refuses, with what baseline does."""
    return [*violations_of_baseline(pod), *_restricted(pod["spec"])]


def _containers(spec: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for kind in ("initContainers", "containers", "ephemeralContainers") for one in spec.get(kind, [])]


def _context(one: dict[str, Any]) -> dict[str, Any]:
    return one.get("securityContext") or {}


def _baseline(metadata: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield field
    yield from (f"hostPath {one['name']}" for one in spec.get("volumes", []) if "hostPath" in one)
    for sysctl in _context(spec).get("sysctls", []):
        if sysctl["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {sysctl['name']}"
    for name, value in metadata.get("annotations", {}).items():
        is_of_apparmor = name.startswith("container.apparmor.security.beta.kubernetes.io/")
        if is_of_apparmor and value != "runtime/default" and not value.startswith("localhost/"):
            yield f"AppArmor {value}"
    for where, context in (("the Pod", _context(spec)), *((one["name"], _context(one)) for one in _containers(spec))):
        if context.get("windowsOptions", {}).get("hostProcess"):
            yield f"{where}: hostProcess"
        if context.get("seccompProfile", {}).get("type", "RuntimeDefault") not in PROFILES:
            yield f"{where}: seccomp {context['seccompProfile']['type']}"
        if context.get("appArmorProfile", {}).get("type", "RuntimeDefault") not in PROFILES:
            yield f"{where}: AppArmor {context['appArmorProfile']['type']}"
        selinux = context.get("seLinuxOptions", {})
        if selinux.get("type") not in SELINUX_TYPES or selinux.get("user") or selinux.get("role"):
            yield f"{where}: SELinux {selinux}"
    for one in _containers(spec):
        yield from (f"{one['name']}: {what}" for what in _baseline_of_container(one))


def _baseline_of_container(one: dict[str, Any]) -> Iterator[str]:
    context = _context(one)
    if context.get("privileged"):
        yield "privileged"
    if context.get("procMount", "Default") != "Default":
        yield "procMount"
    for capability in context.get("capabilities", {}).get("add", []):
        if capability not in BASELINE_CAPABILITIES:
            yield f"capability {capability}"
    yield from (f"hostPort {port['hostPort']}" for port in one.get("ports", []) if port.get("hostPort"))
    handlers = [one.get(kind) or {} for kind in ("startupProbe", "readinessProbe", "livenessProbe")]
    handlers += [one.get("lifecycle", {}).get(kind) or {} for kind in ("preStop", "postStart")]
    for handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            if handler.get(kind, {}).get("host"):
                yield f"probe of the host {handler[kind]['host']}"


def _restricted(spec: dict[str, Any]) -> Iterator[str]:
    of_pod = _context(spec)
    for volume in spec.get("volumes", []):
        for kind in set(volume) - {"name"} - RESTRICTED_VOLUMES:
            yield f"volume {volume['name']} of {kind}"
    if of_pod.get("runAsUser") == 0:
        yield "the Pod: runAsUser 0"
    for one in _containers(spec):
        context, name = _context(one), one["name"]
        if context.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if context.get("runAsNonRoot", of_pod.get("runAsNonRoot")) is not True:
            yield f"{name}: runAsNonRoot"
        if context.get("runAsUser") == 0:
            yield f"{name}: runAsUser 0"
        if context.get("seccompProfile", of_pod.get("seccompProfile", {})).get("type") not in PROFILES:
            yield f"{name}: no seccomp profile"
        capabilities = context.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []):
            yield f"{name}: capabilities are not dropped"
        yield from (
            f"{name}: capability {added}" for added in capabilities.get("add", []) if added != "NET_BIND_SERVICE"
        )
