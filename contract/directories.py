"""Creating directories and opening them without ever following a symlink.

Rules
-----
* A path is absolute, normal (no ``.``, ``..`` or empty component) and resolved from ``/`` without a symlink: a planted
  link ends it instead of redirecting it.
* The kernel resolves a directory that exists in one call, openat2(2) with RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS and
  RESOLVE_NO_MAGICLINKS, in a process that has loaded ctypes; loading it for this alone costs as much as 200 walks.
  Otherwise, and for all that is to be made or refused, the path is walked one component at a time with O_NOFOLLOW; that
  is as safe.
* What a caller does next, it does through the returned descriptor: the checked directory and the used
  directory are the same one.
"""

import errno
import functools
import os
import sys
import typing

from contract import errors

if typing.TYPE_CHECKING:
    import ctypes

OPEN_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PASS_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""For a directory on the way, which must be searched and need not be read."""

_OPENAT2 = 437  # on every architecture (include/uapi/asm-generic/unistd.h)
_NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 0x02, 0x04, 0x08
_HOW = (OPEN_FLAGS, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS)
_absent: list[int] = []
"""The error that showed that this kernel, or its seccomp filter, has no openat2."""


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
    root = os.open("/", OPEN_FLAGS)
    try:
        resolved = resolve_beneath(root, "/".join(parts)) if "ctypes" in sys.modules else None
    except BaseException:
        os.close(root)
        raise
    if resolved is not None:
        os.close(root)
        return resolved, False
    return _walk(root, path, parts, parents_mode if create else None, mode)


def locate(path: str) -> int:
    """Return a descriptor of the directory ``path`` that only names it (O_PATH), so that it need not be readable.

    The caller closes it. Raises UnsafePath when a component is a symlink or not a directory, OSError otherwise.
    """
    parts = components(path)
    return _walk(os.open("/", _PASS_FLAGS), path, parts, None, 0, flags=_PASS_FLAGS)[0]


def resolve_beneath(dir_fd: int, path: str) -> int | None:
    """Open the directory ``path`` beneath ``dir_fd`` by openat2(2); None when that fails, and the walk is to say why."""
    if _absent:
        return None
    import ctypes

    how = (ctypes.c_uint64 * len(_HOW))(*_HOW)
    name = ctypes.c_char_p(os.fsencode(path))
    size = ctypes.c_size_t(ctypes.sizeof(how))
    fd: int = _libc().syscall(ctypes.c_long(_OPENAT2), ctypes.c_long(dir_fd), name, ctypes.byref(how), size)
    if fd >= 0:
        return fd
    if ctypes.get_errno() in {errno.ENOSYS, errno.EPERM}:
        _absent.append(ctypes.get_errno())
    return None


@functools.cache
def _libc() -> "ctypes.CDLL":
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    return library


def _walk(
    fd: int, path: str, parts: list[str], parents_mode: int | None, mode: int, *, flags: int = OPEN_FLAGS
) -> tuple[int, bool]:
    """Open ``path`` one component at a time from ``fd``, which is closed; ``parents_mode`` None makes nothing."""
    created = False
    try:
        for index, part in enumerate(parts):
            is_last = index == len(parts) - 1
            wanted = mode if is_last else parents_mode
            try:
                created = parents_mode is not None and wanted is not None and _make(part, wanted, fd)
            except OSError as error:
                raise _not_made(path, parts[:index], error) from error
            try:
                below = os.open(part, flags if is_last or created else _PASS_FLAGS, dir_fd=fd)
            except OSError as error:
                component = "/" + "/".join(parts[: index + 1])
                if error.errno in {errno.ELOOP, errno.ENOTDIR}:
                    raise _refusal(path, component) from error
                error.filename = component
                raise
            os.close(fd)
            fd = below
            if created and wanted is not None:
                os.fchmod(fd, wanted)
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
    try:
        why = f"{component} is a symlink to {os.readlink(component)}, and links are not followed"
        remedy = f"name the real path, {os.path.realpath(path)}"
    except OSError:  # it is no symlink, or not any more
        why, remedy = f"{component} is not a directory", "remove it or name another path"
    return errors.UnsafePath(f"directory {path}", why, remedy)
