"""The diagnostics of ports, placeholders and deployment: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE = (
    Rule(
        "E101",
        "one port for two",
        "The second of two that listen on one port fails, and which that is, is decided by their race.",
    ),
    Rule(
        "E102",
        "exposed, and on loopback",
        "What listens on loopback can be reached by nobody outside the container, however it is published.",
    ),
    Rule(
        "E103",
        "a check on a port that nobody declares",
        "Where programs declare their `ports`, a check on another one could never pass.",
    ),
    Rule("E104", "a placeholder for a secret", "A value like `changeme` was meant to be replaced."),
    Rule(
        "E109",
        "a deployment that cannot be",
        "One Pod is one; what has a volume of its own is a StatefulSet, where there are several.",
    ),
)
