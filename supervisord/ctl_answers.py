"""What the supervisorctl plug-in answers: the ledger in lines. Pure, but for the look at the seal's record and the question to /ready.

Rules
-----
* Ready is a sealed generation in which nobody is waited for, and what the probe server says of the rest (mounts, checks, the
  identity): one that does not answer is no yes. Only a unix socket says where it is.
* A seal is accepted when PID 1 has one for this generation and the record, where it can be read, still is the one that PID 1
  accepted. Signature and plan are `bootseal verify`'s to judge.
"""

import hashlib
import http.client
import json
import os

from contract import errors, files, records, rundir, snapshot, unix_http

_RECORD_LIMIT = 4 * 1024 * 1024
_ANSWER_LIMIT = 4 * 1024 * 1024
_ASK_SECONDS = 3.0


@records.dataclass(frozen=True)
class Missing:
    """One requirement that is not met."""

    name: str
    state: str
    reason: str


def missing(summary: snapshot.Summary, ledger: snapshot.Snapshot) -> list[Missing]:
    """Return what ``ledger`` lacks to be ready; ``summary`` also counts what supervisord does not know."""
    found = [
        Missing(view.name, view.state, view.reason)
        for view in ledger.programs
        if view.required and view.role != "seal" and view.state != snapshot.READY
    ]
    unknown = summary.waiting - len(found)
    if unknown > 0 and summary.revision == ledger.revision:
        found.append(Missing("(removed)", snapshot.FAILED, f"required programs unknown to supervisord: {unknown}"))
    if ledger.phase != snapshot.SEALED:
        found.append(Missing("(boot)", ledger.phase, ledger.failure or _phase_reason(ledger.phase)))
    return found


def missing_beside(url: str) -> list[Missing]:
    """Return what /ready lacks in the container whose supervisord is at ``url``, when its ledger lacks nothing."""
    run = _run_directory(url)
    if run is None or not os.path.exists(run.boot_record):
        return []
    connection = unix_http.Connection(run.probes_socket, _ASK_SECONDS)
    try:
        connection.request("GET", "/ready")
        answer = connection.getresponse()
        value = json.loads(answer.read(_ANSWER_LIMIT))
        if answer.status == http.client.OK and value["ready"] is True:
            return []
        rows = [Missing(str(row["id"]), str(row["kind"]), str(row["reason"])) for row in value["missing"]]
        return rows or [Missing("(ready)", "unknown", f"/ready answered {answer.status}")]
    except OSError as error:
        why = errors.describe_os_error(error)
    except (http.client.HTTPException, ValueError, LookupError, TypeError):
        why = "what answers there is not bootseal's probe server"
    finally:
        connection.close()
    return [Missing("(probes)", "unknown", f"nobody says whether mounts and checks are as they must be: {why}")]


def _run_directory(url: str) -> rundir.RunDirectory | None:
    """Return the run directory of the supervisord at ``url``, where that says it."""
    return rundir.RunDirectory(os.path.dirname(url.removeprefix("unix://"))) if url.startswith("unix://") else None


def _phase_reason(phase: str) -> str:
    words = {snapshot.BOOTING: "is not sealed yet", snapshot.STOPPING: "everything stops"}
    return words.get(phase, "is not sealed")


@records.dataclass(frozen=True)
class Record:
    """The seal's file as it lies in the run directory: the digest of its bytes, or a fault, or why nobody looked."""

    path: str = ""
    sha256: str = ""
    fault: str = ""
    unseen: str = ""


def sealed(ledger: snapshot.Snapshot, record: Record) -> tuple[list[str], bool]:
    """Return the lines that tell the seal of ``ledger``'s generation, and whether it is accepted."""
    generation = f"generation {ledger.generation} of boot {ledger.boot_id}"
    seal = ledger.seal
    if seal is None:
        lines = [f"not sealed: {ledger.phase}: {ledger.failure or _phase_reason(ledger.phase)}", f"  {generation}"]
        if ledger.boot_sealed_at:
            lines.append(f"  this boot was first sealed at {ledger.boot_sealed_at}")
        return lines, False
    fault = record.fault
    if record.sha256 and record.sha256 != seal.sha256:
        fault = "it holds other bytes than PID 1 accepted"
    lines = [
        f"sealed{', late,' if seal.late else ''} at {seal.at}",
        f"  {generation}",
        f"  PID 1 accepted a record of sha256 {seal.sha256}",
    ]
    if fault:
        lines = [f"not accepted: {record.path}: {fault}", *lines]
    elif record.unseen:
        lines.append(f"  the record itself was not looked at: {record.unseen}")
    else:
        lines.append(f"  {record.path} is that record; `bootseal verify` judges its signature")
    return lines, not fault


def look_at_record(url: str) -> Record:
    """Return what lies where the seal of the supervisord at ``url`` must be; only a unix socket says where that is."""
    run = _run_directory(url)
    if run is None:
        return Record(unseen=f"{url} does not say where the run directory is")
    try:
        return Record(run.seal, sha256=hashlib.sha256(files.read_bounded(run.seal, _RECORD_LIMIT)).hexdigest())
    except FileNotFoundError:
        if os.path.exists(run.boot_record):
            return Record(run.seal, fault="it is gone")
        return Record(run.seal, unseen=f"{run.path} is no run directory")
    except PermissionError as error:
        return Record(run.seal, unseen=f"{run.seal}: {errors.describe_os_error(error)}")
    except OSError as error:
        return Record(run.seal, fault=errors.describe_os_error(error))
    except errors.UnsafePath as error:
        return Record(run.seal, fault=error.why)


def told(view: snapshot.ProgramView) -> list[str]:
    """Return the lines that tell all that is known of a program."""
    kind = "required" if view.required else "optional"
    lines = [f"{view.name}: {view.state}{f': {view.reason}' if view.reason else ''}"]
    pid = f", pid {view.pid}" if view.pid else ""
    lines.append(f"  {kind}; supervisord says {view.supervisor_state}{pid}; {view.state} since {view.since}")
    if view.ready_by:
        lines.append(f"  last ready at {view.ready_at} by {view.ready_by}")
    if view.last_exit:
        lines.append(f"  its last process {view.last_exit}; ended unasked {view.exits} times, {view.restarts} restarts")
    if view.restart_reasons:
        counted = ", ".join(f"{count} {reason}" for reason, count in sorted(view.restart_reasons.items()))
        lines.append(f"  started again because of: {counted}")
    if view.latest.spawned is not None and view.latest.ready is not None:
        lines.append(f"  its latest process was ready {view.latest.ready - view.latest.spawned:.3f} s after its start")
    if view.status:
        lines.append(f"  it says: {view.status}")
    return lines + [f"  | {line}" for line in view.last_output]
