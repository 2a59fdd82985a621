"""Ports, endpoint and log level: manifest → plan → environment → what listens → /v1/meta → `bootseal status`; no link may differ."""

import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import tree as trees

LEVEL, ENDPOINT = "warning", "http://127.0.0.1:9/odd/place"
UNSEEN = '[ -z "$BOOTSEAL_PROBES_LISTEN$BOOTSEAL_LOG_LEVEL$BOOTSEAL_DETAIL_LISTEN$CREDENTIALS_DIRECTORY$TOKEN" ]'


def served(tree: trees.Tree) -> dict[str, str]:
    """Return three addresses that no default gives."""
    return {
        "probes": f"127.0.0.1:{tree.port}",
        "metrics": f"127.0.0.2:{trees.free_port()}",
        "detail": f"127.0.0.3:{trees.free_port()}",
    }


def manifest(at: dict[str, str]) -> dict[str, Any]:
    collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://of-the-program:1"}
    return {
        "programs": {"api": {**trees.QUICK, "environment": collector, "ready": {"exec": ["sh", "-c", UNSEEN]}}},
        "secrets": {"token": {"generate": 24}},
        "probes": {
            "listen": at["probes"],
            "metrics": at["metrics"],
            "detail": {"listen": at["detail"], "token": {"secret": "token"}},
        },
        "observability": {"log_level": LEVEL, "otlp_endpoint": ENDPOINT},
    }


def in_plan(tree: trees.Tree) -> tuple[dict[str, str], str, str]:
    """Return addresses, log level and endpoint as the plan has them."""
    made = json.loads((tree.plan_directory / "plan.json").read_text())
    probes, told = made["probes"], made["observability"]
    addresses = {
        "probes": f"{probes['host']}:{probes['port']}",
        "metrics": f"{probes['metrics_host']}:{probes['metrics_port']}",
        "detail": f"{probes['detail']['host']}:{probes['detail']['port']}",
    }
    return addresses, told["log_level"], told["otlp_endpoint"]


def environment(pid: int) -> dict[str, str]:
    items = Path(f"/proc/{pid}/environ").read_bytes().decode().split("\0")
    return dict(item.split("=", 1) for item in items if item)


def in_environment(pid: int) -> tuple[dict[str, str], str, str]:
    """Return the same as the probe server was told it."""
    found = environment(pid)
    names = {"probes": "PROBES", "metrics": "METRICS", "detail": "DETAIL"}
    addresses = {key: found[f"BOOTSEAL_{name}_LISTEN"] for key, name in names.items()}
    return addresses, found["BOOTSEAL_LOG_LEVEL"], found["BOOTSEAL_OTLP_ENDPOINT"]


def listening(pid: int) -> set[str]:
    """Return the addresses that ``pid`` really accepts on, as the kernel says."""
    found = psutil.Process(pid).net_connections(kind="tcp")
    return {f"{one.laddr.ip}:{one.laddr.port}" for one in found if one.status == psutil.CONN_LISTEN}


def ask(address: str, path: str, token: str | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=trees.PATIENCE_SECONDS)
    try:
        connection.request("GET", path, headers={} if token is None else {"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def in_meta(meta: dict[str, Any]) -> tuple[dict[str, str], str, str]:
    """Return the same as /v1/meta shows it."""
    ends = meta["endpoints"]
    addresses = {"probes": ends["probes"], "metrics": ends["metrics"], "detail": ends["detail"]["address"]}
    return addresses, meta["log_level"], ends["otlp"]


def in_status(tree: trees.Tree) -> tuple[dict[str, str], str, str]:
    """Return the same as `bootseal status` shows it to a person's tool."""
    command = [sys.executable, "-I", "-m", "entrypoint", "status", "--format", "json", "--run-dir", tree.run.path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=trees.PATIENCE_SECONDS, check=True)
    return in_meta(json.loads(done.stdout))


def test_every_link_says_what_the_manifest_says(tree: trees.Tree) -> None:
    at = served(tree)
    said = (at, LEVEL, ENDPOINT)
    tree.build(manifest(at))
    assert in_plan(tree) == said
    tree.start()
    tree.wait_ready()
    pid = tree.program("probes").pid
    assert pid is not None
    assert in_environment(pid) == said
    assert listening(pid) == set(at.values())
    token = Path(f"{tree.run.secrets_of('probes')}/token").read_text()
    assert len(token) == 48
    assert token not in environment(pid).values(), "the token is a file"
    status, body = ask(at["detail"], "/v1/meta", token)
    assert status == 200
    assert in_meta(json.loads(body)) == said
    assert in_status(tree) == said


def test_each_address_serves_its_own_and_no_more(tree: trees.Tree) -> None:
    at = served(tree)
    tree.build(manifest(at))
    tree.start()
    tree.wait_ready()
    token = Path(f"{tree.run.secrets_of('probes')}/token").read_text()
    asked = [(key, path) for key in at for path in ("/ready", "/metrics", "/v1/meta")]
    assert {(key, path): ask(at[key], path, token)[0] for key, path in asked} == {
        ("probes", "/ready"): 200,
        ("probes", "/metrics"): 200,
        ("probes", "/v1/meta"): 404,
        ("metrics", "/ready"): 404,
        ("metrics", "/metrics"): 200,
        ("metrics", "/v1/meta"): 404,
        ("detail", "/ready"): 404,
        ("detail", "/metrics"): 404,
        ("detail", "/v1/meta"): 200,
    }
    assert ask(at["detail"], "/v1/meta")[0] == 401
    assert ask(at["detail"], "/v1/meta", token[::-1])[0] == 401


def test_programs_keep_an_endpoint_of_their_own(tree: trees.Tree) -> None:
    tree.build(
        {**manifest(served(tree)), "boot": {"environment": ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_SERVICE_NAME"]}}
    )
    tree.start({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://of-the-container:1", "OTEL_SERVICE_NAME": "shop"})
    tree.wait_ready()
    api, probes = (tree.program(name).pid for name in ("api", "probes"))
    assert api is not None
    assert probes is not None
    found = environment(api)
    assert (found["OTEL_EXPORTER_OTLP_ENDPOINT"], found["OTEL_SERVICE_NAME"]) == ("http://of-the-program:1", "shop")
    assert not any(name.startswith("BOOTSEAL_") and name != "BOOTSEAL_RUN_DIR" for name in found), found
    assert in_environment(probes)[2] == ENDPOINT


@pytest.mark.parametrize(("key", "value"), [("log_level", "debug"), ("otlp_endpoint", None)])
def test_what_the_environment_does_not_say_is_not_served(tree: trees.Tree, key: str, value: Any) -> None:
    tree.build(manifest(served(tree)))
    path = tree.plan_directory / "plan.json"
    made = json.loads(path.read_text())
    made["observability"][key] = value
    path.write_text(json.dumps(made))
    tree.start()
    assert tree.exit_code() == 6
    name = {"log_level": "BOOTSEAL_LOG_LEVEL", "otlp_endpoint": "BOOTSEAL_OTLP_ENDPOINT"}[key]
    assert f"environment variable {name}: " in tree.stdout() + tree.stderr()
    assert "probes" in json.dumps(tree.failure())
