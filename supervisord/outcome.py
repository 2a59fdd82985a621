"""What becomes of the boot: the seal program's end, the deadline, a reported failure, and what follows.

Rules
-----
* A failure is said once, as ``BootstrapFailed``, and stands in the termination log.
* Under ``on_failure: exit`` the container ends with 6; under ``hold`` it stays up, unready, and may still be sealed, late.
"""

from collections.abc import Callable

from contract import clock, errors, events, exit_codes, snapshot, termination
from manifest import plan
from supervisord import readiness_book, sealing


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

    def on_seal_exit(self, ended: snapshot.Exit | None) -> None:
        """The seal program ended: take its record, or know why there is none."""
        if ended is not None and ended.code == exit_codes.OK:
            try:
                self._sealing.take_record(clock.rfc3339())
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

    def _why_not_sealed(self) -> str:
        """Say what keeps the seal program from sealing what is ready."""
        entry, lines = self._book.entries.get(plan.SEAL), self._book.last_lines(plan.SEAL)
        words = f"; its last output: {' | '.join(lines)}" if lines else ""
        return f"the seal was not written: {plan.SEAL} {entry.reason if entry else 'is unknown to supervisord'}{words}"
