"""The diagnostics of ``security``, ``features``, ``resources`` and ``deploy``: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE = (
    Rule(
        "E096",
        "an exception without its feature",
        "An exception weakens the container for a feature; where that is not enabled under `features`, nothing needs it. Only "
        "`program-users` has none: what it is for is that programs have users.",
    ),
    Rule(
        "E097",
        "a feature without its exception",
        "What the feature needs is beyond the hardened baseline: somebody has to say why, under `security.exceptions`. A feature "
        "that bootseal does not know has an exception of its name, which says what it needs.",
    ),
    Rule(
        "E098",
        "a capability that nobody answers for",
        "A capability is a part of root's power. Whoever adds one says its name again under `acknowledge`, also where it comes with a "
        "preset or is inherited; and no other, so that what is acknowledged is what is added.",
    ),
    Rule(
        "E099",
        "not a capability",
        "Capabilities are those of Linux (capabilities(7)), with or without CAP_. There is no ALL.",
    ),
    Rule(
        "E100",
        "exceptions that contradict each other",
        "Two exceptions, neither of which inherits from the other, want one thing to be different: the size of a file system, what is "
        "allowed with a device, the runtime, the GPU. Their order decides nothing. An heir of both decides, and for file systems "
        "`security.tmpfs`.",
    ),
    Rule(
        "E105",
        "a file system in memory that hides something",
        "What is mounted hides what the image has at its path, and beneath it: artifacts, immutable roots, programs, what a "
        "writable root is filled with, bootseal, the system. /run and /tmp are in memory, and so is each path of `boot.writable` without "
        "another storage. No program runs from there that is not `executable`. Nothing is in memory where a volume is mounted.",
    ),
    Rule(
        "E106",
        "unknown or circular inheritance",
        "An exception inherits from others of this manifest or from features that bootseal knows, and never from itself. "
        "`program-users` is inherited by nobody.",
    ),
    Rule(
        "E107",
        "not a device, group, runtime or system call",
        "Devices are paths below /dev, groups names or numbers, runtimes and system calls names.",
    ),
    Rule(
        "E108",
        "limits that the container cannot live in",
        "supervisord needs descriptors for each program, each program is a process at least, and bootseal's own programs need "
        "memory, descriptors and processes too.",
    ),
    Rule(
        "E120",
        "storage said twice, or a size of nothing",
        "A path of `boot.writable` that lies in another mount has no size of its own, unless it says what is mounted there "
        "(`storage`). Where `security` mounts something at the same path, it says the size as well.",
    ),
    Rule(
        "E121",
        "something beside `program-users`",
        "Under the exception `program-users` it is settled who PID 1 is, root, and what it may. What a feature needs is said in the "
        "exception of that feature.",
    ),
    Rule(
        "E122",
        "a limit of nothing",
        "0 is no limit: the kernel takes a file system in memory of size 0 for one without a limit (tmpfs(5)), and engines take "
        "so a container's memory. The baseline limits both.",
    ),
    Rule(
        "W015",
        "limits that leave little room",
        "What lies in file systems in memory counts as the container's memory: when they are full, nothing is left for programs, and "
        "the kernel kills one. Of processes and threads four for each program are a rule of thumb.",
    ),
)
