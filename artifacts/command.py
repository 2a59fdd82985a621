"""Commands that check the image at boot: run without a shell and without rights, and never longer than they may. Standard library only.

Rules
-----
* A command starts confined (``artifacts.child``), or not at all.
* Its whole process group is killed when it ended, when it ran out of time, and when whoever waits is interrupted; it is
  reaped in any case. The group is killed only while its leader is not reaped: until then its number is nobody else's.
* What left its group, a daemon, is killed and reaped too when all have ended (``artifacts.orphans``). So while they run, this
  process starts nothing else.
* Its end is waited for, not the end of its output, which a grandchild may hold open. Of the output the last 4 KiB are kept,
  read as it comes, so that no pipe fills up; they are shown without what looks like a secret (``contract.masking``).
* No thread, no signal handler: it may be called from any thread, by one at a time. fork and not subprocess, whose import
  is 8 ms of a boot.
"""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator, Mapping

from artifacts import child, orphans
from contract import clock, errors, masking, records
from manifest import provisions

Command = child.Command
_KEPT_BYTES = 4096
_CHUNK = 65536
_LAST_READS = 4
"""A pipe holds 64 KiB (pipe(7)); who left the group may fill it for ever."""
_KILLED_SECONDS = 1.0
"""Whoever cannot be killed within it is left behind: it hangs inside the kernel."""
_BLIND_POLL_SECONDS = 0.01
_LOOK_SECONDS = 0.05
"""What another thread raises in this one (``PyThreadState_SetAsyncExc``) does not end a system call."""


@records.dataclass(frozen=True)
class Ended:
    """How a command ended: ``why`` it is not ``ok``, in words, and the last of its ``output``, both streams in one."""

    ok: bool
    why: str
    output: str


def run(
    argv: tuple[str, ...],
    directory: str,
    timeout_seconds: float,
    environment: Mapping[str, str],
    user: provisions.User | None,
) -> Ended:
    """Run one command and return how it ended."""
    [ended] = run_all((Command(argv, directory, timeout_seconds, environment, user),))
    return ended


def run_all(commands: Iterable[Command], at_once: int = 2) -> tuple[Ended, ...]:
    """Run ``commands``, ``at_once`` of them at the same time, and return how they ended, in their order."""
    waiting = list(enumerate(commands))
    ended: dict[int, Ended] = {}
    running: list[_Running] = []
    before = orphans.children()
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, command = waiting.pop(0)
                refusal = _start(index, command, running)
                if refusal:
                    ended[index] = Ended(ok=False, why=refusal, output="")
            _wait(running)
            for one in [one for one in running if one.is_over()]:
                with _signals_blocked():
                    ended[one.index] = one.finish()
                    running.remove(one)
    finally:
        with _signals_blocked():  # a second interruption spares none
            for one in running:
                one.abandon()
            orphans.end(before)
    return tuple(ended[index] for index in sorted(ended))


