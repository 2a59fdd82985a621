"""What is mounted hides what the image has at its path, and beneath it: nothing that is needed may lie there.

Rules
-----
* A path lies in the innermost mount that holds it. What a volume has, a file system in memory around it does not hide.
* A command may lie in memory where programs may run from there and boot or a program can put it there: beneath a path of
  boot.writable, or in the run directory.
* A manifest that lies below /run or /tmp itself is looked at somewhere else than where it will be, and nothing is judged by that
  mount: there the build sees what the container will not.
"""

import dataclasses
from collections.abc import Iterable, Iterator

from manifest import hardening, hardening_judge, plan, tree
from manifest.diagnostics import Findings, quote
from manifest.hardening_plan import RUN, TMP, is_within
from manifest.structure import Subject

_SYSTEM = (
    "/bin", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr/bin", "/usr/lib", "/usr/local/bin", "/usr/sbin",
)  # fmt: skip
_KERNELS = ("/proc", "/sys")
_SHOWN = 3


@dataclasses.dataclass(frozen=True)
class _Needed:
    """Something that must be seen at ``path``; ``place`` is where that is written, ``as_whole`` that nothing may lie in it."""

    what: str
    path: str
    place: tree.Place | None
    as_whole: bool = False
    is_command: bool = False


def check(subject: Subject, made: plan.Plan, here: str, findings: Findings) -> None:
    """Add E105 where a file system in memory hides something; the manifest lies in the directory ``here``."""
    if subject.was_cut("security") or subject.was_cut("boot") or made.relocated:
        return
    needed = tuple(_needed(subject, made))
    for mount in made.security.tmpfs:
        if (mount.path in {RUN, TMP} and is_within(here, mount.path)) or _is_refused_anyhow(mount.path, made):
            continue
        hidden = [one for one in needed if _is_hidden(one, mount, made)]
        origin = hardening_judge.origin(subject, mount.path)
        place = origin or next((one.place for one in hidden if one.place is not None), None)
        if hidden and place is not None:
            findings.add("E105", place, *_told(mount, hidden, is_said=origin is not None))


def _is_refused_anyhow(path: str, made: plan.Plan) -> bool:
    """Say whether ``path`` is a writable root that overlaps an immutable one: that is E059."""
    is_root = any(root.path == path for root in made.boot.writable)
    return is_root and any(is_within(path, one) or is_within(one, path) for one in made.boot.immutable)


def _told(mount: hardening.Tmpfs, hidden: list[_Needed], *, is_said: bool) -> tuple[str, str]:
    """Return what to say of a mount that hides something, and what to do."""
    shown = ", ".join(f"{one.what} ({quote(one.path)[1:-1]})" for one in hidden[:_SHOWN])
    more = f" and {len(hidden) - _SHOWN} more" if len(hidden) > _SHOWN else ""
    if all(one.is_command for one in hidden) and not mount.executable:
        message = f"{quote(mount.path)} is in memory, and no program runs from there: {shown}{more}"
        remedy = f"put programs elsewhere; for what is made at boot write `executable: true` for {quote(mount.path)} in `security.tmpfs`"
        return message, remedy
    message = f"{quote(mount.path)} is in memory, and hides what the image has there: {shown}{more}"
    return message, "mount it at another path" if is_said else f"put it elsewhere: {RUN} and {TMP} are in memory"


def _is_hidden(one: _Needed, mount: hardening.Tmpfs, made: plan.Plan) -> bool:
    if one.as_whole and is_within(mount.path, one.path):
        return True
    if not is_within(one.path, mount.path):
        return False
    mounts = [*(tmpfs.path for tmpfs in made.security.tmpfs), *(volume.path for volume in made.deploy.volumes)]
    if max((path for path in mounts if is_within(one.path, path)), key=len) != mount.path:
        return False
    is_made = any(
        is_within(one.path, path) for path in (made.run_directory, *(root.path for root in made.boot.writable))
    )
    return not (one.is_command and is_made and mount.executable)


def _needed(subject: Subject, made: plan.Plan) -> Iterator[_Needed]:
    root = subject.root
    for index, path in enumerate(made.boot.immutable):
        if not is_within(made.run_directory, path):  # which is E059
            here = tree.place_of(root, ("boot", "immutable", index))
            yield _Needed("an immutable root", path, here, as_whole=True)
    for index, one in enumerate(made.boot.writable):
        if one.skeleton is not None:
            here = hardening_judge.place(subject, "boot", "writable", index, "from")
            yield _Needed(f"what {quote(one.path)} is filled with", one.skeleton, here)
    for artifact in made.artifacts:
        here = hardening_judge.place(subject, "artifacts", artifact.id, "path")
        yield _Needed(f"the artifact {quote(artifact.id)}", artifact.path, here, as_whole=True)
    for program in made.programs:
        if program.role == "program":
            yield from _commands(subject, program)
    for volume in made.deploy.volumes:
        if any(mount.path == volume.path for mount in made.security.tmpfs):
            yield _Needed(f"the volume {quote(volume.name)}", volume.path, None)
    yield _Needed("bootseal itself", made.prefix, None, as_whole=True)
    yield from (_Needed("the system", path, None, as_whole=path in _KERNELS) for path in _SYSTEM)


def _commands(subject: Subject, program: plan.ProgramPlan) -> Iterable[_Needed]:
    here: tree.Path = ("programs", program.name)
    commands: list[tuple[str, tuple[str, ...], tree.Path]] = [("the command", program.argv, (*here, "command", 0))]
    for key, check in (("ready", program.ready.check), ("live", program.live.check if program.live else None)):
        if check is not None and check.argv and tree.find(subject.root, (*here, key, "exec")) is not None:
            commands.append((f"the check `{key}`", check.argv, (*here, key, "exec", "command", 0)))
    for what, argv, path in commands:
        if argv[0].startswith("/"):
            place = hardening_judge.place(subject, *path)
            yield _Needed(f"{what} of {quote(program.name)}", argv[0], place, is_command=True)
