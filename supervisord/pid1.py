"""``python -m supervisord.pid1``: supervisord itself, and a boot failure with its cause where it cannot even begin.

supervisord ends with 2 on a configuration or socket it cannot use and with 1 on a traceback, and says neither in an event.
Until our extension is attached that is a failed boot like any other: ``BootstrapFailed``, exit 6. A crash of supervisord
later is one, too.

It is not dumpable, so no program of the same user can look into PID 1 (``contract.dumpable``); execve(2) had undone what Stage A
said.
"""

import contextlib
import io
import os
import sys

from supervisor import options, supervisord

from contract import boot_record, dumpable, errors, events, exit_codes, rundir, termination
from supervisord import generation

_REMEMBERED = 1000


class _Stderr(io.TextIOBase):
    """Standard error that remembers the last that was written to it."""

    def __init__(self) -> None:
        self.last = ""

    def write(self, text: str) -> int:
        self.last = (self.last + text)[-_REMEMBERED:]
        if sys.__stderr__ is not None:
            sys.__stderr__.write(text)
        return len(text)


def main(arguments: list[str]) -> int:
    """Run supervisord with ``arguments`` until it ends; returns 0, or 6 when it could not begin or crashed."""
    try:
        dumpable.forbid()
    except errors.BootsealError as error:
        _report(str(error))
        return exit_codes.INFRASTRUCTURE_FAILURE
    said = _Stderr()
    options.Options.stderr = said  # bound when supervisor was imported (4.3.0, ``Options.stderr``)
    try:
        with contextlib.redirect_stderr(said):
            supervisord.main(arguments)
    except SystemExit as end:
        if not end.code:
            return exit_codes.OK
        cause = f"supervisord ended with {end.code}: {' '.join(said.last.split())}"
    except BaseException as error:  # whatever it is, the exit code must not say that all went well
        cause = f"supervisord crashed: {type(error).__name__}: {error}"
    else:
        return exit_codes.OK
    _report(cause)
    generation.BOOT.exit_code = exit_codes.INFRASTRUCTURE_FAILURE
    return exit_codes.INFRASTRUCTURE_FAILURE


def _report(cause: str) -> None:
    run = rundir.RunDirectory(os.environ.get("BOOTSEAL_RUN_DIR", rundir.DEFAULT))
    try:
        boot_id = boot_record.read(run).boot_id
    except (OSError, errors.BootsealError):
        boot_id = ""
    emitter = generation.BOOT.emitter or events.Emitter("supervisord", boot_id, run.events)
    emitter.emit("BootstrapFailed", phase="supervise", cause=cause)
    termination.write(cause)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
