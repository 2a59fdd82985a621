"""Who this container is, from its identity directory: read at every request, never remembered."""

from typing import Any

from contract import boot_record, errors, files, rundir

_LIMIT = 4096


def whoami(run: rundir.RunDirectory) -> dict[str, Any]:
    """Return ``{id, boot_id, ed25519}``, the key as 32 bytes in base64; raises BootsealError naming what is missing."""
    from seal import record  # 50 ms of cryptography: not before the listener accepts

    try:
        public = record.public_identity(run, boot_record.read(run))
        boot_id = files.read_bounded(f"{run.identity}/boot-id", _LIMIT).decode("ascii", "replace").strip()
    except OSError as error:
        name = error.filename or run.identity
        raise errors.InvalidRecord(f"identity {name}", errors.describe_os_error(error), "Stage A makes it") from error
    return {"id": public.id.strip(), "boot_id": boot_id, "ed25519": public.ed25519}
