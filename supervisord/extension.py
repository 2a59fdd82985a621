"""The extension: bootseal inside supervisord, on the plug-in point that supervisor documents.

supervisord calls ``make`` once per HTTP server while it starts (``[rpcinterface:bootseal]``), after its process
groups exist and before its signal handlers do.

Rules
-----
* It is loaded always, and refuses with a cause when it cannot do its duties: exit 6, nothing spawned.
* Duties: unblock the stop signals that Stage A blocked; keep the ledger; hold programs back until what they need is
  ready; own the seal's deadline; print the log without ever blocking; set the container's exit code.
* No exception of ours reaches supervisord: one in an event callback would kill PID 1. ``_guarded`` turns each into an
  ``ExtensionFault`` event.
"""

import contextlib
import functools
import json
import os
import signal
from collections.abc import Callable
from typing import Any, NoReturn

from supervisor import events as supervisor_events
from supervisor import states
from supervisor.states import getProcessStateDescription

from contract import boot_record, clock, errors, events, exit_codes, process, rundir, snapshot, termination
from manifest import plan
from supervisord import feed, generation, ledger, log, loop, output, readiness_book, sealing, spawn

_BEAT_SECONDS = 0.9
_FAULTS_REPORTED = 20
_REVIVE_SECONDS = 5.0


def make(supervisor: Any, **config: str) -> "Namespace":
    """Build the extension; called by supervisord with the keys of ``[rpcinterface:bootseal]``."""
    try:
        extension = Extension(supervisor, rundir.RunDirectory(config["run_directory"]))
        extension.attach()
        return Namespace(extension)
    except BaseException as error:  # whatever it is, supervisord must not run on without its duties
        _refuse(error)


def _refuse(error: BaseException) -> NoReturn:
    cause = str(error) if isinstance(error, errors.BootsealError) else f"{type(error).__name__}: {error}"
    text = f"the extension cannot do its duties in supervisord: {cause}"
    events.Emitter("supervisord", "", None).emit("BootstrapFailed", phase="supervise", cause=text)
    termination.write(text)
    os._exit(exit_codes.INFRASTRUCTURE_FAILURE)


class Namespace:
    """The RPC namespace ``bootseal``."""

    def __init__(self, extension: "Extension") -> None:
        self._extension = extension

    def snapshot(self) -> str:
        """Return the readiness ledger as JSON text.

        @return string result  the ledger, see contract/snapshot.py
        """
        return self._extension.snapshot_text()

    def summary(self) -> str:
        """Return how many programs the boot waits for, as JSON text, small at any number of programs.

        @return string result  see contract/snapshot.py, Summary
        """
        return self._extension.summary_text()

    def fail(self, cause: str) -> bool:
        """Report that the boot cannot become ready (the seal program calls this).

        @param string cause  what, where and why, for people
        @return boolean result  always true
        """
        self._extension.fail_boot("seal", str(cause)[:4096])
        return True


