"""The HTTP contract as OpenAPI: it is valid, whole, and what the running server keeps to in every state of a boot."""

import dataclasses
import http.client
import json
import os

import jsonschema
import openapi_spec_validator
import pytest

from contract import attested, boot_record, snapshot
from manifest import hardening, provisions, serving
from probes import meta, readiness
from probes.openapi import document
from probes.requirements import board
from tests import contract_checking
from tests.unit import boots

DOCUMENT = document.document()
SCHEMAS = DOCUMENT["components"]["schemas"]


def judge(name, value):
    """Hold ``value`` against the component ``name``."""
    whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": SCHEMAS}}
    jsonschema.Draft202012Validator(whole).validate(value)


def refs(value):
    """Yield every reference in ``value``."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        value = list(value.values())
    if isinstance(value, list):
        for one in value:
            yield from refs(one)


# --- the document itself -------------------------------------------------------------------------------------------


def test_it_is_valid_openapi_3_1():
    openapi_spec_validator.validate(DOCUMENT, cls=openapi_spec_validator.OpenAPIV31SpecValidator)


def test_every_component_is_used_and_every_reference_is_there():
    there = {
        f"#/components/{kind}/{name}"
        for kind in ("schemas", "responses", "headers")
        for name in DOCUMENT["components"][kind]
    }
    assert set(refs(DOCUMENT)) == there


def test_every_object_of_ours_holds_what_is_named_and_nothing_else():
    def objects(value):
        if isinstance(value, dict):
            if value.get("type") == "object" and "properties" in value:
                yield value
            value = list(value.values())
        if isinstance(value, list):
            for one in value:
                yield from objects(one)

    found = list(objects(DOCUMENT["components"]))
    assert len(found) > 15
    open_ones = [one for one in found if one["additionalProperties"] is not False]
    assert open_ones == [SCHEMAS["Event"]]  # an event has fields of its own


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("Program", snapshot.ProgramView), ("Timeline", snapshot.Timeline), ("Exit", snapshot.Exit),
        ("Missing", readiness.Missing), ("Difference", attested.Difference), ("EffectiveProfile", attested.Profile),
    ],
)  # fmt: skip
def test_a_record_of_ours_is_described_field_by_field(name, record):
    assert list(SCHEMAS[name]["properties"]) == [field.name for field in dataclasses.fields(record)]


PLANNED = boots.security(
    capabilities=("CHOWN",), groups=("video",), runtime="runc", gpu="amd", denied_syscalls=("unshare",),
    devices=(hardening.Device("/dev/kfd", "rw"),), limits=hardening.Limits(2**30, 1.5, 100, 4096),
    tmpfs=(hardening.Tmpfs("/t", 1, 0o700, True, provisions.User(1, 2)), *boots.security().tmpfs),
)  # fmt: skip
WEAK = attested.Difference("memory", "1 GiB", "unlimited", weaker=True, mend="--memory=1g")
NOTHING_READ = boots.profile(
    umask=None, uid_map=None, gid_map=None, capabilities={}, no_new_privileges=None, seccomp=None, seccomp_filters=None,
    namespaces=dict.fromkeys(boots.profile().namespaces), root_read_only=None, memory_bytes=None, cpus=None, pids=None, files=None,
    mounts=(attested.FileSystem("/data", "ext4", None, ()),), devices=("/dev/kfd",),
)  # fmt: skip


@pytest.mark.parametrize(
    "found",
    [
        boots.attested_security(), None,
        boots.attested_security(enforced=True, effective=NOTHING_READ, differences=(WEAK,), unknown={"cpus": "why"}),
    ],
    ids=["as planned", "no container", "nothing read"],
)  # fmt: skip
def test_the_security_of_every_boot_is_as_it_says(found):
    exceptions = (provisions.ExceptionPlan("gpu-rocm", "it renders"),)
    deploy = hardening.DeployPlan(None, 1, (hardening.Volume("data", "/data", 1),))
    planned = boots.make_plan(security=PLANNED, deploy=deploy, exceptions=exceptions)
    told = json.loads(json.dumps(meta.security(planned, boots.boot(security=found))))
    judge("Security", told)
    assert told["attested"] == (found is not None) == (told["effective"] is not None)
    assert told["exceptions"] == [{"name": "gpu-rocm", "reason": "it renders"}]
    assert (told["planned"]["user"], told["planned"]["volumes"]) == ({"uid": 1000, "gid": 1000}, ["/data"])
    if found is not None:
        expected = found.plain()
        assert {name: told[name] for name in ("effective", "differences", "unknown", "enforced")} == {
            **expected, "enforced": False,
        }  # fmt: skip


def test_a_phase_and_a_requirement_are_described_field_by_field():
    phase = SCHEMAS["Boot"]["properties"]["phases"]["items"]["properties"]
    assert set(phase) == {field.name for field in dataclasses.fields(boot_record.PhaseTiming)}
    row = {field.name for field in dataclasses.fields(board.Row)}
    assert set(SCHEMAS["Requirement"]["properties"]) == row | {"age_seconds"}


# --- against the running server ------------------------------------------------------------------------------------


def test_it_is_served_as_it_is(steady):
    whole, head = steady.get("/openapi.json"), steady.get("/openapi.json", method="HEAD")

    assert whole.json == json.loads(document.encoded()) == DOCUMENT
    assert whole.headers["Content-Type"] == "application/json; charset=utf-8"
    assert head.headers["Content-Length"] == str(len(whole.body))


def test_the_paths_are_those_that_are_served(steady):
    assert sorted(steady.get("/v1/meta").json["endpoints"]["paths"]) == sorted(DOCUMENT["paths"])


def test_what_stands_at_no_path_is_answered_as_it_says(steady):
    def ask(method, path):
        connection = http.client.HTTPConnection("127.0.0.1", steady.boot.port, timeout=30)
        connection.request(method, path)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer, body

    for path in DOCUMENT["paths"]:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"):
            answer, body = ask(method, path)
            assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")
            judge("Problem", json.loads(body))
    answer, body = ask("GET", "/nowhere")
    assert answer.status == 404
    judge("Problem", json.loads(body))


def test_the_stream_of_events_is_as_it_says(steady):
    """Schemathesis is kept away from it: it ends when the client does."""
    lines = steady.get("/v1/events", headers={"Accept": "application/x-ndjson"}).body.splitlines()
    stream = steady.get("/v1/events?follow=false")
    bad = steady.get("/v1/events?follow=perhaps")
    events = [json.loads(line) for line in lines if line]

    assert {event["event"] for event in events} >= {"ReadinessChanged"}
    for event in events:
        judge("Event", event)
    assert (
        stream.headers["Content-Type"].split(";")[0]
        in DOCUMENT["paths"]["/v1/events"]["get"]["responses"]["200"]["content"]
    )
    assert stream.headers["Cache-Control"] == "no-store"
    assert bad.status == 400
    judge("Problem", bad.json)


def hold(server, tmp_path, *more):
    """Let schemathesis look for an answer that is not as the document says."""
    short = contract_checking.shortened(server.get("/openapi.json").json)
    code, told = contract_checking.run(short, f"http://127.0.0.1:{server.boot.port}", tmp_path, *more)
    assert code == 0, told
    assert "No issues found" in told


def test_a_ready_server_keeps_to_it(steady, tmp_path):
    hold(steady, tmp_path)


LIES = {
    "an undocumented field": lambda lie: [
        lie["components"]["schemas"]["Live"][part].remove("loop_lag_seconds")
        if part == "required"
        else lie["components"]["schemas"]["Live"][part].pop("loop_lag_seconds")
        for part in ("required", "properties")
    ],
    "a missing field": lambda lie: lie["components"]["schemas"]["Live"]["required"].append("mood"),
    "a wrong type": lambda lie: lie["components"]["schemas"]["Ready"]["properties"].update(since={"type": "integer"}),
    "a missing header": lambda lie: lie["components"]["headers"].update(
        CacheControl={"required": True, "schema": {"type": "string", "const": "public"}}
    ),
    "an undocumented status": lambda lie: lie["paths"]["/whoami"]["get"]["responses"].pop("200"),
    "a wrong content type": lambda lie: lie["paths"]["/metrics"]["get"]["responses"]["200"].update(
        content={"text/html": {}}
    ),
}


@pytest.mark.parametrize("name", LIES)
def test_a_server_that_would_not_keep_to_it_is_found_out(steady, name):
    url = f"http://127.0.0.1:{steady.boot.port}"
    paths = ("/livez", "/ready", "/whoami", "/metrics")
    lie = contract_checking.shortened(DOCUMENT)
    assert contract_checking.broken(lie, url, paths) == []
    LIES[name](lie)

    assert contract_checking.broken(lie, url, paths) != []


def test_a_booting_server_keeps_to_it(start, boot, pid1, make, tmp_path):
    views = (
        make.view("migrate", snapshot.PENDING, pid=None, pid_start=None, ready_by=None, ready_at=None),
        make.view("api", snapshot.FAILED, last_exit=snapshot.Exit(None, 9), restart_reasons={"signal": 3}, restarts=3),
    )
    booting = make.ledger(
        phase=snapshot.BOOTING, seal=None, boot_sealed_at=None, deadline_monotonic=99999999.5, programs=views
    )
    pid1.tell(booting)
    server = start(boot)
    server.until("/ready", 503, lambda reply: reply.json["missing"][0]["kind"] == "program")

    judge("Unready", server.get("/ready").json)
    judge("Unsealed", server.get("/startupz").json)
    hold(server, tmp_path)


def test_a_server_that_heard_nothing_keeps_to_it(start, boot, pid1, tmp_path):
    hold(start(boot), tmp_path)


def test_a_held_and_a_stopping_server_keep_to_it(start, boot, pid1, make, tmp_path):
    pid1.tell(make.ledger(phase=snapshot.HELD, seal=None, boot_sealed_at=None, failure="required program api: x"))
    server = start(boot)
    server.until("/ready", 503, lambda reply: reply.json["missing"][0]["kind"] == "boot")
    hold(server, tmp_path)
    pid1.tell(make.ledger(phase=snapshot.STOPPING, seal=None, revision=11, failure="asked"))
    server.until("/ready", 503, lambda reply: "stopping" in reply.json["reason"])
    hold(server, tmp_path)


def test_a_server_without_pid_1_and_identity_keeps_to_it(start, make, tmp_path):
    folder = tmp_path / "boot"
    folder.mkdir()
    boot = make.boot(folder)
    probes = dataclasses.replace(boot.plan.probes, liveness_deadline_seconds=0.5)
    folder = tmp_path / "again"
    folder.mkdir()
    boot = make.boot(folder, probes=probes)
    boot.port = probes.port
    server = start(boot)
    server.until("/livez", 503)
    os.unlink(f"{boot.run.identity}/id")
    server.until("/whoami", 503)

    judge("Dead", server.get("/livez").json)
    judge("Problem", server.get("/whoami").json)
    hold(server, tmp_path)


def test_a_server_with_a_token_keeps_to_it_with_and_without(start, make, tmp_path):
    token = tmp_path / "token"
    token.write_text("0123456789abcdef0123456789abcdef\n")
    folder = tmp_path / "boot"
    folder.mkdir()
    port = make.free_port()
    detail = serving.DetailPlan(serving.OPEN, None, None, str(token))
    boot = make.boot(folder, probes=boots.listening(port=port, detail=detail))
    boot.port = port
    server = start(boot, wait=False)
    server.until("/openapi.json", 200)

    assert server.get("/health").status == 401
    judge("Problem", server.get("/health").json)
    hold(server, tmp_path, "--exclude-checks", "positive_data_acceptance")
    hold(server, tmp_path, "-H", f"Authorization: Bearer {token.read_text().strip()}")
    token.unlink()
    assert server.get("/v1/meta").status == 503
    hold(server, tmp_path, "--exclude-checks", "positive_data_acceptance")


def test_what_is_refused_under_a_name_is_as_it_says(steady):
    reply = steady.get("/health", headers={"Host": "evil.example"})

    assert reply.status == 403
    judge("Problem", reply.json)
