"""Hiding secrets in text that is shown: a program's last words in an event, a page, the termination log.

Hidden are the values of the secrets that the plan declares and, a net below the rule that no secret is in the plan's
environment: values of variables whose names speak of secrets, the password in a URL (RFC 3986, 3.2.1), and the credentials of
an Authorization header (RFC 9110, 11.6.2).
"""

import re
from collections.abc import Iterable, Mapping

SHOWN = "***"
_NAME = re.compile(r"PASS|_PWD|SECRET|TOKEN|CREDENTIAL|PRIVATE|AUTH|APIKEY|(?:^|_)KEY(?:$|_)", re.IGNORECASE)
_LEAST_LENGTH = 4
"""A shorter value is no secret, and hiding it would hide half of the text."""
_URL_PASSWORD = re.compile(r"(://[^/\s:@]*:)[^/\s]+(?=@)")
_CREDENTIALS = re.compile(r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{4,}", re.IGNORECASE)


def secrets(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of ``environment`` whose names speak of secrets, as ``parts`` of them."""
    return parts(value for name, value in environment.items() if _NAME.search(name))


def parts(values: Iterable[str]) -> tuple[str, ...]:
    """Return what ``mask`` must hide of ``values``, longest first; text is shown by lines, so each line of them too."""
    pieces = {part for value in values for part in (value, *value.splitlines())}
    return tuple(sorted((piece for piece in pieces if len(piece) >= _LEAST_LENGTH), key=lambda one: (-len(one), one)))


def mask(text: str, values: Iterable[str] = ()) -> str:
    """Return ``text`` without ``values`` and without what looks like a password or credentials."""
    for value in values:
        text = text.replace(value, SHOWN)
    text = _URL_PASSWORD.sub(rf"\1{SHOWN}", text)
    return _CREDENTIALS.sub(rf"\1 {SHOWN}", text)
