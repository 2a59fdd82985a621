"""Keeping other processes of the same user out of our memory.

Rules
-----
* A process that is not dumpable writes no core, and another one of its user can neither trace it nor open its ``environ``,
  ``mem``, ``maps`` or descriptors in /proc (ptrace(2), "Ptrace access mode checking"; proc(5)). Itself it can still see.
* execve(2) undoes it (PR_SET_DUMPABLE in prctl(2)), so each of our processes says it again as it begins; and a program that
  we start is an ordinary one. A change of user sets it anew as well (``/proc/sys/fs/suid_dumpable``).
"""

from contract import errors, prctl


def forbid() -> None:
    """Make this process not dumpable; raises BootsealError when the kernel refuses."""
    if prctl.call(prctl.SET_DUMPABLE, 0) != 0 or prctl.call(prctl.GET_DUMPABLE, 0) != 0:
        raise errors.BootsealError(
            "prctl(PR_SET_DUMPABLE)",
            "the kernel refuses it, so others of this user could read this process's memory",
            "let the container's seccomp profile allow prctl",
        )
