"""Who is answered detail, which ports are for others, what the probe server is told, and what sizes and endpoints mean."""

import dataclasses
import pathlib
from typing import Any

import pytest

from manifest import compile as compiling
from manifest import exposure, plan, provisions, serving
from tests.unit import boots
from tests.unit.manifest import manifests

UP = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)
GUARDED = "probes: {detail: {token: {secret: t}}}\n"
OPENLY = 'listen: "0.0.0.0:80"'


def compiled(folder: pathlib.Path, more: str, options: compiling.BuildOptions | None = None) -> plan.Plan:
    result = manifests.load(folder, manifests.SMALL + more, options)
    assert result.plan is not None, "\n".join(map(str, result.diagnostics))
    return plan.parse(plan.dump(result.plan), "plan.json")


REACHED = {
    "nothing is said": ("", serving.DetailPlan(serving.LOOPBACK, None, None, None)),
    "a token alone": ("token: {file: /t}", serving.DetailPlan(serving.OPEN, None, None, "/t")),
    "no address": ("listen: none", serving.DetailPlan(serving.SOCKET, None, None, None)),
    "an address of its own": ('listen: "127.0.0.1:81"', serving.DetailPlan(serving.OWN, "127.0.0.1", 81, None)),
    "the probes' address": (
        'listen: "0.0.0.0:80", token: {file: /t}',
        serving.DetailPlan(serving.OPEN, None, None, "/t"),
    ),
    "an address with a token": (
        'listen: "[::1]:81", token: {file: "${here}/t"}',
        serving.DetailPlan(serving.OWN, "::1", 81, "{here}/t"),
    ),
}


@pytest.mark.parametrize(("written", "meant"), REACHED.values(), ids=REACHED)
def test_detail_reaches_whom_the_manifest_says(written: str, meant: serving.DetailPlan, tmp_path: pathlib.Path) -> None:
    token = meant.token_file and meant.token_file.replace("{here}", str(tmp_path))
    made = compiled(tmp_path, f"probes: {{{OPENLY}, detail: {{{written}}}}}\n")
    assert made.probes.detail == dataclasses.replace(meant, token_file=token)


@pytest.mark.parametrize("short", ['"127.0.0.1:81"', "none"])
def test_a_shorthand_is_the_address(short: str, tmp_path: pathlib.Path) -> None:
    short_form = compiled(tmp_path, f"probes: {{detail: {short}}}\n")
    assert short_form.probes == compiled(tmp_path, f"probes: {{detail: {{listen: {short}}}}}\n").probes


def test_an_address_is_the_probes_however_it_is_spelled(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, 'probes: {listen: "[::1]:80", detail: "[0:0:0:0:0:0:0:1]:80"}\n')
    assert made.probes.detail.reach == serving.OPEN


@pytest.mark.parametrize("spelled", ["[::ffff:0.0.0.0]:80", "[::ffff:7f00:1]:80"])
def test_an_ipv4_mapped_address_is_the_ipv4_address(spelled: str, tmp_path: pathlib.Path) -> None:
    plain = "0.0.0.0:80" if "0.0" in spelled else "127.0.0.1:80"
    made = compiled(tmp_path, f'probes: {{listen: "{plain}", detail: "{spelled}"}}\n')
    assert made.probes.detail.reach == serving.OPEN


def test_loopback_is_loopback_however_it_is_spelled(tmp_path: pathlib.Path) -> None:
    more = 'probes: {listen: "[::ffff:127.0.0.1]:8080", detail: "[::ffff:127.0.0.1]:8081"}\n'
    assert manifests.load(tmp_path, manifests.SMALL + more).diagnostics == ()
    assert exposure.exposed_ports(compiled(tmp_path, more)) == ()


def test_a_relocated_boot_shows_nothing_beyond_loopback(tmp_path: pathlib.Path) -> None:
    options = compiling.BuildOptions(relocation=UP)
    own = compiled(tmp_path, f'probes: {{{OPENLY}, metrics: "[::]:9", detail: "0.0.0.0:81"}}\n', options)
    assert (own.probes.host, own.probes.metrics_host, own.probes.detail.host) == ("127.0.0.1",) * 3
    assert own.probes.detail.port == 81
    assert exposure.exposed_ports(own) == ()
    asked = compiling.BuildOptions(relocation=dataclasses.replace(UP, listen="127.0.0.9:8099"))
    openly = compiled(tmp_path, f'probes: {{{OPENLY}, detail: "0.0.0.0:80"}}\n', asked)
    assert openly.probes.detail.reach == serving.OPEN
    assert serving.detail_address(openly.probes) == "127.0.0.9:8099"
    apart = compiled(tmp_path, f'probes: {{{OPENLY}, detail: "0.0.0.0:81"}}\n', asked)
    assert (apart.probes.detail.reach, apart.probes.detail.port) == (serving.OWN, 81)