def _guarded(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def guarded(self: "Extension", *arguments: Any) -> Any:
        try:
            return method(self, *arguments)
        except Exception as error:
            self.report_fault(method.__name__, error)
            return None

    return guarded


class Extension:
    """Wires the parts of this room to one generation of supervisord."""

    def __init__(self, supervisor: Any, run: rundir.RunDirectory) -> None:
        """Read this boot's facts; raises BootsealError or OSError when they cannot be had."""
        self.supervisor = supervisor
        self.run = run
        boot = boot_record.read(run)
        loaded = plan.load(boot.plan_directory)
        if loaded.sha256 != boot.plan_sha256:
            raise errors.InvalidRecord("plan", "it changed after Stage A read it", "the image must be immutable")
        self._plan = loaded.plan
        generation.BOOT.generation += 1
        self._boot = boot_record.next_generation(run, boot, generation.BOOT.generation)
        self._stdout, self._stderr = generation.BOOT.stdout, generation.BOOT.stderr
        self._emitter = generation.BOOT.emitter_for(boot.boot_id, run.events)
        self._forwarder = output.LineForwarder({"stdout": self._stdout, "stderr": self._stderr})
        self._book = readiness_book.Book(
            (program for program in self._plan.programs if program.name in supervisor.process_groups), self._now()
        )
        self._book.last_lines = self._forwarder.last_lines
        started = boot.started_monotonic if self._boot.generation == 1 else clock.monotonic()
        self._sealing = sealing.Sealing(run, self._plan, self._boot, started)
        self._sealing.boot_sealed_at = generation.BOOT.boot_sealed_at
        self._turn = loop.Turn(self.on_turn)
        self._poll = loop.PromptPoll(supervisor, self._next_due)
        self._feed: feed.Feed | None = None
        self._spawning = ""
        self._ended: tuple[int, snapshot.Exit] | None = None
        self._sent_revision = -1
        self._last_beat = 0.0
        self._faults = 0
        self._revive_at: float | None = None
        self._told_dropped = (self._stdout.dropped, self._stderr.dropped)

    def attach(self) -> None:
        """Install every hook; raises AttributeError when supervisor is unfamiliar."""
        options = self.supervisor.options
        generation.arm()
        rundir.remove_seal(self.run)
        log.redirect(options.logger, self._stdout.write)
        is_contained = os.getpid() == 1
        spawn.install(options, self._plan, self.on_fork, dies_with_us=not is_contained)
        self._wrap_waitpid(options)
        self._wrap_close(options)
        socket_map = options.get_socket_map()
        socket_map[1], socket_map[2] = self._stdout, self._stderr
        socket_map[self._turn.fd] = self._turn
        self._feed = feed.Feed(self.run.ledger_socket, socket_map, self._whole_line, self.on_subscriber)
        for group in self.supervisor.process_groups.values():
            self._gate(group)
        for kind, callback in (
            (supervisor_events.SupervisorRunningEvent, self.on_running),
            (supervisor_events.SupervisorStoppingEvent, self.on_stopping),
            (supervisor_events.ProcessStateEvent, self.on_process_state),
            (supervisor_events.ProcessLogEvent, self.on_output),
            (supervisor_events.ProcessGroupAddedEvent, self.on_group_added),
            (supervisor_events.ProcessGroupRemovedEvent, self.on_group_removed),
        ):
            supervisor_events.subscribe(kind, callback)
        if loop.speedups_wanted():
            self._poll.install()

    # --- supervisord's life -----------------------------------------------------------------------------------

    @_guarded
    def on_running(self, _event: Any) -> None:
        """Supervisord's handlers are installed: take the signals that wait since Stage A."""
        self._emitter.emit(
            "SupervisorStarted", generation=self._boot.generation, pid=os.getpid(), programs=len(self._book.entries)
        )
        if loop.speedups_wanted():
            self._turn.arm()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, exit_codes.STOP_SIGNALS)
        self.supervisor.handle_signal()

    @_guarded
    def on_stopping(self, _event: Any) -> None:
        """A stop or a reload begins: nothing is ready from now on."""
        is_reload = self.supervisor.options.mood == states.SupervisorStates.RESTARTING
        self._sealing.stop()
        self._book.touch()
        if is_reload:
            rundir.remove_seal(self.run)
            self._emitter.emit("GenerationEnded", generation=self._boot.generation)
        else:
            self._emitter.emit("StopRequested", exit_code=generation.BOOT.exit_code)
        self._publish()

    @_guarded
    def on_turn(self) -> None:
        """Once a turn of supervisord's loop: what time alone changes."""
        now = self._now()
        self._book.advance(now)
        self._report_changes()
        if self._sealing.deadline_passed(now.monotonic):
            self._seal_timed_out()
        self._report_dropped()
        self._leave_broken_channels()
        self._publish()

    def _leave_broken_channels(self) -> None:
        """Take a channel whose reader is gone out of the loop: supervisor's poller would report its error for ever."""
        options = self.supervisor.options
        for fd, channel in ((1, self._stdout), (2, self._stderr)):
            if channel.is_broken and options.get_socket_map().pop(fd, None) is not None:
                with contextlib.suppress(KeyError):  # it was never waited for
                    options.poller.unregister_writable(fd)
                self._poll.note_change()

    def _next_due(self) -> float | None:
        now = clock.monotonic()
        moments = [moment for moment in (self._book.next_due(), self._sealing.next_due(now)) if moment is not None]
        return max(0.0, min(moments) - now + 0.001) if moments else None

    # --- programs ---------------------------------------------------------------------------------------------

    @_guarded
    def on_process_state(self, event: Any) -> None:
        """Supervisord changed the state of a program."""
        name = event.process.config.name
        state = getProcessStateDescription(event.process.state)
        if state == ledger.STARTING:
            self._spawning = name
        ended = self._ended[1] if self._ended and self._ended[0] == event.process.pid and event.process.pid else None
        if state in {ledger.RUNNING, ledger.STARTING, ledger.STOPPING}:
            ended = None
        if ended is not None:
            self._forwarder.end(name)
        self._book.on_supervisor_state(name, state, self._now(), ended, event.process.spawnerr or "")
        self._report_changes()
        program = self._plan.program(name)
        if program is not None and program.role == "seal" and state == ledger.EXITED:
            self._seal_exited(ended)
        self._poll.note_change()

    @_guarded
    def on_fork(self, pid: int) -> None:
        """A program's process was forked: the one whose state became STARTING just before."""
        self._book.on_spawn(self._spawning, pid, process.start_time(pid), self._now())
        entry = self._book.entries.get(self._spawning)
        if entry is not None:
            self._emitter.emit("ProgramStarted", program=self._spawning, pid=pid, pid_start=entry.pid_start)
        self._poll.note_change()

    @_guarded
    def on_subscriber(self, name: str, pid: int, began: bool) -> None:
        """A process subscribed to the ledger, or its subscription ended; the probe server so says that it serves."""
        entry = self._book.entries.get(name)
        if entry is not None and entry.program.role == "probes" and entry.pid == pid:
            self._book.on_subscription(name, began, self._now())
            self._report_changes()
        self._poll.note_change()

    @_guarded
    def on_output(self, event: Any) -> None:
        """A program wrote to its stdout or stderr."""
        self._forwarder.take(event.process.config.name, event.channel, event.data)

    @_guarded
    def on_group_added(self, event: Any) -> None:
        """``supervisorctl update`` added a group."""
        program = self._plan.program(event.group)
        if program is not None:
            self._book.add(program, self._now())
            self._gate(self.supervisor.process_groups[event.group])

    @_guarded
    def on_group_removed(self, event: Any) -> None:
        """``supervisorctl update`` or ``remove`` took a group away: it is unknown now."""
        self._book.remove(event.group)

    def _gate(self, group: Any) -> None:
        """Hold each process of ``group`` back while the ledger says so."""
        for member in group.processes.values():
            member.transition = self._gated(member, member.transition)

    def _gated(self, member: Any, original: Callable[[], None]) -> Callable[[], None]:
        name = member.config.name

        def transition() -> None:
            if self.may_not_start(name, member.state, member.laststart):
                return
            if self.must_revive(name, member.state):
                member.spawn()
            original()

        return transition

    @_guarded
    def must_revive(self, name: str, state: int) -> bool:
        """Say whether a FATAL probe server must be tried again: once sealed, a container without probes is blind.

        Before the seal FATAL ends the boot, or holds it.
        """
        if name != plan.PROBES or state != states.ProcessStates.FATAL or not self._sealing.may_revive:
            return False
        now = clock.monotonic()
        if self._revive_at is None:
            self._revive_at = now + _REVIVE_SECONDS
        if now < self._revive_at:
            return False
        self._revive_at = None
        return True

    @_guarded
    def may_not_start(self, name: str, state: int, laststart: float) -> bool:
        """Say whether the program must wait; one that was started before is never held, but for a crashed seal."""
        if state == states.ProcessStates.STOPPED and not laststart:
            return self._book.is_held(name)
        if state == states.ProcessStates.EXITED and name == plan.SEAL:
            return clock.monotonic() < self._sealing.restart_at
        return False

    # --- the seal ---------------------------------------------------------------------------------------------

    def _seal_exited(self, ended: snapshot.Exit | None) -> None:
        if ended is not None and ended.code == 0:
            try:
                self._sealing.take_record(self._now().wall)
                generation.BOOT.boot_sealed_at = self._sealing.boot_sealed_at
            except (OSError, errors.BootsealError) as error:
                self.fail_boot("seal", f"the seal program exited 0 and its record is not acceptable: {error}")
        elif ended is not None and ended.code == exit_codes.INFRASTRUCTURE_FAILURE:
            self.fail_boot("seal", "the seal program gave up; its own output says why")
        else:
            self._sealing.restart_later(clock.monotonic())
        self._book.touch()

    def _seal_timed_out(self) -> None:
        missing = self._book.missing()
        seconds = self._plan.boot.seal_timeout_seconds
        self._emitter.emit("BootstrapSealTimeout", timeout_seconds=seconds, missing=missing)
        listed = "; ".join(f"{name} {reason}" for name, reason in missing.items()) or self._why_not_sealed()
        self.fail_boot("seal", f"not ready within {seconds:g} s: {listed}")

    def _why_not_sealed(self) -> str:
        """Say what keeps the seal program from sealing what is ready."""
        entry, lines = self._book.entries.get(plan.SEAL), self._forwarder.last_lines(plan.SEAL)
        words = f"; its last output: {' | '.join(lines)}" if lines else ""
        return f"the seal was not written: {plan.SEAL} {entry.reason if entry else 'is unknown to supervisord'}{words}"

    def fail_boot(self, phase: str, cause: str) -> None:
        """The boot failed: end the container with 6, or hold it unready, as the manifest says. Said once."""
        if not self._sealing.fail(cause):
            return
        self._emitter.emit("BootstrapFailed", phase=phase, cause=cause, on_failure=self._plan.boot.on_failure)
        termination.write(cause)
        if self._plan.boot.on_failure == "exit":
            generation.BOOT.exit_code = exit_codes.INFRASTRUCTURE_FAILURE
            self.supervisor.options.mood = states.SupervisorStates.SHUTDOWN
        self._book.touch()
        self._poll.note_change()

    # --- telling ----------------------------------------------------------------------------------------------

    def snapshot_text(self) -> str:
        """Return the ledger as JSON text; made anew only after a change."""
        now = self._now()
        self._book.advance(now)
        return self._book.text(self._snapshot)

    def _snapshot(self, revision: int, views: tuple[snapshot.ProgramView, ...]) -> snapshot.Snapshot:
        return self._sealing.snapshot(revision, views)

    def summary_text(self) -> str:
        """Return the ledger's summary as JSON text."""
        self._book.advance(self._now())
        unknown = sum(program.name not in self._book.entries for program in self._plan.required_programs)
        waiting, troubled = self._book.waiting(unknown)
        state = self._snapshot(self._book.revision, ())
        summary = snapshot.Summary(state.boot_id, state.generation, state.revision, state.phase, waiting, troubled)
        return json.dumps(vars(summary))

    def _whole_line(self) -> bytes:
        return b'{"type": "snapshot", "snapshot": ' + self.snapshot_text().encode() + b"}\n"

    def _publish(self) -> None:
        """Tell subscribers what changed in this turn, and that PID 1 lives once a second."""
        if self._feed is None:
            return
        now = clock.monotonic()
        revision = self._book.revision
        if revision != self._sent_revision:
            line = self._change_line(revision, self._book.take_unsent())
            self._sent_revision = revision
        elif now - self._last_beat >= _BEAT_SECONDS:
            line = f'{{"type": "beat", "revision": {revision}}}\n'.encode()
        else:
            return
        self._last_beat = now
        self._feed.broadcast(line)

    def _change_line(self, revision: int, changed: tuple[snapshot.ProgramView, ...] | None) -> bytes:
        if changed is None:
            return self._whole_line()
        change = snapshot.dump(self._snapshot(revision, changed))
        return f'{{"type": "change", "after": {self._sent_revision}, "snapshot": {change}}}\n'.encode()

    def _report_changes(self) -> None:
        for change in self._book.take_changes():
            if change.state == snapshot.READY:
                self._emitter.emit(
                    "ProgramReady", program=change.program.name, ready_by=change.ready_by, pid=change.pid
                )
            elif change.state == snapshot.FAILED:
                last = self._forwarder.last_lines(change.program.name)
                self._emitter.emit("ProgramFailed", program=change.program.name, reason=change.reason, last_output=last)
            self._poll.note_change()

    def _report_dropped(self) -> None:
        """Say how much output nobody read, once somebody reads again; a reader that is gone for good is told nothing."""
        if self._stdout.writable() or self._stderr.writable() or self._stderr.is_broken:
            return
        dropped = (self._stdout.dropped, self._stderr.dropped)
        if dropped != self._told_dropped:
            self._emitter.emit("OutputDropped", stdout=dropped[0], stderr=dropped[1])
            self._told_dropped = (self._stdout.dropped, self._stderr.dropped)

    def report_fault(self, where: str, error: Exception) -> None:
        """Report an exception of ours instead of letting it reach supervisord; at most 20 a generation."""
        self._faults += 1
        if self._faults <= _FAULTS_REPORTED:
            self._emitter.emit("ExtensionFault", where=where, error=f"{type(error).__name__}: {error}")

    # --- wrapping supervisor's options -------------------------------------------------------------------------

    def _wrap_waitpid(self, options: Any) -> None:
        """Remember how each process ended: supervisor keeps no exit status of one that died too early."""
        original = options.waitpid

        def waitpid() -> tuple[int | None, int | None]:
            pid, status = original()
            if pid:
                self._ended = (pid, _how(status))
            return pid, status

        options.waitpid = waitpid

    def _wrap_close(self, options: Any) -> None:
        """Close our descriptors when the generation ends: supervisord would close them by number."""
        original = options.close_httpservers

        def close_httpservers() -> None:
            signal.pthread_sigmask(signal.SIG_BLOCK, exit_codes.STOP_SIGNALS)
            self.detach()
            for number in iter(options.get_signal, None):  # taken by a handler, not yet acted on: keep it for the next
                if number in exit_codes.STOP_SIGNALS:
                    os.kill(os.getpid(), number)
            original()

        options.close_httpservers = close_httpservers

    @_guarded
    def detach(self) -> None:
        """End this generation's feed and turn."""
        socket_map = self.supervisor.options.get_socket_map()
        for fd in (1, 2, self._turn.fd):
            socket_map.pop(fd, None)
        self._turn.close()
        if self._feed is not None:
            self._feed.close()
        self._stdout.flush()
        self._stderr.flush()

    def _now(self) -> ledger.Moment:
        return ledger.Moment(clock.monotonic(), clock.rfc3339())


def _how(status: int) -> snapshot.Exit:
    if os.WIFSIGNALED(status):
        return snapshot.Exit(None, os.WTERMSIG(status))
    return snapshot.Exit(os.waitstatus_to_exitcode(status), None)
