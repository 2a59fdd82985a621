"""The container's confinement and deployment: from the manifest's sections to the plan.

Rules
-----
* What is written is in memory or on a volume: /run and /tmp are in memory, and so is each path of boot.writable that lies on
  nothing yet, unless something must be mounted there or it says ``storage: volume``. With a ``storage`` of its own it is
  mounted wherever it lies.
* The order in which roots are written decides nothing: of two that lie in each other the outer one is mounted.
* A volume's name depends on its path alone, so that no other path can ever rename it, and two paths have two names.
* Where ``bootseal up`` moves a boot out of its container no exception is applied, and the plan has none.
"""

import hashlib
from collections.abc import Iterable

from manifest import hardening, hardening_model, model, plan, profile, provisions

_DEFAULT_USER = provisions.User(1000, 1000)
_ROOT = provisions.User(0, 0)
_TMPFS_BYTES = 64 * 2**20
_VOLUME_BYTES = 2**30
_LEAST_FILES = 4096
_LEAST_PIDS = 1024
_OWN_TASKS = 12
"""Processes and threads that are not the manifest's: seven of bootseal's own at most (measured: supervisord 1, the probe server 4,
Stage B and the seal 1 each), and room for checks and for somebody who looks."""
_TASKS_OF_PROGRAM = 4
_LONGEST_NAME = 40
RUN, TMP = "/run", "/tmp"
TMPFS, VOLUME = "tmpfs", "volume"


def additions(written: hardening_model.FeatureException) -> profile.Additions:
    """Return what the manifest says that an exception adds, beside its preset."""
    return profile.Additions(
        inherits=tuple(written.inherits),
        devices=tuple(written.devices),
        tmpfs=tuple(_tmpfs(path, mount) for path, mount in written.tmpfs.items()),
        capabilities=tuple(written.capabilities),
        groups=tuple(written.groups),
        runtime=written.runtime,
        gpu=written.gpu,
    )


def exceptions(manifest: model.Manifest) -> dict[str, profile.Additions]:
    """Return what the manifest says that each exception adds, by name."""
    return {name: additions(one) for name, one in manifest.security.exceptions.items()}


def merged(manifest: model.Manifest) -> profile.Merged:
    """Return what the manifest's exceptions add together, over which ``security.tmpfs`` has its say."""
    return profile.merge(exceptions(manifest), said(manifest))


def said(manifest: model.Manifest) -> list[hardening.Tmpfs]:
    """Return the file systems of ``security.tmpfs``."""
    return [_tmpfs(path, mount) for path, mount in manifest.security.tmpfs.items()]


def security(
    manifest: model.Manifest, programs: int, run_directory: str, *, is_relocated: bool
) -> hardening.SecurityPlan:
    """Return the profile that the container is to run under; ``programs`` is how many there are, bootseal's own included."""
    added = (profile.merge({}, said(manifest)) if is_relocated else merged(manifest)).additions
    has_users = provisions.PROGRAM_USERS in manifest.security.exceptions and not is_relocated
    resources = manifest.resources
    return hardening.SecurityPlan(
        enforce=manifest.security.enforce,
        user=_ROOT if has_users else manifest.security.user or _DEFAULT_USER,
        capabilities=added.capabilities,
        devices=added.devices,
        groups=added.groups,
        runtime=added.runtime,
        gpu=added.gpu,
        tmpfs=_in_memory(manifest, added.tmpfs, run_directory, has_users=has_users),
        denied_syscalls=tuple(sorted(set(manifest.security.seccomp.deny))),
        limits=hardening.Limits(
            memory_bytes=resources.memory,
            cpus=resources.cpus,
            pids=resources.pids or max(_LEAST_PIDS, comfortable_pids(programs)),
            files=resources.files or max(_LEAST_FILES, plan.descriptors_for(programs)),
        ),
    )


def least_pids(programs: int) -> int:
    """Return how many processes and threads there are at least where ``programs`` run, each of one process with one thread."""
    return programs + _OWN_TASKS


