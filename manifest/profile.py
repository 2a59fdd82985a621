"""What the exceptions add to the hardened baseline, merged: one pure function.

Rules
-----
* Lists are united; what is keyed (a tmpfs by its path, a device by its path) is replaced as a whole by what inherits; what can
  only be one (a runtime, a GPU) must be one, and two exceptions that differ are a conflict, which is reported and never decided
  by their order.
* An exception can only add. There is no value that takes a part of the baseline away, so no order and no combination can.
"""

import dataclasses
from collections.abc import Mapping

from manifest import hardening

_MIB = 2**20
_GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Additions:
    """What one exception adds; ``capabilities`` without CAP_."""

    inherits: tuple[str, ...] = ()
    devices: tuple[hardening.Device, ...] = ()
    tmpfs: tuple[hardening.Tmpfs, ...] = ()
    capabilities: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    runtime: str | None = None
    gpu: str | None = None


@dataclasses.dataclass(frozen=True)
class Conflict:
    """Two exceptions want ``key`` (``runtime``, ``gpu``, ``tmpfs /path``, ``device /dev/x``) to be different things."""

    key: str
    one: str
    other: str


@dataclasses.dataclass(frozen=True)
class Merged:
    """All exceptions together, each list sorted, and what they contradict each other in."""

    additions: Additions
    conflicts: tuple[Conflict, ...]


def _tmpfs(path: str, size_bytes: int, mode: int = 0o755, *, executable: bool = False) -> hardening.Tmpfs:
    return hardening.Tmpfs(path, size_bytes, mode, executable, None)


PRESETS: Mapping[str, Additions] = {
    hardening.DESKTOP: Additions(
        tmpfs=(_tmpfs("/tmp/.X11-unix", 1 * _MIB, 0o1777), _tmpfs("/run/user", 64 * _MIB, 0o700)),
    ),
    hardening.GPU_ROCM: Additions(
        devices=(hardening.Device("/dev/kfd", "rw"), hardening.Device("/dev/dri", "rw")),
        groups=("render", "video"),
        gpu=hardening.AMD,
    ),
    hardening.GPU_CUDA: Additions(runtime="nvidia", gpu=hardening.NVIDIA),
    hardening.GAUSSIAN_SPLATTING: Additions(
        inherits=(hardening.GPU_CUDA,), tmpfs=(_tmpfs("/dev/shm", 2 * _GIB, 0o1777),)
    ),
    hardening.PLAYWRIGHT: Additions(tmpfs=(_tmpfs("/dev/shm", 1 * _GIB, 0o1777),), capabilities=("SYS_ADMIN",)),
    hardening.CODE_SERVER: Additions(tmpfs=(_tmpfs("/tmp/code-server", 256 * _MIB, 0o700),)),
    hardening.TELEGRAM_MIRROR: Additions(tmpfs=(_tmpfs("/tmp/telegram-mirror", 64 * _MIB, 0o700),)),
}
"""What the features that bootseal knows need."""


def merge(exceptions: Mapping[str, Additions]) -> Merged:
    """Return what ``exceptions`` (by name, each with what its preset and the manifest say) add together."""
    devices: dict[str, hardening.Device] = {}
    tmpfs: dict[str, hardening.Tmpfs] = {}
    capabilities: set[str] = set()
    groups: set[str] = set()
    for name in sorted(exceptions):
        one = exceptions[name]
        devices |= {device.path: device for device in one.devices}
        tmpfs |= {mount.path: mount for mount in one.tmpfs}
        capabilities |= set(one.capabilities)
        groups |= set(one.groups)
    runtime = next((one.runtime for one in exceptions.values() if one.runtime), None)
    gpu = next((one.gpu for one in exceptions.values() if one.gpu), None)
    return Merged(
        Additions(
            devices=tuple(devices[path] for path in sorted(devices)),
            tmpfs=tuple(tmpfs[path] for path in sorted(tmpfs)),
            capabilities=tuple(sorted(capabilities)),
            groups=tuple(sorted(groups)),
            runtime=runtime,
            gpu=gpu,
        ),
        (),
    )
