"""A container that keeps every promise of a plan with something of everything in it, in memory.

The facts are made as the collector sends them, the kernel's text included, and go through the suite's own parser.
"""

import base64
import dataclasses
import functools
import json
import re
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from container.conformance import answers, facts, programs, promise, sealing
from contract import boot_record, rundir, snapshot
from manifest import hardening, plan, provisions, serving
from probes.openapi import document
from seal import record
from tests.unit import boots

RUN = rundir.RunDirectory(rundir.DEFAULT)
PLAN_SHA256 = "cd" * 32
LOCK_SHA256 = "ef" * 32
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
PUBLIC = base64.b64encode(KEY.public_key().public_bytes_raw()).decode()
START, API_PID = 4711, 20
GROUP = 44


@functools.cache
def the_plan() -> plan.Plan:
    """Return a plan of which every promise can be judged."""
    secrets = (
        boots.secret("token", "api", environment="API_TOKEN", variable="TOKEN_SOURCE", generate_bytes=None),
        boots.secret("password", "api"),
    )
    root = plan.WritableRoot("/run/api", 0o750, None, mount_required=False)
    security = dataclasses.replace(
        boots.security(),
        groups=("video",),
        devices=(hardening.Device("/dev/kfd", "rw"),),
        capabilities=("NET_BIND_SERVICE",),
        denied_syscalls=("ptrace",),
        limits=hardening.Limits(2**30, 1.5, 1024, 4096),
    )
    return boots.make_plan(
        boots.program("api", ports=(hardening.Port("0.0.0.0", 9000, exposed=True),)),
        boots.program("once", oneshot=True),
        boots.program("extra", required=False, ports=(hardening.Port("127.0.0.1", 9001, exposed=False),)),
        boot=boots.boot_plan(immutable=("/opt/box",), writable=(root,), environment=("REGION",)),
        security=security,
        deploy=hardening.DeployPlan(None, 1, (hardening.Volume("data", "/data", 2**30),)),
        secrets=secrets,
        lock=provisions.LockPlan(LOCK_SHA256, "/opt/box"),
        probes=boots.listening(
            host="0.0.0.0",
            metrics_port=9091,
            detail=serving.DetailPlan(serving.OWN, "0.0.0.0", 8081, "/run/bootseal/secrets/probes/token"),
        ),
    )


@functools.cache
def boot() -> boot_record.BootRecord:
    """Return this boot's record."""
    attested = boots.attested_security()
    held = {"effective": (), "permitted": (), "inheritable": (), "ambient": (), "bounding": ("NET_BIND_SERVICE",)}
    effective = dataclasses.replace(attested.effective, capabilities=held)
    return boots.boot(
        pid1=1,
        pid1_start=START,
        plan_directory="/opt/bootseal/etc",
        plan_sha256=PLAN_SHA256,
        public_key=PUBLIC,
        security=dataclasses.replace(attested, effective=effective),
    )


def sealed(**changes: Any) -> bytes:
    """Return this boot's seal, but for ``changes``."""
    attested = boot().security
    unsigned = {
        "schema": record.SCHEMA, "boot_id": boots.BOOT_ID, "generation": 1, "pid1_start": START, "sealed_at": boots.WALL,
        "elapsed_seconds": 1.5, "manifest_sha256": boots.SHA256, "plan_sha256": PLAN_SHA256, "lock_sha256": LOCK_SHA256,
        "identity": {"id": "box", "ed25519": PUBLIC}, "artifacts": [], "late": False,
        "security": attested.plain() if attested else None,
        "programs": [
            {"name": name, "state": "RUNNING", "pid": API_PID, "pid_start": 5000, "ready_by": "running for 1s", "ready_at": boots.WALL}
            for name in ("api", "once")
        ],
        **changes,
    }  # fmt: skip
    return record.sign(unsigned, KEY)


def ledger(**changes: Any) -> snapshot.Snapshot:
    """Return PID 1's ledger: everything ready, and the seal as it was written."""
    views = []
    for one in the_plan().programs:
        state = "EXITED" if one.oneshot else "RUNNING"
        pid = {"api": API_PID, "probes": 13}.get(one.name, 30 if one.name == "extra" else None)
        more: dict[str, Any] = {"required": one.required, "oneshot": one.oneshot, "role": one.role}
        views.append(boots.view(one.name, supervisor_state=state, pid=pid, **more))
    seen = snapshot.SealView(_digest(sealed()), boots.WALL, late=False)
    return boots.ledger(*views, **{"pid1_start": START, "phase": snapshot.SEALED, "seal": seen, **changes})


def _digest(data: bytes) -> str:
    import hashlib

    return hashlib.sha256(data).hexdigest()


