"""The container's private key: PKCS #8 PEM (RFC 5958, RFC 8410), mode 0600, in a directory of mode 0700.

Rules
-----
* It is generated once, where none is stored; see ``contract.key_files`` for how it is written and who may own it.
* It is validated at every read: a key that does not parse, is of another kind, or that somebody else could read or
  replace is an error and never a new identity.
* A key that the manifest gives from elsewhere is copied into the run directory, for the seal program; the store is not used.
* Reading is the library's. Writing is a fixed prefix before the raw key (RFC 8410, section 7), because loading the
  library's serialization would cost PID 1 a quarter of its time before the hand-over.
"""

import base64

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import errors, identity, key_files, rundir
from manifest import provisions

FILE = "ed25519.key"
_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_REMEDY = "restore it; it is never replaced silently, because that would be another identity"


def directory(wanted: provisions.IdentityPlan, run: rundir.RunDirectory) -> str:
    """Return the directory of the private key that signs: the run directory's own, or the manifest's store.

    The store, where the manifest names one and gives the key from nowhere else.
    """
    key = wanted.key(provisions.ED25519)
    is_given = key is not None and (key.file is not None or key.secret is not None)
    return run.keys if is_given else wanted.store or run.keys


def load(folder: str) -> ed25519.Ed25519PrivateKey:
    """Return the private key in ``folder``.

    Raises FileNotFoundError when there is none, OSError, and UnsafePath or InvalidRecord when what is there is not a
    private Ed25519 key of this user alone.
    """
    path = f"{folder}/{FILE}"
    return parse(key_files.read_kept(path), f"key {path}")


def parse(data: bytes, where: str, remedy: str = _REMEDY) -> ed25519.Ed25519PrivateKey:
    """Return the private key in the PEM text ``data``; raises InvalidRecord naming ``where``, and what to do."""
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm, exceptions.InternalError) as error:
        # InternalError: so cryptography 50.0.2 calls an X448 key of a wrong length
        if isinstance(error, TypeError):  # so the library says that it wants a password
            raise errors.InvalidRecord(where, "it is encrypted, and boot knows no passphrase", remedy) from error
        raise errors.InvalidRecord(where, "it is not a PEM private key", remedy) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise errors.InvalidRecord(where, "it is not an Ed25519 key", remedy)
    return key


def load_or_generate(folder: str) -> ed25519.Ed25519PrivateKey:
    """Return the private key in ``folder``, generated and stored where there is none.

    Raises UnsafePath, InvalidRecord or OSError.
    """
    fresh = ed25519.Ed25519PrivateKey.generate()
    pem = _private_pem(fresh)
    kept = key_files.read_or_keep(folder, FILE, pem)
    return fresh if kept == pem else parse(kept, f"key {folder}/{FILE}")


def store(folder: str, key: ed25519.Ed25519PrivateKey) -> None:
    """Store ``key`` in ``folder``; raises UnsafePath, also when another is there, or OSError."""
    pem = _private_pem(key)
    if key_files.read_or_keep(folder, FILE, pem) != pem:
        raise errors.UnsafePath(f"key {folder}/{FILE}", "another key is there", "look for what wrote it")


def public_pem(key: ed25519.Ed25519PrivateKey) -> bytes:
    """Return the public key of ``key`` as PEM SubjectPublicKeyInfo."""
    return identity.encode_ed25519(key.public_key().public_bytes_raw())


def _private_pem(key: ed25519.Ed25519PrivateKey) -> bytes:
    text = base64.b64encode(_PKCS8_PREFIX + key.private_bytes_raw()).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n".encode()
