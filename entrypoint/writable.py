"""Writable roots: directories made at boot, with their mode, their owner, their skeleton, and their mount demanded.

Rules
-----
* A root is one of the manifest's, and nothing else is made. It is opened, and where it is missing made, through
  descriptors that follow no symlink (``contract.directories``); everything after that is done through its descriptor.
* A root that exists keeps its content. Its mode is set when this process owns it; else it must be usable as it is.
* The manifest's mode is set whole, with the sticky bit and setgid; the kernel drops a setgid silently for who is not in
  the group (chmod(2)), so what was set is looked at.
* The manifest's owner is set last: until then this process needs no right over another user's files. It is an error that
  names the capability when it cannot be set.
* A root that an earlier boot gave away may be closed to root, who has no capability over files: it is opened and filled with
  its owner's rights.
* ``mount: required`` refuses a root that is not a mount of its own: data written there would die with the container.
"""

import contextlib
import os
import stat

from contract import acting, directories, errors
from entrypoint import mounts, skeleton
from manifest import plan, provisions


class NotMounted(errors.BootsealError):
    """A root that must be a mount of its own is not one."""


def prepare(root: plan.WritableRoot, table: tuple[mounts.Mount, ...]) -> None:
    """Make ``root`` ready to write to; raises what ``open_root`` and ``fill_root`` raise."""
    fd = open_root(root, table)
    try:
        with rights(root, fd):
            fill_root(root, fd)
    finally:
        os.close(fd)


def open_root(root: plan.WritableRoot, table: tuple[mounts.Mount, ...]) -> int:
    """Open the directory of ``root``, made where it is missing, and return the descriptor; the caller closes it.

    Raises NotMounted, UnsafePath or OSError.
    """
    if root.mount_required and not mounts.is_mount_point(table, root.path):
        raise NotMounted(
            f"writable root {root.path}",
            "it is not a mount of its own, and the manifest says mount: required",
            f"mount a volume at {root.path}",
        )
    try:
        return _open(root)
    except PermissionError as error:
        why = f"uid {os.geteuid()} may not open {error.filename}: {errors.describe_os_error(error)}"
        remedy = "give it to the container's user, or to the `owner` that the manifest names"
        raise errors.UnsafePath(f"writable root {root.path}", why, remedy) from error


def _open(root: plan.WritableRoot) -> int:
    try:
        fd, _ = directories.open_confined(root.path, create=True, mode=root.mode)
    except (PermissionError, errors.UnsafePath) as closed:
        is_closed = isinstance(closed.__cause__ or closed, PermissionError)  # the root itself, or one around it
        if root.owner is None or os.geteuid() != 0 or not is_closed:
            raise
        try:
            with acting.acting_as(root.owner.uid, root.owner.gid):  # given away by an earlier boot, and closed to root
                fd, _ = directories.open_confined(root.path, create=True, mode=root.mode)
        except (PermissionError, errors.UnsafePath):
            raise closed from None
    return fd


def rights(root: plan.WritableRoot, fd: int) -> contextlib.AbstractContextManager[None]:
    """Return the rights that ``root`` is filled with: once it was given to another user, that user's.

    They are this whole process's while they last, so no other thread may run.
    """
    if root.owner is None or not is_given_away(root, fd):
        return contextlib.nullcontext()
    return acting.acting_as(root.owner.uid, root.owner.gid)


def is_given_away(root: plan.WritableRoot, fd: int) -> bool:
    """Say whether an earlier boot gave the directory ``fd`` of ``root`` to its owner, and only he can set it right."""
    status = os.fstat(fd)
    if root.owner is None or os.geteuid() != 0 or not _is_handed_over(root.owner, status):
        return False
    return stat.S_IMODE(status.st_mode) != root.mode or not _may_be_used(fd)


def _is_handed_over(owner: provisions.User, status: os.stat_result) -> bool:
    return (status.st_uid, status.st_gid) == (owner.uid, owner.gid)


def fill_root(root: plan.WritableRoot, fd: int) -> None:
    """Give the directory ``fd`` of ``root`` its mode, its skeleton and its owner.

    Raises UnsafePath, BootsealError or OSError; what was made until then stays, and is whole.
    """
    what = f"writable root {root.path}"
    before = os.fstat(fd)
    is_handed_over = root.owner is not None and _is_handed_over(root.owner, before)
    if before.st_uid == os.geteuid() or root.owner is not None:
        _set_mode(what, root.mode, before, fd)
    elif not _may_be_used(fd):
        raise errors.UnsafePath(
            what,
            f"uid {os.geteuid()} may not write to it: it is owned by uid {before.st_uid}"
            f" with mode {stat.S_IMODE(before.st_mode):04o}",
            "give the volume to the container's user (podman: the U option; Kubernetes: fsGroup)",
        )
    if root.skeleton is not None:
        skeleton.copy(root.skeleton, fd, root.owner)
    if root.owner is not None and not is_handed_over:
        _set_owner(what, root.owner, fd)
        _see_mode(what, root.mode, fd)


def _set_mode(what: str, mode: int, before: os.stat_result, fd: int) -> None:
    if stat.S_IMODE(before.st_mode) == mode:
        return
    try:
        os.fchmod(fd, mode)
    except PermissionError as error:
        why = f"its mode cannot be set to {mode:04o}: it belongs to uid {before.st_uid}, and this process lacks CAP_FOWNER"
        raise errors.UnsafePath(what, why, "add the capability FOWNER, or give the directory that mode") from error
    _see_mode(what, mode, fd)


def _see_mode(what: str, mode: int, fd: int) -> None:
    status = os.fstat(fd)
    found = stat.S_IMODE(status.st_mode)
    if found != mode:
        why = f"it has the mode {found:04o} and not {mode:04o}"
        if mode & ~found == stat.S_ISGID:
            why = f"setgid cannot be set: it belongs to group {status.st_gid}, which this process is not in"
        raise errors.UnsafePath(
            what, why, "add the capability FSETID, or give the directory to a group of this process"
        )


def _set_owner(what: str, owner: provisions.User, fd: int) -> None:
    try:
        os.fchown(fd, owner.uid, owner.gid)
    except PermissionError as error:
        raise skeleton.cannot_give_away(what, owner) from error


def _may_be_used(fd: int) -> bool:
    with contextlib.suppress(FileNotFoundError):
        wanted = os.W_OK | os.X_OK
        return os.access(f"/proc/self/fd/{fd}", wanted, effective_ids=os.access in os.supports_effective_ids)
    return False
