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


def describe_os_error(error: OSError) -> str:
    """Return the reason of ``error`` in words, without its path."""
    return error.strerror or type(error).__name__
