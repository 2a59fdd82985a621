"""What ``bootseal render`` writes, run: the rendered ``podman run`` boots the examples, and all that it says is in force.

Run is exactly what is rendered, but for the host's side of a published port, which is a free one of its loopback (others listen on this machine, too), and
for the options that ``container/engine`` adds to every container.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import urllib.request
from collections.abc import Iterator

import pytest

from container import rendering, seccomp
from manifest import exposure, hardening, plan, provisions
from tests.container import box
from tests.container.conftest import Boxes, Start

pytestmark = pytest.mark.container

SHOP_ID, SECRET = "till-7", "battery-staple-correct-horse"
UNSHARE = (
    "import ctypes, os; c = ctypes.CDLL(None, use_errno=True); print(c.unshare(0), os.strerror(ctypes.get_errno()))"
)


def plan_of(image: str, directory: pathlib.Path) -> plan.LoadedPlan:
    """Return the plan that lies in ``image``, copied to ``directory`` with all that lies beside it."""
    command = ("run", "--rm", "--network=none", "--entrypoint=tar", image, "-C", "/opt/bootseal/etc", "-c", ".")
    done = subprocess.run([box.ENGINE, *command], capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    subprocess.run(["tar", "-x", "-C", directory, "--no-same-owner"], input=done.stdout, check=True, timeout=60)
    return plan.load(str(directory))


def argv(image: str, directory: pathlib.Path, *options: str) -> list[str]:
    """Return the words of the rendered ``podman run``."""
    command = [
        sys.executable,
        "-m",
        "entrypoint",
        "render",
        "podman",
        "--plan",
        str(directory),
        "--image",
        image,
        "--json",
    ]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, check=False, cwd=box.PROJECT, timeout=60
    )
    assert done.returncode == 0, done.stderr
    words: list[str] = json.loads(done.stdout)
    return words


def started(start: Start, words: list[str]) -> box.Box:
    """Start a container with the rendered words."""
    assert words[:3] == ["podman", "run", "--detach"]
    assert words[3].startswith("--name=")
    own = [
        f"--publish=127.0.0.1::{word.rpartition(':')[2]}" if word.startswith("--publish=") else word for word in words
    ]
    return start(own[-1], *own[4:-1])


@dataclasses.dataclass(frozen=True)
class Run:
    """A container that was started with what was rendered from ``loaded``."""

    box: box.Box
    loaded: plan.LoadedPlan
    words: list[str]


@pytest.fixture(scope="module")
def own() -> Iterator[Boxes]:
    """Containers that live as long as this module."""
    shared = Boxes()
    yield shared
    shared.remove()


def running(image: str, directory: pathlib.Path, boxes: Boxes) -> Run:
    """Start what is rendered from the plan in ``image``, and wait until it is sealed."""
    loaded = plan_of(image, directory)
    words = argv(image, directory)
    with pytest.MonkeyPatch.context() as caller:
        caller.setenv("SHOP_ID", SHOP_ID)
        caller.setenv("SHOP_OPERATOR_KEY", SECRET)
        made = started(boxes.start, words)
    made.wait_until_sealed()
    return Run(made, loaded, words)


@pytest.fixture(scope="module")
def hello_run(hello_image: str, own: Boxes, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return running(hello_image, tmp_path_factory.mktemp("hello"), own)


@pytest.fixture(scope="module")
def shop_run(shop_image: str, own: Boxes, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return running(shop_image, tmp_path_factory.mktemp("shop"), own)


@pytest.fixture(scope="module", params=["hello", "shop"])
def run(request: pytest.FixtureRequest) -> Run:
    """Each example in turn; tests look at it and change nothing."""
    found: Run = request.getfixturevalue(f"{request.param}_run")
    return found


def test_it_boots_and_is_ready_also_by_the_engines_own_check(run: Run) -> None:
    [answer] = run.box.fetch("8080/ready")
    assert answer.status == 200
    done = box.engine("healthcheck", "run", run.box.name)
    assert done.returncode == 0, done.stdout + done.stderr


def statuses(container: box.Box) -> Iterator[dict[str, str]]:
    """Return what the host's kernel says of every process: PID 1, and each other one that does not end meanwhile."""
    first, *others = container.host_pids()
    yield container.status_of(first)
    for pid in others:
        with contextlib.suppress(OSError):
            yield container.status_of(pid)


