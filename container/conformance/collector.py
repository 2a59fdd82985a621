"""The program that looks at a container from within; the suite sends its source to the image's own interpreter.

Rules
-----
* Standard library only, one file, one argument (JSON), one answer (JSON on stdout; see ``facts.Collected``).
* It leaves nothing behind: the only files it makes are tries to write where nothing may be written, and it removes them at once.
* It sends no value of a variable, no secret, and no line of a program's output.
* What cannot be read is null; only what it cannot do without ends it.
"""

import contextlib
import errno
import grp
import hashlib
import http.client
import json
import os
import re
import socket
import stat
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable
from typing import Any

PATIENCE_SECONDS = 30
MOST_BYTES = 8 * 1024 * 1024
MOST_ENTRIES = 5000
MOST_LOOKED_AT = 300_000
TOLD = 20
PLAN = "{plan}"
"""What stands in a command for the directory of the plan that was booted."""
PSEUDO = {
    "proc", "sysfs", "cgroup", "cgroup2", "devpts", "mqueue", "devtmpfs", "securityfs", "debugfs", "tracefs", "bpf", "configfs",
    "fusectl", "pstore", "hugetlbfs", "binfmt_misc", "efivarfs",
}  # fmt: skip


def read(path: str, most: int = MOST_BYTES) -> bytes | None:
    """Return the bytes of a file, or None."""
    try:
        with open(path, "rb") as file:
            return file.read(most)
    except OSError:
        return None


def text(path: str) -> str | None:
    data = read(path)
    return None if data is None else data.decode("utf-8", "replace")


def digest(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def parsed(data: str | None) -> dict[str, Any]:
    try:
        value = json.loads(data or "")
    except ValueError:
        value = None
    return value if isinstance(value, dict) else {}


def processes(main: int) -> list[dict[str, Any]]:
    """Return the main process and its descendants: whoever is here by the engine's exec is not of the boot."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdecimal():
            status, line = text(f"/proc/{name}/status"), text(f"/proc/{name}/stat")
            parent = re.search(r"^PPid:\s*(\d+)$", status or "", re.MULTILINE)
            if status and line and parent:
                found[int(name)] = (int(parent[1]), line, status)
    ours = {main}
    for _ in found:
        ours |= {pid for pid, (parent, _, _) in found.items() if parent in ours}
    told = []
    for pid in sorted(ours & found.keys()):
        environ = read(f"/proc/{pid}/environ")
        names = (
            None
            if environ is None
            else sorted({item.split(b"=")[0].decode("utf-8", "replace") for item in environ.split(b"\0") if item})
        )
        argv = (text(f"/proc/{pid}/cmdline") or "").split("\0")[:-1]
        told.append({"pid": pid, "stat": found[pid][1], "status": found[pid][2], "argv": argv, "variables": names})
    return told


def owners(told: list[dict[str, Any]], inodes: set[str]) -> dict[str, int]:
    """Return which of these processes holds each socket; those that are not dumpable hide theirs."""
    held: dict[str, int] = {}
    for one in told:
        folder = f"/proc/{one['pid']}/fd"
        with contextlib.suppress(OSError):
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    match = re.fullmatch(r"socket:\[(\d+)\]", os.readlink(f"{folder}/{name}"))
                    if match and match[1] in inodes:
                        held.setdefault(match[1], one["pid"])
    return held


def entry(path: str) -> dict[str, Any] | None:
    """Return what stands at a path, without following it, or None."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    kinds = {
        stat.S_IFREG: "file",
        stat.S_IFDIR: "directory",
        stat.S_IFSOCK: "socket",
        stat.S_IFLNK: "link",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    kind = kinds.get(stat.S_IFMT(found.st_mode), "other")
    return {"path": path, "kind": kind, "mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid}


def entries(tops: list[str], depth: int) -> list[dict[str, Any]]:
    """Return the tops and what lies beneath them, so deep."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [(top, depth) for top in tops]
    while waiting and len(found) < MOST_ENTRIES:
        path, left = waiting.pop()
        one = entry(path)
        if one is None or path in found:
            continue
        found[path] = one
        if left and one["kind"] == "directory":
            with contextlib.suppress(OSError):
                waiting += [(f"{path}/{name}", left - 1) for name in os.listdir(path)]
    return sorted(found.values(), key=lambda one: one["path"])


def is_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def can_change(path: str) -> bool:
    """Say whether this user can write to it, or could after a chmod that nothing forbids."""
    return os.access(path, os.W_OK) or (os.lstat(path).st_uid == os.geteuid() and not is_read_only(path))


def attempt(path: str) -> str:
    """Try to write beneath a path, or to the file that it is; return the error's name, "" where nothing refused it."""
    try:
        if not os.path.isdir(path):
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            return ""
        name = f"{path}/.bootseal-conformance-{os.urandom(8).hex()}"
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600))
        with contextlib.suppress(OSError):
            os.unlink(name)
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error.errno))
    return ""


