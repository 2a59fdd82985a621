"""What a manifest compiles to: every field, the defaults, the order, and what ``bootseal up`` moves."""

import dataclasses
import pathlib
import re

import pytest

from contract import errors, version
from manifest import compile as compiling
from manifest import expressions, plan, serving
from tests.unit import boots
from tests.unit.manifest import manifests

RUNNING = plan.ReadyPlan(plan.RUNNING, 1.0, None, None, None, None, None, None)
UP = compiling.Relocation("/tmp/up/root", loopback_only=True, strict=False, listen=None)


def compiled(folder: pathlib.Path, text: str, options: compiling.BuildOptions | None = None) -> plan.Plan:
    result = manifests.load(folder, text, options)
    assert result.plan is not None, "\n".join(map(str, result.diagnostics))
    assert result.diagnostics == ()
    return result.plan


def test_everything_a_manifest_says_is_in_the_plan(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, manifests.SOUND)
    assert (made.schema, made.bootseal, made.name) == (plan.SCHEMA, version.VERSION, "sample")
    assert (made.prefix, made.run_directory, made.relocated) == ("/opt/bootseal", "/run/bootseal", False)
    assert made.boot == plan.BootPlan(
        immutable=("/opt/app",),
        strict=True,
        writable=(
            plan.WritableRoot("/workspace", 0o750, "/opt/app/skel", mount_required=True),
            plan.WritableRoot("/var/lib/app", 0o755, None, mount_required=False),
        ),
        seal_timeout_seconds=90.0,
        on_failure="hold",
        environment=("DATABASE_URL",),
    )
    assert made.identity == boots.identity("AGENT_ID", "hostname", "/var/lib/app/identity")
    assert made.artifacts == (
        plan.ArtifactPlan("api", "/opt/app/api.py", required=True),
        plan.ArtifactPlan("tool", "/opt/app/tool", required=True),
    )
    assert made.program("api") == plan.ProgramPlan(
        name="api",
        role="program",
        argv=("python3", f"{tmp_path}/api.py", "--port", "9090"),
        required=True,
        oneshot=False,
        after=(plan.Need("migrate", plan.READY, bind=False),),
        rank=1,
        ready=dataclasses.replace(RUNNING, for_seconds=2.0, timeout_seconds=30.0),
        live=None,
        on_exit=plan.RESTART,
        on_fatal=plan.END,
        restart=plan.RestartPlan(0.1, 10.0, 120.0, 5, 30.0),
        environment={"PORT": "9090", "DATA": "/workspace/data"},
        directory="/opt/app",
        stop_signal="INT",
        stop_timeout_seconds=20.0,
        start_retries=5,
        priority=11,
        artifacts=("api", "tool"),
    )
    helper = made.program("helper")
    assert helper is not None
    assert helper.after == (plan.Need("api", plan.STARTED, bind=True), plan.Need("migrate", plan.READY, bind=False))
    assert (helper.rank, helper.on_fatal) == (2, plan.DEGRADE)
    assert helper.ready.check == plan.CheckPlan(
        plan.HTTP,
        "http://127.0.0.1:9090/x?y",
        None,
        None,
        "/run/bootseal/h.sock",
        (),
        {"Host": "a"},
        200,
        399,
        "o+k",
        2.0,
    )
    check = plan.CheckPlan(plan.EXEC, None, None, None, None, ("ping", f"{tmp_path}/x"), {}, 0, 0, None, 4.0)
    assert helper.live == plan.LivePlan(check, 5.0, 2, 2, restart=True)
    assert made.stop == plan.StopPlan(5.0, 60.0, 5 + 11 + 21 + 11 + 6)
    assert made.signals == (
        plan.SignalPlan("USR1", ("helper",), "USR1"),
        plan.SignalPlan("HUP", ("api", "helper"), "WINCH"),
    )
    assert made.probes == boots.listening(
        metrics_host="::1",
        metrics_port=9091,
        liveness_deadline_seconds=45.0,
        detail=serving.DetailPlan(serving.OWN, "::1", 8081, "/run/bootseal/secrets/probes/token"),
    )
    assert made.secrets == (boots.secret("token", plan.PROBES),)
    assert made.readiness == serving.ReadinessPlan(
        mounts=(
            serving.MountPlan("/workspace/cache", True, True, 100 * 1024 * 1024, required=False),
            serving.MountPlan("/etc/app", False, True, 0, required=True),
        ),
        conditions=(
            serving.ConditionPlan(
                "relay",
                made_check(plan.TCP, host="10.0.0.5", port=7777, timeout_seconds=2.0),
                3.0,
                2,
                4,
                required=False,
            ),
            serving.ConditionPlan(
                "broker", made_check(plan.UNIX, path="/var/lib/app/b.sock"), 10.0, 3, 1, required=True
            ),
        ),
        settle_seconds=5.0,
    )
    assert made.observability == serving.ObservabilityPlan("debug", "http://collector:4318/x")
    assert made.logs == serving.PREFIXED
    assert made.empty_required_set is False


