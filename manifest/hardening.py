"""How the container is confined and deployed, as it stands in the plan: what whoever runs it must apply. Standard library only.

Rules
-----
* The baseline is the same for every container: not root, a read-only root file system, no capabilities, no new privileges, the
  engine's own seccomp profile, limits on processes, memory and descriptors, no namespace of the host's. A plan only says what
  comes on top of it, and why (``Plan.exceptions``); nothing in a plan can take a part of the baseline away.
"""

from contract import attested, records
from manifest import provisions

DESKTOP, GPU_ROCM, GPU_CUDA, GAUSSIAN_SPLATTING, PLAYWRIGHT, CODE_SERVER, TELEGRAM_MIRROR = FEATURES = (
    "desktop",
    "gpu-rocm",
    "gpu-cuda",
    "gaussian-splatting",
    "playwright",
    "code-server",
    "telegram-mirror",
)
"""The features that bootseal knows what they need beyond the baseline; others are said in full."""

NVIDIA, AMD = GPUS = ("nvidia", "amd")

DEPLOYMENT, STATEFULSET, POD = KINDS = ("deployment", "statefulset", "pod")

CAPABILITIES = tuple(sorted(attested.CAPABILITIES))
"""The capabilities of Linux (capabilities(7)), without CAP_."""
PROGRAM_USERS_CAPABILITIES = ("CHOWN", "KILL", "SETGID", "SETUID")
"""What PID 1 needs as root to run every program as a user of its own (capabilities(7))."""


@records.dataclass(frozen=True)
class Tmpfs:
    """A file system in memory at ``path``, with permission bits ``mode``; programs in it run only where it is ``executable``.

    ``size_bytes`` is more than 0, which to the kernel would be no limit (tmpfs(5)). It belongs to ``owner``, by default to the user that the container runs as.
    """

    path: str
    size_bytes: int
    mode: int
    executable: bool
    owner: provisions.User | None


@records.dataclass(frozen=True)
class Volume:
    """Storage at ``path`` that outlives the container; ``name``, a DNS-1123 label, depends on the path alone."""

    name: str
    path: str
    size_bytes: int


@records.dataclass(frozen=True)
class Device:
    """A device of the host at the same ``path`` in the container; ``permissions`` are of r, w and m (mknod)."""

    path: str
    permissions: str


@records.dataclass(frozen=True)
class Limits:
    """What the container may use at most: bytes of memory, CPUs, processes and threads, descriptors of one process."""

    memory_bytes: int
    cpus: float | None
    pids: int
    files: int


@records.dataclass(frozen=True)
class SecurityPlan:
    """The profile that the container is to run under, on top of the baseline.

    ``capabilities`` are added to none, without CAP_. ``groups`` are supplementary ones, by name or number. ``runtime`` is the
    engine's name of an OCI runtime, ``gpu`` one of GPUS. ``denied_syscalls`` are taken from what the engine's seccomp profile
    allows. ``enforce``: the boot fails when the profile in force is another.
    """

    enforce: bool
    user: provisions.User
    capabilities: tuple[str, ...]
    devices: tuple[Device, ...]
    groups: tuple[str, ...]
    runtime: str | None
    gpu: str | None
    tmpfs: tuple[Tmpfs, ...]
    denied_syscalls: tuple[str, ...]
    limits: Limits


@records.dataclass(frozen=True)
class DeployPlan:
    """What a cluster makes of it: ``kind`` is one of KINDS, None where that is left to whether there are ``volumes``."""

    kind: str | None
    replicas: int
    volumes: tuple[Volume, ...]

    @property
    def workload(self) -> str:
        """The kind, decided."""
        return self.kind or (STATEFULSET if self.volumes else DEPLOYMENT)


@records.dataclass(frozen=True)
class Port:
    """A TCP port that a program listens on, and whether it is ``exposed``: published beyond the machine that runs the container."""

    host: str
    port: int
    exposed: bool
