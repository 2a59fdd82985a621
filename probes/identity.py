"""Who this container is, from its identity directory: read at every request, never remembered."""

import base64
import binascii
from typing import Any

from contract import boot_record, errors, identity, rundir


def whoami(run: rundir.RunDirectory) -> dict[str, Any]:
    """Return ``{id, boot_id, ed25519}``, and with a nostr key ``{nostr, npub, did}``.

    ``ed25519`` is the raw key in base64. What a mounted identity does not hold is boot.json's. Raises BootsealError naming
    what is missing, of no valid form, or another boot's.
    """
    found = identity.read(run)
    try:
        boot = boot_record.read(run)
    except OSError as error:
        why = errors.describe_os_error(error)
        raise errors.InvalidRecord(f"identity {run.boot_record}", why, "Stage A makes it") from error
    for name, value, ours in (
        (identity.BOOT_ID, found.boot_id, boot.boot_id),
        (identity.ED25519, found.ed25519, _raw(boot.public_key)),
    ):
        if value is not None and value != ours:
            why = "it is not the one that this boot began with"
            raise errors.InvalidRecord(f"identity {run.identity}/{name}", why, "only Stage A writes it")
    answer: dict[str, Any] = {"id": found.id, "boot_id": boot.boot_id, "ed25519": boot.public_key}
    if found.npub is not None:
        _verify_checksum(run, found.npub)
        answer |= {"nostr": found.nostr, "npub": found.npub, "did": found.did}
    return answer


def _verify_checksum(run: rundir.RunDirectory, npub: str) -> None:
    """See that the checksum of ``npub`` (BIP-173) is right; raises InvalidRecord."""
    import bech32  # there is no npub without the extra that brings it

    if bech32.bech32_decode(npub)[0] is None:
        why = "its checksum is wrong"
        raise errors.InvalidRecord(f"identity {run.identity}/{identity.NPUB}", why, "only Stage A writes it")


def _raw(public_key: str) -> bytes:
    try:
        return base64.b64decode(public_key, validate=True)
    except binascii.Error:
        return b""
