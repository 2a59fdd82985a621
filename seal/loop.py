"""The seal loop: poll PID 1 until the decision is made, then write the record or report the cause.

Rules
-----
* A poll is one small call, with a timeout. PID 1 not answering is waited out: the deadline is PID 1's. News on PID 1's feed
  make the next poll follow at once.
* A failure is reported to PID 1, which says it once and decides what follows. Under ``on_failure: exit`` the seal
  program then exits 6; under ``hold`` it polls on, and a later readiness still seals, marked late.
* The record is written by the one atomic routine, mode 0444, and read back strictly; a record that would not be
  accepted is removed.
* The in-toto statement is written first: who sees the record finds it too. Without it there is no seal.
"""

import dataclasses
import sys

from contract import boot_record, clock, errors, events, exit_codes, files, process, records, rundir, snapshot
from manifest import plan
from seal import attestation, decision, doorbell, record, signing_key
from supervisord import client

_CALL_SECONDS = 2.0


@records.dataclass(frozen=True)
class Work:
    """All that one run of the seal program works with."""

    run: rundir.RunDirectory
    boot: boot_record.BootRecord
    loaded: plan.LoadedPlan
    calls: client.Client
    emitter: events.Emitter


def prepare(run: rundir.RunDirectory) -> Work:
    """Read what this boot is; raises OSError or BootsealError."""
    boot = boot_record.read(run)
    loaded = plan.load_of_boot(boot)
    emitter = events.Emitter("seal", boot.boot_id, run.events)
    return Work(run, boot, loaded, client.Client(run.supervisor_socket), emitter)


def run_to_end(work: Work) -> int:
    """Poll until sealed (0) or failed (6)."""
    started = clock.monotonic()
    required = [program.name for program in work.loaded.plan.required_programs]
    timeout = work.loaded.plan.boot.seal_timeout_seconds
    work.emitter.emit(
        "BootstrapSealStarted", generation=work.boot.generation, required_programs=required, timeout_seconds=timeout
    )
    seen_revision = -1
    bell = doorbell.Doorbell(work.run)
    while True:
        ledger = _poll(work, seen_revision)
        if ledger is not None:
            verdict = decision.decide(work.loaded.plan, ledger)
            if isinstance(verdict, decision.Complete) and _still_the_same(verdict):
                return _seal(work, ledger, verdict, started)
            if isinstance(verdict, decision.Failed):
                if ledger.phase == snapshot.BOOTING:
                    _report(work, verdict.cause)
                if work.loaded.plan.boot.on_failure == "exit":
                    return exit_codes.INFRASTRUCTURE_FAILURE
            seen_revision = ledger.revision
        bell.wait()


def _poll(work: Work, seen_revision: int) -> snapshot.Snapshot | None:
    """Return the ledger of this generation when it may decide something, else None.

    One small call; the whole ledger is asked for only when nobody is waited for, or somebody is in trouble that was
    not there at ``seen_revision``. PID 1 not answering is None: nothing is sealed without an answer.
    """
    try:
        summary = work.calls.summary(timeout_seconds=_CALL_SECONDS)
        is_ours = (summary.boot_id, summary.generation) == (work.boot.boot_id, work.boot.generation)
        is_news = summary.revision != seen_revision and (summary.waiting == 0 or summary.troubled)
        if not is_ours or summary.phase == snapshot.STOPPING or not is_news:
            return None
        ledger = work.calls.snapshot(timeout_seconds=_CALL_SECONDS)
    except (OSError, errors.BootsealError):
        return None
    return ledger if (ledger.boot_id, ledger.generation) == (work.boot.boot_id, work.boot.generation) else None


def _still_the_same(verdict: decision.Complete) -> bool:
    """Say whether each running program is still the process that was judged ready."""
    return all(
        view.pid is None or (view.pid_start is not None and process.is_alive(view.pid, view.pid_start))
        for view in verdict.programs
    )


def _report(work: Work, cause: str) -> None:
    try:
        work.calls.call("bootseal.fail", cause, timeout_seconds=_CALL_SECONDS)
    except errors.BootsealError as error:  # PID 1 sees exit code 6, or its own deadline
        print(f"seal: {cause} (PID 1 could not be told: {error})", file=sys.stderr, flush=True)


def _seal(work: Work, ledger: snapshot.Snapshot, verdict: decision.Complete, started: float) -> int:
    late = ledger.phase == snapshot.HELD
    unsigned = compose(work, verdict, late=late, elapsed_seconds=_elapsed(work, started))
    key = signing_key.load(signing_key.directory(work.loaded.plan.identity, work.run))
    data = record.sign(unsigned, key)
    files.write_atomically(work.run.attestation, attestation.envelope(unsigned, key), 0o444)
    files.write_atomically(work.run.seal, data, 0o444)
    try:
        record.accept(files.read_bounded(work.run.seal, record.LIMIT), record.expected(work.run))
    except (OSError, errors.BootsealError):
        rundir.remove_seal(work.run)
        raise
    work.emitter.emit(
        "BootstrapCompleted",
        seal=work.run.seal,
        statement=work.run.attestation,
        generation=work.boot.generation,
        elapsed_seconds=unsigned["elapsed_seconds"],
        late=late,
    )
    return exit_codes.OK


def _elapsed(work: Work, started: float) -> float:
    """Return seconds since Stage A began, or in a later generation since this seal program did."""
    begin = work.boot.started_monotonic if work.boot.generation == 1 else started
    return round(clock.monotonic() - begin, 6)


def compose(work: Work, verdict: decision.Complete, *, late: bool, elapsed_seconds: float) -> dict[str, object]:
    """Return the record without its signature, as plain JSON values.

    Raises OSError or UnsafePath, and InvalidRecord when boot.json does not speak of an artifact of the plan.
    """
    public = record.public_identity(work.run, work.boot)
    the_plan = work.loaded.plan
    return {
        "schema": record.SCHEMA,
        "boot_id": work.boot.boot_id,
        "generation": work.boot.generation,
        "pid1_start": work.boot.pid1_start,
        "sealed_at": clock.rfc3339(),
        "elapsed_seconds": elapsed_seconds,
        "manifest_sha256": the_plan.manifest_sha256,
        "plan_sha256": work.loaded.sha256,
        "lock_sha256": the_plan.lock.sha256 if the_plan.lock else None,
        "identity": dataclasses.asdict(public),
        "artifacts": [dataclasses.asdict(_as_found(artifact, work.boot)) for artifact in the_plan.artifacts],
        "security": work.boot.security.plain() if work.boot.security else None,
        "programs": [
            {
                "name": view.name,
                "state": view.supervisor_state,
                "pid": view.pid,
                "pid_start": view.pid_start,
                "ready_by": view.ready_by,
                "ready_at": view.ready_at,
            }
            for view in verdict.programs
        ],
        "late": late,
    }


def _as_found(artifact: plan.ArtifactPlan, boot: boot_record.BootRecord) -> record.Artifact:
    """Return what the record says of ``artifact``: what Stage A found, and nothing that it did not look at."""
    found = next((closure for closure in boot.closures if closure.artifact == artifact.id), None)
    if found is None:
        raise errors.InvalidRecord("boot.json", f"it does not say how the artifact {artifact.id} was found")
    return record.Artifact(artifact.id, found.sha256, found.verified, not found.reason, artifact.required)
