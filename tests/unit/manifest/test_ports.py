"""The rules of ports and deployment: what they leave alone, what they say of many, and what was cut out."""

import itertools
import pathlib

import pytest

from manifest import compile as compiling
from manifest import listeners
from tests.unit.manifest import manifests

PROGRAM = "version: 1\nname: x\nprograms:\n  a:\n    command: [a]\n"
OPEN = "probes: {listen: '0.0.0.0:8080'}\n"

FINE = {
    "other ports": "    ports: ['0.0.0.0:8000', '0.0.0.0:8001']\n",
    "other hosts": "    ports: ['127.0.0.1:8000']\n  b: {command: [b], ports: ['127.0.0.2:8000', '[::1]:8000']}\n",
    "one family each": "    ports: ['0.0.0.0:8000']\n  b: {command: [b], ports: ['[::1]:8000']}\n",
    "one program that keeps the families apart": "    ports: ['0.0.0.0:8000', '[::]:8000']\n",
    "one program that keeps them apart the other way round": "    ports: ['[::]:8000', '127.0.0.1:8000']\n",
    "one program, and all of the other family": "    ports: ['127.0.0.1:8000', '[::]:8000']\n",
    "beside the probes": "    ports: ['127.0.0.2:8080']\n",
    "a FastCGI socket that two share and one declares": (
        "    fastcgi: 'tcp://127.0.0.1:9000'\n    ports: ['127.0.0.1:9000']\n"
        "  b: {command: [b], fastcgi: 'tcp://127.0.0.1:9000', ready: {tcp: 9000}}\n"
    ),
    "a check of a FastCGI socket that nobody declares besides": (
        "    ports: ['0.0.0.0:8000']\n  b: {command: [b], fastcgi: 'tcp://127.0.0.1:9000', ready: {tcp: 9000}}\n"
    ),
    "a FastCGI socket of unix": "    fastcgi: 'unix:///run/bootseal/a.sock'\n    ports: ['127.0.0.1:9000']\n",
    "a FastCGI socket is not declared in `ports`": "    fastcgi: 'tcp://127.0.0.1:9000'\n    ready: {tcp: 9001}\n",
    "exposed and proven": "    ready: {notify: true}\n    ports: [{listen: '0.0.0.0:8000', expose: true}]\n",
    "exposed and checked by the container": "    ports: [{listen: '0.0.0.0:8000', expose: true}]\nready: {checks: {a: {tcp: 8000}}}\n",
    "exposed and optional": "    required: false\n    ports: [{listen: '0.0.0.0:8000', expose: true}]\nrequired: []\n",
    "a check without any port declared": "    ready: {tcp: 8000}\n",
    "a check of all addresses' port": "    ready: {tcp: 8000}\n    ports: ['0.0.0.0:8000']\n",
    "a check over the other family of all": "    ready: {tcp: 8000}\n    ports: ['[::]:8000']\n",
    "a check of another's port": "    ready: {tcp: 8000}\n  b: {command: [b], ports: ['0.0.0.0:8000']}\n",
    "a check of the probe server": "    ports: ['0.0.0.0:8000']\n    ready: {http: 'http://127.0.0.1:8080/livez'}\n",
    "a check of the metrics": "    ports: ['0.0.0.0:8000']\n    ready: {tcp: 9091}\nprobes: {metrics: '127.0.0.1:9091'}\n",
    "a check of another host": "    ports: ['0.0.0.0:8000']\n    ready: {tcp: '10.0.0.5:5432'}\n",
    "a check over a unix socket": "    ports: ['0.0.0.0:8000']\n    ready: {http: {url: 'http://localhost/', socket: /run/a.sock}}\n",
    "a check by a command": "    ports: ['0.0.0.0:8000']\n    ready: {exec: [curl, 'http://127.0.0.1:1/']}\n",
    "no check any more": "    ports: ['0.0.0.0:8000']\n    ready: {tcp: 8000}\n    live: false\n",
    "port 1024": "    ports: ['0.0.0.0:1024']\n",
    "a low port with its capability": (
        "    ports: ['0.0.0.0:80']\nfeatures: [web]\nsecurity: {exceptions: {web: {reason: it has no other port, "
        "capabilities: [NET_BIND_SERVICE], acknowledge: [NET_BIND_SERVICE]}}}\n"
    ),
    "no deployment": "    ports: ['127.0.0.1:8000']\nprobes: {listen: '127.0.0.1:8080'}\n",
    "detail on loopback in a cluster": f"deploy: {{}}\n{OPEN[:-2]}, detail: '127.0.0.1:8081'}}\n",
    "one pod": f"deploy: {{kind: pod}}\n{OPEN}",
    "volumes, each its own": f"deploy: {{replicas: 3}}\n{OPEN}boot: {{writable: [{{path: /d, storage: volume}}]}}\n",
    "one deployment with a volume": f"deploy: {{kind: deployment}}\n{OPEN}boot: {{writable: [{{path: /d, storage: volume}}]}}\n",
    "a deployment without volumes": f"deploy: {{kind: deployment, replicas: 9}}\n{OPEN}boot: {{writable: [/d]}}\n",
    "one of a fixed identity": f"deploy: {{}}\n{OPEN}identity: {{id: shop}}\n",
    "each of its variable's identity": f"deploy: {{replicas: 2}}\n{OPEN}identity: {{id: {{env: POD, default: shop}}}}\n",
}


@pytest.mark.parametrize("more", FINE.values(), ids=FINE)
def test_what_is_right_is_left_alone(more: str, tmp_path: pathlib.Path) -> None:
    assert manifests.load(tmp_path, PROGRAM + more).diagnostics == ()


