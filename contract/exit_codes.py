"""The exit codes of the container and of the command line; every one is listed here.

Rules
-----
* 0 is a requested stop, 6 is any boot failure whatever its cause, and the cause is in the last
  ``BootstrapFailed`` event.
* 126 and 127 keep the shell's meaning: supervisord was found but cannot be executed, or was not found
  (POSIX.1-2017, Shell Command Language, 2.8.2).
* A stop signal N that ends Stage A gives 128+N, as a shell reports it.
"""

import signal

OK = 0
GENERIC_FAILURE = 1
USAGE_ERROR = 2
INFRASTRUCTURE_FAILURE = 6
CANNOT_EXECUTE = 126
NOT_FOUND = 127

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)
"""The signals that Stage A catches and that are blocked across the hand-over."""


def from_signal(number: int) -> int:
    """Return the exit code of a process that signal ``number`` ended (128+N)."""
    return 128 + int(number)
