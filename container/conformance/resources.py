"""What the container may use: limits and devices. Judges; see ``promise``.

Rules
-----
* A limit is in force when the kernel has it, whatever the engine was told; one that is higher, or lower, is another one.
* A pod's specification has no words for the number of processes or descriptors, nor for a device: there the cluster decides, and
  only memory and CPUs are judged.
"""

import re
from collections.abc import Iterator

from container.conformance import facts
from container.conformance.promise import Judging, Subject, Unseen, Violation
from manifest import hardening

_PAGE_BYTES = 4096
_NO_LIMIT = 1 << 60
"""What cgroup v1 shows where memory has no limit is near 2^63."""
_EVERY_CONTAINERS = frozenset(
    f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "console", "ptmx")
)
_OF_NVIDIA = ("/dev/nvidia", "/dev/dri")
_NO_CGROUP = "the container does not see its cgroup"


def memory(subject: Subject) -> Judging:
    """The memory limit is the plan's."""
    subject.must_be_confined()
    found = subject.inside.told.cgroup.get("memory")
    if found is None:
        raise Unseen(_NO_CGROUP)
    wanted = subject.plan.security.limits.memory_bytes
    number = int(found) if found.isdecimal() and int(found) < _NO_LIMIT else None
    if number is None:
        yield Violation(
            "memory", f"it has no limit, and the plan says {wanted} bytes", f"run it with --memory={wanted}"
        )
    elif number != wanted // _PAGE_BYTES * _PAGE_BYTES:
        why = f"its limit is {number} bytes, and the plan says {wanted}"
        yield Violation("memory", why, f"run it with --memory={wanted}")
    return f"{number} bytes"


def cpus(subject: Subject) -> Judging:
    """The container may use as many CPUs as the plan says."""
    subject.must_be_confined()
    wanted = subject.plan.security.limits.cpus
    if wanted is None:
        raise Unseen("the plan limits no CPUs")
    found = _cpus(subject.inside.told.cgroup)
    if found is None or abs(found - wanted) > 0.01:
        shown = "has no limit" if found is None else f"is limited to {found:g}"
        yield Violation("CPU", f"it {shown}, and the plan says {wanted:g}", f"run it with --cpus={wanted:g}")
    return f"{found:g}" if found is not None else ""


def _cpus(cgroup: dict[str, str]) -> float | None:
    if "cpu" not in cgroup:
        raise Unseen(_NO_CGROUP)
    quota, _, period = cgroup["cpu"].partition(" ")
    period = period or cgroup.get("cpu_period", "100000")
    return int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None


def processes(subject: Subject) -> Judging:
    """The number of processes is limited as the plan says."""
    subject.must_be_confined()
    _must_be_said(subject)
    found = subject.inside.told.cgroup.get("pids")
    if found is None:
        raise Unseen(_NO_CGROUP)
    wanted = subject.plan.security.limits.pids
    if found != str(wanted):
        shown = "are not limited" if found == "max" else f"are limited to {found}"
        yield Violation("processes", f"they {shown}, and the plan says {wanted}", f"run it with --pids-limit={wanted}")
    return found


def descriptors(subject: Subject) -> Judging:
    """A process may open as many descriptors as the plan says."""
    subject.must_be_confined()
    _must_be_said(subject)
    text = subject.inside.told.limits
    found = re.search(r"^Max open files\s+(\w+)\s+(\w+)", text or "", re.MULTILINE)
    if found is None:
        raise Unseen("PID 1's limits cannot be read")
    wanted = subject.plan.security.limits.files
    if found[2] != str(wanted):
        why = f"a process may open {found[2]}, and the plan says {wanted}"
        yield Violation("descriptors", why, f"run it with --ulimit=nofile={wanted}:{wanted}")
    return found[2]


def devices(subject: Subject) -> Judging:
    """No device is there but every container's and the plan's, and those are."""
    subject.must_be_confined()
    _must_be_said(subject)
    security = subject.plan.security
    planned = [one.path for one in security.devices]
    known = (*planned, *(_OF_NVIDIA if security.gpu == hardening.NVIDIA else ()))
    found = subject.inside.told.devices
    for path in _beyond(found, known):
        yield Violation(path, "it is a device that the plan does not name", "leave out --device")
    for path in planned:
        if not any(facts.is_within(one, [path]) for one in found):
            remedy = "run it where the device is, with --device as `bootseal render` says"
            yield Violation(path, "the plan names this device, and it is not there", remedy)
    return ", ".join(sorted(set(found) - _EVERY_CONTAINERS)) or "every container's alone"


def _beyond(found: tuple[str, ...], known: tuple[str, ...]) -> Iterator[str]:
    for path in found:
        if path not in _EVERY_CONTAINERS and not facts.is_within(path, known) and not path.startswith(_prefixes(known)):
            yield path


def _prefixes(known: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the names of NVIDIA's devices begin with, where the plan has them: nvidia0, nvidiactl, nvidia-uvm."""
    return tuple(one for one in known if one == "/dev/nvidia")


def _must_be_said(subject: Subject) -> None:
    if subject.is_kubernetes:
        raise Unseen("a pod's specification cannot say it: the cluster decides")
