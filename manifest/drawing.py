"""The order of a plan as a picture: for a terminal, as a mermaid flowchart, as JSON. Pure.

Rules
-----
* Only the manifest's programs are drawn; bootseal's own start before and after all of them.
* What a manifest wrote is shown bounded and without control characters. In mermaid no text of a manifest is anything but a
  quoted label: a program may be called `end`.
"""

from typing import Any

from manifest import budget, diagnostics, plan

_CLAIMS = {
    plan.EXIT: "exit 0",
    plan.SUBSCRIPTION: "its word to PID 1",
    plan.NOTIFY: "notify",
    plan.PROTOCOL: "READY to supervisord",
}


def text(the_plan: plan.Plan) -> str:
    """Return the programs by rank, each with what proves it ready and what it needs."""
    programs = _drawn(the_plan)
    width = max((len(program.name) for program in programs), default=0)
    lines = []
    for rank in sorted({program.rank for program in programs}):
        lines.append(f"rank {rank}")
        for program in programs:
            if program.rank == rank:
                lines += _lines(program, width)
    lines.append(stop_line(the_plan))
    return "\n".join(lines) + "\n"


def _lines(program: plan.ProgramPlan, width: int) -> list[str]:
    marks = [word for word, holds in (("optional", not program.required), ("one-shot", program.oneshot)) if holds]
    first = ", ".join([*marks, f"ready by {describe(program.ready)}"])
    lines = [f"  {program.name:<{width}}  {first}"]
    if program.after:
        lines.append(f"  {'':<{width}}  after {', '.join(_need(need) for need in program.after)}")
    return lines


def _need(need: plan.Need) -> str:
    marks = [plan.STARTED] if need.condition == plan.STARTED else []
    marks += ["bound"] if need.bind else []
    return f"{need.name} ({', '.join(marks)})" if marks else need.name


def describe(ready: plan.ReadyPlan) -> str:
    """Return what proves readiness, in a few words: ``http http://127.0.0.1:8000/livez``."""
    return f"{_proof(ready)}{f' within {budget.show(ready.timeout_seconds)}' if ready.timeout_seconds else ''}"


def _proof(ready: plan.ReadyPlan) -> str:
    if ready.check is not None:
        return f"{ready.kind} {_target(ready.check)}"
    if ready.kind == plan.RUNNING:
        return f"running for {budget.show(ready.for_seconds)}"
    if ready.kind == plan.NOTIFY and ready.watchdog_seconds is not None:
        return f"notify, watchdog {budget.show(ready.watchdog_seconds)}"
    if ready.kind == plan.DESCRIPTOR:
        return f"a newline on descriptor {ready.descriptor}"
    if ready.kind == plan.LOG:
        return f"a line that matches {diagnostics.quote(ready.pattern or '')}"
    if ready.kind == plan.FILE:
        return f"the file {_shown(ready.path or '')}"
    return _CLAIMS.get(ready.kind, ready.kind)


def _target(check: plan.CheckPlan) -> str:
    if check.kind == plan.HTTP:
        return _shown(check.url or "") + (f" over {_shown(check.path)}" if check.path else "")
    if check.kind == plan.TCP:
        host = f"[{check.host}]" if ":" in (check.host or "") else check.host
        return f"{host}:{check.port}"
    return _shown(check.path or "") if check.kind == plan.UNIX else _shown(" ".join(check.argv))


def _shown(words: str) -> str:
    return diagnostics.quote(words)[1:-1]


def stop_line(the_plan: plan.Plan) -> str:
    """Return how long a stop may take and what of: ``stops within 12s: rank 0 6s (api), probes 6s``."""
    parts = budget.shares(the_plan.programs, the_plan.stop.drain_seconds)
    return f"stops within {budget.show(the_plan.stop.budget_seconds)}: {budget.describe(parts)}"


def mermaid(the_plan: plan.Plan) -> str:
    """Return a mermaid flowchart: round one-shots, dashed optional programs; dashed arrows need a start, thick ones bind."""
    programs = _drawn(the_plan)
    ids = {program.name: f"p{number}" for number, program in enumerate(programs)}
    lines = ["flowchart LR"]
    for program in programs:
        opening, closing = ("([", "])") if program.oneshot else ("[", "]")
        style = "" if program.required else ":::optional"
        lines.append(f'    {ids[program.name]}{opening}"{program.name}<br/>{program.ready.kind}"{closing}{style}')
    for program in programs:
        lines += [f"    {ids[need.name]} {_arrow(need)} {ids[program.name]}" for need in program.after]
    if any(not program.required for program in programs):
        lines.append("    classDef optional stroke-dasharray: 5 5")
    return "\n".join(lines) + "\n"


def _arrow(need: plan.Need) -> str:
    if need.bind:
        return "==>" if need.condition == plan.READY else "==>|started|"
    return "-->" if need.condition == plan.READY else "-.->"


def to_json(the_plan: plan.Plan) -> dict[str, Any]:
    """Return the programs, what they need, and how they stop, as plain JSON values for tools."""
    stop = the_plan.stop
    return {
        "programs": [_json_of(program) for program in _drawn(the_plan)],
        "stop": {
            "drain_seconds": stop.drain_seconds,
            "grace_seconds": stop.grace_seconds,
            "budget_seconds": stop.budget_seconds,
        },
    }


def _json_of(program: plan.ProgramPlan) -> dict[str, Any]:
    return {
        "name": program.name,
        "rank": program.rank,
        "required": program.required,
        "oneshot": program.oneshot,
        "ready": program.ready.kind,
        "after": [{"name": need.name, "condition": need.condition, "bind": need.bind} for need in program.after],
        "stop_timeout_seconds": program.stop_timeout_seconds,
    }


def _drawn(the_plan: plan.Plan) -> list[plan.ProgramPlan]:
    return [program for program in the_plan.programs if program.role == "program"]


def artifacts_line(the_plan: plan.Plan) -> str | None:
    """Return one line on how artifacts are verified at boot when that is by their presence alone, else None."""
    unlocked = [artifact.id for artifact in the_plan.artifacts]
    if not unlocked or the_plan.lock is not None:
        return None
    return f"artifacts: {', '.join(unlocked)}: only looked for at boot, not verified (run `bootseal lock` first)"
