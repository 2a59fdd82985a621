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

from contract import directories, errors, files, rundir
from entrypoint import mounts, secret_sources
from manifest import plan, provisions
from supervisord import credentials

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_HANDLE = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def deliver(
    the_plan: plan.Plan, run: rundir.RunDirectory, environment: Mapping[str, str], table: tuple[mounts.Mount, ...]
) -> dict[str, bytes]:
    """Read and deliver the secrets of ``the_plan`` and return them all by name; raises BootsealError or OSError."""
    values = _read_all(the_plan.secrets, environment, _apart_from(run, table))
    delivered = [secret for secret in the_plan.secrets if secret.programs]
    clear(run)
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
    """Remove what an earlier boot left in ``secrets``.

    An empty directory may stay: somebody may have mounted a file system for it. Raises UnsafePath when it is not ours.
    """
    parent, _ = directories.open_confined(run.path)
    try:
        name = os.path.basename(run.secrets)
        if _unlink(name, parent):
            return
        fd = os.open(name, directories.OPEN_FLAGS, dir_fd=parent)
        try:
            rundir.judge_ownership(f"directory {run.secrets}", os.fstat(fd), os.geteuid())
            os.fchmod(fd, 0o700)
            _empty(fd)
        finally:
            os.close(fd)
    finally:
        os.close(parent)


def _apart_from(run: rundir.RunDirectory, table: tuple[mounts.Mount, ...]) -> tuple[mounts.Mount, ...]:
    """Return the mounts that do not hold the run directory: a tmpfs for /run is no secret's, and engines fill it from the image."""
    return tuple(one for one in table if one.point != "/" and not f"{run.path}/".startswith(f"{one.point}/"))


def _read_all(
    secrets: tuple[provisions.SecretPlan, ...], environment: Mapping[str, str], table: tuple[mounts.Mount, ...]
) -> dict[str, bytes]:
    values, problems = {}, []
    for secret in secrets:
        try:
            values[secret.name] = secret_sources.read(secret, environment, table)
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
    fd = _claim(name, above)
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


def _unlink(name: str, folder: int) -> bool:
    """Remove ``name`` unless it is a directory; say whether nothing stands there any more."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    return True


def _empty(fd: int) -> None:
    """Remove all that is in the directory ``fd``.

    A directory found in another is first moved up to ``fd``: however deep they were made, no descriptor and no recursion is
    needed for each level.
    """
    waiting, moved = os.listdir(fd), 0
    while waiting:
        name = waiting.pop()
        if _unlink(name, fd):
            continue
        below = _claim(name, fd)
        try:
            for inner in os.listdir(below):
                if not _unlink(inner, below):
                    os.close(_claim(inner, below))
                    moved += 1
                    up = f".moved.{moved}.{os.urandom(6).hex()}"
                    os.rename(inner, up, src_dir_fd=below, dst_dir_fd=fd)
                    waiting.append(up)
        finally:
            os.close(below)
        os.rmdir(name, dir_fd=fd)


def _claim(name: str, folder: int) -> int:
    """Open the directory ``name`` as ours, 0700: a umask, an earlier boot or a program may have made it otherwise."""
    handle = os.open(name, _HANDLE, dir_fd=folder)
    try:
        path = f"/proc/self/fd/{handle}"  # a handle opened by O_PATH takes neither fchown(2) nor fchmod(2)
        if os.fstat(handle).st_uid != os.geteuid():
            os.chown(path, os.geteuid(), os.getegid())
        os.chmod(path, 0o700)
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    finally:
        os.close(handle)
