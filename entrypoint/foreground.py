"""Running one boot as a child of this process, so that nothing outlives it, whatever kills it.

Rules
-----
* This process is a subreaper: whatever is orphaned below it becomes its child, and at the end it kills and reaps
  every child it has left.
* The boot process gets SIGTERM from the kernel when this process dies, even by SIGKILL (PR_SET_PDEATHSIG, prctl(2));
  supervisord, a subreaper as well, then stops its programs and sweeps what is left. Programs get SIGKILL when
  supervisord dies.
* The boot process has a process group of its own, so that Ctrl-C in a terminal reaches this process only, which
  then stops the boot in order; a second Ctrl-C kills.
"""

import ctypes
import os
import signal
import subprocess

from contract import exit_codes
from supervisord import generation

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


class Foreground:
    """One boot below this process."""

    def __init__(self, argv: list[str], output: int) -> None:
        """Start ``argv`` with stdout and stderr at the descriptor ``output``."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        parent = os.getpid()

        def die_with_parent() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
            if os.getppid() != parent:  # it died before the line above
                os._exit(exit_codes.from_signal(signal.SIGTERM))

        self._child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, process_group=0, preexec_fn=die_with_parent
        )
        self._stops = 0

    @property
    def pid(self) -> int:
        """The pid of the boot process, later supervisord's."""
        return self._child.pid

    def exit_code(self) -> int | None:
        """Return the exit code once the boot ended, as a shell would report it, else None."""
        code = self._child.poll()
        if code is None:
            return None
        return exit_codes.from_signal(-code) if code < 0 else code

    def stop(self) -> None:
        """Ask the boot to stop; asked again, kill it."""
        self._stops += 1
        if self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM if self._stops == 1 else signal.SIGKILL)

    def sweep(self) -> None:
        """Kill and reap what is left below this process."""
        if self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        generation.sweep_descendants()