STATUS = """Name:\tpython
PPid:\t{parent}
Uid:\t1000\t1000\t1000\t1000
Gid:\t1000\t1000\t1000\t1000
Groups:\t44 1000
CapInh:\t0000000000000000
CapPrm:\t0000000000000000
CapEff:\t0000000000000000
CapBnd:\t0000000000000400
CapAmb:\t0000000000000000
NoNewPrivs:\t1
Seccomp:\t2
"""
PID_1 = [
    *("/opt/bootseal/bin/python", "-I", "-X", "utf8", "-m", "supervisord.pid1"),
    *("--nodaemon", "--configuration", "/opt/bootseal/etc/supervisord.conf"),
]


def _told(pid: int, parent: int, start: int, argv: list[str], variables: list[str] | None) -> dict[str, Any]:
    stat = f"{pid} (a) b) S {parent} " + "0 " * 17 + f"{start} 0"
    return {"pid": pid, "stat": stat, "status": STATUS.format(parent=parent), "argv": argv, "variables": variables}


MOUNTINFO = """79 52 0:40 / / ro,relatime - overlay overlay rw,lowerdir=/l
81 79 0:45 / /proc rw,nosuid - proc proc rw
83 79 0:46 / /dev rw,nosuid,noexec - tmpfs tmpfs rw,size=65536k,mode=755
82 79 0:44 / /tmp rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=65536k,mode=755,uid=1000,gid=1000
85 79 0:47 / /run rw,nosuid,nodev,noexec,relatime - tmpfs tmpfs rw,size=65536k,mode=755,uid=1000,gid=1000
86 79 254:0 /volumes/my\\040data /data rw,relatime - ext4 /dev/vda rw
87 79 254:0 /hosts /etc/hosts rw,relatime - ext4 /dev/vda rw"""
NETWORK = """  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 501 1 0 100 0 0 10 0
   1: 0100007F:2383 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 502 1 0 100 0 0 10 0
   2: 00000000:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 503 1 0 100 0 0 10 0
   3: 00000000:2328 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 504 1 0 100 0 0 10 0
   4: 0100007F:A000 0100007F:1F90 01 00000000:00000000 00:00000000 00000000  1000        0 505 1 0 100 0 0 10 0
"""


def entry(path: str, mode: int, kind: str = "file", uid: int = 1000) -> dict[str, Any]:
    """Return an entry as the collector sends it."""
    return {"path": path, "kind": kind, "mode": mode, "uid": uid, "gid": uid}


def _entries() -> list[dict[str, Any]]:
    secrets = RUN.secrets
    return [
        *(entry(path, 0o444) for path in (RUN.boot_record, RUN.seal, RUN.attestation, RUN.hints)),
        entry(RUN.events, 0o600),
        entry(RUN.identity, 0o755, "directory"),
        *(entry(f"{RUN.identity}/{name}", 0o444) for name in ("id", "boot-id", "ed25519.pub")),
        entry(RUN.keys, 0o700, "directory"),
        entry(f"{RUN.keys}/ed25519.key", 0o600),
        *(entry(path, 0o700, "socket") for path in (RUN.supervisor_socket, RUN.ledger_socket, RUN.notify_socket)),
        entry(RUN.probes_socket, 0o600, "socket"),
        *(entry(f"{secrets}{below}", 0o700, "directory") for below in ("", "/api", "/.values")),
        *(
            entry(f"{secrets}/{folder}/{name}", 0o400)
            for folder in ("api", ".values")
            for name in ("token", "password")
        ),
        entry("/run", 0o755, "directory"),
        entry("/tmp", 0o1777, "directory"),
        entry("/run/api", 0o750, "directory"),
        entry("/data", 0o755, "directory"),
    ]


_WORDS = ("box", "ab" * 32, "ab" * 16, boots.WALL, "/run", "0022", "npub1x", "did:nostr:x", "00-x", "abc=")


def example(schema: dict[str, Any]) -> Any:
    """Return the smallest value that the OpenAPI document's ``schema`` allows."""
    if "$ref" in schema:
        value: Any = document.document()
        for part in schema["$ref"].removeprefix("#/").split("/"):
            value = value[part]
        return example(value)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    for one in ("oneOf", "anyOf"):
        if one in schema:
            return example(schema[one][0])
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        return {name: example(schema["properties"][name]) for name in schema.get("required", ())}
    if kind == "string":
        return next(word for word in _WORDS if re.search(schema.get("pattern", ""), word))
    return {"array": [], "boolean": True, "null": None}.get(str(kind), schema.get("minimum", 0))


