"""What can be written, and where it goes: mounts, immutable and writable paths. Judges; see ``promise``.

Rules
-----
* Nothing is believed of a mode alone: what must not be written was tried, and what lies on a mount that is not read-only was
  looked at, file by file.
* A file belongs to who can change it: one whose owner is the container's user counts as writable whatever its mode, for
  chmod(2) is his.
* /dev and what lies in it is the engine's; so are the single files that it mounts into /etc, as long as they cannot be written.
* A file system in memory has the mode that runc finds in the image at that place, whatever it is told (seen with 1.1: /tmp stays
  1777): what counts is that nobody can rename what belongs to another.
* A pod's specification has no words for the options of a file system in memory: there its kind is judged alone.
"""

from collections.abc import Iterator

from container.conformance import collector, facts
from container.conformance.promise import Judging, Subject, Unseen, Violation, counted
from manifest import hardening, plan, provisions

OF_THE_ENGINE = ("/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/dev/termination-log")
"""The files that engines mount."""
_RENDERED = "mount it as `bootseal render` says"


def read_only_root(subject: Subject) -> Judging:
    """The root file system is read-only."""
    subject.must_be_confined()
    root = subject.inside.mount("/")
    if root is None or not root.is_read_only:
        yield Violation("/", "it is mounted writable", "run the container with --read-only")
    return "" if root is None else f"{root.kind}, {','.join(root.options)}"


def memory_mounts(subject: Subject) -> Judging:
    """Each file system in memory is there, as large and as strict as the plan says."""
    subject.must_be_confined()
    for wanted in subject.plan.security.tmpfs:
        mount = subject.inside.mount(wanted.path)
        if mount is None or mount.kind != "tmpfs":
            found = "nothing is mounted there" if mount is None else f"it is of kind {mount.kind}"
            yield Violation(wanted.path, f"{found}, and the plan has it in memory", _RENDERED)
            continue
        differences = [] if subject.is_kubernetes else list(_differences(wanted, mount, subject))
        if mount.is_read_only:
            differences.append("it is read-only")
        for why in differences:
            yield Violation(wanted.path, why, _RENDERED)
    return ", ".join(one.path for one in subject.plan.security.tmpfs) or "none"


def _differences(wanted: hardening.Tmpfs, mount: facts.Mount, subject: Subject) -> Iterator[str]:
    size = _bytes(mount.setting("size"))
    if size != wanted.size_bytes:
        shown = "no size" if size is None else f"{size} bytes"
        yield f"it has {shown}, and the plan says {wanted.size_bytes} bytes"
    for option in ("nosuid", "nodev"):
        if option not in mount.options:
            yield f"it is mounted without {option}"
    if not wanted.executable and "noexec" not in mount.options:
        yield "programs in it can be run: it is mounted without noexec"
    if wanted.executable and "noexec" in mount.options:
        yield "programs in it cannot be run, and the plan says that they can"
    entry = subject.inside.entries.get(wanted.path)
    if entry is not None:
        if entry.mode & ~wanted.mode & 0o002 and not entry.mode & 0o1000:
            yield f"everybody can rename what lies in it: its mode is {entry.mode:04o}, and the plan says {wanted.mode:04o}"
        owner = wanted.owner or subject.plan.security.user
        if entry.uid != owner.uid:
            yield f"it belongs to uid {entry.uid}, and the plan says {owner.uid}"


def _bytes(text: str | None) -> int | None:
    """Return a size as mountinfo writes it: a number with k, m or g behind it (tmpfs(5))."""
    if not text:
        return None
    factor = {"k": 2**10, "m": 2**20, "g": 2**30}.get(text[-1].lower())
    digits = text[:-1] if factor else text
    return int(digits) * (factor or 1) if digits.isdecimal() else None


