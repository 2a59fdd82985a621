"""The real server against a small PID 1: what Kubernetes and people see."""

import http.client
import json
import os
import signal
import socket
import struct
import threading

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from contract import boot_record, events, snapshot
from probes import answers, feed, observed
from probes import server as wiring
from probes.checks import outbox, runner

PATHS = ("/livez", "/startupz", "/ready", "/health", "/whoami", "/v1/meta", "/metrics")
OPENMETRICS = "application/openmetrics-text; version=1.0.0"


@pytest.fixture
def server(boot, pid1, start):
    """A server that is ready."""
    pid1.tell(boot.sealed_ledger())
    server = start(boot)
    server.until("/ready", 200)
    return server


@pytest.fixture
def known_to_be_ready(boot, make):
    emitter = events.Emitter("probes", boot.record.boot_id, None, lambda _data: True)
    known = observed.Observed(boot.record, boot.loaded, emitter)
    known.take_message(feed.Whole(make.ledger()))
    return known


def raw(port, data):
    """Send bytes and return all that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(data)
        return b"".join(iter(lambda: client.recv(65536), b""))


# --- start ---------------------------------------------------------------------------------------------------------


def test_it_subscribes_once_its_ports_accept(boot, pid1, start, make):
    server = start(boot, wait=False)
    make.until(lambda: pid1.hellos, "the subscription")

    for port in (boot.port, boot.metrics_port):
        socket.create_connection(("127.0.0.1", port), timeout=30).close()

    assert pid1.hellos == [{"subscribe": "probes", "pid": server.process.pid}]


@pytest.mark.parametrize("which", ["port", "metrics_port"])
def test_with_a_port_in_use_it_never_subscribes_and_ends_with_one_clear_line(boot, pid1, start, which):
    with socket.create_server(("127.0.0.1", getattr(boot, which))):
        server = start(boot, wait=False)
        assert server.process.wait(30) == 1
    [line] = server.stderr.read_text().splitlines()
    assert line.startswith(f"probes: {'probes' if which == 'port' else 'metrics'} listener 127.0.0.1:")
    assert "Address already in use (free the port" in line
    assert pid1.hellos == []


@pytest.mark.parametrize("broken", ["no boot.json", "another plan", "no plan"])
def test_without_this_boots_facts_it_ends_with_one_clear_line(boot, pid1, start, broken):
    path = f"{boot.record.plan_directory}/plan.json"
    if broken == "no boot.json":
        os.unlink(boot.run.boot_record)
    elif broken == "no plan":
        os.unlink(path)
    else:
        with open(path, "a", encoding="ascii") as file:
            file.write("\n")
    server = start(boot, wait=False)

    assert server.process.wait(30) == 1
    [line] = server.stderr.read_text().splitlines()
    assert line.startswith("probes: ")
    assert pid1.hellos == []


def test_without_any_pid_1_it_is_live_and_unready(boot, start):
    server = start(boot)

    assert server.get("/ready").json["missing"][0]["kind"] == "ledger"
    assert server.get("/startupz").status == 503
    assert server.get("/health").json["phase"] is None


# --- ready ---------------------------------------------------------------------------------------------------------


def test_ready_names_its_requirements_and_since_when(server):
    body = server.get("/ready").json

    assert body["ready"] is True
    assert body["requirements"] == ["migrate", "api"]
    assert body["since"].endswith("Z")


def test_ready_follows_each_change_of_the_ledger(server, pid1, make):
    ledger = pid1.ledger
    broken = make.view("api", snapshot.FAILED, reason="was killed by signal 9")
    change = make.ledger(seal=ledger.seal, revision=11, programs=(broken,))
    pid1.ledger = pid1.rpc_ledger = snapshot.merge(ledger, change)
    pid1.send({"type": "change", "after": 10, "snapshot": snapshot.to_json(change)})

    reply = server.until("/ready", 503)

    assert reply.json["reason"] == "required program api: was killed by signal 9"
    assert [(row["id"], row["kind"], row["required"]) for row in reply.json["missing"]] == [("api", "program", True)]
    assert reply.headers["Retry-After"] == "1"
    pid1.tell(make.ledger(seal=ledger.seal, revision=12))
    server.until("/ready", 200)
    changes = [event for event in server.events() if event["event"] == "ReadinessChanged"]
    assert [event["ready"] for event in changes] == [True, False, True]
    assert changes[1]["missing"] == ["api"]


def test_a_deleted_seal_is_unready_and_the_same_bytes_heal_it(server, boot):
    data = boot.seal_bytes()
    os.unlink(boot.run.seal)

    reply = server.until("/ready", 503)

    assert [row["kind"] for row in reply.json["missing"]] == ["seal"]
    assert boot.run.seal in reply.json["reason"]
    assert server.get("/startupz").status == 200
    boot.write_seal(data)
    server.until("/ready", 200)


def test_a_seal_that_only_lies_there_is_not_ready(boot, pid1, start, make):
    boot.write_seal(boot.seal_bytes())
    pid1.tell(make.ledger(phase=snapshot.BOOTING, seal=None, boot_sealed_at=None))
    server = start(boot)

    reply = server.until("/ready", 503, lambda reply: reply.json["missing"][0]["kind"] == "seal")

    assert [row["id"] for row in reply.json["missing"]] == ["bootstrap.done"]
    assert server.get("/startupz").status == 503


def test_a_lost_message_is_found_by_reading_again(server, pid1, make):
    """PID 1's heartbeat names a revision that never came."""
    ledger = make.ledger(seal=pid1.ledger.seal, revision=50, programs=(make.view("migrate"),))
    pid1.rpc_ledger = ledger
    pid1.send({"type": "beat", "revision": 50})

    reply = server.until("/ready", 503)

    assert [row["id"] for row in reply.json["missing"]] == ["api"]
    assert pid1.rpc_calls >= 1


