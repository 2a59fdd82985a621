"""Who could change where a path leads? Asked before root reads a file for programs that are not trusted.

Rules
-----
* The path is walked as the kernel walks it, every symlink by itself. Whoever may write to a directory on the way can put something
  else there; in a sticky one he can replace what is his own.
* Trusted are root, this process's user, and what nobody can write: a read-only file system.
"""

import os
import stat

from contract import errors

_LINKS = 40
"""The kernel follows as many symlinks in one path (path_resolution(7))."""


def judge(what: str, path: str) -> None:
    """Raise UnsafePath, naming ``what``, when somebody else could change where the absolute ``path`` leads, or OSError."""
    waiting, folder, links = path.split("/")[:0:-1], "/", 0
    while waiting:
        name = waiting.pop()
        if name in {"", "."}:
            continue
        if name == "..":
            folder = os.path.dirname(folder)
            continue
        entry = os.path.join(folder, name)
        status = os.lstat(entry)
        _judge_entry(what, folder, entry, status)
        if not stat.S_ISLNK(status.st_mode):
            folder = entry
            continue
        links += 1
        if links > _LINKS:
            raise errors.UnsafePath(what, f"{entry} leads through more than {_LINKS} symlinks", "name the file itself")
        target = os.readlink(entry)
        waiting += target.split("/")[::-1]
        folder = "/" if target.startswith("/") else folder
    _judge_kind(what, folder)


def _judge_entry(what: str, folder: str, entry: str, status: os.stat_result) -> None:
    above = os.lstat(folder)
    trusted = {0, os.geteuid()}
    if os.statvfs(folder).f_flag & os.ST_RDONLY:
        return
    if above.st_uid not in trusted:
        who = f"{folder} belongs to uid {above.st_uid}"
    elif above.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not above.st_mode & stat.S_ISVTX:
        who = f"{folder} has mode {stat.S_IMODE(above.st_mode):04o}"
    elif status.st_uid not in trusted:
        who = f"{entry} belongs to uid {status.st_uid}"
    else:
        return
    raise errors.UnsafePath(
        what, f"{who}, so that a program could put another file there", "give it to root, or mount it read-only"
    )


def _judge_kind(what: str, path: str) -> None:
    """Refuse what the kernel makes up: /proc/self is another thing for each reader."""
    if path == "/proc" or path.startswith("/proc/"):
        raise errors.UnsafePath(what, f"it ends in {path}, which is no file of anybody's", "name a real file")
    status = os.lstat(path)
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not os.statvfs(path).f_flag & os.ST_RDONLY:
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise errors.UnsafePath(what, f"{path} has mode {mode}, so that a program could change it", "chmod go-w it")