def writable_roots(subject: Subject) -> Judging:
    """Each writable root is a directory with the plan's mode and owner, on a mount of its own where it must be."""
    user = subject.plan.security.user
    for root in subject.plan.boot.writable:
        entry = subject.inside.entries.get(root.path)
        if entry is None or entry.kind != "directory":
            found = "it is not there" if entry is None else f"it is a {entry.kind}"
            yield Violation(root.path, found, "look at the boot's phase writable-roots in its events")
            continue
        owner = root.owner or (None if subject.plan.relocated else user)
        for why in _unlike(entry, root.mode, owner):
            yield Violation(root.path, why, "boot gives it these: look for what changed them since")
        mount = subject.inside.mount(root.path)
        if root.mount_required and mount is None and not subject.plan.relocated:
            yield Violation(root.path, "nothing is mounted there, and the plan demands it", "mount a volume there")
    return ", ".join(root.path for root in subject.plan.boot.writable) or "none"


def volumes(subject: Subject) -> Judging:
    """Storage that outlives the container is mounted where the plan says."""
    subject.must_be_confined()
    for volume in subject.plan.deploy.volumes:
        mount = subject.inside.mount(volume.path)
        if mount is None or mount.is_read_only or mount.kind == "tmpfs":
            shown = (
                "nothing is mounted there" if mount is None else f"a {mount.kind} is mounted there, {mount.options[0]}"
            )
            yield Violation(volume.path, f"{shown}: what is written there is lost", f"mount a volume at {volume.path}")
    return ", ".join(one.path for one in subject.plan.deploy.volumes) or "none"


def nothing_else(subject: Subject) -> Judging:
    """Nothing can be written but what the plan names."""
    subject.must_be_confined()
    told = subject.inside.told
    for path in told.writable:
        remedy = "mount it read-only, or name it under boot.writable in the manifest"
        yield Violation(path, "it can be written, and the plan does not name it", remedy)
    for one in told.attempts:
        if not one.error and not facts.is_within(one.path, [*known_places(subject.plan), subject.run.path]):
            yield Violation(one.path, "a file was written there", "run the container with --read-only")
    if told.looked_at >= collector.MOST_LOOKED_AT:
        raise Unseen(f"only the first {told.looked_at} files on writable mounts were looked at")
    return f"{counted(told.looked_at, 'file')} on writable mounts looked at, {counted(len(told.attempts), 'write')} refused"


def immutable_paths(subject: Subject) -> Judging:
    """What the plan says is immutable is there, and cannot be written."""
    subject.must_be_confined()
    immutable = subject.plan.boot.immutable
    errors = {one.path: one.error for one in subject.inside.told.attempts}
    for path in immutable:
        if errors.get(path) == "ENOENT":
            yield Violation(path, "it is not there", "look at what the image was built from")
        elif path not in errors:
            yield Violation(path, "nobody tried to write there", "the suite's own fault: tell its authors")
        elif not errors[path]:
            yield Violation(path, "a file was written there", "mount it read-only, or take the modes of the image back")
        for mount in subject.inside.mounts:
            if facts.is_within(mount.point, [path]) and not mount.is_read_only and mount.point not in OF_THE_ENGINE:
                yield Violation(path, f"{mount.point} is mounted writable in it", "mount it elsewhere, or read-only")
    for path in subject.inside.told.writable:
        if facts.is_within(path, immutable):
            yield Violation(path, "it can be written, and lies in an immutable path", "mount the root read-only")
    return ", ".join(f"{path} {errors.get(path)}" for path in immutable) or "none"


def known_places(the_plan: plan.Plan) -> list[str]:
    """Return where the plan has something written: in memory, in writable roots, on volumes, in the identity's store."""
    store = the_plan.identity.store
    return [
        *(one.path for one in the_plan.security.tmpfs),
        *(one.path for one in the_plan.boot.writable),
        *(one.path for one in the_plan.deploy.volumes),
        *([store] if store else []),
    ]


def _unlike(entry: facts.Entry, mode: int, owner: provisions.User | None) -> Iterator[str]:
    if entry.mode != mode:
        yield f"its mode is {entry.mode:04o}, and the plan says {mode:04o}"
    if owner is not None and (entry.uid, entry.gid) != (owner.uid, owner.gid):
        yield f"it belongs to {entry.uid}:{entry.gid}, and the plan says {owner.uid}:{owner.gid}"