def test_what_is_left_out_has_its_documented_default(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, manifests.SMALL)
    assert made.boot == plan.BootPlan(
        (), strict=True, writable=(), seal_timeout_seconds=120.0, on_failure="exit", environment=()
    )
    assert made.identity == boots.identity(None, "hostname", None)
    assert made.probes == boots.listening()
    assert made.readiness == serving.ReadinessPlan((), (), 0.0)
    assert made.observability == serving.ObservabilityPlan("info", None)
    assert made.logs == serving.PLAIN
    assert made.program("a") == plan.ProgramPlan(
        name="a",
        role="program",
        argv=("a",),
        required=True,
        oneshot=False,
        after=(),
        rank=0,
        ready=RUNNING,
        live=None,
        on_exit=plan.RESTART,
        on_fatal=plan.END,
        restart=plan.RestartPlan(0.2, 30.0, 60.0, 5, 60.0),
        environment={},
        directory=None,
        stop_signal="TERM",
        stop_timeout_seconds=10.0,
        start_retries=3,
        priority=10,
        artifacts=(),
    )


def test_the_plan_that_boot_reads_back_is_the_plan(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, manifests.SOUND)
    assert plan.parse(plan.dump(made), "plan.json") == made


def test_our_own_programs_stand_around_the_manifests_in_isolated_mode(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, manifests.SMALL, compiling.BuildOptions("/usr/lib/bs", "/run/x"))
    python = ("/usr/lib/bs/bin/python", "-I", "-X", "utf8", "-m")
    ours = [(p.name, p.role, p.priority, p.oneshot, p.required) for p in made.programs if p.role != "program"]
    assert ours == [
        ("probes", "probes", 1, False, True),
        ("bootstrap", "stage-b", 5, True, True),
        ("bootstrap-seal", "seal", 99, True, False),
    ]
    assert made.programs[0].argv == (*python, "probes", "--run-dir", "/run/x")
    assert made.programs[1].argv == (*python, "entrypoint", "stage-b", "--run-dir", "/run/x")
    assert made.programs[-1].argv == (*python, "seal", "--run-dir", "/run/x")
    assert (made.programs[0].stop_signal, made.programs[0].stop_timeout_seconds) == ("TERM", 5.0)
    policies = [(p.ready.kind, p.rank, p.on_exit, p.on_fatal, p.live) for p in made.programs if p.role != "program"]
    assert policies == [
        (plan.SUBSCRIPTION, 0, plan.RESTART, plan.DEGRADE, None),
        (plan.EXIT, 0, plan.DEGRADE, plan.DEGRADE, None),
        (plan.EXIT, 0, plan.RESTART, plan.DEGRADE, None),
    ]


def test_programs_stand_by_their_longest_chain_and_then_as_written(tmp_path: pathlib.Path) -> None:
    text = "version: 1\nname: x\nprograms:\n"
    text += "  z: {command: [z], after: [a, m]}\n  b: {command: [b]}\n  m: {command: [m], after: [a]}\n  a: {command: [a]}\n"
    made = compiled(tmp_path, text)
    assert [(p.name, p.priority) for p in made.programs[2:-1]] == [("b", 10), ("a", 10), ("m", 11), ("z", 12)]


def test_a_long_chain_keeps_its_order_below_the_seal(tmp_path: pathlib.Path) -> None:
    chain = "".join(f"  p{n}: {{command: [a]{f', after: [p{n - 1}]' if n else ''}}}\n" for n in reversed(range(300)))
    made = compiled(tmp_path, f"version: 1\nname: x\nprograms:\n{chain}")
    programs = made.programs[2:-1]
    assert [program.name for program in programs] == [f"p{n}" for n in range(300)]
    assert [program.priority for program in programs] == [min(10 + n, 98) for n in range(300)]


