"""What an image holds, read from its file system as a tar archive: nothing of the image runs.

Rules
-----
* Only named files are read, each at most `LIMIT` bytes and all of them `LIMIT_OF_ALL`, and a link is never followed: an archive
  says what it likes.
* Debian's packages are those that dpkg has as installed (``/var/lib/dpkg/status``, deb822(5); ``status.d`` in images that have no
  dpkg).
* A Python distribution is a ``.dist-info`` with METADATA; what its wheel was is told by ``direct_url.json`` (PEP 610), which pip
  writes for each wheel that it was given as a file.
"""

import dataclasses
import email.parser
import json
import posixpath
import re
import tarfile
from collections.abc import Iterator, Mapping
from typing import IO

from contract import errors
from manifest import plan

LIMIT, LIMIT_OF_ALL = 64 * 1024 * 1024, 256 * 1024 * 1024
PLAN, LOCK = (f"{plan.PREFIX}/etc/{name}" for name in (plan.PLAN_FILE, plan.LOCK_FILE))
_RELEASES = ("/etc/os-release", "/usr/lib/os-release")
_STATUS, _STATUSES = "/var/lib/dpkg/status", "/var/lib/dpkg/status.d/"
_METADATA, _ORIGIN = "METADATA", "direct_url.json"
_DISTRIBUTION = re.compile(rf"(?P<directory>/.+\.dist-info)/(?:{_METADATA}|{re.escape(_ORIGIN)})")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class UnreadableImage(errors.BootsealError):
    """An image's files are not what they must be."""


@dataclasses.dataclass(frozen=True, order=True)
class DebianPackage:
    """A package that dpkg installed; ``source`` is the name of what it was built from."""

    name: str
    version: str
    architecture: str
    source: str


@dataclasses.dataclass(frozen=True, order=True)
class Distribution:
    """A Python distribution in the directory ``path``; ``sha256`` is its wheel's, "" where that is not known."""

    name: str
    version: str
    path: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Contents:
    """What was found; ``plan`` and ``lock`` are the files' bytes, None without one. ``release`` is os-release(5).

    ``nameless`` are the directories of distributions that do not say what they are.
    """

    plan: bytes | None
    lock: bytes | None
    release: dict[str, str]
    packages: tuple[DebianPackage, ...]
    distributions: tuple[Distribution, ...]
    nameless: tuple[str, ...] = ()


def look(archive: IO[bytes]) -> Contents:
    """Return what lies in ``archive``, which is read once from its beginning; raises UnreadableImage."""
    files: dict[str, bytes] = {}
    left = LIMIT_OF_ALL
    try:
        with tarfile.open(fileobj=archive, mode="r|") as members:
            for member in members:
                members.members.clear()  # type: ignore[attr-defined]  # it keeps each that it has read, and images have millions
                path = posixpath.normpath(f"/{member.name}")
                if member.isreg() and is_wanted(path):
                    left -= member.size
                    if left < 0:
                        why = f"what tells its packages has more than {LIMIT_OF_ALL} bytes"
                        raise UnreadableImage("image", why, "what is it?")
                    files[path] = _content(members, member, path)
    except (tarfile.TarError, EOFError) as error:
        raise UnreadableImage("image", f"its archive cannot be read: {error}", "build it again") from error
    return judge(files)


def is_wanted(path: str) -> bool:
    """Say whether the file ``path`` is one that `judge` reads."""
    if path in {PLAN, LOCK, _STATUS, *_RELEASES} or _DISTRIBUTION.fullmatch(path):
        return True
    return path.startswith(_STATUSES) and not path.endswith(".md5sums")


def _content(members: tarfile.TarFile, member: tarfile.TarInfo, path: str) -> bytes:
    if member.size > LIMIT:
        raise UnreadableImage(f"{path} in the image", f"it has more than {LIMIT} bytes", "what is it?")
    opened = members.extractfile(member)
    return b"" if opened is None else opened.read()


def judge(files: Mapping[str, bytes]) -> Contents:
    """Return what the ``files``, by their paths, say; raises UnreadableImage."""
    release = next((files[path] for path in _RELEASES if path in files), b"")
    statuses = [files[path] for path in sorted(files) if path == _STATUS or path.startswith(_STATUSES)]
    found = tuple(_distributions(files))
    return Contents(
        plan=files.get(PLAN),
        lock=files.get(LOCK),
        release=dict(_assignments(release.decode("utf-8", "replace"))),
        packages=tuple(sorted({package for status in statuses for package in _packages(status)})),
        distributions=tuple(sorted(one for one in found if isinstance(one, Distribution))),
        nameless=tuple(sorted(one for one in found if isinstance(one, str))),
    )


def _assignments(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        name, separator, value = line.partition("=")
        if separator and not name.startswith("#"):
            yield name, value.strip("\"'")


def _packages(status: bytes) -> Iterator[DebianPackage]:
    for stanza in re.split(r"\n\s*\n", status.decode("utf-8", "replace")):
        fields: dict[str, str] = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.*)$", stanza, re.MULTILINE))
        if not {"Package", "Version", "Architecture"} <= fields.keys():
            continue
        if fields.get("Status", "install ok installed").split()[-1] == "installed":
            source = (fields.get("Source") or fields["Package"]).split()[0]
            yield DebianPackage(fields["Package"], fields["Version"], fields["Architecture"], source)


def _distributions(files: Mapping[str, bytes]) -> Iterator[Distribution | str]:
    """Yield each distribution, or its directory where that does not say what it is."""
    for path, data in files.items():
        found = _DISTRIBUTION.fullmatch(path)
        if found is None or not path.endswith(_METADATA):
            continue
        fields = email.parser.BytesHeaderParser().parsebytes(data)
        name, version, directory = fields.get("Name"), fields.get("Version"), found["directory"]
        if not name or not version:
            yield directory
            continue
        yield Distribution(str(name), str(version), directory, _wheel(files.get(f"{directory}/{_ORIGIN}"), directory))


def _wheel(data: bytes | None, directory: str) -> str:
    """Return the SHA-256 of the wheel that the direct_url.json ``data`` names, or ""."""
    if data is None:
        return ""
    try:
        archive = json.loads(data).get("archive_info") or {}
        older = str(archive.get("hash", "")).removeprefix("sha256=")
        digest = str((archive.get("hashes") or {}).get("sha256", older))
    except (ValueError, AttributeError) as error:
        raise UnreadableImage(f"{directory}/{_ORIGIN} in the image", "it is not JSON as pip writes it") from error
    return digest if _SHA256.fullmatch(digest) else ""
