"""The schemas of the security profile: the planned one, the one in force, and how they differ."""

from manifest import hardening
from probes.openapi.shapes import Schema, an_object, claim, count, many, one_of, or_null, ref, text

_NO_LIMIT = "-1: no limit; null: not to be read."


def all_of_them() -> dict[str, Schema]:
    """Return every schema of the security profile by its name."""
    limit = or_null(count(_NO_LIMIT, minimum=-1))
    return {
        "Security": an_object(
            "Under which restrictions this boot was to run, and which it found in force.",
            {
                "attested": claim("Whether there is a container: `bootseal up` has none."),
                "planned": ref("PlannedProfile"),
                "effective": or_null(ref("EffectiveProfile")),
                "differences": many(ref("Difference")),
                "unknown": _texts("Why it could not be told, by what."),
                "enforced": claim("Whether a weaker profile would have ended the boot."),
                "exceptions": many(an_object("Beyond the baseline.", {"name": text(), "reason": text()})),
            },
        ),
        "Difference": an_object(
            "One thing that is not as it was planned.",
            {
                "what": text("Stable: user, groups, capabilities, tmpfs /run, memory, …"),
                "planned": text(),
                "found": text(),
                "weaker": claim("The container may do more, or is held less, than planned."),
                "mend": text("The option that mends it; empty where nothing needs it, or where none can."),
            },
        ),
        "PlannedProfile": _planned(),
        "EffectiveProfile": an_object(
            "What the kernel let PID 1 and all that it starts do when this boot began.",
            {
                "uid": count(),
                "gid": count(),
                "groups": many(count()),
                "umask": or_null(text("Octal.", pattern="^[0-7]+$")),
                "uid_map": _ranges(),
                "gid_map": _ranges(),
                "capabilities": an_object(
                    "Without CAP_; empty when they could not be read.",
                    {name: many(text()) for name in _SETS},
                    _SETS,
                ),
                "no_new_privileges": or_null(claim()),
                "seccomp": or_null(one_of(("disabled", "strict", "filter"))),
                "seccomp_filters": or_null(count()),
                "namespaces": an_object(
                    "Null where it cannot be told.", {name: or_null(one_of(("host", "own"))) for name in _NAMESPACES}
                ),
                "root_read_only": or_null(claim()),
                "mounts": many(
                    an_object(
                        "At a planned path, or one that can be written beyond those.",
                        {
                            "path": text(),
                            "kind": text("Of the file system."),
                            "size_bytes": or_null(count("Of one in memory; -1: no limit.", minimum=-1)),
                            "options": many(one_of(("ro", "nosuid", "nodev", "noexec"))),
                        },
                    )
                ),
                "devices": many(text(), "The planned ones that are there."),
                "memory_bytes": limit,
                "cpus": or_null({"type": "number", "minimum": -1, "description": _NO_LIMIT}),
                "pids": limit,
                "files": limit,
            },
        ),
    }


_SETS = ("effective", "permitted", "inheritable", "bounding", "ambient")
_NAMESPACES = ("pid", "ipc", "uts", "user", "cgroup", "network")


def _planned() -> Schema:
    user = an_object("By numbers.", {"uid": count(), "gid": count()})
    return an_object(
        "What the plan adds to the hardened baseline: not root, nothing writable but what is mounted, no capability, no new "
        "privileges, the engine's seccomp filter, no namespace of the machine's.",
        {
            "user": user,
            "capabilities": many(text()),
            "devices": many(an_object("Of the machine.", {"path": text(), "permissions": text()})),
            "groups": many(text()),
            "runtime": or_null(text()),
            "gpu": or_null(one_of(hardening.GPUS)),
            "tmpfs": many(
                an_object(
                    "A file system in memory.",
                    {
                        "path": text(),
                        "size_bytes": count(),
                        "mode": count("Permission bits."),
                        "executable": claim(),
                        "owner": {"anyOf": [user, {"type": "null"}]},
                    },
                )
            ),
            "denied_syscalls": many(text()),
            "limits": an_object(
                "What it may use at most.",
                {
                    "memory_bytes": count(),
                    "cpus": or_null({"type": "number", "minimum": 0}),
                    "pids": count(),
                    "files": count(),
                },
            ),
            "volumes": many(text(), "Their paths."),
        },
    )


def _ranges() -> Schema:
    return {**many(many(count()), "Rows of inside, outside, length; null: not to be read."), "type": ["array", "null"]}


def _texts(description: str) -> Schema:
    return {"type": "object", "description": description, "additionalProperties": {"type": "string"}}
