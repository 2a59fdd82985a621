"""Names that Kubernetes takes, made of names and paths that a manifest may have. Pure.

Rules
-----
* What fits is left as it is. What does not is cut, and ends in a digest of the whole, so that two long names stay two.
* A Service's name begins with a letter (RFC 1035); a port's has at most 15 characters (RFC 6335, 5.1), one letter at least and
  no two hyphens in a row; the others are labels of RFC 1123.
* A StatefulSet's Pods carry its name and ten more characters in a label, ``controller-revision-hash``, and Services its name and
  ``-headless``: both keep to 52, so that what is made of them fits 63.
"""

import hashlib
import re
from collections.abc import Collection, Iterator

LABEL_LENGTH = 63
WORKLOAD_LENGTH = 52
PORT_LENGTH = 15
_DIGEST = 8


def label(text: str, longest: int = LABEL_LENGTH) -> str:
    """Return a label of RFC 1123 for ``text``: itself where it is one of at most ``longest`` characters."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") if not _is_label(text) else text
    if not found:
        found = _digest(text)
    if len(found) <= longest:
        return found
    return f"{found[: longest - _DIGEST - 1].rstrip('-')}-{_digest(text)}"


def service(text: str, longest: int = LABEL_LENGTH) -> str:
    """Return a label of RFC 1035 for ``text``, which begins with a letter."""
    return label(text if text[:1].isalpha() else f"app-{text}", longest)


def port(owner: str, number: int) -> str:
    """Return the name of the port ``number`` of ``owner``: that of its owner where it is one."""
    is_name = len(owner) <= PORT_LENGTH and _is_label(owner) and "--" not in owner and re.search("[a-z]", owner)
    return owner if is_name else f"port-{number}"


def unlike(wanted: str, taken: Collection[str], longest: int = LABEL_LENGTH) -> str:
    """Return ``wanted``, with a number behind it where it is one of ``taken`` already."""
    return next(name for name in _numbered(wanted, longest) if name not in taken)


def _numbered(wanted: str, longest: int) -> Iterator[str]:
    yield wanted
    number = 2
    while True:
        end = f"-{number}"
        yield f"{wanted[: longest - len(end)].rstrip('-')}{end}"
        number += 1


def _is_label(text: str) -> bool:
    return re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", text) is not None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGEST]
