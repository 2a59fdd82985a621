"""The exception ``program-users`` in a real container: a hostile program under its own uid against everything that is not its own.

Rules
-----
* Every attempt is made by ``programs_users/hostile.py``, inside, and told on its stdout; here its outcome is judged.
* What a failure proves is shown by two controls: what the program may do succeeds, and the same program under the victim's uid
  succeeds where it must fail.
* The image is the hello example's with a setuid program; the plan and the programs are mounted into it.
"""

import json
import os
import pathlib
from typing import Any

import pytest

from tests.container import box, plans
from tests.container.conftest import Boxes, Start
from tests.container.test_refusals import derive, refusal

pytestmark = pytest.mark.container

PROGRAMS = pathlib.Path(__file__).parent / "programs_users"
USERS = {"victim": 2001, "hostile": 2002, "planter": 2003}
CAPABILITIES = ("CHOWN", "KILL", "SETGID", "SETUID")
ONLY_THESE = 1 << 0 | 1 << 5 | 1 << 6 | 1 << 7
HARDENED = (
    *box.HARDENED,
    *(f"--cap-add={name}" for name in CAPABILITIES),
    "--user=0:0",
    *box.TMPFS,
    "--pids-limit=200",
)
REFUSED = {"EACCES", "EPERM", "EROFS"}
HARMLESS = {
    "notify as an orphan, it is sent": {"did: sent"},
    "notify flood, it is sent": {"did: sent"},
    "signal everybody": {"did: sent to its own", "ESRCH"},
    "signal from within the victim's group": {"did: sent to its own", "EPERM"},
    "fork until nothing is left": {"EAGAIN"},
    "a setuid program's uid": {"did: 2002 setuid=True"},
    "user namespace": {"did: 0", "EPERM"},
    "namespace: notify with the victim's uid": {"EINVAL", "EPERM"},
}
"""What is not refused on the spot, and changes nothing."""


def manifest(users: dict[str, int]) -> dict[str, Any]:
    def program(name: str, **more: Any) -> dict[str, Any]:
        user = f"{users[name]}:{users[name]}"
        return {
            "command": ["python3", "-I", "-S", f"/opt/apart/{name}.py"],
            "user": user,
            "ready": {"notify": True},
            **more,
        }

    roots = [{"path": f"/run/{name}", "mode": "0755", "owner": f"{uid}:{uid}"} for name, uid in users.items()]
    return {
        "version": 1,
        "name": "apart",
        "security": {"exceptions": {"program-users": {"reason": "it runs code of others"}}},
        "boot": {"writable": [*roots, {"path": "/run/store", "mode": "0700"}]},
        "identity": {"id": {"default": "apart"}, "store": "/run/store/identity"},
        "secrets": {
            "victim-file": {"generate": 16, "programs": ["victim"]},
            "victim-variable": {"generate": 16, "env": "VICTIM_TOKEN", "programs": ["victim"]},
            "hostile-own": {"generate": 16, "env": "HOSTILE_TOKEN", "programs": ["hostile"]},
        },
        "programs": {
            "victim": program("victim"),
            "hostile": program("hostile", after=["victim"]),
            "planter": program(
                "planter",
                ready={"file": "/run/planter/here/boot.json", "timeout": "2s"},
                required=False,
                start_retries=1,
            ),
        },
    }


def compiled(directory: pathlib.Path, users: dict[str, int]) -> tuple[str, ...]:
    """Write the plan into ``directory`` and return how it is mounted."""
    return (plans.mounted(directory, manifest(users)), f"--volume={PROGRAMS}:/opt/apart:ro")


@pytest.fixture(scope="module")
def image(hello_image: str) -> str:
    """The hello image with a setuid program, which is how an image gives root away."""
    return derive(
        hello_image, "setuid", "RUN cp /usr/bin/id /usr/local/bin/id-of-root && chmod 4755 /usr/local/bin/id-of-root"
    )


