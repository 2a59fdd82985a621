"""What this machine, or container, is to bootseal: facts, collected without judging them.

Rules
-----
* Looking changes nothing: no file is written, no limit raised.
* A fact that cannot be had is None, or the words of why; collecting never raises.
"""

import ctypes
import dataclasses
import importlib.util
import os
import platform
import resource
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Sequence

from contract import errors, rundir
from entrypoint import boot_facts, landlock, mounts, privileges

LIBRARIES = ("supervisor", "aiohttp", "psutil", "prometheus_client", "pythonjsonlogger", "cryptography", "rfc8785", "click", "rich",
             "yaml", "pydantic", "elftools")  # fmt: skip
ENGINES = ("podman", "docker", "buildah", "runc", "crun")
_OPENAT2 = 437
"""The same on every architecture that has it (include/uapi/asm-generic/unistd.h)."""
_ENGINE_SECONDS = 5.0
_CGROUP = "/sys/fs/cgroup"
_LIMIT = 65536


@dataclasses.dataclass(frozen=True)
class Place:
    """The run directory; ``problem`` says why it, or what is above it, cannot be used, "" when it can."""

    path: str
    exists: bool
    owner: int | None
    mode: int | None
    filesystem: str | None
    read_only: bool
    free_bytes: int | None
    problem: str


@dataclasses.dataclass(frozen=True)
class Facts:
    """Everything that is judged; bytes, seconds since the epoch, and None where the kernel does not say."""

    kernel: str
    landlock: int | None
    landlock_lacks: str
    has_openat2: bool
    has_pidfd: bool
    in_container: bool
    uid: int
    capabilities: int | None
    no_new_privileges: bool | None
    seccomp: str | None
    root_read_only: bool
    place: Place
    cgroups: str
    memory_limit: int | None
    memory_used: int | None
    pids_limit: int | None
    pids_used: int | None
    descriptors_soft: int
    descriptors_hard: int
    clock: float
    engines: dict[str, str]
    engines_broken: dict[str, str]
    python: str
    prefix: str
    libraries_missing: tuple[str, ...]
    compiled: boot_facts.Compiled | None
    booted: boot_facts.Booted | None


def collect(run: rundir.RunDirectory, plan_directory: str | None) -> Facts:
    """Look at everything; ``plan_directory`` None looks at the plan of the boot that runs, or of the image."""
    status = _status()
    version, lacks = _landlock()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    kind, groups = _cgroups()
    booted = boot_facts.booted(run)
    engines, broken = _engines()
    return Facts(
        kernel=platform.release(),
        landlock=version,
        landlock_lacks=lacks,
        has_openat2=_has_openat2(),
        has_pidfd=_has_pidfd(),
        in_container=_in_container(),
        uid=os.geteuid(),
        capabilities=_hexadecimal(status.get("CapEff")),
        no_new_privileges={"0": False, "1": True}.get(status.get("NoNewPrivs", "")),
        seccomp={"0": "disabled", "1": "strict", "2": "filter"}.get(status.get("Seccomp", "")),
        root_read_only=bool(os.statvfs("/").f_flag & os.ST_RDONLY),
        place=_place(run.path, booted),
        cgroups=kind,
        memory_limit=_first_number(groups, "memory", ("memory.max", "memory.limit_in_bytes")),
        memory_used=_first_number(groups, "memory", ("memory.current", "memory.usage_in_bytes")),
        pids_limit=_first_number(groups, "pids", ("pids.max",)),
        pids_used=_first_number(groups, "pids", ("pids.current",)),
        descriptors_soft=soft,
        descriptors_hard=hard,
        clock=time.time(),
        engines=engines,
        engines_broken=broken,
        python=platform.python_version(),
        prefix=sys.prefix,
        libraries_missing=tuple(name for name in LIBRARIES if importlib.util.find_spec(name) is None),
        compiled=boot_facts.compiled(plan_directory, booted),
        booted=booted,
    )


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(_LIMIT)
    except OSError:
        return ""


def _status() -> dict[str, str]:
    return {
        name: value.strip()
        for name, _, value in (line.partition(":") for line in _read("/proc/self/status").splitlines())
    }


def _hexadecimal(text: str | None) -> int | None:
    try:
        return int(text, 16) if text else None
    except ValueError:
        return None


def _landlock() -> tuple[int | None, str]:
    try:
        return landlock.version(), ""
    except landlock.Unavailable as error:
        return None, error.why
    except OSError as error:
        return None, errors.describe_os_error(error)


def _has_openat2() -> bool:
    import errno

    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    libc.syscall(ctypes.c_long(_OPENAT2), ctypes.c_long(-1), None, None, ctypes.c_size_t(0))
    return ctypes.get_errno() not in {errno.ENOSYS, errno.EPERM}


