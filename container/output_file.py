"""A file that a person named for a command's output."""

import os
import stat

from contract import errors, files

_MODE = 0o644


def write(path: str, data: bytes) -> None:
    """Put ``data`` in place of the file ``path``, or make it; raises BootsealError, OSError.

    What is no file stays: a device or a link such as /dev/stdout would be replaced for the whole machine.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        mode = stat.S_IFREG
    if not stat.S_ISREG(mode):
        raise errors.UnsafePath(f"file {path}", "it is not a regular file", "name one, or redirect the standard output")
    try:
        files.write_atomically(os.path.abspath(path), data, _MODE)
    except FileNotFoundError as error:
        raise errors.BootsealError(
            f"file {path}", "its directory is not there", "make it, or name another file"
        ) from error
