"""Stage A's look at the artifacts: each against its closure, then the commands that the manifest declares.

Rules
-----
* All artifacts are judged, and all that is wrong is told, before the boot fails for a required one.
* A command is run only for an artifact that is as it was locked: what was changed is not executed.
* It runs without a shell and without rights (``artifacts.command``), in the artifact's directory, with the environment that
  programs inherit.
"""

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from artifacts import lock, verification
from contract import boot_record, errors, events, records
from manifest import plan, provisions


@records.dataclass(frozen=True)
class Judgement:
    """What became of one artifact: ``reason`` is "" when it can be used, ``faults`` are the first of them in words."""

    artifact: provisions.ArtifactPlan
    sha256: str | None
    verified: str
    reason: str
    faults: tuple[str, ...]

    @property
    def closure(self) -> boot_record.Closure:
        """The record of it."""
        return boot_record.Closure(self.artifact.id, self.sha256, self.verified, self.reason)


def judge(loaded: plan.LoadedPlan, environment: Mapping[str, str]) -> tuple[Judgement, ...]:
    """Return a judgement for each artifact of the plan, in its order.

    Raises InvalidRecord when the lock cannot be used.
    """
    the_plan = loaded.plan
    locked = None if the_plan.lock is None else lock.load(loaded.lock_path, the_plan.lock.sha256)
    here = "/" if the_plan.lock is None else the_plan.lock.here
    judged = [
        Judgement(verdict.artifact, verdict.sha256, verdict.verified, verdict.reason, verdict.shown())
        for verdict in verification.verify(locked, the_plan.artifacts, here)
    ]
    return _check(judged, environment)


def _check(judged: list[Judgement], environment: Mapping[str, str]) -> tuple[Judgement, ...]:
    """Return ``judged`` after the commands of those that can be used so far."""
    waiting = [index for index, one in enumerate(judged) if one.artifact.check is not None and not one.reason]
    if not waiting:
        return tuple(judged)
    from artifacts import command  # only an image that declares one pays for it

    commands = []
    for index in waiting:
        check = judged[index].artifact.check
        if check is not None:
            place = check.directory if os.path.isdir(check.directory) else os.path.dirname(check.directory)
            commands.append(command.Command(check.argv, place, check.timeout_seconds, environment, None))
    for index, ended in zip(waiting, command.run_all(commands), strict=True):
        if not ended.ok:
            argv = " ".join(commands[waiting.index(index)].argv)
            said = f": {ended.output.strip()}" if ended.output.strip() else ""
            reason = f"its check `{argv}` failed: {ended.why}{said}"[:1000]
            judged[index] = dataclasses.replace(judged[index], reason=reason, faults=(reason,))
    return tuple(judged)


def tell(judged: tuple[Judgement, ...], emitter: events.Emitter) -> None:
    """Emit an event for each artifact."""
    for one in judged:
        artifact = one.artifact
        fields: dict[str, Any] = {"capability": artifact.id, "path": artifact.path, "verified": one.verified}
        if not one.reason:
            checked = {} if artifact.check is None else {"check": "passed"}
            emitter.emit("CapabilityValidated", **fields, sha256=one.sha256, **checked)
        else:
            name = "MissingArtifactDetected" if artifact.required else "OptionalArtifactMissing"
            emitter.emit(name, **fields, reason=one.reason, faults=list(one.faults))


def refuse_missing(judged: tuple[Judgement, ...]) -> None:
    """Raise BootsealError when a required artifact cannot be used, naming all of them."""
    missing = [one for one in judged if one.reason and one.artifact.required]
    if missing:
        names = ", ".join(one.artifact.id for one in missing)
        why = "; ".join(one.reason for one in missing)
        raise errors.BootsealError(f"required artifact {names}", why, "the image is incomplete or changed: rebuild it")