def _has_pidfd() -> bool:
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _in_container() -> bool:
    """Engines leave a file (podman's is hidden by a tmpfs at /run) or a variable; or PID 1 is ours."""
    marks = ("/run/.containerenv", "/.dockerenv")
    return (
        any(os.path.exists(mark) for mark in marks)
        or not {"KUBERNETES_SERVICE_HOST", "container"}.isdisjoint(os.environ)
        or "supervisord.pid1" in _read("/proc/1/cmdline").split("\0")
    )


def _place(path: str, booted: boot_facts.Booted | None) -> Place:
    nearest = path
    while not os.path.isdir(nearest) and nearest != "/":
        nearest = os.path.dirname(nearest) or "/"
    try:
        status, system = os.stat(nearest), os.statvfs(nearest)
    except OSError as error:
        return Place(path, False, None, None, None, False, None, errors.describe_os_error(error))
    exists = nearest == path
    return Place(
        path=path,
        exists=exists,
        owner=status.st_uid if exists else None,
        mode=stat.S_IMODE(status.st_mode) if exists else None,
        filesystem=_filesystem(nearest),
        read_only=bool(system.f_flag & os.ST_RDONLY),
        free_bytes=system.f_bavail * system.f_frsize,
        problem=_unusable(path, nearest, status, booted),
    )


def _unusable(path: str, nearest: str, status: os.stat_result, booted: boot_facts.Booted | None) -> str:
    """Return why no boot of ours can use ``path``; where one lives already, whether it is as that boot needs it, whoever asks."""
    try:
        rundir.check_socket_paths(path)
        if booted is not None:
            rundir.judge_ownership(path, status, status.st_uid if booted.uid is None else booted.uid)
            return ""
        if nearest == path:
            rundir.judge_ownership(f"run directory {path}", status, os.geteuid())
    except errors.BootsealError as error:
        return error.why if booted is None else error.why.replace("this process is", "the boot there is")
    return "" if os.access(nearest, os.W_OK | os.X_OK) else f"{nearest} cannot be written by uid {os.geteuid()}"


def _filesystem(path: str) -> str | None:
    try:
        known = mounts.read()
    except (OSError, ValueError):
        return None
    real = os.path.realpath(path)
    above = [one for one in known if real == one.point or real.startswith(one.point.rstrip("/") + "/")]
    return max(above, key=lambda one: len(one.point)).filesystem if above else None


def _cgroups() -> tuple[str, dict[str, str]]:
    """Return v2, hybrid, v1 or none, and the directory of this process in each controller's hierarchy."""
    lines = [line.split(":", 2) for line in _read("/proc/self/cgroup").splitlines() if line.count(":") >= 2]
    unified = next((path for number, controllers, path in lines if number == "0" and not controllers), None)
    legacy = {name: path for _, controllers, path in lines for name in controllers.split(",") if name}
    if not legacy:
        found = dict.fromkeys(("memory", "pids"), f"{_CGROUP}{unified}") if unified is not None else {}
        return ("v2" if unified is not None else "none"), found
    where = {name: f"{_CGROUP}/{name}{path}" for name, path in legacy.items()}
    return ("hybrid" if unified is not None else "v1"), where


def _first_number(groups: dict[str, str], controller: str, names: Sequence[str]) -> int | None:
    """Return the number in the first file that holds one; in a cgroup namespace the group is the hierarchy's root."""
    base = groups.get(controller)
    roots = [base, f"{_CGROUP}/{controller}", _CGROUP] if base else []
    for root in roots:
        for name in names:
            text = _read(f"{root}/{name}").strip()
            if text.isdigit():
                return int(text) if int(text) < 1 << 60 else None
    return None


def _engines() -> tuple[dict[str, str], dict[str, str]]:
    """Return what each engine that is here says of its version, and of each that cannot say it why."""
    found, broken = {}, {}
    for name in ENGINES:
        path = shutil.which(name)
        if path is None:
            continue
        try:
            said = subprocess.run(
                [path, "--version"], capture_output=True, text=True, timeout=_ENGINE_SECONDS, check=False
            )
        except (OSError, subprocess.SubprocessError) as error:
            broken[name] = f"does not answer: {type(error).__name__}"
            continue
        version = _first_line(said.stdout)
        if said.returncode == 0 and version:
            found[name] = version
        else:
            broken[name] = f"exit code {said.returncode}: {_first_line(said.stderr)}".rstrip(": ")
    return found, broken


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0][:200]


NEEDED = privileges.NEEDED
"""The capabilities that only ``security.exceptions.program-users`` needs, with their numbers."""
