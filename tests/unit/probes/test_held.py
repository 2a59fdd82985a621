"""Held requests against the real server: until this boot's first seal, and never after it."""

import signal
import socket
import subprocess

import pytest

from contract import snapshot
from probes import descriptors, waiting

HOLDING = ("/startupz", "/ready", "/readyz")


@pytest.fixture
def booting(boot, pid1, start, make):
    """A server whose boot is not sealed yet."""
    pid1.tell(make.ledger(phase=snapshot.BOOTING, seal=None, boot_sealed_at=None))
    server = start(boot)
    server.until("/ready", 503, lambda reply: reply.json["missing"][0]["kind"] == "seal")
    return server


def ask(boot, path, *, method="GET", lines="Connection: close\r\n", version="1.1"):
    """Send a request; return the open client."""
    client = socket.create_connection(("127.0.0.1", boot.port), timeout=30)
    client.sendall(f"{method} {path} HTTP/{version}\r\nHost: localhost\r\n{lines}\r\n".encode())
    return client


def rest(client):
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def is_waiting(client):
    """Say whether nothing came: what was asked of the server after it was answered meanwhile."""
    client.setblocking(False)
    try:
        client.recv(1)
    except BlockingIOError:
        return True
    finally:
        client.settimeout(30)
    return False


@pytest.mark.parametrize("path", HOLDING)
def test_it_is_held_until_the_seal_and_then_answered_anew(booting, boot, pid1, path):
    clients = [ask(boot, f"{path}?wait=60s") for _ in range(3)]
    assert booting.get(path).status == 503
    assert all(is_waiting(client) for client in clients)

    pid1.tell(boot.sealed_ledger(revision=11))

    for client in clients:
        assert rest(client).startswith(b"HTTP/1.1 200 ")


def test_no_more_than_half_of_those_who_may_be_here_are_held(boot, pid1, start, make, monkeypatch):
    """With 296 descriptors 40 may be here (``probes.descriptors``): the 21st that would be held is answered at once."""
    real = subprocess.Popen
    limited = ["prlimit", f"--nofile={descriptors.RESERVE + 40}"]
    monkeypatch.setattr(subprocess, "Popen", lambda argv, **more: real([*limited, *argv], **more))
    pid1.tell(make.ledger(phase=snapshot.BOOTING, seal=None, boot_sealed_at=None))
    start(boot).until("/ready", 503, lambda reply: reply.json["missing"][0]["kind"] == "seal")
    held = [ask(boot, "/ready?wait=60s") for _ in range(20)]

    assert rest(ask(boot, "/ready?wait=60s")).startswith(b"HTTP/1.1 503 ")  # held, it would time out here
    assert all(is_waiting(client) for client in held)
    for client in held:
        client.close()


def test_what_is_not_ready_when_the_boot_is_sealed_says_so(booting, boot, pid1, make):
    """A required program failed between the seal and its verdict: held requests learn of both."""
    startup, ready = ask(boot, "/startupz?wait=60s"), ask(boot, "/ready?wait=60s")
    ledger = boot.sealed_ledger(revision=11, programs=(make.view("migrate"), make.view("api", snapshot.FAILED)))

    pid1.tell(ledger)

    assert rest(startup).startswith(b"HTTP/1.1 200 ")
    assert b'"id":"api"' in rest(ready)


def test_ready_is_never_held_after_the_first_seal_because_that_would_hide_an_outage(booting, boot, pid1, make):
    pid1.tell(boot.sealed_ledger(revision=11))
    booting.until("/ready", 200)
    seal = pid1.ledger.seal
    pid1.tell(make.ledger(seal=seal, revision=12, programs=(make.view("migrate"), make.view("api", snapshot.FAILED))))
    booting.until("/ready", 503)

    assert booting.get("/ready?wait=60s").status == 503  # it would time out here
    pid1.tell(make.ledger(generation=2, revision=1, phase=snapshot.BOOTING, seal=None))
    booting.until("/ready", 503, lambda reply: "generation" in reply.json["reason"])
    assert booting.get("/ready?wait=60s").status == 503
    assert booting.get("/startupz?wait=60s").status == 200


@pytest.mark.parametrize("path", HOLDING)
def test_a_stopping_container_lets_go_of_all(booting, boot, pid1, make, path):
    client = ask(boot, f"{path}?wait=60s")
    assert booting.get("/livez").status == 200

    pid1.tell(make.ledger(phase=snapshot.STOPPING, seal=None, boot_sealed_at=None, revision=11))

    assert b"the container is stopping" in rest(client)
    assert booting.get(f"{path}?wait=60s").status == 503


