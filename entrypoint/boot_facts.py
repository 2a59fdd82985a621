"""What there is to boot, and what runs: a plan, a boot, its sockets and ports; facts, collected without judging them.

Rules
-----
* No port is bound for longer than the question takes, and none while a boot runs that may have it.
"""

import contextlib
import dataclasses
import os
import socket

from contract import boot_record, errors, process, rundir
from entrypoint import asking
from manifest import plan as plans
from manifest import serving
from supervisord import client

_ASK_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class Door:
    """A socket of a boot: ``answer`` is "" when it answers, else why not."""

    what: str
    where: str
    answer: str


@dataclasses.dataclass(frozen=True)
class Booted:
    """The boot that the run directory belongs to; ``problem`` says how its plan is not what it booted with.

    ``uid`` is its PID 1's, None where the kernel does not say; ``stopped`` says that this process is stopped.
    """

    pid1: int
    plan_directory: str
    problem: str
    doors: tuple[Door, ...]
    uid: int | None = None
    stopped: bool = False


@dataclasses.dataclass(frozen=True)
class Compiled:
    """A plan that is there to be booted; ``taken`` are its ports that something else listens on."""

    directory: str
    problem: str
    name: str
    descriptors: int
    program_users: bool
    taken: tuple[str, ...]


def booted(run: rundir.RunDirectory) -> Booted | None:
    """Return the boot that ``run`` belongs to, or None."""
    holder = asking.claimant(run)
    if holder is None:
        return None
    directory, problem = "", ""
    try:
        record = boot_record.read(run)
        directory = record.plan_directory
        plans.load_of_boot(record)
    except FileNotFoundError:
        problem = "it has not written boot.json yet: Stage A works"
    except OSError as error:
        problem = f"{run.boot_record}: {errors.describe_os_error(error)}"
    except errors.BootsealError as error:
        problem = f"{error.what}: {error.why}"
    is_stopped = process.is_stopped(holder.pid, holder.start)
    return Booted(holder.pid, directory, problem, _doors(run), _uid(holder.pid), is_stopped)


def _doors(run: rundir.RunDirectory) -> tuple[Door, ...]:
    """Return the doors; that the kernel lets us in says nothing, so who is behind one is asked for an answer where he gives one."""
    return (
        Door("PID 1's RPC", run.supervisor_socket, _ask_pid1(run)),
        Door("PID 1's ledger feed", run.ledger_socket, _knock(run.ledger_socket)),
        Door("the probe server", run.probes_socket, _ask_probes(run)),
    )


def _ask_pid1(run: rundir.RunDirectory) -> str:
    try:
        client.Client(run.supervisor_socket).summary(timeout_seconds=_ASK_SECONDS)
    except errors.BootsealError as error:
        return error.why
    return ""


def _ask_probes(run: rundir.RunDirectory) -> str:
    try:
        asking.probe(run, "/health", timeout_seconds=_ASK_SECONDS)
    except errors.BootsealError as error:
        return error.why
    return ""


def _uid(pid: int) -> int | None:
    """Return the effective uid of ``pid``; who owns /proc/PID does not say it, of a process that is not dumpable (proc(5))."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
            return next((int(line.split()[2]) for line in file if line.startswith("Uid:")), None)
    except (OSError, ValueError, IndexError):
        return None


def _knock(path: str) -> str:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as door:
        door.settimeout(1.0)
        try:
            door.connect(path)
        except TimeoutError:
            return "no answer within 1 s"
        except OSError as error:
            return errors.describe_os_error(error)
    return ""


def compiled(given: str | None, running: Booted | None) -> Compiled | None:
    """Return the plan in the directory ``given``, of the boot that is ``running``, or of the image; None where there is none."""
    directory = given or (running.plan_directory if running else "") or f"{plans.PREFIX}/etc"
    if given is None and not os.path.exists(f"{directory}/{plans.PLAN_FILE}"):
        return None
    try:
        found = plans.load(directory).plan
    except (errors.BootsealError, OSError) as error:
        why = error.why if isinstance(error, errors.BootsealError) else errors.describe_os_error(error)
        return Compiled(directory, why, "", 0, False, ())
    ports = [(found.probes.host, found.probes.port), (found.probes.metrics_host, found.probes.metrics_port),
             (found.probes.detail.host, found.probes.detail.port)]  # fmt: skip
    taken = tuple(
        f"{serving.address(host, port)}: {why}"
        for host, port in ports
        if host and port and (why := _try_port(host, port))
    )
    return Compiled(directory, "", found.name, found.descriptors, found.has_program_users, () if running else taken)


def _try_port(host: str, port: int) -> str:
    """Return why the port cannot be had, "" when it can."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with contextlib.ExitStack() as stack:
        try:
            one = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            one.bind((host, port))
        except OSError as error:
            return errors.describe_os_error(error)
    return ""
