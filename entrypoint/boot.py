"""``bootseal boot``: Stage A and the hand-over, as PID 1.

Exit codes: 6 a phase failed, 126/127 supervisord cannot be executed or found, 128+N a stop signal, 2 wrong arguments.
On success it does not return: the process becomes supervisord.
"""

import os
import sys

from contract import exit_codes, rundir, termination
from entrypoint import handover, phases, stage_a, stop

USAGE = """\
usage: bootseal boot --plan DIR [--run-dir DIR]

Boot the container: run Stage A, then become supervisord. Meant for PID 1.

  --plan DIR     the directory that `bootseal build` wrote (plan.json, supervisord.conf)
  --run-dir DIR  where this boot writes about itself (default: {run_directory})
"""


_QUICK_SECONDS = 10.0


class UsageError(Exception):
    """The arguments are wrong."""


def parse(arguments: list[str]) -> tuple[str, str]:
    """Return (plan directory, run directory); raises UsageError. Two options need no parser library."""
    values = {"--plan": "", "--run-dir": rundir.DEFAULT}
    waiting = list(arguments)
    while waiting:
        name, separator, value = waiting.pop(0).partition("=")
        if name not in values:
            raise UsageError(f"{name} is no option of `bootseal boot`")
        if not separator:
            if not waiting:
                raise UsageError(f"{name} needs a directory")
            value = waiting.pop(0)
        if not value:
            raise UsageError(f"{name} needs a directory")
        values[name] = value
    if not values["--plan"]:
        raise UsageError("--plan DIR is missing: name the directory that `bootseal build` wrote")
    return values["--plan"], os.path.normpath(values["--run-dir"])


def main(arguments: list[str]) -> int:
    """Boot with ``arguments``; returns an exit code only when the boot ended."""
    if any(argument in {"-h", "--help"} for argument in arguments):
        print(USAGE.format(run_directory=rundir.DEFAULT), end="")
        return exit_codes.OK
    try:
        plan_directory, run_directory = parse(arguments)
    except UsageError as error:
        print(f"bootseal boot: {error}\n\n{USAGE.format(run_directory=rundir.DEFAULT)}", end="", file=sys.stderr)
        return exit_codes.USAGE_ERROR
    stage = stage_a.StageA(plan_directory, run_directory)
    try:
        return _boot(stage)
    except stop.Stopped as stopped:
        code = exit_codes.from_signal(stopped.number)
        stage.emitter.emit("StopRequested", signal=stopped.number, exit_code=code)
        return code


def _boot(stage: stage_a.StageA) -> int:
    stage.announce()
    try:
        with phases.named("start"):
            handover.become_subreaper()
        timings = phases.run(stage.phases(), stage.emitter, stage.started_monotonic)
        phases.run_one(phases.Phase("hand-over", _QUICK_SECONDS, lambda: stage.write_record(timings)))
        with phases.named("hand-over"):
            handover.become_supervisord(stage.loaded, stage.run)
    except phases.PhaseFailed as failure:
        stop.block()  # raises the stop that this failure hides, if one came
        stage.emitter.emit("BootstrapFailed", phase=failure.phase, cause=failure.cause, exit_code=failure.exit_code)
        if not isinstance(failure.__cause__, rundir.Taken):  # the log is that other boot's
            termination.write(f"{failure.phase}: {failure.cause}")
        return failure.exit_code
    raise AssertionError("execve(2) does not return")
