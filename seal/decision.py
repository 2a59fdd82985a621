"""Is everything ready? The seal's decision, a pure function of the plan and one snapshot of the ledger.

Rules
-----
* A required program that the ledger does not know, has failed for good, or has exited after it was ready without being asked
  to, ends the boot at once with that cause. One whose start failed is tried again by its policy, and one whose live check fails
  may recover: both are waited for.
* A program of bootseal itself (the probe server, Stage B) that failed for good ends it too.
* An empty required set is never sealed unless the manifest says so on purpose.
* Otherwise: sealed when all are ready, waiting until then. Nothing is ready by default.
* Readiness wins over history: a program that exited and is ready again does not fail a late seal.
"""

from contract import records, snapshot
from manifest import plan


@records.dataclass(frozen=True)
class Waiting:
    """Not yet; ``missing`` maps each program that is not ready to the reason."""

    missing: dict[str, str]


@records.dataclass(frozen=True)
class Failed:
    """It cannot become ready by waiting; ``program`` is "" when no single program is the cause."""

    program: str
    cause: str


@records.dataclass(frozen=True)
class Complete:
    """Everything required is ready; ``programs`` are the required programs' views in plan order."""

    programs: tuple[snapshot.ProgramView, ...]


Decision = Waiting | Failed | Complete


def decide(the_plan: plan.Plan, ledger: snapshot.Snapshot) -> Decision:
    """Return the decision for ``ledger`` under ``the_plan``; see the rules of this module."""
    required = [program for program in the_plan.programs if _must_be_ready(program)]
    if not the_plan.required_programs and not the_plan.empty_required_set:
        return Failed("", "no program is required, and the manifest does not say `required: []`")
    views: list[snapshot.ProgramView] = []
    missing: dict[str, str] = {}
    for program in required:
        view = ledger.program(program.name)
        failure = _failure(program, view)
        if failure:
            return Failed(program.name, f"program {program.name} {failure}{_last_words(view)}")
        if view is None or view.state != snapshot.READY:
            missing[program.name] = view.reason if view else "unknown"
        elif program.role == "program":
            views.append(view)
    return Waiting(missing) if missing else Complete(tuple(views))


def _must_be_ready(program: plan.ProgramPlan) -> bool:
    return program.role in {"probes", "stage-b"} or (program.role == "program" and program.required)


def _failure(program: plan.ProgramPlan, view: snapshot.ProgramView | None) -> str | None:
    if view is None:
        return "is unknown to supervisord"
    if view.state == snapshot.READY:
        return None
    if view.state == snapshot.FAILED and view.final:
        return view.reason
    if view.exits and not program.oneshot and program.role == "program":
        return f"{view.last_exit or 'exited'}"
    return None


def _last_words(view: snapshot.ProgramView | None) -> str:
    """Return the program's last lines as evidence, or nothing where it wrote nothing."""
    return f"; its last output: {' | '.join(view.last_output)}" if view and view.last_output else ""
