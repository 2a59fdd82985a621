"""What unit tests build on: plans in memory, and a boot's files on disk without any process.

Every value that a test does not speak of has a harmless default here.
"""

import dataclasses
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import boot_record, files, process, rundir, snapshot
from manifest import plan
from seal import record, signing_key

BOOT_ID = "0123456789abcdef" * 2
WALL = "2026-01-02T03:04:05.678Z"
SHA256 = "ab" * 32


def program(name: str, *, role: str = "program", required: bool = True, **changes: Any) -> plan.ProgramPlan:
    """Return a program that is ready after one second; a one-shot, when it exited 0."""
    kind = {"probes": plan.SUBSCRIPTION}.get(role, plan.EXIT if changes.get("oneshot") else plan.RUNNING)
    made = plan.ProgramPlan(
        name=name, role=role, argv=("/bin/true",), required=required, oneshot=False, after=(), rank=0,
        ready=ready(kind), live=None, on_exit=plan.RESTART, on_fatal=plan.DEGRADE,
        restart=plan.RestartPlan(0.2, 30.0, 60.0, 5, 60.0), environment={}, directory=None, stop_signal="TERM",
        stop_timeout_seconds=10.0, start_retries=3, priority=10, artifacts=(),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def ready(kind: str, **changes: Any) -> plan.ReadyPlan:
    """Return a proof of readiness of ``kind``; ``running`` takes a second."""
    made = plan.ReadyPlan(
        kind=kind, for_seconds=1.0 if kind == plan.RUNNING else 0.0, descriptor=None, pattern=None, path=None,
        check=None, watchdog_seconds=None, timeout_seconds=None,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def check(kind: str, **changes: Any) -> plan.CheckPlan:
    """Return a check from outside of ``kind``."""
    made = plan.CheckPlan(
        kind=kind, url=None, host=None, port=None, path=None, argv=(), headers={}, status_low=200, status_high=299,
        body=None, timeout_seconds=1.0,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def needs(*names: str, condition: str = plan.READY, bind: bool = False) -> tuple[plan.Need, ...]:
    """Return what a program that comes after ``names`` needs."""
    return tuple(plan.Need(name, condition, bind) for name in names)


def own_programs() -> tuple[plan.ProgramPlan, ...]:
    """Return the three programs that bootseal itself brings."""
    return (
        program(plan.PROBES, role="probes", priority=1),
        program(plan.STAGE_B, role="stage-b", oneshot=True, priority=5),
        program(plan.SEAL, role="seal", oneshot=True, priority=99),
    )


def boot_plan(**changes: Any) -> plan.BootPlan:
    """Return a boot that writes nothing, fails by exiting and waits 30 seconds for its seal."""
    made = plan.BootPlan(
        immutable=(), strict=True, writable=(), seal_timeout_seconds=30.0, on_failure="exit", environment=()
    )
    return dataclasses.replace(made, **changes)


def make_plan(*programs: plan.ProgramPlan, **changes: Any) -> plan.Plan:
    """Return a plan of bootseal's own programs and ``programs``, by default one required program ``api``."""
    probes, stage_b, seal = own_programs()
    made = plan.Plan(
        schema=plan.SCHEMA, bootseal="0.1.0", name="box", manifest_sha256=SHA256, config_sha256=SHA256,
        proven_with=None, prefix=plan.PREFIX, run_directory=rundir.DEFAULT, relocated=False, boot=boot_plan(),
        identity=plan.IdentityPlan(env=None, default="box", store=None), artifacts=(),
        programs=(probes, stage_b, *(programs or (program("api"),)), seal), empty_required_set=False,
        probes=plan.ProbesPlan(host="127.0.0.1", port=8080, metrics_host="127.0.0.1", metrics_port=None),
        stop=plan.StopPlan(drain_seconds=0.0, grace_seconds=None, budget_seconds=30.0), signals=(),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def view(name: str, **changes: Any) -> snapshot.ProgramView:
    """Return a program that is ready."""
    made = snapshot.ProgramView(
        name=name, role="program", required=True, oneshot=False, state=snapshot.READY, reason="", since=WALL,
        supervisor_state="RUNNING", pid=100, pid_start=1000, ready_by="running for 1s", ready_at=WALL, last_exit=None,
        exits=0, restarts=0, last_output=(), status="", final=False,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def ledger(*views: snapshot.ProgramView, **changes: Any) -> snapshot.Snapshot:
    """Return a booting ledger of ``views``."""
    made = snapshot.Snapshot(
        schema=snapshot.SCHEMA, boot_id=BOOT_ID, generation=1, pid1=1, pid1_start=7, revision=3,
        phase=snapshot.BOOTING, boot_sealed_at=None, seal=None, failure=None, deadline_monotonic=99.5, programs=views,
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


def boot(**changes: Any) -> boot_record.BootRecord:
    """Return the record of a boot whose PID 1 is this process."""
    made = boot_record.BootRecord(
        schema=boot_record.SCHEMA, boot_id=BOOT_ID, generation=1, pid1=os.getpid(), pid1_start=process.start_time() or 0,
        started_monotonic=1.5, started_at=WALL, plan_directory="/opt/box", plan_sha256=SHA256,
        phases=(boot_record.PhaseTiming("plan", 1.25),), warnings=("one",),
    )  # fmt: skip
    return dataclasses.replace(made, **changes)


@dataclasses.dataclass(frozen=True)
class Container:
    """A run directory with a boot record, an identity and its private key."""

    run: rundir.RunDirectory
    record: boot_record.BootRecord
    key: ed25519.Ed25519PrivateKey

    def unsigned(self, **changes: Any) -> dict[str, Any]:
        """Return the seal's content as plain JSON values."""
        return {
            "schema": record.SCHEMA, "boot_id": self.record.boot_id, "generation": self.record.generation,
            "pid1_start": self.record.pid1_start, "sealed_at": WALL, "elapsed_seconds": 1.5, "manifest_sha256": SHA256,
            "plan_sha256": self.record.plan_sha256,
            "identity": dataclasses.asdict(record.public_identity(self.run)),
            "artifacts": [{"id": "api", "sha256": None, "required": True}],
            "programs": [
                {"name": "api", "state": "RUNNING", "pid": 100, "pid_start": 1000, "ready_by": "running for 1s",
                 "ready_at": WALL},
            ],
            "late": False, **changes,
        }  # fmt: skip

    def seal(self, **changes: Any) -> bytes:
        """Write and return a seal that this container accepts, but for ``changes``."""
        data = record.sign(self.unsigned(**changes), self.key)
        files.write_atomically(self.run.seal, data, 0o444)
        return data


def container(path: str, **changes: Any) -> Container:
    """Make the run directory ``path`` of a booted container with a key of its own."""
    run = rundir.open_or_create(path)
    boot_of_it = boot(**changes)
    boot_record.write(run, boot_of_it)
    key = signing_key.load_or_generate(run.keys)
    os.mkdir(run.identity)
    for name, data in (
        ("id", b"box"),
        ("boot-id", boot_of_it.boot_id.encode()),
        ("ed25519.pub", signing_key.public_pem(key)),
    ):
        files.write_atomically(f"{run.identity}/{name}", data, 0o444)
    return Container(run, boot_of_it, key)
