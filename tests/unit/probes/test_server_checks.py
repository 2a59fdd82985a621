"""The real server checks real sockets and tells a small PID 1, and answers its own clients meanwhile."""

import contextlib
import socket
import threading

import pytest

from contract import snapshot
from manifest import plan
from tests.unit import boots


@pytest.fixture
def hanging():
    """A port whose connections are accepted by the kernel and never answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=512) as server:
        yield server.getsockname()[1]


def pending(make, name="api", **changes):
    return make.view(name, snapshot.PENDING, **({"ready_at": None} | changes))


def a_boot(make, tmp_path, *programs):
    """Return a boot of these programs that nobody requires."""
    own = boots.own_programs()
    return make.boot(tmp_path, programs=(*own[:2], *programs, own[2]), empty_required_set=True)


@pytest.fixture
def begin(make, tmp_path, start):
    """Start a boot of programs with its PID 1 and the real server."""
    with contextlib.ExitStack() as stack:

        def begin_(*programs, wait=True):
            boot = a_boot(make, tmp_path, *programs)
            pid1 = make.pid1(boot.run)
            stack.callback(pid1.stop)
            return pid1, start(boot, wait=wait)

        yield begin_


def ready(check, name="api", **changes):
    return boots.program(name, required=False, ready=boots.ready(check.kind, check=check), **changes)


def tcp(port):
    return boots.check(plan.TCP, host="127.0.0.1", port=port)


def test_a_verdict_reaches_pid_1_with_pid_and_start_time(begin, make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid1, _ = begin(ready(tcp(listener.getsockname()[1])))
        pid1.tell(make.ledger(programs=(pending(make),)))
        make.until(lambda: pid1.verdicts, "a verdict")

    assert pid1.verdicts == [
        {"program": "api", "pid": 100, "pid_start": 1000, "purpose": "ready", "ok": True, "reason": ""}
    ]


def test_checks_begin_with_a_ledger_that_came_before_the_server_stood(begin, make):
    pid1, _ = begin(ready(tcp(make.free_port())), wait=False)
    pid1.tell(make.ledger(programs=(pending(make),)))
    make.until(lambda: pid1.verdicts, "a verdict")

    assert pid1.verdicts[0]["reason"] == "connection refused"


def test_after_a_reconnect_all_that_stands_is_told_again(begin, make):
    pid1, _ = begin(ready(tcp(make.free_port())), ready(tcp(make.free_port()), "web"))
    pid1.tell(make.ledger(programs=(pending(make), pending(make, "web"))))
    make.until(lambda: len(pid1.verdicts) == 2, "both verdicts")

    pid1.hang_up()

    make.until(lambda: len(pid1.verdicts) == 4, "both verdicts again")
    assert sorted(told["program"] for told in pid1.verdicts[2:]) == ["api", "web"]


def test_after_a_reconnect_nothing_is_told_of_a_process_that_is_gone_meanwhile(begin, make):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        pid1, _ = begin(ready(tcp(listener.getsockname()[1])))
        pid1.tell(make.ledger(programs=(pending(make),)))
        make.until(lambda: pid1.verdicts, "a verdict")
        pid1.ledger = pid1.rpc_ledger = make.ledger(revision=11, programs=(pending(make, pid=101),))
        pid1.hang_up()
        make.until(lambda: len(pid1.verdicts) >= 2, "a verdict on the new process")

    assert [told["pid"] for told in pid1.verdicts] == [100, 101]


def test_live_verdicts_are_renewed_and_a_failure_is_told(begin, make):
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as listener:
        live = plan.LivePlan(tcp(listener.getsockname()[1]), 0.05, 2, 1, False)
        pid1, server = begin(boots.program("api", required=False, live=live))
        pid1.tell(make.ledger(programs=(make.view("api"),)))
        make.until(lambda: len(pid1.verdicts) >= 3, "renewals")
    make.until(lambda: not pid1.verdicts[-1]["ok"], "the failure")

    assert pid1.verdicts[0]["ok"]
    assert pid1.verdicts[-1]["reason"] == "connection refused"
    text = server.get("/metrics").body.decode()
    assert 'bootseal_check_seconds_bucket{le="+Inf",program="api",purpose="live"}' in text
    assert 'bootseal_check_failures_total{program="api",purpose="live"}' in text


def test_a_hundred_checks_that_hang_hold_up_no_answer_and_not_the_end(begin, make, hanging):
    check = boots.check(plan.HTTP, url=f"http://127.0.0.1:{hanging}/", timeout_seconds=3600.0)
    names = [f"p{number}" for number in range(100)]
    pid1, server = begin(*(ready(check, name) for name in names), ready(tcp(make.free_port()), "last"))
    pid1.tell(make.ledger(programs=tuple(pending(make, name) for name in names)))
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(server.get("/livez").status)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert statuses == [200] * 20
    assert pid1.verdicts == []
    assert server.end() == 0
    assert "Traceback" not in server.stderr.read_text()


def test_its_commands_end_with_the_server(begin, make, tmp_path):
    script = f"sleep 1000 & echo $! $$ > {tmp_path}/new; mv {tmp_path}/new {tmp_path}/pids; wait"
    check = boots.check(plan.EXEC, argv=("/bin/sh", "-c", script), timeout_seconds=3600.0)
    pid1, server = begin(ready(check))
    pid1.tell(make.ledger(programs=(pending(make),)))
    make.until((tmp_path / "pids").exists, "the command runs")
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]

    assert server.end() == 0

    for pid in pids:
        make.until(lambda pid=pid: is_gone(pid), f"process {pid} ends")


def is_gone(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rpartition(")")[2].split()[0] in {"Z", "X"}
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_a_pid_1_that_does_not_read_holds_up_nothing(begin, make):
    live = plan.LivePlan(tcp(make.free_port()), 0.001, 1, 1, False)
    pid1, server = begin(boots.program("api", required=False, live=live))
    pid1.read_on(False)
    pid1.tell(make.ledger(programs=(make.view("api"),)))
    needle = 'bootseal_check_failures_total{program="api",purpose="live"} '

    def failures():
        text = server.get("/metrics").body.decode()
        return float(text.partition(needle)[2].split()[0]) if needle in text else 0.0

    make.until(lambda: failures() >= 50, "checks go on")
    assert server.get("/livez").status == 200
