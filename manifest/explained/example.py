"""What an example is: files that give a diagnostic, and the same files mended.

Rules
-----
* Both are written as one: a unified diff with all of its context. A line that begins with ``-`` is of the failing example alone, one with
  ``+`` of the mended alone, one with a blank of both.
* An example is whole: what it consists of can be copied, and gives the diagnostic as it stands.
"""

import dataclasses
from collections.abc import Mapping

MANIFEST = "bootseal.yaml"
SCRIPT = "a script of the shell"

FAILING, FIXED = SIDES = ("-", "+")


@dataclasses.dataclass(frozen=True)
class Example:
    """An example of one code.

    ``lines`` are the manifest's, or where it ``is_script`` those of a shell's script (POSIX.1-2017, XCU 2) that makes it in the working
    directory, because it is too large for a page, no text, or nothing without what lies beside it. ``beside`` are other files, by name.
    ``up``: it is seen by `bootseal up`, which boots it here. ``also`` are the codes that cannot be kept out of the failing one. ``note``
    says what the lines do not.
    """

    lines: str
    is_script: bool = False
    beside: Mapping[str, str] = dataclasses.field(default_factory=dict)
    up: bool = False
    also: frozenset[str] = frozenset()
    note: str = ""

    @property
    def listings(self) -> dict[str, str]:
        """Each listing, as a diff, by what it is: MANIFEST or SCRIPT, then the files beside."""
        return {SCRIPT if self.is_script else MANIFEST: self.lines, **self.beside}

    def side(self, side: str) -> dict[str, str]:
        """Return the listings of one of SIDES alone."""
        return {name: _side(lines, side) for name, lines in self.listings.items()}


def _side(lines: str, side: str) -> str:
    return "".join(line[1:] for line in lines.splitlines(keepends=True) if line[:1] in {" ", side})
