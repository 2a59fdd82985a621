"""What the probe server does for who asks: requests a second, held requests, its memory, and one ``bootseal status``.

Measures
--------
* requests: wrk(1) with one thread against /livez and /ready over 1, 64 and 1,000 connections that are kept, while 4 programs rest, and
  over 64 while 100 programs start. Requests are counted a second of the clock and a second of the probe server's own CPU: wrk and
  the server share the machine. Over many connections the latency is what a closed loop makes of it, connections / rate.
* held: 1,000 requests wait with ``/startupz?wait=60s``; from the seal's file to the last answer, and from the first answer to the last.
* probing: /ready and /livez ten times a second for ``--probing-seconds``; resident memory of the probe server every tenth of it.
* status: one ``bootseal status``, over an empty interpreter and next to ``supervisorctl status``.
"""

import http.client
import os
import resource
import select
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import figures
import launching
import rounds
import systems
import tree as trees
import trials
import workers

_SECONDS = 5
_HELD = 1000
_PERIOD_SECONDS = 0.1
_HEAD = b"GET /startupz?wait=60s HTTP/1.1\r\nHost: localhost\r\n\r\n"


def report_requests(options: rounds.Options) -> None:
    """Measure and print requests a second and their latency."""
    if shutil.which("wrk") is None:
        print("not measured: wrk is not on PATH (Debian: apt-get install wrk)\n", flush=True)
        return
    for path in ("/livez", "/ready"):
        for connections in (1, 64, 1000):
            _report_load(options, path, connections, "4 programs rest", workers.Scene(4), _SECONDS)
        _report_load(options, path, 64, "100 programs start", workers.Scene(100, lasting_seconds=1), 1)


def _report_load(
    options: rounds.Options, path: str, connections: int, when: str, scene: workers.Scene, seconds: int
) -> None:
    title = f"{path}, {connections} connection{'s' if connections > 1 else ''}, while {when}"
    rate = figures.Table(f"{title}: requests", digits=0, unit="1/s")
    latency = figures.Table(f"{title}: latency", digits=2)

    def trial(system: systems.System, into: figures.Table) -> None:
        assert isinstance(system, systems.Bootseal)
        if seconds == _SECONDS:
            launching.settle(system)
        else:
            system.launch()
            trials.until(lambda: system.tree.get("/livez")[0] == 200, "/livez 200")
        pid = _probe_server(system)
        before = _cpu_seconds(pid)
        said = _wrk(f"http://127.0.0.1:{system.tree.port}{path}", connections, seconds)
        spent = _cpu_seconds(pid) - before
        into.add(system.name, said["requests"] / said["microseconds"] * 1e6)
        into.add("by its own CPU time", said["requests"] / spent)
        if said["failed"]:
            into.notes.append(f"{said['failed']:.0f} of {said['requests']:.0f} requests failed")
        for point in ("p50", "p99", "p99.9"):
            latency.add(point, said[point] / 1000)

    rounds.run(rate, [systems.Bootseal], scene, options.repeat, trial)
    print(latency.show(), flush=True)


def _wrk(url: str, connections: int, seconds: int) -> dict[str, float]:
    script = Path(__file__).with_name("percentiles.lua")
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "-s", str(script), url]
    said = subprocess.run(argv, check=True, capture_output=True, text=True, preexec_fn=_raise_limit)
    pairs = (line.split() for line in said.stdout.splitlines())
    return {words[0]: float(words[1]) for words in pairs if len(words) == 2 and words[1].replace(".", "").isdigit()}


def _raise_limit() -> None:
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _probe_server(system: systems.System) -> int:
    return next(pid for pid in system.pids() if " -m probes " in trees.cmdline(pid))


