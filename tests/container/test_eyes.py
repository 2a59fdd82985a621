"""What people and tools see of a hardened container from inside: the command line, supervisorctl, and every path of the probe server.

Rules
-----
* The image is the hello example's; the plan is this file's, mounted into it. One program works, one is broken, and a small tmpfs must
  have room.
* What one of them tells is compared with what another says of the same moment.
"""

import json
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from typing import Any

import pytest

from tests.container import box, plans
from tests.container.conftest import Boxes

pytestmark = pytest.mark.container

ROOM = "/room"
SVG = "{http://www.w3.org/2000/svg}svg"
MANIFEST = {
    "version": 1,
    "name": "eyes",
    "boot": {"writable": [ROOM]},
    "programs": {
        "prepare": {"command": ["sh", "-c", "echo prepared"], "oneshot": True},
        "worker": {
            "command": ["sh", "-c", "echo begun; echo working; exec sleep 1000"],
            "after": ["prepare"],
            "ready": {"running": True, "for": "0s"},
        },
        "sick": {
            "command": ["sh", "-c", "echo the key is missing >&2; exit 3"],
            "required": False,
            "start_retries": 1,
        },
    },
    "ready": {"mounts": [{"path": ROOM, "free": "1MiB", "mounted": True}]},
    "probes": {"listen": "127.0.0.1:8080", "metrics": "127.0.0.1:9091"},
}
OF_THE_MACHINE = {"Landlock", "system calls", "cgroups", "memory", "clock"}


@pytest.fixture(scope="module")
def own() -> Iterator[Boxes]:
    """The containers of this file."""
    made = Boxes()
    yield made
    made.remove()


