"""Where a secret comes from: a file, a mount, the container's environment, the kernel's random numbers.

Rules
-----
* ``file`` and ``mounted`` are the operator's, so their symlinks are followed (Kubernetes projects a secret through ``..data``);
  what they end in must be a regular file, and opening it never waits.
* A ``mounted`` file must lie, where its links end, on a mount of its own: it, or a directory above it that is not ``/``. Else it
  is the image's, and everybody who has the image has it.
* A variable that is set counts, and an empty one is a mistake; only one that is not set may be generated instead.
* Nothing empty or white space only, nothing of fewer than 4 bytes beside the white space around them, which could not be
  hidden without hiding half of the text around it, nothing of more than ``credentials.LIMIT`` bytes, no NUL where a variable must carry it.
* Where programs have users of their own, nobody but root could have changed where the path leads (``entrypoint.trusted_way``):
  this process reads with root's rights what a program's link may name.
* An error names the secret and its source, and never holds the value.
"""

import os
import stat
from collections.abc import Mapping

from contract import errors, masking
from entrypoint import mounts, trusted_way
from manifest import provisions
from supervisord import credentials

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def read(
    secret: provisions.SecretPlan,
    environment: Mapping[str, str],
    table: tuple[mounts.Mount, ...],
    *,
    distrusting: bool = False,
) -> bytes:
    """Return the bytes of ``secret`` from its source; raises BootsealError.

    ``distrusting``: programs have users of their own.
    """
    source, data = _from_source(secret, environment, table, distrusting=distrusting)
    problem = None
    if not data.strip():
        problem = "it is empty"
    elif len(data.strip()) < masking.LEAST_BYTES:
        problem = f"it has fewer than {masking.LEAST_BYTES} bytes: it could not be hidden"
    elif len(data) > credentials.LIMIT:
        problem = f"it has more than the {credentials.LIMIT} bytes allowed"
    elif secret.environment is not None and b"\0" in data:
        problem = f"it holds a NUL byte, which the variable {secret.environment} cannot carry"
    if problem:
        raise errors.BootsealError(f"secret {secret.name} from {source}", problem, "correct what it comes from")
    return data


def _from_source(
    secret: provisions.SecretPlan,
    environment: Mapping[str, str],
    table: tuple[mounts.Mount, ...],
    *,
    distrusting: bool,
) -> tuple[str, bytes]:
    """Return the name of the source and what it gives."""
    path = secret.mounted or secret.file
    if path is not None:
        return f"file {path}", _from_file(secret, path, table, distrusting=distrusting)
    if secret.variable is not None and secret.variable in environment:
        return f"variable {secret.variable}", os.fsencode(environment[secret.variable])
    if secret.generate_bytes is not None:
        return "the kernel", os.urandom(secret.generate_bytes).hex().encode()
    raise errors.BootsealError(
        f"secret {secret.name} from variable {secret.variable}", "it is not set", "start the container with it set"
    )


def _from_file(
    secret: provisions.SecretPlan, path: str, table: tuple[mounts.Mount, ...], *, distrusting: bool
) -> bytes:
    """Return at most one byte more than is allowed."""
    what = f"secret {secret.name} from {'mounted ' if secret.mounted is not None else ''}file {path}"
    try:
        if distrusting:
            trusted_way.judge(what, path)
        fd = os.open(path, _FLAGS)
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise errors.UnsafePath(what, "it is not a regular file", "put a regular file there")
            if secret.mounted is not None and not lies_on_a_mount(os.readlink(f"/proc/self/fd/{fd}"), table):
                why = "it is the image's: neither it nor a directory above it is a mount of its own"
                raise errors.UnsafePath(what, why, "mount the secret there, or say `file:` if the image is to hold it")
            return _bounded(fd)
        finally:
            os.close(fd)
    except OSError as error:
        is_missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        remedy = "mount it there, or correct the path" if is_missing else "give it to the container's user"
        raise errors.BootsealError(what, errors.describe_os_error(error), remedy) from error


def lies_on_a_mount(path: str, table: tuple[mounts.Mount, ...]) -> bool:
    """Say whether the real ``path``, or a directory above it that is not /, is a mount of its own."""
    while path != "/":
        if mounts.is_mount_point(table, path):
            return True
        path = os.path.dirname(path)
    return False


def _bounded(fd: int) -> bytes:
    chunks, left = [], credentials.LIMIT + 1
    while left > 0 and (chunk := os.read(fd, left)):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)
