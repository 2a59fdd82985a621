"""Plans of every shape, rendered for Kubernetes: what the tests of ``container.kube`` build on."""

import dataclasses
from typing import Any

import yaml

from container import kube, rendering
from manifest import hardening, plan, provisions, serving
from tests.unit import boots

IMAGE = rendering.image(f"registry.example/team/box@sha256:{'0' * 64}")
MEBIBYTE = 2**20
_READER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def loaded(made: plan.Plan) -> plan.LoadedPlan:
    """Return ``made`` as it is read from an image."""
    return plan.LoadedPlan(made, "/opt/bootseal/etc", "cd" * 32)


def options(name: str = "box", **changes: Any) -> rendering.Options:
    """Return the options of a container called ``name``, whose image is named by its digest."""
    return dataclasses.replace(rendering.Options(IMAGE, name, "bootseal render kube"), **changes)


def text(made: plan.Plan, name: str = "box", settings: kube.Settings = kube.DEFAULTS, **changes: Any) -> str:
    """Return what is rendered of ``made``."""
    return kube.render(loaded(made), options(name, **changes), settings)


def documents(
    made: plan.Plan, name: str = "box", settings: kube.Settings = kube.DEFAULTS, **changes: Any
) -> list[dict[str, Any]]:
    """Return the documents that are rendered of ``made``."""
    return list(yaml.load_all(text(made, name, settings, **changes), _READER))


