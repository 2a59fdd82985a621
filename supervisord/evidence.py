"""The evidence of readiness that PID 1 sees itself: sd_notify, a descriptor, a file, a line of output.

It puts together what watches (``notify_socket``, ``descriptor``, ``file_watch``, ``log_match``) and says to a ``Sink`` what
was seen, under the name of the program. What follows from it is decided elsewhere.

Rules
-----
* Evidence counts for the process that runs now: everything is armed anew before each spawn and forgotten at each end.
* Only a program that is ready by notify is believed on the notify socket, and only about itself; its pid is the kernel's.
* A program that is proven otherwise (running, checked from outside, a one-shot) costs nothing here.
* Nothing here waits and no exception leaves, save from the constructor; what cannot be watched is not proven, with a reason.
* Where programs have users of their own, the notify socket lets everybody connect, and a program is believed only under its
  own uid; its file is removed and looked for with its own rights, so that no link of its making leads PID 1 anywhere.
* The child needs nothing done: all descriptors are closed on exec, and spawn closes the others.
"""

import contextlib
import dataclasses
import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from contract import errors
from manifest import plan
from supervisord import attribution, descriptor, file_watch, log_match, main_process, notify, notify_socket

_KINDS = frozenset({plan.NOTIFY, plan.DESCRIPTOR, plan.FILE, plan.LOG})
_MICROSECONDS = 1_000_000
_FOR_ONE_USER, _FOR_EVERYBODY = 0o700, 0o666
"""Modes of the notify socket; connecting needs the right to write (unix(7))."""


class Sink(Protocol):
    """Who is told, under the name of a program; reasons are verb phrases that follow the name."""

    def proven(self, name: str, by: str) -> None:
        """It is ready, by "READY=1", "newline on fd 3", "file /x" or "log line"."""

    def withdrawn(self, name: str, reason: str) -> None:
        """It is not ready (any more)."""

    def stopping(self, name: str) -> None:
        """It said that it stops."""

    def said(self, name: str, status: str) -> None:
        """Its own words about itself, as it said them; perhaps none. Who shows them hides its secrets and cleans them."""

    def extended(self, name: str, seconds: float) -> None:
        """It asks for so much time from now on."""

    def main_pid(self, name: str, pid: int) -> None:
        """``pid``, a process of this program, is its main process."""

    def alive(self, name: str) -> None:
        """It fed its watchdog."""

    def alarmed(self, name: str) -> None:
        """It asks to be treated as if its watchdog had run out."""

    def watchdog_interval(self, name: str, seconds: float) -> None:
        """It will feed its watchdog at least that often."""

    def refused(self, reason: str) -> None:
        """Something on the notify socket was not believed; at the sender's pace, so limit the rate."""


@dataclasses.dataclass(frozen=True)
class Passing:
    """What the child of a program gets.

    ``environment`` holds NOTIFY_SOCKET and WATCHDOG_USEC; WATCHDOG_PID is for the child to add, its pid is not known here.
    ``descriptors`` maps the number in the child to the descriptor of ours that is to be duplicated there; the two differ.
    """

    environment: dict[str, str]
    descriptors: dict[int, int]


