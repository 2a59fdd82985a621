"""Asking a container what it knows: its probe server and PID 1 over their unix sockets, and the files of its run directory.

Rules
-----
* One answer of the probe server tells readiness and programs of one moment. PID 1 is asked only when it does not answer, and
  the files are read only when neither does.
* Every question has a deadline, from its first byte to its last, and every answer a limit. Who has less time gives less, and no
  question less than ``LEAST_SECONDS``.
* What cannot be asked is told in the situation, with its cause; only what needs the answer raises, and then NotThere.
* The events of a boot are told of the process that the run directory belongs to, and of no other.
"""

import dataclasses
import http.client
import os
import time
from typing import Any

from contract import boot_record, clock, decode, errors, exit_codes, journal, process, rundir, snapshot, unix_http
from entrypoint import history, presenting, situation

ASK_SECONDS = 3.0
"""How long a question takes at most where nobody is in a hurry."""
LEAST_SECONDS = 0.5
COMPLETION_SECONDS = 0.5
_ANSWER_LIMIT = 64 * 1024 * 1024
_EVENTS_AT_ONCE = 100_000
_CLOCKS_DIFFER = 0.05
"""The start of a process comes in ticks of 10 ms, and the wall clock is slewed while it runs."""


class NotThere(errors.BootsealError):
    """Nobody can be asked: no container of ours runs there, or it does not answer."""

    exit_code = exit_codes.INFRASTRUCTURE_FAILURE


def allowed(end: float | None, most: float = ASK_SECONDS) -> float:
    """Return how many seconds a question may take that should be answered by ``end`` on the monotonic clock; None: in any time."""
    return most if end is None else max(LEAST_SECONDS, min(most, end - clock.monotonic()))


def probe(
    run: rundir.RunDirectory, *paths: str, timeout_seconds: float = ASK_SECONDS
) -> list[tuple[int, dict[str, Any]]]:
    """Return status and JSON object of a GET of each of ``paths`` on one connection; raises NotThere, or InvalidRecord."""
    what = f"the probe server at {run.probes_socket}"
    connection = unix_http.Connection(run.probes_socket, timeout_seconds)
    try:
        return [_get(connection, path) for path in paths]
    except TimeoutError as error:
        raise NotThere(what, f"no answer within {timeout_seconds:.3g} s", "it is stopped or overloaded") from error
    except OSError as error:
        remedy = unix_http.remedy(error, "does the container run, and is this its --run-dir?")
        raise NotThere(what, errors.describe_os_error(error), remedy) from error
    except http.client.HTTPException as error:
        raise NotThere(what, f"its answer is not of ours: {type(error).__name__}") from error
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, dict[str, Any]]:
    connection.request("GET", path)
    response = connection.getresponse()
    value = decode.json_object(response.read(_ANSWER_LIMIT), f"the answer of {path}")
    return response.status, value


def ledger(run: rundir.RunDirectory, timeout_seconds: float = ASK_SECONDS) -> snapshot.Snapshot:
    """Return PID 1's ledger; raises NotThere, or InvalidRecord for one of another version."""
    from supervisord import client

    try:
        return client.Client(run.supervisor_socket).snapshot(timeout_seconds=timeout_seconds)
    except (client.Unreachable, client.Refused) as error:
        raise not_there(error) from error


def not_there(error: errors.BootsealError) -> NotThere:
    """Return what is told of PID 1 that is Unreachable, or that Refused what it never refuses but at its end."""
    from supervisord import client

    if isinstance(error, client.Refused):
        return NotThere("supervisord", f"it answers no more: {error.why}", "is it shutting down?")
    return NotThere(error.what, error.why, error.remedy)


def look(
    run: rundir.RunDirectory, *, with_meta: bool = False, timeout_seconds: float | None = None
) -> situation.Situation:
    """Return what is known of the container now; raises nothing of what can go wrong there.

    With ``timeout_seconds`` both who are asked share it; without, each has its own time.
    """
    found = _told(run, with_meta, timeout_seconds)
    holder = claimant(run)
    if holder is not None and process.is_stopped(holder.pid, holder.start):
        return dataclasses.replace(found, stopped_pid=holder.pid)
    return found


