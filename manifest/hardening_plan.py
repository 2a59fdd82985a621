"""The container's confinement and deployment: from the manifest's sections to the plan.

Rules
-----
* What is written is in memory or on a volume: /run and /tmp are in memory, and so is each path of boot.writable that lies on
  nothing yet, unless something must be mounted there or it says ``storage: volume``.
"""

from collections.abc import Iterable

from manifest import hardening, hardening_model, model, plan, profile, provisions

_DEFAULT_USER = provisions.User(1000, 1000)
_ROOT = provisions.User(0, 0)
_TMPFS_BYTES = 64 * 2**20
_VOLUME_BYTES = 2**30
_LEAST_FILES = 4096
RUN, TMP = "/run", "/tmp"


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


def merged(manifest: model.Manifest) -> profile.Merged:
    """Return what the manifest's exceptions add together."""
    found = {name: additions(one) for name, one in manifest.security.exceptions.items()}
    return profile.merge(found)


def security(manifest: model.Manifest, programs: int) -> hardening.SecurityPlan:
    """Return the profile that the container is to run under; ``programs`` is how many there are."""
    added = merged(manifest).additions
    has_users = provisions.PROGRAM_USERS in manifest.security.exceptions
    own = hardening.PROGRAM_USERS_CAPABILITIES if has_users else ()
    resources = manifest.resources
    return hardening.SecurityPlan(
        enforce=manifest.security.enforce,
        user=_ROOT if has_users else manifest.security.user or _DEFAULT_USER,
        capabilities=tuple(sorted({*added.capabilities, *own})),
        devices=added.devices,
        groups=added.groups,
        runtime=added.runtime,
        gpu=added.gpu,
        tmpfs=_in_memory(manifest, added.tmpfs),
        denied_syscalls=tuple(sorted(set(manifest.security.seccomp.deny))),
        limits=hardening.Limits(
            memory_bytes=resources.memory,
            cpus=resources.cpus,
            pids=resources.pids,
            files=resources.files or max(_LEAST_FILES, plan.descriptors_for(programs)),
        ),
    )


def deploy(manifest: model.Manifest) -> hardening.DeployPlan:
    """Return what a cluster makes of it; volumes are named for their paths."""
    return hardening.DeployPlan(manifest.deploy.kind, manifest.deploy.replicas, tuple(_volumes(manifest)))


def ports(program: model.Program) -> tuple[hardening.Port, ...]:
    """Return the ports that ``program`` declares, as they are written."""
    return tuple(hardening.Port(*one.listen, one.expose) for one in program.ports)


def _tmpfs(path: str, written: hardening_model.Tmpfs) -> hardening.Tmpfs:
    return hardening.Tmpfs(path, written.size, written.mode, written.executable, None)


def _is_volume(root: model.WritableRoot) -> bool:
    return root.storage == "volume" or (root.storage is None and root.mount == "required")


def _volumes(manifest: model.Manifest) -> Iterable[hardening.Volume]:
    for root in manifest.boot.writable:
        if _is_volume(root):
            name = root.path.strip("/").lower().replace("/", "-").replace(".", "-").replace("_", "-")[:50].strip("-")
            yield hardening.Volume(name or "data", root.path, root.size or _VOLUME_BYTES)


def _in_memory(manifest: model.Manifest, added: tuple[hardening.Tmpfs, ...]) -> tuple[hardening.Tmpfs, ...]:
    found = {path: hardening.Tmpfs(path, _TMPFS_BYTES, 0o755, False, None) for path in (RUN, TMP)}
    found |= {mount.path: mount for mount in added}
    found |= {path: _tmpfs(path, mount) for path, mount in manifest.security.tmpfs.items()}
    volumes = [volume.path for volume in _volumes(manifest)]
    for root in manifest.boot.writable:
        if not _is_volume(root) and not any(_is_within(root.path, path) for path in (*found, *volumes)):
            found[root.path] = hardening.Tmpfs(
                root.path,
                root.size or _TMPFS_BYTES,
                root.mode,
                False,
                root.owner,
            )
    return tuple(found[path] for path in sorted(found))


def _is_within(path: str, root: str) -> bool:
    return path == root or path.startswith(f"{root}/")
