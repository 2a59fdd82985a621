"""Removing what an earlier boot left, whatever it is: for a directory to be made, or a file to be written, anew.

Rules
-----
* A file, link, socket or FIFO is unlinked and never followed. A directory of ours is emptied, however deep and whatever the
  modes and owners in it, and removed; one that is somebody else's is refused.
* What is mounted there is somebody's: a mount in the cleared place's tree ends the clearing before anything in it is
  touched. The cleared directory itself may be a mount, made for it by whoever runs the container: it is emptied and stays.
* An error names the path and what the kernel said of it.
"""

import contextlib
import errno
import os
import stat

from contract import directories, errors

_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def clear(parent_fd: int, name: str) -> bool:
    """Remove ``name`` from the directory ``parent_fd``; say whether something stood there.

    An empty directory may stay, where it is a mount. Raises UnsafePath when something else cannot be removed.
    """
    try:
        return _clear(parent_fd, name)
    except OSError as error:
        why = f"it was left there and cannot be removed: {errors.describe_os_error(error)}"
        raise errors.UnsafePath(_path(parent_fd, name), why, "remove it") from error


def clear_path(path: str) -> bool:
    """Remove ``path`` as ``clear`` does; its directory is opened without following a link. Raises UnsafePath or OSError."""
    folder, name = os.path.split(path)
    try:
        parent_fd, _ = directories.open_confined(folder)
    except FileNotFoundError:
        return False
    try:
        return clear(parent_fd, name)
    finally:
        os.close(parent_fd)


def claim(parent_fd: int, name: str) -> int:
    """Open the directory ``name`` as ours, 0700: a umask, an earlier boot or a program may have made it otherwise."""
    handle = os.open(name, _HANDLE, dir_fd=parent_fd)
    try:
        path = f"/proc/self/fd/{handle}"  # a handle opened by O_PATH takes neither fchown(2) nor fchmod(2)
        status = os.fstat(handle)
        if status.st_uid != os.geteuid():
            os.chown(path, os.geteuid(), os.getegid())
        if stat.S_IMODE(status.st_mode) != 0o700:
            os.chmod(path, 0o700)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)


def _clear(parent_fd: int, name: str) -> bool:
    try:
        os.unlink(name, dir_fd=parent_fd)
    except FileNotFoundError:
        return False
    except IsADirectoryError:
        _remove_directory(parent_fd, name)
    return True


def _remove_directory(parent_fd: int, name: str) -> None:
    owner = os.stat(name, dir_fd=parent_fd, follow_symlinks=False).st_uid
    if owner != os.geteuid():
        why = f"it is owned by uid {owner} and this process is uid {os.geteuid()}"
        raise errors.UnsafePath(f"directory {_path(parent_fd, name)}", why, "give it to this user, or remove it")
    fd = claim(parent_fd, name)
    try:
        _empty(fd)
    finally:
        os.close(fd)
    try:
        os.rmdir(name, dir_fd=parent_fd)
    except OSError as error:
        if error.errno != errno.EBUSY:  # rmdir(2): it is a mount point
            raise


def _empty(fd: int) -> None:
    """Remove all that is in the directory ``fd``.

    A directory found in another is first moved up to ``fd``: however deep they were made, no descriptor and no recursion is
    needed for each level. Nothing that is a mount can be moved (EBUSY, rename(2)).
    """
    waiting = os.listdir(fd)
    while waiting:
        name = waiting.pop()
        if _unlink(fd, name):
            continue
        name = _move(fd, name, fd)
        below = claim(fd, name)
        try:
            for inner in os.listdir(below):
                if not _unlink(below, inner):
                    os.close(claim(below, inner))  # a directory that moves to another one is written to itself
                    waiting.append(_move(below, inner, fd))
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=fd)


def _unlink(fd: int, name: str) -> bool:
    """Remove ``name`` unless it is a directory; say whether nothing stands there any more."""
    try:
        os.unlink(name, dir_fd=fd)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    return True


def _move(source_fd: int, name: str, target_fd: int) -> str:
    """Give the directory ``name`` a new name in ``target_fd`` and return that."""
    moved = f".moved.{os.urandom(6).hex()}"
    os.rename(name, moved, src_dir_fd=source_fd, dst_dir_fd=target_fd)
    return moved


def _path(parent_fd: int, name: str) -> str:
    with contextlib.suppress(OSError):
        return f"{os.readlink(f'/proc/self/fd/{parent_fd}')}/{name}"
    return name
