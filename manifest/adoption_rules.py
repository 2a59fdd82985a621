"""The diagnostics of ``programs.from``: see ``manifest.rules``."""

from manifest.rule import Rule

TABLE: tuple[Rule, ...] = ()
