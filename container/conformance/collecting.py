"""Looking at a container: what is asked, in one call, and what comes back.

Rules
-----
* One command runs in the container, by the image's own interpreter: each costs an engine a tenth of a second and more.
* The question is made from the plan alone.
"""

import importlib.resources
import json
from typing import Any

from container.conformance import answers, collector, facts, file_systems, outside, programs, sealing
from container.conformance.promise import Subject
from contract import errors, rundir
from manifest import plan, serving


class Unreachable(errors.BootsealError):
    """The container could not be asked."""


def look(host: Any, loaded: plan.LoadedPlan, run_directory: str | None, *, shared_network: bool) -> Subject:
    """Return ``host``, a testinfra host, as it is seen now beside the plan; raises Unreachable."""
    the_plan = loaded.plan
    run = rundir.RunDirectory(run_directory or the_plan.run_directory)
    source = importlib.resources.files("container.conformance").joinpath("collector.py").read_text(encoding="utf-8")
    interpreter = f"{the_plan.prefix}/bin/python"
    what = f"{host.backend.NAME}://{getattr(host.backend, 'name', '')}"
    try:
        done = host.run("%s -I -X utf8 -c %s %s", interpreter, source, json.dumps(question(the_plan, run)))
    except (OSError, RuntimeError) as error:
        raise Unreachable(what, str(error)[:300], "see that the host can be reached") from error
    if done.rc != 0:
        said = done.stderr.strip()[-300:] or f"exit status {done.rc}"
        raise Unreachable(what, f"{interpreter} did not run in it: {said}", "is it running, and made by bootseal?")
    try:
        inside = facts.parse(done.stdout.encode(), what)
    except errors.InvalidRecord as error:
        raise Unreachable(
            what, f"what its interpreter told is not understood: {error.why}", "is it an interpreter?"
        ) from error
    is_local = str(host.backend.NAME) == "local"
    return Subject(the_plan, loaded.sha256, run, inside, outside.look(host), shared_network or is_local)


def question(the_plan: plan.Plan, run: rundir.RunDirectory) -> dict[str, Any]:
    """Return what ``collector`` is asked."""
    isolated = [f"{the_plan.prefix}/bin/python", "-I", "-X", "utf8", "-m"]
    places = file_systems.known_places(the_plan)
    return {
        "run": run.path,
        "plan_directory": f"{the_plan.prefix}/etc",
        "entries": places,
        "known": [*places, *file_systems.OF_THE_ENGINE],
        "attempts": list(dict.fromkeys(["/", "/etc", "/usr", the_plan.prefix, *the_plan.boot.immutable])),
        "groups": [name for name in the_plan.security.groups if not name.isdecimal()],
        "requests": _requests(the_plan, run),
        "commands": {
            programs.STATUS: _supervisorctl(isolated, "status"),
            programs.READY: _supervisorctl(isolated, "ready"),
            sealing.VERIFY: [*isolated, "entrypoint", "verify", "--live", "--format", "json", "--run-dir", run.path],
        },
    }


def _supervisorctl(isolated: list[str], command: str) -> list[str]:
    return [*isolated, "supervisor.supervisorctl", "-c", f"{collector.PLAN}/{plan.CONFIG_FILE}", command]


def _requests(the_plan: plan.Plan, run: rundir.RunDirectory) -> dict[str, dict[str, Any]]:
    probes = the_plan.probes
    public = _at(probes.host, probes.port)
    metrics = public if probes.metrics_port is None else _at(probes.metrics_host, probes.metrics_port)
    asked: dict[str, dict[str, Any]] = {
        name: {**public, "path": answers.PATHS[name]} for name in ("livez", "startupz", "ready", "whoami", "openapi")
    }
    asked["metrics"] = {
        **metrics,
        "path": answers.PATHS["metrics"],
        "accept": "application/openmetrics-text; version=1.0.0",
    }
    for name in ("health", "meta"):
        asked[name] = {"socket": run.probes_socket, "path": answers.PATHS[name], "detail": True}
    detail = probes.detail
    has_own = detail.reach == serving.OWN and detail.host is not None and detail.port is not None
    own = _at(detail.host or "", detail.port or 0) if has_own else public
    asked[answers.DETAIL] = {**own, "path": answers.PATHS["health"], "detail": True}
    asked[answers.ELSEWHERE] = {**public, "path": answers.PATHS["health"], "detail": True}
    return asked


def _at(host: str, port: int) -> dict[str, Any]:
    """Return where a listener on ``host`` is reached from within."""
    found = facts.address(host)
    if found.is_unspecified:
        host = "::1" if found.version == 6 else "127.0.0.1"
    return {"host": host, "port": port}
