"""Judging a seal from outside: the record, the public key and the plan's directory are enough; nothing is asked of a container.

Rules
-----
* A seal is accepted if, in this order: it decodes strictly, byte for byte as bootseal writes it; it names the given key and
  that key signed it; its plan and manifest are the given plan's; ``closures.lock`` is the one that the plan names, and the
  record names it too; its artifacts are the plan's, verified as the plan demands, with the root digests of the lock; every
  required artifact was usable and its programs are the plan's required ones; the profile that it ran under was read back,
  and enforced where the plan enforces it; and, where it is given, its generation.
* Each refusal names what differs from what, and what to do. The first one ends the judging.
* Whose key it is, and whether this is the newest seal of that container, is not in any file: who judges must know the key from
  a source of his own, and compare the boot id or ``sealed_at`` where that matters.
* ``judge`` is pure; ``read_key``, ``read_plan`` and ``read_seal`` do the reading.
"""

import base64
import binascii
import dataclasses
import re

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from artifacts import closure, lock
from contract import attested, errors, files
from manifest import plan, provisions
from seal import record

_KEY_LIMIT = 4096
_KEY_BYTES = 32
_HEXADECIMAL = re.compile(rb"[0-9A-Fa-f]{64}")
_KEY_REMEDY = "name the container's public key: identity/ed25519.pub, or its 32 bytes in base64 or hexadecimal"
_OTHER_PLAN = "name the directory that the image was built with; a rebuilt plan is another one"
_WHOLE = "copy the whole directory that `bootseal build` wrote"
_UNLIKE = "it does not seal what the plan demands: do not trust what signed it"


class NotThisPlan(errors.BootsealError):
    """The record and the plan's directory do not say the same."""


@dataclasses.dataclass(frozen=True)
class Image:
    """The plan's directory: the plan, and the closures that it names, None where it names none."""

    loaded: plan.LoadedPlan
    closures: closure.Lock | None


def judge(
    data: bytes, public_key: bytes, image: Image, generation: int | None = None, where: str = "seal"
) -> record.Record:
    """Return the record in ``data`` if ``public_key`` (32 bytes) sealed a container of ``image`` with it.

    ``generation`` None accepts any; ``where`` names the record in a refusal. Raises InvalidRecord, BadSignature, NotThisPlan or NotThisBoot.
    """
    sealed = record.read_signed(data, public_key, "the given one", where)
    _judge_plan(sealed, image.loaded, where)
    _judge_artifacts(sealed, image, where)
    if generation is not None and sealed.generation != generation:
        why = f"its generation is {sealed.generation}, and {generation} was asked for"
        raise record.NotThisBoot(where, why, "take the seal of that generation, or leave out --generation")
    return sealed


def _judge_plan(sealed: record.Record, loaded: plan.LoadedPlan, where: str) -> None:
    the_plan = loaded.plan
    locked = the_plan.lock.sha256 if the_plan.lock else None
    for name, found, wanted in (
        ("plan_sha256", sealed.plan_sha256, loaded.sha256),
        ("manifest_sha256", sealed.manifest_sha256, the_plan.manifest_sha256),
        ("lock_sha256", sealed.lock_sha256, locked),
    ):
        if found != wanted:
            why = f"its {name} is {found or 'null'}, and that of {loaded.directory} is {wanted or 'null'}"
            raise NotThisPlan(where, why, _OTHER_PLAN if name == "plan_sha256" else _UNLIKE)
    names = [program.name for program in the_plan.required_programs]
    if [program.name for program in sealed.programs] != names:
        why = f"its programs are not the plan's required ones, {', '.join(names) or 'none'}"
        raise NotThisPlan(where, why, _UNLIKE)
    if sealed.security is None and not the_plan.relocated:
        raise NotThisPlan(where, "it does not say under which security profile the container ran", _UNLIKE)
    if sealed.security is not None:
        _judge_security(sealed.security, the_plan, where)


def _judge_security(found: attested.Attested, the_plan: plan.Plan, where: str) -> None:
    """Raise NotThisPlan where the profile was not enforced as planned, or cannot have been."""
    if found.enforced != the_plan.security.enforce:
        why = f"it says that the profile was {'' if found.enforced else 'not '}enforced, unlike the plan"
        raise NotThisPlan(where, why, _UNLIKE)
    if found.enforced and found.weaknesses:
        names = ", ".join(one.what for one in found.weaknesses)
        raise NotThisPlan(where, f"the profile is enforced, and was weaker than planned: {names}", _UNLIKE)
    if found.enforced and found.unread:
        names = ", ".join(found.unread)
        raise NotThisPlan(where, f"the profile is enforced, and it was not read back whole: {names}", _UNLIKE)


