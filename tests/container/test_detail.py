"""Who is answered detail, over a real network and among users: other machines, clients with a token, programs of other users.

Rules
-----
* The other network namespace is the machine's own, seen over podman's bridge; where that cannot be had, a test skips by name, and fails
  where container tests are required.
* The token is a secret of the manifest's, generated at boot; it is read on the host, as root.
"""

import contextlib
import http.client
import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.container import box, conftest, plans
from tests.container.conftest import Boxes

pytestmark = pytest.mark.container

DETAIL = ("/health", "/v1/meta", "/v1/events?follow=false", "/")
PROBES = ("/livez", "/startupz", "/ready", "/whoami", "/metrics", "/openapi.json")
OPEN = [option for option in box.HARDENED if not option.startswith("--network=")]
READY = {"running": True, "for": "0s"}
TOKEN = "/run/bootseal/secrets/probes/detail-token"
USERS = {"reader": 2001, "other": 2002}
CURIOUS = """
import http.client, json, os, pathlib, socket, sys, time
def tried(act):
    try:
        return act()
    except OSError as error:
        return type(error).__name__
def asked(path, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()
def by_socket():
    with socket.socket(socket.AF_UNIX) as client:
        client.connect("/run/bootseal/probes.sock")
        client.sendall(b"GET /health HTTP/1.0\\r\\n\\r\\n")
        return len(client.recv(1000))
while tried(lambda: asked("/startupz")[0]) != 200:
    time.sleep(0.05)
print(json.dumps({
    "curious": os.getuid(),
    "file": tried(lambda: open(sys.argv[1]).read()),
    "folder": tried(lambda: os.listdir(os.path.dirname(sys.argv[1]))),
    "environ": "DETAIL" in " ".join(os.environ),
    "without": asked("/health")[0],
    "wrong": asked("/health", Authorization="Bearer " + "0" * 48)[0],
    "ready": asked("/ready")[0],
    "socket": tried(by_socket),
}), flush=True)
time.sleep(1000)
"""


@pytest.fixture(scope="module")
def own() -> Iterator[Boxes]:
    """The containers of this file."""
    made = Boxes()
    yield made
    made.remove()


def ask(host: str, port: int, path: str, **headers: str) -> tuple[int, str]:
    """Return status and text of a GET from here, which is not the container's network namespace."""
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=box.PATIENCE_SECONDS)) as connection:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


# --- another network namespace ------------------------------------------------------------------------------------------


def bridged(own: Boxes, image: str, *options: str) -> tuple[box.Box, str]:
    """Start a hardened container on podman's bridge; return it, sealed, and its address."""
    try:
        started = own.start(image, *OPEN, "--network=podman", *box.USER, *box.TMPFS, *options)
    except AssertionError as error:
        if os.environ.get("CI") or os.environ.get(conftest.REQUIRE):
            raise
        pytest.skip(f"podman has no bridge here: {error}")
    started.wait_until_sealed()
    return started, started.inspect("{{.NetworkSettings.IPAddress}}")


@pytest.fixture(scope="module")
def distant(own: Boxes, hello_image: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[box.Box, str]:
    """A container whose probes everybody may ask, and whose detail the manifest opens to nobody."""
    programs = {"worker": {"command": ["sleep", "1000"], "ready": READY}}
    manifest = {"version": 1, "name": "distant", "programs": programs, "probes": {"listen": "0.0.0.0:8080"}}
    return bridged(own, hello_image, plans.mounted(tmp_path_factory.mktemp("distant"), manifest))


def test_probes_answer_another_machine_and_detail_does_not(distant: tuple[box.Box, str]) -> None:
    ours, address = distant
    assert {path: ask(address, 8080, path)[0] for path in PROBES} == dict.fromkeys(PROBES, 200)
    for path in DETAIL:
        status, text = ask(address, 8080, path)
        assert status == 403, path
        assert "loopback" in json.loads(text)["error"]
        assert "worker" not in text
    assert {answer.status for answer in ours.fetch(*(f"8080{path}" for path in DETAIL))} == {200}


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "X-Real-IP", "Host"])
def test_nothing_that_a_client_says_of_itself_makes_it_one_on_loopback(
    distant: tuple[box.Box, str], header: str
) -> None:
    value = {"Forwarded": "for=127.0.0.1", "Host": "localhost:8080"}
    assert ask(distant[1], 8080, "/health", **{header: value.get(header, "127.0.0.1")})[0] == 403


def test_the_containers_own_address_is_not_loopback_either(distant: tuple[box.Box, str]) -> None:
    """Who comes from the container's own address came over its network: with ``--network=host`` that is every machine's."""
    ours, address = distant
    asked = f"import urllib.request; urllib.request.urlopen('http://{address}:8080/health', timeout=30)"
    done = ours.run("/opt/bootseal/bin/python", "-I", "-c", asked)
    assert "403" in done.stderr