def test_a_silent_pid_1_is_unready_and_says_so(server, pid1):
    pid1.is_beating, pid1.rpc_ledger = False, None

    reply = server.until("/ready", 503)

    assert [row["kind"] for row in reply.json["missing"]] == ["ledger"]
    assert "PID 1 has not confirmed its ledger" in reply.json["reason"]
    assert server.get("/livez").status == 200
    pid1.is_beating = True
    server.until("/ready", 200)


def test_a_silent_feed_alone_is_no_outage(server, pid1, make):
    """Reading again every two seconds confirms the ledger too."""
    pid1.is_beating = False
    before = pid1.rpc_calls

    make.until(lambda: pid1.rpc_calls >= before + 3, "three more reads")

    assert server.get("/ready").status == 200


def test_what_was_missed_is_read_again_at_once_and_not_at_the_next_period(known_to_be_ready, boot):
    checks = runner.Runner(boot.plan, outbox.Outbox(), known_to_be_ready.checks)
    rereader, sealer = wiring._watch(known_to_be_ready, boot.run, None, checks)
    assert not rereader._due.is_set()
    sealer._due.clear()

    known_to_be_ready.take_message(feed.Beat(99))
    assert (rereader._due.is_set(), sealer._due.is_set()) == (True, False)
    known_to_be_ready.take_message(feed.Beat(10))
    known_to_be_ready.take_reread(known_to_be_ready.copy.ledger, 0.0)
    assert sealer._due.is_set()


def test_a_line_that_does_not_decode_is_logged_as_json_and_the_feed_goes_on(server, pid1, boot, make):
    pid1.send_bytes(b"{\n")
    make.until(lambda: len(pid1.hellos) == 2, "a second subscription")

    [line] = [json.loads(line) for line in server.stderr.read_text().splitlines() if "ReadinessChanged" not in line]

    assert (line["level"], line["logger"], line["source"]) == ("WARNING", "probes.feed", "probes")
    assert line["boot_id"] == boot.record.boot_id
    assert line["time"]
    assert "is no JSON" in line["message"]
    assert server.get("/ready").status == 200


def test_a_ledger_of_another_boot_is_never_believed(boot, pid1, start, make):
    pid1.tell(make.ledger(boot_id="f" * 32, seal=boot.write_seal(boot.seal_bytes())))
    server = start(boot)

    reply = server.until("/ready", 503, lambda reply: "f" * 32 in reply.json["reason"])

    assert [row["kind"] for row in reply.json["missing"]] == ["ledger"]


