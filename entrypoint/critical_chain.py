"""The critical chain of a boot: from the seal back to what everything waited for. Pure.

Rules
-----
* It goes from the seal to the program that was ready last, to what that waited for, and so on to supervisord and Stage A.
* Of a generation that is not sealed it begins with who keeps it from that: a program that is not ready though it has all it
  needs: of several the first that failed for good, else the one that tries longest; and it names who waits for that one.
* A link counts with the moment in which it met the need of the link before it, which is all that mattered there.
* The seal's own time begins when the last program was ready, supervisord's when Stage A ended.
"""

from collections.abc import Mapping, Sequence

from contract import records, snapshot
from entrypoint import boot_steps

STAGE_A, SUPERVISORD = "stage-a", "supervisord"
"""Kinds of links beside those of steps."""
_SHOWN = 5


@records.dataclass(frozen=True)
class Link:
    """One link, the latest first; moments and lengths in seconds.

    ``at`` is when it was ready or done, None where it is not; ``seconds`` how long it itself took, so far where it still tries,
    None where nobody knows. ``waited`` is how long it was held back before it was spawned, ``waited_for`` the need that was met
    last, and ``lag`` how long after that, or after the first program of all, it was spawned: lags and lengths of a sealed boot's
    links add up to the moment of its seal.
    """

    name: str
    kind: str
    at: float | None
    seconds: float | None
    waited: float | None = None
    waited_for: str | None = None
    lag: float | None = None
    state: str = snapshot.READY
    reason: str = ""


@records.dataclass(frozen=True)
class Boot:
    """What the chain is made of: the steps, when Stage A ended and the first program was spawned, the seal, and now.

    ``stage_a`` is None in a later generation, ``handover`` where nothing was spawned, ``sealed`` where nobody knows when.
    """

    steps: tuple[boot_steps.Step, ...]
    stage_a: float | None
    handover: float | None
    is_sealed: bool
    sealed: float | None
    asked: float


def of(boot: Boot) -> tuple[Link, ...]:
    """Return the chain, the seal first."""
    by_name = {step.name: step for step in boot.steps}
    late = [] if boot.is_sealed else [one for one in boot.steps if one.is_awaited and one.state != snapshot.READY]
    if late:
        held = _held_back(late, by_name)
        links = [_waiting(late, held[0].name), *(_link(boot, step, None) for step in held)]
        links += _back_from(boot, held[-1], by_name)
    else:
        last = _last(boot)
        links = [_seal(boot, last)]
        if last is not None:
            links += [_link(boot, last, last.ready), *_back_from(boot, last, by_name)]
    if boot.handover is not None:
        own = max(0.0, boot.handover - (boot.stage_a or 0.0))
        links.append(Link(SUPERVISORD, SUPERVISORD, boot.handover, own))
    if boot.stage_a is not None:
        links.append(Link("Stage A", STAGE_A, boot.stage_a, boot.stage_a))
    return tuple(links)


def _last(boot: Boot) -> boot_steps.Step | None:
    """Return who was ready last of those that the seal waited for."""
    by = boot.asked if boot.sealed is None else boot.sealed + boot_steps.SLACK_SECONDS
    ready = [(one.ready, one.name, one) for one in boot.steps if one.is_awaited and one.ready is not None]
    found = max((one for one in ready if one[0] <= by), default=None, key=lambda one: one[:2])
    return found[2] if found else None


def _back_from(boot: Boot, step: boot_steps.Step, by_name: Mapping[str, boot_steps.Step]) -> list[Link]:
    """Return what ``step`` waited for, and what that did, and so on."""
    links, seen = [], {step.name}
    while (name := step.waited_for) is not None and name in by_name and name not in seen:
        at = step.released
        step = by_name[name]
        seen.add(step.name)
        links.append(_link(boot, step, at))
    return links


def _link(boot: Boot, step: boot_steps.Step, at: float | None) -> Link:
    """Return the link of a program that met what was asked of it at ``at``; None: it has not."""
    waited = lag = None
    if step.spawned is not None:
        waited = None if boot.handover is None else max(0.0, step.spawned - boot.handover)
        lag = waited if step.released is None else max(0.0, step.spawned - step.released)
    if at is None:
        seconds = step.seconds(boot.asked)
        return Link(step.name, step.kind, at, seconds, waited, step.waited_for, lag, step.state, step.reason)
    seconds = None if step.spawned is None else max(0.0, at - step.spawned)
    return Link(step.name, step.kind, at, seconds, waited, step.waited_for, lag)


# --- the seal ---------------------------------------------------------------------------------------------------------


def _seal(boot: Boot, last: boot_steps.Step | None) -> Link:
    """Return the link of a seal that waits for nobody any more."""
    own = next((step.spawned for step in boot.steps if step.kind == boot_steps.SEAL), None)
    begun = max((at for at in (own, last.ready if last else None) if at is not None), default=None)
    until = boot.sealed if boot.is_sealed else boot.asked
    seconds = None if begun is None or until is None else max(0.0, until - begun)
    waited_for = last.name if last else None
    if boot.is_sealed:
        return Link(boot_steps.SEAL, boot_steps.SEAL, boot.sealed, seconds, waited_for=waited_for)
    reason = "everything required is ready, and the seal is not written yet"
    pending = snapshot.PENDING
    return Link(boot_steps.SEAL, boot_steps.SEAL, None, seconds, waited_for=waited_for, state=pending, reason=reason)


def _waiting(late: Sequence[boot_steps.Step], nearest: str) -> Link:
    names = ", ".join(step.name for step in late[:_SHOWN])
    more = f" and {len(late) - _SHOWN} more" if len(late) > _SHOWN else ""
    return Link(
        boot_steps.SEAL,
        boot_steps.SEAL,
        None,
        None,
        waited_for=nearest,
        state=snapshot.PENDING,
        reason=f"waits for {names}{more}",
    )


# --- who keeps it from being sealed -----------------------------------------------------------------------------------


def _held_back(late: Sequence[boot_steps.Step], by_name: Mapping[str, boot_steps.Step]) -> list[boot_steps.Step]:
    """Return the way from one of ``late`` to who keeps it from being ready; of several ways there the longest.

    Who failed for good comes before all who may still become ready: waiting helps nobody there.
    """
    ways = [_way(step, by_name) for step in late]
    return min(
        ways,
        key=lambda way: (
            not _is_lost(way[-1]),
            way[-1].spawned is None,
            way[-1].spawned or 0.0,
            way[-1].name,
            -len(way),
        ),
    )


def _is_lost(step: boot_steps.Step) -> bool:
    return step.state == snapshot.FAILED and step.final


def _way(step: boot_steps.Step, by_name: Mapping[str, boot_steps.Step]) -> list[boot_steps.Step]:
    way, seen = [step], {step.name}
    while not way[-1].has_process:  # one that runs has what it needs, whatever became of that
        following = next((by_name[one] for one in way[-1].unmet if one in by_name and one not in seen), None)
        if following is None:
            break
        way.append(following)
        seen.add(following.name)
    return way
