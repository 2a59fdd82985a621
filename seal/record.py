"""The seal record: what ``bootstrap.done`` says, how it is signed, and when a reader accepts it.

Rules
-----
* The signature is Ed25519 over ``DOMAIN`` followed by the RFC 8785 canonical JSON of everything else, so
  that it cannot be replayed as a signature of anything else.
* A reader accepts a record only if, in this order: it decodes strictly; its schema is known; its bytes are the ones
  that ``sign`` writes for its content, so that no second text passes for the same record; the signature is by this
  container's identity key, and the identity in it is that key; boot_id, generation and PID 1's start time are this
  container's; and the plan is this plan. Each refusal has its own type or reason.
* Who judges from outside, with the public key and the plan alone, begins with the same ``read_signed``: see ``seal.outside``.
* This module decides trust and does no I/O, but for ``expected``, which collects what this boot expects.
"""

import base64
import binascii
import json
from typing import Any

import rfc8785
from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import attested, boot_record, decode, errors, identity, records, rundir

SCHEMA = "bootseal.seal/3"
_SCHEMAS = "bootseal.seal/"
DOMAIN = b"bootseal seal v1\n"
LIMIT = 4 * 1024 * 1024
_SHOWN_KEY = 64
_KEY_BYTES = 32


class BadSignature(errors.BootsealError):
    """The record was not signed by the key that it is judged by, or changed after it was."""


class NotThisBoot(errors.BootsealError):
    """The record is another boot's, another generation's, another container's or another plan's."""


@records.dataclass(frozen=True)
class Identity:
    """The container's id and its Ed25519 public key, 32 bytes in base64."""

    id: str
    ed25519: str


@records.dataclass(frozen=True)
class Artifact:
    """A declared artifact as Stage A found it.

    ``sha256`` is the root digest of its locked closure, null where none is locked; ``verified`` says how much of it was
    verified at boot (digest, metadata, presence); one that is not ``usable`` is optional, and no program that needs it runs.
    """

    id: str
    sha256: str | None
    verified: str
    usable: bool
    required: bool


@records.dataclass(frozen=True)
class Program:
    """A required program at the moment of the seal; a completed one-shot has no pid."""

    name: str
    state: str
    pid: int | None
    pid_start: int | None
    ready_by: str | None
    ready_at: str | None


@records.dataclass(frozen=True)
class Signature:
    """The algorithm, always ed25519, and the signature's 64 bytes in base64."""

    alg: str
    value: str


@records.dataclass(frozen=True)
class Record:
    """The whole seal.

    ``sealed_at`` is RFC 3339; ``elapsed_seconds`` counts from the generation's start; ``lock_sha256`` is the digest of
    ``closures.lock``, null where the plan has none. ``security`` is the profile that Stage A found in force, and how it differs
    from the planned one; null where there was no container.
    """

    schema: str
    boot_id: str
    generation: int
    pid1_start: int
    sealed_at: str
    elapsed_seconds: float
    manifest_sha256: str
    plan_sha256: str
    lock_sha256: str | None
    identity: Identity
    artifacts: tuple[Artifact, ...]
    security: attested.Attested | None
    programs: tuple[Program, ...]
    late: bool
    signature: Signature


@records.dataclass(frozen=True)
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
    record = read_signed(data, expected.public_key, "this container's identity key")
    for name, found, wanted in (
        ("boot_id", record.boot_id, expected.boot_id),
        ("generation", record.generation, expected.generation),
        ("pid1_start", record.pid1_start, expected.pid1_start),
        ("plan_sha256", record.plan_sha256, expected.plan_sha256),
    ):
        if found != wanted:
            raise NotThisBoot("seal", f"its {name} is {found} and this boot's is {wanted}", "it is not this boot's")
    return record


def read_signed(data: bytes, public_key: bytes, whose: str, where: str = "seal") -> Record:
    """Return the record in ``data`` if ``public_key``, 32 bytes, signed these bytes and the identity in it is that key.

    ``whose`` names the key in a refusal, ``where`` the record. Raises InvalidRecord or BadSignature; whose boot it is stays to be judged.
    """
    record, unsigned = _decode(data, where)
    if record.identity.ed25519 != base64.b64encode(public_key).decode():
        raise BadSignature(
            where, f"it names {_named_key(record)}, and that is not {whose}", "it is another container's"
        )
    _verify_signature(record, unsigned, public_key, whose, where)
    return record


def _named_key(record: Record) -> str:
    """Return the key that ``record`` names, which nobody has proven yet, as it may be printed."""
    named = record.identity.ed25519
    is_plain = named.isascii() and named.isprintable() and len(named) <= _SHOWN_KEY
    return f"the key {named}" if named and is_plain else "no Ed25519 key"


def _decode(data: bytes, where: str) -> tuple[Record, dict[str, Any]]:
    if len(data) > LIMIT:
        raise errors.InvalidRecord(where, f"it has more than {LIMIT} bytes", "look for what wrote it")
    try:
        value = decode.json_object(data, "seal")
    except errors.InvalidRecord as error:  # its remedy is a plan's; nobody builds a seal
        raise errors.InvalidRecord(where, error.why, "look for what edited it") from error
    if not str(value.get("schema")).startswith(_SCHEMAS):
        raise errors.InvalidRecord(where, "it is no seal", "a seal is the file bootstrap.done of a container")
    try:
        decode.expect_schema(value, SCHEMA, "seal")
    except errors.InvalidRecord as error:
        raise errors.InvalidRecord(where, error.why, "judge it with the version of bootseal that wrote it") from error
    try:
        record = decode.build(Record, value, "seal")
    except errors.InvalidRecord as error:
        raise errors.InvalidRecord(where, error.why, "look for what edited it") from error
    if data != _encode(value):
        raise errors.InvalidRecord(where, "its bytes are not as bootseal writes them", "look for what edited it")
    return record, {name: item for name, item in value.items() if name != "signature"}


def _verify_signature(record: Record, unsigned: dict[str, Any], public_key: bytes, whose: str, where: str) -> None:
    if record.signature.alg != "ed25519":
        raise BadSignature(where, "its signature algorithm is not ed25519", "bootseal signs with no other")
    try:
        signature = base64.b64decode(record.signature.value, validate=True)
        if base64.b64encode(signature).decode() != record.signature.value:
            raise binascii.Error("its last character carries bits that nobody signed")
        canonical = rfc8785.dumps(unsigned)
        ed25519.Ed25519PublicKey.from_public_bytes(public_key).verify(signature, DOMAIN + canonical)
    except (exceptions.InvalidSignature, binascii.Error, ValueError) as error:
        why = f"its signature is not by {whose}, or it was edited"
        raise BadSignature(where, why, "it is refused; look for what wrote it") from error


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
    except ValueError:  # not ASCII, or not base64
        key = b""
    if len(key) != _KEY_BYTES:
        raise errors.InvalidRecord("boot.json", "its public_key is not an Ed25519 key of 32 bytes in base64")
    return key


def public_identity(run: rundir.RunDirectory, boot: boot_record.BootRecord) -> Identity:
    """Return the container's id, from its identity directory, and its public key.

    Raises BootsealError when there is no valid one.
    """
    return Identity(identity.read_id(run), boot.public_key)
