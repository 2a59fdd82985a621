"""Who is answered detail by the real server, over TCP and over the unix socket."""

import http.client
import os
import socket
import subprocess
import sys

import pytest

from manifest import serving
from tests.unit import boots

DETAIL = ("/health", "/v1/meta", "/v1/events?follow=false", "/")
PROBES = ("/livez", "/ready", "/startupz", "/whoami", "/metrics")
TOKEN = "a token that is long enough"


class Local(http.client.HTTPConnection):
    """HTTP over the unix socket."""

    def __init__(self, path):
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(30)
        self.sock.connect(self._path)


def local(server, path, **headers):
    """Ask over the unix socket; return the status and the body."""
    client = Local(server.boot.run.probes_socket)
    try:
        client.request("GET", path, headers=headers)
        answer = client.getresponse()
        return answer.status, answer.read()
    finally:
        client.close()


@pytest.fixture
def serve(tmp_path, make, start):
    """Start a ready server with this ``detail``; return it."""
    fakes = []

    def begin(reach, *, token=None, host="127.0.0.1"):
        port = make.free_port() if reach == serving.OWN else None
        own = "127.0.0.1" if reach == serving.OWN else None
        where = boots.listening(
            host=host, port=make.free_port(), detail=serving.DetailPlan(reach, own, port, token and str(token))
        )
        a_boot = make.boot(tmp_path, probes=where)
        a_boot.port = where.port
        fake = make.pid1(a_boot.run)
        fakes.append(fake)
        fake.tell(a_boot.sealed_ledger())
        server = start(a_boot, wait=False)
        server.until("/ready", 200)
        return server

    yield begin
    for fake in fakes:
        fake.stop()


def statuses(server, paths, **kwargs):
    return {server.get(path, **kwargs).status for path in paths}


