"""The diagnostics of ``security``, ``features``, ``resources`` and ``deploy``: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE = (
    Rule(
        "E096",
        "an exception without its feature",
        "An exception weakens the container for a feature; where that is not enabled under `features`, nothing needs it.",
    ),
    Rule(
        "E097",
        "a feature without its exception",
        "What the feature needs is beyond the hardened baseline: somebody has to say why, under `security.exceptions`.",
    ),
    Rule(
        "E098",
        "a capability that nobody answers for",
        "A capability is a part of root's power. Whoever adds one says its name again under `acknowledge`.",
    ),
    Rule(
        "E099",
        "not a capability",
        "Capabilities are those of Linux (capabilities(7)), with or without CAP_. There is no ALL.",
    ),
    Rule(
        "E100",
        "exceptions that contradict each other",
        "Two exceptions want one thing to be different. Their order decides nothing.",
    ),
    Rule(
        "E105",
        "a file system in memory that hides something",
        "What is mounted hides what the image has at its path, and beneath it.",
    ),
    Rule(
        "E106",
        "unknown or circular inheritance",
        "An exception inherits from others of this manifest or from features that bootseal knows, and never from itself.",
    ),
    Rule(
        "E107",
        "not a device, group, runtime or system call",
        "Devices are paths below /dev, groups names or numbers, runtimes and system calls names.",
    ),
    Rule(
        "E108",
        "limits that the container cannot live in",
        "supervisord needs descriptors and processes for each program, and file systems in memory count as memory.",
    ),
)
