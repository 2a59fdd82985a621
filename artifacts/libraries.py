"""Where a dynamic loader looks for a library: glibc's rules (ld.so(8)) and musl's (``ldso/dynlink.c``), as pure lists of places.

Rules
-----
* glibc: the RPATH of whoever needs it and of those that needed that one, which a RUNPATH of its own makes void; its RUNPATH; then,
  unless it was linked with ``-z nodefaultlib``, the directories of ``/etc/ld.so.conf``; then the system's.
* musl: RUNPATH, or else RPATH, of whoever needs it and of those that needed that one; then the directories of
  ``/etc/ld-musl-ARCH.path``, or ``/lib:/usr/local/lib:/usr/lib``.
* ``$ORIGIN`` is the directory of the file that says so. What ``$LIB`` and ``$PLATFORM`` are depends on the loader and the CPU: each
  that they may be is a place.
* ``LD_LIBRARY_PATH`` is the business of whoever sets it: it is not looked at.
"""

import dataclasses
import glob
import os
import re
from collections.abc import Iterator

from artifacts import elf
from contract import errors, files

_CONF = "/etc/ld.so.conf"
_CONF_LIMIT = 1024 * 1024
_CONF_DEPTH = 10
_MULTIARCH = {
    ("EM_X86_64", 64): ("x86_64-linux-gnu",),
    ("EM_X86_64", 32): ("x86_64-linux-gnux32",),
    ("EM_386", 32): ("i386-linux-gnu",),
    ("EM_AARCH64", 64): ("aarch64-linux-gnu",),
    ("EM_ARM", 32): ("arm-linux-gnueabihf", "arm-linux-gnueabi"),
    ("EM_PPC64", 64): ("powerpc64le-linux-gnu", "powerpc64-linux-gnu"),
    ("EM_S390", 64): ("s390x-linux-gnu",),
    ("EM_RISCV", 64): ("riscv64-linux-gnu",),
    ("EM_LOONGARCH", 64): ("loongarch64-linux-gnu",),
    ("EM_MIPS", 64): ("mips64el-linux-gnuabi64",),
}  # fmt: skip
"""Debian's directory of a machine's libraries (wiki.debian.org/Multiarch/Tuples)."""
_PLATFORMS = {
    "EM_X86_64": ("x86_64", "haswell", "xeon_phi"),
    "EM_386": ("i686", "i586", "i486", "i386"),
    "EM_AARCH64": ("aarch64",),
    "EM_ARM": ("v7l", "v6l"),
    "EM_PPC64": ("power10", "power9", "power8"),
    "EM_S390": ("z16", "z15", "z14", "z13"),
}
_TOKEN = re.compile(r"\$(?:\{(\w+)\}|(ORIGIN|LIB|PLATFORM))")
_MUSL_DEFAULT = ("/lib", "/usr/local/lib", "/usr/lib")
_MUSL_OWN = re.compile(r"lib(?:c|pthread|rt|m|dl|util|xnet)\.")
"""What musl's loader is itself (``reserved`` in ``load_library``)."""
_MUSL_LOADER = re.compile(r"ld-musl-(.+)\.so\.1$")


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A file of a process: ``origin`` is the directory that it was found in, ``needed_by`` who needed it first."""

    binary: elf.Binary
    origin: str
    needed_by: "Loaded | None"


@dataclasses.dataclass(frozen=True)
class Place:
    """One step of a search: ``folders`` that are looked at together, because which one counts is the loader's or CPU's choice."""

    folders: tuple[str, ...]


class Glibc:
    """How ld-linux finds libraries."""

    def __init__(self) -> None:
        self._configured: tuple[str, ...] | None = None

    def is_loader_itself(self, name: str) -> bool:  # noqa: ARG002
        """Say whether the library ``name`` is the loader."""
        return False

    def places(self, by: Loaded) -> Iterator[Place]:
        """Yield where a library that ``by`` needs is looked for, in this order."""
        if not by.binary.runpath:
            for one in _with_those_above(by):
                if not one.binary.runpath:
                    yield from _expanded(one.binary.rpath, one)
        yield from _expanded(by.binary.runpath, by)
        if by.binary.has_default_path:
            if self._configured is None:
                self._configured = configured()
            for folder in (*self._configured, *system_folders(by.binary.machine)):
                yield Place((folder,))


class Musl:
    """How ld-musl finds libraries; ``loader`` is its path."""

    def __init__(self, loader: str) -> None:
        prefix = os.path.dirname(os.path.dirname(loader)).rstrip("/")
        match = _MUSL_LOADER.search(loader)
        self._folders = _musl_folders(f"{prefix}/etc/ld-musl-{match[1]}.path") if match else _MUSL_DEFAULT

    def is_loader_itself(self, name: str) -> bool:
        """Say whether the library ``name`` is the loader."""
        return _MUSL_OWN.match(name) is not None

    def places(self, by: Loaded) -> Iterator[Place]:
        """Yield where a library that ``by`` needs is looked for, in this order."""
        for one in _with_those_above(by):
            yield from _expanded(one.binary.runpath or one.binary.rpath, one)
        for folder in self._folders:
            yield Place((folder,))


def is_musl(loader: str) -> bool:
    """Say whether the program interpreter with the path ``loader`` is musl's."""
    return _MUSL_LOADER.search(loader) is not None


