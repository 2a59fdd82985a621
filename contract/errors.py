"""The one shape of an error: ``what: why (what to do)``."""


class BootsealError(Exception):
    """A failure that a person can act on.

    ``what`` names the thing, ``why`` the fact that was found, ``remedy`` the next step. All three are
    plain sentences without a final stop and carry no secret.
    """

    def __init__(self, what: str, why: str, remedy: str = "") -> None:
        self.what = what
        self.why = why
        self.remedy = remedy
        super().__init__(str(self))

    def __str__(self) -> str:
        text = f"{self.what}: {self.why}"
        return f"{text} ({self.remedy})" if self.remedy else text


class UnsafePath(BootsealError):
    """A file or directory is not what it must be: a symlink, foreign-owned, writable by others."""


class InvalidRecord(BootsealError):
    """Bytes from outside do not decode to what they claim to be."""


def printable(text: str) -> str:
    """Return ``text`` with all that is not printable escaped: a file's name holds any byte but two."""
    return text if text.isprintable() else "".join(one if one.isprintable() else _escaped(one) for one in text)


def _escaped(character: str) -> str:
    if "\udc80" <= character <= "\udcff":  # a byte that is no UTF-8 (PEP 383)
        return f"\\x{ord(character) & 0xFF:02x}"
    return ascii(character)[1:-1]


def describe_os_error(error: OSError) -> str:
    """Return the reason of ``error`` in words, without its path; Python raises some itself that have no number, with their words alone."""
    return error.strerror or (str(error) if error.errno is None else "") or type(error).__name__
