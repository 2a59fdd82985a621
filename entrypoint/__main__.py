"""``python -m entrypoint``, and the console script ``bootseal``.

The two commands of the boot path are found here without loading the command line's libraries, and the boot catches
stop signals before it imports anything else.
"""

import sys


def main() -> int:
    """Run the command that ``sys.argv`` names and return its exit code."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "boot":
        from entrypoint import stop

        stop.arm()
        from entrypoint import boot

        return boot.main(sys.argv[2:])
    if command == "stage-b":
        from entrypoint import stage_b

        return stage_b.main(sys.argv[2:])
    from entrypoint import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
