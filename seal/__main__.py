"""``python -m seal --run-dir DIR``: ``[program:bootstrap-seal]``, priority 99."""

import sys

from contract import dumpable, errors, exit_codes, rundir
from seal import loop


def main(arguments: list[str]) -> int:
    """Seal this generation; returns 0 sealed, 6 failed, 2 for wrong arguments."""
    if len(arguments) != 2 or arguments[0] != "--run-dir":
        print("usage: python -m seal --run-dir DIR", file=sys.stderr)
        return exit_codes.USAGE_ERROR
    try:
        dumpable.forbid()
        return loop.run_to_end(loop.prepare(rundir.RunDirectory(arguments[1])))
    except (OSError, errors.BootsealError) as error:
        print(f"seal: {error}", file=sys.stderr)
        return exit_codes.GENERIC_FAILURE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
