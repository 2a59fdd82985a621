"""bootseal's own wheel and the wheels it depends on, for an image.

Rules
-----
* The bootseal that builds an image is the one that goes into it: from a checkout its wheel is built, from an installation it is put
  together again of the files that were installed, each compared with its digest in RECORD.
* The same files give the same wheel, byte for byte: one that was put together again is the one that was installed, and an index that
  has it knows it by its digest.
* The other wheels are those of ``requirements.txt``, each by its SHA-256, for the image's machine and not for this one.
* All are kept in the cache, by the digest of what they were made from.
"""

import base64
import csv
import hashlib
import importlib.metadata
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
import zipfile

from container import application
from contract import errors

HERE = os.path.dirname(os.path.abspath(__file__))
REQUIREMENTS = os.path.join(HERE, "requirements.txt")
_NAME = "bootseal"
_EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The first time that a zip archive can hold."""
_OF_INSTALLERS = {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}


class NoProduct(errors.BootsealError):
    """The wheels that an image needs cannot be had."""


def python_version() -> str:
    """Return the Python that the wheels are locked for: ``3.11``."""
    with open(REQUIREMENTS, encoding="utf-8") as file:
        found = re.search(r"Python (\d+\.\d+) ", file.readline())
    if found is None:
        raise NoProduct(REQUIREMENTS, "its first line names no Python", "run container/wheels lock")
    return found[1]


def checkout() -> str | None:
    """Return the directory of the checkout that this runs from, or None where it is installed."""
    top = os.path.dirname(HERE)
    return top if os.path.exists(os.path.join(top, "setup.cfg")) else None


def cache() -> str:
    """Return the directory that is kept from build to build, made where it is missing."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    directory = os.path.join(base, _NAME)
    os.makedirs(directory, exist_ok=True)
    return directory


class Product:
    """What an image gets of bootseal; ``workspace`` is a directory of the caller's for what is made on the way."""

    def __init__(self, workspace: str) -> None:
        self._sources = os.path.join(workspace, "sources")
        if checkout():
            _script("sources", self._sources)
            self.key = application.digest(self._sources)[:12]
        else:
            self.key = hashlib.sha256(_record(_installed()).encode()).hexdigest()[:12]

    def wheel(self) -> str:
        """Return the path of bootseal's wheel; raises NoProduct."""
        directory = os.path.join(cache(), f"product-{self.key}")
        if not os.path.isdir(directory):
            partial = _empty(f"{directory}.partial")
            if checkout():
                _script("product", partial, self._sources)
            else:
                repack(_installed(), partial)
            _forget_others(directory)
            os.rename(partial, directory)
        [name] = os.listdir(directory)
        return os.path.join(directory, name)


def locked_wheels(machine: str) -> str:
    """Return a directory that holds exactly the wheels of requirements.txt for ``machine``; raises NoProduct."""
    with open(REQUIREMENTS, "rb") as file:
        key = hashlib.file_digest(file, "sha256").hexdigest()[:12]
    directory = os.path.join(cache(), f"wheels-{machine}-{key}")
    if not os.path.isdir(directory):
        print("image: downloading wheels", file=sys.stderr)
        partial = _empty(f"{directory}.partial")
        _script("fetch", partial, machine)
        os.rename(partial, directory)
    return directory


def requirement(wheel: str) -> str:
    """Return what names the file ``wheel`` for pip: its version and its SHA-256."""
    name, version = os.path.basename(wheel).split("-")[:2]
    with open(wheel, "rb") as file:
        return f"{name}=={version} --hash=sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}\n"


def requirements() -> str:
    """Return what bootseal depends on, as pip reads it: requirements.txt without the installer."""
    with open(REQUIREMENTS, encoding="utf-8") as file:
        return re.sub(r"^pip==.*\n(?: .*\n)*", "", file.read(), flags=re.MULTILINE)


