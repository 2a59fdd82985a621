"""A thousand held requests, and liveness under a PID 1 that stands still; what a kubelet makes of them is in ``test_kubelet``."""

import json
import os
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
import tree as trees

SLOW = {"command": ["sleep", "1000"], "ready": {"file": "${run}/gate"}}
"""A program that is ready when the file ``gate`` is in the run directory."""


def open_gate(tree: trees.Tree) -> None:
    """Let ``api`` be ready: the file of a process before is removed at its start, so it must have started."""
    trees.wait_until(lambda: tree.program("api").pid is not None, "api runs")
    Path(f"{tree.run.path}/gate").touch()


def kill_api(tree: trees.Tree) -> None:
    """Kill ``api``: it is started again at once, and not ready before the gate is opened again."""
    pid = tree.program("api").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def boot_with_open_gate(tree: trees.Tree, **sections: Any) -> None:
    """Boot the slow program, and let it be ready."""
    tree.build({"programs": {"api": SLOW}, **sections})
    tree.start()
    tree.wait_for_event("BootstrapSealStarted")
    open_gate(tree)
    tree.wait_ready()


def held(port: int, path: str) -> socket.socket:
    """Send a request; return the open client."""
    client = socket.create_connection(("127.0.0.1", port), timeout=trees.PATIENCE_SECONDS)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("path", ["/startupz", "/ready"])
def test_a_thousand_that_wait_are_all_answered_and_each_is_decided_anew(tree: trees.Tree, path: str) -> None:
    tree.build({"programs": {"api": SLOW}})
    tree.start()
    trees.wait_until(lambda: tree.get("/health")[0] == 200, "the server stands")
    clients = [held(tree.port, f"{path}?wait=60s") for _ in range(1000)]
    assert tree.get("/livez")[0] == 200
    for client in clients:
        client.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.recv(1)
        client.settimeout(trees.PATIENCE_SECONDS)

    open_gate(tree)

    assert [client.recv(13) for client in clients] == [b"HTTP/1.1 200 "] * 1000
    for client in clients:
        client.close()


def test_held_requests_are_answered_when_the_boot_is_ended_instead(tree: trees.Tree) -> None:
    tree.build({"programs": {"api": SLOW}})
    tree.start()
    trees.wait_until(lambda: tree.get("/health")[0] == 200, "the server stands")
    client = held(tree.port, "/ready?wait=60s")
    assert tree.get("/livez")[0] == 200

    assert tree.stop() == 0

    with client:
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"the container is stopping" in answer


# --- liveness ----------------------------------------------------------------------------------------------------------


def test_a_pid_1_that_stands_still_is_not_live_and_is_live_again_when_it_goes_on(tree: trees.Tree) -> None:
    tree.build(
        {
            "programs": {"api": trees.QUICK},
            "probes": {"listen": f"127.0.0.1:{tree.port}", "liveness_deadline": "5s"},
        }
    )
    tree.start().wait_ready()
    os.kill(tree.pid, signal.SIGSTOP)
    try:
        body = trees.wait_until(lambda: answered(tree, 503), "/livez 503")
        assert body["live"] is False
        assert body["reason"].startswith("PID 1 was last heard ")
        assert body["reason"].endswith("and the deadline is 5 s")
        assert body["heartbeat_age_seconds"] >= 5
        assert tree.get("/ready")[0] == 503
    finally:
        os.kill(tree.pid, signal.SIGCONT)

    trees.wait_until(lambda: answered(tree, 200), "/livez 200 again")
    tree.wait_ready()
    changes = [event["live"] for event in journal(tree, "LivenessChanged")]
    assert changes == [False, True]


def answered(tree: trees.Tree, status: int) -> Any:
    found, body = tree.get("/livez")
    return found == status and body


def journal(tree: trees.Tree, name: str) -> list[dict[str, Any]]:
    lines = Path(tree.run.events).read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == name]


def test_nothing_else_makes_it_not_live(tree: trees.Tree) -> None:
    """Asked all the while: a required program dies, the seal is removed, the feed breaks, the container drains and stops."""
    boot_with_open_gate(tree, probes={"listen": f"127.0.0.1:{tree.port}", "liveness_deadline": "5s"})
    statuses: list[int] = []
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            statuses.append(tree.get("/livez")[0])
            over.wait(0.02)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        kill_api(tree)
        tree.wait_unready()
        os.unlink(tree.run.seal)
        hidden = f"{tree.run.ledger_socket}.hidden"
        os.rename(tree.run.ledger_socket, hidden)
        probes = tree.program("probes").pid
        assert probes is not None
        os.kill(probes, signal.SIGTERM)  # a new one cannot subscribe at once
        trees.wait_until(lambda: tree.program("probes").pid not in {None, probes}, "another probe server")
        trees.wait_until(lambda: tree.get("/livez")[0] == 200, "it answers without any feed")
        os.rename(hidden, tree.run.ledger_socket)
        trees.wait_until(lambda: tree.get("/health")[1]["phase"] == "sealed", "it has the ledger")
        assert tree.stop() == 0
    finally:
        over.set()
        asking.join()

    assert set(statuses) <= {0, 200}  # 0: nobody listened, while one server followed the other
    assert statuses.count(200) > 10
    assert journal(tree, "LivenessChanged") == []