EVERYTHING = """\
probes: {listen: "[::]:80", metrics: "0.0.0.0:9", detail: "127.0.0.1:81"}
observability: {log_level: error, otlp_endpoint: "https://c.example:4318/otlp/"}
"""
TOLD = {
    "nothing": ("", {"BOOTSEAL_PROBES_LISTEN": "127.0.0.1:8080", "BOOTSEAL_LOG_LEVEL": "info"}),
    "everything": (
        EVERYTHING,
        {
            "BOOTSEAL_PROBES_LISTEN": "[::]:80",
            "BOOTSEAL_METRICS_LISTEN": "0.0.0.0:9",
            "BOOTSEAL_DETAIL_LISTEN": "127.0.0.1:81",
            "BOOTSEAL_LOG_LEVEL": "error",
            "BOOTSEAL_OTLP_ENDPOINT": "https://c.example:4318/otlp",
        },
    ),
    "detail on no address": (
        "probes: {detail: none}\n",
        {
            "BOOTSEAL_PROBES_LISTEN": "127.0.0.1:8080",
            "BOOTSEAL_DETAIL_LISTEN": "none",
            "BOOTSEAL_LOG_LEVEL": "info",
        },
    ),
    "detail for all": (
        "probes: {detail: {token: {file: /t}}}\n",
        {
            "BOOTSEAL_PROBES_LISTEN": "127.0.0.1:8080",
            "BOOTSEAL_DETAIL_LISTEN": "127.0.0.1:8080",
            "BOOTSEAL_LOG_LEVEL": "info",
        },
    ),
}


@pytest.mark.parametrize(("more", "told"), TOLD.values(), ids=TOLD)
def test_the_probe_server_alone_is_told_what_it_serves(more: str, told: dict[str, str], tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, more)
    assert [program.environment for program in made.programs] == [told, {}, {}, {}]
    assert set(told) <= set(serving.VARIABLES)


EXPOSED = {
    "loopback alone": ({}, ()),
    "the probes": ({"host": "0.0.0.0"}, (8080,)),
    "another loopback": ({"host": "127.0.0.9"}, ()),
    "the metrics": ({"metrics_host": "10.0.0.7", "metrics_port": 9091}, (9091,)),
    "no metrics of their own": ({"metrics_host": "0.0.0.0"}, ()),
    "detail of its own": ({"detail": serving.DetailPlan(serving.OWN, "::", 81, None)}, (81,)),
    "detail on loopback": ({"detail": serving.DetailPlan(serving.OWN, "::1", 81, None)}, ()),
    "all": (
        {
            "host": "::",
            "port": 9,
            "metrics_host": "0.0.0.0",
            "metrics_port": 8,
            "detail": serving.DetailPlan(serving.OWN, "10.0.0.1", 7, None),
        },
        (7, 8, 9),
    ),
}


@pytest.mark.parametrize(("changes", "ports"), EXPOSED.values(), ids=EXPOSED)
def test_only_ports_that_are_for_others_are_exposed(changes: dict[str, Any], ports: tuple[int, ...]) -> None:
    assert exposure.exposed_ports(boots.make_plan(probes=boots.listening(**changes))) == ports


@pytest.mark.parametrize("more", ["", ", programs: [a]"])
def test_a_token_that_is_a_secret_is_delivered_to_the_probe_server(more: str, tmp_path: pathlib.Path) -> None:
    text = f"secrets: {{t: {{generate: 32{more}}}, u: {{generate: 16, programs: [a]}}}}\n"
    options = compiling.BuildOptions(run_directory="/run/x")
    made = compiled(tmp_path, text + GUARDED, options)
    names = (*(("a",) if more else ()), plan.PROBES)
    assert made.secrets == (boots.secret("t", *names), boots.secret("u", "a", generate_bytes=16))
    assert made.probes.detail.token_file == "/run/x/secrets/probes/t"
    assert manifests.load(tmp_path, manifests.SMALL + text + GUARDED).diagnostics == ()


