"""Boots to analyse: a plan of four programs, and ledgers of it, sealed and not."""

import dataclasses
from typing import Any

from contract import boot_record, clock, snapshot
from entrypoint import analysis, presenting
from manifest import plan
from tests.unit import boots

START = 1.5
"""When Stage A began on the monotonic clock: boots.boot()."""
PHASES = (boot_record.PhaseTiming("plan", 0.0, 20.0), boot_record.PhaseTiming("identity", 0.02, 80.0))
NEVER = snapshot.NO_TIMELINE


def at(spawned: float, ready: float | None = None, running: float | None = None) -> snapshot.Timeline:
    """Return a timeline in seconds since Stage A began."""
    return snapshot.Timeline(spawned, running, ready)


def view(
    name: str, first: snapshot.Timeline, latest: snapshot.Timeline | None = None, **changes: Any
) -> snapshot.ProgramView:
    """Return a program as the ledger shows it: ready where ``first`` is."""
    known: dict[str, Any] = {"first": first, "latest": latest or first}
    if first.ready is None:
        known |= {"state": snapshot.PENDING, "reason": f"{name} is not ready", "ready_by": None}
    if first.spawned is None:
        known |= {"pid": None}
    return boots.view(name, **{**known, **changes})


def own(seal: snapshot.Timeline | None = None) -> tuple[snapshot.ProgramView, ...]:
    """Return bootseal's own programs; the seal came after 3 s, or with ``seal``."""
    return (
        view("probes", at(0.3, 0.5), role="probes"),
        view("bootstrap", at(0.31, 0.6), role="stage-b", oneshot=True, pid=None),
        view("bootstrap-seal", seal or at(0.3, 3.0), role="seal", required=False, oneshot=True, pid=None),
    )


MIGRATE = boots.program("migrate", oneshot=True)
REDIS = boots.program("redis")
API = boots.program("api", after=boots.needs("migrate", "redis"))
WEB = boots.program("web", after=boots.needs("api"))
PLAN = boots.make_plan(MIGRATE, REDIS, API, WEB, boots.program("extra", required=False))
VIEWS = (
    view("migrate", at(0.61, 1.5), oneshot=True, pid=None),
    view("redis", at(0.62, 0.9)),
    view("api", at(1.51, 2.0)),
    view("web", at(2.01, 2.9)),
    view("extra", at(0.63, 9.0), required=False),
)
SEAL = snapshot.SealView("ab" * 32, boots.WALL, late=False)


def wall(seconds: float) -> str:
    """Return the time of day ``seconds`` after Stage A began."""
    return clock.rfc3339((presenting.moment(boots.WALL) or 0.0) + seconds)


def analysed(
    *views: snapshot.ProgramView, the_plan: plan.Plan = PLAN, asked: float = 60.0, **changes: Any
) -> analysis.Analysis:
    """Return the analysis of a sealed boot of ``views``, asked for ``asked`` seconds after Stage A began."""
    done = next((one.first.ready for one in views if one.role == "seal" and one.first.ready is not None), 0.0)
    seal = dataclasses.replace(SEAL, at=wall(done))
    ledger = boots.ledger(*views, **{"phase": snapshot.SEALED, "seal": seal, **changes})
    return analysis.of(the_plan, boots.boot(phases=PHASES), ledger, START + asked)


def unsealed(*views: snapshot.ProgramView, **changes: Any) -> analysis.Analysis:
    """Return the analysis of a boot that is not sealed after 10 s."""
    return analysed(*own(at(0.3)), *views, **{"phase": snapshot.BOOTING, "seal": None, "asked": 10.0, **changes})


def replaced(**named: snapshot.ProgramView) -> tuple[snapshot.ProgramView, ...]:
    """Return the manifest's programs, those that are ``named`` replaced."""
    return tuple(named.get(one.name, one) for one in VIEWS)
