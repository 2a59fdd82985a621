"""A plan whose profile, storage or ports do not fit is refused when it is read, whoever wrote it."""

import subprocess
import sys
from typing import Any

import pytest

from contract import errors
from manifest import hardening, plan, provisions
from tests.unit import boots

WHY = (provisions.ExceptionPlan("scanner", "raw sockets"),)
USERS = (provisions.ExceptionPlan(provisions.PROGRAM_USERS, "strangers"),)
FOUR = hardening.PROGRAM_USERS_CAPABILITIES
ROOT = provisions.User(0, 0)
MOUNT = hardening.Tmpfs("/x", 1, 0o755, executable=False, owner=None)


def confined(exceptions: tuple[provisions.ExceptionPlan, ...] = WHY, **changes: Any) -> plan.Plan:
    program = boots.program("api", user=provisions.User(7, 7) if exceptions == USERS else None)
    return boots.make_plan(program, exceptions=exceptions, security=boots.security(**changes))


def limited(memory: int = 1, pids: int = 1, files: int = 1, cpus: float | None = None) -> plan.Plan:
    return confined(limits=hardening.Limits(memory, cpus, pids, files))


def deployed(*volumes: hardening.Volume, kind: str | None = None, replicas: int = 1) -> plan.Plan:
    return boots.make_plan(deploy=hardening.DeployPlan(kind, replicas, volumes))


def with_port(host: str, port: int) -> plan.Plan:
    return boots.make_plan(boots.program("api", ports=(hardening.Port(host, port, exposed=False),)))


def with_own_port() -> plan.Plan:
    made = boots.make_plan()
    probes, *others = made.programs
    changed = boots.program("probes", role="probes", priority=1, ports=(hardening.Port("::", 80, exposed=True),))
    assert probes.name == changed.name
    return boots.make_plan(*(program for program in others if program.role == "program"), programs=(changed, *others))


REFUSED = {
    "root without program-users": (confined(user=ROOT), "root exactly under"),
    "root's group": (confined(user=provisions.User(1000, 0)), "root exactly under"),
    "half root under program-users": (confined(USERS, user=provisions.User(0, 7), capabilities=FOUR), "root exactly under"),
    "not root under program-users": (confined(USERS, capabilities=FOUR), "root exactly under"),
    "nobody's user": (confined(user=provisions.User(-1, 1)), "is no user"),
    "a capability without an exception": (confined((), capabilities=("NET_RAW",)), "without an exception"),
    "a device without an exception": (confined((), devices=(hardening.Device("/dev/x", "r"),)), "without an exception"),
    "a group without an exception": (confined((), groups=("video",)), "without an exception"),
    "a runtime without an exception": (confined((), runtime="kata"), "without an exception"),
    "a GPU without an exception": (confined((), gpu="amd"), "without an exception"),
    "all capabilities": (confined(capabilities=("ALL",)), "those of Linux"),
    "a capability twice": (confined(capabilities=("NET_RAW", "NET_RAW")), "each once, those of Linux"),
    "three capabilities for program-users": (confined(USERS, user=ROOT, capabilities=FOUR[1:]), "lacks a capability"),
    "a device elsewhere": (confined(devices=(hardening.Device("/etc/x", "r"),)), "paths below /dev"),
    "a device that leaves": (confined(devices=(hardening.Device("/dev/../x", "r"),)), "paths below /dev"),
    "a device with nothing allowed": (confined(devices=(hardening.Device("/dev/x", ""),)), "paths below /dev"),
    "a device twice": (confined(devices=(hardening.Device("/dev/x", "r"), hardening.Device("/dev/x", "rw"))), "each once"),
    "root's group as another": (confined(groups=("root",)), "a supplementary group"),
    "an option as a group": (confined(groups=("-x",)), "a supplementary group"),
    "an option as a runtime": (confined(runtime="--privileged"), "the runtime"),
    "another GPU": (confined(gpu="intel"), "none of nvidia, amd"),
    "not a system call": (confined(denied_syscalls=("a b",)), "a denied system call"),
    "a mount twice": (confined(tmpfs=(MOUNT, MOUNT)), "what is mounted"),
    "a mount at no path": (confined(tmpfs=(hardening.Tmpfs("x", 1, 0o755, executable=False, owner=None),)), "what is mounted"),
    "a mount that leaves": (confined(tmpfs=(hardening.Tmpfs("/x/..", 1, 0o755, executable=False, owner=None),)), "what is mounted"),
    "a mount without a limit": (confined(tmpfs=(hardening.Tmpfs("/x", 0, 0o755, executable=False, owner=None),)), "has no size"),
    "a mount of no mode": (confined(tmpfs=(hardening.Tmpfs("/x", 1, 0o10000, executable=False, owner=None),)), "the mode"),
    "another's mount": (confined(tmpfs=(hardening.Tmpfs("/x", 1, 0o755, executable=False, owner=ROOT),)), "another user's"),
    "no limit of memory": (limited(memory=0), "limit of nothing"),
    "no limit of processes": (limited(pids=-1), "limit of nothing"),
    "no limit of descriptors": (limited(files=0), "limit of nothing"),
    "no limit of CPUs": (limited(cpus=0.0), "limit of nothing"),
    "a volume and a mount": (deployed(hardening.Volume("tmp", "/tmp", 1)), "what is mounted"),
    "a volume of nothing": (deployed(hardening.Volume("x", "/x", 0)), "has no size"),
    "a volume of no name": (deployed(hardening.Volume("A", "/x", 1)), "names of volumes"),
    "two volumes of one name": (deployed(hardening.Volume("x", "/x", 1), hardening.Volume("x", "/y", 1)), "names of volumes"),
    "another kind": (deployed(kind="daemonset"), "none of deployment, statefulset, pod"),
    "fewer than none": (deployed(replicas=-1), "fewer than no replicas"),
    "a port that is none": (with_port("0.0.0.0", 65536), "not 1 to 65535"),
    "a host that is a name": (with_port("x.example", 80), "at an IP address"),
    "a port of our own program": (with_own_port(), "bootseal's own declares ports"),
}  # fmt: skip


@pytest.mark.parametrize(("made", "why"), REFUSED.values(), ids=REFUSED)
def test_parts_that_do_not_fit_are_refused(made: plan.Plan, why: str) -> None:
    with pytest.raises(errors.InvalidRecord, match=why):
        plan.parse(plan.dump(made), "plan.json")


def test_what_fits_is_read_back() -> None:
    added = {
        "capabilities": ("NET_RAW",),
        "devices": (hardening.Device("/dev/dri/card0", "rm"),),
        "groups": ("7", "video"),
    }
    for made in (
        confined(**added, runtime="kata", gpu="nvidia", denied_syscalls=("unshare",), tmpfs=(MOUNT,)),
        confined(
            USERS, user=ROOT, capabilities=FOUR, tmpfs=(hardening.Tmpfs("/x", 1, 0o1777, executable=True, owner=ROOT),)
        ),
        limited(cpus=0.5),
        deployed(hardening.Volume("x", "/x", 1), kind="pod", replicas=0),
        with_port("::1", 65535),
    ):
        assert plan.parse(plan.dump(made), "plan.json") == made


def test_it_is_judged_with_the_standard_library_alone() -> None:
    script = "import sys; from manifest import references; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert {"pydantic", "yaml", "click", "ipaddress"} & set(done.stdout.split()) == set()