class Evidence:
    """Watches for the evidence of one generation's programs."""

    def __init__(
        self,
        programs: Iterable[plan.ProgramPlan],
        socket_path: str,
        socket_map: dict[int, Any],
        sink: Sink,
        report: Callable[[str, Exception], None],
    ) -> None:
        """Open what ``programs`` need, the notify socket at ``socket_path`` among it.

        Raises OSError when the socket cannot be made, BootsealError for a pattern that is no regular expression.
        """
        self._map = socket_map
        self._sink = sink
        self._report = report
        self._socket_path = socket_path
        watched = [program for program in programs if program.ready.kind in _KINDS]
        self._ready = {program.name: program.ready for program in watched}
        self._users = {program.name: program.user for program in watched if program.user is not None}
        self._patterns = {
            name: _compiled(name, ready.pattern) for name, ready in self._ready.items() if ready.kind == plan.LOG
        }
        self._attribution = attribution.Attribution()
        self._pipes: dict[str, descriptor.Pipe] = {}
        self._mains: dict[str, main_process.Watch] = {}
        self._matchers: dict[str, log_match.Matcher] = {}
        self._unarmed: dict[str, str] = {}
        kinds = {ready.kind for ready in self._ready.values()}
        self._socket = (
            notify_socket.NotifySocket(
                socket_path,
                socket_map,
                self._take_datagram,
                self._refuse,
                report,
                mode=_FOR_EVERYBODY if self._users else _FOR_ONE_USER,
            )
            if plan.NOTIFY in kinds
            else None
        )
        self._files = file_watch.FileWatch(socket_map, self._file_changed, report) if plan.FILE in kinds else None

    # --- the life of a process --------------------------------------------------------------------------------

    def before_spawn(self, name: str) -> Passing:
        """Arm the evidence of ``name`` anew and return what its child gets.

        What cannot be armed is reported, and withdrawn with the reason, now and again after the fork: the process is then
        not proven.
        """
        ready = self._ready.get(name)
        if ready is None:
            return Passing({}, {})
        try:
            self._forget(name)
            return self._armed(name, ready)
        except Exception as error:
            self._report(f"evidence of {name}", error)
            self._unarmed[name] = f"cannot be proven ready: {_cause(error)}"
            self._tell(self._sink.withdrawn, name, self._unarmed[name])
            return Passing({}, {})

    def after_fork(self, name: str, pid: int) -> None:
        """``pid`` is the new process of ``name``, which holds the child's end of the pipe now; -1: there is none."""
        ready = self._ready.get(name)
        if ready is None:
            return
        if pid <= 0:
            self._forget(name)
            return
        try:
            if name in self._pipes:
                self._pipes[name].close_child_end()
            user = self._users.get(name)
            uid = None if user is None else user.uid
            if ready.kind == plan.NOTIFY and not self._attribution.begin(name, pid, uid):
                self._unarmed[name] = f"cannot be proven ready: /proc does not show its process {pid}"
        except Exception as error:
            self._report(f"evidence of {name}", error)
        if name in self._unarmed:
            self._tell(self._sink.withdrawn, name, self._unarmed[name])

    def ended(self, name: str) -> None:
        """The process of ``name`` is gone: nothing proves it any more."""
        if name in self._ready:
            self._forget(name)

    def output(self, name: str, stream: str, data: bytes) -> None:
        """``name`` wrote ``data`` to its ``stream``, "stdout" or "stderr"."""
        try:
            matcher = self._matchers.get(name)
            if matcher is None:
                return
            is_found = matcher.take(stream, data)
            if is_found or matcher.is_given_up:
                del self._matchers[name]
            if is_found:
                self._sink.proven(name, "log line")
            elif matcher.is_given_up:
                self._sink.withdrawn(name, "prints what its log pattern takes too long to search")
        except Exception as error:
            self._report(f"output of {name}", error)

    # --- time, and the end ------------------------------------------------------------------------------------

    def next_due(self) -> float | None:
        """Return the monotonic moment at which ``advance`` must run, or None; more often does no harm."""
        try:
            return self._files.next_due() if self._files is not None else None
        except Exception as error:
            self._report("file watch", error)
            return None

    def advance(self, now: float) -> None:
        """Do what is due at ``now``, on the monotonic clock."""
        try:
            if self._files is not None:
                self._files.advance(now)
        except Exception as error:
            self._report("file watch", error)

    def close(self) -> None:
        """End with the generation: everything is closed; the notify socket's file stays for the next to replace."""
        for name in list(self._ready):
            self._forget(name)
        for opened in (self._files, self._socket):
            try:
                if opened is not None:
                    opened.close()
            except Exception as error:
                self._report("closing the evidence", error)

    # --- arming -----------------------------------------------------------------------------------------------

    def _armed(self, name: str, ready: plan.ReadyPlan) -> Passing:
        match ready.kind:
            case plan.NOTIFY:
                environment = {"NOTIFY_SOCKET": self._socket_path}
                if ready.watchdog_seconds is not None:
                    environment["WATCHDOG_USEC"] = str(round(ready.watchdog_seconds * _MICROSECONDS))
                return Passing(environment, {})
            case plan.DESCRIPTOR if ready.descriptor is not None:
                return Passing({}, {ready.descriptor: self._new_pipe(name, ready.descriptor)})
            case plan.FILE if ready.path is not None and self._files is not None:
                self._files.arm(name, ready.path, self._users.get(name))
            case plan.LOG:
                self._matchers[name] = log_match.Matcher(self._patterns[name])
        return Passing({}, {})

    def _new_pipe(self, name: str, number: int) -> int:
        pipe = descriptor.Pipe(
            number,
            self._map,
            lambda: self._sink.proven(name, f"newline on fd {number}"),
            lambda: self._sink.withdrawn(name, f"closed fd {number} without a newline"),
            self._report,
        )
        self._pipes[name] = pipe
        return pipe.child_end

    def _forget(self, name: str) -> None:
        """Close and forget what watches the process of ``name``."""
        try:
            self._unarmed.pop(name, None)
            self._matchers.pop(name, None)
            self._attribution.end(name)
            if self._files is not None:
                self._files.disarm(name)
            for watched in (self._pipes.pop(name, None), self._mains.pop(name, None)):
                if watched is not None:
                    watched.close()
        except Exception as error:
            self._report(f"evidence of {name}", error)

    # --- what was seen ----------------------------------------------------------------------------------------

    def _file_changed(self, name: str, exists: bool) -> None:
        path = self._ready[name].path
        if exists:
            self._tell(self._sink.proven, name, f"file {path}")
        else:
            self._tell(self._sink.withdrawn, name, f"has lost its file {path}")

    def _take_datagram(self, data: bytes, pid: int, uid: int) -> None:
        message = notify.parse(data)
        if message.is_barrier and not message.faults:
            return  # its descriptor is closed when we return
        owner = self._attribution.owner(pid, uid)
        if owner.name is None:
            self._refuse(f"a datagram of pid {pid}: {owner.why_not}")
            return
        for fault in message.faults:
            self._refuse(f"{owner.name}, pid {pid}: {fault}")
        self._say(owner.name, message)

    def _say(self, name: str, message: notify.Message) -> None:
        """Tell the sink what ``message`` says; the state comes after the words and times that belong to it."""
        sink = self._sink
        if message.main_pid is not None:
            self._take_main(name, message.main_pid)
        if message.status is not None:
            self._tell(sink.said, name, message.status)
        if message.watchdog_seconds is not None:
            self._tell(sink.watchdog_interval, name, message.watchdog_seconds)
        if message.extend_seconds is not None:
            self._tell(sink.extended, name, message.extend_seconds)
        match message.state:
            case notify.READY:
                self._tell(sink.proven, name, "READY=1")
            case notify.RELOADING:
                self._tell(sink.withdrawn, name, "is reloading")
            case notify.STOPPING:
                self._tell(sink.stopping, name)
        match message.watchdog:
            case notify.ALIVE:
                self._tell(sink.alive, name)
            case notify.ALARMED:
                self._tell(sink.alarmed, name)

    def _take_main(self, name: str, pid: int) -> None:
        watch: main_process.Watch | None = None
        with contextlib.suppress(OSError):  # it is gone, which is said below; or only PID 1's reaping will tell its end
            watch = main_process.Watch(pid, self._map, lambda: self._main_ended(name, pid), self._report)
        why_not = self._attribution.accept_main(name, pid)
        unused = [watch]
        if why_not:
            self._refuse(f"{name}: {why_not}")
        else:
            self._tell(self._sink.main_pid, name, pid)
            unused = [self._mains.pop(name, None)]
            if watch is not None and self._attribution.is_first(name, pid):
                unused.append(watch)  # supervisord tells that end
            elif watch is not None:
                self._mains[name] = watch
        for one in unused:
            if one is not None:
                one.close()

    def _main_ended(self, name: str, pid: int) -> None:
        self._tell(self._sink.withdrawn, name, f"has lost its main process {pid}")

    def _refuse(self, reason: str) -> None:
        self._tell(self._sink.refused, reason)

    def _tell(self, tell: Callable[..., None], *what: Any) -> None:
        try:
            tell(*what)
        except Exception as error:
            self._report("evidence", error)


def _compiled(name: str, pattern: str | None) -> re.Pattern[str]:
    try:
        return re.compile(pattern or "")
    except re.error as error:
        raise errors.BootsealError(
            f"program {name}", f"its log pattern is no regular expression: {error}", "build the plan again"
        ) from error


def _cause(error: Exception) -> str:
    if isinstance(error, errors.BootsealError):
        return f"{error.what}: {error.why}"
    return errors.describe_os_error(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
