"""Ports: had, or refused with one clear sentence."""

import socket

import pytest

from manifest import plan
from probes import listeners


def close(sockets):
    for each in sockets:
        if each is not None:
            each.close()


def test_both_ports_accept_as_soon_as_they_are_bound(make):
    ports = make.free_port(), make.free_port()
    sockets = listeners.bind(plan.ProbesPlan("127.0.0.1", ports[0], "127.0.0.1", ports[1]))
    for port in ports:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
            assert client.getpeername()[1] == port
    close(sockets)


def test_metrics_have_no_port_of_their_own_unless_the_plan_says_so(make):
    sockets = listeners.bind(plan.ProbesPlan("127.0.0.1", make.free_port(), "127.0.0.1", None))

    assert sockets[1] is None
    close(sockets)


@pytest.mark.parametrize("taken", ["probes", "metrics"])
def test_a_port_in_use_is_named_with_what_to_do_and_nothing_is_left_open(make, taken):
    free = make.free_port()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        wanted = plan.ProbesPlan(
            "127.0.0.1", *((port, "127.0.0.1", free) if taken == "probes" else (free, "127.0.0.1", port))
        )
        with pytest.raises(listeners.CannotListen) as caught:
            listeners.bind(wanted)
    key = {"probes": "listen", "metrics": "metrics"}[taken]
    assert str(caught.value) == (
        f"{taken} listener 127.0.0.1:{port}: Address already in use (free the port, or change probes.{key} in the manifest)"
    )
    socket.create_server(("127.0.0.1", free)).close()


@pytest.mark.parametrize("host", ["192.0.2.1", "no such host", "fe80::1%nowhere", ""])
def test_an_address_that_cannot_be_had_is_refused_or_bound_but_never_a_traceback(make, host):
    try:
        close(listeners.bind(plan.ProbesPlan(host, make.free_port(), "127.0.0.1", None)))
        outcome = "bound"
    except listeners.CannotListen as error:
        outcome = str(error)
    assert "\n" not in outcome
    assert outcome == "bound" or outcome.startswith("probes listener ")


def test_an_ipv6_address_stands_in_brackets():
    assert listeners.show("::1", 80) == "[::1]:80"
    assert listeners.show("0.0.0.0", 80) == "0.0.0.0:80"
