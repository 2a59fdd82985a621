"""/metrics of a real boot: taken by promtool, and counting what really happens."""

import os
import signal
import sys
import time
import urllib.request
from concurrent import futures

import tree as trees
from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

from contract import process, snapshot
from tests import promtool

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
BURN = """
import os, time
if not os.fork():
    if not os.fork():
        until = time.process_time() + 0.5
        while time.process_time() < until: pass
        os._exit(0)
    os.wait()
    time.sleep(1000)
time.sleep(1000)
"""


def scrape(port: int, headers: dict[str, str] | None = None) -> str:
    request = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers=headers or {})
    with urllib.request.urlopen(request, timeout=trees.PATIENCE_SECONDS) as answer:
        return str(answer.read().decode())


def values(text: str) -> dict[tuple[str, ...], float]:
    return {
        (one.name, *(one.labels[name] for name in sorted(one.labels))): one.value
        for family in parser.text_string_to_metric_families(text)
        for one in family.samples
    }


def test_a_real_boot_in_metrics(tree: trees.Tree) -> None:
    own = trees.free_port()
    check = {"tcp": f"127.0.0.1:{tree.port}"}
    programs = {
        "migrate": {"command": ["true"], "oneshot": True},
        "api": {**trees.QUICK, "after": ["migrate"], "live": {**check, "period": "100ms"}},
        "burner": {"command": [sys.executable, "-c", BURN], "ready": {"running": True, "for": "0s"}},
    }
    tree.build({"programs": programs, "probes": {"listen": f"127.0.0.1:{tree.port}", "metrics": f"127.0.0.1:{own}"}})
    before = time.time()
    tree.start().wait_ready()

    def has_ended() -> bool:
        """Whether the grandchild's time is counted, and it is gone: its parent waited for it."""
        seen = values(scrape(own))
        took = seen.get(("bootseal_program_cpu_seconds_total", "burner"), 0)
        return took >= 0.3 and seen["bootseal_program_processes", "burner"] == 2

    trees.wait_until(has_ended, "the grandchild's time stays when it is gone")
    first = tree.program("api")
    assert first.pid is not None
    os.kill(first.pid, signal.SIGKILL)
    trees.wait_until(lambda: tree.program("api").restarts == 1 and tree.get("/ready")[0] == 200, "it is back")
    trees.wait_until(
        lambda: values(scrape(own)).get(("bootseal_check_seconds_count", "api", "live"), 0) > 0, "a check was counted"
    )
    text = scrape(tree.port)
    found = values(text)

    assert promtool.check_metrics(text.encode()) == ""
    assert found["bootseal_readiness",] == 1
    assert found["bootseal_seal_state", "accepted"] == 1
    assert (
        before - 1
        <= found["bootseal_boot_timestamp_seconds",]
        <= found["bootseal_seal_timestamp_seconds",]
        <= time.time()
    )
    phases = [key[1] for key in found if key[0] == "bootseal_boot_phase_seconds"]
    assert phases == [
        "run-directory",
        "plan",
        "security-profile",
        "immutable-root",
        "writable-roots",
        "artifacts",
        "identity",
        "preflight",
    ]
    assert found["bootseal_program_restarts_total", "api", snapshot.KILLED] == 1
    assert sum(found["bootseal_program_restarts_total", "api", reason] for reason in snapshot.RESTART_REASONS) == 1
    assert (
        0
        <= found["bootseal_program_ready_seconds", "migrate"]
        < found["bootseal_program_boot_ready_seconds", "migrate"]
    )
    assert found["bootseal_readiness_transitions_total", "unready"] >= 1
    assert found["bootseal_requirement_met", "api", "program", "true"] == 1
    assert found["bootseal_program_processes", "burner"] == 2
    assert found["bootseal_program_resident_memory_bytes", "burner"] > 1_000_000
    assert ("bootseal_program_processes", "migrate") not in found
    assert found["bootseal_probe_request_seconds_count", "/ready"] == sum(
        value for key, value in found.items() if key[0] == "bootseal_probe_requests_total" and key[2] == "/ready"
    )
    modern = {family.name for family in openmetrics_parser.text_string_to_metric_families(scrape(own, OPENMETRICS))}
    assert {"bootseal_build", "bootseal_plan", "bootseal_boot", "process_resident_memory_bytes"} <= modern
    server = tree.program("probes")
    assert found["bootseal_program_processes", "probes"] >= 1
    assert process.start_time(server.pid or 0) == server.pid_start


def test_many_who_scrape_at_once_are_all_answered_and_hold_up_no_probe(tree: trees.Tree) -> None:
    tree.build({"programs": trees.ONE["programs"]})
    tree.start().wait_ready()
    with futures.ThreadPoolExecutor(24) as pool:
        scrapes = [pool.submit(scrape, tree.port) for _ in range(60)]
        alive = [pool.submit(tree.get, "/livez") for _ in range(60)]
        texts = [one.result() for one in scrapes]
        statuses = [one.result()[0] for one in alive]

    assert statuses == [200] * 60
    assert all(values(text)["bootseal_readiness",] == 1 for text in texts)
    counted = values(scrape(tree.port))["bootseal_probe_requests_total", "200", "/metrics"]
    assert counted == 60
