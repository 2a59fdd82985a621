"""The rendered Pod, started by ``podman kube play``: no cluster, and none of Kubernetes's own code but its format.

Rules
-----
* What is played is what is rendered, with the changes of ``CHANGES``, and ``once`` for a Pod with an init container. Each of them is needed for something that
  podman 4.3 does in another way than the kubelet, and for each of those a test says so: a newer podman that mends it fails that
  test by name, and the change can go.
* What the kubelet gives a Pod is made before: each emptyDir is a file system in memory that the test made, root's with mode 0777 and
  given to ``fsGroup`` (2777), as the kubelet leaves it.
* The probes are removed and driven from here, with the paths and ports that were rendered.
* A Pod, its volumes and its names are a test's own, and are removed by name.
"""

import copy
import functools
import itertools
import json
import os
import pathlib
import resource
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import testinfra
import yaml

from container import kube, rendering
from manifest import limits, plan
from tests import podsecurity
from tests.container import box
from tests.container.test_refusals import derive

pytestmark = pytest.mark.container

INIT = pathlib.Path("/usr/libexec/podman/catatonit")
_MOST_PROCESSES = 32768
_numbers = itertools.count()
Document = dict[str, Any]
MANIFEST = {
    "version": 1,
    "name": "played",
    "boot": {"writable": ["/run/played", {"path": "/srv/data", "mode": "0700"}]},
    "identity": {"id": {"env": "POD_NAME"}},
    "programs": {"sleeper": {"command": ["sleep", "1000000"]}, "slow": {"command": ["sleep", "1"], "oneshot": True}},
    "resources": {"memory": f"{limits.LEAST_MEMORY // 2**20}MiB"},
    "probes": {"listen": "0.0.0.0:8080", "metrics": "0.0.0.0:9091"},
}
THEIRS = {"path": "/srv/one", "mode": "0700", "owner": "2001:2001"}
OF_ROOT = {
    **MANIFEST,
    "security": {"exceptions": {"program-users": {"reason": "it runs code of others"}}},
    "boot": {"writable": [THEIRS, {**THEIRS, "path": "/srv/one/cache", "storage": "tmpfs"}]},
    "programs": {"sleeper": {"command": ["sleep", "1000000"], "user": "2001:2001"}},
}


def pod_of(document: Document) -> Document:
    """Return the spec of the Pod in a workload."""
    found: Document = document["spec"]["template"]["spec"] if "template" in document["spec"] else document["spec"]
    return found


# --- what is changed, and why -------------------------------------------------------------------------------------------


def without_probes(document: Document) -> None:
    """Podman runs curl in the container for httpGet, which is not there, and needs systemd for it."""
    for container in pod_of(document)["containers"]:
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            container.pop(kind, None)


def on_claims(document: Document) -> None:
    """Podman makes of an emptyDir, Memory or not, a directory on the disk that only root may write, and of its name all of it."""
    name = document["metadata"]["name"]
    for volume in pod_of(document)["volumes"]:
        if volume.pop("emptyDir", None) is not None:
            volume["persistentVolumeClaim"] = {"claimName": f"{name}-{volume['name']}"}


def without_ports(document: Document) -> None:
    """Podman publishes a port of a container on every address of the host, which Kubernetes does only for a hostPort."""
    for container in pod_of(document)["containers"]:
        container.pop("ports", None)


def once(document: Document) -> None:
    """Podman starts an init container again and again, too, where the Pod's policy is Always: it never comes to the others."""
    pod_of(document)["restartPolicy"] = "Never"


CHANGES: tuple[Callable[[Document], None], ...] = (without_probes, without_ports, on_claims)


# --- playing ----------------------------------------------------------------------------------------------------------


class Played(box.Box):
    """The one container of the Pod called ``pod``."""

    def __init__(self, pod: str, container: str) -> None:
        self.pod = pod
        self.name = f"{pod}-{container}"
        self.host = testinfra.get_host(f"podman://{self.name}")

    def remove(self) -> None:
        """Remove the Pod."""
        box.engine("pod", "rm", "--force", "--time=0", "--ignore", self.pod)


def pod_name(document: Document) -> str:
    """Return what podman calls the Pod of a workload."""
    name = document["metadata"]["name"]
    return f"{name}-pod-0" if document["kind"] == "Deployment" else name