def far_address():
    """Return an address of this machine that is not loopback, or None."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: it asks for the address that would be used
        except OSError:
            return None
        return probe.getsockname()[0]


def test_by_default_detail_is_for_loopback_and_nobody_else(serve):
    server = serve(serving.LOOPBACK, host="0.0.0.0")
    assert statuses(server, DETAIL) == {200}
    far = far_address()
    if far is None or far.startswith("127."):
        assert "CI" not in os.environ, "this machine has loopback only"
        pytest.skip("this machine has no address but loopback")
    for path in (*DETAIL, *PROBES):
        with socket.create_connection((far, server.boot.port), timeout=30) as client:
            client.sendall(
                f"GET {path} HTTP/1.1\r\nHost: {far}\r\nX-Forwarded-For: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
            )
            answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.startswith(b"HTTP/1.1 403 " if path in DETAIL else b"HTTP/1.1 200 ")
        assert (b"probes.detail of the manifest" in answer) == (path in DETAIL)


def test_open_detail_is_for_every_client_of_the_listener(serve):
    assert statuses(serve(serving.OPEN), (*DETAIL, *PROBES)) == {200}


def test_detail_on_its_own_address_is_there_and_nowhere_else(serve):
    server = serve(serving.OWN)
    own = server.boot.plan.probes.detail.port

    assert statuses(server, DETAIL) == {404}
    assert statuses(server, DETAIL, port=own) == {200}
    assert statuses(server, PROBES) == {200}
    assert statuses(server, PROBES, port=own) == {404}


def test_detail_on_the_socket_alone_is_on_no_port(serve):
    server = serve(serving.SOCKET)

    assert statuses(server, DETAIL) == {404}
    assert {local(server, path)[0] for path in (*DETAIL, *PROBES)} == {200}


def test_the_socket_answers_everything_whatever_is_asked_for_over_tcp(serve, tmp_path):
    server = serve(serving.OPEN, token=tmp_path / "no such token")

    assert statuses(server, ("/health",)) == {503}
    assert {local(server, path)[0] for path in (*DETAIL, *PROBES)} == {200}
    assert b"the last line it wrote" in local(server, "/health")[1]
    assert local(server, "/health", Host="rebound.example", Origin="https://evil.example")[0] == 200


def test_with_a_token_only_who_shows_it_reads_more_than_the_probes(serve, tmp_path):
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    server = serve(serving.LOOPBACK, token=token)
    good, bad = {"Authorization": f"Bearer {TOKEN}"}, {"Authorization": "Bearer a token that is long enoughh"}

    assert statuses(server, PROBES) == {200}
    assert server.get("/").status == 200
    assert statuses(server, DETAIL[:3]) == {401}
    assert statuses(server, DETAIL[:3], headers=bad) == {401}
    assert server.get("/health", headers=bad).headers["WWW-Authenticate"] == "Bearer"
    assert statuses(server, DETAIL, headers=good) == {200}
    token.write_text("another one that is long enough")
    assert statuses(server, DETAIL[:3], headers=good) == {401}
    token.write_text("")
    refused = server.get("/health", headers={"Authorization": "Bearer "})
    assert (refused.status, str(token) in refused.json["error"]) == (503, True)
    said = server.stderr.read_text()
    assert "enoughh" not in said
    assert TOKEN not in said


def test_neither_the_pages_of_other_sites_nor_names_that_others_chose_read_detail(serve):
    server = serve(serving.LOOPBACK)
    port = server.boot.port

    assert statuses(server, DETAIL, headers={"Host": f"rebound.example:{port}"}) == {403}
    assert statuses(server, DETAIL, headers={"Origin": "https://evil.example"}) == {403}
    assert statuses(server, DETAIL, headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}) == {403}
    assert statuses(server, DETAIL, headers={"Host": f"localhost:{port}"}) == {200}
    assert statuses(server, PROBES, headers={"Host": "any.name.example", "Origin": "https://evil.example"}) == {200}


def test_a_refusal_is_counted_under_its_path_and_repeats_nothing(serve):
    server = serve(serving.LOOPBACK)
    reply = server.get("/health", headers={"Host": "rebound.example", "Origin": "https://evil.example"})

    assert "example" not in reply.body.decode()
    assert 'bootseal_probe_requests_total{code="403",path="/health"} 1.0' in server.get("/metrics").body.decode()


def test_the_socket_is_there_before_pid_1_is_told_and_is_ours_alone(boot, pid1, start, make):
    start(boot, wait=False)
    make.until(lambda: pid1.hellos, "the subscription")

    status = os.lstat(boot.run.probes_socket)
    assert (status.st_mode & 0o777, status.st_uid) == (0o600, os.geteuid())
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(boot.run.probes_socket)


def test_a_socket_that_cannot_be_had_is_a_refusal_to_start(boot, pid1, start):
    os.mkdir(boot.run.probes_socket)
    server = start(boot, wait=False)

    assert server.process.wait(30) == 1
    assert server.stderr.read_text().startswith(f"probes: probes socket {boot.run.probes_socket}: Is a directory")
    assert pid1.hellos == []


STRANGER = """
import socket, sys
client = socket.socket(socket.AF_UNIX)
client.settimeout(30)
client.connect(sys.argv[1])
try:
    client.sendall(b"GET /health HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n")
    print(len(client.recv(100)))
except ConnectionError:
    print(0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root: it asks as another user")
def test_a_process_of_another_user_is_not_answered_even_where_it_can_reach_the_socket(serve, tmp_path):
    """Somebody widened the modes: who is at the other end decides, not who got there."""
    server = serve(serving.LOOPBACK)
    os.chmod(server.boot.run.probes_socket, 0o666)
    folder = server.boot.run.path
    while folder != "/":
        os.chmod(folder, os.stat(folder).st_mode | 0o711)
        folder = os.path.dirname(folder)
    command = [sys.executable, "-I", "-c", STRANGER, server.boot.run.probes_socket]

    for user, answered in ((65534, False), (0, True)):
        asked = subprocess.run(command, user=user, check=True, capture_output=True, timeout=60)
        assert (int(asked.stdout) > 0) == answered
