"""What outlives a reload: supervisord re-creates its objects and ours, but not the modules.

A reload (SIGHUP, ``supervisorctl reload``) stops every program and starts supervisord's main loop again in the same
process. Each start is a *generation*; the exit code and the boot's first seal belong to the boot.
"""

import atexit
import contextlib
import dataclasses
import os
import signal
import sys
import time

from contract import events
from supervisord import output, output_store

_SWEEP_SECONDS = 5.0
_SWEEP_PAUSE_SECONDS = 0.005
_LAST_WORDS_SECONDS = 1.0


@dataclasses.dataclass
class Boot:
    """The state of this boot in PID 1; mutable, one instance (``BOOT``) for the life of the process."""

    generation: int = 0
    exit_code: int = 0
    boot_sealed_at: str | None = None
    is_armed: bool = False
    stdout: output.Channel = dataclasses.field(default_factory=lambda: output.Channel(1))
    stderr: output.Channel = dataclasses.field(default_factory=lambda: output.Channel(2))
    emitter: events.Emitter | None = None
    store: output_store.Store | None = None

    def store_for(self, programs: int, boot_id: str) -> output_store.Store:
        """Return the one store of output of this process, made for ``programs`` programs: its numbers count on."""
        if self.store is None:
            self.store = output_store.Store(programs, boot_id)
        return self.store

    def emitter_for(self, boot_id: str, path: str) -> events.Emitter:
        """Return the one emitter of this process: its ``seq`` counts on over generations."""
        if self.emitter is None:
            self.emitter = events.Emitter("supervisord", boot_id, path, self.stderr.write)
        return self.emitter


BOOT = Boot()


def arm() -> None:
    """Once a boot: at interpreter exit sweep what is left, print what waits, and exit with the boot's code.

    supervisord itself always exits 0 (supervisor 4.3.0, ``supervisord.main``).
    """
    if not BOOT.is_armed:
        BOOT.is_armed = True
        atexit.register(_end)


def _end() -> None:
    if os.getpid() != 1:
        sweep_descendants()
    deadline = time.monotonic() + _LAST_WORDS_SECONDS
    for channel in (BOOT.stdout, BOOT.stderr):
        channel.flush(max(0.0, deadline - time.monotonic()))
    sys.stdout.flush()
    sys.stderr.flush()
    # Also with 0: nothing is left to do, and taking the interpreter apart would cost a stop 20 ms.
    os._exit(BOOT.exit_code)


def sweep_descendants() -> None:
    """Kill and reap every child left, orphans of the programs included: we are their subreaper.

    A PID namespace does the same when its PID 1 ends (pid_namespaces(7)). The list of children in /proc may miss some
    while others exit (proc_pid_task_tid_children(5)), so waitpid(2) alone says that none is left.
    """
    deadline = time.monotonic() + _SWEEP_SECONDS
    while time.monotonic() < deadline:
        for pid in _children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            reaped, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not reaped:
            time.sleep(_SWEEP_PAUSE_SECONDS)


def _children() -> list[int]:
    try:
        with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
            return [int(pid) for pid in file.read().split()]
    except (OSError, ValueError):
        return []
