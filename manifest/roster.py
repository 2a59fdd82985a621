"""The programs of a plan in start order: the manifest's, and around them bootseal's own.

Rules
-----
* The probe server, Stage B, the manifest's programs by rank and then as written, the seal.
* bootseal's own programs are isolated, so that nothing in the image can shadow them. They have rank 0; one that is given up
  leaves the container unready, never ended.
"""

import dataclasses

from manifest import hardening_plan, launching, model, order, overlap, plan, proofs, tree
from manifest.resolver import Resolver

_FIRST_PRIORITY, _LAST_PRIORITY = 10, 98
_SYSTEM_STOP_SECONDS = 5.0
_SYSTEM_RETRIES = 1


def programs(
    manifest: model.Manifest, resolver: Resolver, prefix: str, run: str, serves: dict[str, str]
) -> tuple[plan.ProgramPlan, ...]:
    """Return the programs of the plan; bootseal is installed in ``prefix`` and its run directory is ``run``.

    ``serves`` are the variables that tell the probe server what it serves.
    """
    launching.check(resolver)
    ranks = order.ranks(manifest.programs)
    named = sorted(manifest.programs, key=lambda name: ranks.get(name, 0))
    made = [_program(name, manifest.programs[name], ranks.get(name, 0), resolver) for name in named]
    files = {program.name: program.ready.path for program in made if program.ready.path is not None}
    overlap.check_evidence(
        resolver.subject, {name: files[name] for name in manifest.programs if name in files}, resolver.findings
    )
    probes = _system(plan.PROBES, "probes", 1, _argv(prefix, run, "probes"), oneshot=False, required=True)
    return (
        dataclasses.replace(probes, environment=serves),
        _system(plan.STAGE_B, "stage-b", 5, _argv(prefix, run, "entrypoint", "stage-b"), oneshot=True, required=True),
        *made,
        _system(plan.SEAL, "seal", 99, _argv(prefix, run, "seal"), oneshot=True, required=False),
    )


def _argv(prefix: str, run: str, *module: str) -> tuple[str, ...]:
    return (f"{prefix}/bin/python", "-I", "-X", "utf8", "-m", *module, "--run-dir", run)


def _program(name: str, program: model.Program, rank: int, resolver: Resolver) -> plan.ProgramPlan:
    here: tree.Path = ("programs", name)
    program_name, *arguments = program.command
    argv = [resolver.program((*here, "command", 0), program_name)]
    argv += [resolver.text((*here, "command", index), item) for index, item in enumerate(arguments, 1)]
    directory = None if program.directory is None else resolver.directory((*here, "directory"), program.directory)
    ready = proofs.ready(name, program, resolver)
    return plan.ProgramPlan(
        name=name,
        role="program",
        argv=tuple(argv),
        required=program.required,
        oneshot=program.oneshot,
        after=tuple(
            plan.Need(earlier, edge.condition, edge.bind) for item in program.after for earlier, edge in item.items()
        ),
        rank=rank,
        ready=ready,
        live=proofs.live(name, program, ready, resolver),
        on_exit=program.on_exit or (plan.DEGRADE if program.oneshot else plan.RESTART),
        on_fatal=program.on_fatal or (plan.END if program.required else plan.DEGRADE),
        restart=_restart(program.restart),
        environment={
            variable: resolver.text((*here, "environment", variable), text)
            for variable, text in program.environment.items()
        },
        directory=directory,
        stop_signal=program.stop.signal,
        stop_timeout_seconds=program.stop.timeout,
        start_retries=program.start_retries,
        priority=min(_FIRST_PRIORITY + rank, _LAST_PRIORITY),
        artifacts=tuple(program.artifacts),
        user=None if resolver.is_relocated else program.user,
        ports=hardening_plan.ports(program),
        fastcgi=launching.fastcgi(name, program, resolver),
        listener=launching.listener(program),
    )


def _restart(written: model.Restart) -> plan.RestartPlan:
    return plan.RestartPlan(written.backoff, written.cap, written.reset, written.limit, written.within)


def _system(
    name: str, role: str, priority: int, argv: tuple[str, ...], *, oneshot: bool, required: bool
) -> plan.ProgramPlan:
    return plan.ProgramPlan(
        name=name,
        role=role,
        argv=argv,
        required=required,
        oneshot=oneshot,
        after=(),
        rank=0,
        ready=proofs.EXITED if oneshot else proofs.SUBSCRIBED,
        live=None,
        on_exit=plan.DEGRADE if role == "stage-b" else plan.RESTART,
        on_fatal=plan.DEGRADE,
        restart=_restart(model.Restart()),
        environment={},
        directory=None,
        stop_signal="TERM",
        stop_timeout_seconds=_SYSTEM_STOP_SECONDS,
        start_retries=_SYSTEM_RETRIES,
        priority=priority,
        artifacts=(),
        user=None,
    )
