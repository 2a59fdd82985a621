"""Hiding secrets in text that is shown: a program's last words in an event, a page, the termination log.

Hidden are the values of the secrets that the plan declares and, a net below the rule that no secret is in the plan's
environment: values of variables whose names speak of secrets, the password in a URL (RFC 3986, 3.2.1), and the credentials of
an Authorization header (RFC 9110, 11.6.2).

Rules
-----
* No eight bytes that stand together in a declared secret are shown, so it does not matter where a text was cut, or over which
  lines a secret was broken. Eight bytes that are white space but for three are not hidden: they would hide every indent.
* A secret, and a line of one, of four to seven bytes is hidden where it stands whole; what is shorter is not hidden at all.
* Where a text was cut, less than eight bytes of a secret may be left, or one half of what the net recognises by both: ``trimmed``
  takes off that edge what may belong to either, ``MARGIN`` characters at least.
* The work grows with the text and not with the number or size of the secrets: windows of the text are looked up in a set. Windows
  that stand one behind the other are one span.
"""

import re
from collections.abc import Iterable, Iterator, Mapping

SHOWN = "***"
LEAST_BYTES = 4
"""A shorter value is no secret, and hiding it would hide half of the text."""
MARGIN = 16
"""Characters at a cut: of a secret at most seven bytes, and of a letter that was cut itself three replacement characters."""
_WINDOW = 8
_NAME = re.compile(r"PASS|_PWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|AUTH|APIKEY|(?:^|_)KEY(?:$|_)", re.IGNORECASE)
_GAP = re.compile(rb"\s{3,}")
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s]+(?=@)")
_CREDENTIALS = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE)
_OPEN_PASSWORD = re.compile(r"://[^/\s:@]*:[^/\s]*\Z")
"""At an edge where the text goes on: less than four characters of credentials are within MARGIN, and more are recognised."""
_REST_OF_PASSWORD = re.compile(r":?/{0,2}[^/\s]*@")
_MIDDLE_OF_PASSWORD = re.compile(r":?/{0,2}[^/\s\"]*\Z")
"""Of one longer than what stands between two cuts. JSON without a blank is none: a URL has no quotes (RFC 3986, 2)."""
_REST_OF_CREDENTIALS = re.compile(r"(?:\w{0,5}\s+)?[A-Za-z0-9._~+/=*-]*")
"""The end of the word Bearer or Basic, where that was cut, and what follows; ``*`` is of what was hidden already."""


class Hidden:
    """What is to be hidden: every eight bytes of ``secrets``, and ``words``, or a line of one, only where they stand whole."""

    def __init__(self, secrets: Iterable[str] = (), words: Iterable[str] = ()) -> None:
        """Index them; it takes a fraction of a microsecond and some 70 bytes for each byte of the secrets."""
        windows: set[int] = set()
        short: dict[int, set[bytes]] = {}
        long: dict[int, set[bytes]] = {}
        for value, is_word in (*((secret, False) for secret in secrets), *((word, True) for word in words)):
            data = _bytes(value)
            of_it = set() if is_word else _windows_of(data)
            windows |= of_it
            is_whole = not of_it  # so is a secret that is white space but for a few bytes
            for piece in {line.strip() for line in (*data.splitlines(), data)}:
                if LEAST_BYTES <= len(piece) < _WINDOW:
                    short.setdefault(len(piece), set()).add(piece)
                elif is_whole and len(piece) >= _WINDOW:
                    long.setdefault(_windows_at(piece, 0)[0], set()).add(piece)
        self._windows = frozenset(windows)
        self._short = {length: frozenset(pieces) for length, pieces in short.items()}
        self._heads = frozenset(
            _windows_at(piece[:LEAST_BYTES], 0, LEAST_BYTES)[0] for pieces in short.values() for piece in pieces
        )
        self._long = {head: tuple(sorted(pieces, key=len, reverse=True)) for head, pieces in long.items()}

    def spans(self, data: bytes) -> Iterator[tuple[int, int]]:
        """Yield where in ``data`` something of it stands, in no order; spans may overlap."""
        for offset in range(min(_WINDOW, len(data) - _WINDOW + 1) if self._windows or self._long else 0):
            windows = _windows_at(data, offset)
            if not self._windows.isdisjoint(windows):
                found = [index for index, window in enumerate(windows) if window in self._windows]
                for first, end in _runs(found):
                    yield offset + first * _WINDOW, offset + end * _WINDOW
            if not self._long.keys().isdisjoint(windows):
                for index, window in enumerate(windows):
                    start = offset + index * _WINDOW
                    for piece in self._long.get(window, ()):
                        if data.startswith(piece, start):
                            yield start, start + len(piece)
                            break
        for offset in range(min(LEAST_BYTES, len(data) - LEAST_BYTES + 1) if self._short else 0):
            windows = _windows_at(data, offset, LEAST_BYTES)
            if self._heads.isdisjoint(windows):
                continue
            for index, window in enumerate(windows):
                if window in self._heads:
                    start = offset + index * LEAST_BYTES
                    for length, pieces in self._short.items():
                        if data[start : start + length] in pieces:
                            yield start, start + length


def secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of ``environment`` whose names speak of secrets."""
    return tuple(value for name, value in environment.items() if _NAME.search(name))


def suspected(environment: Mapping[str, str]) -> Hidden:
    """Return what looks like a secret in ``environment``; of a path or a URL, which share much with others, only the whole."""
    values = secrets(environment)
    places = {value for value in values if value.startswith("/") or "://" in value}
    return Hidden((value for value in values if value not in places), places)


def mask(text: str, *hidden: Hidden) -> str:
    """Return ``text`` without what is ``hidden`` and without what looks like a password or credentials."""
    data = _bytes(text)
    spans = sorted(span for one in hidden for span in one.spans(data))
    if spans:
        text = _without(data, spans)
    text = _URL_PASSWORD.sub(rf"\1{SHOWN}", text)
    return _CREDENTIALS.sub(rf"\1 {SHOWN}", text)


def trimmed(masked: str, *, begins_cut: bool, ends_cut: bool) -> str:
    """Return ``masked``, a line that ``mask`` returned, without what may be half of a secret at each edge where the line was cut."""
    start, end = 0, len(masked)
    if begins_cut:
        rests = (_REST_OF_CREDENTIALS, _REST_OF_PASSWORD, *((_MIDDLE_OF_PASSWORD,) if ends_cut else ()))
        found = (rest.match(masked) for rest in rests)
        start = max(MARGIN, *(one.end() for one in found if one is not None))
    if ends_cut:
        opened = _OPEN_PASSWORD.search(masked)
        end = min(end - MARGIN, end if opened is None else opened.start())
    return masked[start : max(start, end)]


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the runs of ``numbers``, which grow, each as its first and one behind its last."""
    first = end = numbers[0]
    for number in numbers:
        if number != end:
            yield first, end
            first = number
        end = number + 1
    yield first, end


def _without(data: bytes, spans: list[tuple[int, int]]) -> str:
    """Return the text of ``data`` with SHOWN for each of ``spans``, which are sorted; those that touch are one."""
    shown: list[str] = []
    end = 0
    for start, stop in spans:
        if start > end or not shown:
            # half a letter is left where the secret differs from the text in its other half
            shown += (data[end:start].decode("utf-8", "ignore"), SHOWN)
        end = max(end, stop)
    return "".join((*shown, data[end:].decode("utf-8", "ignore")))


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def _windows_at(data: bytes, offset: int, size: int = _WINDOW) -> "memoryview[int]":
    """Return the windows of ``data``, of four or eight bytes, that stand one behind the other from ``offset``, as numbers."""
    count = (len(data) - offset) // size
    return memoryview(data)[offset : offset + count * size].cast("Q" if size == _WINDOW else "I")


def _windows_of(secret: bytes) -> set[int]:
    """Return every window of ``secret`` but those of white space and less than LEAST_BYTES."""
    found: set[int] = set()
    for offset in range(min(_WINDOW, len(secret) - _WINDOW + 1)):
        found.update(_windows_at(secret, offset))
    for gap in _GAP.finditer(secret):
        for start in range(max(0, gap.start() - _WINDOW + 1), min(gap.end(), len(secret) - _WINDOW + 1)):
            window = secret[start : start + _WINDOW]
            if len(window.strip()) < LEAST_BYTES:
                found.discard(int(memoryview(window).cast("Q")[0]))
    return found
