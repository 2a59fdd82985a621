"""The container's identity as a requirement: /whoami would tell it, and it is the one that this boot began with."""

from contract import boot_record, errors, rundir
from probes import identity
from probes.checks import verdict


def look(run: rundir.RunDirectory, boot: boot_record.BootRecord) -> verdict.Outcome:
    """Look once; ``boot`` is the record as it was read when this process began, which no file can change any more."""
    try:
        told = identity.whoami(run)
    except errors.BootsealError as error:
        return verdict.failed(f"{error.what}: {error.why}")
    for name, ours in (("boot_id", boot.boot_id), ("ed25519", boot.public_key)):
        if told[name] != ours:
            return verdict.failed(f"identity {run.boot_record}: its {name} is not the one that this boot began with")
    return verdict.PASSED
