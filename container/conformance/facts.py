"""What was seen of a running container, as the kernel's text says it and as the judges read it. Pure.

Rules
-----
* ``collector`` sends the kernel's own text wherever there is one, and it is parsed here: the same parser reads what the host's
  /proc says of the same process.
* No value of an environment variable, no content of a secret and no line of a program's output is among the facts.
* ``None`` is what could not be seen; nothing is made up for it.
"""

import dataclasses
import functools
import ipaddress
import re
from collections.abc import Iterable, Iterator

from contract import attested, decode, errors, process

CAPABILITY_SETS = ("Inh", "Prm", "Eff", "Bnd", "Amb")
_LISTEN, _UNCONNECTED = "0A", "07"
_ESCAPED = re.compile(r"\\([0-7]{3})")


@dataclasses.dataclass(frozen=True)
class Process:
    """A process: ``uids`` and ``gids`` are the real, effective, saved and file system one; ``variables`` the names in its environment."""

    pid: int
    parent: int
    start: int
    argv: tuple[str, ...]
    uids: tuple[int, ...]
    gids: tuple[int, ...]
    groups: tuple[int, ...]
    capabilities: dict[str, tuple[str, ...]]
    no_new_privileges: bool | None
    seccomp: int | None
    variables: tuple[str, ...] | None

    @property
    def shown(self) -> str:
        """The process as a message names it."""
        return errors.printable(f"process {self.pid} ({' '.join(self.argv)[:60] or 'without arguments'})")


@dataclasses.dataclass(frozen=True)
class Mount:
    """A mount at ``point``; ``options`` are the mount's and, behind them, the file system's."""

    point: str
    kind: str
    options: tuple[str, ...]
    settings: tuple[str, ...]

    @property
    def is_read_only(self) -> bool:
        """Whether the mount or its file system is."""
        return "ro" in self.options or "ro" in self.settings

    def setting(self, name: str) -> str | None:
        """Return the value of the file system's option ``name``, or None."""
        return next((one.partition("=")[2] for one in self.settings if one.startswith(f"{name}=")), None)


@dataclasses.dataclass(frozen=True)
class Listener:
    """A socket that waits for others; ``owner`` is the process that was seen to hold it."""

    protocol: str
    host: str
    port: int
    owner: int | None

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return address(self.host).is_loopback

    @property
    def shown(self) -> str:
        """The socket as a message names it."""
        return f"{self.protocol} {f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"


@dataclasses.dataclass(frozen=True)
class Entry:
    """What stands at ``path``; ``kind`` is file, directory, socket, link, device or other."""

    path: str
    kind: str
    mode: int
    uid: int
    gid: int


@dataclasses.dataclass(frozen=True)
class Answer:
    """An HTTP answer; status 0 stands for none, with the reason as its body."""

    status: int
    content_type: str
    body: str


@dataclasses.dataclass(frozen=True)
class Ran:
    """A command that was run in the container: its exit code and what it printed."""

    code: int
    output: str


@dataclasses.dataclass(frozen=True)
class Attempt:
    """A try to write beneath ``path``: the error's name, or "" where it was written."""

    path: str
    error: str


@dataclasses.dataclass(frozen=True)
class Collected:
    """What ``collector`` prints."""

    boot_record: str | None
    seal_hex: str | None
    plan_sha256: str | None
    config_sha256: str | None
    lock_sha256: str | None
    processes: tuple["Told", ...]
    mountinfo: str
    entries: tuple[Entry, ...]
    run_directory: Entry | None
    devices: tuple[str, ...]
    groups: dict[str, int]
    attempts: tuple[Attempt, ...]
    writable: tuple[str, ...]
    looked_at: int
    sockets: dict[str, str]
    owners: dict[str, int]
    first_ephemeral_port: int
    limits: str | None
    cgroup: dict[str, str]
    answers: dict[str, Answer]
    ledger: str | None
    ledger_error: str
    ran: dict[str, Ran]
    errors: tuple[str, ...]
    error_count: int | None


@dataclasses.dataclass(frozen=True)
class Told:
    """A process in the kernel's words: ``/proc/PID/stat`` and ``status``."""

    pid: int
    stat: str
    status: str
    argv: tuple[str, ...]
    variables: tuple[str, ...] | None


@dataclasses.dataclass(frozen=True)
class Inside:
    """What was seen from within; ``told`` has all that needs no parsing."""

    told: Collected
    processes: tuple[Process, ...]
    mounts: tuple[Mount, ...]
    listeners: tuple[Listener, ...]

    def process(self, pid: int) -> Process | None:
        """Return the process ``pid``, or None."""
        return next((one for one in self.processes if one.pid == pid), None)

    def mount(self, point: str) -> Mount | None:
        """Return what is mounted at ``point``, the last one where there are several, or None."""
        return next((one for one in reversed(self.mounts) if one.point == point), None)

    @functools.cached_property
    def entries(self) -> dict[str, Entry]:
        """The entries by path."""
        return {one.path: one for one in self.told.entries}


