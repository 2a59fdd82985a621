"""The run directory: where everything lies that one boot writes about itself.

Rules
-----
* It comes from the command line, never from the plan, so that an earlier seal is removed before anything
  else can fail.
* It is a real directory (no symlink in any component), owned by this user, and not writable by group or
  others; else the boot fails.
* AF_UNIX paths hold 107 bytes (unix(7)); supervisor binds ``supervisor.sock.PID`` first and links it, so
  that is the longest.
* It belongs to one boot: the first thing a boot does in it is to claim it, and a claim holds while its process lives.
"""

import contextlib
import errno
import os
import stat

from contract import clearing, directories, errors, files, process, records

DEFAULT = "/run/bootseal"
_UNIX_PATH_BYTES = 107
_LONGEST_SOCKET = "supervisor.sock.4194304"
_MACHINE_BOOT = "/proc/sys/kernel/random/boot_id"
_CLAIM_LIMIT = 200
_NO_CLAIM = {errno.ENOENT, errno.ELOOP, errno.ENXIO, errno.EACCES}
"""No file stands there, or none that we wrote: ours can be read."""


@records.dataclass(frozen=True)
class Holder:
    """The process that a run directory belongs to: its pid, and its start in clock ticks since the machine's boot."""

    pid: int
    start: int


class Taken(errors.UnsafePath):
    """The run directory belongs to another boot, which lives."""


@records.dataclass(frozen=True)
class RunDirectory:
    """The layout of the run directory ``path``; every name in it stands here and nowhere else."""

    path: str

    @property
    def seal(self) -> str:
        """The seal: written once a generation, mode 0444."""
        return f"{self.path}/bootstrap.done"

    @property
    def claim(self) -> str:
        """The process that the directory belongs to; see ``claim``."""
        return f"{self.path}/boot.claim"

    @property
    def boot_record(self) -> str:
        """Which boot this is: see ``contract.boot_record``."""
        return f"{self.path}/boot.json"

    @property
    def events(self) -> str:
        """The bounded event log, one JSON object a line; its predecessor has the suffix ``.1``."""
        return f"{self.path}/events.jsonl"

    @property
    def identity(self) -> str:
        """The public identity directory: ``id``, ``boot-id``, ``ed25519.pub``."""
        return f"{self.path}/identity"

    @property
    def keys(self) -> str:
        """Private keys, directory 0700; used when the manifest names no identity store."""
        return f"{self.path}/keys"

    @property
    def secrets(self) -> str:
        """Secrets, one directory for each program that gets some; see ``secrets_of``."""
        return f"{self.path}/secrets"

    def secrets_of(self, program: str) -> str:
        """The directory of the secrets of ``program``: its ``CREDENTIALS_DIRECTORY``."""
        return f"{self.secrets}/{program}"

    @property
    def runtimes(self) -> str:
        """The language runtimes that Stage A found, as JSON."""
        return f"{self.path}/runtimes.json"

    @property
    def attestation(self) -> str:
        """The seal as an in-toto statement in a DSSE envelope."""
        return f"{self.path}/bootstrap.intoto.jsonl"

    @property
    def hints(self) -> str:
        """Run-time hints for programs: addresses and paths as shell assignments, no secret."""
        return f"{self.path}/env"

    @property
    def temporary(self) -> str:
        """TMPDIR of our own processes."""
        return f"{self.path}/tmp"  # noqa: S108  (in our own directory)

    @property
    def supervisor_socket(self) -> str:
        """The socket of supervisor's RPC interface."""
        return f"{self.path}/supervisor.sock"

    @property
    def supervisor_pidfile(self) -> str:
        """The pid of supervisord."""
        return f"{self.path}/supervisord.pid"

    @property
    def ledger_socket(self) -> str:
        """The socket on which PID 1 tells subscribers every change of the readiness ledger."""
        return f"{self.path}/ledger.sock"

    @property
    def probes_socket(self) -> str:
        """The socket on which the probe server answers everything to processes of our user and root's."""
        return f"{self.path}/probes.sock"

    @property
    def notify_socket(self) -> str:
        """The socket on which programs tell PID 1 that they are ready (sd_notify(3))."""
        return f"{self.path}/notify.sock"


def check_socket_paths(path: str) -> None:
    """Raise UnsafePath when a socket in the run directory ``path`` would not fit an AF_UNIX address."""
    longest = len(os.fsencode(f"{path}/{_LONGEST_SOCKET}"))
    if longest > _UNIX_PATH_BYTES:
        limit = _UNIX_PATH_BYTES - len(_LONGEST_SOCKET) - 1
        raise errors.UnsafePath(
            f"run directory {path}",
            f"its sockets would need {longest} bytes and an AF_UNIX address holds {_UNIX_PATH_BYTES}",
            f"choose a path of at most {limit} bytes",
        )


