"""``python -m probes --run-dir DIR``: ``[program:probes]``, priority 1, started first and stopped last.

The manifest's programs wait for us, and loading the HTTP server takes longer than everything before it (0.2 s of CPU).
So the ports are bound, a thread answers on them (``probes.early``) and PID 1 is told first, with the standard library alone,
and the server is loaded while the programs start. Should loading fail, this process ends, its subscription with it, and
nothing is sealed.
"""

import os
import signal
import socket
import sys
from typing import Any

from contract import boot_record, dumpable, errors, exit_codes, prctl, rundir
from manifest import plan
from probes import early, hello, listeners, settings

_CONNECT_SECONDS = 1.0
_SWITCH_SECONDS = 0.0005
"""Threads that load, read or judge give way to the one that answers after this time; Python's own 5 ms are a whole probe."""


def main(arguments: list[str]) -> int:
    """Serve until told to stop, and end the process; returns 1 when it cannot begin, 2 for wrong arguments."""
    if len(arguments) != 2 or arguments[0] != "--run-dir":
        print("usage: python -m probes --run-dir DIR", file=sys.stderr)
        return exit_codes.USAGE_ERROR
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    sys.setswitchinterval(_SWITCH_SECONDS)
    try:
        dumpable.forbid()
        run = rundir.RunDirectory(arguments[1])
        boot, loaded = read(run)
        settings.check(os.environ, loaded.plan)  # what we were told to serve is what we serve, or nothing is served
        if loaded.plan.has_program_users:  # before the first thread: checks are run as others, and gain nothing
            prctl.call(prctl.SET_NO_NEW_PRIVS, 1)
        sockets = listeners.bind(loaded.plan.probes, run)
        answers = early.EarlyAnswers(sockets.probes, loaded.plan.probes.liveness_deadline_seconds)
        answers.begin()
        subscription = subscription_socket(run)
    except OSError as error:
        why = f"{error.filename}: {errors.describe_os_error(error)}"
        print(f"probes: {why} (name the container's run directory with --run-dir)", file=sys.stderr)
        return exit_codes.GENERIC_FAILURE
    except errors.BootsealError as error:
        print(f"probes: {error}", file=sys.stderr)
        return exit_codes.GENERIC_FAILURE
    from probes import ending, log, server
    from probes.checks import execute
    from seal import record  # noqa: F401  (the signature library: loaded now, not while the seal is judged)
    from supervisord import credentials

    execute.use(credentials.Credentials(loaded.plan.secrets, run))
    log.begin(boot.boot_id, loaded.plan.observability.log_level)
    return ending.serve_and_exit(
        server.serve(run, boot, loaded, sockets, subscription=subscription, take_over=answers.end)
    )


def read(run: rundir.RunDirectory) -> tuple[boot_record.BootRecord, plan.LoadedPlan]:
    """Return this boot's record and plan; raises OSError or BootsealError."""
    boot = boot_record.read(run)
    return boot, plan.load_of_boot(boot)


def subscription_socket(run: rundir.RunDirectory) -> socket.socket | None:
    """Return a subscription to PID 1's ledger, or None when it cannot be had yet: then it is tried again later."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        connection.settimeout(_CONNECT_SECONDS)
        connection.connect(run.ledger_socket)
        connection.sendall(hello.line())
        connection.setblocking(False)
    except OSError:
        connection.close()
        return None
    return connection


def _leave(*_: Any) -> None:
    """Told to stop before the server stands: nothing is under way."""
    sys.exit(exit_codes.OK)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
