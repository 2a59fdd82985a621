"""A Python distribution: what its ``RECORD`` names, and the directories that are its alone.

Rules
-----
* RECORD is a CSV file of path, digest and size; paths count from the directory that the ``.dist-info`` lies in ("Recording
  installed projects" of the Python packaging specifications).
* Every file in it that is there belongs to the closure. One that differs from its digest in RECORD is a problem; so is a digest
  that proves nothing.
* A directory that no other distribution's RECORD has files in is its alone, and is listed whole, so that a file that was added
  shows. Two are nobody's: the directory that all are installed in, and the ``__pycache__`` of its modules.
"""

import base64
import binascii
import csv
import hashlib
import io
import os
import posixpath
from typing import NamedTuple

from artifacts import tree
from contract import errors, files

_LIMIT = 64 * 1024 * 1024
_AGAIN = "install the distribution again"
_ALGORITHMS = ("sha256", "sha384", "sha512")


class Row(NamedTuple):
    """A line of RECORD: a path, and the digest in the form ``ALGORITHM=BASE64``, or ""."""

    path: str
    digest: str


def expand(directory: str, survey: tree.Survey) -> None:
    """Note the distribution whose ``.dist-info`` has the real path ``directory``."""
    record = f"{directory}/RECORD"
    try:
        rows = read(record)
        others = _directories_of_others(directory)
    except errors.BootsealError as error:
        survey.problem(f"{error.what}: {error.why}", error.remedy)
        return
    site = os.path.dirname(directory)
    for row in rows:
        path = posixpath.normpath(posixpath.join(site, row.path))
        if os.path.lexists(path) and survey.file(path) and row.digest:
            _compare(path, row.digest, survey)
    for owned in owned_directories(rows, others):
        if os.path.isdir(f"{site}/{owned}"):
            survey.beneath(survey.reach(f"{site}/{owned}"))


def read(record: str) -> tuple[Row, ...]:
    """Return the lines of the file ``record``; raises BootsealError when it cannot be read or is no RECORD."""
    try:
        text = files.read_bounded(record, _LIMIT).decode("utf-8")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except OSError as error:
        raise errors.BootsealError(record, errors.describe_os_error(error), _AGAIN) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise errors.BootsealError(record, f"it is no CSV in UTF-8: {error}", _AGAIN) from error
    found = []
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) != 3 or not row[0] or "\0" in row[0]:
            raise errors.BootsealError(record, f"line {number} is not a path, a digest and a size", _AGAIN)
        found.append(Row(row[0], row[1]))
    return tuple(found)


def owned_directories(rows: tuple[Row, ...], others: frozenset[str]) -> tuple[str, ...]:
    """Return the topmost directories with files of ``rows`` that are none of ``others``, relative to where all is installed."""
    own = {folder for row in rows for folder in _parents(row.path)} - others - {"__pycache__"}
    return tuple(sorted(folder for folder in own if posixpath.dirname(folder) not in own))


def _parents(path: str) -> tuple[str, ...]:
    """Return the directories above the relative ``path``, as far as they lie where distributions are installed."""
    path = posixpath.normpath(path)
    if path.startswith(("/", "../")):
        return ()
    parts = path.split("/")[:-1]
    return tuple("/".join(parts[:count]) for count in range(1, len(parts) + 1))


def _directories_of_others(directory: str) -> frozenset[str]:
    site, own = os.path.split(directory)
    found: set[str] = set()
    for name in os.listdir(site):
        if name.endswith(".dist-info") and name != own and os.path.lexists(f"{site}/{name}/RECORD"):
            for row in read(f"{site}/{name}/RECORD"):
                found.update(_parents(row.path))
    return frozenset(found)


def _compare(path: str, digest: str, survey: tree.Survey) -> None:
    algorithm, _, value = digest.partition("=")
    if algorithm not in _ALGORITHMS:
        survey.problem(f"{path}: RECORD has a digest of the kind {algorithm!r}, which proves nothing", _AGAIN)
        return
    try:
        expected = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, algorithm).digest()
    except (binascii.Error, ValueError):
        survey.problem(f"{path}: its digest in RECORD is not base64", _AGAIN)
    except OSError as error:
        survey.unreadable(path, error)
    else:
        if found != expected:
            survey.problem(f"{path} is not what RECORD says: it was changed after it was installed", _AGAIN)
