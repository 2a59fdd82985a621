"""Plans that ask for everything, and readers of what is rendered: each says the same facts, whatever its target's words are."""

import dataclasses
import shlex

import yaml
from hypothesis import strategies as st

from container import compose, engine_argv, quadlet, rendering
from manifest import hardening, plan, provisions, serving
from tests.unit import boots

DIGEST = f"sha256:{'ab' * 32}"
IMAGE = rendering.image(f"ghcr.io/me/shop@{DIGEST}")
SECRET_VALUE = "correct-horse-battery-staple"
MIB = 2**20


def loaded(made: plan.Plan) -> plan.LoadedPlan:
    return plan.LoadedPlan(made, "/opt/bootseal/etc", "cd" * 32)


def options(**changes) -> rendering.Options:
    made = rendering.Options(image=IMAGE, name="shop", command="bootseal render podman --image IMAGE")
    return dataclasses.replace(made, **changes)


def everything(**changes) -> plan.Plan:
    """Return a plan that asks for all that a plan can ask for."""
    security = boots.security(
        user=provisions.User(4000, 5000),
        capabilities=("NET_RAW", "SYS_NICE"),
        devices=(hardening.Device("/dev/fuse", "rwm"),),
        groups=("109", "video"),
        runtime="crun-vm",
        gpu=hardening.NVIDIA,
        tmpfs=(
            hardening.Tmpfs("/tmp", 8 * MIB, 0o1777, executable=True, owner=None),
            hardening.Tmpfs("/run", 16 * MIB, 0o755, executable=False, owner=None),
            hardening.Tmpfs("/run/user", MIB, 0o700, executable=False, owner=provisions.User(7, 8)),
        ),
        denied_syscalls=("mount", "unshare"),
        limits=hardening.Limits(3 * 2**30, 1.5, 300, 8192),
    )
    made = boots.make_plan(
        boots.program(
            "api",
            ports=(
                hardening.Port("0.0.0.0", 8000, exposed=True),
                hardening.Port("::", 8001, exposed=False),
                hardening.Port("127.0.0.1", 8002, exposed=False),
            ),
        ),
        exceptions=(provisions.ExceptionPlan("screens", "models on screens"),),
        security=security,
        deploy=hardening.DeployPlan(None, 1, (hardening.Volume("data", "/var/lib/shop", 2**30),)),
        secrets=(
            boots.secret("db-password", "api", generate_bytes=None, mounted="/run/secrets/db-password"),
            boots.secret("api-key", "api", generate_bytes=None, variable="API_KEY"),
            boots.secret("cookie", "api", variable="COOKIE_KEY"),
            boots.secret("salt", "api"),
        ),
        boot=boots.boot_plan(environment=("TZ", "SHOP_NAME")),
        identity=boots.identity(env="SHOP_ID"),
        probes=boots.listening(host="0.0.0.0", metrics_host="0.0.0.0", metrics_port=9091),
        stop=plan.StopPlan(5.0, None, 27.25),
    )
    return dataclasses.replace(made, **changes)


def loadable() -> plan.Plan:
    """Return the same as a manifest could ask for it: only root can give a file system in memory to another user."""
    made = everything()
    mounts = tuple(dataclasses.replace(mount, owner=None) for mount in made.security.tmpfs)
    return everything(security=dataclasses.replace(made.security, tmpfs=mounts))


def texts(made: plan.Plan, **changes) -> dict[str, str]:
    """Return what every target but Kubernetes is told, by its name."""
    files = {one.name: f"/srv/{one.name}" for one in rendering.secrets(made).files}
    with_files = options(**{"secret_files": files, **changes})
    return {
        "podman": engine_argv.render(loaded(made), options(**changes), engine_argv.PODMAN),
        "docker": engine_argv.render(loaded(made), with_files, engine_argv.DOCKER),
        "compose": compose.render(loaded(made), options(**changes)),
        "quadlet": quadlet.render(loaded(made), options(**changes)),
    }


def words(text: str) -> list[str]:
    """Return the words of a rendered command, as a shell reads them."""
    return shlex.split(text.replace(" \\\n", " "), comments=True)


def values(argv: list[str], option: str) -> list[str]:
    """Return what ``option`` is given, each time it is."""
    return [word.partition("=")[2] for word in argv if word.partition("=")[0] == f"--{option}"]


