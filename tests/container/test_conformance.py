"""The conformance suite on real containers: every promise kept by the examples as they are rendered, and each seen broken.

Rules
-----
* A container is started as ``bootseal render podman`` says, in no network and without the restart that would hide an end.
* The good ones are judged as an outsider would: by pytest, in an environment into which bootseal's wheel was installed.
* Of the broken ones each is broken in many ways that do not meet, and judged by the same code without the pytest around it.
  ``BREAKS`` is all of it together, and must name every promise but those of ``ELSEWHERE``.
"""

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import tree as trees
import yaml

from container import engine_argv, rendering
from container.conformance import collecting, outside, promise, promises
from contract import snapshot
from manifest import plan, serving
from tests.container import box, plans
from tests.container.conftest import Boxes, Start

pytestmark = pytest.mark.container

VARIANTS = pathlib.Path(__file__).parent / "variants"
NAMES = {one.name for one in promises.PROMISES}
LEFT_OUT = ("--detach", "--name=", "--label=", "--restart=", "--health-", "--publish=")


def rendered(loaded: plan.LoadedPlan, *, but: dict[str, str | None] | None = None) -> list[str]:
    """Return the options that run ``loaded``, with some replaced by what they begin with, or left out."""
    image = rendering.image("localhost/of-the-test:1")
    words = engine_argv.argv(loaded, rendering.Options(image, "test", "test"), engine_argv.PODMAN)
    options = [one for one in words[words.index("run") + 1 : -1] if not one.startswith(LEFT_OUT)]
    for begins, other in (but or {}).items():
        assert any(one.startswith(begins) for one in options), f"{begins} is not among {options}"
        options = [one for one in options if not one.startswith(begins)] + ([] if other is None else [other])
    return [*options, "--network=none"]


@functools.cache
def plan_of(image: str) -> bytes:
    """Return the plan.json of an image, as whoever built it has it."""
    return (
        box.engine_ok(
            "run", "--rm", "--network=none", "--read-only", "--entrypoint=cat", image, "/opt/bootseal/etc/plan.json"
        ).encode()
        + b"\n"
    )


def load(data: bytes) -> plan.LoadedPlan:
    return plan.LoadedPlan(plan.parse(data, "plan.json"), "/given", hashlib.sha256(data).hexdigest())


# --- as an outsider ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def outsider(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """An environment with bootseal's wheel in it; what it depends on is taken from here, to download nothing."""
    place = tmp_path_factory.mktemp("outsider")
    built = box.script("wheels", "product", str(place / "wheel"))
    assert built.returncode == 0, built.stderr
    [wheel] = (place / "wheel").glob("bootseal-*.whl")
    venv.create(place / "venv", with_pip=False)
    python = place / "venv" / "bin" / "python"
    packages = pathlib.Path(
        subprocess.check_output(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"], text=True
        ).strip()
    )
    (packages / "of-the-test.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--no-deps", "--no-index"]
    subprocess.run([*install, "--ignore-installed", "--disable-pip-version-check", str(wheel)], check=True)
    assert (packages / "container" / "conformance" / "collector.py").is_file()
    return place / "venv" / "bin" / "python"


@pytest.fixture
def suite(outsider: pathlib.Path, tmp_path: pathlib.Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the suite in an empty directory, by the command of the documentation."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        here = tmp_path / "here"
        here.mkdir(exist_ok=True)
        command = [outsider, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "container.conformance", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "PYTHON"))}
        return subprocess.run(
            command, cwd=here, env=environment, capture_output=True, text=True, timeout=300, check=False
        )

    return run


def outcomes(report: pathlib.Path) -> dict[str, str]:
    return {row["promise"]: row["outcome"] for row in json.loads(report.read_text())["promises"]}


NOT_OF_HELLO = {"denied-syscalls", "cpus", "secret-variables"}
"""What the example does not promise."""


