"""Clients that keep others out on purpose: thousands that say nothing, or a byte a second, against a real container's probes."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tree as trees

CROWD = 10_000
ASKED = 200
ROOM_MIB = 64
"""What the crowd may cost the server in memory: 2,048 clients with a head of 16 KiB each are 32 MiB."""

ATTACK = """
import os, resource, select, socket, sys, time
port, count = int(sys.argv[1]), int(sys.argv[2])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
crowd = []
def come():
    client = socket.socket()
    client.setblocking(False)
    try:
        client.connect(("127.0.0.1", port))
    except BlockingIOError:
        pass
    return client
for index in range(count):
    crowd.append(come())
    if index % 100 == 99:
        time.sleep(0.005)
print("here", flush=True)
drip = b"GET /livez HTTP/1.1\\r\\nX: "
turn = 0
while True:
    turn += 1
    again = 0
    for index, client in enumerate(crowd):
        if index % 2:
            continue
        try:
            client.send(drip[turn % len(drip):][:1] if turn > 1 else b"G")
        except OSError:
            client.close()
            crowd[index] = come()
            again += 1
    if turn == 2:
        print("dripping", flush=True)
    time.sleep(1)
"""


BOOT = [sys.executable, "-I", "-X", "utf8", "-m", "entrypoint", "boot"]


@pytest.fixture(params=["20000:20000", "1024:1024"], ids=["many descriptors", "few descriptors"])
def crowd(tree: trees.Tree, request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    """A sealed container with this limit of open files, and a process with the crowd in it; both ended after the test."""
    tree.build({"programs": {"api": trees.QUICK}})
    tree.start(argv=["prlimit", f"--nofile={request.param}", *BOOT]).wait_ready()
    attack = subprocess.Popen(
        [sys.executable, "-c", ATTACK, str(tree.port), str(CROWD)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield attack
    finally:
        attack.kill()
        attack.wait()
        assert attack.stdout is not None
        attack.stdout.close()


def resident_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def test_ten_thousand_idle_and_dripping_clients_keep_nobody_from_being_answered(
    tree: trees.Tree, crowd: subprocess.Popen[str]
) -> None:
    probes = tree.program("probes").pid
    assert probes is not None
    before = resident_mib(probes)
    assert crowd.stdout is not None
    assert crowd.stdout.readline() == "here\n"
    while_idle = [tree.get(("/livez", "/ready")[index % 2])[0] for index in range(ASKED)]
    assert crowd.stdout.readline() == "dripping\n"
    while_dripping = [tree.get(("/livez", "/ready")[index % 2])[0] for index in range(ASKED)]
    grown = resident_mib(probes) - before
    descriptors = len(list(Path(f"/proc/{probes}/fd").iterdir()))

    assert while_idle.count(200) == ASKED, while_idle
    assert while_dripping.count(200) == ASKED, while_dripping
    assert grown < ROOM_MIB
    assert descriptors < CROWD / 2  # they are sent away, not kept
    assert "a client cannot be taken" not in tree.stderr()  # there was always a descriptor left
    assert tree.program("probes").pid == probes
    assert [event for event in tree.events("ReadinessChanged") if not event["ready"]] == []
    crowd.kill()
    assert tree.stop() == 0