def test_the_probe_server_stays_roots_under_program_users(tmp_path: pathlib.Path) -> None:
    text = (
        "version: 1\nname: x\nprograms: {a: {command: [a], user: 7}}\nsecrets: {t: {generate: 32}}\n"
        "security: {exceptions: {program-users: {reason: strangers}}}\nprobes: {detail: {token: {secret: t}}}\n"
    )
    result = manifests.load(tmp_path, text)
    assert result.plan is not None
    assert plan.parse(plan.dump(result.plan), "plan.json").programs[0].user is None
    assert result.plan.programs[2].user == provisions.User(7, 7)
    assert result.plan.secrets[0].programs == (plan.PROBES,)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("0B", 0),
        ("1B", 1),
        ("512KiB", 512 * 1024),
        ("100MiB", 104_857_600),
        ('"1GiB"', 2**30),
        ("1024TiB", 2**50),
    ],
)
def test_sizes_are_bytes_in_the_plan(text: str, size: int, tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, f"ready: {{mounts: [{{path: /x, free: {text}}}]}}\n")
    assert [mount.free_bytes for mount in made.readiness.mounts] == [size]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        ("100MB", "E091", "write 100MiB"),
        ("100Mi", "E091", "write 100MiB"),
        ("100mib", "E091", "write 100MiB"),
        ("2g", "E091", "write 2GiB"),
        ("7", "E091", "write 7B"),
        ("x", "E091", "write 100MiB"),
        ("~", "E025", "a size like 100MiB"),
        ("[]", "E022", "a size like 100MiB"),
    ],
)
def test_another_unit_is_refused_with_the_one_that_was_meant(
    text: str, code: str, says: str, tmp_path: pathlib.Path
) -> None:
    result = manifests.load(tmp_path, manifests.SMALL + f"ready: {{mounts: [{{path: /x, free: {text}}}]}}\n")
    assert manifests.codes(result) == [code]
    assert says in str(result.diagnostics[0])


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://collector:4318", "http://collector:4318"),
        ("HTTPS://Collector.example.com:4318/", "https://Collector.example.com:4318"),
        ("http://10.0.0.5/otlp", "http://10.0.0.5/otlp"),
        ("http://[::1]:4318", "http://[::1]:4318"),
        ("https://otel_collector.ns.svc.cluster.local.", "https://otel_collector.ns.svc.cluster.local."),
    ],
)
def test_an_endpoint_may_hold_a_name(written: str, meant: str, tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, f'observability: {{otlp_endpoint: "{written}"}}\n')
    assert made.observability.otlp_endpoint == meant


def test_a_mount_moves_with_the_writable_root_that_it_is_or_lies_in(tmp_path: pathlib.Path) -> None:
    text = (
        "boot: {writable: [/srv, /srv/deep]}\nready: {mounts: [/srv, /srv/deep/x, /srvx, {path: /y, mounted: true}]}\n"
    )
    made = compiled(tmp_path, text, compiling.BuildOptions(relocation=UP))
    assert [mount.path for mount in made.readiness.mounts] == [
        "/tmp/up/root/srv",
        "/tmp/up/root/srv/deep/x",
        "/srvx",
        "/y",
    ]
    assert not made.readiness.mounts[3].is_mount
    assert compiled(tmp_path, text).readiness.mounts[3].is_mount


def test_a_mount_that_is_only_read_may_lie_in_an_immutable_root(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, "boot: {immutable: [/opt]}\nready: {mounts: [{path: /opt/x, writable: false}]}\n")
    assert made.readiness.mounts == (serving.MountPlan("/opt/x", False, False, 0, required=True),)


def test_a_socket_that_is_checked_moves_by_its_expression_alone(tmp_path: pathlib.Path) -> None:
    text = "boot: {writable: [/srv]}\nready: {checks: {a: {unix: %s}}}\n"
    options = compiling.BuildOptions(relocation=UP)
    moved = compiled(tmp_path, text % '"${writable:/srv}/s"', options)
    assert moved.readiness.conditions[0].check.path == "/tmp/up/root/srv/s"
    assert manifests.codes(manifests.load(tmp_path, manifests.SMALL + text % "/srv/s", options)) == ["E043"]


@pytest.mark.parametrize(
    ("broken", "more"),
    [
        ("secrets: {t: {generate: 1, programs: [a]}}\n", "probes: {detail: {token: {secret: t}}}\n"),
        ("secrets: {t: {generate: 32}}\n", "probes: {detail: {listen: x, token: {secret: t}}}\n"),
        ("", 'probes: {listen: x, detail: "127.0.0.1:8080"}\n'),
        ("", 'probes: {listen: x, metrics: "127.0.0.1:8080"}\n'),
        ("", 'probes: {metrics: x, detail: "0.0.0.0:9091"}\n'),
        ("", "ready: {checks: {a: {tcp: x}}}\n"),
        ("", "ready: {mounts: [{path: x}, {path: x}]}\n"),
    ],
)
def test_no_rule_complains_of_what_another_fault_took_away(broken: str, more: str, tmp_path: pathlib.Path) -> None:
    codes = set(manifests.codes(manifests.load(tmp_path, manifests.SMALL + broken + more)))
    assert len(codes - {"W009"}) == 1, codes
