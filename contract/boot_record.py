"""``boot.json``: which boot this is, written by Stage A and counted on by PID 1 at every generation."""

import dataclasses
import json
from typing import Any

from contract import decode, files, records, rundir

SCHEMA = "bootseal.boot/2"
_LIMIT = 1024 * 1024


@records.dataclass(frozen=True)
class BootRecord:
    """The facts every process of this boot starts from.

    ``boot_id`` is 128 random bits in hex; ``generation`` counts supervisord's starts within the boot, 0
    before the first; ``pid1`` and ``pid1_start`` name the process that Stage A becomes;
    ``started_monotonic`` and ``started_at`` are the start of Stage A; ``warnings`` are the facts that
    Stage A found and booted in spite of. ``public_key`` is the raw Ed25519 key of this boot's identity in base64, the one
    that signs its seal. ``closures`` are the artifacts as Stage A verified them.
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
    """How long one phase of Stage A took."""

    name: str
    duration_ms: float


def write(run: rundir.RunDirectory, record: BootRecord) -> None:
    """Write ``record`` to the run directory, mode 0444; raises OSError."""
    text = json.dumps(dataclasses.asdict(record), sort_keys=True)
    files.write_atomically(run.boot_record, text.encode() + b"\n", 0o444)


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
