"""The work of ``bootseal build``: a manifest becomes the files that boot reads, or is compared with them.

Rules
-----
* The same manifest and lock give the same bytes; each file is replaced whole, the plan last, because it names the others'
  digests.
* ``closures.lock`` goes into the plan's directory byte for byte.
* A configuration is proven before it is written: supervisor's own parser has accepted exactly these bytes.
"""

import contextlib
import dataclasses
import difflib
import hashlib
import os
from typing import TextIO

from contract import errors, files
from manifest import compile as compiling
from manifest import diagnostics, plan
from supervisord import preflight, render

_MODE = 0o644
_LIMIT = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Built:
    """The bytes of the files, and the plan in them."""

    plan: plan.Plan
    plan_file: bytes
    config_file: bytes
    lock_file: bytes | None

    @property
    def files(self) -> tuple[tuple[str, bytes], ...]:
        """The files' names and bytes, in the order in which they are written."""
        lock = () if self.lock_file is None else ((plan.LOCK_FILE, self.lock_file),)
        return (*lock, (plan.CONFIG_FILE, self.config_file), (plan.PLAN_FILE, self.plan_file))


def report(result: compiling.Result, stream: TextIO) -> None:
    """Print the diagnostics of ``result`` to ``stream``."""
    text = diagnostics.render(result.diagnostics, result.path, result.text)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()


def finish(compiled: plan.Plan, lock_file: bytes | None = None, *, prove: bool = True) -> Built:
    """Return the files of the plan ``compiled``, its configuration proven where ``prove`` says so.

    ``lock_file`` are the bytes that its lock was read from.

    Raises BootsealError when the configuration cannot be rendered or supervisor refuses it.
    """
    config = render.render(compiled).encode("ascii")
    version = preflight.prove(config) if prove else None
    finished = dataclasses.replace(compiled, config_sha256=hashlib.sha256(config).hexdigest(), proven_with=version)
    return Built(finished, plan.dump(finished), config, lock_file)


def write(built: Built, directory: str) -> None:
    """Write the files of ``built`` to ``directory``, which is made where it is missing; raises BootsealError."""
    try:
        os.makedirs(directory, exist_ok=True)
        for name, data in built.files:
            files.write_atomically(os.path.join(directory, name), data, _MODE)
        if built.lock_file is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, plan.LOCK_FILE))
    except OSError as error:
        why = errors.describe_os_error(error)
        raise errors.BootsealError(
            f"directory {directory}", f"it cannot be written: {why}", "name another with -o"
        ) from error


def drift(built: Built, directory: str) -> str:
    """Return a unified diff from what stands in ``directory`` to ``built``; empty when nothing differs."""
    stale = os.path.join(directory, plan.LOCK_FILE)
    gone = (
        f"{stale}: it is there, and nothing is locked\n" if built.lock_file is None and os.path.lexists(stale) else ""
    )
    return gone + "".join(_difference(os.path.join(directory, name), data) for name, data in built.files)


def _difference(path: str, wanted: bytes) -> str:
    try:
        found = files.read_bounded(path, _LIMIT)
        label = path
    except (OSError, errors.UnsafePath) as error:
        found = b""
        why = errors.describe_os_error(error) if isinstance(error, OSError) else error.why
        label = f"{path} ({why})"
    if found == wanted:
        return ""
    before, after = (_lines(data) for data in (found, wanted))
    lines = difflib.unified_diff(before, after, label, f"{path} (as built)")
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _lines(data: bytes) -> list[str]:
    """Return the lines of ``data`` so that no two files that differ look alike, and no byte reaches a terminal raw."""
    text = data.decode("ascii", "backslashreplace")
    return ["".join(_visible(one) for one in line) for line in text.split("\n")]


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
