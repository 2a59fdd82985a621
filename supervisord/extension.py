"""The extension: bootseal inside supervisord, on the plug-in point that supervisor documents.

supervisord calls ``make`` once per HTTP server while it starts (``[rpcinterface:bootseal]``), after its process
groups exist and before its signal handlers do.

Rules
-----
* It is loaded always, and refuses with a cause when it cannot do its duties: exit 6, nothing spawned.
* Duties: unblock the stop signals that Stage A blocked; keep the ledger; start programs when what they need is ready, again by
  their policy, and stop them in order; own the seal's deadline; print the log without ever blocking; set the container's exit
  code.
* No exception of ours reaches supervisord: one in an event callback would kill PID 1. ``guard`` turns each into an
  ``ExtensionFault`` event.
"""

import contextlib
import os
import signal
from typing import Any, NoReturn

from supervisor import events as supervisor_events
from supervisor import states

from contract import boot_record, clock, errors, events, exit_codes, rundir, termination
from manifest import plan
from supervisord import (
    container_signals,
    credentials,
    desk,
    entries,
    event_listeners,
    evidence,
    fastcgi,
    feed,
    forwarding,
    gate,
    generation,
    guard,
    line_format,
    log,
    loop,
    namespace,
    outcome,
    programs,
    readiness_book,
    sealing,
    spawn,
    steady_clock,
    stopping,
    telling,
)

_MARGIN_SECONDS = 0.001
_LATE_SECONDS = 0.01
"""What is due and was not done in this turn's hook is not done by turning faster: a fault of ours must not let the loop spin."""


def make(supervisor: Any, **config: str) -> namespace.Namespace:
    """Build the extension; called by supervisord with the keys of ``[rpcinterface:bootseal]``."""
    try:
        extension = Extension(supervisor, rundir.RunDirectory(config["run_directory"]))
        extension.attach()
        return namespace.Namespace(extension)
    except BaseException as error:  # whatever it is, supervisord must not run on without its duties
        _refuse(error)


