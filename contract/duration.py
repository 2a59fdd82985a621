"""A length of time as people write it: ``250ms``, ``10s``, ``2m``, ``1h``, ``1m30s``. One grammar, wherever one is written."""

import re

_DURATION = re.compile(r"(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m(?!s))?(?:([0-9]{1,9})s)?(?:([0-9]{1,9})ms)?", re.ASCII)


def milliseconds(text: str) -> int | None:
    """Return how long ``text`` is, or None when it is no duration."""
    match = _DURATION.fullmatch(text)
    if not text or match is None:
        return None
    hours, minutes, seconds, thousandths = (int(group or 0) for group in match.groups())
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + thousandths