def test_a_stopping_container_is_live_and_unready(server, pid1, make):
    pid1.tell(make.ledger(phase=snapshot.STOPPING, seal=None, revision=11))

    reply = server.until("/ready", 503)

    assert reply.json["reason"] == "the container is stopping"
    assert server.get("/livez").status == 200
    assert server.get("/startupz").status == 200


def test_a_probe_server_that_is_started_again_is_ready_again(server, boot, start):
    server.process.kill()
    server.process.wait()

    start(boot).until("/ready", 200)

    assert boot_record.read(boot.run) == boot.record


# --- startup -------------------------------------------------------------------------------------------------------


def held_request(boot, path="/startupz?wait=60s"):
    """Begin a request that is held; return the open client."""
    client = socket.create_connection(("127.0.0.1", boot.port), timeout=30)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    return client


def answer(client):
    with client:
        return b"".join(iter(lambda: client.recv(65536), b""))


def test_a_startup_request_is_held_until_the_seal(boot, pid1, start, make):
    pid1.tell(make.ledger(phase=snapshot.BOOTING, seal=None, boot_sealed_at=None))
    server = start(boot)
    client = held_request(boot)
    assert server.get("/startupz").status == 503

    pid1.tell(boot.sealed_ledger(revision=11))

    assert answer(client).startswith(b"HTTP/1.1 200 ")


def test_a_held_request_ends_by_itself_with_what_is_missing(boot, pid1, start, make):
    pid1.tell(make.ledger(phase=snapshot.BOOTING, seal=None, boot_sealed_at=None))
    reply = start(boot).get("/startupz?wait=50ms")

    assert reply.status == 503
    assert reply.json["sealed"] is False
    assert [row["kind"] for row in reply.json["missing"]] == ["seal"]


def test_a_held_request_ends_at_once_when_the_server_stops(boot, pid1, start):
    server = start(boot)
    client = held_request(boot)
    server.get("/startupz")

    server.process.send_signal(signal.SIGTERM)

    assert answer(client).startswith(b"HTTP/1.1 503 ")
    assert server.process.wait(30) == 0


def test_more_held_requests_than_there_is_room_for_are_answered_at_once(boot, start):
    server = start(boot)
    clients = [held_request(boot) for _ in range(256)]
    # What is one too many says so by its answer: it would be held for a minute otherwise.
    extra = [held_request(boot) for _ in range(4)]
    for client in extra:
        assert answer(client).startswith(b"HTTP/1.1 503 ")
    assert server.get("/livez").status == 200
    for client in clients:
        client.close()


def test_held_clients_that_vanish_give_their_places_back(boot, start, make):
    server = start(boot)
    for client in [held_request(boot) for _ in range(256)]:
        client.close()

    def is_held():
        client = held_request(boot)
        server.get("/livez")
        client.setblocking(False)
        try:
            return client.recv(1) == "never"
        except BlockingIOError:
            return True
        finally:
            client.close()

    assert make.until(is_held, "a request is held again")


@pytest.mark.parametrize("wait", ["", "soon", "25", "-1s", "%FF", "1h"])
def test_a_wait_that_is_no_duration_is_the_clients_error(boot, start, wait):
    reply = start(boot).get(f"/startupz?wait={wait}")

    assert reply.status == 400
    assert "is not a duration" in reply.json["error"]


# --- the rest ------------------------------------------------------------------------------------------------------


def test_livez_says_how_old_everything_is(steady):
    body = steady.get("/livez").json

    assert body["live"] is True
    assert set(body) == {"live", "uptime_seconds", "loop_lag_seconds", "heartbeat_age_seconds"}
    assert all(body[name] >= 0 for name in body)


