"""The seal record: what ``bootstrap.done`` says, how it is signed, and when a reader accepts it.

Rules
-----
* The signature is Ed25519 over ``DOMAIN`` followed by the RFC 8785 canonical JSON of everything else, so
  that it cannot be replayed as a signature of anything else.
* A reader accepts a record only if, in this order: it decodes strictly; its schema is known; its bytes are the ones
  that ``sign`` writes for its content, so that no second text passes for the same record; the signature is by this
  container's identity key; boot_id, generation and PID 1's start time are this container's; and the plan is this
  plan. Each refusal has its own type or reason.
* This module decides trust and does no I/O, but for ``expected``, which collects what this boot expects.
"""

import base64
import binascii
import dataclasses
import json
from typing import Any

import rfc8785
from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import boot_record, decode, errors, files, rundir

SCHEMA = "bootseal.seal/1"
DOMAIN = b"bootseal seal v1\n"
LIMIT = 4 * 1024 * 1024
_KEY_LIMIT = 4096
_KEY_BYTES = 32


class BadSignature(errors.BootsealError):
    """The record was not signed by this container's identity key, or changed after it was."""


class NotThisBoot(errors.BootsealError):
    """The record is another boot's, another generation's, another container's or another plan's."""


@dataclasses.dataclass(frozen=True)
class Identity:
    """The container's id and its Ed25519 public key, 32 bytes in base64."""

    id: str
    ed25519: str


@dataclasses.dataclass(frozen=True)
class Artifact:
    """A declared artifact; ``sha256`` is null where no closure was locked for it."""

    id: str
    sha256: str | None
    required: bool


@dataclasses.dataclass(frozen=True)
class Program:
    """A required program at the moment of the seal; a completed one-shot has no pid."""

    name: str
    state: str
    pid: int | None
    pid_start: int | None
    ready_by: str | None
    ready_at: str | None


@dataclasses.dataclass(frozen=True)
class Signature:
    """The algorithm, always ed25519, and the signature's 64 bytes in base64."""

    alg: str
    value: str


@dataclasses.dataclass(frozen=True)
class Record:
    """The whole seal. ``sealed_at`` is RFC 3339; ``elapsed_seconds`` counts from the generation's start."""

    schema: str
    boot_id: str
    generation: int
    pid1_start: int
    sealed_at: str
    elapsed_seconds: float
    manifest_sha256: str
    plan_sha256: str
    identity: Identity
    artifacts: tuple[Artifact, ...]
    programs: tuple[Program, ...]
    late: bool
    signature: Signature


@dataclasses.dataclass(frozen=True)
class Expected:
    """What a record must say to be this container's; ``public_key`` is the raw 32 bytes."""

    boot_id: str
    generation: int
    pid1_start: int
    plan_sha256: str
    public_key: bytes


def sign(unsigned: dict[str, Any], key: ed25519.Ed25519PrivateKey) -> bytes:
    """Return the bytes of the seal file: ``unsigned`` with its signature, as one line of JSON.

    ``unsigned`` holds every field of Record but ``signature``, as plain JSON values.
    """
    signature = base64.b64encode(key.sign(DOMAIN + rfc8785.dumps(unsigned))).decode()
    return _encode({**unsigned, "signature": {"alg": "ed25519", "value": signature}})


def _encode(value: dict[str, Any]) -> bytes:
    return json.dumps(value, sort_keys=True).encode() + b"\n"


def accept(data: bytes, expected: Expected) -> Record:
    """Return the record in ``data`` if it is this container's seal.

    Raises InvalidRecord, BadSignature or NotThisBoot; nothing of a refused record is returned.
    """
    record, unsigned = _decode(data)
    _verify_signature(record, unsigned, expected.public_key)
    for name, found, wanted in (
        ("boot_id", record.boot_id, expected.boot_id),
        ("generation", record.generation, expected.generation),
        ("pid1_start", record.pid1_start, expected.pid1_start),
        ("plan_sha256", record.plan_sha256, expected.plan_sha256),
    ):
        if found != wanted:
            raise NotThisBoot("seal", f"its {name} is {found} and this boot's is {wanted}", "it is not this boot's")
    return record


def _decode(data: bytes) -> tuple[Record, dict[str, Any]]:
    if len(data) > LIMIT:
        raise errors.InvalidRecord("seal", f"it has more than {LIMIT} bytes")
    try:
        value = decode.json_object(data, "seal")
        decode.expect_schema(value, SCHEMA, "seal")
        record = decode.build(Record, value, "seal")
    except errors.InvalidRecord as error:  # its remedy is a plan's; nobody builds a seal
        raise errors.InvalidRecord("seal", error.why, "look for what edited it") from error
    if data != _encode(value):
        raise errors.InvalidRecord("seal", "its bytes are not as bootseal writes them", "look for what edited it")
    return record, {name: item for name, item in value.items() if name != "signature"}


def _verify_signature(record: Record, unsigned: dict[str, Any], public_key: bytes) -> None:
    if record.signature.alg != "ed25519":
        raise BadSignature("seal", "its signature algorithm is not ed25519")
    try:
        signature = base64.b64decode(record.signature.value, validate=True)
        if base64.b64encode(signature).decode() != record.signature.value:
            raise binascii.Error("its last character carries bits that nobody signed")
        canonical = rfc8785.dumps(unsigned)
        ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(signature, DOMAIN + canonical)
    except (exceptions.InvalidSignature, binascii.Error, ValueError) as error:
        why = "its signature is not by this container's identity key, or it was edited"
        raise BadSignature("seal", why, "it is refused; look for what wrote it") from error


def expected(run: rundir.RunDirectory) -> Expected:
    """Return what this boot expects of its seal.

    Raises OSError, UnsafePath or InvalidRecord when boot.json cannot be read.
    """
    boot = boot_record.read(run)
    return Expected(boot.boot_id, boot.generation, boot.pid1_start, boot.plan_sha256, raw_public_key(boot))


def raw_public_key(boot: boot_record.BootRecord) -> bytes:
    """Return the raw public key that signs this boot's seal (32 bytes); raises InvalidRecord."""
    try:
        key = base64.b64decode(boot.public_key, validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise errors.InvalidRecord("boot.json", "its public_key is not an Ed25519 key of 32 bytes in base64")
    return key


def public_identity(run: rundir.RunDirectory, boot: boot_record.BootRecord) -> Identity:
    """Return the container's id, from its identity directory, and its public key.

    Raises OSError or UnsafePath.
    """
    container_id = files.read_bounded(f"{run.identity}/id", _KEY_LIMIT).decode("ascii", "replace")
    return Identity(container_id, boot.public_key)