HALF_READ = {
    "the ports of another": "  b: {command: [b], ports: ['nowhere']}\n",
    "a whole program": "  b: [b]\n",
    "the probes": "probes: {listen: nowhere}\n",
}


@pytest.mark.parametrize("faulty", HALF_READ.values(), ids=HALF_READ)
def test_where_something_was_cut_no_check_is_told_that_nobody_declares_its_port(
    faulty: str, tmp_path: pathlib.Path
) -> None:
    found = manifests.load(tmp_path, PROGRAM + "    ports: ['0.0.0.0:8000']\n    ready: {tcp: 8001}\n" + faulty)
    assert len(found.diagnostics) == 1
    assert "E103" not in manifests.codes(found)


def test_of_two_faults_of_one_manifest_both_are_told(tmp_path: pathlib.Path) -> None:
    text = (
        PROGRAM
        + "    ports: [{listen: '127.0.0.1:8000', expose: true}]\n  b: {command: [b], ports: ['0.0.0.0:8000']}\n"
    )
    assert manifests.codes(manifests.load(tmp_path, text)) == ["E102", "E101"]


ADDRESSES = ("0.0.0.0", "127.0.0.1", "127.0.0.2", "[::]", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]")


@pytest.mark.parametrize(("one", "other"), list(itertools.product(ADDRESSES, repeat=2)))
def test_who_collides_does_so_in_any_order(one: str, other: str, tmp_path: pathlib.Path) -> None:
    both = [
        manifests.codes(
            manifests.load(tmp_path, f"{PROGRAM}    ports: ['{a}:8000']\n  b: {{command: [b], ports: ['{b}:8000']}}\n")
        )
        for a, b in ((one, other), (other, one))
    ]
    assert both[0] == both[1]
    assert bool(both[0]) == (one == other or _holds(one, other) or _holds(other, one))


def _holds(all_of: str, one: str) -> bool:
    """Say whether ``all_of`` holds ``one``, written down once more."""
    mapped = {"[::ffff:127.0.0.1]": "127.0.0.1", "[::ffff:0.0.0.0]": "0.0.0.0"}
    all_of, one = mapped.get(all_of, all_of), mapped.get(one, one)
    return all_of == one or all_of == "[::]" or (all_of == "0.0.0.0" and not one.startswith("["))


@pytest.mark.parametrize(
    ("written", "offered"),
    [
        (
            "    ready: {tcp: 8090}\n    ports: ['0.0.0.0:9000', '0.0.0.0:8080']\nprobes: {listen: '127.0.0.1:1999'}\n",
            8080,
        ),
        ("    ready: {tcp: 4}\n    ports: ['0.0.0.0:2000', '0.0.0.0:3333']\n", 2000),
        ("    ready: {tcp: 8090}\n    ports: ['0.0.0.0:5555']\n  b: {command: [b], ports: ['0.0.0.0:8091']}\n", 5555),
        ("    ready: {tcp: 8090}\n  b: {command: [b], ports: ['0.0.0.0:8091', '0.0.0.0:9999']}\n", 8091),
    ],
    ids=["by its digits", "by distance", "its own only one", "another's"],
)
def test_the_port_that_was_meant_is_offered(written: str, offered: int, tmp_path: pathlib.Path) -> None:
    [found] = manifests.load(tmp_path, PROGRAM + written).diagnostics
    assert found.remedy == f"check 127.0.0.1:{offered}, or declare it in `ports`"


def test_a_free_port_is_offered_where_there_is_one(tmp_path: pathlib.Path) -> None:
    text = (
        PROGRAM
        + "    ports: ['0.0.0.0:8000', '0.0.0.0:8001', '0.0.0.0:65535']\n  b: {command: [b], ports: ['0.0.0.0:8000', '0.0.0.0:65535']}\n"
    )
    remedies = [found.remedy for found in manifests.load(tmp_path, text).diagnostics]
    assert remedies == ["choose another port, for example 8002", "choose another port"]


def test_the_names_of_volumes_are_their_own(tmp_path: pathlib.Path) -> None:
    for one, other in (("/a/b", "/a-b"), ("/A", "/a")):
        roots = f"boot: {{writable: [{{path: {one}, storage: volume}}, {{path: {other}, storage: volume}}]}}\n"
        made = manifests.load(tmp_path, PROGRAM + roots)
        if made.plan is None:
            assert manifests.codes(made) == ["E109"]
        else:  # where names are made different, there is nothing to refuse
            assert len({volume.name for volume in made.plan.deploy.volumes}) == 2


def test_ten_thousand_ports_of_one_number_are_compared_in_one_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    """Counted, not timed: how many addresses were looked at for each."""
    hosts = (f"127.{a}.{b}.1" for a in range(100) for b in range(100))
    text = PROGRAM + "    ports: [" + ", ".join(f"'{host}:8000'" for host in hosts) + "]\n"
    looked: list[None] = []
    real = listeners.Taken._others

    def counted(self, one):
        for other in real(self, one):
            looked.append(None)
            yield other

    monkeypatch.setattr(listeners.Taken, "_others", counted)
    assert manifests.load(tmp_path, text).diagnostics == ()
    assert len(looked) <= 10_000


def test_up_judges_ports_as_they_are_written(tmp_path: pathlib.Path) -> None:
    up = compiling.BuildOptions(
        relocation=compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)
    )
    text = PROGRAM + "    ports: ['0.0.0.0:8000']\n    ready: {tcp: 8000}\n" + OPEN
    assert manifests.load(tmp_path, text, up).diagnostics == ()
