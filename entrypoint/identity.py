"""The container's identity: an id, a boot id, and the public halves of its keys.

Rules
-----
* The public identity is a directory of files (0755, files 0444), re-created at every boot, each file atomic; its layout is
  ``contract.identity``'s. Never an environment variable: a process image restored from another container must still read
  its own id, and a committed image carries the variables of the container it was made from. So does an id that the
  manifest takes from a variable: that one must be given anew to each container.
* What whoever runs the container mounted there is validated and used instead; see ``entrypoint.identity_mount``.
* Where the private keys come from: see ``entrypoint.key_sources``.
"""

import base64
import os
from collections.abc import Callable

from contract import clearing, directories, errors, files, identity, records, rundir
from entrypoint import identity_mount, key_sources, mounts
from manifest import provisions

MOUNT = "mount"


@records.dataclass(frozen=True)
class Established:
    """The identity of this boot.

    ``source`` is where the id comes from: "variable NAME", "host name", "manifest" or MOUNT. ``public_key_base64`` is the
    raw Ed25519 key. ``warnings`` are the facts that it was established in spite of.
    """

    id: str
    source: str
    public_key_base64: str
    warnings: tuple[str, ...]


def choose_id(wanted: provisions.IdentityPlan, environment: dict[str, str], host: str) -> tuple[str, str]:
    """Return the container's id by the manifest's rule, and its source; raises BootsealError when it is no DNS-1123 label."""
    if wanted.env is not None and environment.get(wanted.env):
        source, value = f"variable {wanted.env}", environment[wanted.env]
    elif wanted.default == "hostname":
        source, value = "host name", host.partition(".")[0].lower()
    else:
        source, value = "manifest", wanted.default
    if not identity.is_label(value):
        raise errors.BootsealError(
            f"identity from the {source}",
            "it is not a DNS-1123 label",
            "use 1 to 63 of a-z, 0-9 and -, beginning and ending with a letter or digit",
        )
    return value, source


def establish(
    wanted: provisions.IdentityPlan,
    run: rundir.RunDirectory,
    boot_id: str,
    table: tuple[mounts.Mount, ...],
    secret_of: Callable[[str], bytes] | None = None,
) -> Established:
    """Load or make the keys, and write the identity directory or accept the one that ``table`` says is mounted there.

    ``secret_of`` gives the value of a secret by its name. Raises BootsealError or OSError.
    """
    is_mounted = identity_mount.is_mounted(run, table)
    container_id, source = ("", MOUNT) if is_mounted else choose_id(wanted, dict(os.environ), os.uname().nodename)
    if wanted.store != run.keys:
        clearing.clear_path(run.keys)
    keys = key_sources.realise(wanted, run, secret_of)
    if is_mounted:
        container_id = identity_mount.accept(run, keys)
    else:
        _write(run, _content(container_id, boot_id, keys))
    return Established(container_id, source, base64.b64encode(keys.ed25519).decode(), keys.warnings)


def _content(container_id: str, boot_id: str, keys: key_sources.PublicKeys) -> dict[str, bytes]:
    content = {
        identity.ID: container_id.encode(),
        identity.BOOT_ID: boot_id.encode(),
        identity.ED25519: identity.encode_ed25519(keys.ed25519),
    }
    if keys.nostr is not None:
        content[identity.NOSTR] = keys.nostr.hex.encode()
        content[identity.NPUB] = keys.nostr.npub.encode()
        content[identity.DID] = keys.nostr.did.encode()
    return content


def _write(run: rundir.RunDirectory, content: dict[str, bytes]) -> None:
    clearing.clear_path(run.identity)
    fd, _ = directories.open_confined(run.identity, create=True, mode=0o755)
    try:
        rundir.judge_ownership(f"identity {run.identity}", os.fstat(fd), os.geteuid())
        os.fchmod(fd, 0o755)
        for name, data in content.items():
            files.write_atomically(name, data, 0o444, dir_fd=fd)
    finally:
        os.close(fd)
