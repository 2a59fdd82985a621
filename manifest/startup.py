"""The longest a boot may take until it is sealed or has failed: known from the plan. Pure, standard library only.

Rules
-----
* Stage A's phases come one after another, each with a deadline; what a plan does not ask for is no phase. Stage A takes their
  names and deadlines from here, so that what waits for a boot from outside waits for the same.
* The seal's own deadline counts from the boot's begin (``supervisord.sealing``). Both together are never too short, also where
  the engine takes its time to start PID 1.
"""

from manifest import plan

QUICK_SECONDS = 10.0
COPY_SECONDS = 60.0
READ_SECONDS = 300.0
PREFLIGHT_SECONDS = 30.0


def artifacts_seconds(made: plan.Plan) -> float:
    """Return how long judging the artifacts may take: a read of what is locked from slow storage, and the commands."""
    commands = sum(artifact.check.timeout_seconds for artifact in made.artifacts if artifact.check is not None)
    return (QUICK_SECONDS if made.lock is None else READ_SECONDS) + commands


def phases(made: plan.Plan) -> tuple[tuple[str, float], ...]:
    """Return the phases of Stage A under the plan ``made`` in their order, each with its deadline in seconds.

    The first two, in which the plan is still to be read, stand in every one.
    """
    listed = (
        ("run-directory", QUICK_SECONDS, True),
        ("plan", QUICK_SECONDS, True),
        ("security-profile", QUICK_SECONDS, not made.relocated),
        ("immutable-root", COPY_SECONDS, True),
        ("writable-roots", COPY_SECONDS, True),
        ("artifacts", artifacts_seconds(made), True),
        ("runtimes", QUICK_SECONDS, bool(made.runtimes)),
        ("secrets", QUICK_SECONDS, bool(made.secrets)),
        ("identity", QUICK_SECONDS, True),
        ("preflight", PREFLIGHT_SECONDS, True),
    )
    return tuple((name, seconds) for name, seconds, is_asked_for in listed if is_asked_for)


def seconds(made: plan.Plan) -> float:
    """Return the deadlines of all phases and of the seal together, in seconds."""
    return sum(deadline for _, deadline in phases(made)) + made.boot.seal_timeout_seconds