def unit(text: str) -> dict[str, list[tuple[str, str]]]:
    """Return the keys and values of a systemd unit by section: a line each, comments and empty lines left out (systemd.syntax(7))."""
    found: dict[str, list[tuple[str, str]]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
            found[section] = []
        elif line and not line.startswith(("#", ";")):
            key, separator, value = line.partition("=")
            assert separator, line
            found[section].append((key, value.replace("%%", "%").replace("$$", "$")))
    return found


def document(text: str) -> dict:
    """Return a Compose file, read by libyaml where that is there: it takes a tenth of the time."""
    found: dict = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return found


def service(text: str) -> dict:
    """Return the one service of a Compose file."""
    [one] = document(text)["services"].values()
    return one


@dataclasses.dataclass(frozen=True)
class Facts:
    """What a target was told, in words of its own turned into these."""

    user: str
    read_only: bool
    dropped: tuple[str, ...]
    added: tuple[str, ...]
    no_new_privileges: bool
    seccomp: tuple[str, ...]
    tmpfs: tuple[tuple[str, frozenset[str]], ...]
    pids: int
    memory_bytes: int
    cpus: float | None
    files: str
    ports: tuple[str, ...]
    stop_signal: str
    stop_seconds: int
    ready: str
    ready_after_seconds: int
    variables: tuple[str, ...]
    groups: tuple[str, ...]
    devices: tuple[str, ...]
    volumes: tuple[str, ...]


def facts(target: str, text: str) -> Facts:
    """Return what ``text`` tells ``target``."""
    if target == "compose":
        return _facts_of_compose(text)
    return _facts_of_argv(target, _argv_of_quadlet(text) if target == "quadlet" else words(text))


_KEYS = {
    "User": "user",
    "DropCapability": "cap-drop",
    "AddCapability": "cap-add",
    "Tmpfs": "tmpfs",
    "PidsLimit": "pids-limit",
    "Ulimit": "ulimit",
    "PublishPort": "publish",
    "AddDevice": "device",
    "Volume": "volume",
    "Secret": "secret",
    "HealthCmd": "health-cmd",
    "HealthStartPeriod": "health-start-period",
    "Label": "label",
}


def _argv_of_quadlet(text: str) -> list[str]:
    """Return the options of podman that the unit's keys stand for (podman-systemd.unit(5))."""
    argv = []
    container = unit(text)["Container"]
    for key, value in container:
        if key == "PodmanArgs":
            argv.append(value)
        elif key == "User":
            argv.append(f"--user={value}:{dict(container)['Group']}")
        elif key == "NoNewPrivileges":
            assert value == "true"
            argv.append("--security-opt=no-new-privileges")
        elif key == "SeccompProfile":
            argv.append(f"--security-opt=seccomp={value}")
        elif key == "ReadOnly":
            assert value == "true"
            argv.append("--read-only")
        elif key in {"DropCapability", "AddCapability"}:
            argv.append(f"--{_KEYS[key]}={value.upper().removeprefix('CAP_')}")
        elif key in _KEYS:
            argv.append(f"--{_KEYS[key]}={value}")
    return argv


def _facts_of_argv(target: str, argv: list[str]) -> Facts:
    [user], [pids], [memory] = values(argv, "user"), values(argv, "pids-limit"), values(argv, "memory")
    [files], [signal], [stop] = values(argv, "ulimit"), values(argv, "stop-signal"), values(argv, "stop-timeout")
    [ready], [after] = values(argv, "health-cmd"), values(argv, "health-start-period")
    cpus = values(argv, "cpus")
    security = values(argv, "security-opt")
    return Facts(
        user=user,
        read_only="--read-only" in argv,
        dropped=tuple(values(argv, "cap-drop")),
        added=tuple(values(argv, "cap-add")),
        no_new_privileges="no-new-privileges" in security,
        seccomp=tuple(one for one in security if one.startswith("seccomp=")),
        tmpfs=_tmpfs(values(argv, "tmpfs"), target),
        pids=int(pids),
        memory_bytes=int(memory.removesuffix("b")),
        cpus=float(cpus[0]) if cpus else None,
        files=files.removeprefix("nofile="),
        ports=tuple(values(argv, "publish")),
        stop_signal=signal,
        stop_seconds=int(stop),
        ready=" ".join(yaml.safe_load(ready)) if ready.startswith("[") else ready,
        ready_after_seconds=int(after.removesuffix("s")),
        variables=tuple(values(argv, "env")),
        groups=tuple(values(argv, "group-add")),
        devices=tuple(one for one in values(argv, "device") if one.startswith("/")),
        volumes=tuple(one for one in values(argv, "volume") if not one.endswith(":ro")),
    )


def _facts_of_compose(text: str) -> Facts:
    whole = document(text)
    [one] = whole["services"].values()
    named = whole.get("volumes", {})
    ports = [
        f"{port['host_ip'] + ':' if 'host_ip' in port else ''}{port['published']}:{port['target']}/{port['protocol']}"
        for port in one.get("ports", [])
    ]
    files = one["ulimits"]["nofile"]
    assert one["healthcheck"]["test"][0] == "CMD"
    return Facts(
        user=one["user"],
        read_only=one["read_only"],
        dropped=tuple(one["cap_drop"]),
        added=tuple(one.get("cap_add", ())),
        no_new_privileges="no-new-privileges:true" in one["security_opt"],
        seccomp=tuple(word for word in one["security_opt"] if word.startswith("seccomp=")),
        tmpfs=_tmpfs(one.get("tmpfs", []), "compose"),
        pids=one["pids_limit"],
        memory_bytes=int(one["mem_limit"].removesuffix("b")),
        cpus=one.get("cpus"),
        files=f"{files['soft']}:{files['hard']}",
        ports=tuple(ports),
        stop_signal=one["stop_signal"],
        stop_seconds=int(one["stop_grace_period"].removesuffix("s")),
        ready=" ".join(one["healthcheck"]["test"][1:]),
        ready_after_seconds=int(one["healthcheck"]["start_period"].removesuffix("s")),
        variables=tuple(one.get("environment", ())),
        groups=tuple(one.get("group_add", ())),
        devices=tuple(one.get("devices", ())),
        volumes=tuple(f"{named[volume['source']]['name']}:{volume['target']}" for volume in one.get("volumes", ())),
    )


def _tmpfs(written: list[str], target: str) -> tuple[tuple[str, frozenset[str]], ...]:
    """Return the mounts without what says whose they are, and without the room that podman's secrets need."""
    found = []
    for one in written:
        path, _, told = one.partition(":")
        words_of_it = {word for word in told.split(",") if word != "U" and not word.startswith(("uid=", "gid="))}
        if target in {"docker", "compose"} or path != engine_argv.PODMANS_PLACE:
            found.append((path, frozenset(words_of_it)))
    return tuple(found)


@st.composite
def plans(draw) -> plan.Plan:
    """Return a strategy of plans: any capabilities, limits, mounts, ports, volumes and secrets that a manifest could ask for."""
    label = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
    paths = st.builds(lambda one, two: f"/srv/{one}/{two}", label, label)
    addresses = st.sampled_from(("0.0.0.0", "::", "127.0.0.1", "::1", "10.1.2.3", "::ffff:127.0.0.1"))
    ports = st.lists(
        st.builds(hardening.Port, addresses, st.integers(1, 65535), st.booleans()),
        max_size=5,
        unique_by=lambda one: one.port,
    )
    mounts = st.lists(
        st.builds(
            hardening.Tmpfs,
            paths,
            st.integers(4096, 2**40),
            st.sampled_from((0o700, 0o755, 0o1777)),
            st.booleans(),
            st.none(),
        ),
        max_size=4,
        unique_by=lambda one: one.path,
    )
    limits = st.builds(
        hardening.Limits,
        st.integers(MIB, 2**44),
        st.none() | st.integers(1, 64000).map(lambda one: one / 1000),
        st.integers(16, 4194304),
        st.integers(1024, 1048576),
    )
    capabilities = draw(st.sets(st.sampled_from(("NET_RAW", "SYS_ADMIN", "SYS_PTRACE", "KILL"))))
    security = boots.security(
        user=draw(st.builds(provisions.User, st.integers(0, 65535), st.integers(0, 65535))),
        capabilities=tuple(sorted(capabilities)),
        groups=tuple(sorted(draw(st.sets(label, max_size=3)))),
        tmpfs=tuple(draw(mounts)),
        denied_syscalls=tuple(sorted(draw(st.sets(st.sampled_from(("mount", "bpf", "ptrace")))))),
        gpu=draw(st.sampled_from((None, *hardening.GPUS))),
        limits=draw(limits),
    )
    volumes = draw(
        st.lists(st.builds(hardening.Volume, label, paths, st.just(2**30)), max_size=3, unique_by=lambda one: one.name)
    )
    return boots.make_plan(
        boots.program("api", ports=tuple(draw(ports))),
        security=security,
        deploy=hardening.DeployPlan(None, 1, tuple(volumes)),
        boot=boots.boot_plan(environment=tuple(draw(st.sets(st.sampled_from(("TZ", "A_B", "X1")))))),
        probes=boots.listening(host=draw(addresses), detail=serving.DetailPlan(serving.LOOPBACK, None, None, None)),
        stop=plan.StopPlan(0.0, draw(st.none() | st.floats(0, 600)), draw(st.floats(0, 600))),
    )