def comfortable_pids(programs: int) -> int:
    """Return how many processes and threads leave ``programs`` room for workers and threads."""
    return _TASKS_OF_PROGRAM * programs + _OWN_TASKS


def deploy(manifest: model.Manifest) -> hardening.DeployPlan:
    """Return what a cluster makes of it."""
    return hardening.DeployPlan(manifest.deploy.kind, manifest.deploy.replicas, tuple(_volumes(manifest)))


def ports(program: model.Program) -> tuple[hardening.Port, ...]:
    """Return the ports that ``program`` declares, as they are written."""
    return tuple(hardening.Port(*one.listen, one.expose) for one in program.ports)


def is_volume(root: model.WritableRoot) -> bool:
    """Say whether what is mounted at ``root`` outlives the container."""
    return root.storage == VOLUME or (root.storage is None and root.mount == "required")


def is_within(path: str, root: str) -> bool:
    """Say whether ``path`` is ``root`` or lies beneath it."""
    return path == root or path.startswith(f"{root}/")


def volume_name(path: str) -> str:
    """Return the name of the volume at ``path``: /var/lib/my-app is ``var-lib-my--app``.

    Where that says less than the path (an upper-case letter, a dot, too many of them), a digest of it stands behind.
    """
    plain = path.strip("/").replace("-", "--").replace("/", "-")
    parts = path.strip("/").split("/")
    is_exact = all(part.strip("-") == part for part in parts) and len(plain) <= _LONGEST_NAME
    if is_exact and all(letter in "abcdefghijklmnopqrstuvwxyz0123456789-" for letter in plain):
        return plain
    kept = "".join(
        letter if letter.isascii() and letter.isalnum() else "-" for letter in path.strip("/").lower()[:_LONGEST_NAME]
    ).strip("-")
    digest = hashlib.sha256(path.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{kept}---{digest}" if kept else f"volume---{digest}"


def _tmpfs(path: str, written: hardening_model.Tmpfs) -> hardening.Tmpfs:
    return hardening.Tmpfs(path, written.size, written.mode, written.executable, None)


def _volumes(manifest: model.Manifest) -> Iterable[hardening.Volume]:
    paths = {root.path: root.size or _VOLUME_BYTES for root in manifest.boot.writable if is_volume(root)}
    return (hardening.Volume(volume_name(path), path, paths[path]) for path in sorted(paths))


def _in_memory(
    manifest: model.Manifest, added: tuple[hardening.Tmpfs, ...], run_directory: str, *, has_users: bool
) -> tuple[hardening.Tmpfs, ...]:
    """Return the file systems in memory: what is added, what says so, what always is, and what lies on nothing yet."""
    found = {mount.path: mount for mount in added}
    volumes = {volume.path for volume in _volumes(manifest)}
    roots = sorted((root for root in manifest.boot.writable if not is_volume(root)), key=lambda root: root.path)

    def lies_on_nothing(path: str) -> bool:
        return not any(is_within(path, mount) for mount in (*found, *volumes))

    def mount_at(root: model.WritableRoot) -> None:
        owner = root.owner if has_users else None
        found[root.path] = hardening.Tmpfs(
            root.path, root.size or _TMPFS_BYTES, root.mode, executable=False, owner=owner
        )

    for root in roots:
        if root.path not in found and (root.storage == TMPFS or (root.path in {RUN, TMP} and root.size)):
            mount_at(root)
    for path, mode in ((RUN, 0o755), (TMP, 0o1777)):
        if path not in found and path not in volumes:
            found[path] = hardening.Tmpfs(path, _TMPFS_BYTES, mode, executable=False, owner=None)
    for root in roots:
        if lies_on_nothing(root.path):
            mount_at(root)
    if lies_on_nothing(run_directory):
        found[run_directory] = hardening.Tmpfs(run_directory, _TMPFS_BYTES, 0o755, executable=False, owner=None)
    return tuple(found[path] for path in sorted(found))