def _judge_artifacts(sealed: record.Record, image: Image, where: str) -> None:
    wanted = image.loaded.plan.artifacts
    if [(one.id, one.required) for one in sealed.artifacts] != [(one.id, one.required) for one in wanted]:
        why = f"its artifacts are not the plan's, {', '.join(one.id for one in wanted) or 'none'}"
        raise NotThisPlan(where, why, _UNLIKE)
    for found, artifact in zip(sealed.artifacts, wanted, strict=True):
        if reason := _misfit(found, artifact, image.closures):
            remedy = "that image did not hold what it was locked to: do not trust it, and look at its events"
            raise NotThisPlan(f"artifact {artifact.id} in {where}", reason, remedy)


def _misfit(found: record.Artifact, artifact: plan.ArtifactPlan, closures: closure.Lock | None) -> str | None:
    """Say why ``found`` is not what the plan and the lock say of ``artifact``, or return None."""
    if found.required and not found.usable:
        return "the seal says that it was not usable, and it is required"
    if found.usable and found.verified != artifact.verify:
        return f"the seal says that it was verified by {found.verified}, and the plan demands {artifact.verify}"
    locked = closures.closure(artifact.id) if closures else None
    root = locked.sha256 if locked else None
    claims_nothing = found.sha256 is None and (artifact.verify == provisions.PRESENCE or not found.usable)
    if found.sha256 != root and not claims_nothing:
        return f"its root digest is {found.sha256 or 'null'} in the seal and {root or 'not'} in the lock"
    return None


def read_seal(path: str) -> bytes:
    """Return the bytes of the record at ``path``; raises UnsafePath or InvalidRecord."""
    return _read(path, record.LIMIT, "seal", "name a copy of the container's bootstrap.done")


def read_plan(directory: str) -> Image:
    """Return the plan in ``directory`` with its closures, whose digest must be the one that the plan names.

    Raises UnsafePath or InvalidRecord.
    """
    loaded = plan.load(directory)
    if loaded.plan.lock is None:
        return Image(loaded, None)
    try:
        return Image(loaded, lock.load(loaded.lock_path, loaded.plan.lock.sha256))
    except errors.InvalidRecord as error:  # its remedy is a boot's; here nobody has a container
        raise errors.InvalidRecord(error.what, error.why, _WHOLE) from error


def read_key(path: str) -> bytes:
    """Return the public Ed25519 key at ``path`` as 32 bytes; raises UnsafePath or InvalidRecord."""
    return parse_key(_read(path, _KEY_LIMIT, "key", _KEY_REMEDY), f"key {path}")


def parse_key(data: bytes, where: str) -> bytes:
    """Return the 32 bytes of the public Ed25519 key in ``data``; raises InvalidRecord naming ``where``.

    ``data`` is PEM SubjectPublicKeyInfo (RFC 8410), or the 32 bytes in base64 or hexadecimal, white space around it allowed.
    """
    text = data.strip()
    if b"-----BEGIN" in text:
        return _pem_key(text, where)
    if _HEXADECIMAL.fullmatch(text):
        return bytes.fromhex(text.decode())
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != _KEY_BYTES:
        raise errors.InvalidRecord(where, "it is no Ed25519 public key", _KEY_REMEDY)
    return raw


def _pem_key(data: bytes, where: str) -> bytes:
    from cryptography.hazmat.primitives import serialization

    if b"PRIVATE KEY" in data:
        raise errors.InvalidRecord(where, "it is a private key, which belongs to its container alone", _KEY_REMEDY)
    try:
        key = serialization.load_pem_public_key(data)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise errors.InvalidRecord(where, "it is not a PEM public key", _KEY_REMEDY) from error
    if not isinstance(key, ed25519.Ed25519PublicKey):
        raise errors.InvalidRecord(where, "it is a public key of another kind than Ed25519", _KEY_REMEDY)
    return key.public_bytes_raw()


def _read(path: str, limit: int, what: str, remedy: str) -> bytes:
    try:
        return files.read_bounded(path, limit)
    except OSError as error:
        raise errors.InvalidRecord(f"{what} {path}", errors.describe_os_error(error), remedy) from error