class Player:
    """Plays workloads, and removes what it made."""

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self.made: list[Played] = []
        self._volumes: list[str] = []

    def play(self, documents: list[Document], *, starts: bool = True) -> Played:
        """Play ``documents``, of which the first is the workload, and return its container."""
        file = self._directory / f"{next(_numbers)}.yaml"
        file.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        played = Played(pod_name(documents[0]), pod_of(documents[0])["containers"][0]["name"])
        self.made.append(played)
        done = box.engine("kube", "play", "--network=none", f"--start={str(starts).lower()}", str(file))
        assert done.returncode == 0, done.stdout + done.stderr
        return played

    def volume(self, name: str, gid: int) -> None:
        """Make what the kubelet makes of an emptyDir for the group ``gid``; 0 for none."""
        self._volumes.append(name)
        options = f"mode={0o2777 if gid else 0o777:04o},uid=0,gid={gid}"
        box.engine_ok("volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs", f"--opt=o={options}", name)
        box.engine_ok("volume", "mount", name)  # it stays when an init container ends, as the kubelet's does

    def volumes_of(self, document: Document) -> None:
        """Make the volumes that ``on_claims`` names."""
        pod = pod_of(document)
        for volume in pod["volumes"]:
            self.volume(volume["persistentVolumeClaim"]["claimName"], pod["securityContext"].get("fsGroup", 0))

    def remove(self) -> None:
        """Remove every Pod and volume."""
        if self.made:
            box.engine("pod", "rm", "--force", "--time=0", "--ignore", *(played.pod for played in self.made))
        if self._volumes:
            box.engine("volume", "unmount", *self._volumes)
            box.engine("volume", "rm", *self._volumes)


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    """Plays, with limits that this machine may hand out: ``kube play`` takes no --ulimit."""
    if not (INIT.exists() or shutil.which("catatonit")):
        lack = "podman makes no Pod without catatonit (apt-get install catatonit)"
        pytest.fail(lack, pytrace=False) if os.environ.get("CI") else pytest.skip(lack)
    directory = tmp_path_factory.mktemp("kube")
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    processes = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    processes = _MOST_PROCESSES if processes < 0 else min(processes, _MOST_PROCESSES)
    settings = directory / "containers.conf"
    limits = [f"nofile={files}:{files}", f"nproc={processes}:{processes}"]
    settings.write_text(f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n")
    made = Player(directory)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CONTAINERS_CONF", str(settings))
        yield made
        made.remove()


def image_of(hello: str, name: str, manifest: Document) -> str:
    """Build the hello image with the plan of ``manifest`` and return it by its digest."""
    made = derive(
        hello,
        name,
        f"RUN printf '%s' '{json.dumps(manifest)}' >/opt/{name}.yaml"
        f" && bootseal build /opt/{name}.yaml -o /opt/bootseal/etc && rm -f /opt/bootseal/etc/closures.lock",
    )
    digest = box.engine_ok("image", "inspect", "--format={{.Digest}}", made)
    return f"{made.rpartition(':')[0]}@{digest}"


def rendered(image: str, directory: pathlib.Path) -> list[Document]:
    """Return what is rendered of the plan in ``image``, under a name of its own."""
    (directory / "plan.json").write_text(plan_of(image))
    name = f"bootseal-kube-{os.getpid()}-{next(_numbers)}"
    options = rendering.Options(rendering.image(image), name, "bootseal render kube")
    return list(yaml.safe_load_all(kube.render(plan.load(str(directory)), options)))


@functools.cache
def plan_of(image: str) -> str:
    """Return the plan in ``image``."""
    asked = ("run", "--rm", "--network=none", "--entrypoint=/bin/cat", image, "/opt/bootseal/etc/plan.json")
    return box.engine_ok(*asked) + "\n"


@pytest.fixture(scope="module")
def image(hello_image: str) -> str:
    return image_of(hello_image, "played", MANIFEST)


@pytest.fixture
def documents(image: str, tmp_path: pathlib.Path) -> list[Document]:
    """Return what is rendered, and nothing changed."""
    return rendered(image, tmp_path)


@pytest.fixture(scope="module")
def whole(image: str, tmp_path_factory: pytest.TempPathFactory) -> list[Document]:
    return rendered(image, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def played(player: Player, whole: list[Document]) -> Played:
    """The Pod as it is rendered but for CHANGES; tests look at it and change nothing."""
    changed = copy.deepcopy(whole)
    for change in CHANGES:
        change(changed[0])
    player.volumes_of(changed[0])
    return player.play(changed)


def own_volumes(document: Document) -> None:
    """Give an emptyDir a name that no other Pod's has: for podman 4.3 they would be one."""
    name, pod = document["metadata"]["name"], pod_of(document)
    mounts = [
        one for kind in ("initContainers", "containers") for each in pod.get(kind, []) for one in each["volumeMounts"]
    ]
    for one in (*pod["volumes"], *mounts):
        one["name"] = f"{name}-{one['name']}"


# --- what is rendered works ---------------------------------------------------------------------------------------------


def ask(played: Played, probe: Document) -> box.Answer:
    """Ask what a probe asks, from within the Pod's network."""
    wanted = probe["httpGet"]
    [answer] = played.fetch(f"{wanted['port']}{wanted['path']}")
    return answer


def test_the_rendered_pod_is_sealed_and_its_own_probes_say_so(played: Played, whole: list[Document]) -> None:
    [container] = pod_of(whole[0])["containers"]
    deadline = time.monotonic() + box.PATIENCE_SECONDS
    while (answer := ask(played, container["startupProbe"])).status != 200:
        assert time.monotonic() < deadline, f"{answer}\n{played.log()}"
        time.sleep(0.1)  # nothing listens yet
    assert ask(played, container["readinessProbe"]).json["ready"] is True
    assert ask(played, container["livenessProbe"]).status == 200
    verified = played.run("bootseal", "verify", "--live")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_what_is_rendered_is_restricted(whole: list[Document]) -> None:
    [pod] = podsecurity.pods(whole[0])
    assert podsecurity.violations_of_restricted(pod) == []


def test_it_runs_as_the_user_that_is_said_with_no_capability_and_no_way_to_more(played: Played) -> None:
    played.wait_until_sealed()
    status = played.status_of(played.host_pids()[0])
    assert set(status["Uid"].split()) == set(status["Gid"].split()) == {"1000"}
    assert {int(status[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert "ro" in played.host.mount_point("/").options


def test_the_least_memory_that_may_be_said_bounds_it_and_is_enough(played: Played) -> None:
    assert played.inspect("{{.HostConfig.Memory}}") == str(limits.LEAST_MEMORY)
    played.wait_until_sealed()
    assert "killed by signal 9" not in played.log()


def test_it_makes_its_run_directory_in_what_the_kubelet_leaves_to_a_group(played: Played) -> None:
    played.wait_until_sealed()
    above, run = played.host.file("/run"), played.host.file("/run/bootseal")
    assert (above.uid, above.gid, above.mode) == (0, 1000, 0o2777)
    assert (run.uid, run.gid) == (1000, 1000)
    assert run.mode & 0o022 == 0


def test_its_identity_is_the_pods_name(played: Played, whole: list[Document]) -> None:
    played.wait_until_sealed()
    [answer] = played.fetch("8080/whoami")
    assert answer.json["id"] == f"{whole[0]['metadata']['name']}-pod-0"


def start_again(played: Played) -> None:
    """Kill PID 1, and start the container as the kubelet does: in the same Pod, with all that lies in memory, and with no init container."""
    box.engine_ok("kill", "--signal=KILL", played.name)
    played.wait_until_exited()
    box.engine_ok("start", played.name)
    played.wait_until_sealed()


def test_it_is_sealed_again_among_what_it_left_and_ends_with_0_within_its_grace(
    player: Player, documents: list[Document]
) -> None:
    for change in CHANGES:
        change(documents[0])
    once(documents[0])
    player.volumes_of(documents[0])
    played = player.play(documents[:1])
    played.wait_until_sealed()
    start_again(played)
    grace = pod_of(documents[0])["terminationGracePeriodSeconds"]
    box.engine_ok("stop", f"--time={grace}", played.name)
    assert played.wait_until_exited() == 0, played.log()


# --- program-users: as root, which podman's directories suffice for ---------------------------------------------------------


@pytest.fixture(scope="module")
def image_of_root(hello_image: str) -> str:
    return image_of(hello_image, "ofroot", OF_ROOT)


@pytest.fixture
def root_documents(image_of_root: str, tmp_path: pathlib.Path) -> list[Document]:
    found = rendered(image_of_root, tmp_path)
    for change in CHANGES:
        change(found[0])
    return found


def test_under_program_users_the_init_container_makes_the_kubelets_directories_safe(
    player: Player, root_documents: list[Document]
) -> None:
    once(root_documents[0])
    player.volumes_of(root_documents[0])
    played = player.play(root_documents[:1])
    played.wait_until_sealed()
    theirs = (2001, 2001, 0o700)
    wanted = {"/run": (0, 0, 0o755), "/srv/one": theirs, "/srv/one/cache": theirs, "/tmp": (0, 0, 0o1777)}
    for boot in (1, 2):
        if boot == 2:
            start_again(played)
        first = pathlib.Path(f"/proc/{played.host_pids()[0]}/root")
        for path, expected in wanted.items():
            status = (first / path.strip("/")).stat()
            assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == expected, path


def test_without_it_the_boot_refuses_what_others_could_write(player: Player, root_documents: list[Document]) -> None:
    del pod_of(root_documents[0])["initContainers"]
    once(root_documents[0])
    player.volumes_of(root_documents[0])
    played = player.play(root_documents[:1])
    assert played.wait_until_exited() == 6
    assert "/run has mode 0777, so that others can replace what is in it" in played.log()


# --- what podman 4.3 does in another way; a newer one that fails here needs one change less ------------------------------------

MENDED = "podman does as Kubernetes does now: the change of this name in CHANGES can go"


def refused(player: Player, document: Document, directory: pathlib.Path) -> str:
    """Return why podman plays nothing of ``document``."""
    file = directory / "refused.yaml"
    file.write_text(yaml.safe_dump(document))
    player.made.append(Played(pod_name(document), pod_of(document)["containers"][0]["name"]))
    done = box.engine("kube", "play", "--network=none", "--start=false", str(file))
    assert done.returncode == 125, MENDED
    return done.stderr


def test_podman_refuses_a_bare_pod_with_annotations_of_64_characters(
    player: Player, documents: list[Document], tmp_path: pathlib.Path
) -> None:
    """A digest has 64. Of a Deployment it takes them, and Kubernetes takes 256 KiB."""
    [workload, *_] = documents
    for change in (without_probes, without_ports, own_volumes):
        change(workload)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": workload["metadata"], "spec": pod_of(workload)}
    assert "value length exceeds" in refused(player, pod, tmp_path), MENDED


def test_podman_publishes_every_port_of_a_container(
    player: Player, documents: list[Document], tmp_path: pathlib.Path
) -> None:
    """It is asked for no network, where none can be published: nothing listens on this machine."""
    without_probes(documents[0])
    own_volumes(documents[0])
    assert "PortMappings can only be used with" in refused(player, documents[0], tmp_path), MENDED


def test_podman_asks_a_probe_with_curl_from_inside_and_forgets_the_grace(
    player: Player, documents: list[Document]
) -> None:
    without_ports(documents[0])
    own_volumes(documents[0])
    played = player.play(documents[:1], starts=False)
    check = played.inspect("{{.Config.Healthcheck}}")
    assert "curl -f http://localhost:8080/livez" in check, MENDED
    assert "startupz" not in check, MENDED
    assert "/ready" not in check, MENDED
    grace = pod_of(documents[0])["terminationGracePeriodSeconds"]
    assert int(played.inspect("{{.Config.StopTimeout}}")) == 10 != grace, MENDED


def test_podman_makes_a_directory_of_roots_on_the_disk_of_an_empty_directory_in_memory(
    player: Player, documents: list[Document]
) -> None:
    without_probes(documents[0])
    without_ports(documents[0])
    own_volumes(documents[0])
    once(documents[0])
    played = player.play(documents[:1])
    assert played.wait_until_exited() == 6, MENDED
    assert "nothing can be made in /run: Permission denied" in played.log(), MENDED
    [source] = [one for one in json.loads(played.inspect("{{json .Mounts}}")) if one["Destination"] == "/run"]
    name = documents[0]["metadata"]["name"]
    assert (source["Type"], source["Name"]) == ("volume", f"{name}-run"), MENDED
    status = os.stat(source["Source"])
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (0, 0, 0o755), MENDED


def test_podman_restarts_an_init_container_that_is_done(player: Player, root_documents: list[Document]) -> None:
    player.volumes_of(root_documents[0])
    played = player.play(root_documents[:1], starts=False)
    [first] = pod_of(root_documents[0])["initContainers"]
    policy = box.engine_ok("inspect", "--format={{.HostConfig.RestartPolicy.Name}}", f"{played.pod}-{first['name']}")
    assert policy == "always", MENDED


def test_podman_plays_the_workload_and_nothing_else(played: Played, whole: list[Document]) -> None:
    """Services and policies were in what was played, and nobody minded."""
    assert {one["kind"] for one in whole} == {"Deployment", "NetworkPolicy"}
    name = whole[0]["metadata"]["name"]
    made = box.engine_ok("ps", "--all", "--format={{.Names}}", f"--filter=pod={name}-pod-0").splitlines()
    assert len(made) == 2, "the container, and podman's own that holds the namespaces"
    assert played.name in made