def test_the_example_as_it_is_rendered_keeps_every_promise_and_stops(
    start: Start, hello_image: str, suite: Callable[..., subprocess.CompletedProcess[str]], tmp_path: pathlib.Path
) -> None:
    data = plan_of(hello_image)
    (tmp_path / "plan.json").write_bytes(data)
    ours = start(hello_image, *rendered(load(data)), "--env=LEFT_OUT=1")
    ours.wait_until_sealed()
    report = tmp_path / "report.json"
    done = suite(f"--hosts=podman://{ours.name}", "--plan", f"{tmp_path}/plan.json", f"--report={report}", "--stop")
    assert done.returncode == 0, done.stdout + done.stderr
    assert outcomes(report) == {
        name: "not judged" if name in NOT_OF_HELLO else "kept" for name in NAMES | {"asked", "stop"}
    }
    assert not ours.is_running()


def test_a_broken_promise_fails_the_run_and_is_told_in_words(
    start: Start, hello_image: str, suite: Callable[..., subprocess.CompletedProcess[str]], tmp_path: pathlib.Path
) -> None:
    data = plan_of(hello_image)
    (tmp_path / "plan.json").write_bytes(data)
    ours = start(hello_image, *rendered(load(data), but={"--tmpfs=/tmp": "--tmpfs=/tmp:U,exec,size=67108864"}))
    ours.wait_until_sealed()
    report = tmp_path / "report.md"
    done = suite(f"--hosts=podman://{ours.name}", "--plan", f"{tmp_path}/plan.json", f"--report={report}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "memory-mounts: Each file system in memory is there" in done.stdout
    words = "/tmp: programs in it can be run: it is mounted without noexec"
    assert f"{words} (mount it as `bootseal render` says)" in done.stdout
    assert "Traceback" not in done.stdout
    assert f"**broken** | {words}" in report.read_text()
    assert ours.is_running(), "without --stop nothing is stopped"


def test_a_container_that_is_not_there_is_one_failure_and_every_promise_unjudged(
    hello_image: str, suite: Callable[..., subprocess.CompletedProcess[str]], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "plan.json").write_bytes(plan_of(hello_image))
    report = tmp_path / "report.json"
    done = suite("--hosts=podman://no-such-container", "--plan", f"{tmp_path}/plan.json", f"--report={report}")
    assert done.returncode == 1, done.stdout + done.stderr
    assert set(outcomes(report).items()) == {("asked", "broken"), *((name, "not judged") for name in NAMES | {"stop"})}


def test_without_a_plan_no_container_is_asked(suite: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    done = suite("--hosts=podman://no-such-container")
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    assert "ERROR: --plan: it is not given" in done.stderr


def test_the_shop_as_it_is_rendered_keeps_every_promise(start: Start, shop_image: str) -> None:
    loaded = load(plan_of(shop_image))
    ours = start(shop_image, *rendered(loaded), "--env=SHOP_OPERATOR_KEY=" + "ab" * 16)
    ours.wait_until_sealed()
    found = judged(ours, loaded)
    assert {name: told for name, told in found.broken.items() if told} == {}
    assert "SHOP_OPERATOR_KEY" in found.verdicts["secret-variables"].evidence


# --- without a container ----------------------------------------------------------------------------------------------


@contextlib.contextmanager
def up(place: pathlib.Path) -> Iterator[pathlib.Path]:
    """Boot a manifest on this machine and yield the directory of its plan."""
    manifest = {
        "version": 1,
        "name": "local",
        "programs": {"api": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}},
        "probes": {"listen": f"127.0.0.1:{trees.free_port()}"},
    }
    (place / "bootseal.yaml").write_text(yaml.safe_dump(manifest))
    command = [
        sys.executable,
        "-I",
        "-m",
        "entrypoint",
        "up",
        str(place / "bootseal.yaml"),
        "--state",
        str(place / "state"),
    ]
    log = place / "up.log"
    with log.open("wb") as file, subprocess.Popen(command, stdout=file, stderr=file, process_group=0) as running:
        try:
            trees.wait_until(lambda: "READY" in log.read_text(), "READY", log.read_text)
            record = json.loads((place / "state" / "run" / "boot.json").read_text())
            yield pathlib.Path(record["plan_directory"])
        finally:
            running.terminate()
            running.wait(trees.PATIENCE_SECONDS)


def test_a_boot_on_this_machine_keeps_what_is_promised_without_a_container(
    suite: Callable[..., subprocess.CompletedProcess[str]], tmp_path: pathlib.Path
) -> None:
    report = tmp_path / "report.json"
    with trees.directory() as place, up(place) as directory:
        done = suite("--hosts=local://", "--plan", str(directory), f"--report={report}")
    assert done.returncode == 0, done.stdout + done.stderr
    found = outcomes(report)
    assert {"main-process", "seal", "programs-ready", "only-declared-listeners", "records", "metrics"} <= {
        name for name, outcome in found.items() if outcome == "kept"
    }
    assert {found[name] for name in ("user", "capabilities", "read-only-root", "stop")} == {"not judged"}


# --- each promise, broken ---------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Judged:
    """The verdicts by promise, and what each broken one told."""

    verdicts: dict[str, promise.Verdict]

    @property
    def broken(self) -> dict[str, str]:
        return {name: "\n".join(map(str, one.violations)) for name, one in self.verdicts.items()}


def judged(ours: box.Box, loaded: plan.LoadedPlan) -> Judged:
    subject = collecting.look(ours.host, loaded, None, shared_network=False)
    return Judged({one.name: promise.verdict(one, subject) for one in promises.PROMISES})


@pytest.fixture(scope="module")
def own() -> Iterator[Boxes]:
    """The containers of this file."""
    made = Boxes()
    yield made
    made.remove()


def changed(loaded: plan.LoadedPlan, **changes: Any) -> plan.LoadedPlan:
    """Return another plan than the one in the image."""
    made = dataclasses.replace(loaded.plan, **changes)
    return load(plan.dump(made))


def of_another_plan(own: Boxes, hello_image: str, tmp_path: pathlib.Path) -> tuple[box.Box, plan.LoadedPlan]:
    """The image is another one than was promised: it serves probes where the plan has them, and others do."""
    loaded = load(plan_of(hello_image))
    ours = own.start(hello_image, *rendered(loaded))
    ours.wait_until_sealed()
    greeters = dataclasses.replace(
        loaded.plan.probes, port=8081, detail=serving.DetailPlan(serving.SOCKET, None, None, None)
    )
    return ours, changed(loaded, probes=greeters, config_sha256="00" * 32)


def run_loosely(own: Boxes, hello_image: str, tmp_path: pathlib.Path) -> tuple[box.Box, plan.LoadedPlan]:
    """Whoever runs it took every option back, and more."""
    loaded = load(plan_of(hello_image))
    loose = {
        "--user=": "--user=1001:1001",
        "--read-only": None,
        "--cap-drop=": None,
        "--security-opt=": "--security-opt=seccomp=unconfined",
        "--pids-limit=": "--pids-limit=99",
        "--memory=": None,
        "--ulimit=": "--ulimit=nofile=2048:2048",
        "--tmpfs=/tmp": "--tmpfs=/tmp:U,exec,size=1m",
    }
    more = ("--group-add=999", "--uts=host", "--device=/dev/null:/dev/extra", "--tmpfs=/srv:U", "--cpus=1")
    ours = own.start(hello_image, *rendered(loaded, but=loose), *more)
    ours.wait_until_sealed()
    limits = dataclasses.replace(loaded.plan.security.limits, cpus=0.5)
    security = dataclasses.replace(loaded.plan.security, limits=limits, denied_syscalls=("ptrace",))
    return ours, changed(loaded, security=security)


def misbehaving(own: Boxes, hello_image: str, tmp_path: pathlib.Path) -> tuple[box.Box, plan.LoadedPlan]:
    """The programs do what the manifest does not say."""
    manifest = yaml.safe_load((VARIANTS / "misbehaving.yaml").read_text())
    tmp_path.chmod(0o755)
    directory = tmp_path / "etc"
    directory.mkdir()
    mounted = plans.mounted(directory, manifest)
    ours = own.start(
        hello_image, *box.HARDENED, *box.USER, *box.TMPFS, mounted, f"--volume={VARIANTS}:/opt/variants:ro",
        "--tmpfs=/opt/immutable/cache:U", "--env=STRAY=carried",
    )  # fmt: skip
    box.wait_for(ours.log, lambda log: '"ProgramFailed"' in log or not ours.is_running())
    ours.fetch_until("8080/ready", lambda answer: answer.status == 503)
    return ours, load((directory / "plan.json").read_bytes())


def tampered(own: Boxes, hello_image: str, tmp_path: pathlib.Path) -> tuple[box.Box, plan.LoadedPlan]:
    """Somebody within, of the container's own user, changed what boot and seal wrote."""
    loaded = load(plan_of(hello_image))
    ours = own.start(hello_image, *rendered(loaded))
    ours.wait_until_sealed()
    ours.python((VARIANTS / "tamper.py").read_text())
    ours.fetch_until("8080/ready", lambda answer: answer.status == 503)
    return ours, loaded


def never_sealed(own: Boxes, hello_image: str, tmp_path: pathlib.Path) -> tuple[box.Box, plan.LoadedPlan]:
    """What is required never becomes ready, and the container waits to be looked at."""
    tmp_path.chmod(0o755)
    directory = tmp_path / "etc"
    directory.mkdir()
    manifest = {
        "version": 1, "name": "waiting", "boot": {"seal_timeout": "1s", "on_failure": "hold"},
        "programs": {"never": {"command": ["sleep", "1000"], "ready": {"file": "${run}/never"}}},
        "probes": {"listen": "127.0.0.1:8080"},
    }  # fmt: skip
    mounted = plans.mounted(directory, manifest)
    loaded = load((directory / "plan.json").read_bytes())
    ours = own.start(hello_image, *rendered(loaded), mounted)
    box.wait_for(ours.log, lambda log: '"BootstrapSealTimeout"' in log)
    ours.fetch_until("8080/health", lambda answer: answer.status == 200 and answer.json["phase"] == snapshot.HELD)
    return ours, loaded


def started_otherwise(own: Boxes, hello_image: str, tmp_path: pathlib.Path) -> tuple[box.Box, plan.LoadedPlan]:
    """The image's own entrypoint is not what runs."""
    loaded = load(plan_of(hello_image))
    ours = own.start(hello_image, *rendered(loaded), "--env=AWS_SECRET=x", '--entrypoint=["sleep","1000"]')
    return ours, loaded


Variant = Callable[[Boxes, str, pathlib.Path], tuple[box.Box, plan.LoadedPlan]]
BREAKS: list[tuple[Variant, dict[str, str]]] = [
    (
        of_another_plan,
        {
            "same-plan": "plan.json: its sha256 is",
            "seal": "its plan_sha256 is",
            "meta": "its plan_sha256 is",
            "metrics": "/metrics: ",
            "livez": "/livez: ",
            "startupz": "/startupz: ",
            "whoami": "/whoami: ",
            "openapi": "/openapi.json: ",
            "detail": "/health from within, without a token is answered 200, and by probes.detail it is 404",
        },
    ),
    (
        run_loosely,
        {
            "user": "it runs as uid 1001 and gid 1001, and the plan says 1000:1000",
            "groups": "it is in the groups 999, and the plan names none",
            "capabilities": "CHOWN, ",
            "no-new-privileges": "its NoNewPrivs is 0",
            "seccomp": "its Seccomp is 0: no filter is in force",
            "denied-syscalls": "the plan denies ptrace beyond it",
            "namespaces": "it is in the uts namespace of its host",
            "attestation": "and the plan says",
            "memory": "it has no limit, and the plan says",
            "cpus": "it is limited to 1, and the plan says 0.5",
            "processes": "they are limited to 99",
            "descriptors": "a process may open 2048",
            "devices": "/dev/extra: it is a device that the plan does not name",
            "read-only-root": "it is mounted writable",
            "memory-mounts": "/tmp: it has 1048576 bytes, and the plan says",
            "nothing-else-writable": "/srv: it can be written, and the plan does not name it",
        },
    ),
    (
        misbehaving,
        {
            "only-declared-listeners": "tcp 0.0.0.0:9100: ",
            "declared-listeners": "127.0.0.1:9200 of deaf: nobody listens there",
            "no-critical-line": "CRIT the disk is gone",
            "no-error-event": "ProgramFailed",
            "programs-run": "program dying: it is",
            "programs-ready": "supervisorctl ready: it exited",
            "ready": "/ready: it answers 503",
            "health": 'its status is "unready"',
            "writable-roots": "/run/opened: its mode is 0777, and the plan says 0700",
            "volumes": "/run/kept: nothing is mounted there",
            "immutable-paths": "/opt/immutable/cache is mounted writable in it",
            "secret-variables": "its environment holds STRAY",
        },
    ),
    (
        tampered,
        {
            "run-directory": "its mode 0777 lets group or others write",
            "records": "its mode is 0644, not 0444",
            "identity": "identity/id: its mode is 0666, not 0444",
            "private-keys": "ed25519.key: its mode is 0644, not 0600",
            "sockets": "supervisor.sock: its mode is 0777, not 0700",
            "secrets": "it is there, and the plan delivers no secret",
            "seal": "its bytes are not as bootseal writes them",
            "seal-current": "and PID 1 saw",
            "seal-verified": "its bytes are not as bootseal writes them",
        },
    ),
    (
        never_sealed,
        {
            "ledger": "its phase is held, not sealed",
            "seal": "bootstrap.done: it is not there",
            "startupz": "/startupz: it answers 503",
            "programs-run": "program bootstrap-seal: it is",
        },
    ),
    (
        started_otherwise,
        {
            "main-process": "boot.json: it is not there",
            "environment": "it holds AWS_SECRET, which the plan does not name",
        },
    ),
]


@pytest.mark.parametrize(("variant", "wanted"), BREAKS, ids=[variant.__name__ for variant, _ in BREAKS])
def test_a_variant_that_breaks_promises_is_seen_to_break_them(
    own: Boxes, hello_image: str, tmp_path: pathlib.Path, variant: Variant, wanted: dict[str, str]
) -> None:
    ours, loaded = variant(own, hello_image, tmp_path)
    found = judged(ours, loaded).broken
    assert {name: words for name, words in wanted.items() if words not in found[name]} == {}, found
    ours.remove()


def test_every_promise_is_broken_by_a_real_container() -> None:
    assert {name for _, wanted in BREAKS for name in wanted} == NAMES


def test_a_stop_that_takes_longer_than_the_plan_says_is_seen(
    own: Boxes, hello_image: str, tmp_path: pathlib.Path
) -> None:
    """The plan in the image allows a program that ignores its signal ten seconds; the given one says that it takes none."""
    tmp_path.chmod(0o755)
    stubborn = {"command": ["sh", "-c", "trap '' TERM; while :; do sleep 1000; done"], "stop": {"timeout": "60s"}}
    mounted = plans.mounted(tmp_path, {"version": 1, "name": "stubborn", "programs": {"stubborn": stubborn}})
    loaded = load((tmp_path / "plan.json").read_bytes())
    ours = own.start(hello_image, *rendered(loaded), mounted)
    ours.wait_until_sealed()
    short = changed(loaded, stop=dataclasses.replace(loaded.plan.stop, budget_seconds=0.0))
    subject = collecting.look(ours.host, short, None, shared_network=False)
    stop = promise.Promise("stop", "", lambda one: outside.stop(ours.host, one.plan))
    [violation] = promise.verdict(stop, subject).violations
    assert "the container exited 137, not 0: it was killed after 1 s" in str(violation)
