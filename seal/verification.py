"""Judging a seal from the command line, and what changed since it was written."""

from contract import errors, files, records, rundir, snapshot
from seal import record


class NotSealed(errors.BootsealError):
    """There is no seal to judge."""


@records.dataclass(frozen=True)
class Change:
    """A program that is not any more what the seal recorded."""

    program: str
    what: str


def verify(run: rundir.RunDirectory) -> record.Record:
    """Return this container's seal if it is acceptable.

    Raises NotSealed when there is none, InvalidRecord, BadSignature or NotThisBoot when it is refused, and UnsafePath
    when something else stands in its place.
    """
    try:
        data = files.read_bounded(run.seal, record.LIMIT)
    except FileNotFoundError as error:
        remedy = "wait for the boot to complete, or ask `supervisorctl status` what it waits for"
        raise NotSealed(f"seal {run.seal}", "there is none", remedy) from error
    except OSError as error:
        raise NotSealed(f"seal {run.seal}", errors.describe_os_error(error)) from error
    try:
        expected = record.expected(run)
    except OSError as error:
        why = f"{error.filename}: {errors.describe_os_error(error)}"
        raise NotSealed(
            f"run directory {run.path}", why, "name the container's run directory with --run-dir"
        ) from error
    return record.accept(data, expected)


def changes_since(sealed: record.Record, ledger: snapshot.Snapshot) -> tuple[Change, ...]:
    """Return what ``ledger`` shows that ``sealed`` did not record: restarts, and programs not ready any more."""
    changes = []
    for program in sealed.programs:
        view = ledger.program(program.name)
        if view is None:
            changes.append(Change(program.name, "is gone"))
        elif view.state != snapshot.READY:
            changes.append(Change(program.name, f"is {view.state}: {view.reason}"))
        elif (view.pid, view.pid_start) != (program.pid, program.pid_start):
            changes.append(Change(program.name, f"was restarted: pid {program.pid} then, {view.pid} now"))
    return tuple(changes)
