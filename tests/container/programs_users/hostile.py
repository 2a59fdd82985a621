"""A hostile program under a user of its own: it tries whatever could reach PID 1, our processes or a neighbour.

Each attempt is one line of JSON on stdout: ``{"round", "attempt", "outcome"}``; the outcome is the name of an errno, or
``did: …`` with what came of it. A line ``{"round", "attempts": N}`` ends a round. The first round is made while the seal program
still runs: this program is ready only after it.
"""

import array
import contextlib
import ctypes
import errno
import http.client
import json
import os
import pathlib
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

RUN = "/run/bootseal"
LIBC = ctypes.CDLL(None, use_errno=True)
PTRACE_ATTACH, PTRACE_SEIZE = 16, 0x4206
SYS_PIDFD_GETFD, SYS_PROCESS_VM_READV, SYS_KCMP = 438, 310, 312  # x86_64
if os.uname().machine == "aarch64":
    SYS_PROCESS_VM_READV, SYS_KCMP = 270, 272
CLONE_NEWUSER = 0x10000000
CHILDREN = 400
Attempt = tuple[str, Callable[[], object]]


def called(result: int) -> int:
    """Return the result of a C function; raises OSError."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def in_child(act: Callable[[], object]) -> str:
    """Do it in a child, whose ids and groups are its own, and return or raise what came of it."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            said = f"did: {act()}"
        except OSError as error:
            said = str(error.errno)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(pid, 0)
    said = os.read(read, 4096).decode()
    os.close(read)
    if said.isdecimal():
        raise OSError(int(said), os.strerror(int(said)))
    return said.removeprefix("did: ")


def processes() -> dict[str, int]:
    """Return who is attacked, by name: PID 1, the probe server, the seal program while it runs, and the victim."""
    found = {"pid1": 1}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            words = pathlib.Path(f"/proc/{name}/cmdline").read_text().split("\0")
            for who, word in (("probes", "probes"), ("seal", "seal"), ("victim", "/opt/apart/victim.py")):
                if word in words and int(name) != 1:
                    found[who] = int(name)
    return found


def read(path: str) -> Callable[[], object]:
    return lambda: pathlib.Path(path).read_bytes()[:200]


def opened(path: str, flags: int) -> Callable[[], object]:
    return lambda: os.close(os.open(path, flags, 0o666))


# --- other processes --------------------------------------------------------------------------------------------------


def on_process(who: str, pid: int) -> Iterator[Attempt]:
    at = f"/proc/{pid}"
    for name in ("environ", "maps", "auxv", "io", "stack", "pagemap", f"task/{pid}/environ"):
        yield f"{who} read {name}", read(f"{at}/{name}")
    yield f"{who} open mem", opened(f"{at}/mem", os.O_RDONLY)
    yield f"{who} write mem", opened(f"{at}/mem", os.O_RDWR)
    for name in ("cwd", "root", "exe", "ns/mnt", "fd/0", "fd/1", "fd/3"):
        yield f"{who} link {name}", lambda name=name: os.readlink(f"{at}/{name}")
    for name in ("fd", "cwd/", "root/", "map_files"):
        yield f"{who} list {name}", lambda name=name: os.listdir(f"{at}/{name}")
    for number in (0, 1, 2, 3):
        yield f"{who} open fd {number}", opened(f"{at}/fd/{number}", os.O_RDWR)
    for name in ("oom_score_adj", "comm", "coredump_filter", "clear_refs"):
        yield f"{who} write {name}", opened(f"{at}/{name}", os.O_WRONLY)
    for number in (0, signal.SIGUSR1, signal.SIGTERM, signal.SIGSTOP, signal.SIGKILL):
        yield f"{who} kill {number}", lambda number=number: os.kill(pid, number)
    if os.getpgid(pid) > 1:  # kill(2): -1 is everybody, and 0 one's own group
        yield f"{who} killpg", lambda: os.killpg(os.getpgid(pid), signal.SIGUSR1)
    yield f"{who} pidfd signal", lambda: signal.pidfd_send_signal(os.pidfd_open(pid), signal.SIGKILL)
    yield f"{who} pidfd_getfd", lambda: called(LIBC.syscall(SYS_PIDFD_GETFD, os.pidfd_open(pid), 1, 0))
    yield f"{who} ptrace attach", lambda: called(LIBC.ptrace(PTRACE_ATTACH, pid, None, None))
    yield f"{who} ptrace seize", lambda: called(LIBC.ptrace(PTRACE_SEIZE, pid, None, None))
    yield f"{who} process_vm_readv", lambda: read_memory(pid)
    yield f"{who} kcmp", lambda: called(LIBC.syscall(SYS_KCMP, os.getpid(), pid, 0, 0, 0))
    yield f"{who} renice", lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)
    yield f"{who} affinity", lambda: os.sched_setaffinity(pid, {0})
    yield f"{who} limits", lambda: set_limits(pid)