def unescaped(point: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), point)


def writable(mountinfo: str, known: list[str]) -> tuple[list[str], int]:
    """Return what can be written outside the known places, and how many files were looked at; a read-only mount needs no look."""
    mounts = {}
    for line in mountinfo.splitlines():
        front, _, back = line.partition(" - ")
        mounts[unescaped(front.split()[4])] = back.split()[0]
    skipped = {
        point for point, kind in mounts.items() if kind in PSEUDO or point == "/dev" or point.startswith("/dev/")
    } | set(known)
    found: list[str] = []
    looked = 0
    waiting = [point for point in mounts if not beneath(point, skipped) and not is_read_only(point)]
    while waiting and looked < MOST_LOOKED_AT and len(found) < TOLD:
        path = waiting.pop()
        looked += 1
        with contextlib.suppress(OSError):
            if not os.path.islink(path) and can_change(path):
                found.append(path)
            elif os.path.isdir(path) and not os.path.islink(path):
                below = (f"{path.rstrip('/')}/{name}" for name in os.listdir(path))
                waiting += [one for one in below if one not in mounts and one not in skipped]
    return sorted(found), looked


def beneath(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


class Local(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE_SECONDS)
        self.path = path

    def connect(self) -> None:
        """Connect; raises OSError."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(self.path)


def fetch(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the answer to a request over TCP, or over the unix socket where one is named."""
    connection = (
        Local(wanted["socket"])
        if wanted.get("socket")
        else http.client.HTTPConnection(wanted["host"], wanted["port"], timeout=PATIENCE_SECONDS)
    )
    try:
        connection.request("GET", wanted["path"], headers={"Accept": wanted.get("accept", "*/*")})
        answer = connection.getresponse()
        kind = answer.headers.get_content_type()
        body = answer.read(MOST_BYTES).decode("utf-8", "replace")
        return {
            "status": answer.status,
            "content_type": kind,
            "body": without_output(body) if wanted.get("detail") else body,
        }
    except (OSError, http.client.HTTPException) as error:
        return {"status": 0, "content_type": "", "body": f"{type(error).__name__}: {error}"}
    finally:
        connection.close()


def without_output(body: str) -> str:
    """Return the answer of /health without the programs' last lines."""
    value = parsed(body)
    for program in value.get("programs", ()):
        program["last_output"] = []
    return json.dumps(value) if value else body


def ledger(path: str) -> tuple[str | None, str]:
    """Return PID 1's ledger as it tells it, without the programs' last lines, and why there is none."""
    connection = Local(path)
    try:
        connection.request("POST", "/RPC2", xmlrpc.client.dumps((), "bootseal.snapshot"), {"Content-Type": "text/xml"})
        answer: Any = xmlrpc.client.loads(connection.getresponse().read(MOST_BYTES))[0][0]
        return without_output(answer), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"
    finally:
        connection.close()


def failures(run: str, boot_id: str | None) -> tuple[list[str], int | None]:
    """Return the events of level error of this boot: the last ones, and how many there are; None where they cannot be read."""
    told: list[str] = []
    if text(f"{run}/events.jsonl") is None:
        return told, None
    for suffix in (".1", ""):
        for line in (text(f"{run}/events.jsonl{suffix}") or "").splitlines():
            event = parsed(line)
            if event.get("level") == "error" and event.get("boot_id") == boot_id:
                what = " ".join(str(event[name]) for name in ("event", "program") if event.get(name))
                why = event.get("cause") or event.get("reason")
                told.append((f"{what}: {why}" if why else what)[:300])
    return told[-TOLD:], len(told)


def cgroup() -> dict[str, str]:
    """Return the limits that the container's cgroup has, whichever version it is of."""
    places = {
        "memory": ("memory.max", "memory/memory.limit_in_bytes"),
        "pids": ("pids.max", "pids/pids.max"),
        "cpu": ("cpu.max", "cpu/cpu.cfs_quota_us"),
        "cpu_period": ("cpu/cpu.cfs_period_us",),
    }
    seen: dict[str, str] = {}
    for name, files in places.items():
        for file in files:
            value = text(f"/sys/fs/cgroup/{file}")
            if value is not None:
                seen.setdefault(name, value.strip())
    return seen


def nodes() -> list[str]:
    """Return the devices in /dev, without terminals."""
    found = [one["path"] for one in entries(["/dev"], 3) if one["kind"] == "device"]
    return [path for path in found if not path.startswith("/dev/pts/")]


def numbers(names: list[str]) -> dict[str, int]:
    found = {}
    for name in names:
        with contextlib.suppress(KeyError):
            found[name] = grp.getgrnam(name).gr_gid
    return found


def finish(process: subprocess.Popen[bytes]) -> dict[str, Any]:
    try:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"code": -1, "output": f"no answer within {PATIENCE_SECONDS} s"}
    return {"code": process.returncode, "output": output.decode("utf-8", "replace")}


