"""What a container says of its confinement is read back from the kernel: it follows every option that it is run with."""

import dataclasses
import json
import pathlib
from typing import Any

import pytest

from container import engine_argv, rendering
from manifest import plan as loading
from tests.container import box, plans
from tests.container.conftest import Boxes, Start

pytestmark = pytest.mark.container

BOOT_FAILURE = 6
UNTOLD_NETWORK = {"network namespace"}
"""Before Linux 6.18 no process can tell the machine's network from another."""
PROFILE = {
    "read-only": "--read-only",
    "read-only-tmpfs": "--read-only-tmpfs=false",
    "capabilities": "--cap-drop=ALL",
    "privileges": "--security-opt=no-new-privileges",
    "seccomp": "",
    "network": "--network=none",
    "pid": "",
    "memory": "--memory=1g",
    "pids": "--pids-limit=1024",
    "files": "--ulimit=nofile=4096:4096",
    "user": "--user=1000:1000",
    "run": "--tmpfs=/run:U,size=64m,noexec",
    "tmp": "--tmpfs=/tmp:U,size=64m,noexec",
}
"""The options that apply what the plans here say, by what a test takes away or puts in its place; without a value there is none."""
WRITABLE_ROOT = {"read-only": "", "read-only-tmpfs": ""}


@dataclasses.dataclass(frozen=True)
class Weakening:
    """Other options, and the one difference that they make: what, a part of what is found, and what mends it."""

    options: dict[str, str]
    what: str
    found: str
    mend: str


WEAKENINGS = {
    "a capability": Weakening(
        {"capabilities": "--cap-drop=ALL --cap-add=NET_RAW"}, "capabilities", "NET_RAW", "--cap-drop=ALL"
    ),
    "the engine's capabilities": Weakening({"capabilities": ""}, "capabilities", "CHOWN", "--cap-drop=ALL"),
    "a writable root": Weakening(WRITABLE_ROOT, "root", "writable", "--read-only"),
    "new privileges": Weakening({"privileges": ""}, "no_new_privileges", "not set", "--security-opt=no-new-privileges"),
    "no seccomp": Weakening(
        {"seccomp": "--security-opt=seccomp=unconfined"}, "seccomp", "disabled", "seccomp=unconfined"
    ),
    "root": Weakening({"user": "--user=0:0"}, "user", "0:0", "--user=1000:1000"),
    "the group of root": Weakening({"user": "--user=1000:0"}, "user", "1000:0", "--user=1000:1000"),
    "the engine's limit of processes": Weakening({"pids": ""}, "pids", "", "--pids-limit=1024"),
    "no limit of processes": Weakening({"pids": "--pids-limit=-1"}, "pids", "unlimited", "--pids-limit=1024"),
    "no limit of memory": Weakening({"memory": ""}, "memory", "unlimited", "--memory=1g"),
    "more memory": Weakening({"memory": "--memory=2g"}, "memory", "2 GiB", "--memory=1g"),
    "more descriptors": Weakening({"files": "--ulimit=nofile=5000:5000"}, "files", "5000", "--ulimit=nofile=4096:4096"),
    "a larger tmpfs": Weakening({"tmp": "--tmpfs=/tmp:U,size=128m,noexec"}, "tmpfs /tmp", "128 MiB", "--tmpfs=/tmp:"),
    "an unlimited tmpfs": Weakening(
        {"tmp": "--tmpfs=/tmp:U,size=0,noexec"}, "tmpfs /tmp", "unlimited", "--tmpfs=/tmp:"
    ),
    "an executable tmpfs": Weakening(
        {"run": "--tmpfs=/run:U,size=64m,exec"}, "tmpfs /run", "64 MiB, nosuid, nodev", "--tmpfs=/run:"
    ),
    "no tmpfs": Weakening({"tmp": ""}, "tmpfs /tmp", "not mounted", "--tmpfs=/tmp:"),
    "the machine's processes": Weakening({"pid": "--pid=host"}, "pid namespace", "the machine's", "no --pid=host"),
}


