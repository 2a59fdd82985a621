"""Stage A: what PID 1 does before supervisord, each phase a method of one boot.

Rules
-----
* The run directory comes first, so that an earlier seal is gone before anything else can fail.
* Nothing is written but in the run directory and in ``boot.writable``; nothing is resolved or installed.
* Before the hand-over: the standard library only, and the signature library in the identity phase.
"""

import os

from artifacts import presence
from contract import boot_record, clock, directories, errors, events, process, rundir
from entrypoint import identity, immutable, mounts, phases, preflight, writable
from manifest import plan

_QUICK_SECONDS = 10.0
_COPY_SECONDS = 60.0
_PREFLIGHT_SECONDS = 30.0


class StageA:
    """One boot's Stage A: run ``phases()`` in order, then ``write_record``."""

    def __init__(self, plan_directory: str, run_directory: str) -> None:
        self.boot_id = os.urandom(16).hex()
        self.emitter = events.Emitter("stage-a", self.boot_id, None)
        self.started_monotonic = clock.monotonic()
        self.started_at = clock.rfc3339()
        self.warnings: list[str] = []
        self._plan_directory = plan_directory
        self._run_directory = run_directory
        self._run: rundir.RunDirectory | None = None
        self._loaded: plan.LoadedPlan | None = None
        self._mounts: tuple[mounts.Mount, ...] = ()
        self._public_key = ""
        self._closures: tuple[boot_record.Closure, ...] = ()

    @property
    def run(self) -> rundir.RunDirectory:
        """The run directory, once its phase has run."""
        if self._run is None:
            raise RuntimeError("the phase run-directory has not run")
        return self._run

    @property
    def loaded(self) -> plan.LoadedPlan:
        """The plan, once its phase has run."""
        if self._loaded is None:
            raise RuntimeError("the phase plan has not run")
        return self._loaded

    def announce(self) -> None:
        """Emit the boot's first event."""
        self.emitter.emit(
            "BootstrapStarted",
            pid=os.getpid(),
            uid=os.geteuid(),
            plan=self._plan_directory,
            run_directory=self._run_directory,
        )

    def phases(self) -> list[phases.Phase]:
        """Return the phases in their order."""
        return [
            phases.Phase("run-directory", _QUICK_SECONDS, self.open_run_directory),
            phases.Phase("plan", _QUICK_SECONDS, self.load_plan),
            phases.Phase("immutable-root", _COPY_SECONDS, self.check_immutable_roots),
            phases.Phase("writable-roots", _COPY_SECONDS, self.prepare_writable_roots),
            phases.Phase("identity", _QUICK_SECONDS, self.establish_identity),
            phases.Phase("artifacts", _QUICK_SECONDS, self.check_artifacts),
            phases.Phase("preflight", _PREFLIGHT_SECONDS, self.preflight),
        ]

    def open_run_directory(self) -> None:
        """Open the run directory, remove an earlier seal, and begin the event log."""
        self._run = rundir.open_or_create(self._run_directory)
        _refuse_a_second_boot(self._run)
        rundir.remove_seal(self._run)
        rundir.remove_leftovers(self._run)
        self.emitter.attach(self._run.events)
        fd, _ = directories.open_confined(self._run.temporary, create=True, mode=0o700)
        os.close(fd)

    def load_plan(self) -> None:
        """Read the plan, strictly, and see that it was made for this place."""
        self._loaded = plan.load(self._plan_directory)
        the_plan = self._loaded.plan
        if the_plan.run_directory != self._run_directory:
            raise errors.BootsealError(
                f"plan {self._plan_directory}",
                f"it was built for the run directory {the_plan.run_directory} and boots in {self._run_directory}",
                f"build it with --run-dir {self._run_directory}, or boot with --run-dir {the_plan.run_directory}",
            )

    def check_immutable_roots(self) -> None:
        """See that no immutable root can be written by this process."""
        self._mounts = mounts.read()
        boot = self.loaded.plan.boot
        for path in boot.immutable:
            try:
                reason = immutable.why_writable(path, self._mounts)
            except errors.BootsealError as error:
                if boot.strict:
                    raise
                reason = error.why
            if reason is None:
                continue
            if boot.strict:
                remedy = "mount it read-only (--read-only), or say boot.strict: false"
                raise errors.BootsealError(f"immutable root {path}", f"it is writable: {reason}", remedy)
            self.emitter.emit("ImmutableRootWritable", path=path, reason=reason)
            self.warnings.append(f"immutable root {path} is not immutable: {reason}")

    def prepare_writable_roots(self) -> None:
        """Make every writable root, with its mode, skeleton and demanded mount."""
        for root in self.loaded.plan.boot.writable:
            try:
                writable.prepare(root, self._mounts)
            except writable.NotMounted as error:
                self.emitter.emit("WorkspaceNotMounted", path=root.path, reason=error.why)
                raise

    def establish_identity(self) -> None:
        """Make or load the key and write the identity directory."""
        self._public_key = identity.establish(self.loaded.plan.identity, self.run, self.boot_id)

    def check_artifacts(self) -> None:
        """See that every declared artifact exists; all missing ones are told."""
        verdicts = presence.judge(self.loaded.plan.artifacts)
        for verdict in verdicts:
            artifact = verdict.artifact
            if not verdict.reason:
                self.emitter.emit("CapabilityValidated", capability=artifact.id, path=artifact.path)
            elif artifact.required:
                self.emitter.emit("MissingArtifactDetected", capability=artifact.id, reason=verdict.reason)
            else:
                self.emitter.emit("OptionalArtifactMissing", capability=artifact.id, reason=verdict.reason)
                self.warnings.append(f"optional artifact {artifact.id} is missing: {verdict.reason}")
        missing = [verdict for verdict in verdicts if verdict.reason and verdict.artifact.required]
        if missing:
            names = ", ".join(verdict.artifact.id for verdict in missing)
            why = "; ".join(verdict.reason for verdict in missing)
            raise errors.BootsealError(f"required artifact {names}", why, "the image is incomplete: rebuild it")
        self.emitter.emit("RuntimeClosureValidated", artifacts=len(verdicts))

    def preflight(self) -> None:
        """See that supervisord will accept its configuration."""
        proof = preflight.check(self.loaded, self.run)
        self.emitter.emit("CapabilityValidated", capability="supervisord configuration", proof=proof)

    def write_record(self, timings: list[boot_record.PhaseTiming]) -> None:
        """Write ``boot.json``, the last thing before the hand-over; raises OSError."""
        record = boot_record.BootRecord(
            schema=boot_record.SCHEMA,
            boot_id=self.boot_id,
            generation=0,
            pid1=os.getpid(),
            pid1_start=process.start_time() or 0,
            started_monotonic=self.started_monotonic,
            started_at=self.started_at,
            plan_directory=self.loaded.directory,
            plan_sha256=self.loaded.sha256,
            phases=tuple(timings),
            warnings=tuple(self.warnings),
            public_key=self._public_key,
            closures=self._closures,
        )
        boot_record.write(self.run, record)


def _refuse_a_second_boot(run: rundir.RunDirectory) -> None:
    """Raise UnsafePath while the boot that ``run`` belongs to lives: a second one would take its seal and keys away."""
    try:
        other = boot_record.read(run)
    except (OSError, errors.BootsealError):
        return  # there is none, or what is there names no boot that could live
    if other.pid1 != os.getpid() and process.is_alive(other.pid1, other.pid1_start):
        why = f"it belongs to the boot of process {other.pid1}, which runs"
        raise errors.UnsafePath(f"run directory {run.path}", why, "stop that one, or boot with another --run-dir")
