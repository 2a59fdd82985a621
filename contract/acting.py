"""Doing something with the rights of another user, and being oneself again afterwards.

Rules
-----
* It is for a process of root that has CAP_SETUID and CAP_SETGID, and only one thread: glibc changes the ids of all.
* While it lasts the kernel judges every path by that user's rights alone: an effective uid that leaves 0 takes the effective
  capabilities with it (capabilities(7)). What a link of that user leads to is then no more than he could reach himself.
* The real and the saved uid stay as they are, so nobody of that uid can signal this process meanwhile (kill(2)), nor look
  into it (ptrace(2), "Ptrace access mode checking").
* Whoever cannot become himself again ends: nothing may go on with half of somebody else's identity.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from contract import dumpable, exit_codes


@contextlib.contextmanager
def acting_as(uid: int, gid: int) -> Iterator[None]:
    """Have the rights of ``uid`` and ``gid``, and of no other group; raises OSError when they cannot be had."""
    with contextlib.ExitStack() as undone:
        undone.callback(dumpable.forbid)  # a change of ids resets it as fs.suid_dumpable says (proc_sys_fs(5))
        groups = os.getgroups()
        os.setgroups([])
        undone.callback(_again, os.setgroups, groups)
        own_gid = os.getegid()
        os.setegid(gid)
        undone.callback(_again, os.setegid, own_gid)
        own_uid = os.geteuid()
        os.seteuid(uid)
        undone.callback(_again, os.seteuid, own_uid)
        yield


def _again(set_back: Callable[[Any], None], value: Any) -> None:
    try:
        set_back(value)
    except OSError:
        os._exit(exit_codes.INFRASTRUCTURE_FAILURE)
