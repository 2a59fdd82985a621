"""The extension: bootseal inside supervisord, on the plug-in point that supervisor documents.

supervisord calls ``make`` once per HTTP server while it starts (``[rpcinterface:bootseal]``), after its process
groups exist and before its signal handlers do.

Rules
-----
* It is loaded always, and refuses with a cause when it cannot do its duties: exit 6, nothing spawned.
* Duties: unblock the stop signals that Stage A blocked; keep the ledger; hold programs back until what they need is
  ready; own the seal's deadline; print the log without ever blocking; set the container's exit code.
* No exception of ours reaches supervisord: one in an event callback would kill PID 1. ``guard`` turns each into an
  ``ExtensionFault`` event.
"""

import contextlib
import os
import signal
from typing import Any, NoReturn

from supervisor import events as supervisor_events
from supervisor import states
from supervisor.states import getProcessStateDescription

from contract import boot_record, clock, errors, events, exit_codes, process, rundir, termination
from manifest import plan
from supervisord import (
    feed,
    gate,
    generation,
    guard,
    ledger,
    log,
    loop,
    outcome,
    output,
    readiness_book,
    reaping,
    sealing,
    spawn,
    telling,
)


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


class Extension:
    """Wires the parts of this room to one generation of supervisord."""

    def __init__(self, supervisor: Any, run: rundir.RunDirectory) -> None:
        """Read this boot's facts; raises BootsealError or OSError when they cannot be had."""
        self.supervisor = supervisor
        self.run = run
        boot = boot_record.read(run)
        self._plan = plan.load_of_boot(boot).plan
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
        self._reaper = reaping.Reaper()
        self.faults = guard.Faults(self._emitter)
        self._gate = gate.Gate(self._book, self._sealing, self.faults)
        self._outcome = outcome.Outcome(self._plan, self._book, self._sealing, self._emitter, self._end)
        channels = (self._stdout, self._stderr)
        self._telling = telling.Telling(self._plan, self._book, self._sealing, self._emitter, channels)

    def attach(self) -> None:
        """Install every hook; raises AttributeError when supervisor is unfamiliar."""
        options = self.supervisor.options
        generation.arm()
        rundir.remove_seal(self.run)
        log.redirect(options.logger, self._stdout.write)
        is_contained = os.getpid() == 1
        spawn.install(options, self._plan, self.on_fork, dies_with_us=not is_contained)
        self._reaper.install(options)
        self._wrap_close(options)
        socket_map = options.get_socket_map()
        socket_map[1], socket_map[2] = self._stdout, self._stderr
        socket_map[self._turn.fd] = self._turn
        self._feed = feed.Feed(self.run.ledger_socket, socket_map, self._telling.whole_line, self.on_subscriber)
        for group in self.supervisor.process_groups.values():
            self._gate.install(group)
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

    @guard.guarded
    def on_running(self, _event: Any) -> None:
        """Supervisord's handlers are installed: take the signals that wait since Stage A."""
        self._emitter.emit(
            "SupervisorStarted", generation=self._boot.generation, pid=os.getpid(), programs=len(self._book.entries)
        )
        if loop.speedups_wanted():
            self._turn.arm()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, exit_codes.STOP_SIGNALS)
        self.supervisor.handle_signal()

    @guard.guarded
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

    @guard.guarded
    def on_turn(self) -> None:
        """Once a turn of supervisord's loop: what time alone changes."""
        now = self._now()
        self._book.advance(now)
        self._report_changes()
        self._outcome.check_deadline(now.monotonic)
        self._telling.report_dropped()
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
        candidates = (self._book.next_due(), self._sealing.next_due(now), self._telling.next_due())
        moments = [moment for moment in candidates if moment is not None]
        return max(0.0, min(moments) - now + 0.001) if moments else None

    # --- programs ---------------------------------------------------------------------------------------------

    @guard.guarded
    def on_process_state(self, event: Any) -> None:
        """Supervisord changed the state of a program."""
        name = event.process.config.name
        state = getProcessStateDescription(event.process.state)
        if state == ledger.STARTING:
            self._spawning = name
        is_alive = state in {ledger.RUNNING, ledger.STARTING, ledger.STOPPING}
        ended = None if is_alive else self._reaper.end_of(event.process.pid)
        if ended is not None:
            self._forwarder.end(name)
        self._book.on_supervisor_state(name, state, self._now(), ended, event.process.spawnerr or "")
        self._report_changes()
        program = self._plan.program(name)
        if program is not None and program.role == "seal" and state == ledger.EXITED:
            self._outcome.on_seal_exit(ended)
            generation.BOOT.boot_sealed_at = self._sealing.boot_sealed_at
        self._poll.note_change()

    @guard.guarded
    def on_fork(self, pid: int) -> None:
        """A program's process was forked: the one whose state became STARTING just before."""
        self._book.on_spawn(self._spawning, pid, process.start_time(pid), self._now())
        entry = self._book.entries.get(self._spawning)
        if entry is not None:
            self._emitter.emit("ProgramStarted", program=self._spawning, pid=pid, pid_start=entry.pid_start)
        self._poll.note_change()

    @guard.guarded
    def on_subscriber(self, name: str, pid: int, began: bool) -> None:
        """A process subscribed to the ledger, or its subscription ended; the probe server so says that it serves."""
        entry = self._book.entries.get(name)
        if entry is not None and entry.program.role == "probes" and entry.pid == pid:
            self._book.on_subscription(name, began, self._now())
            self._report_changes()
        self._poll.note_change()

    @guard.guarded
    def on_output(self, event: Any) -> None:
        """A program wrote to its stdout or stderr."""
        self._forwarder.take(event.process.config.name, event.channel, event.data)

    @guard.guarded
    def on_group_added(self, event: Any) -> None:
        """``supervisorctl update`` added a group."""
        program = self._plan.program(event.group)
        if program is not None:
            self._book.add(program, self._now())
            self._gate.install(self.supervisor.process_groups[event.group])

    @guard.guarded
    def on_group_removed(self, event: Any) -> None:
        """``supervisorctl update`` or ``remove`` took a group away: it is unknown now."""
        self._book.remove(event.group)

    # --- the boot's end ---------------------------------------------------------------------------------------

    def fail_boot(self, phase: str, cause: str) -> None:
        """The boot cannot become ready: end or hold it, as the manifest says."""
        self._outcome.fail(phase, cause)
        self._poll.note_change()

    def _end(self, exit_code: int) -> None:
        """Stop everything in order and let the container end with ``exit_code``."""
        generation.BOOT.exit_code = exit_code
        self.supervisor.options.mood = states.SupervisorStates.SHUTDOWN
        self._poll.note_change()

    # --- telling ----------------------------------------------------------------------------------------------

    def snapshot_text(self) -> str:
        """Return the ledger as JSON text."""
        self._book.advance(self._now())
        return self._telling.snapshot_text()

    def summary_text(self) -> str:
        """Return the ledger's summary as JSON text."""
        self._book.advance(self._now())
        return self._telling.summary_text()

    def _publish(self) -> None:
        if self._feed is not None:
            self._telling.publish(self._feed)

    def _report_changes(self) -> None:
        if self._telling.report_changes():
            self._poll.note_change()

    # --- wrapping supervisor's options -------------------------------------------------------------------------

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

    @guard.guarded
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
