"""What proves a program ready, and what checks it afterwards: from the manifest's sections to the plan.

Rules
-----
* A one-shot is proven by its exit; any other program by what `ready` says, or by living for a second; an event listener by its
  first READY.
* A program that is proven ready by a check from outside goes on being checked so, unless `live` says otherwise.
"""

import dataclasses

from manifest import model, plan, readiness, tree
from manifest.resolver import Resolver

SUBSCRIBED = plan.ReadyPlan(plan.SUBSCRIPTION, 0.0, None, None, None, None, None, None)
EXITED = plan.ReadyPlan(plan.EXIT, 0.0, None, None, None, None, None, None)
LISTENING = plan.ReadyPlan(plan.PROTOCOL, 0.0, None, None, None, None, None, None)
_Check = readiness.HttpCheck | readiness.TcpCheck | readiness.UnixCheck | readiness.ExecCheck


def ready(name: str, program: model.Program, resolver: Resolver) -> plan.ReadyPlan:
    """Return what proves the program ``name`` ready."""
    if program.oneshot:
        return EXITED
    written = program.ready or readiness.Ready()
    if program.listener is not None and written.model_fields_set.isdisjoint(readiness.KINDS):
        return dataclasses.replace(LISTENING, timeout_seconds=written.timeout)
    here: tree.Path = ("programs", name, "ready")
    outside = check(here, written.check, resolver)
    kind = _kind(written)
    return plan.ReadyPlan(
        kind=kind,
        for_seconds=written.lasting if kind == plan.RUNNING else 0.0,
        descriptor=written.fd,
        pattern=written.log,
        path=None if written.file is None else resolver.evidence((*here, "file"), written.file),
        check=outside,
        watchdog_seconds=written.watchdog,
        timeout_seconds=written.timeout,
    )


def _kind(written: readiness.Ready) -> str:
    """Return the kind that was written; of several, which is an error anyhow, any."""
    if written.notify:
        return plan.NOTIFY
    by_key: dict[str, object] = {plan.DESCRIPTOR: written.fd, plan.LOG: written.log, plan.FILE: written.file}
    by_key |= {plan.HTTP: written.http, plan.TCP: written.tcp, plan.UNIX: written.unix, plan.EXEC: written.exec}
    return next((kind for kind, value in by_key.items() if value is not None), plan.RUNNING)


def live(name: str, program: model.Program, proof: plan.ReadyPlan, resolver: Resolver) -> plan.LivePlan | None:
    """Return what checks the program ``name`` once it was proven ready by ``proof``, or None."""
    if program.oneshot or program.live is readiness.NO_LIVE:
        return None
    written = program.live or readiness.NO_LIVE
    outside = check(("programs", name, "live"), written.check, resolver) or proof.check
    if outside is None:
        return None
    if written.timeout is not None:
        outside = dataclasses.replace(outside, timeout_seconds=written.timeout)
    return plan.LivePlan(outside, written.period, written.failures, written.successes, written.restart)


def check(here: tree.Path, written: _Check | None, resolver: Resolver) -> plan.CheckPlan | None:
    """Return the check from outside that is ``written`` in the section at ``here``."""
    if written is None:
        return None
    made = plan.CheckPlan(plan.EXEC, None, None, None, None, (), {}, 0, 0, None, written.timeout)
    if isinstance(written, readiness.HttpCheck):
        low, high = written.status
        path = None if written.socket is None else resolver.socket((*here, "http", "socket"), written.socket)
        return dataclasses.replace(
            made, kind=plan.HTTP, url=written.url, path=path, headers=dict(written.headers), status_low=low,
            status_high=high, body=written.body,
        )  # fmt: skip
    if isinstance(written, readiness.TcpCheck):
        return dataclasses.replace(made, kind=plan.TCP, host=written.address[0], port=written.address[1])
    if isinstance(written, readiness.UnixCheck):
        return dataclasses.replace(made, kind=plan.UNIX, path=resolver.socket((*here, "unix", "path"), written.path))
    items = enumerate(written.command)
    argv = tuple(resolver.text((*here, "exec", "command", index), item) for index, item in items)
    return dataclasses.replace(made, argv=argv)