@dataclasses.dataclass(frozen=True)
class Outside:
    """What was seen from the machine that runs the suite; ``why`` says why nothing more.

    ``main`` is the container's first process as the host sees it, ``shared`` the namespaces of the host's that it is in,
    ``allowed_syscalls`` what a seccomp profile of the container's own allows (None: the engine's default, or not seen),
    ``log`` what the container printed.
    """

    backend: str
    why: str
    main: Process | None = None
    shared: tuple[str, ...] | None = None
    privileged: bool | None = None
    allowed_syscalls: tuple[str, ...] | None = None
    log: str | None = None


def parse(data: bytes, where: str) -> Inside:
    """Return what the collector printed; raises InvalidRecord naming ``where``."""
    told = decode.build(Collected, decode.json_object(data, where), where)
    try:
        processes = tuple(read_process(one) for one in told.processes)
        mounts = tuple(read_mount(line) for line in told.mountinfo.splitlines())
        listeners = tuple(read_listeners(told))
    except (ValueError, LookupError) as error:
        remedy = "the suite reads the /proc of Linux alone"
        raise errors.InvalidRecord(where, f"the kernel's text is not as expected: {error}", remedy) from error
    return Inside(told, processes, mounts, listeners)


def read_process(told: Told) -> Process:
    """Return the process that ``told`` describes (proc_pid_stat(5), proc_pid_status(5)); raises ValueError or LookupError."""
    status = {name: value.split() for name, _, value in (line.partition(":") for line in told.status.splitlines())}
    seccomp = status.get("Seccomp")
    privileges = status.get("NoNewPrivs")
    return Process(
        pid=told.pid,
        parent=int(status["PPid"][0]),
        start=process.parse_start_time(told.stat),
        argv=told.argv,
        uids=tuple(int(one) for one in status["Uid"]),
        gids=tuple(int(one) for one in status["Gid"]),
        groups=tuple(int(one) for one in status["Groups"]),
        capabilities={one: capabilities(int(status[f"Cap{one}"][0], 16)) for one in CAPABILITY_SETS},
        no_new_privileges=None if privileges is None else privileges == ["1"],
        seccomp=None if seccomp is None else int(seccomp[0]),
        variables=told.variables,
    )


def capabilities(mask: int) -> tuple[str, ...]:
    """Return the names of the capabilities in ``mask``; one that is newer than this table is named by its number."""
    numbers = [number for number in range(mask.bit_length()) if mask >> number & 1]
    known = attested.CAPABILITIES
    return tuple(known[one] if one < len(known) else f"number {one}" for one in numbers)


def read_mount(line: str) -> Mount:
    """Return the mount in a line of mountinfo (proc_pid_mountinfo(5)); raises ValueError or LookupError."""
    front, _, back = line.partition(" - ")
    own, system = front.split(), back.split()
    return Mount(_unescaped(own[4]), system[0], tuple(own[5].split(",")), tuple(system[2].split(",")))


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 8)), text)


def read_listeners(told: Collected) -> Iterator[Listener]:
    """Yield each socket that waits: a TCP one that listens, a UDP one that is bound to a port that the kernel does not hand out."""
    for protocol, text in sorted(told.sockets.items()):
        for line in text.splitlines()[1:]:
            words = line.split()
            host, port = _endpoint(words[1])
            is_tcp = protocol.startswith("tcp") and words[3] == _LISTEN
            is_udp = protocol.startswith("udp") and words[3] == _UNCONNECTED and port < told.first_ephemeral_port
            if is_tcp or is_udp:
                yield Listener(protocol[:3], host, port, told.owners.get(words[9]))


def _endpoint(text: str) -> tuple[str, int]:
    """Return the address that /proc/net writes as 32-bit words in the machine's order, here little-endian as everywhere it runs."""
    written, _, port = text.partition(":")
    words = (bytes.fromhex(written[at : at + 8])[::-1] for at in range(0, len(written), 8))
    return str(ipaddress.ip_address(b"".join(words))), int(port, 16)


def address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """Return the IP address ``host``, the IPv4 one where it is only mapped (RFC 4291, 2.5.5.2)."""
    found = ipaddress.ip_address(host)
    return found.ipv4_mapped or found if isinstance(found, ipaddress.IPv6Address) else found


def is_within(path: str, roots: Iterable[str]) -> bool:
    """Say whether ``path`` is one of ``roots`` or lies beneath one."""
    return any(path == root or path.startswith(f"{root.rstrip('/')}/") for root in roots)
