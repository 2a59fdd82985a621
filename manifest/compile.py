"""The compiler: a manifest's file to a plan, or to all that is wrong with it.

Rules
-----
* The same bytes and the same options give the same plan. Nothing of this machine goes in but what the options and
  ``${here}`` name.
* There is a plan exactly when no finding is an error.
"""

import dataclasses
import os

from contract import errors, rundir, version
from manifest import (
    budget,
    expressions,
    fields,
    hardening_plan,
    limits,
    locked,
    model,
    overlap,
    plan,
    provision_plan,
    provisions,
    roster,
    semantics,
    serving,
    serving_plan,
    shadows,
    source,
    structure,
    tree,
    users,
)
from manifest.adoption import imported
from manifest.diagnostics import Diagnostic, Findings
from manifest.resolver import Resolver


@dataclasses.dataclass(frozen=True)
class Relocation:
    """How ``bootseal up`` moves a boot out of its container.

    A writable root ``/x`` becomes ``writable_root + "/x"`` and need not be mounted; ``strict`` replaces boot.strict;
    ``loopback_only`` makes every host that is listened on 127.0.0.1; ``listen`` (``host:port``) replaces probes.listen.
    """

    writable_root: str
    loopback_only: bool
    strict: bool
    listen: str | None


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """Where the product and its run directory will be when the plan is used, and what its artifacts are locked to."""

    prefix: str = plan.PREFIX
    run_directory: str = rundir.DEFAULT
    relocation: Relocation | None = None
    lock: locked.Lock = None


@dataclasses.dataclass(frozen=True)
class Result:
    """What became of the manifest ``path``; ``text`` is its source, for showing the diagnostics."""

    path: str
    plan: plan.Plan | None
    diagnostics: tuple[Diagnostic, ...]
    text: str


def load(path: str, options: BuildOptions | None = None) -> Result:
    """Compile the manifest ``path``; every fault of it is a diagnostic, never an exception.

    Raises BootsealError when an option is wrong.
    """
    findings = Findings()
    options = options or BuildOptions()
    listen = _listen_override(options)
    data = source.read(path, findings)
    if data is None:
        return Result(path, None, findings.ordered(), "")
    text = source.decode(data, findings)
    root = None if text is None else source.parse(text, findings)
    here = os.path.dirname(os.path.abspath(path))
    imports = None if root is None else imported.resolve(root, here, findings)
    subject = None if imports is None else structure.check(imports.root, findings)
    made = None
    if subject is not None and imports is not None:
        compiled = _compile(subject, here, options, listen, findings)
        made = dataclasses.replace(compiled, manifest_sha256=imports.digest(data))
    shown = data.decode("utf-8", "replace") if text is None else text
    return Result(path, None if findings.has_errors else made, findings.ordered(), shown.removeprefix("\ufeff"))


def _listen_override(options: BuildOptions) -> tuple[str, int] | None:
    if options.relocation is None or options.relocation.listen is None:
        return None
    found = fields.listen_address(options.relocation.listen)
    if isinstance(found, str):
        raise errors.BootsealError(f"listen {options.relocation.listen}", found, "write for example 127.0.0.1:8080")
    return found


