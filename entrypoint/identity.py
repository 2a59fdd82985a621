"""The container's identity: an id, a boot id, and an Ed25519 key pair.

Rules
-----
* The public identity is a directory of files (0755, files 0444), re-created at every boot, each file atomic:
  ``id`` (a DNS-1123 label, no newline), ``boot-id``, ``ed25519.pub`` (PEM, RFC 8410). Never an environment variable:
  a process image restored from another container must still read its own id.
* The private key is kept in the manifest's identity store, where one is named, else in the run directory and new at
  each boot; see ``seal.signing_key``.
"""

import base64
import contextlib
import os
import re

from contract import directories, errors, files, rundir
from manifest import plan

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


def choose_id(wanted: plan.IdentityPlan, environment: dict[str, str], host: str) -> str:
    """Return the container's id by the manifest's rule; raises BootsealError when it is no DNS-1123 label."""
    if wanted.env is not None and environment.get(wanted.env):
        source, value = f"variable {wanted.env}", environment[wanted.env]
    elif wanted.default == "hostname":
        source, value = "host name", host.partition(".")[0].lower()
    else:
        source, value = "manifest's identity.id", wanted.default
    if not _LABEL.fullmatch(value):
        raise errors.BootsealError(
            f"identity from the {source}",
            "it is not a DNS-1123 label",
            "use 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
        )
    return value


def establish(wanted: plan.IdentityPlan, run: rundir.RunDirectory, boot_id: str) -> str:
    """Make or load the key and write the identity directory; return the raw public key in base64.

    Raises BootsealError or OSError.
    """
    from seal import signing_key  # the signature library, only now that a key is needed

    container_id = choose_id(wanted, dict(os.environ), os.uname().nodename)
    folder = signing_key.directory(wanted, run)
    if wanted.store is None:
        _clear(run.keys)
    key = signing_key.load_or_generate(folder)
    public_key = signing_key.public_pem(key)
    _clear(run.identity)
    fd, _ = directories.open_confined(run.identity, create=True, mode=0o755)
    try:
        content = {"id": container_id.encode(), "boot-id": boot_id.encode(), "ed25519.pub": public_key}
        for name, data in content.items():
            files.write_atomically(name, data, 0o444, dir_fd=fd)
    finally:
        os.close(fd)
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def _clear(path: str) -> None:
    """Remove what an earlier boot left at ``path``: a flat directory, or whatever was put in its place."""
    try:
        fd = os.open(path, directories.OPEN_FLAGS)
    except FileNotFoundError:
        return
    except OSError:
        os.unlink(path)  # a symlink or a file in its place is removed, never followed
        return
    try:
        for name in os.listdir(fd):
            with contextlib.suppress(IsADirectoryError):
                os.unlink(name, dir_fd=fd)
    finally:
        os.close(fd)
