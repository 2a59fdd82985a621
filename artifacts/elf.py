"""What an ELF file says that it needs (elf(5)), read by pyelftools."""

import dataclasses
import os

from contract import errors

MAGIC = b"\x7fELF"
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
_NODEFLIB = 0x800
"""DF_1_NODEFLIB: the linker was told ``-z nodefaultlib``."""
_TEXTS = {"DT_NEEDED": "needed", "DT_SONAME": "soname", "DT_RPATH": "rpath", "DT_RUNPATH": "runpath"}
"""The tags that name a text, and where pyelftools puts it."""


@dataclasses.dataclass(frozen=True)
class Machine:
    """What a library must be made for to be loaded; ``name`` as elf.h has it, EM_X86_64."""

    name: str
    bits: int
    is_little_endian: bool


@dataclasses.dataclass(frozen=True)
class Binary:
    """A program or a library; the paths of ``rpath`` and ``runpath`` are as written, with their $ORIGIN."""

    machine: Machine
    interpreter: str | None
    needed: tuple[str, ...]
    soname: str | None
    rpath: tuple[str, ...]
    runpath: tuple[str, ...]
    has_default_path: bool


def is_elf(path: str) -> bool:
    """Say whether the file begins as an ELF file does; raises OSError."""
    return first_bytes(path, len(MAGIC)) == MAGIC


def first_bytes(path: str, count: int) -> bytes:
    """Return the first ``count`` bytes of the file, or as many as it has; raises OSError."""
    fd = os.open(path, _FLAGS)
    try:
        return os.read(fd, count)
    finally:
        os.close(fd)


def machine(path: str) -> Machine | None:
    """Return what the ELF file is made for, None when it is none that can be read; raises OSError."""
    from elftools.elf import elffile

    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        try:
            return _machine(elffile.ELFFile(file))
        except Exception:  # a damaged file breaks the parser in many ways, and is no library in any case
            return None


def read(path: str) -> Binary:
    """Return what the ELF file needs; raises BootsealError when it is damaged, OSError when it cannot be read."""
    from elftools.elf import dynamic, elffile, segments

    interpreter, soname = None, None
    needed: list[str] = []
    rpath: list[str] = []
    runpath: list[str] = []
    flags = 0
    with os.fdopen(os.open(path, _FLAGS), "rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise errors.BootsealError(path, "it is no ELF file", "correct `kind:`")
        try:
            parsed = elffile.ELFFile(file)
            for segment in parsed.iter_segments():
                if isinstance(segment, segments.InterpSegment):
                    interpreter = segment.get_interp_name()
                if not isinstance(segment, dynamic.DynamicSegment):
                    continue
                for tag in segment.iter_tags():
                    kind = tag.entry.d_tag
                    said = str(getattr(tag, _TEXTS[kind])) if kind in _TEXTS else ""
                    if kind == "DT_NEEDED":
                        needed.append(said)
                    elif kind == "DT_SONAME":
                        soname = said
                    elif kind == "DT_RPATH":
                        rpath.extend(said.split(":"))
                    elif kind == "DT_RUNPATH":
                        runpath.extend(said.split(":"))
                    elif kind == "DT_FLAGS_1":
                        flags = tag.entry.d_val
            found = _machine(parsed)
        except Exception as error:  # a damaged file breaks the parser in many ways, OSError of a seek among them
            why = f"it cannot be read as an ELF file: {type(error).__name__}: {error}"
            raise errors.BootsealError(path, why, "install it again") from error
    if any("\0" in text for text in (interpreter or "", *needed, *rpath, *runpath)):
        raise errors.BootsealError(path, "a name in it holds a NUL", "install it again")
    return Binary(
        machine=found,
        interpreter=interpreter,
        needed=tuple(dict.fromkeys(needed)),
        soname=soname,
        rpath=tuple(rpath),
        runpath=tuple(runpath),
        has_default_path=not flags & _NODEFLIB,
    )


def _machine(parsed: "elffile.ELFFile") -> Machine:  # type: ignore[name-defined]  # noqa: F821
    return Machine(str(parsed["e_machine"]), parsed.elfclass, parsed.little_endian)