def test_health_is_the_whole_picture_and_always_200(server, boot, pid1, make):
    body = server.get("/health").json

    assert (body["status"], body["phase"]) == ("ready", "sealed")
    assert body["boot"]["id"] == make.boot_id
    assert body["boot"]["phases"] == [{"name": "writable", "duration_ms": 12.5}]
    assert body["boot"]["warnings"] == ["ImmutableRootWritable /opt/box"]
    assert [program["name"] for program in body["programs"]] == ["migrate", "api", "worker"]
    assert body["seal"]["accepted"] is True
    assert body["ledger"]["fresh"] is True
    pid1.tell(make.ledger(phase=snapshot.HELD, seal=None, failure="program api exited with code 1", revision=11))
    unready = server.until("/health", 200, lambda reply: reply.json["status"] == "unready").json
    assert unready["boot"]["failure"] == "program api exited with code 1"
    assert unready["readiness"]["ready"] is False
    assert unready["seal"]["accepted"] is False


def test_a_programs_output_is_shown_on_loopback_only(known_to_be_ready):
    near = answers.health(known_to_be_ready, "127.0.0.1").value["programs"]
    far = answers.health(known_to_be_ready, "10.0.0.7").value["programs"]

    assert near[0]["last_output"] == ["the last line it wrote"]
    assert "last_output" not in far[0]
    assert "the last line it wrote" not in json.dumps(answers.health(known_to_be_ready, None).value)


def test_whoami_is_read_at_each_request(server, boot):
    first = server.get("/whoami").json
    assert (first["id"], first["boot_id"]) == ("box-7", boot.record.boot_id)
    os.unlink(f"{boot.run.identity}/id")

    reply = server.get("/whoami")

    assert reply.status == 503
    assert "identity/id" in reply.json["error"]


def test_meta_tells_versions_digests_and_the_security_in_force(server, boot, make):
    body = server.get("/v1/meta").json

    assert body["plan_sha256"] == boot.plan_sha256
    assert body["identity"]["id"] == "box-7"
    assert body["supervisor"]
    assert body["security"]["uid"] == os.geteuid()
    assert int(body["security"]["capabilities_effective"], 16) >= 0
    assert set(body["endpoints"]["paths"]) == set(PATHS)
    assert body["endpoints"]["metrics"] == f"127.0.0.1:{boot.metrics_port}"
    assert body["process"]["pid"] == server.process.pid


def test_metrics_tell_the_state_at_the_moment_of_the_scrape(server, pid1, boot, make):
    server.get("/../../etc/passwd")
    text = server.get("/metrics").body.decode()
    samples = {
        (s.name, *sorted(s.labels.values())): s.value
        for f in parser.text_string_to_metric_families(text)
        for s in f.samples
    }

    assert samples["bootseal_ready",] == 1
    assert samples["bootseal_sealed",] == 1
    assert samples["bootseal_seal_timestamp_seconds",] == 1767225605
    assert samples["bootseal_boot_phase_seconds", "writable"] == 0.0125
    assert samples["bootseal_program_state", "api", "ready"] == 1
    assert samples["bootseal_program_state", "api", "failed"] == 0
    assert samples["bootseal_readiness_transitions_total", "ready"] == 1
    assert samples["bootseal_probe_requests_total", "404", "other"] == 1
    assert "passwd" not in text
    views = (make.view("migrate", restarts=3, exits=2), make.view("api", snapshot.FAILED))
    pid1.tell(make.ledger(seal=pid1.ledger.seal, revision=11, programs=views))
    server.until("/ready", 503)
    text = server.get("/metrics", port=boot.metrics_port).body.decode()
    assert "bootseal_ready 0.0" in text
    assert 'bootseal_program_restarts_total{program="migrate"} 3.0' in text
    assert 'bootseal_program_exits_total{program="migrate"} 2.0' in text
    assert 'bootseal_program_state{program="api",state="failed"} 1.0' in text


def test_metrics_speak_openmetrics_to_a_client_that_asks(server):
    reply = server.get("/metrics", headers={"Accept": OPENMETRICS})

    assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics_parser.text_string_to_metric_families(reply.body.decode())}
    assert {"bootseal_ready", "bootseal_program_restarts", "bootseal_build", "bootseal_loop_lag_seconds"} <= names


def test_the_metrics_port_has_no_other_path(server, boot):
    assert server.get("/ready", port=boot.metrics_port).status == 404