def test_a_one_shot_is_not_ready_by_living(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, "version: 1\nname: x\nprograms: {a: {command: [a], oneshot: true}}\n")
    [migrate] = made.required_programs
    assert migrate.oneshot
    assert migrate.ready == dataclasses.replace(RUNNING, kind=plan.EXIT, for_seconds=0.0)
    assert (migrate.live, migrate.on_exit, migrate.on_fatal) == (None, plan.DEGRADE, plan.END)


def test_an_empty_required_set_can_be_meant(tmp_path: pathlib.Path) -> None:
    assert compiled(tmp_path, "version: 1\nname: x\nrequired: []\n").empty_required_set is True
    made = compiled(tmp_path, "version: 1\nname: x\nrequired: []\nprograms: {a: {command: [a], required: false}}\n")
    assert made.required_programs == ()


def test_an_identity_may_be_a_literal_name(tmp_path: pathlib.Path) -> None:
    assert compiled(tmp_path, manifests.SMALL + "identity: {id: node-7}\n").identity == boots.identity(
        None, "node-7", None
    )
    made = compiled(tmp_path, manifests.SMALL + "identity: {id: {env: ME}}\n")
    assert made.identity == boots.identity("ME", "hostname", None)


@pytest.mark.parametrize(
    ("mode", "bits"),
    [("0750", 0o750), ('"0750"', 0o750), ("750", 0o750), ("0o700", 0o700), ("1777", 0o1777), ("2775", 0o2775)],
)
def test_a_mode_is_octal_however_it_is_written(tmp_path: pathlib.Path, mode: str, bits: int) -> None:
    made = compiled(tmp_path, manifests.SMALL + f"boot: {{writable: [{{path: /x, mode: {mode}}}]}}\n")
    assert made.boot.writable[0].mode == bits


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("10s", 10.0),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1m30s", 90.0),
        ("1h1m1s1ms", 3661.001),
        ("1m1ms", 60.001),
    ],
)
def test_durations_are_seconds_in_the_plan(tmp_path: pathlib.Path, text: str, seconds: float) -> None:
    assert (
        compiled(tmp_path, manifests.SMALL + f"boot: {{seal_timeout: {text}}}\n").boot.seal_timeout_seconds == seconds
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("${here}/x", "{here}/x"),
        ("${run}", "/run/bootseal"),
        ("${writable:/srv}", "/srv"),
        ("--data=${writable:/srv/a b}/c:${run}", "--data=/srv/a b/c:/run/bootseal"),
        ("$${here}", "${here}"),
        ("$$${here}", "$${here}"),
        ("$HOME $$ $ {here} $", "$HOME $$ $ {here} $"),
        ("${here}${run}", "{here}/run/bootseal"),
    ],
)
def test_an_expression_is_replaced_once(tmp_path: pathlib.Path, written: str, meant: str) -> None:
    made = compiled(
        tmp_path, f"version: 1\nname: x\nboot: {{writable: [/srv]}}\nprograms: {{a: {{command: [a, '{written}']}}}}\n"
    )
    expected = meant if written.startswith("$$") or meant.startswith("$") else meant.replace("{here}", str(tmp_path), 1)
    assert made.programs[2].argv[1] == expected


def test_the_deepest_writable_root_decides_where_a_path_is() -> None:
    scope = expressions.Scope("/here", "/run", {"/srv": "/a", "/srv/deep": "/b", "/srv/deep/er": "/c"})
    paths = ["/srv", "/srv/x", "/srv/deep", "/srv/deep/x/y", "/srv/deeper", "/srv/deep/er/z", "/sr", "/", ""]
    found = ["/a", "/a/x", "/b", "/b/x/y", "/a/deeper", "/c/z", None, None, None]
    assert [scope.real_path(path) for path in paths] == found