def options(changes: dict[str, str] | None = None) -> list[str]:
    return [word for value in {**PROFILE, **(changes or {})}.values() for word in value.split()]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, str]:
    """The option that gives a container a plan, by whether that enforces its profile."""

    def made(enforce: bool) -> str:
        folder: pathlib.Path = tmp_path_factory.mktemp("plan")
        manifest = {
            "version": 1,
            "name": "attested",
            "boot": {"strict": False},
            "security": {"enforce": enforce},
            "programs": {"sleeper": {"command": ["sleep", "1000"], "ready": {"running": True, "for": "0s"}}},
            "probes": {"listen": "127.0.0.1:8080"},
        }
        return plans.mounted(folder, manifest)

    return {enforce: made(enforce) for enforce in (False, True)}


def applied(ours: box.Box) -> dict[str, Any]:
    """Return the one event of the profile."""
    [event] = [event for event in ours.events() if event["event"] == "SecurityProfileApplied"]
    return event


def weaker(found: dict[str, Any]) -> list[str]:
    return [one["what"] for one in found["differences"] if one["weaker"]]


def sealed_security(ours: box.Box) -> dict[str, Any]:
    record = json.loads(ours.host.file("/run/bootseal/bootstrap.done").content_string)
    return dict(record["security"])


def test_an_example_that_is_run_as_planned_differs_in_nothing_and_everybody_says_the_same(sealed: box.Box) -> None:
    event = applied(sealed)
    assert (event["level"], event["differences"], event["enforced"]) == ("info", [], False)
    assert set(event["unknown"]) <= UNTOLD_NETWORK
    [answer, health] = sealed.fetch("8080/v1/meta", "8080/health")
    told = answer.json["security"]
    assert told["attested"] is True
    assert told["effective"] == event["effective"]
    assert (told["differences"], told["unknown"]) == ([], event["unknown"])
    assert health.json["boot"]["warnings"] == []
    assert {name: sealed_security(sealed)[name] for name in ("effective", "differences", "unknown")} == {
        name: told[name] for name in ("effective", "differences", "unknown")
    }
    assert "security  as planned" in sealed.run("bootseal", "verify").stdout


def test_the_effective_profile_is_what_the_host_sees_of_the_container(sealed: box.Box) -> None:
    [answer] = sealed.fetch("8080/v1/meta")
    told = answer.json["security"]["effective"]
    first, *_ = sealed.host_pids()
    status = sealed.status_of(first)
    assert [str(told["uid"]), str(told["gid"])] == [status["Uid"].split()[1], status["Gid"].split()[1]]
    assert told["groups"] == sorted(int(word) for word in status["Groups"].split())
    assert {bool(names) for names in told["capabilities"].values()} == {
        bool(int(status[f"Cap{kind}"], 16)) for kind in ("Eff", "Prm", "Inh", "Bnd", "Amb")
    }
    assert told["no_new_privileges"] == (status["NoNewPrivs"] == "1")
    assert told["seccomp"] == {"0": "disabled", "2": "filter"}[status["Seccomp"]]
    assert str(told["seccomp_filters"]) == status["Seccomp_filters"]
    limits = pathlib.Path(f"/proc/{first}/limits").read_text().splitlines()
    [files] = [line.split() for line in limits if line.startswith("Max open files")]
    assert str(told["files"]) == files[4]
    assert told["memory_bytes"] == int(sealed.inspect("{{.HostConfig.Memory}}"))
    assert told["pids"] == int(sealed.inspect("{{.HostConfig.PidsLimit}}"))


def test_a_plan_that_enforces_its_profile_boots_under_it(start: Start, hello_image: str, plan: dict[bool, str]) -> None:
    ours = start(hello_image, *options(), plan[True])
    ours.wait_until_sealed()
    event = applied(ours)
    assert (event["level"], event["enforced"], event["differences"]) == ("info", True, [])
    [answer] = ours.fetch("8080/v1/meta")
    assert answer.json["security"]["enforced"] is True
    assert sealed_security(ours)["enforced"] is True
    assert "security  as planned, enforced" in ours.run("bootseal", "verify").stdout


def test_what_is_rendered_from_a_plan_applies_all_of_it(start: Start, hello_image: str, plan: dict[bool, str]) -> None:
    directory = plan[True].removeprefix("--volume=").partition(":")[0]
    image = rendering.image(hello_image)
    wanted = rendering.Options(image=image, name="rendered", command="bootseal render podman")
    words = engine_argv.argv(loading.load(directory), wanted, engine_argv.PODMAN)
    apart = ("podman", "run", "--detach", "--name=", "--restart=", hello_image)
    ours = start(hello_image, *(word for word in words if not word.startswith(apart)), "--network=none", plan[True])
    ours.wait_until_sealed()
    assert applied(ours)["differences"] == []


