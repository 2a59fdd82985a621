"""What the exceptions add to the hardened baseline, merged: one pure function.

Rules
-----
* An exception can only add. There is no value that takes a part of the baseline away, so no order and no combination can.
* Lists are united. What is keyed (a tmpfs by its path, a device by its path) or can only be one (the runtime, the GPU) is
  replaced as a whole by what inherits from whoever said it; a preset is inherited from by what the manifest writes under its
  name. ``security.tmpfs`` inherits from everybody.
* Two that do not inherit from each other and say different things are a conflict, which is reported. Nothing is decided by the
  order in which they are written, and two sizes are as different as two GPUs.
* Inheritance is transitive. What is unknown is inherited by nobody, and those of a circle do not replace each other: the
  rules refuse both.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TypeVar

from manifest import hardening, provisions

_MIB = 2**20
_GIB = 2**30
SECURITY = "security.tmpfs"
"""What stands for ``security.tmpfs`` among the names of exceptions; no label holds a dot."""

_Value = TypeVar("_Value")


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
    """The exceptions ``one`` and ``other`` want ``key`` to be different things.

    ``key`` is ``runtime``, ``gpu``, ``tmpfs /path`` or ``device /dev/x``.
    """

    key: str
    one: str
    other: str


@dataclasses.dataclass(frozen=True)
class Merged:
    """All exceptions together, each list sorted, and what they contradict each other in.

    Where there is a conflict, what the first by name says stands here; no plan is made of it.
    """

    additions: Additions
    conflicts: tuple[Conflict, ...]


def _tmpfs(path: str, size_bytes: int, mode: int = 0o755) -> hardening.Tmpfs:
    return hardening.Tmpfs(path, size_bytes, mode, executable=False, owner=None)


PRESETS: Mapping[str, Additions] = {
    hardening.DESKTOP: Additions(
        tmpfs=(_tmpfs("/tmp/.X11-unix", 1 * _MIB, 0o1777), _tmpfs("/run/user", 64 * _MIB, 0o700)),
    ),
    hardening.GPU_ROCM: Additions(
        devices=(hardening.Device("/dev/dri", "rw"), hardening.Device("/dev/kfd", "rw")),
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
    provisions.PROGRAM_USERS: Additions(capabilities=hardening.PROGRAM_USERS_CAPABILITIES),
}
"""What the features that bootseal knows need, and ``program-users``."""


def merge(written: Mapping[str, Additions], said: Iterable[hardening.Tmpfs] = ()) -> Merged:
    """Return what the exceptions ``written`` in a manifest add together, with what they inherit.

    ``said`` are the file systems of ``security.tmpfs``.
    """
    layers = {name: alone(name, written) for name in _involved(written)}
    above = {name: inherited(name, written) for name in layers}
    layers[SECURITY] = Additions(tmpfs=tuple(said))
    above[SECURITY] = frozenset(layers) - {SECURITY}
    devices = _keyed({name: {one.path: one for one in layer.devices} for name, layer in layers.items()}, above)
    tmpfs = _keyed({name: {one.path: one for one in layer.tmpfs} for name, layer in layers.items()}, above)
    runtime = _keyed({name: {"runtime": layer.runtime} for name, layer in layers.items() if layer.runtime}, above)
    gpu = _keyed({name: {"gpu": layer.gpu} for name, layer in layers.items() if layer.gpu}, above)
    conflicts = [
        *_conflicts(devices, "device "),
        *_conflicts(tmpfs, "tmpfs "),
        *_conflicts(runtime, ""),
        *_conflicts(gpu, ""),
    ]
    return Merged(
        Additions(
            devices=tuple(devices[path][0][1] for path in sorted(devices)),
            tmpfs=tuple(tmpfs[path][0][1] for path in sorted(tmpfs)),
            capabilities=_united(layer.capabilities for layer in layers.values()),
            groups=_united(layer.groups for layer in layers.values()),
            runtime=next((standing[0][1] for standing in runtime.values()), None),
            gpu=next((standing[0][1] for standing in gpu.values()), None),
        ),
        tuple(sorted(conflicts, key=lambda one: (one.key, one.one, one.other))),
    )


def parents(name: str, written: Mapping[str, Additions]) -> tuple[str, ...]:
    """Return what the exception ``name`` inherits from directly: by the manifest and by its preset, known or not."""
    return _united(one[name].inherits for one in (PRESETS, written) if name in one)


def inherited(name: str, written: Mapping[str, Additions]) -> frozenset[str]:
    """Return all that the exception ``name`` inherits from; ``name`` itself is among it where it is part of a circle."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for parent in parents(waiting.pop(), written):
            if parent not in found and (parent in written or parent in PRESETS):
                found.add(parent)
                waiting.append(parent)
    return frozenset(found)


def capabilities(name: str, written: Mapping[str, Additions]) -> frozenset[str]:
    """Return the capabilities that the exception ``name`` adds, those of its preset and the inherited ones among them."""
    return frozenset(one for layer in {name, *inherited(name, written)} for one in alone(layer, written).capabilities)


def _involved(written: Mapping[str, Additions]) -> set[str]:
    return {*written, *(parent for name in written for parent in inherited(name, written))}


def alone(name: str, written: Mapping[str, Additions]) -> Additions:
    """Return what ``name`` itself says: its preset, and over it what the manifest writes under the same name."""
    preset, over = PRESETS.get(name, Additions()), written.get(name, Additions())
    return Additions(
        inherits=parents(name, written),
        devices=tuple(({one.path: one for one in preset.devices} | {one.path: one for one in over.devices}).values()),
        tmpfs=tuple(({one.path: one for one in preset.tmpfs} | {one.path: one for one in over.tmpfs}).values()),
        capabilities=_united((preset.capabilities, over.capabilities)),
        groups=_united((preset.groups, over.groups)),
        runtime=over.runtime or preset.runtime,
        gpu=over.gpu or preset.gpu,
    )


def _united(lists: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(sorted({one for items in lists for one in items}))


def _keyed(
    said: Mapping[str, Mapping[str, _Value]], above: Mapping[str, frozenset[str]]
) -> dict[str, list[tuple[str, _Value]]]:
    """Return for each key who says what of it, by name, without those from whom somebody who says it as well inherits."""
    found: dict[str, list[tuple[str, _Value]]] = {}
    for key in {key for values in said.values() for key in values}:
        names = [name for name in sorted(said) if key in said[name]]
        found[key] = [
            (name, said[name][key])
            for name in names
            if not any(name in above[heir] and heir not in above[name] for heir in names)
        ]
    return found


def _conflicts(standing: Mapping[str, list[tuple[str, _Value]]], kind: str) -> Iterable[Conflict]:
    for key, said in standing.items():
        first, value = said[0]
        yield from (Conflict(f"{kind}{key}", first, other) for other, its in said[1:] if its != value)
