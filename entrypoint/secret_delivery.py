"""Delivering secrets: the directory ``secrets`` of the run directory, made anew at every boot.

Rules
-----
* What an earlier boot left there is removed first, whatever its owner and depth; a symlink is removed and never followed.
* ``PROGRAM/NAME`` is for the program, ``.values/NAME`` for PID 1 and the probe server (``supervisord.credentials``). Files are
  0400 and directories 0700, all ours: nobody else reads a secret on its way.
* Under the exception ``program-users`` ``secrets`` is root's, 0711, and the directory of a program, 0500, and its files
  belong to its user. They are given away when they are whole, by descriptor; that takes CAP_CHOWN.
* A secret that no program is named for is in memory only: the identity takes its key from there.
* Every secret is read before any is delivered, and everything that is wrong is told at once.
"""

import os
from collections.abc import Mapping
from typing import Any

from contract import clearing, directories, errors, files, rundir
from entrypoint import mounts, secret_sources
from manifest import plan, provisions
from supervisord import credentials

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def deliver(
    the_plan: plan.Plan, run: rundir.RunDirectory, environment: Mapping[str, str], table: tuple[mounts.Mount, ...]
) -> dict[str, bytes]:
    """Read and deliver the secrets of ``the_plan`` and return them all by name; raises BootsealError or OSError."""
    clear(run)  # first: no link may lead to what an earlier boot delivered
    values = _read_all(the_plan, environment, _apart_from(run, table))
    delivered = [secret for secret in the_plan.secrets if secret.programs]
    if delivered:
        fd, _ = directories.open_confined(run.secrets, create=True, mode=0o700)
        try:
            _fill(fd, os.path.basename(credentials.values_directory(run)), delivered, values, None)
            for program in the_plan.programs:
                own = [secret for secret in delivered if program.name in secret.programs]
                if own:
                    _fill(fd, program.name, own, values, program.user)
            os.fchmod(fd, 0o711 if the_plan.has_program_users else 0o700)
        finally:
            os.close(fd)
    return values


def summary(the_plan: plan.Plan) -> dict[str, Any]:
    """Return what may be told of the delivery: the names of the secrets, and how many each program got."""
    counts = {
        program.name: sum(program.name in secret.programs for secret in the_plan.secrets)
        for program in the_plan.programs
    }
    return {
        "secrets": [secret.name for secret in the_plan.secrets],
        "programs": {name: count for name, count in counts.items() if count},
    }


def clear(run: rundir.RunDirectory) -> None:
    """Remove what an earlier boot left in ``secrets``; raises UnsafePath when that is not ours, or stays."""
    clearing.clear_path(run.secrets)


def _apart_from(run: rundir.RunDirectory, table: tuple[mounts.Mount, ...]) -> tuple[mounts.Mount, ...]:
    """Return the mounts that do not hold the run directory: a tmpfs for /run is no secret's, and engines fill it from the image."""
    return tuple(one for one in table if one.point != "/" and not f"{run.path}/".startswith(f"{one.point}/"))


def _read_all(the_plan: plan.Plan, environment: Mapping[str, str], table: tuple[mounts.Mount, ...]) -> dict[str, bytes]:
    values, problems = {}, []
    distrusting = the_plan.has_program_users
    for secret in the_plan.secrets:
        try:
            values[secret.name] = secret_sources.read(secret, environment, table, distrusting=distrusting)
        except errors.BootsealError as error:
            problems.append(error)
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise errors.BootsealError(
            f"{len(problems)} secrets cannot be had", "; ".join(str(error) for error in problems)
        )
    return values


def _fill(
    above: int,
    name: str,
    secrets: list[provisions.SecretPlan],
    values: Mapping[str, bytes],
    owner: provisions.User | None,
) -> None:
    """Make the directory ``name`` with the files of ``secrets``, and give both to ``owner``."""
    os.mkdir(name, 0o700, dir_fd=above)
    fd = clearing.claim(above, name)
    try:
        for secret in secrets:
            _write(fd, secret.name, values[secret.name], owner)
        if owner is not None:
            os.fchmod(fd, 0o500)
            _give(fd, f"secrets of {name}", owner)
    finally:
        os.close(fd)


def _write(folder: int, name: str, data: bytes, owner: provisions.User | None) -> None:
    """Make one file; nobody looks into its directory before Stage A is over, and a later boot makes it anew."""
    directories.components(f"/{name}")
    fd = os.open(name, _NEW, 0o400, dir_fd=folder)
    try:
        files.write_all(fd, data)
        os.fchmod(fd, 0o400)
        if owner is not None:
            _give(fd, f"secret {name}", owner)
    except OSError as error:
        raise errors.BootsealError(
            f"secret {name}", f"it cannot be delivered: {errors.describe_os_error(error)}"
        ) from error
    finally:
        os.close(fd)


def _give(fd: int, what: str, owner: provisions.User) -> None:
    try:
        os.fchown(fd, owner.uid, owner.gid)
    except PermissionError as error:
        why = f"it cannot be given to user {owner.uid}:{owner.gid}: PID 1 lacks CAP_CHOWN"
        raise errors.BootsealError(what, why, "start the container as 0:0 with --cap-add CHOWN") from error
