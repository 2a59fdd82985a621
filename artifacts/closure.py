"""An artifact's closure: every path it needs, and the one digest that stands for all of them. Standard library only.

Rules
-----
* A path is normal: it begins with ``/``, or with ``./`` and then counts from the manifest's directory (which itself is
  ``.``); it has no empty, ``.`` or ``..`` component, no final slash and no NUL. Bytes that are no UTF-8 stand in it as
  Python's ``surrogateescape`` has them.
* No component of a path is a symlink, but perhaps the last: each symlink on the way to anything is an entry of its own.
* A directory's entry says that its listing is complete: any other name found in it is extra. What lies outside of such a
  directory (an interpreter, a library, a symlink on the way) is an entry without its directory.
* Entries are in the order of their paths' bytes, and no path stands twice.
* The root digest is SHA-256 over ``bootseal.closure/1`` and NUL, and then for each entry, every field followed by one NUL::

      f MODE SIZE SHA256 PATH     a regular file; its content's SHA-256 in lower-case hexadecimal
      d MODE PATH                 a directory
      l TARGET PATH               a symlink; TARGET byte for byte as readlink(2) has it

  MODE is the permission bits with setuid, setgid and sticky in octal, SIZE the bytes in decimal, both without leading
  zeros; PATH and TARGET are the raw bytes. NUL is in no path, so no two closures give the same bytes.
"""

import hashlib
import itertools
import posixpath
from collections.abc import Iterable
from typing import NamedTuple

from contract import records

FILE, DIRECTORY, LINK = "f", "d", "l"
TYPES = (FILE, DIRECTORY, LINK)

_DOMAIN = b"bootseal.closure/1\0"
_BATCH = 1000


class Entry(NamedTuple):
    """One path of a closure. ``type`` is one of TYPES; a field that the type has not is 0 or "".

    Make it with `file`, `directory` or `link`. A tuple and no dataclass: there are 50,000 of them, and boot waits.
    """

    path: str
    type: str
    mode: int
    size: int
    sha256: str
    target: str


@records.dataclass(frozen=True)
class Closure:
    """The artifact ``id`` as it was locked; ``kind`` is one of provisions.ARTIFACT_KINDS, ``sha256`` the root digest."""

    id: str
    kind: str
    path: str
    entries: tuple[Entry, ...]
    sha256: str


@records.dataclass(frozen=True)
class Lock:
    """The closures of a ``closures.lock``, in the order of their ids."""

    closures: tuple[Closure, ...]

    def closure(self, artifact: str) -> Closure | None:
        """Return the closure of the artifact with the id ``artifact``, or None."""
        return next((closure for closure in self.closures if closure.id == artifact), None)


def file(path: str, mode: int, size: int, sha256: str) -> Entry:
    """Return the entry of a regular file; ``mode`` has its permission bits only, ``sha256`` is hexadecimal."""
    return Entry(path, FILE, mode, size, sha256, "")


def directory(path: str, mode: int) -> Entry:
    """Return the entry of a directory whose listing is complete."""
    return Entry(path, DIRECTORY, mode, 0, "", "")


def link(path: str, target: str) -> Entry:
    """Return the entry of a symlink; ``target`` is what readlink says."""
    return Entry(path, LINK, 0, 0, "", target)


def make(artifact: str, kind: str, path: str, entries: Iterable[Entry]) -> Closure:
    """Return the closure of ``entries`` in any order, equal ones counted once; raises ValueError when two differ on a path."""
    ordered = sorted(set(entries), key=lambda entry: as_bytes(entry.path))
    for before, after in itertools.pairwise(ordered):
        if before.path == after.path:
            raise ValueError(f"two entries for {before.path}")
    return Closure(artifact, kind, path, tuple(ordered), root_digest(ordered))


def root_digest(entries: Iterable[Entry]) -> str:
    """Return the root digest of ``entries``, which are in order, in hexadecimal."""
    digest = hashlib.sha256(_DOMAIN)
    batch: list[str] = []
    for path, type_, mode, size, sha256, target in entries:
        if type_ == FILE:
            batch.append(f"f\0{mode:o}\0{size}\0{sha256}\0{path}\0")
        elif type_ == DIRECTORY:
            batch.append(f"d\0{mode:o}\0{path}\0")
        else:
            batch.append(f"l\0{target}\0{path}\0")
        if len(batch) == _BATCH:
            digest.update(as_bytes("".join(batch)))
            batch.clear()
    digest.update(as_bytes("".join(batch)))
    return digest.hexdigest()


def as_bytes(path: str) -> bytes:
    """Return the bytes of a path or a target; raises UnicodeEncodeError when it is none."""
    return path.encode("utf-8", "surrogateescape")


def is_normal(path: str) -> bool:
    """Return whether ``path`` is written as a closure's paths are."""
    if path == ".":
        return True
    if not path.startswith(("/", "./")) or "\0" in path:
        return False
    return all(part not in {"", ".", ".."} for part in path.split("/")[1:])


def absolute(path: str, here: str) -> str:
    """Return where a closure's ``path`` lies, when the manifest is in the directory ``here``."""
    if path.startswith("/"):
        return path
    return here if path == "." else posixpath.join(here, path[2:])


def recorded(path: str, here: str) -> str:
    """Return how a closure writes the absolute, normal ``path``: beneath ``here`` it counts from there."""
    if path == here:
        return "."
    prefix = here.rstrip("/") + "/"
    return "./" + path[len(prefix) :] if path.startswith(prefix) else path
