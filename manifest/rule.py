"""What a rule of the manifest is."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Rule:
    """What a code means: ``title`` names the fault, ``explanation`` says why it is one."""

    code: str
    title: str
    explanation: str