# --- HTTP ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS)
def test_every_path_answers_get_and_head_alike_with_or_without_a_slash(steady, path):
    whole = steady.get(path)
    head = steady.get(path, method="HEAD")

    assert (whole.status, steady.get(f"{path}/").status) == (200, 200)
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Type"] == whole.headers["Content-Type"]
    assert whole.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
def test_any_other_method_is_refused_with_what_is_allowed(steady, method):
    reply = steady.get("/ready", method=method)

    assert reply.status == 405
    assert reply.headers["Allow"] == "GET, HEAD"
    assert "error" in reply.json


@pytest.mark.parametrize("path", ["/", "/nope", "/ready/x", "/READY", "//ready", "/metrics%00", "/v1"])
def test_an_unknown_path_is_a_404_in_json(steady, path):
    reply = steady.get(path)

    assert reply.status == 404
    assert "error" in reply.json


def test_a_large_body_is_not_waited_for(steady):
    head = b"POST /ready HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", steady.boot.port), timeout=30) as client:
        client.sendall(head + b"x" * 100_000)
        assert client.recv(13) == b"HTTP/1.1 405 "


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        b"GET /ready HTTP/9.9\r\n\r\n", b"GET " + b"/a" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ready HTTP/1.1\r\nHost: x\r\nBad Header\r\n\r\n", b"GET /ready HTTP/1.1\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"GET http://[::1 HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /ready HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    ],
)  # fmt: skip
def test_what_is_no_http_is_refused_without_a_word_about_us(steady, data):
    reply = raw(steady.boot.port, data)

    assert reply.startswith((b"HTTP/1.0 4", b"HTTP/1.1 4"))
    assert b"aiohttp" not in reply.lower()
    assert b"python" not in reply.lower()
    assert steady.get("/ready").status == 200
    assert "Traceback" not in steady.stderr.read_text()


def test_no_answer_tells_our_software_or_its_version(steady):
    for path in (*PATHS, "/nope"):
        assert steady.get(path).headers["Server"] == "bootseal"


def test_keep_alive_works(steady):
    client = http.client.HTTPConnection("127.0.0.1", steady.boot.port, timeout=30)
    for _ in range(3):
        client.request("GET", "/ready")
        assert json.loads(client.getresponse().read())["ready"] is True
    client.close()


def test_more_clients_than_there_is_room_for_are_turned_away_and_the_rest_served(server, boot):
    clients = [socket.create_connection(("127.0.0.1", boot.port), timeout=30) for _ in range(600)]
    turned_away = sum(client.recv(1) == b"" for client in clients[560:])
    clients[0].sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\n\r\n")
    served = clients[0].recv(13)
    for client in clients:
        client.close()

    assert turned_away == 40
    assert served == b"HTTP/1.1 200 "
    server.until("/ready", 200)
    assert "Traceback" not in server.stderr.read_text()


def test_clients_that_vanish_leave_nothing_behind(steady):
    for _ in range(50):
        client = held_request(steady.boot, "/health")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a farewell
        client.close()

    assert steady.get("/ready").status == 200
    assert "Traceback" not in steady.stderr.read_text()


def test_many_at_once_are_all_answered(steady):
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(steady.get("/ready").status)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses == [200] * 40


# --- stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_it_with_exit_code_0_and_nothing_to_say(server, boot, number):
    idle = socket.create_connection(("127.0.0.1", boot.port), timeout=30)
    begun = held_request(boot, "/ready")

    server.process.send_signal(number)

    assert server.process.wait(30) == 0
    for client in (begun, idle):
        client.close()
    assert all(json.loads(line)["event"] == "ReadinessChanged" for line in server.stderr.read_text().splitlines())


def test_a_stop_signal_before_it_stands_ends_it_with_exit_code_0(boot, pid1, start, make):
    server = start(boot, wait=False)
    make.until(lambda: pid1.hellos, "the subscription")

    server.process.send_signal(signal.SIGTERM)

    assert server.process.wait(30) == 0
    assert server.stderr.read_text() == ""


def test_wrong_arguments_are_a_usage_error():
    from probes import __main__ as program

    assert program.main([]) == 2
    assert program.main(["--run", "x"]) == 2