def test_a_relocated_boot_moves_what_it_writes_and_nothing_else(tmp_path: pathlib.Path) -> None:
    made = compiled(tmp_path, manifests.SOUND, compiling.BuildOptions("/p", "/tmp/up/run", UP))
    assert made.relocated is True
    assert [root.path for root in made.boot.writable] == ["/tmp/up/root/workspace", "/tmp/up/root/var/lib/app"]
    assert [root.mount_required for root in made.boot.writable] == [False, False]
    assert made.boot.writable[0].skeleton == "/opt/app/skel"
    assert made.boot.immutable == ("/opt/app",)
    assert made.boot.strict is False
    assert made.identity.store == "/tmp/up/root/var/lib/app/identity"
    assert made.program("api").environment["DATA"] == "/tmp/up/root/workspace/data"  # type: ignore[union-attr]
    assert made.probes == boots.listening(
        metrics_port=9091,
        liveness_deadline_seconds=45.0,
        detail=serving.DetailPlan(serving.OWN, "127.0.0.1", 8081, "/tmp/up/run/secrets/probes/token"),
    )
    mounts = [(mount.path, mount.is_mount) for mount in made.readiness.mounts]
    assert mounts == [("/tmp/up/root/workspace/cache", False), ("/etc/app", False)]
    assert made.readiness.conditions[1].check.path == "/tmp/up/root/var/lib/app/b.sock"


def test_a_relocated_boot_is_as_strict_as_asked(tmp_path: pathlib.Path) -> None:
    strict = dataclasses.replace(UP, strict=True)
    text = manifests.SMALL + "boot: {strict: false}\n"
    assert compiled(tmp_path, text, compiling.BuildOptions(relocation=strict)).boot.strict is True


def test_a_relocated_boot_listens_on_loopback_or_where_asked(tmp_path: pathlib.Path) -> None:
    text = manifests.SMALL + 'probes: {listen: "0.0.0.0:8080"}\n'
    assert compiled(tmp_path, text, compiling.BuildOptions(relocation=UP)).probes.host == "127.0.0.1"
    asked = dataclasses.replace(UP, listen="127.0.0.9:8099")
    made = compiled(tmp_path, text, compiling.BuildOptions(relocation=asked))
    assert (made.probes.host, made.probes.port) == ("127.0.0.9", 8099)
    assert made.programs[0].environment[serving.LISTEN_VARIABLE] == "127.0.0.9:8099"


def test_a_wrong_address_to_listen_on_is_refused(tmp_path: pathlib.Path) -> None:
    with pytest.raises(errors.BootsealError, match="an address is host:port"):
        manifests.load(
            tmp_path, manifests.SMALL, compiling.BuildOptions(relocation=dataclasses.replace(UP, listen="8099"))
        )


@pytest.mark.parametrize(
    "innocent", ["${here}/srv", "/opt/srv", "/srvx", "/srv-old", "x/srv", "${writable:/srv}/srv", "$${writable:x}"]
)
def test_only_a_path_of_a_moved_root_is_refused(tmp_path: pathlib.Path, innocent: str) -> None:
    text = f"version: 1\nname: x\nboot: {{writable: [/srv]}}\nprograms: {{a: {{command: [a, '{innocent}']}}}}\n"
    assert compiled(tmp_path, text, compiling.BuildOptions(relocation=UP)).relocated


@pytest.mark.parametrize(
    "guilty", ["/srv", "/srv/x", "--data=/srv", "a:/srv:b", "file:///srv", "sh -c 'cat /srv/x'", "${run}:/srv"]
)
def test_a_path_of_a_moved_root_is_found_wherever_it_stands(tmp_path: pathlib.Path, guilty: str) -> None:
    text = f'version: 1\nname: x\nboot: {{writable: [/srv]}}\nprograms: {{a: {{command: [a, "{guilty}"]}}}}\n'
    result = manifests.load(tmp_path, text, compiling.BuildOptions(relocation=UP))
    assert manifests.codes(result) == ["E043"]


def test_the_same_input_gives_the_same_bytes(tmp_path: pathlib.Path) -> None:
    first, second = (plan.dump(compiled(tmp_path, manifests.SOUND)) for _ in range(2))
    assert first == second
    other = compiled(tmp_path, manifests.SOUND + "# a comment\n")
    assert other.manifest_sha256 != plan.parse(first, "plan").manifest_sha256
    assert dataclasses.replace(other, manifest_sha256="") == dataclasses.replace(
        plan.parse(first, "plan"), manifest_sha256=""
    )


def program(folder: pathlib.Path, keys: str, head: str = "") -> plan.ProgramPlan:
    made = compiled(folder, f"version: 1\nname: x\n{head}programs:\n  a:\n    command: [a]\n{keys}")
    return made.programs[2]


