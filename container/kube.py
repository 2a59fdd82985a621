"""A plan for Kubernetes: its documents as one stream of YAML.

Rules
-----
* Documents come in the order in which they are applied: claims, the workload, what leads to it, what keeps it.
* A comment at the head says what wrote them and what has to be there; what Kubernetes cannot say stands there as well.
* Text that any reader of YAML could take for something else is quoted: ``y`` and ``1e3`` are names.
* The same plan and options give the same bytes.
"""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

import yaml

from container import kube_names, kube_network, kube_security, kube_storage, kube_workload, rendering
from contract import errors
from manifest import exposure, hardening, plan

SERVICE, NETWORK_POLICY, DISRUPTION_BUDGET, POD_MONITOR = KINDS = ("service", "networkpolicy", "pdb", "podmonitor")
"""The documents beside the workload that can be left out, or added."""
_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./:@+-]+(?: [A-Za-z0-9_./:@+-]+)*")
_WIDTH = 10_000


@dataclasses.dataclass(frozen=True)
class Settings:
    """What only Kubernetes needs to know beside ``rendering.Options``.

    ``added`` and ``left_out`` are of KINDS: by default there is all but the PodMonitor. ``groups`` are numbers by a group's name, ``devices``
    resources of a device plugin by a device's path.
    """

    namespace: str | None = None
    allow_tag: bool = False
    added: frozenset[str] = frozenset()
    left_out: frozenset[str] = frozenset()
    groups: Mapping[str, int] = dataclasses.field(default_factory=dict)
    devices: Mapping[str, str] = dataclasses.field(default_factory=dict)


DEFAULTS = Settings()


def render(loaded: plan.LoadedPlan, options: rendering.Options, settings: Settings = DEFAULTS) -> str:
    """Return the documents of ``loaded``; raises CannotRender when the plan asks for what a Pod cannot be or is not told."""
    _check(loaded.plan, options, settings)
    making = _making(loaded, options, settings)
    head = [*rendering.header(loaded, options), *(f"* {note}" for note in _notes(making, settings))]
    text = yaml.dump_all(
        _documents(making, settings), Dumper=_Dumper, sort_keys=False, width=_WIDTH, explicit_start=True
    )
    return "".join(f"# {errors.printable(line)}\n" for line in head) + text


def _check(made: plan.Plan, options: rendering.Options, settings: Settings) -> None:
    """Raise CannotRender for options that say nothing here, or nothing that Kubernetes takes."""
    if options.image.digest is None and not settings.allow_tag:
        what = f"image {options.image.reference}"
        why = "a tag is another image tomorrow, and each Pod pulls its own"
        raise rendering.CannotRender(what, why, "name it by its digest (NAME@sha256:…), or add --allow-tag")
    if options.secret_files:
        why = "a Pod gets its secrets from the Secret that its namespace has"
        raise rendering.CannotRender("a secret's file", why, "leave --secret-file out, and make the Secret")
    if settings.namespace is not None and not rendering.LABEL.fullmatch(settings.namespace):
        what = f"namespace {errors.printable(settings.namespace)}"
        why = "it is no name: it has 1 to 63 of a-z, 0-9 and -, with neither end a -"
        raise rendering.CannotRender(what, why, "write for example --namespace prod")
    kube_security.check(made.security, kube_security.Provided(settings.groups, settings.devices))


def _making(loaded: plan.LoadedPlan, options: rendering.Options, settings: Settings) -> kube_workload.Making:
    name = kube_workload.name_of(loaded.plan, options.name)
    is_stateful = loaded.plan.deploy.workload == hardening.STATEFULSET
    return kube_workload.Making(
        loaded=loaded,
        options=options,
        provided=kube_security.Provided(settings.groups, settings.devices),
        namespace=settings.namespace,
        name=name,
        service=kube_names.service(
            options.name, kube_names.WORKLOAD_LENGTH if is_stateful else kube_names.LABEL_LENGTH
        ),
        ports=kube_network.port_names(loaded.plan),
    )


def _documents(making: kube_workload.Making, settings: Settings) -> list[dict[str, Any]]:
    documents = kube_workload.documents(making)
    documents += kube_network.services(making, has_own=SERVICE not in settings.left_out)
    if NETWORK_POLICY not in settings.left_out:
        documents.append(kube_network.policy(making))
    deploy = making.plan.deploy
    if deploy.replicas > 1 and deploy.workload != hardening.POD and DISRUPTION_BUDGET not in settings.left_out:
        documents.append(kube_workload.disruption_budget(making))
    if POD_MONITOR in settings.added:
        documents.append(kube_network.monitor(making))
    return documents


def _notes(making: kube_workload.Making, settings: Settings) -> list[str]:
    made = making.plan
    found = kube_security.notes(made, making.name, making.options.seccomp)
    found += kube_storage.notes(made, making.references)
    if not any(one.exposed for one in exposure.reachable(made)):
        found.append("there is no Service of its own: no program's port is exposed")
    if NETWORK_POLICY not in settings.left_out:
        found.append("the NetworkPolicy restricts nothing where the cluster's network has no one to keep it")
    if made.deploy.workload == hardening.POD:
        found.append(
            "hardly a field of a bare Pod can be changed: another version replaces it (kubectl replace --force)"
        )
    if made.deploy.workload == hardening.POD and made.deploy.replicas != 1:
        found.append(f"a bare Pod is one: {made.deploy.replicas} replicas are not said of it")
    if POD_MONITOR in settings.added:
        found.append("the cluster needs Prometheus's operator for the PodMonitor")
    return found


class _Dumper(yaml.SafeDumper):
    """Writes YAML that every reader reads alike: lists indented, no aliases, all text quoted that is not plainly text."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:  # noqa: ARG002
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    if "\n" in value:
        return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|")
    style = None if _PLAIN.fullmatch(value) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)