def _answers() -> dict[str, dict[str, Any]]:
    identity = {"id": "box", "boot_id": boots.BOOT_ID, "ed25519": PUBLIC}
    made = the_plan()
    bodies: dict[str, dict[str, Any]] = {
        "livez": _of("Live"),
        "startupz": _of("Sealed"),
        "ready": _of("Ready", requirements=["api", "once", "identity"]),
        "whoami": identity,
        "openapi": document.document(),
        "health": _of("Health", status="ready", phase="sealed"),
        "meta": _of(
            "Meta", name=made.name, bootseal=made.bootseal, plan_sha256=PLAN_SHA256, manifest_sha256=made.manifest_sha256,
            config_sha256=made.config_sha256, lock_sha256=LOCK_SHA256, boot_id=boots.BOOT_ID, log_level="info",
        ),
    }  # fmt: skip
    bodies["health"]["boot"] |= {"id": boots.BOOT_ID, "failure": None}
    bodies["health"]["seal"]["accepted"] = True
    bodies["health"]["programs"] = [_of("Program", name=one.name) for one in made.programs]
    bodies["meta"]["endpoints"] |= {"probes": "0.0.0.0:8080", "metrics": "127.0.0.1:9091"}
    told = {
        name: {"status": 200, "content_type": "application/json", "body": json.dumps(body)}
        for name, body in bodies.items()
    }
    told["metrics"] = {"status": 200, "content_type": "application/openmetrics-text", "body": METRICS}
    refused = json.dumps({"error": "x"})
    told[answers.DETAIL] = {"status": 401, "content_type": "application/json", "body": refused}
    told[answers.ELSEWHERE] = {"status": 404, "content_type": "application/json", "body": refused}
    return told


def _of(schema: str, **changes: Any) -> dict[str, Any]:
    return {**example(document.document()["components"]["schemas"][schema]), **changes}


METRICS = f"""# TYPE bootseal_plan_info gauge
bootseal_plan_info{{plan_sha256="{PLAN_SHA256}"}} 1.0
# TYPE bootseal_boot_info gauge
bootseal_boot_info{{boot_id="{boots.BOOT_ID}"}} 1.0
# TYPE bootseal_boot_sealed gauge
bootseal_boot_sealed 1.0
# EOF
"""


def collected() -> dict[str, Any]:
    """Return what the collector sends."""
    status = "api RUNNING pid 20\nonce EXITED ready\nextra RUNNING pid 30\nprobes RUNNING\nbootstrap EXITED\nbootstrap-seal EXITED\n"
    return {
        "boot_record": json.dumps(dataclasses.asdict(boot())),
        "seal_hex": sealed().hex(),
        "plan_sha256": PLAN_SHA256,
        "config_sha256": the_plan().config_sha256,
        "lock_sha256": LOCK_SHA256,
        "processes": [
            _told(1, 0, START, PID_1, None),
            _told(13, 1, 4800, ["/opt/bootseal/bin/python", "-m", "probes"], None),
            _told(API_PID, 1, 5000, ["/opt/box/api"], ["PATH", "API_TOKEN"]),
            _told(30, 1, 5100, ["/opt/box/extra"], ["PATH"]),
        ],
        "mountinfo": MOUNTINFO,
        "entries": _entries(),
        "run_directory": entry(RUN.path, 0o755, "directory"),
        "devices": ["/dev/null", "/dev/urandom", "/dev/kfd"],
        "groups": {"video": GROUP},
        "attempts": [{"path": path, "error": "EROFS"} for path in ("/", "/etc", "/opt/box")],
        "writable": [],
        "looked_at": 3,
        "sockets": {"tcp": NETWORK, "tcp6": NETWORK.splitlines()[0], "udp": NETWORK.splitlines()[0], "udp6": ""},
        "owners": {"504": API_PID},
        "first_ephemeral_port": 32768,
        "limits": "Limit Soft Hard Units\nMax open files            4096                 4096                 files     \n",
        "cgroup": {"memory": str(2**30), "pids": "1024", "cpu": "150000 100000"},
        "answers": _answers(),
        "ledger": snapshot.dump(ledger()),
        "ledger_error": "",
        "ran": {
            programs.STATUS: {"code": 3, "output": status},
            programs.READY: {"code": 0, "output": "ready\n"},
            sealing.VERIFY: {"code": 0, "output": json.dumps({"accepted": True, "seal": {}, "changes": []})},
        },
        "errors": [],
        "error_count": 0,
    }


def subject(**changes: Any) -> promise.Subject:
    """Return the container, but for ``changes`` in what the collector sends."""
    inside = facts.parse(json.dumps({**collected(), **changes}).encode(), "podman://box")
    main = inside.process(1)
    assert main is not None
    outside = facts.Outside(
        backend="podman",
        why="",
        main=dataclasses.replace(main, variables=("PATH", "HOME", "REGION", "TMPDIR", "LC_ALL")),
        shared=(),
        privileged=False,
        allowed_syscalls=("read", "write"),
        log=f"CRIT of an earlier boot\n{boots.BOOT_ID}\nINFO spawned: 'api'\nCRITERIA are met\n",
    )
    return promise.Subject(the_plan(), PLAN_SHA256, RUN, inside, outside)