PROOFS = {
    "{}": RUNNING,
    "{for: 0s}": dataclasses.replace(RUNNING, for_seconds=0.0),
    "{timeout: 3s}": dataclasses.replace(RUNNING, timeout_seconds=3.0),
    "{notify: true}": plan.ReadyPlan(plan.NOTIFY, 0.0, None, None, None, None, None, None),
    "{notify: true, watchdog: 10s}": plan.ReadyPlan(plan.NOTIFY, 0.0, None, None, None, None, 10.0, None),
    "{fd: 3, timeout: 1m}": plan.ReadyPlan(plan.DESCRIPTOR, 0.0, 3, None, None, None, None, 60.0),
    "{log: a.*b}": plan.ReadyPlan(plan.LOG, 0.0, None, "a.*b", None, None, None, None),
    "{file: '${run}/x'}": plan.ReadyPlan(plan.FILE, 0.0, None, None, "/run/bootseal/x", None, None, None),
}


@pytest.mark.parametrize(("written", "proof"), PROOFS.items(), ids=PROOFS)
def test_a_proof_that_pid_1_sees_is_not_checked_from_outside(
    written: str, proof: plan.ReadyPlan, tmp_path: pathlib.Path
) -> None:
    made = program(tmp_path, f"    ready: {written}\n")
    assert (made.ready, made.live) == (proof, None)


def made_check(kind: str, **changes: object) -> plan.CheckPlan:
    return dataclasses.replace(plan.CheckPlan(kind, None, None, None, None, (), {}, 0, 0, None, 1.0), **changes)  # type: ignore[arg-type]


CHECKS = {
    "{tcp: 5432}": made_check(plan.TCP, host="127.0.0.1", port=5432),
    "{tcp: 'localhost:80'}": made_check(plan.TCP, host="127.0.0.1", port=80),
    "{tcp: {address: '[::1]:80', timeout: 250ms}}": made_check(plan.TCP, host="::1", port=80, timeout_seconds=0.25),
    "{unix: '${writable:/srv}/s'}": made_check(plan.UNIX, path="/srv/s"),
    "{unix: {path: /srv/s, timeout: 2s}}": made_check(plan.UNIX, path="/srv/s", timeout_seconds=2.0),
    "{exec: [a, '${run}/x']}": made_check(plan.EXEC, argv=("a", "/run/bootseal/x"), timeout_seconds=5.0),
    "{http: {url: 'http://[::1]/?q', status: 204}}": made_check(
        plan.HTTP, url="http://[::1]/?q", status_low=204, status_high=204
    ),
}


@pytest.mark.parametrize(("written", "check"), CHECKS.items(), ids=CHECKS)
def test_a_check_from_outside_goes_on_by_default(written: str, check: plan.CheckPlan, tmp_path: pathlib.Path) -> None:
    made = program(tmp_path, f"    ready: {written}\n", "boot: {writable: [/srv]}\n")
    assert made.ready == plan.ReadyPlan(check.kind, 0.0, None, None, None, check, None, None)
    assert made.live == plan.LivePlan(check, 10.0, 3, 1, restart=False)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("http://localhost", "http://127.0.0.1/"),
        ("http://localhost:9090/livez", "http://127.0.0.1:9090/livez"),
        ("HTTP://127.0.0.1:80/a?b=c&d", "http://127.0.0.1:80/a?b=c&d"),
        ("http://10.0.0.7?x", "http://10.0.0.7/?x"),
        ("http://[::1]:80/%20", "http://[::1]:80/%20"),
    ],
)
def test_a_url_names_an_address(written: str, meant: str, tmp_path: pathlib.Path) -> None:
    check = program(tmp_path, f"    ready: {{http: '{written}'}}\n").ready.check
    assert check is not None
    assert check.url == meant


def test_live_takes_the_check_of_ready_with_what_it_says_itself(tmp_path: pathlib.Path) -> None:
    made = program(
        tmp_path, "    ready: {tcp: 1}\n    live: {period: 2s, timeout: 300ms, failures: 5, restart: true}\n"
    )
    check = made_check(plan.TCP, host="127.0.0.1", port=1)
    assert made.ready.check == check
    assert made.live == plan.LivePlan(dataclasses.replace(check, timeout_seconds=0.3), 2.0, 5, 1, restart=True)


def test_live_may_check_something_else_or_nothing(tmp_path: pathlib.Path) -> None:
    made = program(tmp_path, "    ready: {notify: true}\n    live: {tcp: 2}\n")
    assert made.live == plan.LivePlan(made_check(plan.TCP, host="127.0.0.1", port=2), 10.0, 3, 1, restart=False)
    assert program(tmp_path, "    ready: {tcp: 1}\n    live: false\n").live is None
    assert program(tmp_path, "    oneshot: true\n    live: false\n").live is None


