"""Do the parts of a plan about confinement and deployment fit? Standard library only; pure.

What is on top of the baseline is there only under an exception: a plan that was changed by hand cannot have it without one.
"""

import re
from collections.abc import Iterable

from manifest import hardening, plan, provisions

_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_DEVICE = re.compile(r"/dev(/[^/:]+)+")
_PERMISSIONS = re.compile(r"(?=.)r?w?m?")
_GROUP = re.compile(r"[a-z_][a-z0-9_-]{0,30}|[0-9]{1,10}")
_RUNTIME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_SYSCALL = re.compile(r"[a-z_][a-z0-9_]{1,40}")
_HOST = re.compile(r"[0-9a-fA-F:.]+")
_LARGEST_ID = 2**32 - 2
_ROOT = provisions.User(0, 0)


def problem(made: plan.Plan) -> str | None:
    """Say what does not fit in the profile, the deployment and the ports, or None."""
    return _profile_problem(made) or _storage_problem(made) or _limits_problem(made) or _ports_problem(made)


def _profile_problem(made: plan.Plan) -> str | None:
    security = made.security
    ids = (security.user.uid, security.user.gid)
    if (security.user == _ROOT) != made.has_program_users or (0 in ids and security.user != _ROOT):
        return "the container's user is root exactly under the exception program-users"
    if not all(0 <= one <= _LARGEST_ID for one in ids):
        return "the container's user is no user"
    added = (security.capabilities, security.devices, security.groups, security.runtime, security.gpu)
    if any(added) and not made.exceptions:
        return "capabilities, devices, groups, a runtime or a GPU are there without an exception"
    if _is_repeated(security.capabilities) or not {*security.capabilities} <= {*hardening.CAPABILITIES}:
        return "the capabilities are not, each once, those of Linux"
    if made.has_program_users and not {*hardening.PROGRAM_USERS_CAPABILITIES} <= {*security.capabilities}:
        return "the exception program-users lacks a capability that it needs"
    if _is_repeated(device.path for device in security.devices) or not all(map(_is_device, security.devices)):
        return "the devices are not, each once, paths below /dev with what is allowed"
    if not all(_GROUP.fullmatch(group) and group not in {"0", "root"} for group in security.groups):
        return "a supplementary group is not a name or a number, or is root's"
    if security.runtime is not None and not _RUNTIME.fullmatch(security.runtime):
        return "the runtime is not the name of one"
    if security.gpu is not None and security.gpu not in hardening.GPUS:
        return f"the GPU is none of {', '.join(hardening.GPUS)}"
    if not all(_SYSCALL.fullmatch(name) for name in security.denied_syscalls):
        return "a denied system call is not the name of one"
    return None


def _storage_problem(made: plan.Plan) -> str | None:
    tmpfs, volumes = made.security.tmpfs, made.deploy.volumes
    paths = [mount.path for mount in tmpfs] + [volume.path for volume in volumes]
    if _is_repeated(paths) or not all(map(_is_path, paths)):
        return "what is mounted is not, each once, at absolute normal paths"
    if any(mount.size_bytes <= 0 for mount in tmpfs) or any(volume.size_bytes <= 0 for volume in volumes):
        return "a file system or a volume has no size"
    if any(not 0 <= mount.mode <= 0o7777 for mount in tmpfs):
        return "the mode of a file system in memory is none"
    if any(mount.owner is not None for mount in tmpfs) and not made.has_program_users:
        return "a file system in memory is another user's without the exception program-users"
    if _is_repeated(volume.name for volume in volumes) or not all(_LABEL.fullmatch(one.name) for one in volumes):
        return "the names of volumes are not, each once, DNS-1123 labels"
    if made.deploy.kind is not None and made.deploy.kind not in hardening.KINDS:
        return f"what a cluster makes of it is none of {', '.join(hardening.KINDS)}"
    return "there are fewer than no replicas" if made.deploy.replicas < 0 else None


def _limits_problem(made: plan.Plan) -> str | None:
    limits = made.security.limits
    least = min(limits.memory_bytes, limits.pids, limits.files)
    return "a limit of nothing is no limit" if least <= 0 or (limits.cpus is not None and limits.cpus <= 0) else None


def _ports_problem(made: plan.Plan) -> str | None:
    if any(program.ports for program in made.programs if program.role != "program"):
        return "a program of bootseal's own declares ports"
    ports = [port for program in made.programs for port in program.ports]
    if not all(0 < port.port < 65536 and _HOST.fullmatch(port.host) for port in ports):
        return "a program's port is not 1 to 65535 at an IP address"
    return None


def _is_device(device: hardening.Device) -> bool:
    is_path = _DEVICE.fullmatch(device.path) is not None and _is_path(device.path)
    return is_path and _PERMISSIONS.fullmatch(device.permissions) is not None


def _is_path(path: str) -> bool:
    return path.startswith("/") and not {"", ".", ".."} & {*path[1:].split("/")}


def _is_repeated(items: Iterable[str]) -> bool:
    found = list(items)
    return len(set(found)) != len(found)
