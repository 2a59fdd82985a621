"""Creating directories and opening them without ever following a symlink.

Rules
-----
* A path is absolute, normal (no ``.``, ``..`` or empty component) and walked from ``/`` one component at
  a time with O_NOFOLLOW, so a planted link ends the walk instead of redirecting it.
* What a caller does next, it does through the returned descriptor: the checked directory and the used
  directory are the same one.
"""

import errno
import os

from contract import errors

OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def components(path: str) -> list[str]:
    """Return the components of the absolute normal ``path``; raises UnsafePath for any other path."""
    parts = path.split("/")
    if not path.startswith("/") or any(part in {"", ".", ".."} for part in parts[1:]) or "\0" in path:
        raise errors.UnsafePath(
            f"path {path!r}", "it is not an absolute normal path", "write it from / without . or .. or //"
        )
    return parts[1:]


def open_confined(path: str, *, create: bool = False, parents_mode: int = 0o755, mode: int = 0o755) -> tuple[int, bool]:
    """Open the directory ``path`` and return ``(descriptor, created)``.

    With ``create``, missing parents are made with ``parents_mode`` and the last component with ``mode``,
    both independent of the umask. The caller closes the descriptor.

    Raises UnsafePath when a component is a symlink, is not a directory or cannot be made, OSError otherwise (ENOENT
    when the directory is missing and ``create`` is false).
    """
    parts = components(path)
    fd = os.open("/", OPEN_FLAGS)
    created = False
    try:
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            try:
                created = create and _make(part, mode if is_last else parents_mode, fd)
            except OSError as error:
                raise _not_made(path, parts[:index], error) from error
            try:
                below = os.open(part, OPEN_FLAGS, dir_fd=fd)
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                    raise _refusal(path, "/" + "/".join(parts[: index + 1])) from error
                raise
            os.close(fd)
            fd = below
            if created:
                os.fchmod(fd, mode if is_last else parents_mode)
    except BaseException:
        os.close(fd)
        raise
    return fd, created


def _make(name: str, mode: int, dir_fd: int) -> bool:
    try:
        os.mkdir(name, mode, dir_fd=dir_fd)
    except FileExistsError:
        return False
    return True


def _not_made(path: str, above: list[str], error: OSError) -> errors.UnsafePath:
    parent = "/" + "/".join(above)
    why = f"nothing can be made in {parent}: {errors.describe_os_error(error)}"
    return errors.UnsafePath(
        f"directory {path}",
        why,
        f"mount a tmpfs or volume of uid {os.geteuid()} at {parent} (podman: --tmpfs {parent}:U)",
    )


def _refusal(path: str, component: str) -> errors.UnsafePath:
    if os.path.islink(component):
        why = f"{component} is a symlink to {os.readlink(component)}, and links are not followed"
        return errors.UnsafePath(f"directory {path}", why, f"name the real path, {os.path.realpath(path)}")
    return errors.UnsafePath(f"directory {path}", f"{component} is not a directory", "remove it or name another path")