@pytest.mark.parametrize("name", WEAKENINGS)
def test_each_weakening_alone_is_that_difference_and_ends_a_boot_that_enforces_its_profile(
    start: Start, hello_image: str, plan: dict[bool, str], name: str
) -> None:
    weakening = WEAKENINGS[name]
    ours = start(hello_image, *options(weakening.options), plan[True])
    assert ours.wait_until_exited() == BOOT_FAILURE, ours.log()
    event = applied(ours)
    assert weaker(event) == [weakening.what], event["differences"]
    [difference] = [one for one in event["differences"] if one["weaker"]]
    assert weakening.found in difference["found"]
    assert weakening.mend in difference["mend"]
    assert event["level"] == "warn"
    assert set(event["unknown"]) <= UNTOLD_NETWORK
    last = ours.events()[-1]
    assert (last["event"], last["phase"], last["exit_code"]) == ("BootstrapFailed", "security-profile", BOOT_FAILURE)
    assert f"{difference['what']}: {difference['found']}, planned {difference['planned']}" in last["cause"]
    assert difference["mend"] in last["cause"]


@pytest.fixture(scope="module")
def loose(boxes: Boxes, hello_image: str, plan: dict[bool, str]) -> box.Box:
    """A container as somebody runs it by hand: nothing is enforced, and little is confined."""
    ours = boxes.start(hello_image, "--network=none", "--user=1000:1000", "--tmpfs=/run:U", plan[False])
    ours.wait_until_sealed()
    return ours


LOOSE = {"capabilities", "no_new_privileges", "root", "tmpfs /run", "tmpfs /tmp", "memory", "pids", "files"}


def test_without_enforcement_every_weakness_is_told_and_the_container_boots(loose: box.Box) -> None:
    event = applied(loose)
    assert event["level"] == "warn"
    assert set(weaker(event)) == LOOSE
    [answer, health] = loose.fetch("8080/v1/meta", "8080/health")
    assert set(weaker(answer.json["security"])) == LOOSE
    assert set(weaker(sealed_security(loose))) == LOOSE
    effective = answer.json["security"]["effective"]
    assert effective["root_read_only"] is effective["no_new_privileges"] is False
    assert effective["memory_bytes"] == -1
    assert "CHOWN" in effective["capabilities"]["bounding"]
    [warning] = [one for one in health.json["boot"]["warnings"] if "confined" in one]
    assert "capabilities: " in warning
    assert loose.run("bootseal", "status").stdout.count("confined") == 1
    said = loose.run("bootseal", "verify").stdout
    assert f"security  WEAKER than planned in {len(LOOSE)}" in said
    assert "memory: unlimited, planned 1 GiB" in said


def test_the_smaller_limits_and_the_other_user_of_a_careful_operator_are_notes(
    start: Start, hello_image: str, plan: dict[bool, str]
) -> None:
    stricter = {
        "memory": "--memory=512m",
        "pids": "--pids-limit=500",
        "user": "--user=2000:2000",
        "tmp": "--tmpfs=/tmp:U,size=32m,noexec",
    }
    ours = start(hello_image, *options(stricter), plan[True])
    ours.wait_until_sealed()
    event = applied(ours)
    assert event["level"] == "info"
    assert {one["what"]: one["weaker"] for one in event["differences"]} == dict.fromkeys(
        ("user", "tmpfs /tmp", "memory", "pids"), False
    )


def test_a_mount_beyond_the_plan_is_told(
    start: Start, hello_image: str, plan: dict[bool, str], tmp_path: pathlib.Path
) -> None:
    (tmp_path / "seen").mkdir()
    volumes = (f"--volume={tmp_path}/seen:/seen", f"--volume={tmp_path}:/kept:ro")
    ours = start(hello_image, *options(), plan[False], *volumes)
    ours.wait_until_sealed()
    assert [(one["what"], one["weaker"]) for one in applied(ours)["differences"]] == [("mount /seen", True)]
    enforced = start(hello_image, *options(), plan[True], *volumes)
    assert enforced.wait_until_exited() == 6
    assert "mount /seen" in enforced.log()
