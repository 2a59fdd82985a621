"""How many clients may come: each is a file descriptor, and what the process needs for itself must be left."""

import contextlib
import resource

RESERVE = 256
"""For listeners, PID 1's feed, checks, files being read, and clients that were sent away and are not closed yet."""
_LEAST = 16


def room_for(clients: int) -> int:
    """Raise the soft limit of open files as far as ``clients`` need it and the hard one allows; return how many fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = clients + RESERVE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):  # forbidden: then there is less room
            resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
            soft = raised
    return clients if soft == resource.RLIM_INFINITY else max(_LEAST, min(clients, soft - RESERVE))
