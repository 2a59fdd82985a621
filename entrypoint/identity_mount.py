"""An identity that whoever runs the container mounted over the identity directory.

Rules
-----
* It is one when something is mounted at exactly that path. It must be read-only: else any program could rename the
  container, and neither it nor we could say whose word it is.
* Nothing is written there. Its ``id`` is the container's, whatever the manifest says of ids.
* What else of the layout it holds must be this container's: the keys are ours, and a boot id there is another boot's, since
  ours was made this moment. Whoever needs our key or boot id takes it from boot.json.
* Single files mounted into the directory are refused: they pin an inode, and an atomic replacement would not be seen.
"""

import os

from contract import directories, errors, identity, rundir
from entrypoint import key_sources, mounts

_OMIT = "leave it out of what is mounted, or give the container that key"


def is_mounted(run: rundir.RunDirectory, table: tuple[mounts.Mount, ...]) -> bool:
    """Say whether something is mounted at the identity directory; raises UnsafePath when it is mounted in parts, or writable."""
    names = {
        mount.point.removeprefix(f"{run.identity}/").partition("/")[0] for mount in mounts.beneath(table, run.identity)
    }
    if parts := sorted(name for name in names if name in identity.FILES or name.startswith("..")):
        why = f"{parts[0]} in it is a mount of its own"
        raise errors.UnsafePath(f"identity {run.identity}", why, "mount the whole directory, read-only")
    if not mounts.is_mount_point(table, run.identity):
        return False
    fd, _ = directories.open_confined(run.identity)
    try:
        is_read_only = identity.is_read_only(fd)
    finally:
        os.close(fd)
    if not is_read_only:
        why = "something is mounted there, and writable: programs could change who this container is"
        raise errors.UnsafePath(f"identity {run.identity}", why, "mount it read-only, or mount nothing there")
    return True


def accept(run: rundir.RunDirectory, keys: key_sources.PublicKeys) -> str:
    """Return the container's id from the mounted identity; raises BootsealError naming what there is not this container's."""
    found = identity.read(run)
    ours = keys.nostr
    for name, value, wanted in (
        (identity.ED25519, found.ed25519, keys.ed25519),
        (identity.NOSTR, found.nostr, ours and ours.hex),
        (identity.NPUB, found.npub, ours and ours.npub),
        (identity.DID, found.did, ours and ours.did),
    ):
        if value is not None and value != wanted:
            raise errors.BootsealError(f"identity {run.identity}/{name}", "it is not the key of this container", _OMIT)
    if found.boot_id is not None:
        why = "it is another boot's: this boot's id was made just now"
        raise errors.BootsealError(
            f"identity {run.identity}/{identity.BOOT_ID}", why, "leave it out of what is mounted"
        )
    return found.id
