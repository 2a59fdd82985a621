"""Asking a container what it knows: its probe server and PID 1 over their unix sockets, and the files of its run directory.

Rules
-----
* One answer of the probe server tells readiness and programs of one moment. PID 1 is asked only when it does not answer, and
  the files are read only when neither does.
* Every question has a deadline and every answer a limit.
* What cannot be asked is told in the situation, with its cause; only what needs the answer raises.
"""

import http.client
import os
import socket
from typing import Any

from contract import boot_record, decode, errors, exit_codes, files, journal, process, rundir
from entrypoint import history, situation

_ASK_SECONDS = 3.0
_COMPLETION_SECONDS = 0.5
_ANSWER_LIMIT = 64 * 1024 * 1024
_CLAIM_LIMIT = 200
_EVENTS_AT_ONCE = 100_000


class NotThere(errors.BootsealError):
    """Nobody can be asked: no container of ours runs there."""

    exit_code = exit_codes.INFRASTRUCTURE_FAILURE


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str, timeout_seconds: float) -> None:
        super().__init__("localhost", timeout=timeout_seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def probe(
    run: rundir.RunDirectory, *paths: str, timeout_seconds: float = _ASK_SECONDS
) -> list[tuple[int, dict[str, Any]]]:
    """Return status and JSON object of a GET of each of ``paths`` on one connection; raises NotThere."""
    what = f"the probe server at {run.probes_socket}"
    connection = _Connection(run.probes_socket, timeout_seconds)
    try:
        return [_get(connection, path) for path in paths]
    except TimeoutError as error:
        raise NotThere(what, f"no answer within {timeout_seconds:g} s", "it is stopped or overloaded") from error
    except OSError as error:
        raise NotThere(what, errors.describe_os_error(error), _remedy(error)) from error
    except http.client.HTTPException as error:
        raise NotThere(what, f"its answer is not of ours: {type(error).__name__}") from error
    finally:
        connection.close()


def _get(connection: http.client.HTTPConnection, path: str) -> tuple[int, dict[str, Any]]:
    connection.request("GET", path)
    response = connection.getresponse()
    value = decode.json_object(response.read(_ANSWER_LIMIT), f"the answer of {path}")
    return response.status, value


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "run it as the container's user or as root"
    return "does the container run, and is this its --run-dir?"


def look(run: rundir.RunDirectory, *, with_meta: bool = False) -> situation.Situation:
    """Return what is known of the container now; raises nothing of what can go wrong there."""
    try:
        found = _by_probes(run, with_meta=with_meta)
    except errors.BootsealError as error:
        trouble = error
    else:
        return found
    try:
        return situation.of_ledger(_ledger(run), _record(run), _short(trouble))
    except errors.BootsealError as error:
        troubles = (_short(trouble), _short(error))
    return _by_files(run, troubles)


def _by_probes(run: rundir.RunDirectory, *, with_meta: bool) -> situation.Situation:
    answers = probe(run, "/health", *(["/v1/meta"] if with_meta else []))
    refused = next(((status, value) for status, value in answers if status != http.client.OK), None)
    if refused is not None:
        status, value = refused
        what = f"the probe server at {run.probes_socket}"
        raise NotThere(what, f"it answered HTTP status {status}: {value.get('error', '')}".rstrip(": "))
    return situation.of_health(answers[0][1], answers[1][1] if with_meta else None)


def _ledger(run: rundir.RunDirectory, timeout_seconds: float = _ASK_SECONDS) -> Any:
    from supervisord import client

    return client.Client(run.supervisor_socket).snapshot(timeout_seconds=timeout_seconds)


def _by_files(run: rundir.RunDirectory, troubles: tuple[str, ...]) -> situation.Situation:
    try:
        events = [entry.event for entry in journal.read(run.events, None, limit=_EVENTS_AT_ONCE).entries]
    except OSError as error:
        events, troubles = [], (*troubles, f"{run.events}: {errors.describe_os_error(error)}")
    except errors.BootsealError as error:
        events, troubles = [], (*troubles, f"{error.what}: {error.why}")
    story, holder = history.last_boot(events), claimant(run)
    if holder is not None and story.pid not in {None, holder}:
        story = history.Story()  # of an earlier boot: this one has not written its first event yet
    return situation.of_files(story, is_alive=holder is not None, run_directory=run.path, troubles=troubles)


def claimant(run: rundir.RunDirectory) -> int | None:
    """Return the pid of the boot that the run directory belongs to, None when that does not live here: see ``rundir.claim``."""
    try:
        pid, start, _ = files.read_bounded(run.claim, _CLAIM_LIMIT).decode().split()
        return int(pid) if process.is_alive(int(pid), int(start)) else None
    except (OSError, ValueError, errors.BootsealError):
        return None


def _record(run: rundir.RunDirectory) -> boot_record.BootRecord | None:
    try:
        return boot_record.read(run)
    except (OSError, errors.BootsealError):
        return None


def _short(error: errors.BootsealError) -> str:
    return f"{error.what} does not answer: {error.why}"


def program_names(run: rundir.RunDirectory) -> list[str]:
    """Return the manifest's programs, for a shell that completes names; raises BootsealError."""
    ledger = _ledger(run, _COMPLETION_SECONDS)
    return [view.name for view in ledger.programs]


def expect(run: rundir.RunDirectory, found: situation.Situation) -> None:
    """Raise NotThere when in ``found`` no boot lives that could be asked."""
    if not found.is_alive:
        since = f" since {found.since}" if found.since else ""
        raise NotThere(f"run directory {run.path}", f"{found.reason}{since}", _where(run))


def _where(run: rundir.RunDirectory) -> str:
    if not os.path.isdir(run.path):
        return "there is no such directory; name the container's with --run-dir (of `bootseal up`: STATE/run)"
    return "start the container, or name another --run-dir"