def test_it_runs_confined_as_it_was_rendered(run: Run) -> None:
    user = run.loaded.plan.security.user
    for status in statuses(run.box):
        assert set(status["Uid"].split()) == {str(user.uid)}
        assert set(status["Gid"].split()) == {str(user.gid)}
        assert {int(status[f"Cap{kind}"], 16) for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")} == {0}
        assert status["NoNewPrivs"] == "1"
        assert status["Seccomp"] == "2"
    said = json.loads(run.box.inspect("{{json .HostConfig}}"))
    assert (said["Privileged"], said["ReadonlyRootfs"], said["CapAdd"]) == (False, True, [])
    for kind in ("Pid", "UTS", "Ipc"):
        assert said[f"{kind}Mode"] in {"private", "shareable"}
    assert said["NetworkMode"] != "host"


def held(container: box.Box, path: str) -> os.stat_result:
    """Return what the host's kernel says of a file in the container."""
    [first, *_] = container.host_pids()
    return os.stat(f"/proc/{first}/root{path}")


def mounts(run: Run) -> dict[str, tuple[str, set[str]]]:
    """Return what is mounted, by path, as the host sees it: the type and the options."""
    [first, *_] = run.box.host_pids()
    lines = [line.split() for line in pathlib.Path(f"/proc/{first}/mounts").read_text().splitlines()]
    return {path: (kind, set(options.split(","))) for _, path, kind, options, *_ in lines}


def test_the_root_is_read_only_and_each_file_system_in_memory_is_as_large_as_planned(run: Run) -> None:
    found = mounts(run)
    assert "ro" in found["/"][1]
    planned = rendering.tmpfs(run.loaded.plan)
    assert {mount.path for mount in planned} >= {"/run", "/tmp"}
    for mount in planned:
        kind, options = found[mount.path]
        assert kind == "tmpfs"
        assert {"nosuid", "nodev", "rw"} <= options
        assert ("noexec" not in options) == mount.executable
        [size] = [one for one in options if one.startswith("size=")]
        assert size == f"size={mount.size_bytes // 1024}k"
        status = held(run.box, mount.path)
        assert (status.st_uid, status.st_gid) == (mount.user.uid, mount.user.gid)


def limit(run: Run, controller: str, names: dict[str, str]) -> str:
    """Return a limit as the host's kernel keeps it; ``names`` are its files by the version of cgroups."""
    [first, *_] = run.box.host_pids()
    for line in pathlib.Path(f"/proc/{first}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controller in controllers.split(","):
            return pathlib.Path(f"/sys/fs/cgroup/{controller}{path}/{names['v1']}").read_text().strip()
    [unified] = [
        line.split(":", 2)[2]
        for line in pathlib.Path(f"/proc/{first}/cgroup").read_text().splitlines()
        if line.startswith("0::")
    ]
    return pathlib.Path(f"/sys/fs/cgroup{unified}/{names['v2']}").read_text().strip()


def test_the_limits_are_in_force_in_the_kernel(run: Run) -> None:
    limits = run.loaded.plan.security.limits
    assert limit(run, "memory", {"v1": "memory.limit_in_bytes", "v2": "memory.max"}) == str(limits.memory_bytes)
    assert limit(run, "pids", {"v1": "pids.max", "v2": "pids.max"}) == str(limits.pids)
    [first, *_] = run.box.host_pids()
    [files] = [
        line
        for line in pathlib.Path(f"/proc/{first}/limits").read_text().splitlines()
        if line.startswith("Max open files")
    ]
    assert files.split()[3:5] == [str(limits.files)] * 2


def test_only_an_exposed_port_is_rendered_for_other_machines_and_all_others_for_the_hosts_loopback(run: Run) -> None:
    published = [word.removeprefix("--publish=") for word in run.words if word.startswith("--publish=")]
    exposed = [one.port for program in run.loaded.plan.programs for one in program.ports if one.exposed]
    assert [word for word in published if not word.startswith("127.0.0.1:")] == [
        f"{port}:{port}/tcp" for port in exposed
    ]


def test_what_is_published_can_be_reached_and_nothing_else_is(run: Run) -> None:
    bindings = json.loads(run.box.inspect("{{json .HostConfig.PortBindings}}")) or {}
    published = exposure.reachable(run.loaded.plan)
    assert {int(port.removesuffix("/tcp")) for port in bindings} == {one.port for one in published}
    for one in published:
        place = box.engine_ok("port", run.box.name, f"{one.port}/tcp")
        assert place.startswith("127.0.0.1:")
        if exposure.PROBES in one.names:
            with urllib.request.urlopen(f"http://{place}/ready", timeout=30) as answer:
                assert answer.status == 200


def test_variables_are_passed_by_name_and_a_secret_among_them_stays_one(run: Run) -> None:
    declared = rendering.variables(run.loaded.plan)
    if "SHOP_ID" not in declared:
        assert SHOP_ID not in run.box.inspect("{{json .Config.Env}}")
        return
    assert run.box.host.file("/run/bootseal/identity/id").content_string == SHOP_ID
    assert run.box.host.file("/run/bootseal/secrets/api/operator-key").content_string == SECRET
    first, *others = run.box.host_pids()
    assert SECRET not in pathlib.Path(f"/proc/{first}/environ").read_text(errors="replace")
    for pid in others:
        with contextlib.suppress(OSError):  # it ended meanwhile
            assert SECRET not in pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace")
    assert SECRET not in run.box.log()


def test_it_tells_from_which_manifest_and_plan_it_was_rendered(run: Run) -> None:
    labels = json.loads(run.box.inspect("{{json .Config.Labels}}"))
    assert labels[rendering.MANIFEST_LABEL] == run.loaded.plan.manifest_sha256
    inside = run.box.run("sha256sum", "/opt/bootseal/etc/plan.json").stdout.split()[0]
    assert labels[rendering.PLAN_LABEL] == inside


def test_it_ends_by_itself_within_the_time_that_was_rendered(start: Start, hello_run: Run) -> None:
    ours = started(start, hello_run.words)
    ours.wait_until_sealed()
    allowed = rendering.stop_seconds(hello_run.loaded.plan)
    assert ours.inspect("{{.Config.StopTimeout}} {{.Config.StopSignal}}") == f"{allowed} 15"
    box.engine_ok("stop", ours.name)
    assert ours.inspect("{{.State.ExitCode}}") == "0", "137 is the engine's SIGKILL"


@pytest.fixture(scope="module")
def altered(hello_image: str, hello_run: Run, tmp_path_factory: pytest.TempPathFactory) -> Iterator[box.Box]:
    """The hello example with a denied call, a secret of podman's and one of the host's, and a volume: one boot of all."""
    if not os.path.exists(seccomp.PODMANS_OWN):
        pytest.fail(f"{seccomp.PODMANS_OWN}: podman's own profile is not here")
    directory = tmp_path_factory.mktemp("altered")
    shutil.copytree(hello_run.loaded.directory, directory, dirs_exist_ok=True)
    directory.chmod(0o755)
    (directory / plan.PLAN_FILE).write_bytes(plan.dump(asking(hello_run.loaded.plan)))
    profile, name = f"{directory}/narrow.json", f"bootseal-test-{os.getpid()}-rendered"
    render = [sys.executable, "-m", "entrypoint", "render", "seccomp", "--plan", str(directory), "-o", profile]
    subprocess.run(render, check=True, cwd=box.PROJECT, timeout=60)
    note = directory / "note"
    note.write_text(SECRET)
    note.chmod(0o666)
    words = argv(hello_image, directory, "--name", name, "--seccomp", profile, "--secret-file", f"note={note}")
    assert f"--security-opt=seccomp={profile}" in words
    assert f"--volume={name}-kept:/var/lib/kept" in words
    boxes = Boxes()
    box.engine_ok("secret", "create", f"{name}-word", "-", stdin=SECRET)
    try:
        ours = started(boxes.start, [*words[:-1], f"--volume={directory}:/opt/bootseal/etc:ro", words[-1]])
        ours.wait_until_sealed()
        yield ours
    finally:
        boxes.remove()
        box.engine("secret", "rm", f"{name}-word")
        box.engine("volume", "rm", f"{name}-kept")


def asking(made: plan.Plan) -> plan.Plan:
    """Return the plan with a denied call, secrets that are mounted, and a volume."""
    secrets = tuple(
        provisions.SecretPlan(name, None, None, f"/run/secrets/{name}", None, None, ("greeter",))
        for name in ("note", "word")
    )
    root = plan.WritableRoot("/var/lib/kept", 0o750, None, mount_required=True)
    return dataclasses.replace(
        made,
        secrets=secrets,
        security=dataclasses.replace(made.security, denied_syscalls=("unshare",)),
        boot=dataclasses.replace(made.boot, writable=(*made.boot.writable, root)),
        deploy=dataclasses.replace(made.deploy, volumes=(hardening.Volume("kept", "/var/lib/kept", 2**20),)),
    )


def test_a_call_that_the_rendered_profile_denies_fails_and_everything_else_boots(
    altered: box.Box, hello_run: Run
) -> None:
    assert altered.python(UNSHARE).split(maxsplit=1) == ["-1", "Operation not permitted\n"]
    assert hello_run.box.python(UNSHARE).split()[0] == "0", "the call itself needs no right that the container lacks"


def test_podmans_own_secret_reaches_a_container_of_no_rights_and_is_for_its_user_alone(altered: box.Box) -> None:
    """Below /run/secrets, which podman covers with a mount of its own."""
    assert altered.run("cat", "/run/secrets/word").stdout == SECRET
    assert stat.S_IMODE(held(altered, "/run/secrets/word").st_mode) == 0o400
    assert altered.run("cat", "/run/bootseal/secrets/greeter/word").stdout == SECRET


def test_a_file_of_the_host_that_is_a_secret_can_be_read_and_not_written(altered: box.Box) -> None:
    assert altered.run("cat", "/run/secrets/note").stdout == SECRET
    assert held(altered, "/run/secrets/note").st_mode & stat.S_IWOTH
    assert "Read-only file system" in altered.run("sh", "-c", "echo x > /run/secrets/note").stderr


def test_a_named_volume_belongs_to_the_containers_user(altered: box.Box) -> None:
    status = held(altered, "/var/lib/kept")
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (1000, 1000, 0o750)
    assert altered.run("touch", "/var/lib/kept/mine").returncode == 0
