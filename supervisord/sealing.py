"""PID 1's side of the seal: the phase of this generation, the deadline, and whether the seal was written.

Rules
-----
* The deadline is PID 1's, on the monotonic clock: a stopped or killed seal program cannot extend it.
* The generation is sealed when the seal program exited 0 and its record names this boot and this generation. PID 1
  remembers the record's digest; a reader accepts no other bytes (the signature is the readers' to check: PID 1 stays
  small).
* A failure is said once. Under ``on_failure: hold`` the seal may still come, late.
* A seal program that crashed is started again after a growing pause, until the deadline.
"""

import hashlib

from contract import boot_record, clock, decode, errors, files, rundir, snapshot
from manifest import plan

_RECORD_LIMIT = 4 * 1024 * 1024
_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0


class Sealing:
    """One generation's way to the seal."""

    def __init__(
        self, run: rundir.RunDirectory, the_plan: plan.Plan, boot: boot_record.BootRecord, started_monotonic: float
    ) -> None:
        self._run = run
        self._plan = the_plan
        self._boot = boot
        self._deadline: float | None = started_monotonic + the_plan.boot.seal_timeout_seconds
        self._phase = snapshot.BOOTING
        self._seal: snapshot.SealView | None = None
        self._failure: str | None = None
        self._crashes = 0
        self.boot_sealed_at: str | None = None
        self.was_sealed = False
        """Whether this generation ever was sealed: somebody may have read that it is ready."""
        self.restart_at = 0.0

    def deadline_passed(self, now: float) -> bool:
        """Say whether the deadline has passed without a seal."""
        return self._phase == snapshot.BOOTING and self._deadline is not None and now >= self._deadline

    @property
    def is_booting(self) -> bool:
        """Whether this generation is on its way to the seal: nothing is ready yet."""
        return self._phase == snapshot.BOOTING

    @property
    def may_revive(self) -> bool:
        """Whether the probe server may be tried again after it was given up: sealed, or held for somebody to look at."""
        return self._phase in {snapshot.SEALED, snapshot.HELD}

    def next_due(self, now: float | None = None) -> float | None:
        """Return the next monotonic moment at which this generation changes by time alone.

        A pause of the seal program that is over is none: a moment that stays in the past would let the loop spin.
        """
        if self._phase not in {snapshot.BOOTING, snapshot.HELD}:
            return None
        is_pausing = self.restart_at > (clock.monotonic() if now is None else now)
        moments = (self._deadline, self.restart_at if is_pausing else None)
        return min((moment for moment in moments if moment is not None), default=None)

    def take_record(self, wall: str) -> None:
        """The seal program exited 0: accept its record as this generation's seal.

        Raises OSError, UnsafePath or InvalidRecord when the record is not this generation's; in a generation that is
        stopping nothing is taken.
        """
        if self._phase == snapshot.STOPPING:
            return
        data = files.read_bounded(self._run.seal, _RECORD_LIMIT)
        value = decode.json_object(data, "seal")
        for name, wanted in (("boot_id", self._boot.boot_id), ("generation", self._boot.generation)):
            if value.get(name) != wanted:
                raise errors.InvalidRecord("seal", f"its {name} is not this generation's")
        late = value.get("late") is True
        self._seal = snapshot.SealView(hashlib.sha256(data).hexdigest(), wall, late)
        self.boot_sealed_at = self.boot_sealed_at or wall
        self._phase, self._failure, self._deadline = snapshot.SEALED, None, None
        self.was_sealed = True

    def fail(self, cause: str) -> bool:
        """The boot failed for ``cause``; say whether that was news."""
        if self._phase != snapshot.BOOTING:
            return False
        self._failure = cause
        self._deadline = None
        self._phase = snapshot.HELD if self._plan.boot.on_failure == "hold" else snapshot.STOPPING
        return True

    @property
    def is_stopping(self) -> bool:
        """Whether this generation stops."""
        return self._phase == snapshot.STOPPING

    @property
    def is_over(self) -> bool:
        """Whether this generation stops, or its boot failed and is held: no program's end ends it any more."""
        return self._phase in {snapshot.STOPPING, snapshot.HELD}

    @property
    def is_sealed(self) -> bool:
        """Whether this generation is sealed and nothing ends it."""
        return self._phase == snapshot.SEALED

    def stop(self, cause: str | None = None) -> None:
        """The generation ends, because of ``cause`` where nobody asked for it: its seal no longer counts."""
        self._phase = snapshot.STOPPING
        self._failure = self._failure or cause
        self._seal = None
        self._deadline = None

    def restart_later(self, now: float) -> None:
        """The seal program crashed: let it start again after a pause that doubles up to five seconds."""
        pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2**self._crashes)
        self._crashes = min(self._crashes + 1, 10)
        self.restart_at = now + pause

    def snapshot(self, revision: int, views: tuple[snapshot.ProgramView, ...]) -> snapshot.Snapshot:
        """Return the whole ledger with this generation's phase and seal."""
        return snapshot.Snapshot(
            schema=snapshot.SCHEMA,
            boot_id=self._boot.boot_id,
            generation=self._boot.generation,
            pid1=self._boot.pid1,
            pid1_start=self._boot.pid1_start,
            revision=revision,
            phase=self._phase,
            boot_sealed_at=self.boot_sealed_at,
            seal=self._seal,
            failure=self._failure,
            deadline_monotonic=self._deadline,
            programs=views,
        )