def test_a_token_opens_detail_to_another_machine(
    own: Boxes, hello_image: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    manifest = {
        "version": 1,
        "name": "distant",
        "programs": {"worker": {"command": ["sleep", "1000"], "ready": READY}},
        "secrets": {"detail-token": {"generate": 24}},
        "probes": {
            "listen": "0.0.0.0:8080",
            "detail": {"listen": "0.0.0.0:8081", "token": {"secret": "detail-token"}},
        },
    }
    ours, address = bridged(own, hello_image, plans.mounted(tmp_path_factory.mktemp("token"), manifest))
    token = inside(ours, TOKEN).read_text()
    assert ask(address, 8081, "/health")[0] == 401
    assert ask(address, 8081, "/health", Authorization=f"Bearer {token[::-1]}")[0] == 401
    status, text = ask(address, 8081, "/health", Authorization=f"Bearer {token}")
    assert (status, json.loads(text)["status"]) == (200, "ready")
    assert ask(address, 8080, "/health", Authorization=f"Bearer {token}")[0] == 404
    assert ask(address, 8080, "/ready")[0] == 200


# --- a token under program-users ------------------------------------------------------------------------------------------


def inside(ours: box.Box, path: str) -> pathlib.Path:
    return pathlib.Path(f"/proc/{ours.host_pids()[0]}/root{path}")


@pytest.fixture(scope="module")
def apart(own: Boxes, hello_image: str, tmp_path_factory: pytest.TempPathFactory) -> box.Box:
    """Two curious programs, each a user of its own, under a PID 1 of root; sealed."""

    def curious(uid: int) -> dict[str, Any]:
        command = ["python3", "-I", "-S", "-c", CURIOUS, TOKEN]
        return {"command": command, "user": f"{uid}:{uid}", "ready": READY}

    manifest = {
        "version": 1,
        "name": "apart",
        "security": {"exceptions": {"program-users": {"reason": "it runs code of others"}}},
        "secrets": {"detail-token": {"generate": 24}},
        "programs": {name: curious(uid) for name, uid in USERS.items()},
        "probes": {"listen": "127.0.0.1:8080", "detail": {"token": {"secret": "detail-token"}}},
    }
    plan = plans.mounted(tmp_path_factory.mktemp("apart"), manifest)
    added = [f"--cap-add={name}" for name in ("CHOWN", "KILL", "SETGID", "SETUID")]
    started = own.start(hello_image, *box.HARDENED, *added, "--user=0:0", *box.TMPFS, plan)
    started.wait_until_sealed()
    return started


def told(ours: box.Box) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ours.log().splitlines() if line.startswith('{"curious"')]


def test_programs_of_other_users_neither_read_the_token_nor_see_detail_without_it(apart: box.Box) -> None:
    seen = box.wait_for(lambda: told(apart), lambda lines: len(lines) == len(USERS))
    refused = {"file": "PermissionError", "folder": "PermissionError", "environ": False, "socket": "PermissionError"}
    refused |= {"without": 401, "wrong": 401, "ready": 200}
    assert sorted((one.pop("curious"), one) for one in seen) == [(uid, refused) for uid in sorted(USERS.values())]


def test_the_token_is_roots_alone_and_its_bearer_is_answered(apart: box.Box) -> None:
    file = inside(apart, TOKEN)
    for path in (file, file.parent):
        status = path.lstat()
        assert (status.st_uid, status.st_gid, status.st_mode & 0o077) == (0, 0, 0), path
    token = file.read_text()
    asked = (
        "import sys, urllib.request\n"
        "request = urllib.request.Request('http://127.0.0.1:8080/health', headers={'Authorization': 'Bearer ' + sys.stdin.read()})\n"
        "print(urllib.request.urlopen(request, timeout=30).read().decode())\n"
    )
    assert json.loads(apart.python(asked, token))["status"] == "ready"
    assert apart.fetch("8080/health")[0].status == 401
    for pid in apart.host_pids():
        assert token not in pathlib.Path(f"/proc/{pid}/environ").read_text(errors="replace")
    assert token not in apart.log()


def test_root_sees_all_by_the_command_line_and_a_programs_user_learns_nothing(apart: box.Box) -> None:
    assert apart.run("bootseal", "status").stdout.startswith("READY")
    done = box.engine("exec", f"--user={USERS['reader']}", apart.name, "bootseal", "status", "--format", "json")
    seen = json.loads(done.stdout)
    assert (done.returncode, seen["state"], seen["phase"], seen["programs"]) == (1, "unknown", "hidden", [])
