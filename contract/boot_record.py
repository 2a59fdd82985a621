"""``boot.json``: which boot this is, written by Stage A and counted on by PID 1 at every generation.

Rules
-----
* What is written can be read: each warning and each closure's reason is printable and cut to a length, and warnings that the
  reader's limit has no room for are counted instead. A boot that may go on never fails for what there is to tell of it.
"""

import dataclasses
import json
from typing import Any

from contract import attested, decode, errors, files, records, rundir

SCHEMA = "bootseal.boot/4"
_LIMIT = 1024 * 1024
_TEXT_LENGTHS = (500, 100, 20)
"""How long a warning or a reason may be, and where so many closures have one that little room is left."""
_LEFT_OUT_BYTES = 200


@records.dataclass(frozen=True)
class BootRecord:
    """The facts every process of this boot starts from.

    ``boot_id`` is 128 random bits in hex; ``generation`` counts supervisord's starts within the boot, 0
    before the first; ``pid1`` and ``pid1_start`` name the process that Stage A becomes;
    ``started_monotonic`` and ``started_at`` are the start of Stage A; ``warnings`` are the facts that
    Stage A found and booted in spite of. ``public_key`` is the raw Ed25519 key of this boot's identity in base64, the one
    that signs its seal. ``closures`` are the artifacts as Stage A verified them, ``security`` the profile that it found in force,
    None where there is no container (``bootseal up``).
    """

    schema: str
    boot_id: str
    generation: int
    pid1: int
    pid1_start: int
    started_monotonic: float
    started_at: str
    plan_directory: str
    plan_sha256: str
    phases: tuple["PhaseTiming", ...]
    warnings: tuple[str, ...]
    public_key: str
    closures: tuple["Closure", ...]
    security: attested.Attested | None

    @property
    def unusable(self) -> dict[str, str]:
        """The optional artifacts that are not as they must be, and why: no program that needs one is started."""
        return {closure.artifact: closure.reason for closure in self.closures if closure.reason}


@records.dataclass(frozen=True)
class Closure:
    """An artifact as Stage A found it.

    ``sha256`` is the root digest of its locked closure, None where none is locked; ``verified`` how it was verified (digest,
    metadata, presence); ``reason`` why it cannot be used, "" when it can.
    """

    artifact: str
    sha256: str | None
    verified: str
    reason: str


@records.dataclass(frozen=True)
class PhaseTiming:
    """When one phase of Stage A began, in seconds since Stage A did, and how long it took."""

    name: str
    started_seconds: float
    duration_ms: float


def write(run: rundir.RunDirectory, record: BootRecord) -> None:
    """Write ``record``, bounded, to the run directory, mode 0444; raises OSError."""
    files.write_atomically(run.boot_record, _encode(_bounded(record)), 0o444)


def _encode(record: BootRecord) -> bytes:
    return json.dumps(dataclasses.asdict(record), sort_keys=True).encode() + b"\n"


def _bounded(record: BootRecord) -> BootRecord:
    """Return ``record`` as the reader takes it; its closures stay, whatever there is of them."""
    for length in _TEXT_LENGTHS:
        closures = tuple(
            dataclasses.replace(one, reason=_shortened(one.reason, length)) if one.reason else one
            for one in record.closures
        )
        bare = dataclasses.replace(record, warnings=(), closures=closures)
        room = _LIMIT - len(_encode(bare))
        if room > _LIMIT // 2:
            break
    warnings = tuple(_shortened(one, _TEXT_LENGTHS[0]) for one in record.warnings)
    return dataclasses.replace(bare, warnings=_fitting(warnings, room))


def _shortened(text: str, length: int) -> str:
    shown = errors.printable(text[: length + 1])
    return shown if len(shown) <= length else f"{shown[: length - 1]}…"


def _fitting(warnings: tuple[str, ...], room: int) -> tuple[str, ...]:
    """Return as many of ``warnings`` as ``room`` bytes hold, and how many that leaves out."""
    sizes = [len(json.dumps(one)) + len(", ") for one in warnings]
    if sum(sizes) <= room:
        return warnings
    room -= _LEFT_OUT_BYTES
    kept = 0
    while room >= sizes[kept]:
        room -= sizes[kept]
        kept += 1
    return (*warnings[:kept], f"{len(warnings) - kept} more warnings are left out here; the events have them")


def next_generation(run: rundir.RunDirectory, record: BootRecord, generation: int) -> BootRecord:
    """Write and return ``record`` counted on to ``generation``; raises OSError."""
    counted = dataclasses.replace(record, generation=generation)
    write(run, counted)
    return counted


def read(run: rundir.RunDirectory) -> BootRecord:
    """Return this boot's record; raises OSError, UnsafePath or InvalidRecord."""
    return parse(files.read_bounded(run.boot_record, _LIMIT), run.boot_record)


def parse(data: bytes, where: str) -> BootRecord:
    """Return the record in ``data``; raises InvalidRecord naming ``where``."""
    value: Any = decode.json_object(data, where)
    decode.expect_schema(value, SCHEMA, where)
    return decode.build(BootRecord, value, where)