def read_memory(pid: int) -> int:
    buffer = ctypes.create_string_buffer(8)
    vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
    return called(LIBC.syscall(SYS_PROCESS_VM_READV, pid, vector, 1, vector, 1, ctypes.c_ulong(0)))


def set_limits(pid: int) -> object:
    import resource

    return resource.prlimit(pid, resource.RLIMIT_CORE)


# --- files ------------------------------------------------------------------------------------------------------------


def on_files() -> Iterator[Attempt]:
    for path in (f"{RUN}/tmp", f"{RUN}/secrets", f"{RUN}/secrets/victim", "/run/store"):
        yield f"list {path}", lambda path=path: os.listdir(path)
    for path in (
        f"{RUN}/secrets/victim/victim-file",
        f"{RUN}/secrets/victim/victim-variable",
        "/run/store/identity/ed25519.key",
    ):
        yield f"read {path}", read(path)
    for name in ("bootstrap.done", "boot.json", "events.jsonl", "env", "identity/id", "identity/ed25519.pub"):
        path = f"{RUN}/{name}"
        mine = f"/run/hostile/{os.path.basename(name)}"
        pathlib.Path(mine).write_text("forged")
        yield f"write {name}", opened(path, os.O_WRONLY | os.O_APPEND)
        yield f"truncate {name}", lambda path=path: os.truncate(path, 0)
        yield f"unlink {name}", lambda path=path: os.unlink(path)
        yield f"forge {name}", lambda path=path, mine=mine: os.rename(mine, path)
        yield f"chmod {name}", lambda path=path: os.chmod(path, 0o666)
        yield f"chown {name}", lambda path=path: os.chown(path, os.getuid(), -1)
        yield (
            f"link {name}",
            lambda path=path: os.link(path, f"/run/hostile/linked-{os.getpid()}-{time.monotonic_ns()}"),
        )
        yield f"xattr {name}", lambda path=path: os.setxattr(path, "user.x", b"x")
    for path in (
        RUN,
        f"{RUN}/identity",
        f"{RUN}/secrets",
        f"{RUN}/secrets/victim",
        "/run",
        "/run/victim",
        "/opt/bootseal/etc",
    ):
        yield f"create in {path}", opened(f"{path}/planted", os.O_WRONLY | os.O_CREAT)
        yield f"mkdir in {path}", lambda path=path: os.mkdir(f"{path}/planted.d")
        yield f"symlink in {path}", lambda path=path: os.symlink("/tmp", f"{path}/planted.l")
        yield f"link into {path}", lambda path=path: os.link("/run/hostile/own", f"{path}/planted.h")
        yield f"rename {path}", lambda path=path: os.rename(path, f"{path}.moved")
        yield f"chmod {path}", lambda path=path: os.chmod(path, 0o777)
    yield "write victim's state", opened("/run/victim/state", os.O_WRONLY)
    yield "unlink victim's state", lambda: os.unlink("/run/victim/state")
    yield "take victim's state", lambda: os.rename("/run/victim/state", "/run/hostile/state")
    yield "write plan", opened("/opt/bootseal/etc/plan.json", os.O_WRONLY)
    yield "mount", lambda: called(LIBC.mount(b"none", b"/run/hostile", b"tmpfs", 0, None))
    yield "make a device", lambda: os.mknod("/run/hostile/device", 0o666 | 0o020000, os.makedev(1, 1))


# --- sockets ----------------------------------------------------------------------------------------------------------


def connect(path: str) -> object:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(path)
        return "connected"


def bind(path: str) -> object:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        return "bound"


def notify(text: str, credentials: tuple[int, int, int] | None = None, descriptors: tuple[int, ...] = ()) -> object:
    control = []
    if credentials is not None:
        control.append((socket.SOL_SOCKET, socket.SCM_CREDENTIALS, struct.pack("iII", *credentials)))
    if descriptors:
        control.append((socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors)))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.connect(f"{RUN}/notify.sock")
        sender.sendmsg([text.encode()], control)
    return "sent"


