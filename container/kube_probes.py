"""The three probes of a container, from its plan. Pure.

Rules
-----
* Startup: ``/startupz?wait=25s`` is answered the moment the boot is sealed, and 503 after 25 s. While nothing listens yet a
  question is refused at once and is a failure all the same, one a period: so the threshold is the boot's longest time in
  periods. PID 1 itself ends a boot that is too long; the kubelet's count is the net beneath it, and a wide one: of held
  questions it counts one in 25 s, so that a boot whose PID 1 is wedged, or that is held (``boot.on_failure: hold``), lasts 25 times as long.
* Readiness: one ``/ready`` that is not 200 is an outage, and one that is 200 ends it: settling is the plan's (``ready.settle``).
* Liveness: ``/livez`` has waited ``liveness_deadline`` already when it says 503. What the kubelet adds, three failures in a row, is
  less than a third of that again (below 10 s, than two thirds), and is there for the probe server being started anew and for a starved CPU.
* All of them ask the port of ``probes.listen``, by its number: podman 4.3 makes port 0 of a name. They ask from outside the container, so
  that it cannot be on loopback, nor on an address that a Pod would have to have.
"""

import math
from typing import Any

from container import rendering
from manifest import plan, serving, serving_plan

HELD_SECONDS = 25
_STARTUP_TIMEOUT = 30
_PERIOD = 1
_READY_TIMEOUT = 2
_LIVE_FAILURES = 3
_LIVE_SHARE = 10
"""The liveness probe's period is the deadline's tenth part."""
_LONGEST_PERIOD, _LONGEST_TIMEOUT = 10, 5


def probes(made: plan.Plan) -> dict[str, Any]:
    """Return ``startupProbe``, ``readinessProbe`` and ``livenessProbe``; raises CannotRender when nobody outside can ask."""
    check_reach(made)
    port, failures = made.probes.port, startup_failures(rendering.startup_seconds(made))
    return {
        "startupProbe": _probe(f"/startupz?wait={HELD_SECONDS}s", port, (_PERIOD, _STARTUP_TIMEOUT, failures)),
        "readinessProbe": _probe("/ready", port, (_PERIOD, _READY_TIMEOUT, 1)),
        "livenessProbe": _probe("/livez", port, _liveness(made.probes.liveness_deadline_seconds)),
    }


def startup_failures(seconds: int) -> int:
    """Return how many failures in a row are more than a boot of ``seconds`` has: the first at once, then one a period."""
    return math.ceil(seconds / _PERIOD) + 1


def check_reach(made: plan.Plan) -> None:
    """Raise CannotRender unless the kubelet can reach the probe server."""
    found = serving_plan.ip(made.probes.host)
    if found.is_unspecified:
        return
    place = serving.address(made.probes.host, made.probes.port)
    why = (
        "the kubelet asks from outside the container, where nobody reaches its loopback"
        if found.is_loopback
        else "a Pod's address is known when it runs, so that none can be written down before"
    )
    remedy = f'write `probes: {{listen: "0.0.0.0:{made.probes.port}"}}` in the manifest'
    raise rendering.CannotRender(f"probes.listen {place}", why, remedy)


def _liveness(deadline_seconds: float) -> tuple[int, int, int]:
    period = max(1, min(_LONGEST_PERIOD, int(deadline_seconds // _LIVE_SHARE)))
    return period, min(period, _LONGEST_TIMEOUT), _LIVE_FAILURES


def _probe(path: str, port: int, counts: tuple[int, int, int]) -> dict[str, Any]:
    """Return a probe; ``counts`` are the seconds of a period and of a timeout, and the failures in a row that count."""
    period, timeout, failures = counts
    return {
        "httpGet": {"path": path, "port": port},
        "periodSeconds": period,
        "timeoutSeconds": timeout,
        "failureThreshold": failures,
    }
