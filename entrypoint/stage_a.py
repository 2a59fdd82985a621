"""Stage A: what PID 1 does before supervisord, each phase a method of one boot.

Rules
-----
* The run directory comes first, so that an earlier seal is gone before anything else can fail.
* Nothing is written but in the run directory and in ``boot.writable``; nothing is resolved or installed.
* Before the hand-over: the standard library only, and the libraries of keys in the identity phase. What only some plans
  need is imported when the plan asks for it: every millisecond is one of every boot.
* Programs of the image (checks, runtimes) run before this boot's secrets and keys exist, and where they can write nowhere.
* From the first byte that is written outside the run directory on, what writes is confined to the plan's list where the
  kernel can do that (``entrypoint.confinement``).
"""

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping

from contract import attested, boot_record, clock, directories, errors, events, files, process, rundir
from entrypoint import (
    attestation,
    confinement,
    effective_profile,
    handover,
    identity,
    landlock,
    mounts,
    phases,
    preflight,
    writable,
)
from manifest import plan, startup

_TRUNCATES = 3
"""The version of Landlock that restricts truncate(2) too (landlock(7))."""
_OURS = frozenset({"TMPDIR", "BOOTSEAL_RUN_DIR", "BOOTSEAL_SPEEDUPS"})


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
        self._confinement: confinement.Confined | confinement.Unconfined = confinement.Unconfined()
        self._powerless: confinement.Confined | confinement.Unconfined = confinement.Unconfined()
        self._secrets: Mapping[str, bytes] = {}  # until the identity has its keys
        self._public_key = ""
        self._closures: tuple[boot_record.Closure, ...] = ()
        self._security: attested.Attested | None = None

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

    def phases(self) -> Iterator[phases.Phase]:
        """Yield the phases in their order; what the plan does not ask for is no phase."""
        yield phases.Phase("run-directory", startup.QUICK_SECONDS, self.open_run_directory)
        yield phases.Phase("plan", startup.QUICK_SECONDS, self.load_plan)
        steps = {
            "security-profile": self.attest_security_profile,
            "immutable-root": self.check_immutable_roots,
            "writable-roots": self.prepare_writable_roots,
            "artifacts": self.judge_artifacts,
            "runtimes": self.discover_runtimes,
            "secrets": self.deliver_secrets,
            "identity": self.establish_identity,
            "preflight": self.preflight,
        }
        for name, deadline_seconds in startup.phases(self.loaded.plan)[2:]:
            yield phases.Phase(name, deadline_seconds, steps[name])

    def open_run_directory(self) -> None:
        """Open the run directory, remove an earlier seal, and begin the event log."""
        self._run = rundir.open_or_create(self._run_directory)
        rundir.claim(self._run)
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
        if the_plan.has_program_users:
            from entrypoint import privileges

            self.warnings += privileges.check(the_plan, self._run_directory)

    def attest_security_profile(self) -> None:
        """Read back which profile is in force, and tell how it differs from the planned one; a weaker one may end the boot."""
        the_plan = self.loaded.plan
        security = the_plan.security
        paths = [*(one.path for one in security.tmpfs), *(one.path for one in the_plan.deploy.volumes)]
        self._mounts = mounts.read()
        found = effective_profile.read(paths, [one.path for one in security.devices], self._mounts)
        groups = effective_profile.group_numbers(security.groups)
        place = attestation.Place("KUBERNETES_SERVICE_HOST" in os.environ, groups)
        made = self._security = attestation.attest(the_plan, found, place)
        tell = self.emitter.warn if made.weaknesses else self.emitter.emit
        tell("SecurityProfileApplied", **dataclasses.asdict(made))
        if refused := attestation.refusal(made, place):
            raise refused
        if warning := attestation.warning(made):
            self.warnings.append(warning)

    def check_immutable_roots(self) -> None:
        """See that no immutable root can be written by this process."""
        self._mounts = self._mounts or mounts.read()
        boot = self.loaded.plan.boot
        if not boot.immutable:
            return
        from entrypoint import immutable

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
        """Make every writable root, with its mode, owner, skeleton and demanded mount; from here on, confined to them."""
        opened: list[tuple[plan.WritableRoot, int]] = []
        try:
            for root in self.loaded.plan.boot.writable:
                opened.append((root, self._open_root(root)))  # noqa: PERF401  (each is closed, also when the next fails)
            ours = [(root, fd) for root, fd in opened if not writable.is_given_away(root, fd)]
            _fill(one for one in opened if one not in ours)
            self._confine([fd for _, fd in opened])
            self._confinement.run(lambda: _fill(ours))
        finally:
            for _, fd in opened:
                os.close(fd)

    def _open_root(self, root: plan.WritableRoot) -> int:
        try:
            return writable.open_root(root, self._mounts)
        except writable.NotMounted as error:
            self.emitter.emit("WorkspaceNotMounted", path=root.path, reason=error.why)
            raise

    def _confine(self, roots: list[int]) -> None:
        run_fd, _ = directories.open_confined(self.run.path)
        try:
            self._confinement = confinement.Confined([run_fd, *roots])
            self._powerless = confinement.Confined([])
            if landlock.version() < _TRUNCATES:
                why = f"Landlock's version {landlock.version()} does not restrict truncate(2)"
                self.emitter.emit("ConfinementUnavailable", reason=why)
        except landlock.Unavailable as error:
            self.emitter.emit("ConfinementUnavailable", reason=error.why)
        finally:
            os.close(run_fd)

    def deliver_secrets(self) -> None:
        """Read every secret and deliver it to the programs that are named for it."""
        from entrypoint import secret_delivery

        the_plan = self.loaded.plan
        self._secrets = self._confinement.run(
            lambda: secret_delivery.deliver(the_plan, self.run, os.environ, self._mounts)
        )
        self.emitter.emit("SecretsDelivered", **secret_delivery.summary(the_plan))

    def establish_identity(self) -> None:
        """Make or load the keys, and write the identity directory or accept the one that is mounted there."""
        wanted, secret_of = self.loaded.plan.identity, self._secrets.__getitem__
        found = self._confinement.run(
            lambda: identity.establish(wanted, self.run, self.boot_id, self._mounts, secret_of)
        )
        self._secrets = {}
        self._public_key = found.public_key_base64
        self.warnings += found.warnings
        self.emitter.emit("IdentityEstablished", id=found.id, id_from=found.source, ed25519=found.public_key_base64)

    def judge_artifacts(self) -> None:
        """See that every artifact is what was locked, and passes its check; all that is wrong is told."""
        if self.loaded.plan.artifacts or self.loaded.plan.lock is not None:
            self._judge_closures()
        self.emitter.emit("RuntimeClosureValidated", artifacts=len(self._closures))

    def _judge_closures(self) -> None:
        from entrypoint import closures

        hide = closures.secrets_of(self.loaded.plan, os.environ)
        judged = self._powerless.run(lambda: closures.judge(self.loaded, self._inherited(), hide))
        closures.tell(judged, self.emitter)
        for one in judged:
            if one.reason and not one.artifact.required:
                self.warnings.append(f"optional artifact {one.artifact.id} cannot be used: {one.reason}")
        closures.refuse_missing(judged)
        self._closures = tuple(one.closure for one in judged)

    def discover_runtimes(self) -> None:
        """Ask the language runtimes that the plan names for their versions, and write ``runtimes.json``."""
        from artifacts import runtimes

        said = {name: value for name, value in os.environ.items() if name == runtimes.OVERRIDE}
        environment = {**self._inherited(), **said}
        found = self._powerless.run(lambda: runtimes.discover(self.loaded.plan.runtimes, environment))
        for runtime in found:
            self.emitter.emit(
                "CapabilityValidated", capability=f"runtime {runtime.name}", path=runtime.path, version=runtime.version
            )
        self.warnings += runtimes.dropped(environment)
        data = runtimes.dump(found)
        self._confinement.run(lambda: files.write_atomically(self.run.runtimes, data, 0o444))

    def _inherited(self) -> dict[str, str]:
        """Return the environment that programs inherit, for commands that are run here."""
        inherited = handover.environment(os.environ, self.loaded.plan, self.run)
        return {name: value for name, value in inherited.items() if name not in _OURS}

    def preflight(self) -> None:
        """See that supervisord will accept its configuration."""
        proof = self._confinement.run(lambda: preflight.check(self.loaded, self.run))
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
            security=self._security,
        )
        self._confinement.run(lambda: boot_record.write(self.run, record))


def _fill(opened: Iterable[tuple[plan.WritableRoot, int]]) -> None:
    for root, fd in opened:
        with writable.rights(root, fd):
            writable.fill_root(root, fd)
