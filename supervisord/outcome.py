"""What becomes of the container: the seal program's end, the deadline, a reported failure, a program's end, and what follows.

Rules
-----
* A failure is said once, as ``BootstrapFailed``, and stands in the termination log.
* A program whose ``on_exit`` is ``exit`` ends the container with its own code, 128+N for signal N, whenever it ends. One whose
  ``on_fatal`` is ``exit`` ends a sealed container with 6 when it is given up; before the seal that is a failed boot. Either is
  said as ``ContainerEnding``, with the program's last lines, and stands in the termination log.
* Once anything ends the container nothing later changes its exit code; a held boot is ended by a request only.
* Under ``on_failure: exit`` the container ends with 6; under ``hold`` it stays up, unready, and may still be sealed, late.
"""

from collections.abc import Callable

from contract import clock, errors, events, exit_codes, reasons, snapshot, termination
from manifest import plan
from supervisord import entries, readiness_book, sealing


class Outcome:
    """Decides how this generation's boot ends; ``end`` asks supervisord to stop with an exit code."""

    def __init__(
        self,
        the_plan: plan.Plan,
        book: readiness_book.Book,
        the_sealing: sealing.Sealing,
        emitter: events.Emitter,
        end: Callable[[int], None],
    ) -> None:
        self._plan = the_plan
        self._book = book
        self._sealing = the_sealing
        self._emitter = emitter
        self._end = end

    @property
    def boot_sealed_at(self) -> str | None:
        """When this boot was first sealed (RFC 3339), or None."""
        return self._sealing.boot_sealed_at

    def on_seal_exit(self, ended: snapshot.Exit | None) -> None:
        """The seal program ended: take its record, or know why there is none."""
        if ended is not None and ended.code == exit_codes.OK:
            try:
                self._sealing.take_record(clock.rfc3339())
                for entry in self._book.entries.values():  # given up since the seal program looked
                    if entry.supervisor_state == entries.FATAL:
                        self.on_program_fatal(entry)
            except (OSError, errors.BootsealError) as error:
                self.fail("seal", f"the seal program exited 0 and its record is not acceptable: {error}")
        elif ended is not None and ended.code == exit_codes.INFRASTRUCTURE_FAILURE:
            self.fail("seal", "the seal program gave up; its own output says why")
        else:
            self._sealing.restart_later(clock.monotonic())
        self._book.touch()

    def check_deadline(self, now: float) -> None:
        """Fail the boot when its deadline has passed at the monotonic moment ``now``, naming who is missing."""
        if not self._sealing.deadline_passed(now):
            return
        missing = self._book.missing()
        seconds = self._plan.boot.seal_timeout_seconds
        self._emitter.emit("BootstrapSealTimeout", timeout_seconds=seconds, missing=missing)
        listed = "; ".join(f"{name} {reason}" for name, reason in missing.items()) or self._why_not_sealed()
        self.fail("seal", f"not ready within {seconds:g} s: {listed}")

    def fail(self, phase: str, cause: str) -> None:
        """The boot failed in ``phase``; heard again it is no news."""
        if not self._sealing.fail(cause):
            return
        self._emitter.emit("BootstrapFailed", phase=phase, cause=cause, on_failure=self._plan.boot.on_failure)
        termination.write(cause)
        if self._plan.boot.on_failure == "exit":
            self._end(exit_codes.INFRASTRUCTURE_FAILURE)
        self._book.touch()

    def on_program_exit(self, entry: entries.Entry) -> None:
        """A program's process ended and nobody had asked for it."""
        if entry.program.on_exit == plan.END and not self._sealing.is_over:
            ended = entry.last_exit
            code = exit_codes.INFRASTRUCTURE_FAILURE if ended is None else _code(ended)
            how = f"{entry.end_cause} and was killed" if entry.end_cause else str(ended or "exited")
            self._leave(entry, f"program {entry.program.name} {how}, and its on_exit is exit", code)

    def on_program_fatal(self, entry: entries.Entry) -> None:
        """A program was given up."""
        if entry.program.on_fatal != plan.END:
            return
        cause = f"program {entry.program.name} {entry.reason}, and its on_fatal is exit"
        if self._sealing.is_sealed:
            self._leave(entry, cause, exit_codes.INFRASTRUCTURE_FAILURE)
        elif not entry.must_be_ready:  # of one that must be ready the seal program says it
            self.fail("supervise", self._with_last_words(entry, cause))

    def _leave(self, entry: entries.Entry, cause: str, exit_code: int) -> None:
        name = entry.program.name
        self._sealing.stop(cause)
        self._emitter.emit(
            "ContainerEnding", program=name, cause=cause, exit_code=exit_code, last_output=self._book.last_lines(name)
        )
        termination.write(self._with_last_words(entry, cause))
        self._end(exit_code)
        self._book.touch()

    def _with_last_words(self, entry: entries.Entry, cause: str) -> str:
        return reasons.with_last_output(cause, self._book.last_lines(entry.program.name))

    def _why_not_sealed(self) -> str:
        """Say what keeps the seal program from sealing what is ready."""
        entry = self._book.entries.get(plan.SEAL)
        why = f"the seal was not written: {plan.SEAL} {entry.reason if entry else 'is unknown to supervisord'}"
        return reasons.with_last_output(why, self._book.last_lines(plan.SEAL))


def _code(ended: snapshot.Exit) -> int:
    """Return the exit code that says how a process ended, as a shell would."""
    if ended.signal is not None:
        return exit_codes.from_signal(ended.signal)
    return exit_codes.OK if ended.code is None else ended.code
