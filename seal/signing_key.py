"""The container's private key: PKCS #8 PEM (RFC 5958, RFC 8410), mode 0600, in a directory of mode 0700.

Rules
-----
* It is generated once, where none is stored, and written with O_EXCL, fsync and rename.
* It is validated at every read: a key that does not parse, is of another kind, or that somebody else could read or
  replace is an error and never a new identity.
* Reading is the library's. Writing is a fixed prefix before the raw key (RFC 8410, sections 4 and 7), because loading the
  library's serialization would cost PID 1 a quarter of its time before the hand-over.
"""

import base64
import os
import stat

from cryptography import exceptions
from cryptography.hazmat.primitives.asymmetric import ed25519

from contract import directories, errors, files, rundir
from manifest import plan

FILE = "ed25519.key"
_LIMIT = 4096
_PKCS8_PREFIX = bytes.fromhex("302e020100300506032b657004220420")
_SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")
_REMEDY = "restore it; it is never replaced silently, because that would be another identity"


def directory(wanted: plan.IdentityPlan, run: rundir.RunDirectory) -> str:
    """Return the directory of the private key: the manifest's identity store, else the run directory's own."""
    return wanted.store or run.keys


def load(folder: str) -> ed25519.Ed25519PrivateKey:
    """Return the private key in ``folder``.

    Raises FileNotFoundError when there is none, OSError, and UnsafePath or InvalidRecord when what is there is not a
    private Ed25519 key of this user alone.
    """
    from cryptography.hazmat.primitives import serialization

    path = f"{folder}/{FILE}"
    data = files.read_bounded(path, _LIMIT)
    status = os.stat(path, follow_symlinks=False)
    if status.st_uid != os.geteuid() or status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        why = f"uid {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o}: somebody else could read or replace it"
        raise errors.UnsafePath(f"key {path}", why, "make it this user's, mode 0600, or replace the key")
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm) as error:
        raise errors.InvalidRecord(f"key {path}", "it is not a PEM private key", _REMEDY) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise errors.InvalidRecord(f"key {path}", "it is not an Ed25519 key", _REMEDY)
    return key


def load_or_generate(folder: str) -> ed25519.Ed25519PrivateKey:
    """Return the private key in ``folder``, generated and stored where there is none.

    Raises UnsafePath, InvalidRecord or OSError.
    """
    fd, _ = directories.open_confined(folder, create=True, mode=0o700)
    try:
        rundir.judge_ownership(f"key directory {folder}", os.fstat(fd), os.geteuid())
        if FILE in os.listdir(fd):
            return load(folder)
        key = ed25519.Ed25519PrivateKey.generate()
        pem = _pem("PRIVATE KEY", _PKCS8_PREFIX + key.private_bytes_raw())
        files.write_atomically(FILE, pem, 0o600, dir_fd=fd)
        return key
    finally:
        os.close(fd)


def public_pem(key: ed25519.Ed25519PrivateKey) -> bytes:
    """Return the public key of ``key`` as PEM SubjectPublicKeyInfo."""
    return _pem("PUBLIC KEY", _SPKI_PREFIX + key.public_key().public_bytes_raw())


def _pem(label: str, der: bytes) -> bytes:
    """Return ``der``, which fits one line of 64 characters, as PEM (RFC 7468)."""
    return f"-----BEGIN {label}-----\n{base64.b64encode(der).decode()}\n-----END {label}-----\n".encode()