def _cpu_seconds(pid: int) -> float:
    """Return user and system time (proc_pid_stat(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def report_held(options: rounds.Options) -> None:
    """Measure and print how 1,000 held requests are released."""
    _raise_limit()
    table = figures.Table(f"{_HELD} held requests: the seal's file -> the last answer", digits=1)

    def trial(system: systems.System, into: figures.Table) -> None:
        assert isinstance(system, systems.Bootseal)
        arrival = trials.Arrival(system.done)
        try:
            system.launch()
            trials.until(lambda: system.tree.get("/startupz")[0] == 503, "the server stands")
            held = [_ask(system.tree.port) for _ in range(_HELD)]
            if os.path.exists(system.done):
                raise trials.Missed("it was sealed before all requests were held")
            sealed = arrival.wait(system.is_alive)
            answered = _answers(held)
        finally:
            arrival.close()
        into.add(system.name, (answered[-1] - sealed) * 1000)
        into.add("first answer -> last answer", (answered[-1] - answered[0]) * 1000)

    rounds.run(table, [systems.Bootseal], workers.Scene(1, workers.NOTIFY, ready_after_ms=6000), options.repeat, trial)


def _ask(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), trials.PATIENCE_SECONDS)
    connection.sendall(_HEAD)
    return connection


def _answers(held: list[socket.socket]) -> list[float]:
    """Return the monotonic moments of the answers, in order; Missed when one is not 200."""
    poller = select.epoll()
    waiting = {connection.fileno(): connection for connection in held}
    for fd in waiting:
        poller.register(fd, select.EPOLLIN)
    moments: list[float] = []
    try:
        while waiting:
            ready = poller.poll(trials.PATIENCE_SECONDS)
            if not ready:
                raise trials.Missed(f"{len(waiting)} held requests were not answered")
            for fd, _ in ready:
                moments.append(time.monotonic())
                if not waiting.pop(fd).recv(65536).startswith(b"HTTP/1.1 200 "):
                    raise trials.Missed("a held request was not answered 200")
                poller.unregister(fd)
    finally:
        poller.close()
        for connection in held:
            connection.close()
    return sorted(moments)


def report_probing(options: rounds.Options) -> None:
    """Measure and print the probe server's memory while it is asked ten times a second."""
    title = f"resident memory of the probe server, asked 10 times a second for {options.probing_seconds:g} s"
    table = figures.Table(title, unit="MiB")

    def trial(system: systems.System, into: figures.Table) -> None:
        assert isinstance(system, systems.Bootseal)
        launching.settle(system)
        pid = _probe_server(system)
        resident: list[float] = []
        began = time.monotonic()
        for part in range(11):
            end = began + options.probing_seconds * part / 10
            while time.monotonic() < end:
                for path in ("/livez", "/ready"):  # a connection of its own each, as a kubelet's
                    if system.tree.get(path)[0] != http.client.OK:
                        raise trials.Missed(f"{path} 200")
                time.sleep(_PERIOD_SECONDS * 2)
            resident.append(_resident_mib(pid))
            into.add(f"after {part * 10} %", resident[-1])
        into.add(system.name, resident[-1])
        into.notes.append(f"at the end {resident[-1] / resident[1]:.3f} x of that after a tenth")

    rounds.run(table, [systems.Bootseal], workers.Scene(4), 1, trial)


def _resident_mib(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def report_status(options: rounds.Options) -> None:
    """Measure and print one ``bootseal status``."""
    empty, control = "python -I -c pass", "supervisorctl status"
    table = figures.Table("one call, 4 programs", (empty, control))
    bin_directory = Path(sys.executable).parent

    def trial(system: systems.System, into: figures.Table) -> None:
        assert isinstance(system, systems.Bootseal)
        launching.settle(system)
        config = system.tree.plan_directory / "supervisord.conf"
        for _ in range(5):
            into.add(empty, _call([sys.executable, "-I", "-c", "pass"]))
            into.add(control, _call([str(bin_directory / "supervisorctl"), "-c", str(config), "status"]))
            ours = [str(bin_directory / "bootseal"), "status", "--run-dir", system.tree.run.path]
            into.add(system.name, _call(ours))
            into.add(f"{system.name}, --format json", _call([*ours, "--format", "json"]))

    rounds.run(table, [systems.Bootseal], workers.Scene(4), options.repeat, trial)


def _call(argv: list[str]) -> float:
    began = time.monotonic()
    ended = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    took = (time.monotonic() - began) * 1000
    if ended.returncode not in {0, 3}:  # supervisorctl: 3 as soon as a one-shot has exited
        raise trials.Missed(f"{' '.join(argv)}: {ended.stderr.strip()[-200:]}")
    return took
