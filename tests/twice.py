"""Run pytest; where CI is set, run a few failed tests once more, alone, and say plainly which passed only then.

Rules
-----
* Real processes, containers and a kernel that others use as well: a test of them can fail for the machine's sake. One that fails
  twice fails; one that fails once is named, with its first failure in full above, and is a defect of the test or of the product.
* More than MOST failures are no accident of the machine: nothing is run again.
* Elsewhere than in CI everything counts at once.
"""

import json
import os
import pathlib
import subprocess
import sys

MOST = 3
_TESTS_FAILED = 1
_LAST_FAILED = pathlib.Path(".pytest_cache/v/cache/lastfailed")


def main(arguments: list[str]) -> int:
    """Return pytest's exit code for ``arguments``, of the second run where there was one."""
    pytest = [sys.executable, "-m", "pytest"]
    _LAST_FAILED.unlink(missing_ok=True)  # an earlier run's failures are none of this one's
    code = subprocess.run([*pytest, *arguments], check=False).returncode
    failed = sorted(json.loads(_LAST_FAILED.read_text())) if _LAST_FAILED.exists() else []
    if code != _TESTS_FAILED or not os.environ.get("CI") or not 0 < len(failed) <= MOST:
        return code
    print(f"\n{len(failed)} failed; once more, alone: {', '.join(failed)}\n", flush=True)
    code = subprocess.run([*pytest, *failed], check=False).returncode
    if code == 0:
        print(
            "\n".join(
                f"FLAKY {name}: it failed, and passed when it was alone (see its failure above)" for name in failed
            )
        )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