def judge_ownership(what: str, status: os.stat_result, uid: int) -> None:
    """Raise UnsafePath, naming ``what``, unless ``status`` is of a directory that only ``uid`` can write to."""
    if status.st_uid != uid:
        raise errors.UnsafePath(
            what, f"it is owned by uid {status.st_uid} and this process is uid {uid}", "give it to this user"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        mode = f"{stat.S_IMODE(status.st_mode):04o}"
        raise errors.UnsafePath(what, f"its mode {mode} lets group or others write", "chmod go-w it")


def open_or_create(path: str) -> RunDirectory:
    """Return the run directory at ``path``, created 0755 where it is missing.

    Raises UnsafePath when it breaks a rule of this module and OSError when it cannot be made.
    """
    check_socket_paths(path)
    fd, _ = directories.open_confined(path, create=True)
    try:
        judge_ownership(f"run directory {path}", os.fstat(fd), os.geteuid())
        _prove_writable(path, fd)
    finally:
        os.close(fd)
    return RunDirectory(path)


def _prove_writable(path: str, fd: int) -> None:
    """See that files, and links of them, can be made: supervisor links its socket into place, and tries for ever."""
    probe = (
        f".writable.{os.urandom(6).hex()}"  # a pid returns: a probe that a killed boot left would stop every later one
    )
    linked = f"{probe}.link"
    try:
        _try_to_make(path, probe, fd)
        os.link(probe, linked, src_dir_fd=fd, dst_dir_fd=fd)
    except OSError as error:
        why = f"its file system makes no hard link, which supervisor needs: {errors.describe_os_error(error)}"
        raise errors.UnsafePath(f"run directory {path}", why, "mount a tmpfs there") from error
    finally:
        for name in (probe, linked):
            with contextlib.suppress(OSError):  # where none could be made, none can be removed
                os.unlink(name, dir_fd=fd)


def _try_to_make(path: str, probe: str, fd: int) -> None:
    try:
        os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=fd))
    except OSError as error:
        raise errors.UnsafePath(
            f"run directory {path}",
            f"it cannot be written: {errors.describe_os_error(error)}",
            "mount a writable tmpfs there",
        ) from error


def claim(run: RunDirectory) -> None:
    """Make ``run`` this process's, for as long as it lives, over execve(2) too; raises Taken naming whose it is, or OSError.

    The claim is a file: supervisord's reload closes descriptors, and would drop one that holds a lock. While it is judged and
    replaced, the directory is locked (flock(2)), so that of two boots one wins.
    """
    import fcntl

    fd, _ = directories.open_confined(run.path)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        name = os.path.basename(run.claim)
        _judge_claim(run, name, fd)
        clearing.clear(fd, name)
        made = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o444, dir_fd=fd)
        try:
            files.write_all(made, f"{os.getpid()} {process.start_time() or 0} {_machine_boot()}\n".encode())
            os.fchmod(made, 0o444)
        finally:
            os.close(made)
    finally:
        os.close(fd)


def _judge_claim(run: RunDirectory, name: str, fd: int) -> None:
    """Raise Taken when the claim is of another process that lives."""
    found = _read_claim(name, fd)
    if found is None or found.pid == os.getpid():
        return
    why = f"it belongs to the boot of process {found.pid}, which runs"
    raise Taken(f"run directory {run.path}", why, "stop that one, or boot with another --run-dir")


def holder(run: RunDirectory) -> Holder | None:
    """Return whose ``run`` is, None when nobody claimed it or who did lives no more; raises OSError when the claim cannot be read."""
    return _read_claim(run.claim, None)


def _read_claim(path: str, dir_fd: int | None) -> Holder | None:
    """Return the process that holds the claim at ``path``, as long as it lives.

    A start time counts from the machine's boot, so it names a process within that boot alone. A claim that is cut was being
    written by a boot that is no more: the lock was free.
    """
    try:
        pid, start, machine_boot = (
            files.read_bounded(path, _CLAIM_LIMIT, dir_fd=dir_fd).decode().rstrip("\n").split(" ")
        )
        found = Holder(int(pid), int(start))
    except (ValueError, errors.UnsafePath):
        return None
    except OSError as error:
        if error.errno in _NO_CLAIM:
            return None
        raise
    is_here = machine_boot == _machine_boot() and process.is_alive(found.pid, found.start)
    return found if is_here else None


def _machine_boot() -> str:
    """Return the random id of this boot of the machine (random(4)), "-" where the kernel does not tell."""
    try:
        with open(_MACHINE_BOOT, encoding="ascii") as file:
            return file.read().strip() or "-"
    except OSError:
        return "-"


def remove_leftovers(run: RunDirectory) -> None:
    """Remove secrets, keys, sockets and the pid file of an earlier boot; raises UnsafePath when something there stays.

    supervisor 4.3.0 tries for ever to replace a socket that it cannot (``supervisor_af_unix_http_server``), and no stop
    signal reaches it then; its pid file it writes through a link (``write_pidfile``).
    """
    for path in (
        run.supervisor_socket,
        run.ledger_socket,
        run.notify_socket,
        run.probes_socket,
        run.supervisor_pidfile,
    ):
        try:
            os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            why = f"it was left there and cannot be removed: {errors.describe_os_error(error)}"
            raise errors.UnsafePath(path, why, "remove it") from error
    for path in (run.secrets, run.keys):
        clearing.clear_path(path)


def remove_seal(run: RunDirectory) -> bool:
    """Remove the seal of an earlier boot or generation, and then its statement; say whether there was a seal.

    Whatever stands in their places is removed; see ``contract.clearing``. The seal goes first: nobody finds one without its
    statement.
    """
    was_sealed = clearing.clear_path(run.seal)
    clearing.clear_path(run.attestation)
    return was_sealed