@pytest.mark.parametrize(
    ("keys", "outcomes"),
    [
        ("", (plan.RESTART, plan.END)),
        ("    required: false\n", (plan.RESTART, plan.DEGRADE)),
        ("    oneshot: true\n", (plan.DEGRADE, plan.END)),
        ("    oneshot: true\n    required: false\n", (plan.DEGRADE, plan.DEGRADE)),
        ("    oneshot: true\n    on_exit: exit\n    on_fatal: degrade\n", (plan.END, plan.DEGRADE)),
        ("    on_exit: degrade\n    on_fatal: restart\n", (plan.DEGRADE, plan.RESTART)),
    ],
)
def test_what_follows_an_end_has_a_default_by_kind(
    keys: str, outcomes: tuple[str, str], tmp_path: pathlib.Path
) -> None:
    made = program(tmp_path, keys, "required: []\n" if "required: false" in keys else "")
    assert (made.on_exit, made.on_fatal) == outcomes


AFTER = {
    "[b, c]": [("b", "ready", False), ("c", "ready", False)],
    "{b: started, c: {}}": [("b", "started", False), ("c", "ready", False)],
    "[c, {b: {bind: true}}]": [("c", "ready", False), ("b", "ready", True)],
    "[{b: started, c: {is: ready}}]": [("b", "started", False), ("c", "ready", False)],
}


@pytest.mark.parametrize(("written", "needs"), AFTER.items(), ids=AFTER)
def test_what_comes_before_is_a_list_or_a_mapping(
    written: str, needs: list[tuple[str, str, bool]], tmp_path: pathlib.Path
) -> None:
    text = f"version: 1\nname: x\nprograms:\n  b: {{command: [b]}}\n  c: {{command: [c]}}\n  a: {{command: [a], after: {written}}}\n"
    made = compiled(tmp_path, text).program("a")
    assert made is not None
    assert [(need.name, need.condition, need.bind) for need in made.after] == needs
    assert made.rank == 1


def test_a_relocated_boot_moves_what_proves_readiness(tmp_path: pathlib.Path) -> None:
    options = compiling.BuildOptions("/p", "/tmp/up/run", UP)
    head = "version: 1\nname: x\nboot: {writable: [/srv]}\nprograms:\n  a:\n    command: [a]\n    ready: "
    moved = {
        "{unix: '${writable:/srv}/s'}": "/tmp/up/root/srv/s",
        "{file: '${writable:/srv}/f'}": "/tmp/up/root/srv/f",
        "{file: '${run}/f'}": "/tmp/up/run/f",
    }
    for written, path in moved.items():
        ready = compiled(tmp_path, f"{head}{written}\n", options).programs[2].ready
        assert (ready.path or ready.check.path) == path  # type: ignore[union-attr]


DOCUMENT = pathlib.Path(__file__).parents[3] / "docs" / "manifest.md"
EXAMPLES = re.findall(r"^(?:after|ready|live|restart|stop|signals): .*$", DOCUMENT.read_text(), re.MULTILINE)


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_of_the_documentation_compiles(example: str, tmp_path: pathlib.Path) -> None:
    text = "version: 1\nname: x\nboot: {writable: [/run/x]}\nprograms:\n  migrate: {command: [m], oneshot: true}\n"
    text += "  redis: {command: [r]}\n  nginx: {command: [n]}\n  api:\n    command: [a]\n"
    more = "    ready: {tcp: 1}\n" if example.startswith("live") else ""
    compiled(tmp_path, text + more + (example if example.startswith(("stop", "signals")) else f"    {example}") + "\n")


BLOCKS = re.findall(
    r"^```yaml\n((?:probes|ready|observability|logs):[\n ][^`]*)```$", DOCUMENT.read_text(), re.MULTILINE
)
SECTIONS = {block.partition(":")[0]: block for block in BLOCKS if not block.startswith("ready: ")}


@pytest.mark.parametrize("section", ["probes", "ready", "observability", "logs"])
def test_a_section_of_the_documentation_compiles(section: str, tmp_path: pathlib.Path) -> None:
    text = "version: 1\nname: x\nboot: {writable: [/run/x]}\nprograms: {a: {command: [a]}}\n"
    text += "secrets: {detail-token: {generate: 32}}\n" if section == "probes" else ""
    compiled(tmp_path, text + SECTIONS[section])
