"""A program's secrets, from the run directory into its environment, and out of what is shown of it.

Rules
-----
* Stage A delivers each secret twice (``entrypoint.secret_delivery``): to ``secrets/PROGRAM/NAME`` for the program, and to
  ``secrets/.values/NAME`` for us: under the exception ``program-users`` the former is the program's own, and PID 1, root
  without capabilities over files, could not read it.
* A program that has secrets finds their directory in ``CREDENTIALS_DIRECTORY``, the name of systemd.exec(5) for the same.
* The environment form is read between fork and exec, so supervisord's own memory and environment hold none. It is what the
  file holds, without one final newline where the source is a file: editors end a file with one, and every reader of a
  ``*_FILE`` variable takes it off. The file form is byte for byte the source.
* A program is never started without a secret of its own; the error names the secret and never its value.
* No eight bytes of a declared secret, whosever it is, stand in last words, STATUS or what is shown of the output that is kept (``contract.masking``). While
  one of those cannot be read, none of these is shown at all.
"""

import os
from collections.abc import Callable, Mapping

from contract import errors, files, masking, records, rundir
from manifest import provisions

DIRECTORY = "CREDENTIALS_DIRECTORY"
LIMIT = 64 * 1024
"""The most bytes of one secret."""
_VALUES = ".values"
"""No program is called so: names of programs are made of a-z, 0-9 and -."""


def values_directory(run: rundir.RunDirectory) -> str:
    """Return the directory of what PID 1 and the probe server read, named by secret."""
    return f"{run.secrets}/{_VALUES}"


@records.dataclass(frozen=True)
class Credentials:
    """The secrets that Stage A delivered to the run directory ``run``, by the plan's ``secrets``."""

    secrets: tuple[provisions.SecretPlan, ...]
    run: rundir.RunDirectory

    def of(self, program: str) -> tuple[provisions.SecretPlan, ...]:
        """Return the secrets of ``program``."""
        return tuple(secret for secret in self.secrets if program in secret.programs)

    def environment(self, program: str) -> dict[str, str]:
        """Return the variables that ``program`` gets for its secrets; raises BootsealError naming one it cannot have."""
        own = self.of(program)
        if not own:
            return {}
        values = {
            secret.environment: as_variable(secret, self.value(secret))
            for secret in own
            if secret.environment is not None
        }
        return {**values, DIRECTORY: self.run.secrets_of(program)}

    def check_files(self, program: str) -> None:
        """Raise BootsealError naming the secret unless this process can read every file delivered to ``program``."""
        for secret in self.of(program):
            _read(secret, f"{self.run.secrets_of(program)}/{secret.name}")

    def value(self, secret: provisions.SecretPlan) -> bytes:
        """Return the bytes of ``secret``, which somebody is named for; raises BootsealError naming it."""
        return _read(secret, f"{values_directory(self.run)}/{secret.name}")

    def hidden(self) -> masking.Hidden:
        """Return all that must be hidden of all secrets, as text is decoded where it is shown; raises BootsealError."""
        delivered = (secret for secret in self.secrets if secret.programs)
        return masking.Hidden(self.value(secret).decode("utf-8", "replace") for secret in delivered)


def as_variable(secret: provisions.SecretPlan, data: bytes) -> str:
    """Return the environment form of ``data``, the bytes of ``secret``."""
    is_from_file = secret.file is not None or secret.mounted is not None
    return os.fsdecode(data.removesuffix(b"\n") if is_from_file else data)


def hiding(
    credentials: Credentials,
    environments: Mapping[str, Mapping[str, str]],
    report: Callable[[str, Exception], None],
) -> Callable[[str, str], str]:
    """Return what hides secrets in a line of a program: the declared ones, and what looks like one in ``environments``.

    A secret that cannot be read is reported, and hides every line.
    """
    try:
        declared = credentials.hidden()
    except errors.BootsealError as error:
        report("last words are not shown", error)
        return lambda _program, _text: masking.SHOWN
    own = {name: masking.suspected(environment) for name, environment in environments.items()}
    nothing = masking.Hidden()

    def hide(program: str, text: str) -> str:
        return masking.mask(text, declared, own.get(program, nothing))

    return hide


def _read(secret: provisions.SecretPlan, path: str) -> bytes:
    what, remedy = f"secret {secret.name}", "only Stage A writes it; look for what removed or changed it"
    try:
        data = files.read_bounded(path, LIMIT)
    except OSError as error:
        raise errors.BootsealError(what, f"{path}: {errors.describe_os_error(error)}", remedy) from error
    except errors.UnsafePath as error:
        raise errors.BootsealError(what, f"{path}: {error.why}", remedy) from error
    if not data:
        raise errors.BootsealError(what, f"{path}: it is empty", remedy)
    return data