def collect(asked: dict[str, Any]) -> dict[str, Any]:
    """Return what was asked for; see ``collecting.question``."""
    run = asked["run"]
    record = text(f"{run}/boot.json")
    boot = parsed(record)
    plan = str(boot.get("plan_directory") or asked["plan_directory"])
    running: dict[str, subprocess.Popen[bytes]] = {}
    ran: dict[str, dict[str, Any]] = {}
    for name, argv in asked["commands"].items():
        command = [word.replace(PLAN, plan) for word in argv]
        try:
            running[name] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
        except OSError as error:
            ran[name] = {"code": -1, "output": f"{command[0]}: {error.strerror}"}
    answers = {name: fetch(wanted) for name, wanted in asked["requests"].items()}
    ran.update({name: finish(process) for name, process in running.items()})
    named = boot.get("pid1")
    main = named if isinstance(named, int) else 1
    told = processes(main)
    sockets = {name: text(f"/proc/net/{name}") or "" for name in ("tcp", "tcp6", "udp", "udp6")}
    inodes = {line.split()[9] for table in sockets.values() for line in table.splitlines()[1:]}
    mountinfo = text("/proc/self/mountinfo") or ""
    can_write, looked_at = writable(mountinfo, [run, *asked["known"]])
    seen_ledger, why = ledger(f"{run}/supervisor.sock")
    errors, error_count = failures(run, boot.get("boot_id"))
    seal = read(f"{run}/bootstrap.done")
    ports = (text("/proc/sys/net/ipv4/ip_local_port_range") or "32768").split()
    return {
        "boot_record": record,
        "seal_hex": None if seal is None else seal.hex(),
        "plan_sha256": digest(f"{plan}/plan.json"),
        "config_sha256": digest(f"{plan}/supervisord.conf"),
        "lock_sha256": digest(f"{plan}/closures.lock"),
        "processes": told,
        "mountinfo": mountinfo,
        "entries": entries([run], 3) + entries(asked["entries"], 1),
        "run_directory": entry(run),
        "devices": nodes(),
        "groups": numbers(asked["groups"]),
        "attempts": [{"path": path, "error": attempt(path)} for path in asked["attempts"]],
        "writable": can_write,
        "looked_at": looked_at,
        "sockets": sockets,
        "owners": owners(told, inodes),
        "first_ephemeral_port": int(ports[0]),
        "limits": text(f"/proc/{main}/limits"),
        "cgroup": cgroup(),
        "answers": answers,
        "ledger": seen_ledger,
        "ledger_error": why,
        "ran": ran,
        "errors": errors,
        "error_count": error_count,
    }


if __name__ == "__main__":
    json.dump(collect(json.loads(sys.argv[1])), sys.stdout)
