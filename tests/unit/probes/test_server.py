"""The real server against a small PID 1: what Kubernetes and people see."""

import json
import os
import signal
import socket
from unittest import mock

import pytest
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from contract import boot_record, events, snapshot
from probes import feed, observed
from probes import server as wiring
from probes.checks import outbox, runner
from tests.unit import boots

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
    assert body["requirements"] == ["migrate", "api", "identity"]
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
    rereader, sealer = wiring._watch(known_to_be_ready, boot.run, None, checks, mock.Mock())
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

    def is_told(reply) -> bool:
        """The identity is not looked at in the first moment."""
        return [row["kind"] for row in reply.json["missing"]] == ["ledger"] and "f" * 32 in reply.json["reason"]

    server.until("/ready", 503, is_told)


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
    assert body["boot"]["phases"] == [{"name": "writable", "started_seconds": 0.02, "duration_ms": 12.5}]
    assert body["boot"]["warnings"] == ["ImmutableRootWritable /opt/box"]
    assert [program["name"] for program in body["programs"]] == ["migrate", "api", "worker"]
    assert body["programs"][0]["last_output"] == ["the last line it wrote"]
    assert body["seal"]["accepted"] is True
    assert body["ledger"]["fresh"] is True
    pid1.tell(make.ledger(phase=snapshot.HELD, seal=None, failure="program api exited with code 1", revision=11))
    unready = server.until("/health", 200, lambda reply: reply.json["status"] == "unready").json
    assert unready["boot"]["failure"] == "program api exited with code 1"
    assert unready["readiness"]["ready"] is False
    assert unready["seal"]["accepted"] is False


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
    assert body["security"]["effective"] == boots.attested_security().plain()["effective"]
    assert {"/livez", "/ready", "/health"} <= set(body["endpoints"].pop("paths"))
    probes = f"127.0.0.1:{boot.port}"
    assert body["endpoints"] == {
        "probes": probes, "metrics": f"127.0.0.1:{boot.metrics_port}", "socket": boot.run.probes_socket, "otlp": None,
        "detail": {"reach": "loopback", "address": probes, "token": False},
    }  # fmt: skip
    assert body["log_level"] == "info"
    assert body["process"]["pid"] == server.process.pid


def test_metrics_tell_the_state_at_the_moment_of_the_scrape(server, pid1, boot, make):
    server.get("/../../etc/passwd")
    text = server.get("/metrics").body.decode()
    samples = {
        (s.name, *sorted(s.labels.values())): s.value
        for f in parser.text_string_to_metric_families(text)
        for s in f.samples
    }

    assert samples["bootseal_readiness",] == 1
    assert samples["bootseal_boot_sealed",] == 1
    assert samples["bootseal_seal_timestamp_seconds",] == 1767225605
    assert samples["bootseal_boot_phase_seconds", "writable"] == 0.0125
    assert samples["bootseal_program_state", "api", "ready"] == 1
    assert samples["bootseal_program_state", "api", "failed"] == 0
    assert samples["bootseal_readiness_transitions_total", "ready"] == 1
    assert samples["bootseal_probe_requests_total", "404", "other"] == 1
    assert "passwd" not in text
    views = (make.view("migrate", restarts=3, restart_reasons={"exit": 3}, exits=2), make.view("api", snapshot.FAILED))
    pid1.tell(make.ledger(seal=pid1.ledger.seal, revision=11, programs=views))
    server.until("/ready", 503)
    text = server.get("/metrics", port=boot.metrics_port).body.decode()
    assert "bootseal_readiness 0.0" in text
    assert 'bootseal_program_restarts_total{program="migrate",reason="exit"} 3.0' in text
    assert 'bootseal_program_exits_total{program="migrate"} 2.0' in text
    assert 'bootseal_program_state{program="api",state="failed"} 1.0' in text


def test_metrics_speak_openmetrics_to_a_client_that_asks(server):
    reply = server.get("/metrics", headers={"Accept": OPENMETRICS})

    assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
    names = {family.name for family in openmetrics_parser.text_string_to_metric_families(reply.body.decode())}
    assert {"bootseal_readiness", "bootseal_program_restarts", "bootseal_build", "bootseal_loop_lag_seconds"} <= names


def test_the_metrics_port_has_no_other_path(server, boot):
    assert server.get("/ready", port=boot.metrics_port).status == 404


# --- stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_signal_ends_it_with_exit_code_0_and_nothing_to_say(server, boot, number):
    idle = socket.create_connection(("127.0.0.1", boot.port), timeout=30)
    begun = socket.create_connection(("127.0.0.1", boot.port), timeout=30)
    begun.sendall(b"GET /ready?wait=60s HTTP/1.1\r\nHost: x\r\n\r\n")

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
