"""Who listens where. Judges; see ``promise``.

Rules
-----
* The plan declares a listener in ``probes`` (probes, metrics, detail) and in the ports of a program. A wider address than declared
  is another listener: 0.0.0.0 where loopback was declared. A narrower one is not.
* What others can reach must be declared, always. What only loopback reaches must be declared as soon as any program declares a
  port: a manifest that never speaks of ports does not speak of those within the container either.
* A plan declares TCP alone, so no UDP socket is: one that is bound to a port which the kernel hands out to clients is a client's.
* Where the network is shared with others (``--shared-network``), only a listener counts whose process was seen.
"""

import dataclasses

from container.conformance import facts
from container.conformance.promise import Judging, Subject, Violation
from manifest import plan, serving


@dataclasses.dataclass(frozen=True)
class Declared:
    """A listener of the plan, whose it is, and whether the container cannot be ready without."""

    host: str
    port: int
    whose: str
    is_required: bool

    def covers(self, found: facts.Listener) -> bool:
        """Say whether ``found`` is this listener, or a narrower one."""
        if found.protocol != "tcp" or found.port != self.port:
            return False
        mine, theirs = facts.address(self.host), facts.address(found.host)
        return mine.is_unspecified or mine == theirs or (mine.is_loopback and theirs.is_loopback)

    def is_served_by(self, found: facts.Listener) -> bool:
        """Say whether whoever was promised this listener reaches ``found``."""
        if found.protocol != "tcp" or found.port != self.port:
            return False
        mine, theirs = facts.address(self.host), facts.address(found.host)
        return theirs.is_unspecified or mine == theirs

    @property
    def shown(self) -> str:
        """The listener as a message names it."""
        return f"{serving.address(self.host, self.port)} of {self.whose}"


def declared(the_plan: plan.Plan) -> tuple[Declared, ...]:
    """Return every listener that the plan declares; an optional program's, or a one-shot's, need not be there."""
    probes = the_plan.probes
    found = [Declared(probes.host, probes.port, "the probes", is_required=True)]
    if probes.metrics_port is not None:
        found.append(Declared(probes.metrics_host, probes.metrics_port, "the metrics", is_required=True))
    detail = probes.detail
    if detail.reach == serving.OWN and detail.host is not None and detail.port is not None:
        found.append(Declared(detail.host, detail.port, "detail", is_required=True))
    for program in the_plan.programs:
        must = program.required and not program.oneshot
        found += [Declared(port.host, port.port, program.name, must) for port in program.ports]
    return tuple(found)


def only_declared(subject: Subject) -> Judging:
    """Nothing listens but what the plan declares."""
    known = declared(subject.plan)
    says_ports = any(program.ports for program in subject.plan.programs)
    judged = 0
    for found in subject.inside.listeners:
        if subject.shared_network and found.owner is None:
            continue
        judged += 1
        if any(one.covers(found) for one in known):
            continue
        if found.is_loopback and not says_ports:
            continue
        yield Violation(found.shown, _why(subject, found, known), "declare it under the program's ports, or close it")
    shown = ", ".join(sorted({one.shown for one in subject.inside.listeners})) or "nobody listens"
    return f"{judged} judged: {shown}" if subject.shared_network else shown


def all_declared(subject: Subject) -> Judging:
    """Whatever the plan declares listens."""
    known = [one for one in declared(subject.plan) if one.is_required]
    for one in known:
        if not any(one.is_served_by(found) for found in subject.inside.listeners):
            remedy = f"look at the log of {one.whose}: `bootseal logs`"
            yield Violation(one.shown, "nobody listens there, and the plan declares it", remedy)
    return ", ".join(one.shown for one in known)


def _why(subject: Subject, found: facts.Listener, known: tuple[Declared, ...]) -> str:
    owner = None if found.owner is None else subject.inside.process(found.owner)
    who = "somebody" if owner is None else owner.shown
    narrower = [one for one in known if one.port == found.port and found.protocol == "tcp"]
    if narrower:
        return f"{who} listens there, and the plan declares {narrower[0].shown} alone"
    return f"{who} listens there, and the plan does not declare it"
