"""Stage A's look at the artifacts: each against its closure, then the commands that the manifest declares.

Rules
-----
* All artifacts are judged, and all that is wrong is told, before the boot fails for a required one.
* A command is run only for an artifact that is as it was locked, and only when nothing that it executes belongs to one that is
  not (``artifacts.changed``): what was changed is not executed.
* It runs without a shell and without rights (``artifacts.command``), in the artifact's directory, with the environment that
  programs inherit. What it says is shown without secrets, and on one line that a terminal can print.
* A lock that the plan names must be good, also when the plan has no artifact.
"""

import dataclasses
import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from artifacts import lock, verification
from contract import boot_record, errors, events, masking, records
from manifest import plan, provisions

if TYPE_CHECKING:
    from artifacts import child


_REASON_CHARACTERS = 1000


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


def judge(loaded: plan.LoadedPlan, environment: Mapping[str, str], hide: Iterable[str] = ()) -> tuple[Judgement, ...]:
    """Return a judgement for each artifact of the plan, in its order.

    ``environment`` is what commands get, ``hide`` the values that nothing they say may show. Raises InvalidRecord when the
    lock cannot be used.
    """
    the_plan = loaded.plan
    locked = None if the_plan.lock is None else lock.load(loaded.lock_path, the_plan.lock.sha256)
    here = "/" if the_plan.lock is None else the_plan.lock.here
    verdicts = verification.verify(locked, the_plan.artifacts, here)
    judged = [
        Judgement(verdict.artifact, verdict.sha256, verdict.verified, verdict.reason, verdict.shown())
        for verdict in verdicts
    ]
    if any(one.artifact.check is not None and not one.reason for one in judged):
        _check(judged, verdicts, environment, tuple(hide))
    return tuple(judged)


def secrets_of(the_plan: plan.Plan, container: Mapping[str, str]) -> tuple[str, ...]:
    """Return the secrets that the environment ``container`` holds: by their names, and those that the plan takes from it."""
    declared = [container[one.variable] for one in the_plan.secrets if one.variable and one.variable in container]
    return (*declared, *masking.secrets(container))


def _check(
    judged: list[Judgement],
    verdicts: Iterable[verification.Verdict],
    environment: Mapping[str, str],
    hide: tuple[str, ...],
) -> None:
    """Run the commands of those in ``judged`` that can be used so far, and put into it what became of them."""
    from artifacts import command  # only an image that declares one pays for it

    commands: dict[int, child.Command] = {}
    for index, one in enumerate(judged):
        check = one.artifact.check
        if check is not None and not one.reason:
            place = check.directory if os.path.isdir(check.directory) else os.path.dirname(check.directory)
            commands[index] = command.Command(check.argv, place, check.timeout_seconds, environment, None, hide)
    for index, why in _untrusted(commands, verdicts).items():
        judged[index] = _failed(judged[index], f"its check `{' '.join(commands.pop(index).argv)}` cannot be run: {why}")
    for (index, run), ended in zip(commands.items(), command.run_all(commands.values()), strict=True):
        if not ended.ok:
            said = f": {ended.output.strip()}" if ended.output.strip() else ""
            judged[index] = _failed(judged[index], f"its check `{' '.join(run.argv)}` failed: {ended.why}{said}")


def _untrusted(commands: Mapping[int, "child.Command"], verdicts: Iterable[verification.Verdict]) -> dict[int, str]:
    """Return why those of ``commands`` that execute what changed cannot be run, by their index."""
    failed = [verdict for verdict in verdicts if verdict.faults]
    if not failed:
        return {}
    from artifacts import changed

    places = {verdict.artifact.id: changed.places(verdict) for verdict in failed}
    found: dict[int, str] = {}
    for index, command in commands.items():
        executed = changed.executed(command)
        names = [name for name, roots in places.items() if changed.is_beneath(executed, roots)]
        if names:
            found[index] = f"it executes what belongs to artifact {', '.join(names)}, which changed"
    return found


def _failed(judgement: Judgement, reason: str) -> Judgement:
    text = errors.printable(reason[:_REASON_CHARACTERS])
    return dataclasses.replace(judgement, reason=text, faults=(text,))


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
    """Raise BootsealError when a required artifact cannot be used, naming all of them, and each remedy once."""
    missing = [one for one in judged if one.reason and one.artifact.required]
    if not missing:
        return
    names = ", ".join(one.artifact.id for one in missing)
    why = missing[0].reason if len(missing) == 1 else "; ".join(f"{one.artifact.id}: {one.reason}" for one in missing)
    remedies = dict.fromkeys(_remedy(one) for one in missing)
    what = f"required {'artifact' if len(missing) == 1 else 'artifacts'} {names}"
    raise errors.BootsealError(what, why, "; ".join(remedies))


def _remedy(judgement: Judgement) -> str:
    """Return what to do about a required artifact that cannot be used."""
    if judgement.artifact.check is not None and "` failed: " in judgement.reason:
        return "look at the command's output: it runs without rights, as 65534 where PID 1 is root"
    if not os.path.lexists(judgement.artifact.path):
        return "install it, or correct its path"
    return "rebuild the image; if you changed it on purpose, run `bootseal lock`"