def _compile(
    subject: structure.Subject, here: str, options: BuildOptions, listen: tuple[str, int] | None, findings: Findings
) -> plan.Plan:
    manifest = subject.model
    relocation = options.relocation
    moved = relocation.writable_root if relocation else ""
    real = {root.path: f"{moved}{root.path}" for root in manifest.boot.writable}
    secrets = {name: tuple(secret.programs) for name, secret in manifest.secrets.items()}
    scope = expressions.Scope(here, options.run_directory, real, secrets)
    resolver = Resolver(subject, scope, relocation is not None, findings)
    semantics.check(subject, findings)
    boot = _boot(manifest.boot, resolver, relocation)
    overlap.check(subject, boot.immutable, options.run_directory, findings)
    if relocation and users.is_excepted(subject):
        message = "users are not applied here: `up` runs every program as whoever calls it"
        place = tree.key_place(subject.root, ("security", "exceptions", provisions.PROGRAM_USERS))
        findings.add("W008", place, message, "boot the image to see the programs apart")
    on_loopback = relocation is not None and relocation.loopback_only
    probes = serving_plan.probes(manifest.probes, resolver, on_loopback=on_loopback, listen=listen)
    observability = serving_plan.observability(manifest.observability)
    serves = serving.environment(probes, observability)
    programs = roster.programs(manifest, resolver, options.prefix, options.run_directory, serves)
    made = plan.Plan(
        schema=plan.SCHEMA,
        bootseal=version.VERSION,
        name=manifest.name,
        manifest_sha256="",
        config_sha256="",
        proven_with=None,
        prefix=options.prefix,
        run_directory=options.run_directory,
        relocated=relocation is not None,
        boot=boot,
        identity=provision_plan.identity(manifest.identity, resolver),
        secrets=provision_plan.secrets(manifest, resolver),
        artifacts=locked.artifacts(subject, provision_plan.artifacts(manifest, resolver), options.lock, findings),
        lock=provision_plan.lock(options.lock, here),
        runtimes=tuple(manifest.runtimes),
        exceptions=() if relocation else provision_plan.exceptions(manifest.security),
        security=hardening_plan.security(
            manifest, len(programs), options.run_directory, is_relocated=relocation is not None
        ),
        deploy=hardening_plan.deploy(manifest),
        programs=programs,
        empty_required_set=manifest.required is not None,
        probes=probes,
        readiness=serving_plan.readiness(manifest.ready, resolver),
        observability=observability,
        logs=manifest.logs,
        stop=_stop(manifest.stop, programs, subject, findings),
        signals=_signals(manifest),
    )
    limits.check(subject, made, findings)
    shadows.check(subject, made, here, findings)
    return made


def _boot(boot: model.Boot, resolver: Resolver, relocation: Relocation | None) -> plan.BootPlan:
    def skeleton(index: int, path: str | None) -> str | None:
        return None if path is None else resolver.path(("boot", "writable", index, "from"), path)

    return plan.BootPlan(
        immutable=tuple(resolver.path(("boot", "immutable", index), path) for index, path in enumerate(boot.immutable)),
        strict=relocation.strict if relocation else boot.strict,
        writable=tuple(
            plan.WritableRoot(
                path=resolver.scope.writable[root.path],
                mode=root.mode,
                skeleton=skeleton(index, root.skeleton),
                mount_required=root.mount == "required" and relocation is None,
                owner=root.owner if relocation is None else None,
            )
            for index, root in enumerate(boot.writable)
        ),
        seal_timeout_seconds=boot.seal_timeout,
        on_failure=boot.on_failure,
        environment=tuple(boot.environment),
    )


def _stop(
    stop: model.ContainerStop, programs: tuple[plan.ProgramPlan, ...], subject: structure.Subject, findings: Findings
) -> plan.StopPlan:
    """Return how the container stops; E073 when that may take longer than the declared grace."""
    parts = budget.shares(programs, stop.drain)
    total = budget.total(parts)
    if stop.grace is not None and total > stop.grace and not _is_budget_doubtful(subject):
        longest = max(parts, key=lambda part: part.seconds)
        lower = f"stop.timeout of {longest.programs[0]}" if longest.programs else "stop.drain"
        message = (
            f"a stop may take {budget.show(total)}, and the grace is {budget.show(stop.grace)}: "
            f"{budget.describe(parts)}"
        )
        remedy = f"allow {budget.show(total)}, or lower {lower}"
        findings.add("E073", tree.place_of(subject.root, ("stop", "grace")), message, remedy)
    return plan.StopPlan(stop.drain, stop.grace, total)


def _is_budget_doubtful(subject: structure.Subject) -> bool:
    """Say whether something that the budget depends on was cut, so that a default stands in for it."""
    decisive = [("programs", name, key) for name in subject.names("programs") for key in ("stop", "after")]
    return any(subject.was_cut(*path) for path in (("stop",), *decisive))


def _signals(manifest: model.Manifest) -> tuple[plan.SignalPlan, ...]:
    return tuple(
        plan.SignalPlan(signal, tuple(target.programs), target.sent or signal)
        for signal, target in manifest.signals.items()
    )
