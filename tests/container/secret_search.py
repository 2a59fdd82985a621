"""Looking for secrets in bytes: as they are, in hexadecimal, and in base64 wherever in the encoded text they begin.

Rules
-----
* What is looked for is a *core*: the part of a secret that nobody else has, at least ``SHORTEST`` bytes. A PEM file's frame is none.
* Base64 encodes three bytes at a time, so a secret within other bytes has three forms; without their first and last
  characters, which also carry the neighbours' bits, they are found wherever it stands (RFC 4648, section 4).
"""

import base64
import string
from collections.abc import Iterator, Mapping

SHORTEST = 16
_HEXADECIMAL = frozenset(string.hexdigits.encode())


def forms(core: bytes) -> frozenset[bytes]:
    """Return every form in which ``core`` is looked for."""
    assert len(core) >= SHORTEST, "so short a secret is found by chance"
    return frozenset({core, core.hex().encode(), core.hex().upper().encode(), *_base64(core)})


def _base64(core: bytes) -> Iterator[bytes]:
    for before in range(3):
        text = base64.b64encode(bytes(before) + core)
        whole = text[-(-before * 8 // 6) : (before + len(core)) * 8 // 6]
        yield whole
        yield whole.translate(bytes.maketrans(b"+/", b"-_"))


class Search:
    """A search for several secrets by name."""

    def __init__(self, cores: Mapping[str, bytes]) -> None:
        """Look for ``cores``, and for the bytes behind those that are hexadecimal digits themselves."""
        self._forms = {
            name: forms(core)
            | (
                forms(bytes.fromhex(core.decode()))
                if set(core) <= _HEXADECIMAL and len(core) >= 2 * SHORTEST
                else set()
            )
            for name, core in cores.items()
        }

    def found(self, data: bytes | str) -> set[str]:
        """Return the names of the secrets in ``data``."""
        searched = data.encode("utf-8", "surrogateescape") if isinstance(data, str) else data
        return {name for name, wanted in self._forms.items() if any(form in searched for form in wanted)}
