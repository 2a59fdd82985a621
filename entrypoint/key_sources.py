"""The private keys of the identity: where each comes from.

Rules
-----
* In this order: the manifest's file, the manifest's secret, the store, a new one. What the manifest names and what is not
  there, or is none, is an error and never a new identity.
* A key from a file or a secret never reaches the store, and the store's is not read then; that it lies there unused is said.
* Without a store, what is made lies in the run directory and is new at every boot. What an earlier boot left there is gone.
* The key that signs the seal is where the seal program looks: see ``seal.signing_key.directory``.
"""

import os
from collections.abc import Callable

from contract import errors, key_files, records, rundir
from entrypoint import nostr
from manifest import provisions

_RIGHT = "put the right key there; another is never made in its place"
_NEVER_NEW = "put it there, or do not name it; it is never replaced silently, because that would be another identity"


@records.dataclass(frozen=True)
class PublicKeys:
    """The public keys, ``ed25519`` raw; and what is to be said of where they come from."""

    ed25519: bytes
    nostr: nostr.PublicKey | None
    warnings: tuple[str, ...]


def realise(
    wanted: provisions.IdentityPlan, run: rundir.RunDirectory, secret_of: Callable[[str], bytes] | None
) -> PublicKeys:
    """Load or make every key that is ``wanted``; the run directory's directory of keys is empty before.

    Raises BootsealError or OSError.
    """
    from seal import signing_key  # the signature library, only now that a key is needed

    warnings = []
    ours = wanted.key(provisions.ED25519) or provisions.KeyPlan(provisions.ED25519, None, None)
    folder = signing_key.directory(wanted, run)
    if (given := _given(ours, secret_of)) is None:
        key = signing_key.load_or_generate(folder)
    else:
        key = signing_key.parse(*given, _RIGHT)
        signing_key.store(folder, key)
        warnings += _unused(wanted, signing_key.FILE, ours)
    public_nostr = None
    if theirs := wanted.key(provisions.NOSTR):
        folder = wanted.store or run.keys
        if (given := _given(theirs, secret_of)) is None:
            where = f"key {folder}/{nostr.FILE}"
            secret = nostr.parse(key_files.read_or_keep(folder, nostr.FILE, nostr.generate(where)), where)
        else:
            where = given[1]
            secret = nostr.parse(*given, _RIGHT)
            warnings += _unused(wanted, nostr.FILE, theirs)
        public_nostr = nostr.public_key(secret, where)
    return PublicKeys(key.public_key().public_bytes_raw(), public_nostr, tuple(warnings))


def _given(key: provisions.KeyPlan, secret_of: Callable[[str], bytes] | None) -> tuple[bytes, str] | None:
    """Return the bytes that the manifest's source of ``key`` holds, and how to name it; None without a source."""
    if key.file is not None:
        where = f"key {key.kind}, file {key.file}"
        try:
            return key_files.read_given(key.file), where
        except OSError as error:
            raise errors.BootsealError(where, errors.describe_os_error(error), _NEVER_NEW) from error
    if key.secret is not None:
        where = f"key {key.kind}, secret {key.secret}"
        if secret_of is None:
            raise errors.BootsealError(where, "no secret has been read", _NEVER_NEW)
        return secret_of(key.secret), where
    return None


def _unused(wanted: provisions.IdentityPlan, name: str, key: provisions.KeyPlan) -> list[str]:
    """Say that the store holds a key that is not used, because the manifest names another source."""
    if wanted.store is None or not os.path.lexists(f"{wanted.store}/{name}"):
        return []
    source = f"file {key.file}" if key.file is not None else f"secret {key.secret}"
    return [f"key {wanted.store}/{name} is not used: the manifest takes it from the {source}; remove one of them"]
