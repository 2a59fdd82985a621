"""A manifest as every command reads it: compiled with the lock that lies beside it."""

import dataclasses
import hashlib
import os

from artifacts import closure, lock
from contract import errors, files
from manifest import compile as compiling
from manifest import locked, plan


def load(path: str, options: compiling.BuildOptions | None = None) -> tuple[compiling.Result, bytes | None]:
    """Compile the manifest ``path`` with the lock beside it; return the result and the lock's bytes, None without one.

    Raises BootsealError when an option is wrong.
    """
    here = os.path.dirname(os.path.abspath(path))
    data, found = _lock_beside(here)
    return compiling.load(path, dataclasses.replace(options or compiling.BuildOptions(), lock=found)), data


def _lock_beside(here: str) -> tuple[bytes | None, locked.Lock]:
    place = os.path.join(here, plan.LOCK_FILE)
    try:
        data = files.read_bounded(place, lock.LIMIT)
        closures = lock.parse(data, place).closures
    except FileNotFoundError:
        return None, None
    except OSError as error:
        return None, locked.Unusable(errors.describe_os_error(error))
    except errors.BootsealError as error:
        return None, locked.Unusable(error.why)
    artifacts = {one.id: locked.Artifact(closure.absolute(one.path, here), one.kind) for one in closures}
    return data, locked.Locked(hashlib.sha256(data).hexdigest(), artifacts)