def repack(distribution: importlib.metadata.Distribution, directory: str) -> str:
    """Write the wheel that ``distribution`` was installed from into ``directory`` and return its path; raises NoProduct."""
    path = os.path.join(directory, f"{distribution.metadata['Name']}-{distribution.version}-py3-none-any.whl")
    found = []
    for file in _files(distribution):
        full = str(file.locate())
        with open(full, "rb") as opened:
            data = opened.read()
        if file.hash is not None and _digest(data) != file.hash.value:
            raise NoProduct(full, "it is not as it was installed", "install bootseal again")
        found.append((str(file), data, os.access(full, os.X_OK)))
    _write(path, found)
    return path


def normalise(path: str) -> None:
    """Write the wheel ``path`` again, as `repack` makes it of what it installs."""
    with zipfile.ZipFile(path) as wheel:
        entries = [entry for entry in wheel.infolist() if not entry.is_dir() and not entry.filename.endswith("/RECORD")]
        found = [(entry.filename, wheel.read(entry), bool(entry.external_attr >> 16 & 0o100)) for entry in entries]
    _write(path, found)


def _write(path: str, files: list[tuple[str, bytes, bool]]) -> None:
    """Write the wheel ``path`` of ``files``: the name, the content, and whether it is executable."""
    record = "-".join(os.path.basename(path).split("-")[:2]) + ".dist-info/RECORD"
    rows = [(name, f"sha256={_digest(data)}", str(len(data))) for name, data, _ in sorted(files)]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as wheel:
        for name, data, executable in [*sorted(files), (record, _csv([*rows, (record, "", "")]).encode(), False)]:
            entry = zipfile.ZipInfo(name, _EARLIEST)
            entry.create_system = 3  # Unix, wherever it is made: the upper half of external_attr is a mode
            entry.external_attr = (0o100755 if executable else 0o100644) << 16
            wheel.writestr(entry, data)


def _files(distribution: importlib.metadata.Distribution) -> list[importlib.metadata.PackagePath]:
    """Return what came out of the wheel: not what an installer wrote beside it, and nothing outside of its directory."""
    found = [
        file
        for file in distribution.files or ()
        if ".." not in file.parts and "__pycache__" not in file.parts and not file.is_absolute()
        if not (file.parent.suffix == ".dist-info" and file.name in _OF_INSTALLERS)
    ]
    if not any(file.name == "WHEEL" for file in found):
        raise NoProduct("bootseal", "it was not installed from a wheel", "install it with pip, or use a checkout")
    return found


def _installed() -> importlib.metadata.Distribution:
    try:
        return importlib.metadata.distribution(_NAME)
    except importlib.metadata.PackageNotFoundError as error:
        raise NoProduct("bootseal", "it is not installed", "install it with pip, or use a checkout") from error


def _record(distribution: importlib.metadata.Distribution) -> str:
    return _csv(sorted((str(file), file.hash.value if file.hash else "", "") for file in _files(distribution)))


def _csv(rows: list[tuple[str, str, str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


def _digest(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()


def _script(*words: str) -> None:
    """Run ``container/wheels`` with a Python that has pip: this one, else the one that it finds itself."""
    known = {"PYTHON": sys.executable} if importlib.util.find_spec("pip") else {}
    done = subprocess.run(["bash", os.path.join(HERE, "wheels"), *words], env={**known, **os.environ}, check=False)
    if done.returncode:
        raise NoProduct(f"container/wheels {words[0]}", f"it exited {done.returncode}", "its words are above")


def _empty(directory: str) -> str:
    shutil.rmtree(directory, ignore_errors=True)
    os.makedirs(directory)
    return directory


def _forget_others(directory: str) -> None:
    above = os.path.dirname(directory)
    for name in os.listdir(above):
        if name.startswith("product-") and not name.endswith(".partial"):
            shutil.rmtree(os.path.join(above, name), ignore_errors=True)


if __name__ == "__main__":  # container/wheels product
    normalise(sys.argv[1])