def system_folders(machine: elf.Machine) -> tuple[str, ...]:
    """Return the directories that a distribution may have built into its loader for ``machine``."""
    names = [f"lib/{tuple_}" for tuple_ in _MULTIARCH.get((machine.name, machine.bits), ())]
    names += ["lib64", "lib"] if machine.bits == 64 else ["lib32", "lib"]
    return tuple(f"{prefix}/{name}" for name in names for prefix in ("", "/usr"))


def configured(path: str = _CONF) -> tuple[str, ...]:
    """Return the directories of ``ld.so.conf`` (ldconfig(8)), with what it includes; raises BootsealError when one is damaged."""
    return tuple(dict.fromkeys(_configured(path, 0)))


def _configured(path: str, depth: int) -> Iterator[str]:
    for line in _lines(path):
        text = line.partition("#")[0].strip()
        words = text.split()
        if not words or words[0] == "hwcap":
            continue
        if words[0] != "include":
            yield from (folder.partition("=")[0] for folder in re.split(r"[:,\s]+", text) if folder.startswith("/"))
            continue
        if depth == _CONF_DEPTH:
            raise errors.BootsealError(
                path, f"it includes more than {_CONF_DEPTH} files deep", "correct what it includes"
            )
        for pattern in words[1:]:
            for included in sorted(glob.glob(os.path.join(os.path.dirname(path), pattern))):
                yield from _configured(included, depth + 1)


def _lines(path: str) -> list[str]:
    try:
        return files.read_bounded(os.path.realpath(path), _CONF_LIMIT).decode("utf-8", "surrogateescape").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise errors.BootsealError(path, errors.describe_os_error(error), "make it readable") from error


def _musl_folders(path: str) -> tuple[str, ...]:
    if not os.path.exists(path):
        return _MUSL_DEFAULT
    found = re.split(r"[:\n]", "\n".join(_lines(path)))
    return tuple(folder for folder in found if folder.startswith("/"))


def _with_those_above(by: Loaded) -> Iterator[Loaded]:
    one: Loaded | None = by
    while one is not None:
        yield one
        one = one.needed_by


def _expanded(folders: tuple[str, ...], by: Loaded) -> Iterator[Place]:
    """Yield ``folders`` as ``by`` means them; one that is relative to the working directory is no place."""
    machine = by.binary.machine
    libs = [name.lstrip("/") for name in system_folders(machine) if not name.startswith("/usr/")]
    for folder in folders:
        texts = [folder]
        for token, values in (
            ("ORIGIN", [by.origin]),
            ("LIB", libs),
            ("PLATFORM", list(_PLATFORMS.get(machine.name, ()))),
        ):
            texts = [_replaced(text, token, value) for text in texts for value in (values or [""])]
        absolute = dict.fromkeys(text for text in texts if text.startswith("/") and not _TOKEN.search(text))
        if absolute:
            yield Place(tuple(absolute))


def _replaced(text: str, token: str, value: str) -> str:
    return text.replace(f"${{{token}}}", value).replace(f"${token}", value)


def hits(place: Place, name: str, machine: elf.Machine) -> tuple[tuple[str, ...], bool]:
    """Return the libraries called ``name`` in ``place`` that fit ``machine``, and whether one of them serves every CPU.

    The variants for better CPUs lie in ``glibc-hwcaps`` (ld.so(8)).
    """
    plain = [path for folder in place.folders if _fits(path := f"{folder}/{name}", machine)]
    variants = [
        path
        for folder in place.folders
        for path in sorted(glob.glob(f"{glob.escape(folder)}/glibc-hwcaps/*/{glob.escape(name)}"))
        if _fits(path, machine)
    ]
    return (*plain, *variants), bool(plain)


def _fits(path: str, machine: elf.Machine) -> bool:
    try:
        return os.path.isfile(path) and elf.machine(path) == machine
    except OSError:
        return False
