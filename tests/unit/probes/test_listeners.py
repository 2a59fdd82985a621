"""Addresses: had, or refused with one clear sentence."""

import os
import socket
import stat
import threading

import pytest

from contract import rundir
from manifest import serving
from probes import listeners
from tests.unit import boots


@pytest.fixture
def run(tmp_path):
    return rundir.open_or_create(str(tmp_path / "run"))


def owned(port):
    return serving.DetailPlan(serving.OWN, "127.0.0.1", port, None)


def test_every_address_accepts_as_soon_as_it_is_bound(run, make):
    ports = [make.free_port() for _ in range(3)]
    wanted = boots.listening(port=ports[0], metrics_port=ports[1], detail=owned(ports[2]))
    sockets = listeners.bind(wanted, run)
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.getpeername()[1] == port
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(run.probes_socket)
    sockets.close()


def test_metrics_and_detail_have_no_address_of_their_own_unless_the_plan_says_so(run, make):
    sockets = listeners.bind(boots.listening(port=make.free_port()), run)

    assert (sockets.metrics, sockets.detail) == (None, None)
    sockets.close()


@pytest.mark.parametrize("taken", ["probes", "metrics", "detail"])
def test_a_port_in_use_is_named_with_what_to_do_and_nothing_is_left_open(run, make, taken):
    ports = {name: make.free_port() for name in ("probes", "metrics", "detail")}
    with socket.create_server(("127.0.0.1", 0)) as other:
        ports[taken] = port = other.getsockname()[1]
        wanted = boots.listening(port=ports["probes"], metrics_port=ports["metrics"], detail=owned(ports["detail"]))
        with pytest.raises(listeners.CannotListen) as caught:
            listeners.bind(wanted, run)
    key = {"probes": "listen"}.get(taken, taken)
    assert str(caught.value) == (
        f"{taken} listener 127.0.0.1:{port}: Address already in use (free the port, or change probes.{key} in the manifest)"
    )
    for free in ports.values():
        socket.create_server(("127.0.0.1", free)).close()
    assert not os.path.exists(run.probes_socket)


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "fe80::1%nowhere", ""])
def test_an_address_that_cannot_be_had_is_refused_or_bound_but_never_a_traceback(run, make, host):
    try:
        listeners.bind(boots.listening(host=host, port=make.free_port()), run).close()
        outcome = "bound"
    except listeners.CannotListen as error:
        outcome = str(error)
    assert "\n" not in outcome
    assert outcome == "bound" or outcome.startswith("probes listener ")


def test_the_unix_socket_is_ours_alone_from_its_first_moment_and_the_umask_is_as_before(run, make):
    before = os.umask(0)
    try:
        sockets = listeners.bind(boots.listening(port=make.free_port()), run)
        assert os.umask(0) == 0
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.lstat(run.probes_socket).st_mode) == 0o600
    sockets.close()


def test_the_unix_socket_of_a_server_before_is_replaced_without_a_moment_without_any(run, make):
    first = listeners.bind(boots.listening(port=make.free_port()), run)
    missing, over = [], threading.Event()

    def watch():
        while not over.is_set():
            if not os.path.lexists(run.probes_socket):
                missing.append(1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    for _ in range(20):
        listeners.bind(boots.listening(port=make.free_port()), run).close()
    over.set()
    watcher.join()
    first.close()
    assert missing == []
    assert [name for name in os.listdir(run.path) if name.startswith("probes.sock")] == ["probes.sock"]


def test_a_unix_socket_that_cannot_be_had_is_refused_with_its_cause_and_nothing_is_left_open(run, make):
    os.mkdir(run.probes_socket)
    port = make.free_port()

    with pytest.raises(listeners.CannotListen, match=r"probes socket .*: Is a directory \("):
        listeners.bind(boots.listening(port=port), run)

    socket.create_server(("127.0.0.1", port)).close()
    assert os.listdir(run.path) == ["probes.sock"]