def only(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    """Return the one document of ``kind``."""
    [one] = [document for document in found if document["kind"] == kind]
    return one


def pod(made: plan.Plan, name: str = "box", settings: kube.Settings = kube.DEFAULTS, **changes: Any) -> dict[str, Any]:
    """Return the spec of the Pod that is rendered of ``made``."""
    found = documents(made, name, settings, **changes)
    workload = next(one for one in found if one["kind"] in {"Deployment", "StatefulSet", "Pod"})
    spec: dict[str, Any] = workload["spec"]["template"]["spec"] if workload["kind"] != "Pod" else workload["spec"]
    return spec


def make(*programs: plan.ProgramPlan, **changes: Any) -> plan.Plan:
    """Return a plan whose probes can be asked from outside."""
    return boots.make_plan(*programs, **{"probes": boots.listening(host="0.0.0.0"), **changes})


def serving_program(name: str, *ports: int, exposed: bool = True, host: str = "0.0.0.0") -> plan.ProgramPlan:
    """Return a program that listens on ``ports``."""
    return boots.program(name, ports=tuple(hardening.Port(host, port, exposed) for port in ports))


def tmpfs(path: str, **changes: Any) -> hardening.Tmpfs:
    """Return a file system in memory of 8 MiB."""
    return dataclasses.replace(hardening.Tmpfs(path, 8 * MEBIBYTE, 0o755, False, None), **changes)


def volumes(*paths: str) -> tuple[hardening.Volume, ...]:
    """Return a volume of a gibibyte at each path."""
    return tuple(hardening.Volume(path.strip("/").replace("/", "-"), path, 2**30) for path in paths)


def deployed(kind: str | None, replicas: int = 1, *paths: str) -> hardening.DeployPlan:
    """Return a deployment with volumes at ``paths``."""
    return hardening.DeployPlan(kind, replicas, volumes(*paths))


def own_users(**changes: Any) -> plan.Plan:
    """Return a plan under ``program-users``."""
    secured = boots.security(
        user=provisions.User(0, 0),
        capabilities=hardening.PROGRAM_USERS_CAPABILITIES,
        tmpfs=(*boots.security().tmpfs, tmpfs("/srv/one", mode=0o700, owner=provisions.User(2001, 2001))),
    )
    reason = provisions.ExceptionPlan(provisions.PROGRAM_USERS, "it runs code of others")
    program = boots.program("api", user=provisions.User(2001, 2001))
    return make(program, **{"security": secured, "exceptions": (reason,), **changes})


def everything() -> plan.Plan:
    """Return a plan with all exceptions at once."""
    secured = boots.security(
        capabilities=("NET_RAW", "SYS_ADMIN"),
        devices=(
            hardening.Device("/dev/kfd", "rw"),
            hardening.Device("/dev/dri", "rw"),
            hardening.Device("/dev/fuse", "rw"),
        ),
        groups=("44", "render"),
        runtime="nvidia",
        gpu=hardening.AMD,
        tmpfs=(*boots.security().tmpfs, tmpfs("/tmp/.X11-unix", mode=0o1777), tmpfs("/dev/shm", executable=True)),
        denied_syscalls=("unshare",),
        limits=hardening.Limits(3 * 2**30, 1.5, 2048, 8192),
    )
    return make(serving_program("desktop", 5900), security=secured)


PROVIDED = kube.Settings(groups={"render": 109}, devices={"/dev/fuse": "devices.example.com/fuse"})
"""What the cluster of ``everything()`` provides."""


def secretive() -> plan.Plan:
    """Return a plan with secrets of every source, a key and a token."""
    keys = (provisions.KeyPlan(provisions.ED25519, "/etc/keys/ed25519", None),)
    return make(
        boots.program("api"),
        boot=boots.boot_plan(environment=("TZ", "SHOP_NAME")),
        identity=provisions.IdentityPlan("POD_NAME", "hostname", None, keys),
        secrets=(
            boots.secret("db", "api", generate_bytes=None, mounted="/etc/secrets/db"),
            boots.secret("key", "api", generate_bytes=None, variable="API_KEY"),
            boots.secret("salt", "api", variable="SALT"),
            boots.secret("nonce", "api"),
        ),
        probes=boots.listening(
            host="0.0.0.0",
            metrics_host="0.0.0.0",
            metrics_port=9091,
            detail=serving.DetailPlan(serving.OWN, "0.0.0.0", 8081, "/etc/secrets/token"),
        ),
    )


LONG = "n" * 63
"""The longest name of a container's kind."""

PLANS: dict[str, tuple[plan.Plan, str, kube.Settings]] = {
    "plain": (make(), "box", kube.DEFAULTS),
    "exposed": (make(serving_program("api", 8000, 8001), serving_program("web", 80)), "box", kube.DEFAULTS),
    "a long name": (make(name=LONG), LONG, kube.DEFAULTS),
    "a long name, stateful": (make(name=LONG, deploy=deployed("statefulset", 3)), LONG, kube.DEFAULTS),
    "a name of a number": (make(serving_program("api", 8000), name="1e3"), "1e3", kube.DEFAULTS),
    "volumes": (make(deploy=deployed(None, 1, "/data", "/var/lib/box")), "box", kube.DEFAULTS),
    "volumes of a deployment": (make(deploy=deployed("deployment", 1, "/data")), "box", kube.DEFAULTS),
    "a pod": (make(deploy=deployed("pod", 1, "/data")), "box", kube.DEFAULTS),
    "pods, which cannot be": (make(deploy=deployed("pod", 3)), "box", kube.DEFAULTS),
    "replicas": (make(serving_program("api", 8000), deploy=deployed(None, 3)), "box", kube.DEFAULTS),
    "none": (make(deploy=deployed(None, 0)), "box", kube.DEFAULTS),
    "secrets": (secretive(), "box", kube.Settings(added=frozenset({kube.POD_MONITOR}))),
    "program users": (own_users(), "box", kube.DEFAULTS),
    "everything": (everything(), "box", PROVIDED),
    "a namespace": (make(serving_program("api", 8000)), "box", kube.Settings(namespace="prod")),
    "the workload alone": (
        make(serving_program("api", 8000), deploy=deployed(None, 3)),
        "box",
        kube.Settings(left_out=frozenset({kube.SERVICE, kube.NETWORK_POLICY, kube.DISRUPTION_BUDGET})),
    ),
    "an empty required set": (make(empty_required_set=True), "box", kube.DEFAULTS),
}
"""Plans of every shape, each with a name and what the cluster provides."""
