"""Kubernetes' termination log: the last word of a container, shown by ``kubectl describe``.

The kubelet reads at most 4096 bytes of the file named by ``terminationMessagePath``
(kubernetes.io, "Determine the Reason for Pod Failure"). It is absent under other engines and often not
writable for a non-root user; both are normal.
"""

import os

PATH = "/dev/termination-log"
_LIMIT = 4096


def write(cause: str, path: str = PATH) -> bool:
    """Write ``cause`` to the termination log where that exists; say whether it is there."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(fd, cause.encode("utf-8", "replace")[:_LIMIT])
    except OSError:
        return False
    finally:
        os.close(fd)
    return True
