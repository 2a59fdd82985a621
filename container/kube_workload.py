"""The workload: a Deployment, a StatefulSet or a bare Pod with one container, and what keeps enough of its Pods. Pure.

Rules
-----
* The image is named by its digest, so that each Pod runs what was tested; a tag is taken only where that is allowed, and is then
  pulled each time.
* The Pod has nothing of the cluster's: no token of a ServiceAccount, no variables of Services, no namespace of the node's.
* A changed manifest or plan is a changed Pod template, by its annotations, so that applying it rolls the Pods.
* Volumes are claimed by a StatefulSet for each Pod. A Deployment and a bare Pod have one claim each: two Pods of a Deployment
  would want it at a time, so that the old one ends before the new one starts.
* A StatefulSet's Pods are told apart by a headless Service; several Pods spread over nodes and zones as far as they can.
"""

import dataclasses
from typing import Any

from container import kube_names, kube_probes, kube_security, kube_storage, rendering
from manifest import hardening, plan

_PROGRESS_SECONDS = 600
"""The least that a Deployment's progress may take; it is Kubernetes's own default."""
_PROGRESS_MARGIN_SECONDS = 60
_SPREAD_OVER = ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
HEADLESS = "-headless"


@dataclasses.dataclass(frozen=True)
class Making:
    """What the documents are made of; ``ports`` are the container's by number, each with its name, ``service`` the Service's name."""

    loaded: plan.LoadedPlan
    options: rendering.Options
    provided: kube_security.Provided
    namespace: str | None
    name: str
    service: str
    ports: dict[int, str]

    @property
    def plan(self) -> plan.Plan:
        """The plan."""
        return self.loaded.plan

    @property
    def references(self) -> kube_storage.References:
        """Where the container's values come from."""
        return kube_storage.references(self.plan, self.name)

    @property
    def labels(self) -> dict[str, str]:
        """What its Pods are selected by; it stays the same from one version to the next."""
        return {"app.kubernetes.io/name": self.plan.name, "app.kubernetes.io/instance": self.options.name}

    def metadata(self, name: str) -> dict[str, Any]:
        """Return the metadata of the document called ``name``."""
        place = {} if self.namespace is None else {"namespace": self.namespace}
        labels = {**self.labels, "app.kubernetes.io/managed-by": "bootseal"}
        return {"name": name, **place, "labels": labels, "annotations": rendering.labels(self.loaded)}

    def document(self, version: str, kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
        """Return a document of ``kind``."""
        return {"apiVersion": version, "kind": kind, "metadata": self.metadata(name), "spec": spec}


def name_of(made: plan.Plan, name: str) -> str:
    """Return what the workload of the container called ``name`` is called, and what is named after it."""
    is_labelled = made.deploy.workload == hardening.STATEFULSET
    return kube_names.label(name, kube_names.WORKLOAD_LENGTH if is_labelled else kube_names.LABEL_LENGTH)


def documents(making: Making) -> list[dict[str, Any]]:
    """Return the workload, behind the claims that it has; raises CannotRender."""
    stored = kube_storage.storage(making.plan, making.references)
    if making.plan.deploy.workload == hardening.STATEFULSET:
        return [_stateful(making, stored)]
    claims = [
        making.document("v1", "PersistentVolumeClaim", claim_name(making.name, name), claim)
        for name, claim in stored.claims.items()
    ]
    bound = [
        {"name": name, "persistentVolumeClaim": {"claimName": claim_name(making.name, name)}} for name in stored.claims
    ]
    stored = dataclasses.replace(stored, volumes=[*bound, *stored.volumes])
    if making.plan.deploy.workload == hardening.POD:
        return [*claims, making.document("v1", "Pod", making.name, _pod(making, stored))]
    return [*claims, _deployment(making, stored)]


def claim_name(name: str, volume: str) -> str:
    """Return the name of the claim on ``volume``."""
    return kube_names.label(f"{name}-{volume}")


def disruption_budget(making: Making) -> dict[str, Any]:
    """Return what lets one Pod be evicted at a time."""
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": making.labels}}
    return making.document("policy/v1", "PodDisruptionBudget", making.name, spec)


def _deployment(making: Making, stored: kube_storage.Storage) -> dict[str, Any]:
    moving: dict[str, Any] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    progress = rendering.startup_seconds(making.plan) + _PROGRESS_MARGIN_SECONDS
    progress += rendering.stop_seconds(making.plan) if stored.claims else 0
    spec = {
        "replicas": making.plan.deploy.replicas,
        "progressDeadlineSeconds": max(_PROGRESS_SECONDS, progress),
        "strategy": {"type": "Recreate"} if stored.claims else moving,
        "selector": {"matchLabels": making.labels},
        "template": _template(making, stored),
    }
    return making.document("apps/v1", "Deployment", making.name, spec)


def _stateful(making: Making, stored: kube_storage.Storage) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "replicas": making.plan.deploy.replicas,
        "serviceName": f"{making.service}{HEADLESS}",
        "selector": {"matchLabels": making.labels},
        "template": _template(making, stored),
    }
    claims = [{"metadata": {"name": name}, "spec": claim} for name, claim in stored.claims.items()]
    if claims:
        spec["volumeClaimTemplates"] = claims
    return making.document("apps/v1", "StatefulSet", making.name, spec)


def _template(making: Making, stored: kube_storage.Storage) -> dict[str, Any]:
    metadata = making.metadata(making.name)
    return {
        "metadata": {"labels": metadata["labels"], "annotations": metadata["annotations"]},
        "spec": _pod(making, stored),
    }


def _pod(making: Making, stored: kube_storage.Storage) -> dict[str, Any]:
    made, options = making.plan, making.options
    image = {
        "image": options.image.reference,
        "imagePullPolicy": "Always" if options.image.digest is None else "IfNotPresent",
    }
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": rendering.stop_seconds(made),
        "securityContext": kube_security.of_pod(made, making.name, options.seccomp, making.provided),
    }
    if (runtime := kube_security.runtime_class(made.security)) is not None:
        spec["runtimeClassName"] = runtime
    if made.deploy.replicas > 1 and made.deploy.workload != hardening.POD:
        spec["topologySpreadConstraints"] = [_spread(key, making.labels) for key in _SPREAD_OVER]
    if prepared := kube_storage.preparation(made, image, stored):
        spec["initContainers"] = prepared
    spec["containers"] = [_container(making, image, stored)]
    return spec | ({"volumes": stored.volumes} if stored.volumes else {})


def _container(making: Making, image: dict[str, Any], stored: kube_storage.Storage) -> dict[str, Any]:
    made = making.plan
    found: dict[str, Any] = {"name": made.name, **image}
    if variables := kube_storage.environment(made, making.references):
        found["env"] = variables
    found["ports"] = [{"name": name, "containerPort": port} for port, name in sorted(making.ports.items())]
    found |= kube_probes.probes(made)
    found |= {
        "resources": kube_security.resources(made, making.provided),
        "securityContext": kube_security.of_container(made.security),
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    return found | ({"volumeMounts": stored.mounts} if stored.mounts else {})


def _spread(key: str, labels: dict[str, str]) -> dict[str, Any]:
    return {
        "maxSkew": 1,
        "topologyKey": key,
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }
