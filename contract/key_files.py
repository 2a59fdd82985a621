"""Files that hold a private key: those we keep, and those we are given.

Rules
-----
* A key that we keep is this user's alone (mode 0600), no symlink, and written once: O_EXCL, fsync, then linked into its place,
  so that of two containers with one store the first wins and the other finds its key.
* A key that we are given may be root's, and readable by others, as container engines mount secrets; it may be a symlink, as
  Kubernetes makes them. But nobody else here may replace it: it lies on a read-only file system, or it is root's or this
  user's and neither group nor others can write it. The directories that lead there are the image's, or the runner's mounts.
* Every check is made on the opened file. Reading never blocks on a FIFO, and is bounded.
"""

import contextlib
import errno
import os
import stat

from contract import directories, errors, files, rundir

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_LIMIT = 4096
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def read_kept(path: str) -> bytes:
    """Return the bytes of the key file ``path`` of our own.

    Raises FileNotFoundError when there is none, OSError, and UnsafePath when somebody else could read or replace it.
    """
    fd = os.open(path, _FLAGS | os.O_NOFOLLOW)
    try:
        status = os.fstat(fd)
        if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            why = (
                f"uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}: somebody else could read or replace it"
            )
            raise errors.UnsafePath(f"key {path}", why, "make it this user's, mode 0600, or replace the key")
        return _read(fd, path, status)
    finally:
        os.close(fd)


def read_given(path: str) -> bytes:
    """Return the bytes of the key file ``path`` that we are given; raises OSError, and UnsafePath when others could replace it."""
    fd = os.open(path, _FLAGS)
    try:
        status = os.fstat(fd)
        if not os.fstatvfs(fd).f_flag & os.ST_RDONLY:
            _judge_writers(path, status)
        return _read(fd, path, status)
    finally:
        os.close(fd)


def _judge_writers(path: str, status: os.stat_result) -> None:
    is_writable = status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not is_writable and status.st_uid in {0, os.geteuid()}:
        return
    why = f"uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}: somebody else could replace it"
    raise errors.UnsafePath(
        f"key {path}", why, "mount it read-only, or make it this user's or root's and chmod go-w it"
    )


def _read(fd: int, path: str, status: os.stat_result) -> bytes:
    if not stat.S_ISREG(status.st_mode):
        raise errors.UnsafePath(f"key {path}", "it is not a regular file", "put a regular file there")
    data = b""
    while chunk := os.read(fd, _LIMIT + 1 - len(data)):
        data += chunk
        if len(data) > _LIMIT:
            raise errors.UnsafePath(f"key {path}", f"it holds more than {_LIMIT} bytes", "put a key there")
    return data


def read_or_keep(folder: str, name: str, fresh: bytes) -> bytes:
    """Return the bytes of the key file ``name`` of our own directory ``folder``; where there is none, ``fresh``, now kept.

    Missing directories are made, ``folder`` with mode 0700. Raises UnsafePath, or OSError.
    """
    fd, _ = directories.open_confined(folder, create=True, mode=0o700)
    try:
        rundir.judge_ownership(f"key directory {folder}", os.fstat(fd), os.geteuid())
        if name in os.listdir(fd):
            return read_kept(f"{folder}/{name}")
        try:
            _keep(name, fresh, fd)
        except FileExistsError:  # another container with the same store came first
            return read_kept(f"{folder}/{name}")
        return fresh
    finally:
        os.close(fd)


def _keep(name: str, data: bytes, dir_fd: int) -> None:
    """Write the new key file ``name`` of the directory ``dir_fd``; raises FileExistsError, UnsafePath or OSError."""
    temporary = f".{name}.{os.getpid()}.{os.urandom(6).hex()}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(temporary, flags, 0o600, dir_fd=dir_fd)  # inside: a stop may come as it returns
        try:
            os.fchmod(fd, 0o600)
            files.write_all(fd, data)
            os.fsync(fd)
        finally:
            os.close(fd)
        _link(temporary, name, dir_fd)
    finally:
        with contextlib.suppress(OSError):  # where none could be made, none can be removed
            os.unlink(temporary, dir_fd=dir_fd)
    os.fsync(dir_fd)


def _link(temporary: str, name: str, dir_fd: int) -> None:
    try:
        os.link(temporary, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        why = f"its file system makes no hard link: {errors.describe_os_error(error)}"
        raise errors.UnsafePath(f"key {name}", why, "keep keys on a local file system") from error