@pytest.fixture(scope="module")
def options(hello_image: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """What to start: image, hardening and plan."""
    plan = plans.mounted(tmp_path_factory.mktemp("eyes"), MANIFEST)
    return (hello_image, *box.HARDENED, *box.USER, *box.TMPFS, f"--tmpfs={ROOM}:U,size=4m", plan)


def settled(own: Boxes, options: tuple[str, ...]) -> box.Box:
    """Return a container that is sealed, and in which the broken program was given up."""
    started = own.start(*options)
    started.wait_until_sealed()
    started.fetch_until("8080/health", lambda answer: program(answer.json, "sick")["final"])
    return started


@pytest.fixture(scope="module")
def eyes(own: Boxes, options: tuple[str, ...]) -> box.Box:
    """Tests look at it and change nothing."""
    return settled(own, options)


@pytest.fixture(scope="module")
def patient(own: Boxes, options: tuple[str, ...]) -> box.Box:
    """For tests that hurt it; each leaves it ready."""
    return settled(own, options)


def program(told: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what /health or status says of ``name``."""
    return next(dict(one) for one in told["programs"] if one["name"] == name)


def health(container: box.Box) -> dict[str, Any]:
    [answer] = container.fetch("8080/health")
    return dict(answer.json)


def command(container: box.Box, *words: str, code: int = 0) -> str:
    """Return what ``bootseal`` prints; it must exit with ``code``."""
    return said(container, "bootseal", *words, code=code)


def said(container: box.Box, *argv: str, code: int = 0) -> str:
    done: subprocess.CompletedProcess[str] = container.run(*argv)
    assert done.returncode == code, f"{argv}: exit {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout if code == 0 or done.stdout else done.stderr


def data(container: box.Box, *words: str) -> Any:
    return json.loads(command(container, *words, "--format", "json"))


# --- the command line ---------------------------------------------------------------------------------------------------


def test_status_says_what_health_says(eyes: box.Box) -> None:
    status, seen = data(eyes, "status"), health(eyes)
    assert (status["state"], status["told_by"], status["name"]) == ("ready", "probes", "eyes")
    stands = ("state", "reason", "since", "pid", "restarts", "required")
    for one in seen["programs"]:
        assert {key: program(status, one["name"])[key] for key in stands} == {key: one[key] for key in stands}
    assert {(one["kind"], one["id"], one["met"]) for one in status["requirements"]} == {
        ("mount", ROOM, True),
        ("identity", "identity", True),
    }
    text = command(eyes, "status").splitlines()
    assert text[0].startswith("READY for ")
    assert any(line.split()[:3] == ["sick", "(optional)", "failed"] for line in text)


def test_why_tells_of_a_ready_container_and_of_a_broken_program_with_its_last_words(eyes: box.Box) -> None:
    assert command(eyes, "why").startswith("ready for ")
    text = command(eyes, "why", "sick", code=1).splitlines()
    assert text[0] == "sick is FATAL after 2 tries: it exited with code 3 too early"
    assert "  | the key is missing" in text
    told = json.loads(command(eyes, "why", "sick", "--format", "json", code=1))
    assert [cause["id"] for cause in told["causes"]] == ["sick"]


def test_logs_are_the_newest_lines_of_who_is_asked_for(eyes: box.Box) -> None:
    assert command(eyes, "logs", "-n", "1", "worker") == "working\n"
    assert command(eyes, "logs", "worker") == "begun\nworking\n"
    everybody = command(eyes, "logs").splitlines()
    assert [line for line in everybody if line.startswith("prepare")] == ["prepare | prepared"]
    assert [line for line in everybody if line.startswith("sick")] == ["sick    ! the key is missing"] * 2


def test_events_are_those_that_the_container_printed_and_those_that_are_streamed(eyes: box.Box) -> None:
    lines = command(eyes, "events", "--format", "json").splitlines()
    told = sorted((json.loads(line) for line in lines), key=lambda event: (event["source"], event["seq"]))
    assert told == sorted(eyes.events(), key=lambda event: (event["source"], event["seq"]))
    assert {"stage-a", "supervisord", "seal", "probes"} >= {event["source"] for event in told} >= {"stage-a", "probes"}
    assert len(command(eyes, "events", "-n", "3").splitlines()) == 3
    [stream] = eyes.fetch("8080/v1/events?follow=false")
    assert (stream.status, stream.content_type) == (200, "text/event-stream")
    streamed = [
        json.loads(line.removeprefix("data: ")) for line in stream.text.splitlines() if line.startswith("data: ")
    ]
    assert streamed == [json.loads(line) for line in lines]


def test_analyze_explains_the_whole_time_to_the_seal(eyes: box.Box) -> None:
    record = json.loads(eyes.host.file("/run/bootseal/bootstrap.done").content_string)
    told = data(eyes, "analyze")
    assert told["phase"] == "sealed"
    assert [link["name"] for link in told["chain"]][-1] == "Stage A"
    assert told["sealed"] >= record["elapsed_seconds"] > 0
    assert sum(link["seconds"] + (link["lag"] or 0) for link in told["chain"]) == pytest.approx(
        told["sealed"], abs=0.01
    )
    drawn = ET.fromstring(command(eyes, "analyze", "--svg", "-"))
    assert drawn.tag == SVG
    assert command(eyes, "analyze").startswith("sealed ")


def test_wait_ends_at_once_when_it_is_so_or_can_never_be(eyes: box.Box) -> None:
    for what in ("ready", "sealed", "program=worker", f"requirement={ROOM}"):
        command(eyes, "wait", "--for", what)
    never = command(eyes, "wait", "--for", "program=sick", "--timeout", "10m", code=1)
    assert "sick is FATAL" in never
    assert "worker" in command(eyes, "wait", "--for", "program=wroker", code=2), "the nearest name"


def test_doctor_finds_nothing_wrong_with_a_hardened_container_and_knows_that_it_is_one(eyes: box.Box) -> None:
    found = data(eyes, "doctor")["findings"]
    [kernel] = [one["found"] for one in found if one["what"] == "kernel"]
    assert kernel.endswith(", in a container")
    levels = {one["what"]: one["level"] for one in found if one["what"] not in OF_THE_MACHINE}
    assert levels == dict.fromkeys(levels, "OK")
    assert set(levels) >= {"user", "hardening", "root", "run directory", "processes", "plan", "boot", "socket"}
    assert "FAIL" not in [one["level"] for one in found]


def test_the_shells_complete_commands_and_the_programs_that_run(eyes: box.Box) -> None:
    for shell in ("bash", "zsh", "fish"):
        assert "bootseal" in command(eyes, "completion", shell)
    script = 'eval "$(bootseal completion bash)"; complete -p bootseal'
    assert "bootseal" in said(eyes, "bash", "-euc", script)
    asked = ("env", "COMP_WORDS=bootseal why s", "COMP_CWORD=2", "_BOOTSEAL_COMPLETE=bash_complete", "bootseal")
    assert said(eyes, *asked).split() == ["plain,sick"]


def test_another_user_is_told_that_nothing_can_be_known_and_no_word_of_a_program(eyes: box.Box) -> None:
    def as_stranger(*argv: str) -> subprocess.CompletedProcess[str]:
        return box.engine("exec", "--user=2000:2000", eyes.name, *argv)

    seen = as_stranger("bootseal", "status", "--format", "json")
    told = json.loads(seen.stdout)
    assert (seen.returncode, told["state"], told["told_by"], told["phase"]) == (1, "unknown", "nothing", "hidden")
    assert "run it as the container's user or as root" in told["reason"]
    assert told["programs"] == []
    for words in (("bootseal", "why"), ("bootseal", "logs"), ("bootseal", "events"), ("supervisorctl", "ready")):
        done = as_stranger(*words)
        assert done.returncode != 0, words
        assert "worker" not in done.stdout + done.stderr, words
        assert "it boots" not in done.stdout + done.stderr, words
        assert "Traceback" not in done.stderr, words


# --- supervisorctl ------------------------------------------------------------------------------------------------------


def test_supervisorctl_has_ready_why_and_seal(eyes: box.Box) -> None:
    assert said(eyes, "supervisorctl", "ready") == "ready\n"
    sick = said(eyes, "supervisorctl", "why", "sick").splitlines()
    assert sick[0].startswith("sick: failed")
    assert "  | the key is missing" in sick
    assert "no such process" in said(eyes, "supervisorctl", "why", "wroker", code=1)
    seal = said(eyes, "supervisorctl", "seal")
    assert seal.startswith("sealed at ")
    assert "bootstrap.done is that record" in seal
    for name in ("ready", "why", "seal"):
        assert name in said(eyes, "supervisorctl", "help", name)


# --- HTTP ---------------------------------------------------------------------------------------------------------------


def test_the_page_is_one_document_that_asks_nobody_else(eyes: box.Box) -> None:
    [page] = eyes.fetch("8080/")
    assert (page.status, page.content_type) == (200, "text/html")
    assert page.text.lstrip().lower().startswith("<!doctype html>")
    assert "<script" in page.text
    assert "<style" in page.text
    for elsewhere in ("http://", "https://", "src=", "@import", 'rel="stylesheet"'):
        assert elsewhere not in page.text.replace("http://www.w3.org/", ""), elsewhere


def test_every_path_of_the_contract_is_there(eyes: box.Box) -> None:
    [document] = eyes.fetch("8080/openapi.json")
    assert document.json["openapi"].startswith("3.1")
    paths = list(document.json["paths"])
    assert {"/", "/livez", "/startupz", "/ready", "/health", "/whoami", "/metrics", "/v1/meta", "/v1/events"} <= set(
        paths
    )
    answers = eyes.fetch(*(f"8080{path}{'?follow=false' if path == '/v1/events' else ''}" for path in paths))
    assert {path: answer.status for path, answer in zip(paths, answers, strict=True)} == dict.fromkeys(paths, 200)


def test_metrics_are_the_same_on_both_ports_and_tell_of_programs(eyes: box.Box) -> None:
    answers = eyes.fetch("8080/metrics", "9091/metrics", "9091/health")
    assert [answer.status for answer in answers] == [200, 200, 404]
    names = [
        {line.split("{")[0].split()[0] for line in one.text.splitlines() if not line.startswith("#")}
        for one in answers[:2]
    ]
    assert names[0] == names[1]
    lines = answers[0].text.splitlines()
    assert "bootseal_readiness 1.0" in lines
    assert 'bootseal_program_state{program="sick",state="failed"} 1.0' in lines
    worker = [line for line in lines if line.startswith('bootseal_program_resident_memory_bytes{program="worker"}')]
    assert float(worker[0].split()[1]) > 0, "the kernel lets the probe server see it under all hardening"


def test_the_servers_socket_answers_its_own_user(eyes: box.Box) -> None:
    asked = (
        "import http.client, socket\n"
        "connection = http.client.HTTPConnection('localhost')\n"
        "connection.sock = socket.socket(socket.AF_UNIX)\n"
        "connection.sock.connect('/run/bootseal/probes.sock')\n"
        "connection.request('GET', '/v1/meta')\n"
        "print(connection.getresponse().read().decode())\n"
    )
    told, [meta] = json.loads(eyes.python(asked)), eyes.fetch("8080/v1/meta")
    assert told["endpoints"] == meta.json["endpoints"]
    assert told["endpoints"]["detail"]["reach"] == "loopback"


# --- an outage, as everybody sees it ------------------------------------------------------------------------------------


def test_a_mount_that_fills_up_is_an_outage_with_a_name_until_there_is_room(patient: box.Box) -> None:
    said(patient, "sh", "-c", f"dd if=/dev/zero of={ROOM}/big bs=1M count=4 2>/dev/null")
    outage = patient.fetch_until("8080/ready", lambda answer: answer.status == 503).json
    [row] = outage["missing"]
    assert (row["kind"], row["id"], row["required"]) == ("mount", ROOM, True)
    assert outage["reason"].startswith(f"required mount {ROOM}: 0 bytes are free")
    assert f"mount {ROOM}: 0 bytes are free" in command(patient, "why", code=1)
    assert command(patient, "status", code=1).startswith("UNREADY")
    [alive, sealed] = patient.fetch("8080/livez", "8080/startupz")
    assert (alive.status, sealed.status) == (200, 200)
    said(patient, "rm", f"{ROOM}/big")
    command(patient, "wait", "--for", "ready")
    patient.fetch_until("8080/ready", lambda answer: answer.status == 200)
    changes = [event for event in patient.events() if event["event"] == "ReadinessChanged"]
    assert [(event["ready"], event["missing"]) for event in changes][-2:] == [(False, [f"mount:{ROOM}"]), (True, [])]
    assert said(patient, "ls", "-A", ROOM) == "", "what the looks wrote is gone"


def test_operators_act_from_inside(patient: box.Box) -> None:
    before = program(health(patient), "worker")["pid"]
    assert "is ready" in command(patient, "restart", "worker")
    assert program(health(patient), "worker")["pid"] != before
    command(patient, "stop", "worker")
    assert "worker" in command(patient, "why", code=1)
    assert said(patient, "supervisorctl", "ready", code=1).startswith("worker")
    command(patient, "start", "worker")
    command(patient, "wait", "--for", "ready")