@pytest.fixture(scope="module")
def mounts(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    return compiled(tmp_path_factory.mktemp("apart"), USERS)


@pytest.fixture(scope="module")
def module_boxes() -> Any:
    made = Boxes()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def apart(module_boxes: Boxes, image: str, mounts: tuple[str, ...]) -> box.Box:
    """The container after both rounds, sealed; tests look at it and change nothing."""
    ours = module_boxes.start(image, *HARDENED, *mounts)
    ours.wait_until_sealed()
    box.wait_for(lambda: rounds(ours), lambda seen: set(seen) == {1, 2} or not ours.is_running())
    return ours


def reports(ours: box.Box) -> list[dict[str, Any]]:
    """Return what the hostile program told."""
    return [json.loads(line) for line in ours.log().splitlines() if line.startswith('{"round"')]


def rounds(ours: box.Box) -> dict[int, dict[str, Any]]:
    """Return the rounds that are through."""
    return {report["round"]: report for report in reports(ours) if "attempts" in report}


def inside(ours: box.Box, path: str) -> pathlib.Path:
    return pathlib.Path(f"/proc/{ours.host_pids()[0]}/root{path}")


def values(ours: box.Box) -> dict[str, str]:
    """Return the secrets' values, which only root outside can read."""
    found = inside(ours, "/run/bootseal/secrets").glob("*/*")
    return {path.name: path.read_text().strip() for path in found}


def pids(ours: box.Box) -> dict[str, int]:
    """Return the host's pids of PID 1, the probe server and the programs."""
    found = {"pid1": ours.host_pids()[0]}
    for pid in ours.host_pids()[1:]:
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        for name in ("probes", *USERS):
            if name in words or f"/opt/apart/{name}.py" in words:
                found.setdefault(name, pid)
    return found


def program(ours: box.Box, name: str) -> dict[str, Any]:
    """Return what /health says of a program."""
    [health] = ours.fetch("8080/health")
    found = health.json["programs"]
    listed = found.values() if isinstance(found, dict) else found
    return next(dict(one) for one in listed if one.get("name", one.get("id")) == name)


# --- what the hostile program got --------------------------------------------------------------------------------------


def test_every_attempt_was_made_in_both_rounds_and_against_everybody(apart: box.Box) -> None:
    told = rounds(apart)
    assert set(told) == {1, 2}, apart.log()[-5000:]
    assert told[1]["found"] == ["pid1", "probes", "seal", "victim"]
    assert {"pid1", "probes", "victim"} <= set(told[2]["found"])
    for number, end in told.items():
        made = [report for report in reports(apart) if report["round"] == number and "attempt" in report]
        assert len(made) == end["attempts"] > 250
        assert len({report["attempt"] for report in made}) == len(made)


def test_what_it_may_do_succeeds(apart: box.Box) -> None:
    outcomes = {report["attempt"]: report["outcome"] for report in reports(apart) if "attempt" in report}
    controls = {name: outcome for name, outcome in outcomes.items() if name.startswith("control: ")}
    assert len(controls) == 9
    assert {name: outcome for name, outcome in controls.items() if not outcome.startswith("did: ")} == {}
    assert program(apart, "hostile")["status"] == "hostile and ready"


def test_everything_else_is_refused_or_changes_nothing(apart: box.Box) -> None:
    unexpected = []
    for report in reports(apart):
        name, outcome = report.get("attempt", "control: "), report.get("outcome")
        if name.startswith("control: "):
            continue
        allowed = HARMLESS.get(name, REFUSED)
        if name.startswith("http "):
            allowed = {"did: 404", "did: 405"}
        elif name.startswith("listen on "):
            allowed = {"EADDRINUSE"}
        elif name.startswith("notify MAINPID of "):
            allowed = {"did: sent"}
        elif name.startswith("seal ") or (report["round"] == 1 and name.endswith(" bootstrap.done")):
            allowed = REFUSED | {"ENOENT", "ESRCH"}  # the seal program ends; there is no seal yet
        if outcome not in allowed:
            unexpected.append(report)
    assert unexpected == []


def test_no_secret_of_its_neighbour_came_out(apart: box.Box) -> None:
    found = values(apart)
    assert set(found) == {"victim-file", "victim-variable", "hostile-own"}
    assert all(len(value) == 32 for value in found.values())
    log = apart.log()
    assert not [name for name, value in found.items() if value in log]
    environments = {name: pathlib.Path(f"/proc/{pid}/environ").read_text() for name, pid in pids(apart).items()}
    holders = {name for name, text in environments.items() if found["victim-variable"] in text}
    assert holders == {"victim"}
    assert not [name for name, text in environments.items() if found["victim-file"] in text]


def test_what_it_said_for_others_was_refused_and_told(apart: box.Box) -> None:
    reasons = [event["reason"] for event in apart.events() if event["event"] == "NotificationRefused"]
    assert any("belongs to no program" in reason for reason in reasons)
    assert any("MAINPID" in reason and "no process of hostile" in reason for reason in reasons)
    victim = program(apart, "victim")
    assert victim["status"] == "the victim itself"


# --- what is left afterwards ------------------------------------------------------------------------------------------


def test_the_victim_is_untouched(apart: box.Box) -> None:
    victim = program(apart, "victim")
    assert (victim["state"], victim["restarts"], victim["exits"]) == ("ready", 0, 0)
    assert inside(apart, "/run/victim/state").read_text() == "untouched"
    assert os.listdir(inside(apart, "/run/victim")) == ["state"]
    assert "victim was sent signal" not in apart.log()


def test_the_container_is_ready_and_its_seal_verifies(apart: box.Box) -> None:
    [ready] = apart.fetch("8080/ready")
    assert ready.status == 200, ready.text
    done = apart.run("bootseal", "verify")
    assert done.returncode == 0, done.stdout + done.stderr
    assert [event for event in apart.events() if event["event"] == "BootstrapFailed"] == []
    faults = {event["where"] for event in apart.events() if event["event"] == "ExtensionFault"}
    assert faults <= {"evidence of planter"}


def test_nothing_was_planted_where_it_is_not_the_programs_own(apart: box.Box) -> None:
    for path in ("/run", "/run/bootseal", "/run/bootseal/identity", "/run/bootseal/secrets", "/run/victim"):
        assert not [name for name in os.listdir(inside(apart, path)) if "planted" in name or "moved" in name], path
    for path in inside(apart, "/run/bootseal").rglob("*"):
        owner = path.lstat().st_uid
        assert owner == 0 or str(path).rpartition("/run/bootseal/")[2].startswith("secrets/"), path


def test_each_process_has_its_user_and_no_right_beyond_its_duty(apart: box.Box) -> None:
    found = pids(apart)
    for name, pid in found.items():
        status = apart.status_of(pid)
        uid = str(USERS.get(name, 0))
        assert set(status["Uid"].split()) == set(status["Gid"].split()) == {uid}, name
        effective = {int(status[f"Cap{kind}"], 16) for kind in ("Eff", "Prm")}
        assert effective == ({0} if name in USERS else {ONLY_THESE}), name
        assert (int(status["CapInh"], 16), int(status["CapAmb"], 16)) == (0, 0), name
        assert status["NoNewPrivs"] == "1", name
        if name in USERS:
            assert status["Groups"] == "", name
    assert set(found) >= {"pid1", "probes", "victim", "hostile"}


def test_secrets_and_sockets_are_whose_they_must_be(apart: box.Box) -> None:
    def seen(path: str) -> tuple[int, int, int]:
        status = inside(apart, path).lstat()
        return status.st_uid, status.st_gid, status.st_mode & 0o7777

    assert seen("/run/bootseal/secrets") == (0, 0, 0o711)
    assert seen("/run/bootseal/secrets/victim") == (2001, 2001, 0o500)
    assert seen("/run/bootseal/secrets/victim/victim-file") == (2001, 2001, 0o400)
    assert seen("/run/bootseal/notify.sock") == (0, 0, 0o666)
    for name in ("supervisor.sock", "ledger.sock"):
        assert seen(f"/run/bootseal/{name}") == (0, 0, 0o700)


def test_a_planted_link_leads_nobody_to_remove_what_is_not_the_programs(apart: box.Box) -> None:
    """What it leads to would be removed by whoever follows it with root's rights; its file is then not proven anew."""
    wait = box.wait_for(lambda: apart.log(), lambda log: "planter runs again" in log)
    assert "planter made its file" in wait
    assert "planter runs again" in wait
    assert inside(apart, "/run/bootseal/boot.json").is_file()
    told = [event["error"] for event in apart.events() if event["event"] == "ExtensionFault"]
    assert any("/run/planter/here/boot.json: it cannot be removed: Permission denied" in error for error in told)
    assert program(apart, "planter")["state"] != "ready"
    assert inside(apart, "/run/bootseal/boot.json").is_file()


# --- controls and refusals ----------------------------------------------------------------------------------------------


def test_the_same_program_under_the_victims_uid_gets_what_it_must_not(
    start: Start, image: str, tmp_path: pathlib.Path
) -> None:
    """Were the attempts broken, or the engine alone what refuses them, this would fail."""
    users = {**USERS, "hostile": USERS["victim"]}
    ours = start(image, *HARDENED, *compiled(tmp_path, users))
    wanted = {"victim read environ", "read /run/bootseal/secrets/victim/victim-file", "unlink victim's state"}

    def seen() -> set[str]:
        got = [report for report in reports(ours) if str(report.get("outcome")).startswith("did: ")]
        return {report["attempt"] for report in got} & wanted

    assert box.wait_for(seen, lambda got: got == wanted) == wanted, ours.log()[-3000:]


@pytest.mark.parametrize(
    ("options", "cause"),
    [
        (("--user=0:0", "--cap-add=CHOWN,SETUID,SETGID"), "lacks CAP_KILL"),
        (("--user=0:0",), "lacks CAP_CHOWN, CAP_KILL, CAP_SETGID, CAP_SETUID"),
        (("--user=1000:1000",), "it takes a PID 1 of root, and this one is 1000:1000"),
    ],
)
def test_without_what_the_exception_takes_the_boot_fails_and_says_what_to_add(
    start: Start, image: str, mounts: tuple[str, ...], options: tuple[str, ...], cause: str
) -> None:
    seen = refusal(start(image, *box.HARDENED, *box.TMPFS, *options, *mounts))
    assert seen.code == 6
    assert cause in seen.cause
    assert "SupervisorStarted" not in seen.names


def test_a_stop_reaches_programs_of_other_users(start: Start, image: str, mounts: tuple[str, ...]) -> None:
    ours = start(image, *HARDENED, *mounts)
    ours.wait_until_sealed()
    box.engine_ok("stop", "--time=60", ours.name)
    assert ours.wait_until_exited() == 0
    assert "could not be stopped" not in ours.log()
