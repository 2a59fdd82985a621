"""Who reaches a Pod: its Services, the policy of its network, and what scrapes its metrics. Pure.

Rules
-----
* A Service has what the manifest says is exposed, and nothing of bootseal's own: the kubelet asks the Pod itself.
* A StatefulSet's headless Service is for its Pods to find each other, which some do before they are ready.
* The policy lets everybody in to what is exposed, and the cluster's Pods to metrics and to detail with an address of its own.
  Everything else is closed, the probes too: a node always reaches its own Pods (Kubernetes, Network Policies). What the Pod
  itself connects to is not restricted: what that is, no manifest says.
* A PodMonitor needs Prometheus's operator, and metrics on a port of their own.
"""

import collections
from typing import Any

from container import kube_names, kube_workload, rendering
from manifest import exposure, hardening, plan, serving

_OF_THE_CLUSTER = (exposure.METRICS, exposure.DETAIL)
_PROTOCOL = "TCP"


def port_names(made: plan.Plan) -> dict[int, str]:
    """Return the container's ports that can be reached from outside it, each with a name of its own.

    A port of bootseal's is called by what it is for. A program's by the program, where that has one such port.
    """
    own = own_ports(made)
    others = [(one.port, one.names[0]) for one in exposure.reachable(made) if one.port not in own]
    counts = collections.Counter(owner for _, owner in others)
    found = dict(own)
    for port, owner in others:
        wanted = kube_names.port(owner, port) if counts[owner] == 1 else f"port-{port}"
        found[port] = kube_names.unlike(wanted, found.values(), kube_names.PORT_LENGTH)
    return found


def own_ports(made: plan.Plan) -> dict[int, str]:
    """Return the ports of bootseal's own that can be reached from outside the container, each with what it is for."""
    probes = made.probes
    detail = probes.detail.port if probes.detail.reach == serving.OWN else None
    found = {detail: exposure.DETAIL, probes.metrics_port: exposure.METRICS, probes.port: exposure.PROBES}
    reached = {one.port for one in exposure.reachable(made)}
    return {port: name for port, name in found.items() if port is not None and port in reached}


def services(making: kube_workload.Making, *, has_own: bool) -> list[dict[str, Any]]:
    """Return the Service of what is exposed, where something is and ``has_own``, and a StatefulSet's headless one."""
    ports = [
        {"name": making.ports[one.port], "protocol": _PROTOCOL, "port": one.port, "targetPort": making.ports[one.port]}
        for one in exposure.reachable(making.plan)
        if one.exposed
    ]
    found = []
    if ports and has_own:
        spec: dict[str, Any] = {"type": "ClusterIP", "selector": making.labels, "ports": ports}
        found.append(making.document("v1", "Service", making.service, spec))
    if making.plan.deploy.workload == hardening.STATEFULSET:
        spec = {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": making.labels}
        spec |= {"ports": ports} if ports else {}
        found.append(making.document("v1", "Service", f"{making.service}{kube_workload.HEADLESS}", spec))
    return found


def policy(making: kube_workload.Making) -> dict[str, Any]:
    """Return the NetworkPolicy."""
    published = exposure.reachable(making.plan)
    everybody = [one.port for one in published if one.exposed]
    own = own_ports(making.plan)
    cluster = [one.port for one in published if not one.exposed and own.get(one.port) in _OF_THE_CLUSTER]
    ingress: list[dict[str, Any]] = []
    if everybody:
        ingress.append({"ports": _ports(everybody)})
    if cluster:
        ingress.append({"from": [{"namespaceSelector": {}}], "ports": _ports(cluster)})
    spec = {"podSelector": {"matchLabels": making.labels}, "policyTypes": ["Ingress"], "ingress": ingress}
    return making.document("networking.k8s.io/v1", "NetworkPolicy", making.name, spec)


def monitor(making: kube_workload.Making) -> dict[str, Any]:
    """Return the PodMonitor; raises CannotRender when the metrics have no port that is reached from outside."""
    if exposure.METRICS not in own_ports(making.plan).values():
        why = "metrics have no port of their own that is reached from outside the Pod"
        remedy = 'write for example `probes: {metrics: "0.0.0.0:9091"}` in the manifest'
        raise rendering.CannotRender("a PodMonitor", why, remedy)
    spec = {
        "selector": {"matchLabels": making.labels},
        "podMetricsEndpoints": [{"port": exposure.METRICS, "path": "/metrics"}],
    }
    return making.document("monitoring.coreos.com/v1", "PodMonitor", making.name, spec)


def _ports(numbers: list[int]) -> list[dict[str, Any]]:
    return [{"protocol": _PROTOCOL, "port": number} for number in numbers]
