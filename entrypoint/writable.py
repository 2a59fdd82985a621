"""Writable roots: directories made at boot, with their mode, their skeleton, and their mount demanded.

Rules
-----
* A root is walked to and made through descriptors that follow no symlink (``contract.directories``).
* A root that exists keeps its content. Its mode is set when this process owns it; else it must be usable as it is.
* A skeleton's entries are copied where nothing stands yet; nothing is overwritten. A symlink is copied as a symlink;
  anything but directories, regular files and symlinks is refused. Each file appears whole or not at all.
* ``mount: required`` refuses a root that is not a mount of its own: data written there would die with the container.
"""

import contextlib
import os
import stat

from contract import directories, errors
from entrypoint import mounts
from manifest import plan

_CHUNK = 1024 * 1024


class NotMounted(errors.BootsealError):
    """A root that must be a mount of its own is not one."""


def prepare(root: plan.WritableRoot, table: tuple[mounts.Mount, ...]) -> None:
    """Make ``root`` ready to write to.

    Raises NotMounted, UnsafePath, BootsealError or OSError; what was made until then stays, and is whole.
    """
    if root.mount_required and not mounts.is_mount_point(table, root.path):
        raise NotMounted(
            f"writable root {root.path}",
            "it is not a mount of its own, and the manifest says mount: required",
            f"mount a volume at {root.path}",
        )
    fd, _ = directories.open_confined(root.path, create=True, mode=root.mode)
    try:
        _set_mode(root, fd)
        if root.skeleton is not None:
            _copy_skeleton(root.skeleton, fd)
    finally:
        os.close(fd)


def _set_mode(root: plan.WritableRoot, fd: int) -> None:
    status = os.fstat(fd)
    if status.st_uid == os.geteuid():
        if stat.S_IMODE(status.st_mode) != root.mode:
            os.fchmod(fd, root.mode)
    elif not os.access(f"/proc/self/fd/{fd}", os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        raise errors.UnsafePath(
            f"writable root {root.path}",
            f"uid {os.geteuid()} may not write to it: it is owned by uid {status.st_uid}"
            f" with mode {stat.S_IMODE(status.st_mode):04o}",
            "give the volume to the container's user (podman: the U option; Kubernetes: fsGroup)",
        )


def _copy_skeleton(skeleton: str, target_fd: int) -> None:
    try:
        source_fd = os.open(skeleton, directories.OPEN_FLAGS)
    except OSError as error:
        raise errors.BootsealError(
            f"skeleton {skeleton}", errors.describe_os_error(error), "correct `from:` or add the directory to the image"
        ) from error
    try:
        _copy_tree(source_fd, target_fd, skeleton)
    finally:
        os.close(source_fd)


def _copy_tree(source_fd: int, target_fd: int, where: str) -> None:
    for name in sorted(os.listdir(source_fd)):
        status = os.stat(name, dir_fd=source_fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            _copy_directory(name, status, source_fd, target_fd, f"{where}/{name}")
        elif _exists(name, target_fd):
            continue
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source_fd), name, dir_fd=target_fd)
        elif stat.S_ISREG(status.st_mode):
            _copy_file(name, status, source_fd, target_fd)
        else:
            raise errors.UnsafePath(
                f"skeleton entry {where}/{name}", "it is neither a directory, a regular file nor a symlink", "remove it"
            )


def _exists(name: str, dir_fd: int) -> bool:
    try:
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _copy_directory(name: str, status: os.stat_result, source_fd: int, target_fd: int, where: str) -> None:
    made = not _exists(name, target_fd)
    if made:
        os.mkdir(name, 0o700, dir_fd=target_fd)
    below_source = os.open(name, directories.OPEN_FLAGS, dir_fd=source_fd)
    try:
        try:
            below_target = os.open(name, directories.OPEN_FLAGS, dir_fd=target_fd)
        except OSError as error:
            why = f"what stands in its place cannot be entered: {errors.describe_os_error(error)}"
            raise errors.UnsafePath(f"skeleton directory {where}", why, "remove it from the writable root") from error
        try:
            _copy_tree(below_source, below_target, where)
            if made:
                os.fchmod(below_target, stat.S_IMODE(status.st_mode) & 0o777)
        finally:
            os.close(below_target)
    finally:
        os.close(below_source)


def _copy_file(name: str, status: os.stat_result, source_fd: int, target_fd: int) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source_fd)
    temporary = f".{name[:80]}.{os.getpid()}.{os.urandom(6).hex()}"
    try:
        target = os.open(
            temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target_fd
        )
        try:
            try:
                while os.sendfile(target, source, None, _CHUNK):
                    pass
                os.fchmod(target, stat.S_IMODE(status.st_mode) & 0o777)
            finally:
                os.close(target)
            os.rename(temporary, name, src_dir_fd=target_fd, dst_dir_fd=target_fd)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):  # a stop came just after the rename
                os.unlink(temporary, dir_fd=target_fd)
            raise
    finally:
        os.close(source)