def _refuse(error: BaseException) -> NoReturn:
    cause = str(error) if isinstance(error, errors.BootsealError) else f"{type(error).__name__}: {error}"
    text = f"the extension cannot do its duties in supervisord: {cause}"
    events.Emitter("supervisord", "", None).emit("BootstrapFailed", phase="supervise", cause=text)
    termination.write(text)
    os._exit(exit_codes.INFRASTRUCTURE_FAILURE)


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
        self.faults = guard.Faults(self._emitter)
        self._speedups = loop.speedups()
        inherited = dict(os.environ)
        environments = {program.name: spawn.environment(program, inherited) for program in self._plan.programs}
        given = credentials.Credentials(self._plan.secrets, run)
        hide = credentials.hiding(given, environments, self.faults.report)
        own = frozenset(program.name for program in self._plan.programs if program.role != "program")
        self._form = line_format.LineFormat(self._plan.logs, (program.name for program in self._plan.programs), own)
        self._forwarder = forwarding.LineForwarder(
            {"stdout": self._stdout, "stderr": self._stderr},
            hide,
            form=self._form,
            store=generation.BOOT.store_for(len(self._plan.programs), boot.boot_id),
            own=own,
        )
        known = [program for program in self._plan.programs if program.name in supervisor.process_groups]
        self._book = readiness_book.Book(known, entries.now(), unusable=boot.unusable, origin=boot.started_monotonic)
        self._book.last_lines = self._forwarder.last_lines
        started = boot.started_monotonic if self._boot.generation == 1 else clock.monotonic()
        self._sealing = sealing.Sealing(run, self._plan, self._boot, started)
        self._sealing.boot_sealed_at = generation.BOOT.boot_sealed_at
        self._are_signals_held = True
        self._turn = loop.Turn(self.on_turn)
        self._poll = loop.PromptPoll(supervisor, self._next_due, lambda error: self._stand_aside(loop.POLL, error))
        self._feed: feed.Feed | None = None
        self._gate = gate.Gate(self._book, self._sealing, self.faults)
        self._stopping = stopping.Stopping(supervisor, self._plan, self.faults, together=loop.STOP in self._speedups)
        self._outcome = outcome.Outcome(self._plan, self._book, self._sealing, self._emitter, self._end)
        channels = (self._stdout, self._stderr)
        self._telling = telling.Telling(self._plan, self._book, self._sealing, self._emitter, channels)
        self._programs = programs.Programs(
            self._book,
            self._outcome,
            self._forwarder,
            self._emitter,
            poll=self._poll,
            report_changes=self._telling.report_changes,
        )
        self._programs.proofs.on_longer_stop = self.on_longer_stop
        self._programs.proofs.hide = hide
        self._programs.on_stop_seen = self._stopping.stop_waiting
        self._sockets = fastcgi.Sockets()
        self._listeners = event_listeners.Listeners(
            own, self._programs.proofs, hide, self.faults.report, self._poll.note_change
        )
        self._signals = container_signals.ContainerSignals(
            self._plan.signals, self._programs.pid_of, self._stopping.note_signal
        )

    def attach(self) -> None:
        """Install every hook; raises AttributeError when supervisor is unfamiliar."""
        options = self.supervisor.options
        generation.arm()
        steady_clock.install()
        rundir.remove_seal(self.run)
        log.redirect(options.logger, self._stdout.write, self._form)
        is_contained = os.getpid() == 1
        before_fork, on_fork = self._programs.before_fork, self._programs.on_fork
        spawn.install(options, self._plan, before_fork, on_fork, dies_with_us=not is_contained)
        self._programs.reaper.install(options)
        self._stopping.install()
        self._signals.on_taken = self._poll.note_change
        self._signals.on_passed = self.on_signal_passed
        self._signals.report = self.faults.report
        self._signals.install(options)
        self._wrap_close(options)
        socket_map = options.get_socket_map()
        socket_map[1], socket_map[2] = self._stdout, self._stderr
        socket_map[self._turn.fd] = self._turn
        self._feed = feed.Feed(
            self.run.ledger_socket,
            socket_map,
            self._telling.whole_line,
            self._programs.on_subscriber,
            self._programs.on_report,
        )
        self._feed.report = self.faults.report
        self._programs.evidence = evidence.Evidence(
            self._plan.programs, self.run.notify_socket, socket_map, self._programs.proofs, self.faults.report
        )
        self.supervisor.bootseal_desk = desk.Desk(self._plan, self._book, self._sealing, self.faults)
        for group in self.supervisor.process_groups.values():
            self._install(group)
        for kind, callback in (
            (supervisor_events.SupervisorRunningEvent, self.on_running),
            (supervisor_events.SupervisorStoppingEvent, self.on_stopping),
            (supervisor_events.ProcessStateEvent, self._programs.on_process_state),
            (supervisor_events.ProcessLogEvent, self._programs.on_output),
            (supervisor_events.ProcessGroupAddedEvent, self.on_group_added),
            (supervisor_events.ProcessGroupRemovedEvent, self.on_group_removed),
        ):
            supervisor_events.subscribe(kind, callback)
        if loop.POLL in self._speedups:
            self._poll.install()

    def _install(self, group: Any) -> None:
        self._gate.install(group)
        self._sockets.install(group)
        self._listeners.install(group)

    # --- supervisord's life -----------------------------------------------------------------------------------

    @guard.guarded
    def on_running(self, _event: Any) -> None:
        """Supervisord's handlers are installed: take the signals that wait since Stage A."""
        self._emitter.emit(
            "SupervisorStarted", generation=self._boot.generation, pid=os.getpid(), programs=len(self._book.entries)
        )
        if loop.WAKE in self._speedups:
            try:
                self._turn.arm()
            except Exception as error:
                self._stand_aside(loop.WAKE, error)
        try:
            self._signals.listen(self.supervisor.options)
        finally:
            self._release_signals()
            self.supervisor.handle_signal()

    def _release_signals(self) -> None:
        """Take the stop signals that Stage A blocked; in the first turn at the latest, whatever broke before."""
        if self._are_signals_held:
            self._are_signals_held = False
            signal.pthread_sigmask(signal.SIG_UNBLOCK, exit_codes.STOP_SIGNALS)

    @guard.guarded
    def on_stopping(self, _event: Any) -> None:
        """A stop or a reload begins: nothing is ready from now on."""
        is_reload = self.supervisor.options.mood == states.SupervisorStates.RESTARTING
        if self._sealing.was_sealed and self._book.is_ready(plan.PROBES):
            self._stopping.wait_for_reader()
        self._sealing.stop()
        self._book.touch()
        if is_reload:
            rundir.remove_seal(self.run)
            self._emitter.emit("GenerationEnded", generation=self._boot.generation)
        else:
            self._emitter.emit("StopRequested", exit_code=generation.BOOT.exit_code)
        self._publish()

    def _stand_aside(self, speedup: str, error: Exception) -> None:
        """A speed-up broke: everything goes on as correct, and slower."""
        self._emitter.emit("SpeedupStoodAside", speedup=speedup, error=f"{type(error).__name__}: {error}")

    @guard.guarded
    def on_turn(self) -> None:
        """Once a turn of supervisord's loop: what time alone changes."""
        self._release_signals()
        now = entries.now()
        for step in (self._watch, self._book.advance, self._kill_overdue, self._check_deadline, self._tell):
            try:
                step(now)
            except Exception as error:  # the other steps, the boot's deadline among them, go on
                self.faults.report(step.__name__, error)

    def _watch(self, now: entries.Moment) -> None:
        if self._programs.evidence is not None:
            self._programs.evidence.advance(now.monotonic)

    def _check_deadline(self, now: entries.Moment) -> None:
        self._report_changes()
        self._outcome.check_deadline(now.monotonic)

    def _tell(self, _now: entries.Moment) -> None:
        self._leave_broken_channels()
        self._telling.report_dropped()
        self._publish()

    def _leave_broken_channels(self) -> None:
        """Take a channel whose reader is gone out of the loop: supervisor's poller would report its error for ever."""
        options = self.supervisor.options
        for fd, channel in ((1, self._stdout), (2, self._stderr)):
            if channel.is_broken and options.get_socket_map().pop(fd, None) is not None:
                with contextlib.suppress(KeyError):  # it was never waited for
                    options.poller.unregister_writable(fd)
                self._poll.note_change()

    def _kill_overdue(self, now: entries.Moment) -> None:
        """Kill each process that did not become ready in time, fell silent, or fails its live check and must not."""
        for name, pid, why in self._book.take_overdue(now):
            self._emitter.emit("ProgramKilled", program=name, pid=pid, reason=why)
            with contextlib.suppress(OSError):
                stopping.kill_group(pid, signal.SIGKILL)
            self._poll.note_change()

    def _next_due(self) -> float | None:
        now = clock.monotonic()
        candidates = (
            self._book.next_due(now),
            self._sealing.next_due(now),
            self._telling.next_due(),
            self._stopping.next_due(),
            self._programs.evidence.next_due() if self._programs.evidence is not None else None,
        )
        moments = [moment for moment in candidates if moment is not None]
        if not moments:
            return None
        left = min(moments) - now
        return left + _MARGIN_SECONDS if left > 0 else _LATE_SECONDS

    @guard.guarded
    def on_signal_passed(self, mapped: plan.SignalPlan, reached: list[str]) -> None:
        """PID 1 passed a signal on."""
        self._emitter.emit("SignalPassedOn", signal=mapped.signal, sent=mapped.sent, programs=reached)

    @guard.guarded
    def on_longer_stop(self, name: str, seconds: float) -> None:
        """A program that an operator stops asks for more time; while the container stops the budget stands."""
        if self._sealing.is_stopping:
            return
        for member in self.supervisor.process_groups[name].processes.values():
            member.delay = max(member.delay, steady_clock.CLOCK.time() + seconds)

    @guard.guarded
    def on_group_added(self, event: Any) -> None:
        """``supervisorctl update`` added a group."""
        program = self._plan.program(event.group)
        if program is not None:
            self._book.add(program, entries.now())
            self._install(self.supervisor.process_groups[event.group])

    @guard.guarded
    def on_group_removed(self, event: Any) -> None:
        """``supervisorctl update`` or ``remove`` took a group away: it is unknown now."""
        self._book.remove(event.group, entries.now())

    # --- the boot's end ---------------------------------------------------------------------------------------

    def fail_boot(self, phase: str, cause: str) -> None:
        """The boot cannot become ready: end or hold it, as the manifest says."""
        self._outcome.fail(phase, cause)
        self._poll.note_change()

    def _end(self, exit_code: int) -> None:
        """Stop everything in order and let the container end with ``exit_code``, unless it ends already."""
        if self.supervisor.options.mood == states.SupervisorStates.SHUTDOWN:
            return
        generation.BOOT.exit_code = exit_code
        self.supervisor.options.mood = states.SupervisorStates.SHUTDOWN
        self._poll.note_change()

    # --- telling ----------------------------------------------------------------------------------------------

    def snapshot_text(self) -> str:
        """Return the ledger as JSON text."""
        self._book.advance(entries.now())
        return self._telling.snapshot_text()

    def summary_text(self) -> str:
        """Return the ledger's summary as JSON text."""
        self._book.advance(entries.now())
        return self._telling.summary_text()

    def output_text(self, after: int, limit: int, names: tuple[str, ...]) -> str:
        """Return the programs' output after line ``after`` as JSON text; raises UnknownProgram."""
        for name in names:
            if self._plan.program(name) is None:
                raise namespace.UnknownProgram(name)
        return self._forwarder.answer(after, limit, names)

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
        if self._programs.evidence is not None:
            self._programs.evidence.close()
        self._stdout.flush()
        self._stderr.flush()