def as_orphan(text: str) -> object:
    """Send it as a grandchild whose parent is gone: PID 1 is its parent then, as it is the victim's."""
    read_end, write_end = os.pipe()
    if os.fork() == 0:
        if os.fork() == 0:
            parent = os.getppid()
            os.close(read_end)
            while os.getppid() == parent and parent != 1:
                time.sleep(0.01)
            notify(text)
            time.sleep(0.5)  # who is gone is refused for that alone
            os._exit(0)
        os._exit(0)
    os.close(write_end)
    os.wait()
    os.read(read_end, 1)
    os.close(read_end)
    return "sent"


def flood() -> object:
    for number in range(3000):
        notify(f"MAINPID=1\nSTATUS=flood {number}", descriptors=(0, 1, 2) * 80 if number % 10 == 0 else ())
    return "sent"


def listen(address: tuple[str, int], option: int) -> object:
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind(address)
        listener.listen()
        return "listening"


def request(method: str, path: str) -> object:
    connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=30)
    connection.request(method, path, body=b'{"ready": false}', headers={"Content-Type": "application/json"})
    return connection.getresponse().status


def on_sockets(victim: int) -> Iterator[Attempt]:
    for name in ("supervisor.sock", "ledger.sock"):
        yield f"connect {name}", lambda name=name: connect(f"{RUN}/{name}")
        yield f"chmod {name}", lambda name=name: os.chmod(f"{RUN}/{name}", 0o777)
        yield f"unlink {name}", lambda name=name: os.unlink(f"{RUN}/{name}")
    yield "unlink notify.sock", lambda: os.unlink(f"{RUN}/notify.sock")
    yield "bind in the run directory", lambda: bind(f"{RUN}/planted.sock")
    uid, gid = os.getuid(), os.getgid()
    for what in ("READY=1\nSTATUS=forged", "STOPPING=1", "RELOADING=1", "WATCHDOG=trigger", f"MAINPID={os.getpid()}"):
        short = what.partition("=")[0]
        yield f"notify {short} with the victim's pid", lambda what=what: notify(what, (victim, uid, gid))
        yield f"notify {short} with the victim's uid", lambda what=what: notify(what, (os.getpid(), 2001, 2001))
        yield f"notify {short} as root", lambda what=what: notify(what, (1, 0, 0))
    for pid in (victim, 1):
        yield f"notify MAINPID of {pid}, its own is sent", lambda pid=pid: notify(f"MAINPID={pid}")
    yield "notify as an orphan, it is sent", lambda: as_orphan("STOPPING=1\nSTATUS=forged by an orphan")
    yield "notify flood, it is sent", flood
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        for address in (("0.0.0.0", 8080), ("127.0.0.1", 8080)):
            yield f"listen on {address} {option}", lambda at=address, option=option: listen(at, option)
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        for path in ("/ready", "/livez", "/health", "/v1/meta", "/"):
            yield f"http {method} {path}", lambda method=method, path=path: request(method, path)


# --- its own rights ---------------------------------------------------------------------------------------------------


def on_itself(victim: int) -> Iterator[Attempt]:
    yield "setuid 0", lambda: in_child(lambda: os.setuid(0))
    yield "seteuid 0", lambda: in_child(lambda: os.seteuid(0))
    yield "setresuid 0", lambda: in_child(lambda: os.setresuid(0, 0, 0))
    yield "setuid of the victim", lambda: in_child(lambda: os.setuid(2001))
    yield "setgid 0", lambda: in_child(lambda: os.setgid(0))
    yield "setgid of the victim", lambda: in_child(lambda: os.setgid(2001))
    yield "setgroups", lambda: in_child(lambda: os.setgroups([0]))
    yield "user namespace", lambda: in_child(lambda: called(LIBC.unshare(CLONE_NEWUSER)))
    for name, act in as_root_of_a_namespace(victim):
        yield f"namespace: {name}", lambda act=act: in_child(lambda: enter_namespace(act))
    yield "chroot", lambda: in_child(lambda: os.chroot("/run/hostile"))
    yield "setns of PID 1", lambda: in_child(lambda: called(LIBC.setns(os.pidfd_open(1), 0x00020000)))
    yield "signal everybody", lambda: in_child(lambda: signal_group(None))
    yield "signal from within the victim's group", lambda: in_child(lambda: signal_group(victim))
    yield "fork until nothing is left", exhaust
    yield "a setuid program's uid", setuid_program