def _told(run: rundir.RunDirectory, with_meta: bool, timeout_seconds: float | None) -> situation.Situation:
    end = None if timeout_seconds is None else clock.monotonic() + timeout_seconds
    try:
        found = _by_probes(
            run, with_meta, ASK_SECONDS if timeout_seconds is None else allowed(end, timeout_seconds / 2)
        )
    except errors.BootsealError as error:
        trouble = error
    else:
        return found
    try:
        return situation.of_ledger(ledger(run, allowed(end)), _record(run), _short(trouble))
    except errors.BootsealError as error:
        troubles = (_short(trouble), _short(error))
    return _by_files(run, troubles)


def _by_probes(run: rundir.RunDirectory, with_meta: bool, seconds: float) -> situation.Situation:
    answers = probe(run, "/health", *(["/v1/meta"] if with_meta else []), timeout_seconds=seconds)
    refused = next(((status, value) for status, value in answers if status != http.client.OK), None)
    if refused is not None:
        status, value = refused
        what = f"the probe server at {run.probes_socket}"
        raise NotThere(what, f"it answered HTTP status {status}: {value.get('error', '')}".rstrip(": "))
    return situation.of_health(answers[0][1], answers[1][1] if with_meta else None)


def _by_files(run: rundir.RunDirectory, troubles: tuple[str, ...]) -> situation.Situation:
    holder = claimant(run)
    try:
        events = [entry.event for entry in journal.read(run.events, None, limit=_EVENTS_AT_ONCE).entries]
    except OSError as error:
        why, is_denied = errors.describe_os_error(error), isinstance(error, PermissionError)
    except errors.BootsealError as error:
        why, is_denied = error.why, False
    else:
        story = history.last_boot(events)
        if holder is not None and not _is_of(story, holder, _record(run)):
            story = history.Story()  # of an earlier boot: this one has not written its first event yet
        return situation.of_files(story, is_alive=holder is not None, run_directory=run.path, troubles=troubles)
    troubles = (*troubles, f"{run.events}: {why}")
    if holder is not None or is_denied:
        remedy = unix_http.DENIED if is_denied else "see what stands there"
        return situation.hidden(run.path, why, remedy, troubles, is_alive=holder is not None)
    return situation.of_files(history.Story(), is_alive=False, run_directory=run.path, troubles=troubles)


def _is_of(story: history.Story, holder: rundir.Holder, record: boot_record.BootRecord | None) -> bool:
    """Say whether ``story`` is of the boot that ``holder`` is PID 1 of.

    In containers every boot has the same pid. The boot record names the process and its boot; before it is written, no event
    of this boot can be older than the process.
    """
    if record is not None and (record.pid1, record.pid1_start) == (holder.pid, holder.start):
        return story.boot_id == record.boot_id
    first = presenting.moment(story.first_at)
    if story.pid not in {None, holder.pid} or first is None:
        return False
    ago = time.clock_gettime(time.CLOCK_BOOTTIME) - holder.start / os.sysconf("SC_CLK_TCK")
    return first >= time.time() - ago - _CLOCKS_DIFFER


def claimant(run: rundir.RunDirectory) -> rundir.Holder | None:
    """Return the process that the run directory belongs to, None where it does not live here or that cannot be read."""
    try:
        return rundir.holder(run)
    except OSError:
        return None


def _record(run: rundir.RunDirectory) -> boot_record.BootRecord | None:
    try:
        return boot_record.read(run)
    except (OSError, errors.BootsealError):
        return None


def _short(error: errors.BootsealError) -> str:
    remedy = f" ({error.remedy})" if error.remedy == unix_http.DENIED else ""
    return f"{error.what} does not answer: {error.why}{remedy}"


def program_names(run: rundir.RunDirectory) -> list[str]:
    """Return the manifest's programs, for a shell that completes names; raises BootsealError."""
    return [view.name for view in ledger(run, COMPLETION_SECONDS).programs]


def expect(run: rundir.RunDirectory, found: situation.Situation) -> None:
    """Raise NotThere when in ``found`` no boot lives that could be asked."""
    if not found.is_alive:
        since = f" since {found.since}" if found.since else ""
        raise NotThere(f"run directory {run.path}", f"{found.reason}{since}", _where(run))


def _where(run: rundir.RunDirectory) -> str:
    if not os.path.isdir(run.path):
        return "there is no such directory; name the container's with --run-dir (of `bootseal up`: STATE/run)"
    return "start the container, or name another --run-dir"