@pytest.mark.parametrize("path", HOLDING)
def test_a_wait_ends_by_itself_with_what_is_missing_and_when_to_ask_again(booting, path):
    reply = booting.get(f"{path}?wait=50ms")

    assert reply.status == 503
    assert reply.headers["Retry-After"] == "1"
    assert [row["kind"] for row in reply.json["missing"]] == ["seal"]


@pytest.mark.parametrize("path", HOLDING)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("lines", ["Connection: close\r\n", ""])
def test_a_held_answer_is_the_answer_that_was_not_held(booting, boot, path, method, lines):
    """It is written by other code: status, headers, their order and the body are the same."""
    end = "GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" if not lines else ""
    held, direct = (ask(boot, path + query, method=method, lines=lines) for query in ("?wait=1ms", ""))
    for client in (held, direct):
        client.sendall(end.encode())

    answers = [
        [line for line in rest(client).split(b"\r\n") if not line.startswith(b"Date: ")] for client in (held, direct)
    ]

    assert answers[0] == answers[1]
    assert answers[0][0] == b"HTTP/1.1 503 Service Unavailable"
    assert (b"HTTP/1.1 404" in b"\r\n".join(answers[0])) == (not lines)


def test_a_held_answer_is_counted_like_any_other(booting):
    before = booting.get("/metrics").body.decode().count('bootseal_probe_requests_total{code="503",path="/readyz"}')
    booting.get("/readyz?wait=1ms")

    assert before == 0
    assert 'bootseal_probe_requests_total{code="503",path="/readyz"} 1.0' in booting.get("/metrics").body.decode()


def test_what_was_asked_behind_a_held_request_is_answered_after_it(booting, boot):
    client = ask(boot, "/ready?wait=300ms", lines="")
    client.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    data = rest(client)

    assert data.startswith(b"HTTP/1.1 503 ")
    assert data.index(b"HTTP/1.1 200 ") > data.index(b'"missing"')


def test_http_1_0_may_wait_too(booting, boot):
    assert rest(ask(boot, "/ready?wait=1ms", lines="", version="1.0")).startswith(b"HTTP/1.1 503 ")


def test_a_request_with_a_body_is_not_held(booting, boot):
    assert rest(ask(boot, "/ready?wait=60s", lines="Content-Length: 1\r\n")).startswith(b"HTTP/1.1 503 ")


def test_more_than_there_is_room_for_are_answered_at_once_and_places_are_given_back(booting, boot, make):
    clients = [ask(boot, f"{HOLDING[index % 3]}?wait=60s") for index in range(waiting.WAITERS_LIMIT)]
    booting.get("/livez")
    for _ in range(4):
        assert rest(ask(boot, "/ready?wait=60s")).startswith(b"HTTP/1.1 503 ")
    for client in clients:
        client.close()

    def is_held():
        client = ask(boot, "/ready?wait=60s")
        booting.get("/livez")
        with client:
            return is_waiting(client)

    assert make.until(is_held, "a request is held again")
    assert "Traceback" not in booting.stderr.read_text()


def test_a_client_that_left_while_it_was_held_is_gone_at_once(booting, boot, make):
    clients = [ask(boot, "/ready?wait=60s") for _ in range(waiting.WAITERS_LIMIT)]
    booting.get("/livez")
    clients[0].shutdown(socket.SHUT_WR)
    assert rest(clients[0]) == b""

    last = ask(boot, "/ready?wait=60s")
    booting.get("/livez")
    assert is_waiting(last)
    for client in (last, *clients):
        client.close()


def test_all_are_answered_when_the_server_ends(booting, boot):
    clients = [ask(boot, "/ready?wait=60s", lines="") for _ in range(waiting.WAITERS_LIMIT)]
    booting.get("/livez")

    booting.process.send_signal(signal.SIGTERM)

    answers = [rest(client) for client in clients]
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert all(b"\r\nConnection: close\r\n" in answer for answer in answers)
    assert booting.process.wait(30) == 0


@pytest.mark.parametrize("wait", ["", "soon", "25", "-1s", "%FF", "1h"])
@pytest.mark.parametrize("path", HOLDING)
def test_a_wait_that_is_no_duration_is_the_clients_error(steady, path, wait):
    """Also after the seal: a probe that is written wrongly must not work by luck."""
    reply = steady.get(f"{path}?wait={wait}")

    assert reply.status == 400
    assert "is not a duration" in reply.json["error"]
