"""A program under a user of its own: the exception ``program-users``.

Rules
-----
* PID 1 is root with few capabilities; Stage A saw that it has what this takes (``entrypoint.privileges``).
* The change of user is made between fork and exec and cannot be taken back: no supplementary group, real, effective and saved
  ids alike, and no new privileges for whatever the program executes (prctl(2)). All capabilities go with root's uid
  (capabilities(7), "Effect of user ID changes on capabilities").
* The program's ends of its pipes become its own, so that it may open /dev/stdout anew: that opens the pipe itself, which belongs
  to whoever made it (proc(5), ``/proc/PID/fd``; pipe(7)).
* Its directory is entered as its user: root without CAP_DAC_OVERRIDE may enter a foreign 0700 directory no more than others.
"""

import os
from collections.abc import Iterable

from contract import errors, prctl
from manifest import provisions

_ROOTS_OWN = frozenset({"HOME", "USER", "LOGNAME"})
_HOME = "/"


def environment(user: provisions.User | None, inherited: dict[str, str]) -> dict[str, str]:
    """Return what of ``inherited`` a program under ``user`` gets: not root's name, and / as home, as engines do for a bare uid."""
    if user is None:
        return inherited
    return {name: value for name, value in inherited.items() if name not in _ROOTS_OWN} | {"HOME": _HOME}


def give_pipes(user: provisions.User, descriptors: Iterable[int]) -> None:
    """Give the pipes at ``descriptors`` to ``user``; raises OSError."""
    for fd in descriptors:
        os.fchown(fd, user.uid, user.gid)


def become(user: provisions.User) -> None:
    """Make this process one of ``user`` for good; raises BootsealError or OSError."""
    os.setgroups([])
    os.setresgid(user.gid, user.gid, user.gid)
    os.setresuid(user.uid, user.uid, user.uid)
    if prctl.call(prctl.SET_NO_NEW_PRIVS, 1) != 0:
        raise errors.BootsealError(
            "prctl(PR_SET_NO_NEW_PRIVS)", "the kernel refuses it", "allow it in the seccomp profile"
        )
