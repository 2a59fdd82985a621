"""Are the declared artifacts there? A pure verdict per artifact from what lstat and access say.

Rules
-----
* An artifact is a path that exists, following symlinks: a dangling link is a missing artifact.
* A regular file must be readable, a directory readable and enterable; anything else is no artifact.
* Every artifact is judged; the first missing one does not hide the second.
"""

import os
import stat

from contract import errors, records
from manifest import plan


@records.dataclass(frozen=True)
class Verdict:
    """``reason`` is "" when the artifact is there."""

    artifact: plan.ArtifactPlan
    reason: str


def judge(artifacts: tuple[plan.ArtifactPlan, ...]) -> tuple[Verdict, ...]:
    """Return a verdict for each of ``artifacts``, in their order."""
    return tuple(Verdict(artifact, _why_missing(artifact.path)) for artifact in artifacts)


def _why_missing(path: str) -> str:
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        if os.path.islink(path):
            return f"{path} is a link to {os.readlink(path)}: {errors.describe_os_error(error)}"
        return f"{path}: {errors.describe_os_error(error)}"
    if stat.S_ISREG(mode):
        return "" if os.access(path, os.R_OK) else f"{path} is not readable"
    if stat.S_ISDIR(mode):
        return "" if os.access(path, os.R_OK | os.X_OK) else f"{path} cannot be listed"
    return f"{path} is neither a file nor a directory"