class _Running:
    """A child that is not reaped yet, what it said so far, and the descriptors that tell of it."""

    def __init__(self, index: int, command: Command, pid: int, output: int, report: int) -> None:
        self.index = index
        self.deadline = clock.monotonic() + command.timeout_seconds
        self.descriptors = {output, report}
        self._command = command
        self._pid = pid
        self._output, self._report = output, report
        self._reported = b""
        self._kept = b""
        self._was_cut = False
        for fd in (output, report):
            os.set_blocking(fd, False)
        self._pidfd: int | None = None
        with contextlib.suppress(OSError):  # an old kernel or a sandbox without it: then its end is looked for in turns
            self._pidfd = os.pidfd_open(pid)
            self.descriptors.add(self._pidfd)

    @property
    def is_blind(self) -> bool:
        """Whether nothing wakes us when it ends."""
        return self._pidfd is None

    def is_over(self) -> bool:
        """Say whether it ended or may not go on."""
        return self._has_ended() or clock.monotonic() >= self.deadline

    def take(self, fd: int) -> None:
        """Read once what stands in ``fd``."""
        if fd == self._output:
            self._take_output()
        elif fd == self._report:
            self._take_report()

    def finish(self) -> Ended:
        """Kill its group, reap it and say how it ended."""
        in_time = self._has_ended()
        code = self._kill_and_reap()
        for _ in range(_LAST_READS):
            if self._take_output() <= 0:
                break
        self._take_report()
        self._close()
        name = self._command.argv[0]
        if self._reported:
            why = child.refusal(self._command, self._reported.decode("utf-8", "replace"))
        elif not in_time:
            why = f"{name} did not end within {self._command.timeout_seconds:g} s"
        elif code is None:
            why = f"{name} ended, and how was not to be learned"
        elif code < 0:
            why = f"{name} was killed by signal {-code} ({signal.strsignal(-code) or 'unknown'})"
        else:
            why = f"{name} exited with code {code}" if code else ""
        return Ended(not why, why, self._text())

    def abandon(self) -> None:
        """Kill its group and reap it; nobody asks how it ended."""
        self._kill_and_reap()
        self._close()

    def _has_ended(self) -> bool:
        try:
            return os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True  # somebody else reaped it

    def _kill_and_reap(self) -> int | None:
        """Return its exit code, negative for a signal, or None when somebody else reaped it or nobody can."""
        try:
            os.waitid(os.P_PID, self._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return None
        for kill in (os.killpg, os.kill):  # it may not lead its group yet
            with contextlib.suppress(ProcessLookupError, PermissionError):
                kill(self._pid, signal.SIGKILL)
        until = clock.monotonic() + _KILLED_SECONDS
        while not self._has_ended():
            left = until - clock.monotonic()
            if left <= 0:
                return None
            self._await_end(left)
        try:
            _, status = os.waitpid(self._pid, 0)
        except ChildProcessError:
            return None
        return os.waitstatus_to_exitcode(status)

    def _await_end(self, seconds: float) -> None:
        import select

        poller = select.poll()
        if self._pidfd is not None:
            poller.register(self._pidfd, select.POLLIN)
        poller.poll(1000 * (min(seconds, _BLIND_POLL_SECONDS) if self._pidfd is None else seconds))

    def _take_output(self) -> int:
        """Read once; return how many bytes came, 0 at the end, -1 when there is nothing now."""
        try:
            data = os.read(self._output, _CHUNK)
        except BlockingIOError:
            return -1
        if not data:
            self.descriptors.discard(self._output)
        limit = _KEPT_BYTES + masking.MARGIN
        self._was_cut = self._was_cut or len(self._kept) + len(data) > limit
        self._kept = (self._kept + data)[-limit:]
        return len(data)

    def _take_report(self) -> None:
        try:
            data = os.read(self._report, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self.descriptors.discard(self._report)
        self._reported += data

    def _text(self) -> str:
        """Return what is kept, masked; where its beginning was cut off, a secret may be cut in two there: that goes too."""
        if not self._kept:
            return ""
        hidden = masking.Hidden(self._command.hide), masking.suspected(self._command.environment)
        text = masking.mask(self._kept.decode("utf-8", "replace"), *hidden)
        return (text[masking.MARGIN :] if self._was_cut else text)[-_KEPT_BYTES:].strip()

    def _close(self) -> None:
        for fd in (self._output, self._report, self._pidfd):
            if fd is not None:
                os.close(fd)


def _wait(running: list[_Running]) -> None:
    """Wait until one of ``running`` says something, ends, or runs out of time; take what is said."""
    if not running:
        return
    import select

    poller = select.poll()
    owner = {fd: one for one in running for fd in one.descriptors}
    for fd in owner:
        poller.register(fd, select.POLLIN)
    seconds = min(min(one.deadline for one in running) - clock.monotonic(), _LOOK_SECONDS)
    if any(one.is_blind for one in running):
        seconds = min(seconds, _BLIND_POLL_SECONDS)
    for fd, _ in poller.poll(max(0.0, 1000 * seconds)):
        owner[fd].take(fd)


def _start(index: int, command: Command, running: list[_Running]) -> str:
    """Start ``command`` and add it to ``running``; return why it cannot be, or ""."""
    if not command.argv or not command.argv[0]:
        return "there is no command"
    user = child.user_for(command.user)
    if isinstance(user, str):
        return f"{command.argv[0]}: {user}"
    parent = os.getpid()
    with _signals_blocked():  # no interruption loses the child between fork and the list, and none runs a handler in it
        opened: list[int] = []
        try:
            opened += os.pipe2(os.O_CLOEXEC)
            opened += os.pipe2(os.O_CLOEXEC)
            pid = os.fork()
        except OSError as error:
            for fd in opened:
                os.close(fd)
            return f"{command.argv[0]} cannot be started: {errors.describe_os_error(error)}"
        output, output_end, report, report_end = opened
        if pid == 0:
            child.become(command, user, (output_end, report_end), parent)
        running.append(_Running(index, command, pid, output, report))
        os.close(output_end)
        os.close(report_end)
    return ""


@contextlib.contextmanager
def _signals_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
