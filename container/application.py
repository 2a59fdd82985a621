"""The application that goes into an image: a copy of its folder, and the digest that stands for it.

Rules
-----
* What is built is a copy made first, and the digest is the copy's: edits meanwhile cannot make it lie.
* ``__pycache__``, ``.git`` and ``.env``, what begins with a dot at the top, and what is neither file, directory nor link is left out; what an ignore file
  (``.containerignore``, else ``.dockerignore``) names is as well: its plain paths by the copy, its patterns by the engine.
* Everybody may read the copy and only its owner may write, whatever umask the folder was made with.
* The digest is over paths, modes, link targets and contents. README.md and LICENSE do not run and are not in it.
"""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator

from contract import errors

IGNORE_FILES = (".containerignore", ".dockerignore")
OPEN, PLAIN = 0o755, 0o644
"""The modes of what everybody may enter or execute, and of what everybody may read."""
_UNREAD = {"README.md", "LICENSE"}
_LEFT_OUT = re.compile(r"__pycache__|\.git|\.env(\..+)?")
"""What belongs into no image, wherever it lies: what is made anew, a history, secrets of a developer's machine."""
_PATTERN = re.compile(r"[*?\[\]\\!]")


class UnreadableApplication(errors.BootsealError):
    """The application's folder cannot be copied."""


def copy(source: str, target: str) -> None:
    """Copy the application in the directory ``source`` to ``target``, which must not exist; raises UnreadableApplication."""
    top = os.path.abspath(source)
    ignored = plain_paths(ignore_lines(source))

    def left_out(directory: str, names: list[str]) -> set[str]:
        here = os.path.relpath(directory, top)
        paths = {name: os.path.normpath(os.path.join(here, name)) for name in names}
        return {
            name
            for name, path in paths.items()
            if _LEFT_OUT.fullmatch(name)
            or path in ignored
            or (here == "." and name.startswith("."))
            or not _can_be_copied(os.path.join(directory, name))
        }

    try:
        shutil.copytree(top, target, symlinks=True, ignore=left_out)
    except shutil.Error as error:
        path, _, why = error.args[0][0]
        raise UnreadableApplication(
            os.fsdecode(path), str(why), "put that right, or name it in .containerignore"
        ) from error
    except OSError as error:
        raise UnreadableApplication(
            source, errors.describe_os_error(error), "name a directory that can be read"
        ) from error
    make_readable(target)


def _can_be_copied(path: str) -> bool:
    mode = os.lstat(path).st_mode
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)


def make_readable(directory: str) -> None:
    """Give all below ``directory`` the modes 0755 and 0644; a file that its owner may execute gets 0755."""
    os.chmod(directory, OPEN)
    for here, directories, files in os.walk(directory):
        for name in (*directories, *files):
            path = os.path.join(here, name)
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                os.chmod(path, OPEN if stat.S_ISDIR(mode) or mode & stat.S_IXUSR else PLAIN)


def ignore_lines(directory: str) -> tuple[str, ...]:
    """Return the lines of the ignore file in ``directory`` that say something; none without one."""
    for name in IGNORE_FILES:
        try:
            with open(os.path.join(directory, name), encoding="utf-8", errors="surrogateescape") as file:
                return tuple(line.strip() for line in file if line.strip() and not line.startswith("#"))
        except FileNotFoundError:
            continue
    return ()


def plain_paths(lines: tuple[str, ...]) -> set[str]:
    """Return the paths that ``lines`` leave out for certain: without wildcards, and where no line takes another one back."""
    if any(line.startswith("!") for line in lines):
        return set()
    return {os.path.normpath(line.lstrip("/")) for line in lines if not _PATTERN.search(line) and line.strip("/")}


def below(lines: Iterable[str], directory: str) -> list[str]:
    """Return ``lines`` as they read in an ignore file above ``directory``: patterns begin at the top of their context."""
    marks = [("!", line[1:].strip()) if line.startswith("!") else ("", line) for line in lines]
    return [f"{mark}{directory}/{pattern.lstrip('/')}" for mark, pattern in marks]


def digest(directory: str) -> str:
    """Return the SHA-256 that stands for everything below ``directory``, in hexadecimal."""
    found = hashlib.sha256()
    for path in sorted(_paths(directory)):
        full = os.path.join(directory, path)
        mode = os.lstat(full).st_mode
        content = os.readlink(full) if stat.S_ISLNK(mode) else "" if stat.S_ISDIR(mode) else _sha256(full)
        found.update(os.fsencode(f"{stat.S_IFMT(mode):o} {stat.S_IMODE(mode):o} {content}\0{path}\0"))
    return found.hexdigest()


def _paths(directory: str) -> Iterator[str]:
    for here, directories, files in os.walk(directory):
        for name in (*directories, *(name for name in files if name not in _UNREAD)):
            yield os.path.relpath(os.path.join(here, name), directory)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
