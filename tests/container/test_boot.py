"""A hardened boot from start to seal, seen by every reader: probes, supervisorctl, testinfra, the record, the log."""

import json
from typing import Any

import pytest

from tests.container import box
from tests.container.conftest import Start

pytestmark = pytest.mark.container

PROGRAMS = {
    "hello": {"greeter": "RUNNING", "ticker": "RUNNING", "prepare": "EXITED"},
    "shop": {
        "redis": "RUNNING",
        "migrate": "EXITED",
        "api": "RUNNING",
        "worker": "RUNNING",
        "frontdoor": "RUNNING",
        "exporter": "RUNNING",
    },
}
OURS = {"probes": "RUNNING", "bootstrap": "EXITED", "bootstrap-seal": "EXITED"}


def plan_of(container: box.Box) -> dict[str, Any]:
    return dict(json.loads(container.host.file("/opt/bootseal/etc/plan.json").content_string))


def required(container: box.Box) -> set[str]:
    return {item["name"] for item in plan_of(container)["programs"] if item["required"] and item["role"] == "program"}


def test_every_program_runs_or_has_completed(sealed: box.Box) -> None:
    """Supervisord calls a program RUNNING a second after its start; one that proved itself is ready before."""
    wanted = {**PROGRAMS[plan_of(sealed)["name"]], **OURS}
    assert box.wait_for(sealed.supervisor_states, lambda states: states == wanted) == wanted


def test_one_shots_completed_with_code_0(sealed: box.Box) -> None:
    [health] = sealed.fetch("8080/health")
    for program in health.json["programs"]:
        if program["oneshot"]:
            assert program["last_exit"] == {"code": 0, "signal": None}, program["name"]


def test_testinfra_sees_the_programs_as_supervisorctl_does(sealed: box.Box) -> None:
    name = "greeter" if plan_of(sealed)["name"] == "hello" else "api"
    seen = sealed.host.supervisor(name)
    assert seen.is_running
    assert str(seen.pid) in sealed.host.file("/proc").listdir()


def test_the_seal_is_read_only_names_every_required_program_and_verifies(sealed: box.Box) -> None:
    seal = sealed.host.file("/run/bootseal/bootstrap.done")
    assert seal.mode == 0o444
    record = json.loads(seal.content_string)
    assert {program["name"] for program in record["programs"]} == required(sealed)
    assert record["generation"] == 1
    done = sealed.run("bootseal", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_seal_is_of_this_pid_1_and_younger_than_it(sealed: box.Box) -> None:
    record = json.loads(sealed.host.file("/run/bootseal/bootstrap.done").content_string)
    stat = sealed.host.file("/proc/1/stat").content_string
    assert record["pid1_start"] == int(stat.rpartition(")")[2].split()[19])
    assert record["elapsed_seconds"] > 0


@pytest.mark.parametrize("path", ["/livez", "/startupz", "/ready", "/health", "/whoami", "/v1/meta"])
def test_every_path_answers_200_with_json(sealed: box.Box, path: str) -> None:
    [answer] = sealed.fetch(f"8080{path}")
    assert (answer.status, answer.content_type) == (200, "application/json")
    assert isinstance(answer.json, dict)


def test_ready_names_what_was_required(sealed: box.Box) -> None:
    [answer] = sealed.fetch("8080/ready")
    assert answer.json["ready"] is True
    assert required(sealed) <= set(answer.json["requirements"])


def test_metrics_say_ready(sealed: box.Box) -> None:
    places = ["8080/metrics"] + (["9091/metrics"] if plan_of(sealed)["probes"]["metrics_port"] else [])
    for answer in sealed.fetch(*places):
        assert answer.status == 200
        assert "bootseal_readiness 1.0" in answer.text.splitlines()


def test_meta_tells_the_effective_security_profile(sealed: box.Box) -> None:
    [answer] = sealed.fetch("8080/v1/meta")
    security = answer.json["security"]["effective"]
    assert (security["uid"], security["gid"]) == (1000, 1000)
    assert not any(security["capabilities"].values())
    assert security["no_new_privileges"] is True
    assert security["root_read_only"] is True


def test_whoami_is_the_containers_identity(sealed: box.Box) -> None:
    [answer] = sealed.fetch("8080/whoami")
    record = json.loads(sealed.host.file("/run/bootseal/bootstrap.done").content_string)
    assert answer.json["id"] == record["identity"]["id"] == sealed.inspect("{{.Config.Hostname}}")
    assert answer.json["boot_id"] == record["boot_id"]


def test_the_log_holds_nothing_that_looks_like_trouble(sealed: box.Box) -> None:
    assert [event for event in sealed.events() if event["level"] in {"warn", "error"}] == []
    words = {line.split()[2] for line in sealed.log().splitlines() if line[:4].isdecimal() and len(line.split()) > 2}
    assert words & {"CRIT", "WARN", "ERRO"} == set()
    assert "Traceback" not in sealed.log()


def test_the_log_tells_the_boot_in_order(sealed: box.Box) -> None:
    """Every source counts its own events, so a gap would show a lost one."""
    events = sealed.events()
    names = [event["event"] for event in events]
    milestones = ["BootstrapStarted", "RuntimeClosureValidated", "BootstrapSealStarted", "BootstrapCompleted"]
    assert [name for name in names if name in milestones] == milestones
    for source in {event["source"] for event in events}:
        counted = [event["seq"] for event in events if event["source"] == source]
        assert counted == list(range(1, len(counted) + 1)), source
    assert {event["boot_id"] for event in events} == {events[0]["boot_id"]}


def test_supervisorctl_obeys_no_configuration_of_the_working_directory(sealed: box.Box) -> None:
    planted = "[supervisorctl]\nserverurl=unix:///tmp/elsewhere.sock\n[include]\nfiles=/tmp/hostile/*.ini\n"
    write = "import os, sys; os.makedirs('/tmp/hostile/etc', exist_ok=True); text = sys.stdin.read()\n"
    write += "for name in ('supervisord.conf', 'etc/supervisord.conf'): open(f'/tmp/hostile/{name}', 'w').write(text)\n"
    write += "for name in ('supervisor', 'xmlrpc', 'socket'): open(f'/tmp/hostile/{name}.py', 'w').write('raise SystemExit(99)')"
    sealed.python(write, planted)
    done = sealed.run("sh", "-c", "cd /tmp/hostile && PYTHONPATH=/tmp/hostile supervisorctl pid")
    assert (done.stdout.strip(), done.returncode) == ("1", 0), done.stderr


def test_any_uid_works_without_a_passwd_entry(start: Start, hello_image: str, shop_image: str) -> None:
    others = [
        start(image, *box.HARDENED, "--user=54321:54321", "--passwd=false", *box.TMPFS)
        for image in (hello_image, shop_image)
    ]
    for other in others:
        other.wait_until_sealed()
        assert other.host.file("/run/bootseal").uid == 54321
        assert "54321" not in other.host.file("/etc/passwd").content_string
        assert other.run("bootseal", "verify").returncode == 0
