"""The one routine that writes files, and the one that reads files made by others.

Rules
-----
* A reader sees the whole old file or the whole new one: temporary file in the same directory
  (O_EXCL, O_NOFOLLOW), mode set on the descriptor, fsync, rename, fsync of the directory.
* A failed write leaves no temporary file and the old file as it was.
* Reading never follows a symlink in the last component, never blocks on a FIFO, and is bounded.
"""

import contextlib
import os
import stat

from contract import errors

_TEMPORARY_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_READ_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def write_atomically(path: str, data: bytes, mode: int, *, dir_fd: int | None = None) -> None:
    """Replace ``path`` by a file of ``data`` with permission bits ``mode``, durably.

    ``path`` is taken relative to ``dir_fd`` where that is given. Raises OSError; then nothing changed, except where the
    directory itself could not be synced: the new file stands, and might not survive the machine.
    """
    folder, name = os.path.split(path)
    if dir_fd is None:
        folder_fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        folder_fd = os.open(folder or ".", os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        temporary = f".{name[:80]}.{os.getpid()}.{os.urandom(6).hex()}"
        try:
            fd = os.open(temporary, _TEMPORARY_FLAGS, 0o600, dir_fd=folder_fd)  # inside: a stop may come as it returns
            try:
                os.fchmod(fd, mode)
                write_all(fd, data)
                os.fsync(fd)
            finally:
                os.close(fd)
            os.rename(temporary, name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except BaseException as error:
            with contextlib.suppress(OSError):  # where none could be made, none can be removed
                os.unlink(temporary, dir_fd=folder_fd)
            if isinstance(error, OSError) and error.filename is None:
                error.filename = path  # write(2) and fsync(2) know only a descriptor
            raise
        os.fsync(folder_fd)
    finally:
        os.close(folder_fd)


def write_all(fd: int, data: bytes) -> None:
    """Write every byte of ``data`` to ``fd``; a short write is continued."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def read_bounded(path: str, limit: int, *, dir_fd: int | None = None) -> bytes:
    """Return the bytes of the regular file ``path``, at most ``limit`` of them.

    Raises OSError when it cannot be opened (ELOOP: the last component is a symlink) and UnsafePath when
    it is not a regular file or holds more than ``limit`` bytes.
    """
    fd = os.open(path, _READ_FLAGS, dir_fd=dir_fd)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise errors.UnsafePath(f"file {path}", "it is not a regular file", "put a regular file there")
        if status.st_size > limit:
            raise errors.UnsafePath(f"file {path}", f"it has {status.st_size} bytes, more than the {limit} allowed")
        chunks = []
        left = limit + 1
        while left > 0 and (chunk := os.read(fd, left)):
            chunks.append(chunk)
            left -= len(chunk)
        if left <= 0:
            raise errors.UnsafePath(f"file {path}", f"it grew past the {limit} bytes allowed while it was read")
        return b"".join(chunks)
    finally:
        os.close(fd)
