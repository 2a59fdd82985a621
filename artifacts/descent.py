"""Going down to directories without ever following a symlink. Standard library only.

Rules
-----
* Each component of a path is opened by itself, beneath the descriptor of the one above it (O_PATH, O_NOFOLLOW, O_DIRECTORY):
  a symlink in the place of any directory is seen, and nothing that is swapped in later changes what was opened.
* Two places are taken as they are: ``/``, and the manifest's directory, which the plan itself was read from.
* The directories of the last path stay open, so that going through a tree in order opens each about once.
"""

import os
import stat

from contract import errors

_FLAGS = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC


class Unreachable(Exception):
    """A directory on the way is none; ``why`` says which, and what is there; ``is_absent``: there is no such directory."""

    def __init__(self, why: str, *, is_absent: bool) -> None:
        self.why = why
        self.is_absent = is_absent
        super().__init__(why)


class Descent:
    """The way to one directory at a time; whoever makes it closes it."""

    def __init__(self, here: str) -> None:
        self._here = here
        self._path: str | None = None
        self._names: list[str] = []
        self._fds: list[int] = []

    def close(self) -> None:
        """Close every descriptor."""
        self._keep(0)

    def parent(self, path: str) -> tuple[int, str]:
        """Return a descriptor of the directory that a closure's ``path`` lies in, and its last component; raises Unreachable.

        The descriptor is good until the next call.
        """
        if path == ".":
            return self._directory("."), "."
        folder, _, name = path.rpartition("/")
        return self._directory(folder), name

    def _directory(self, path: str) -> int:
        if path == self._path:
            return self._fds[-1]
        names = path.split("/")
        common = 0
        for old, new in zip(self._names, names, strict=False):
            if old != new:
                break
            common += 1
        self._keep(common)
        for name in names[common:]:
            self._open(name)
        self._path = path
        return self._fds[-1]

    def _open(self, name: str) -> None:
        try:
            if not self._fds:
                fd = os.open(self._here if name == "." else "/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
            else:
                fd = os.open(name, _FLAGS, dir_fd=self._fds[-1])
        except OSError as error:
            raise Unreachable(
                f"{'/'.join([*self._names, name])} {self._what_is(name, error)}",
                is_absent=isinstance(error, FileNotFoundError | NotADirectoryError),
            ) from error
        self._fds.append(fd)
        self._names.append(name)

    def _what_is(self, name: str, error: OSError) -> str:
        if self._fds and isinstance(error, NotADirectoryError):
            try:
                return (
                    f"is {kind_of(os.stat(name, dir_fd=self._fds[-1], follow_symlinks=False).st_mode)}, not a directory"
                )
            except OSError as later:
                error = later
        return f"cannot be entered: {errors.describe_os_error(error)}"

    def _keep(self, count: int) -> None:
        self._path = None
        while len(self._fds) > count:
            self._names.pop()
            os.close(self._fds.pop())


def kind_of(mode: int) -> str:
    """Return in words what a path with the st_mode ``mode`` is."""
    return _KINDS.get(stat.S_IFMT(mode), "something unknown")


_KINDS = {
    stat.S_IFREG: "a file", stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symlink", stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device",
}  # fmt: skip
