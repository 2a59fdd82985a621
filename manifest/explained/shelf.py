"""All examples, by code."""

from manifest.explained import (
    adoption,
    checks,
    confinement,
    ports,
    programs,
    provisions,
    reading,
    serving,
    values,
    warnings,
)
from manifest.explained.example import Example

MODULES = (reading, values, checks, programs, provisions, serving, confinement, ports, adoption, warnings)
EXAMPLES: dict[str, Example] = {code: example for module in MODULES for code, example in module.EXAMPLES.items()}
"""The example of every diagnostic."""