def as_root_of_a_namespace(victim: int) -> Iterator[Attempt]:
    """What root may do, and all capabilities, in a user namespace of its own: the engine may let it make one."""
    yield "read /proc/1/environ", read("/proc/1/environ")
    yield "read the victim's environ", read(f"/proc/{victim}/environ")
    yield "read a secret", read(f"{RUN}/secrets/victim/victim-file")
    yield "read the key", read("/run/store/identity/ed25519.key")
    yield "unlink boot.json", lambda: os.unlink(f"{RUN}/boot.json")
    yield "kill PID 1", lambda: os.kill(1, signal.SIGKILL)
    yield "kill the victim", lambda: os.kill(victim, signal.SIGKILL)
    yield "ptrace the victim", lambda: called(LIBC.ptrace(PTRACE_SEIZE, victim, None, None))
    yield "connect supervisor.sock", lambda: connect(f"{RUN}/supervisor.sock")
    yield "notify with the victim's pid", lambda: notify("STOPPING=1", (victim, 0, 0))
    yield "notify with the victim's uid", lambda: notify("STOPPING=1", (os.getpid(), 2001, 2001))


def enter_namespace(act: Callable[[], object]) -> object:
    """Do it as root of a new user namespace, whose root is this user outside."""
    uid, gid = os.getuid(), os.getgid()
    called(LIBC.unshare(CLONE_NEWUSER))
    pathlib.Path("/proc/self/setgroups").write_text("deny")
    pathlib.Path("/proc/self/uid_map").write_text(f"0 {uid} 1")
    pathlib.Path("/proc/self/gid_map").write_text(f"0 {gid} 1")
    os.setuid(0)
    return act()


def signal_group(leader: int | None) -> object:
    """Signal everybody, or whoever is in the group of ``leader`` after joining it."""
    if leader is None:
        os.kill(-1, signal.SIGUSR2)
        return "sent to its own"
    os.setpgid(0, leader)
    os.kill(0, signal.SIGUSR2)
    return "sent to its own"


def exhaust() -> object:
    children = []
    read_end, write_end = os.pipe()
    try:
        for _ in range(CHILDREN):
            pid = os.fork()
            if pid == 0:
                os.close(write_end)
                os.read(read_end, 1)  # until the parent closes its end
                os._exit(0)
            children.append(pid)
    finally:
        os.close(write_end)
        for pid in children:
            os.waitpid(pid, 0)
        os.close(read_end)
    return len(children)


def setuid_program() -> object:
    done = subprocess.run(["/usr/local/bin/id-of-root", "-u"], capture_output=True, text=True, check=True)
    is_setuid = bool(os.stat("/usr/local/bin/id-of-root").st_mode & 0o4000)
    return f"{done.stdout.strip()} setuid={is_setuid}"


# --- all of it --------------------------------------------------------------------------------------------------------


def controls() -> Iterator[Attempt]:
    """What it may do: were these to fail, the failures of the others would prove nothing."""
    yield "control: its own secret", lambda: len(read(os.environ["CREDENTIALS_DIRECTORY"] + "/hostile-own")())
    yield "control: its own variable", lambda: len(os.environ["HOSTILE_TOKEN"])
    yield "control: its own environ", lambda: len(read("/proc/self/environ")()) > 0
    yield "control: its own child", lambda: in_child(lambda: os.kill(os.getppid(), 0))
    yield "control: its own directory", opened("/run/hostile/own", os.O_WRONLY | os.O_CREAT)
    yield "control: its own output", opened("/proc/self/fd/1", os.O_WRONLY)
    yield "control: the public identity", lambda: len(read(f"{RUN}/identity/id")()) > 0
    yield "control: the public seal's directory", lambda: "boot.json" in os.listdir(RUN)
    yield "control: GET /livez", lambda: request("GET", "/livez")


def play(number: int) -> None:
    found = processes()
    pathlib.Path("/run/hostile/own").touch()
    attempts = [*controls(), *on_files(), *on_sockets(found["victim"])]
    for who, pid in found.items():
        attempts += on_process(who, pid)
    attempts += on_itself(found["victim"])
    for name, act in attempts:
        try:
            outcome = f"did: {act()}"
        except OSError as error:
            outcome = errno.errorcode.get(error.errno or 0, str(error))
        print(json.dumps({"round": number, "attempt": name, "outcome": outcome}), flush=True)
    notify("STATUS=hostile and ready")
    print(json.dumps({"round": number, "attempts": len(attempts), "found": sorted(found)}), flush=True)


def wait_for(claim: Callable[[], object]) -> None:
    while not claim():
        time.sleep(0.05)


def main() -> None:
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    wait_for(lambda: {"victim", "probes", "seal"} <= processes().keys())
    play(1)
    notify("READY=1")
    wait_for(lambda: os.path.exists(f"{RUN}/bootstrap.done"))
    play(2)
    while True:
        time.sleep(3600)


sys.exit(main())
