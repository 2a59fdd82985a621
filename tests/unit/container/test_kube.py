"""A plan for Kubernetes: what the documents promise, and what cannot be rendered."""

import dataclasses
import functools
import re
from collections.abc import Iterator
from typing import Any

import hypothesis
import kubernetes_validate
import pytest
import yaml
from hypothesis import strategies
from kubernetes_validate import utils as validating

from container import kube, rendering
from manifest import hardening, plan, provisions, serving
from tests import podsecurity
from tests.unit import boots
from tests.unit.container import kubed

VERSIONS = validating.all_versions()
CHECKED = sorted({VERSIONS[0], VERSIONS[len(VERSIONS) // 2], VERSIONS[-1]})
NAMED = pytest.mark.parametrize("named", kubed.PLANS)


@functools.cache
def rendered(named: str) -> list[dict[str, Any]]:
    """Return the documents of a plan of ``kubed.PLANS``; nobody changes them."""
    made, name, settings = kubed.PLANS[named]
    return kubed.documents(made, name, settings)


def of_kubernetes(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the documents whose schema is Kubernetes's own."""
    return [one for one in found if one["kind"] != "PodMonitor"]


@pytest.fixture(scope="module", autouse=True)
def schemas() -> Iterator[None]:
    """The validator reads its schemas, a megabyte each, once and not for each document."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(validating, "schema_contents", functools.cache(validating.schema_contents))
        yield


# --- judged by others -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", CHECKED)
@NAMED
def test_every_document_is_valid_and_has_no_unknown_field(named: str, version: str) -> None:
    for document in of_kubernetes(rendered(named)):
        assert kubernetes_validate.validate(document, version, strict=True)


def test_the_validator_refuses_what_is_not_in_the_schema() -> None:
    """The control: a misspelt field and a wrong type are found, so that silence above means something."""
    [workload] = [one for one in rendered("plain") if one["kind"] == "Deployment"]
    for path, value in (("enableServiceLink", False), ("terminationGracePeriodSeconds", "35s")):
        broken = yaml.safe_load(yaml.safe_dump(workload))
        broken["spec"]["template"]["spec"][path] = value
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(broken, VERSIONS[-1], strict=True)


@NAMED
def test_a_pod_satisfies_the_level_that_its_head_says(named: str) -> None:
    made, name, settings = kubed.PLANS[named]
    [pod] = [pod for one in rendered(named) for pod in podsecurity.pods(one)]
    label = "pod-security.kubernetes.io/enforce: "
    head = kubed.text(made, name, settings)
    said = head.partition(label)[2].partition(",")[0] if label in head else "restricted"
    expected = {
        "restricted": (True, True),
        "baseline": (True, False),
        "privileged": (False, False),
    }[said]
    refused = podsecurity.violations_of_baseline(pod), podsecurity.violations_of_restricted(pod)
    assert tuple(not one for one in refused) == expected, (said, refused)


def test_the_baseline_is_restricted_and_an_exception_says_what_it_needs() -> None:
    assert "pod-security" not in kubed.text(kubed.make())
    assert "enforce: baseline, or a looser one: it has a PID 1 of root, CAP_CHOWN" in kubed.text(kubed.own_users())
    everything = kubed.text(kubed.everything(), settings=kubed.PROVIDED)
    assert "enforce: privileged, or a looser one: it has CAP_NET_RAW, CAP_SYS_ADMIN" in everything
    assert "uid 1000 has them in its bounding set" in everything


_paths = strategies.lists(
    strategies.sampled_from(
        ["/run", "/tmp", "/tmp/.X11-unix", "/srv/a-b", "/srv/a/b", "/srv/a.b", "/dev/shm", "/" + "x" * 90]
    ),
    unique=True,
)
_ports = strategies.lists(
    strategies.builds(
        hardening.Port,
        strategies.sampled_from(["0.0.0.0", "127.0.0.1", "::"]),
        strategies.integers(1, 9999),
        strategies.booleans(),
    ),
    max_size=4,
)
_labels = strategies.from_regex(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", fullmatch=True)


@strategies.composite
def plans(draw: strategies.DrawFn) -> plan.Plan:
    """Any plan without an exception."""
    names = draw(strategies.lists(_labels, unique=True, min_size=1, max_size=3))
    programs = [boots.program(name, ports=tuple(draw(_ports))) for name in names if not name.startswith("bootstrap")]
    limits = hardening.Limits(
        draw(strategies.integers(2**20, 2**40)), draw(strategies.none() | strategies.floats(0.001, 4096)), 1024, 4096
    )
    secured = boots.security(
        user=provisions.User(draw(strategies.integers(1, 2**31 - 1)), draw(strategies.integers(0, 2**31 - 1))),
        tmpfs=tuple(kubed.tmpfs(path, size_bytes=draw(strategies.integers(1, 2**34))) for path in draw(_paths)),
        denied_syscalls=tuple(draw(strategies.lists(strategies.just("unshare"), max_size=1))),
        limits=limits,
    )
    volumes = draw(
        strategies.lists(strategies.sampled_from(["/data/a", "/data-a", "/data.a", "/" + "v" * 80]), unique=True)
    )
    kind = draw(strategies.sampled_from([None, *hardening.KINDS]))
    return kubed.make(
        *programs,
        name=draw(_labels),
        security=secured,
        deploy=hardening.DeployPlan(
            kind, draw(strategies.integers(0, 5)), tuple(hardening.Volume("data-a", path, 2**20) for path in volumes)
        ),
        boot=boots.boot_plan(seal_timeout_seconds=draw(strategies.floats(1, 86400))),
        probes=boots.listening(
            host="0.0.0.0",
            port=draw(strategies.integers(1, 9999)),
            metrics_host="0.0.0.0",
            metrics_port=draw(strategies.none() | strategies.integers(1, 9999)),
            liveness_deadline_seconds=draw(strategies.floats(5, 3600)),
        ),
    )


@hypothesis.settings(max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
@hypothesis.given(made=plans(), name=_labels)
def test_whatever_the_plan_without_an_exception_it_is_valid_restricted_and_has_names_of_its_own(
    made: plan.Plan, name: str
) -> None:
    found = kubed.documents(made, name)
    for document in found:
        kubernetes_validate.validate(document, VERSIONS[-1], strict=True)
        for pod in podsecurity.pods(document):
            assert podsecurity.violations_of_restricted(pod) == []
    judge_names(found)


def judge_names(found: list[dict[str, Any]]) -> None:
    """See that every name is one that the API server takes and that no two things of a kind have one."""
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    keys = [(one["kind"], one["metadata"]["name"]) for one in found]
    assert len(set(keys)) == len(keys)
    for kind, name in keys:
        pattern = r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?" if kind == "Service" else label
        assert matches(pattern, name), (kind, name)
        assert kind != "StatefulSet" or len(name) <= 52
    [spec] = [pod["spec"] for one in found for pod in podsecurity.pods(one)]
    [workload] = [one for one in found if podsecurity.pods(one)]
    templates = [one["metadata"]["name"] for one in workload["spec"].get("volumeClaimTemplates", [])]
    volumes = [*templates, *(one["name"] for one in spec.get("volumes", []))]
    assert len(set(volumes)) == len(volumes)
    assert all(matches(label, name) for name in volumes)
    [container] = spec["containers"]
    assert {one["name"] for one in container.get("volumeMounts", [])} == set(volumes)
    whole = [one["name"] for one in container.get("volumeMounts", []) if "subPath" not in one]
    assert len(set(whole)) == len(whole), "two paths are two volumes"
    assert len({one["mountPath"] for one in container.get("volumeMounts", [])}) == len(
        container.get("volumeMounts", [])
    )
    ports = [one["name"] for one in container["ports"]]
    assert len(set(ports)) == len(ports)
    assert all(len(name) <= 15 and matches(r"(?!.*--)(?=.*[a-z])[a-z0-9]([a-z0-9-]*[a-z0-9])?", name) for name in ports)
    services = [one for one in found if one["kind"] == "Service"]
    assert {one["targetPort"] for service in services for one in service["spec"].get("ports", [])} <= set(ports)
    if workload["kind"] == "StatefulSet":
        headless = [one["metadata"]["name"] for one in services if one["spec"].get("clusterIP") == "None"]
        assert headless == [workload["spec"]["serviceName"]]


def matches(pattern: str, text: str) -> bool:
    return re.fullmatch(pattern, text) is not None


@NAMED
def test_names_are_labels_and_unique(named: str) -> None:
    judge_names(rendered(named))


# --- bytes ------------------------------------------------------------------------------------------------------------------


@NAMED
def test_the_same_plan_gives_the_same_bytes(named: str) -> None:
    made, name, settings = kubed.PLANS[named]
    assert kubed.text(made, name, settings) == kubed.text(made, name, settings)


def test_documents_begin_as_people_expect_and_the_head_says_what_wrote_them() -> None:
    written = kubed.text(kubed.make())
    assert written.startswith(
        f"# generated by `bootseal render kube`\n# from manifest sha256:{boots.SHA256}\n# plan sha256:{'cd' * 32}\n"
    )
    for document in yaml.safe_load_all(written):
        assert list(document)[:4] == ["apiVersion", "kind", "metadata", "spec"]
    assert written.count("\n---\n") == 2
    assert "&id" not in written


@pytest.mark.parametrize("name", ["y", "no", "1e3", "0x1f", "123", "0o7", "null", "e", "12e45"])
def test_a_name_that_a_reader_could_take_for_something_else_is_quoted(name: str) -> None:
    """YAML 1.1 of Go reads y as true and 1e3 as a number; PyYAML does not, and so is no witness here."""
    for line in kubed.text(kubed.make(serving_program(name), name=name), name).splitlines():
        value = line.partition(": ")[2]
        assert value != name, line


def serving_program(name: str) -> plan.ProgramPlan:
    return kubed.serving_program(name, 8000)


def test_a_command_with_a_line_break_cannot_leave_the_head() -> None:
    with pytest.raises(rendering.CannotRender, match="would not stay in its line"):
        kubed.text(kubed.make(), command="bootseal render kube\nkind: Secret")


def test_the_digests_of_manifest_and_plan_are_in_the_pods_template_so_that_a_change_rolls_it() -> None:
    found = kubed.only(kubed.documents(kubed.make()), "Deployment")
    expected = {"io.bootseal.manifest.sha256": boots.SHA256, "io.bootseal.plan.sha256": "cd" * 32}
    assert found["metadata"]["annotations"] == found["spec"]["template"]["metadata"]["annotations"] == expected
    assert not set(expected) & set(found["spec"]["selector"]["matchLabels"])


# --- the pod -----------------------------------------------------------------------------------------------------------------


def test_the_image_is_named_by_its_digest_or_the_tag_is_allowed_and_always_pulled() -> None:
    tagged = rendering.image("registry.example/box:1.2")
    with pytest.raises(rendering.CannotRender, match=r"a tag is another image tomorrow.*--allow-tag"):
        kubed.text(kubed.make(), image=tagged)
    [pulled] = kubed.pod(kubed.make(), settings=kube.Settings(allow_tag=True), image=tagged)["containers"]
    assert (pulled["image"], pulled["imagePullPolicy"]) == ("registry.example/box:1.2", "Always")
    [kept] = kubed.pod(kubed.make())["containers"]
    assert (kept["image"], kept["imagePullPolicy"]) == (kubed.IMAGE.reference, "IfNotPresent")


def test_the_pod_has_nothing_of_the_clusters() -> None:
    pod = kubed.pod(kubed.make())
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    assert not [field for field in pod if field.startswith("host")]


def test_the_grace_is_the_stop_budget_with_its_margin() -> None:
    made = kubed.make(stop=plan.StopPlan(drain_seconds=5.0, grace_seconds=None, budget_seconds=47.2))
    assert kubed.pod(made)["terminationGracePeriodSeconds"] == rendering.stop_seconds(made) == 53


def test_resources_are_asked_for_as_they_are_bounded() -> None:
    [container] = kubed.pod(kubed.everything(), settings=kubed.PROVIDED)["containers"]
    expected = {"cpu": "1500m", "memory": "3Gi"}
    assert container["resources"]["requests"] == expected
    assert container["resources"]["limits"] == {**expected, "amd.com/gpu": 1, "devices.example.com/fuse": 1}


@pytest.mark.parametrize(("number", "written"), [(2.0, "2"), (0.5, "500m"), (1.001, "1001m"), (0.001, "1m")])
def test_cpus_are_written_in_thousandths(number: float, written: str) -> None:
    secured = boots.security(limits=hardening.Limits(2**20 + 1, number, 1024, 4096))
    [container] = kubed.pod(kubed.make(security=secured))["containers"]
    assert container["resources"]["limits"] == {"cpu": written, "memory": "1048577"}


def test_several_pods_spread_and_only_one_may_be_evicted_at_a_time() -> None:
    found = kubed.documents(kubed.make(deploy=kubed.deployed(None, 3)))
    selector = kubed.only(found, "Deployment")["spec"]["selector"]
    budget = kubed.only(found, "PodDisruptionBudget")
    assert budget["spec"] == {"maxUnavailable": 1, "selector": selector}
    spread = kubed.only(found, "Deployment")["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [one["topologyKey"] for one in spread] == ["kubernetes.io/hostname", "topology.kubernetes.io/zone"]
    assert all(one["labelSelector"] == selector for one in spread)
    for replicas in (0, 1):
        alone = kubed.documents(kubed.make(deploy=kubed.deployed(None, replicas)))
        assert "PodDisruptionBudget" not in {one["kind"] for one in alone}
        assert kubed.only(alone, "Deployment")["spec"]["replicas"] == replicas
        assert "topologySpreadConstraints" not in yaml.safe_dump(alone)


def test_a_bare_pod_is_one_whatever_is_said() -> None:
    found = kubed.documents(kubed.make(deploy=kubed.deployed("pod", 3)))
    assert [one["kind"] for one in found] == ["Pod", "NetworkPolicy"]
    written = kubed.text(kubed.make(deploy=kubed.deployed("pod", 3)))
    assert "3 replicas are not said of it" in written
    assert "kubectl replace --force" in written
    assert "kubectl replace --force" not in kubed.text(kubed.make())


def test_a_slow_boot_is_progress() -> None:
    made = kubed.make(boot=boots.boot_plan(seal_timeout_seconds=3600.0))
    found = kubed.only(kubed.documents(made), "Deployment")
    assert found["spec"]["progressDeadlineSeconds"] == rendering.startup_seconds(made) + 60 > 3600
    assert kubed.only(kubed.documents(kubed.make()), "Deployment")["spec"]["progressDeadlineSeconds"] == 600
    kept = dataclasses.replace(made, deploy=kubed.deployed("deployment", 1, "/data"))
    waiting = kubed.only(kubed.documents(kept), "Deployment")["spec"]["progressDeadlineSeconds"]
    assert waiting == found["spec"]["progressDeadlineSeconds"] + rendering.stop_seconds(made), "the old Pod ends first"


def test_every_document_is_in_the_namespace_that_is_named() -> None:
    found = rendered("a namespace")
    assert {one["metadata"]["namespace"] for one in found} == {"prod"}
    assert not [one for one in rendered("plain") if "namespace" in one["metadata"]]


# --- confinement --------------------------------------------------------------------------------------------------------------


def test_the_user_owns_nothing_and_its_group_is_given_the_volumes() -> None:
    pod = kubed.pod(kubed.make(security=boots.security(user=provisions.User(1234, 5678))))
    expected = {
        "runAsNonRoot": True, "runAsUser": 1234, "runAsGroup": 5678, "seccompProfile": {"type": "RuntimeDefault"}, "fsGroup": 5678,
        "fsGroupChangePolicy": "OnRootMismatch",
    }  # fmt: skip
    assert pod["securityContext"] == expected
    [container] = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "readOnlyRootFilesystem": True,
    }  # fmt: skip


def test_what_exceptions_add_is_there_and_the_baseline_stays() -> None:
    pod = kubed.pod(kubed.everything(), settings=kubed.PROVIDED)
    assert pod["securityContext"]["supplementalGroups"] == [44, 109]
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["securityContext"]["seccompProfile"] == {"type": "Localhost", "localhostProfile": "bootseal/box.json"}
    [container] = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["NET_RAW", "SYS_ADMIN"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True


def test_the_profile_is_below_the_kubelets_directory_or_refused() -> None:
    made = kubed.make(security=boots.security(denied_syscalls=("unshare",)))

    def profile(seccomp: str) -> str:
        found: str = kubed.pod(made, seccomp=seccomp)["securityContext"]["seccompProfile"]["localhostProfile"]
        return found

    assert profile("/var/lib/kubelet/seccomp/mine.json") == profile("mine.json") == "mine.json"
    for wrong in ("/etc/mine.json", "../mine.json", "/var/lib/kubelet/seccomp/../x", "a//b"):
        with pytest.raises(rendering.CannotRender, match="the kubelet reads profiles below"):
            profile(wrong)


@pytest.mark.parametrize("user", [(2**31, 1), (1, 2**31), (2**32 - 2, 2**32 - 2)])
def test_a_user_that_the_api_server_refuses_is_not_rendered(user: tuple[int, int]) -> None:
    """Its schema says no more than a whole number of 64 bits."""
    with pytest.raises(rendering.CannotRender, match="no number of a user or group above 2147483647"):
        kubed.text(kubed.make(security=boots.security(user=provisions.User(*user))))
    [group] = {str(number) for number in user if number > 2**31 - 1}
    with pytest.raises(rendering.CannotRender, match=f"group {group}: .* above 2147483647"):
        kubed.text(kubed.make(security=boots.security(groups=(group,))))


def test_a_port_below_1024_is_open_to_who_is_not_root_and_no_lower_one() -> None:
    """Containerd 1 and CRI-O leave it to a capability, which only root would have in force."""
    low = kubed.pod(kubed.make(kubed.serving_program("web", 443, 80), kubed.serving_program("api", 8000)))
    assert low["securityContext"]["sysctls"] == [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]
    assert podsecurity.violations_of_restricted({"spec": low}) == []
    near = kubed.pod(kubed.make(kubed.serving_program("near", 53, host="127.0.0.1")))
    assert near["securityContext"]["sysctls"][0]["value"] == "53"
    metrics = kubed.make(probes=boots.listening(host="0.0.0.0", metrics_host="127.0.0.1", metrics_port=900))
    assert kubed.pod(metrics)["securityContext"]["sysctls"][0]["value"] == "900"
    assert "sysctls" not in kubed.pod(kubed.make(kubed.serving_program("web", 1024)))["securityContext"]


def test_a_named_group_needs_its_number() -> None:
    with pytest.raises(rendering.CannotRender, match=r"group render: .*--group render=GID"):
        kubed.text(kubed.everything(), settings=dataclasses.replace(kubed.PROVIDED, groups={}))


def test_a_device_needs_a_plugin_unless_the_gpus_brings_it() -> None:
    with pytest.raises(rendering.CannotRender, match=r"device /dev/fuse: .*--device /dev/fuse=RESOURCE"):
        kubed.text(kubed.everything(), settings=dataclasses.replace(kubed.PROVIDED, devices={}))


@pytest.mark.parametrize(
    ("gpu", "path", "is_brought"),
    [
        (hardening.AMD, "/dev/kfd", True),
        (hardening.AMD, "/dev/dri/renderD128", True),
        (hardening.AMD, "/dev/dria", False),
        (hardening.AMD, "/dev/nvidia0", False),
        (hardening.NVIDIA, "/dev/nvidia0", True),
        (hardening.NVIDIA, "/dev/nvidia-uvm", True),
        (hardening.NVIDIA, "/dev/nvidiosaur", False),
        (None, "/dev/kfd", False),
    ],
)
def test_a_gpu_stands_for_its_own_devices_and_no_others(gpu: str | None, path: str, is_brought: bool) -> None:
    made = kubed.make(security=boots.security(gpu=gpu, devices=(hardening.Device(path, "rw"),)))
    if is_brought:
        assert path not in kubed.text(made)
        return
    with pytest.raises(rendering.CannotRender, match=f"device {path}"):
        kubed.text(made)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (kube.Settings(groups={"audio": 29}), "group audio: the plan does not ask for it .there are: 44, render"),
        (kube.Settings(groups={"render": 0}), "group render: 0 is no number"),
        (kube.Settings(groups={"render": 2**31}), "group render: 2147483648 is no number"),
        (kube.Settings(devices={"/dev/null": "a.example/null"}), "device /dev/null: the plan does not ask for it"),
        (kube.Settings(devices={"/dev/fuse": "fuse"}), "'fuse' is no resource"),
        (kube.Settings(devices={"/dev/fuse": "a.example/fuse\n"}), "is no resource"),
        (kube.Settings(namespace="Prod"), "namespace Prod: it is no name"),
        (kube.Settings(namespace="a\nb: c"), "namespace a.nb: c: it is no name"),
    ],
)
def test_what_is_provided_is_asked_for_and_is_what_kubernetes_takes(settings: kube.Settings, why: str) -> None:
    with pytest.raises(rendering.CannotRender, match=why):
        kubed.text(kubed.everything(), settings=settings)


def test_a_runtime_that_no_class_can_be_called_is_refused() -> None:
    with pytest.raises(rendering.CannotRender, match="runtime my_runtime"):
        kubed.text(kubed.make(security=boots.security(runtime="my_runtime")))


# --- storage and secrets ----------------------------------------------------------------------------------------------------


def test_each_file_system_in_memory_is_an_empty_directory_of_its_size() -> None:
    secured = boots.security(
        tmpfs=(kubed.tmpfs("/tmp/.X11-unix"), kubed.tmpfs("/tmp"), kubed.tmpfs("/run", size_bytes=1000))
    )
    pod = kubed.pod(kubed.make(security=secured))
    sizes = {one["name"]: one["emptyDir"] for one in pod["volumes"]}
    assert sizes == {
        "run": {"medium": "Memory", "sizeLimit": "1000"},
        "tmp": {"medium": "Memory", "sizeLimit": "8Mi"},
        "tmp-x11-unix": {"medium": "Memory", "sizeLimit": "8Mi"},
    }
    [container] = pod["containers"]
    assert [one["mountPath"] for one in container["volumeMounts"]] == ["/run", "/tmp", "/tmp/.X11-unix"]


def test_a_path_that_kubernetes_cannot_mount_is_refused() -> None:
    for made in (
        kubed.make(security=boots.security(tmpfs=(kubed.tmpfs("/srv/a:b"),))),
        kubed.make(deploy=kubed.deployed(None, 1, "/srv/a:b")),
        kubed.make(secrets=(boots.secret("db", generate_bytes=None, file="/srv/a:b"),)),
    ):
        with pytest.raises(rendering.CannotRender, match="path /srv/a:b: Kubernetes takes no mountPath with a colon"):
            kubed.text(made)


def test_a_statefulset_claims_a_volume_for_each_pod_and_a_deployment_one() -> None:
    stateful = kubed.only(rendered("volumes"), "StatefulSet")["spec"]
    claims = {one["metadata"]["name"]: one["spec"] for one in stateful["volumeClaimTemplates"]}
    assert claims["data"] == {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert set(claims) == {"data", "var-lib-box"}
    found = rendered("volumes of a deployment")
    assert [one["kind"] for one in found][:2] == ["PersistentVolumeClaim", "Deployment"]
    spec = found[1]["spec"]
    assert spec["strategy"] == {"type": "Recreate"}
    assert spec["template"]["spec"]["volumes"][0] == {
        "name": "data",
        "persistentVolumeClaim": {"claimName": "box-data"},
    }
    assert kubed.only(rendered("plain"), "Deployment")["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_a_secret_is_named_and_its_file_mounted_where_the_manifest_says() -> None:
    pod = kubed.pod(kubed.secretive())
    [volume] = [one for one in pod["volumes"] if "secret" in one]
    assert volume["secret"]["secretName"] == "box-secrets"
    assert volume["secret"]["defaultMode"] == 0o440
    assert {one["key"] for one in volume["secret"]["items"]} == {"db", "key-ed25519", "detail-token"}
    [container] = pod["containers"]
    mounted = {one["mountPath"]: one for one in container["volumeMounts"] if one["name"] == volume["name"]}
    assert set(mounted) == {"/etc/secrets/db", "/etc/keys/ed25519", "/etc/secrets/token"}
    assert mounted["/etc/secrets/db"]["subPath"] == "db"
    assert all(one["readOnly"] for one in mounted.values())


def test_root_alone_reads_a_secret_under_program_users() -> None:
    made = kubed.own_users(secrets=(boots.secret("db", "api", generate_bytes=None, file="/etc/secrets/db"),))
    [volume] = [one for one in kubed.pod(made)["volumes"] if "secret" in one]
    assert volume["secret"]["defaultMode"] == 0o400


def test_variables_come_by_reference_and_the_identity_is_the_pods_name() -> None:
    [container] = kubed.pod(kubed.secretive())["containers"]
    assert {one["name"]: one["valueFrom"] for one in container["env"]} == {
        "POD_NAME": {"fieldRef": {"fieldPath": "metadata.name"}},
        "API_KEY": {"secretKeyRef": {"name": "box-secrets", "key": "key", "optional": False}},
        "SALT": {"secretKeyRef": {"name": "box-secrets", "key": "salt", "optional": True}},
        "TZ": {"configMapKeyRef": {"name": "box-environment", "key": "TZ", "optional": True}},
        "SHOP_NAME": {"configMapKeyRef": {"name": "box-environment", "key": "SHOP_NAME", "optional": True}},
    }
    assert all("value" not in one for one in container["env"])


def test_two_secrets_have_two_keys() -> None:
    """The name of a variable's secret may be that of a file that is no secret's: the detail's token."""
    made = dataclasses.replace(
        kubed.secretive(), secrets=(boots.secret("detail-token", "api", generate_bytes=None, variable="TOKEN"),)
    )
    pod = kubed.pod(made)
    [volume] = [one for one in pod["volumes"] if "secret" in one]
    [container] = pod["containers"]
    [carried] = [one["valueFrom"]["secretKeyRef"]["key"] for one in container["env"] if one["name"] == "TOKEN"]
    assert carried not in {one["key"] for one in volume["secret"]["items"]}


def test_what_has_to_exist_stands_at_the_head() -> None:
    head = kubed.text(kubed.secretive()).partition("\n---\n")[0]
    assert "the namespace needs the Secret box-secrets with the keys db (the file /etc/secrets/db)" in head
    assert "salt (the variable SALT, generated where it is missing)" in head
    assert "the ConfigMap box-environment, where there is one, may have the keys SHOP_NAME, TZ" in head
    optional = kubed.text(kubed.make(secrets=(boots.secret("salt", "api", variable="SALT"),)))
    assert "the Secret box-secrets, where there is one, may have the keys salt" in optional
    everything = kubed.text(kubed.everything(), settings=kubed.PROVIDED).partition("\n---\n")[0]
    for needed in (
        "/var/lib/kubelet/seccomp/bootseal/box.json",
        "RuntimeClass nvidia",
        "amd.com/gpu",
        "2048 are planned",
    ):
        assert needed in everything, needed


def test_secret_files_of_other_targets_are_refused() -> None:
    with pytest.raises(rendering.CannotRender, match="--secret-file"):
        kubed.text(kubed.make(), secret_files={"db": "/etc/db"})


def test_under_program_users_directories_are_given_their_modes_and_owners_first() -> None:
    pod = kubed.pod(kubed.own_users())
    [first] = pod["initContainers"]
    assert first["args"] == ["0755:/run", "0700:/srv/one", "0755:/tmp"]
    assert first["securityContext"]["capabilities"] == {"drop": ["ALL"], "add": ["CHOWN"]}
    assert {one["mountPath"] for one in first["volumeMounts"]} == {"/run", "/tmp", "/srv/one"}
    assert "fsGroup" not in pod["securityContext"]
    assert pod["securityContext"]["runAsNonRoot"] is False
    assert "initContainers" not in kubed.pod(kubed.make())


def test_what_goes_first_asks_for_no_more_and_leaves_the_pod_its_class() -> None:
    """A Pod is Guaranteed when each of its containers is asked for as it is bounded, in CPUs and memory; and a quota may want both."""
    limits = hardening.Limits(256 * kubed.MEBIBYTE, 0.5, 1024, 4096)
    made = kubed.own_users()
    pod = kubed.pod(dataclasses.replace(made, security=dataclasses.replace(made.security, limits=limits)))
    for one in (*pod["initContainers"], *pod["containers"]):
        assert one["resources"]["requests"] == one["resources"]["limits"] == {"cpu": "500m", "memory": "256Mi"}


# --- network -------------------------------------------------------------------------------------------------------------------


def test_a_service_has_what_is_exposed_and_nothing_of_bootseals() -> None:
    service = kubed.only(rendered("exposed"), "Service")
    assert [(one["name"], one["port"]) for one in service["spec"]["ports"]] == [
        ("web", 80), ("port-8000", 8000), ("port-8001", 8001),
    ]  # fmt: skip
    assert service["spec"]["type"] == "ClusterIP"
    [container] = kubed.pod(kubed.PLANS["exposed"][0])["containers"]
    assert {one["name"] for one in container["ports"]} == {"web", "port-8000", "port-8001", "probes"}


def test_what_is_not_exposed_has_no_service_and_what_is_on_loopback_no_port() -> None:
    made = kubed.make(
        kubed.serving_program("inner", 8000, exposed=False), kubed.serving_program("near", 8001, host="127.0.0.1")
    )
    found = kubed.documents(made)
    assert "Service" not in {one["kind"] for one in found}
    [container] = kubed.pod(made)["containers"]
    assert {one["containerPort"] for one in container["ports"]} == {8000, 8080}
    assert kubed.only(found, "NetworkPolicy")["spec"]["ingress"] == []


def test_a_statefulset_has_a_headless_service_even_without_a_port() -> None:
    service = kubed.only(rendered("volumes"), "Service")
    selector = service["spec"]["selector"]
    assert service["spec"] == {"clusterIP": "None", "publishNotReadyAddresses": True, "selector": selector}
    both = kubed.documents(kubed.make(serving_program("api"), deploy=kubed.deployed("statefulset")))
    assert [one["metadata"]["name"] for one in both if one["kind"] == "Service"] == ["box", "box-headless"]


def test_the_policy_lets_everybody_in_to_what_is_exposed_and_the_cluster_to_the_metrics() -> None:
    made = dataclasses.replace(kubed.secretive(), programs=(*kubed.secretive().programs, serving_program("web")))
    spec = kubed.only(kubed.documents(made), "NetworkPolicy")["spec"]
    assert spec["policyTypes"] == ["Ingress"]
    assert spec["ingress"] == [
        {"ports": [{"protocol": "TCP", "port": 8000}]},
        {
            "from": [{"namespaceSelector": {}}],
            "ports": [{"protocol": "TCP", "port": 8081}, {"protocol": "TCP", "port": 9091}],
        },
    ]


def test_a_program_called_metrics_is_not_taken_for_the_metrics() -> None:
    made = kubed.make(kubed.serving_program("metrics", 9000, exposed=False))
    assert kubed.only(kubed.documents(made), "NetworkPolicy")["spec"]["ingress"] == []
    with pytest.raises(rendering.CannotRender, match="PodMonitor"):
        kubed.text(made, settings=kube.Settings(added=frozenset({kube.POD_MONITOR})))


def test_no_two_ports_have_one_name() -> None:
    made = kubed.make(
        kubed.serving_program("metrics", 9000),
        kubed.serving_program("port-8000", 9001),
        kubed.serving_program("web", 8000, 8001),
        kubed.serving_program("a-program-of-16c", 8002),
        kubed.serving_program("a--b", 8003),
        probes=boots.listening(host="0.0.0.0", metrics_host="0.0.0.0", metrics_port=9091),
    )
    judge_names(kubed.documents(made))
    [container] = kubed.pod(made)["containers"]
    assert {one["containerPort"]: one["name"] for one in container["ports"]} == {
        8000: "port-8000", 8001: "port-8001", 8002: "port-8002", 8003: "port-8003", 8080: "probes", 9000: "metrics-2",
        9001: "port-8000-2", 9091: "metrics",
    }  # fmt: skip


def test_a_pod_monitor_is_there_when_asked_for_and_scrapes_the_metrics_port() -> None:
    found = kubed.only(rendered("secrets"), "PodMonitor")
    assert found["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "path": "/metrics"}]
    [container] = kubed.pod(kubed.secretive())["containers"]
    assert {"name": "metrics", "containerPort": 9091} in container["ports"]
    assert "PodMonitor" not in {one["kind"] for one in kubed.documents(kubed.secretive())}


def test_what_is_left_out_is_not_there() -> None:
    assert [one["kind"] for one in rendered("the workload alone")] == ["Deployment"]
    stateful = kubed.make(serving_program("api"), deploy=kubed.deployed("statefulset"))
    found = kubed.documents(stateful, settings=kube.Settings(left_out=frozenset({kube.SERVICE})))
    assert [one["metadata"]["name"] for one in found if one["kind"] == "Service"] == ["box-headless"]


# --- probes --------------------------------------------------------------------------------------------------------------------


def probe(made: plan.Plan, kind: str) -> dict[str, Any]:
    [container] = kubed.pod(made)["containers"]
    found: dict[str, Any] = container[f"{kind}Probe"]
    return found


@pytest.mark.parametrize("seal_timeout", [0.5, 30.0, 120.0, 86400.0])
def test_startup_never_ends_a_boot_that_pid_1_still_allows(seal_timeout: float) -> None:
    """The worst case for the count: every question is refused at once, the first as the container starts."""
    made = kubed.make(boot=boots.boot_plan(seal_timeout_seconds=seal_timeout))
    found = probe(made, "startup")
    assert found["httpGet"] == {"path": "/startupz?wait=25s", "port": 8080}
    assert (found["periodSeconds"], found["timeoutSeconds"]) == (1, 30)
    given_up_after = (found["failureThreshold"] - 1) * found["periodSeconds"]
    assert given_up_after >= rendering.startup_seconds(made) > seal_timeout


def test_readiness_is_asked_every_second_and_one_answer_counts() -> None:
    found = probe(kubed.make(), "readiness")
    assert found["httpGet"]["path"] == "/ready"
    assert (found["periodSeconds"], found["failureThreshold"]) == (1, 1)
    assert "successThreshold" not in found


@pytest.mark.parametrize("deadline", [5.0, 7.5, 30.0, 100.0, 3600.0])
def test_the_kubelet_adds_less_than_the_liveness_deadline_to_it(deadline: float) -> None:
    found = probe(kubed.make(probes=boots.listening(host="0.0.0.0", liveness_deadline_seconds=deadline)), "liveness")
    assert found["httpGet"]["path"] == "/livez"
    assert found["failureThreshold"] == 3
    assert 1 <= found["timeoutSeconds"] <= found["periodSeconds"]
    assert found["failureThreshold"] * found["periodSeconds"] < deadline * 2 / 3


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ("127.0.0.1", "loopback"),
        ("::1", "loopback"),
        ("10.1.2.3", "known when it runs"),
        ("::ffff:127.0.0.1", "loopback"),
    ],
)
def test_probes_that_the_kubelet_cannot_ask_are_refused_with_what_to_write(host: str, why: str) -> None:
    with pytest.raises(rendering.CannotRender, match=why) as refused:
        kubed.text(kubed.make(probes=boots.listening(host=host)))
    assert 'probes: {listen: "0.0.0.0:8080"}' in str(refused.value)


def test_the_probes_may_listen_on_all_addresses_of_ipv6() -> None:
    assert probe(kubed.make(probes=boots.listening(host="::", port=9000)), "liveness")["httpGet"]["port"] == 9000


def test_the_cause_of_an_end_is_read_from_the_termination_log() -> None:
    [container] = kubed.pod(kubed.make())["containers"]
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["terminationMessagePolicy"] == "File"


def test_a_thousand_programs_and_ports_are_rendered() -> None:
    programs = [kubed.serving_program(f"p{number}", 10000 + number) for number in range(1000)]
    judge_names(kubed.documents(kubed.make(*programs)))


def test_detail_on_the_address_of_the_probes_opens_nothing() -> None:
    listening = boots.listening(host="0.0.0.0", detail=serving.DetailPlan(serving.OPEN, None, None, None))
    assert kubed.only(kubed.documents(kubed.make(probes=listening)), "NetworkPolicy")["spec"]["ingress"] == []
