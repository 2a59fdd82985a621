"""``python -m entrypoint``, and the console script ``bootseal``.

The two commands of the boot path are found here without loading the command line's libraries, and the boot catches
stop signals before it imports anything else. Both are not dumpable (``contract.dumpable``).
"""

import sys


def main() -> int:
    """Run the command that ``sys.argv`` names and return its exit code."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "boot":
        from contract import exit_codes
        from entrypoint import stop

        try:
            stop.arm()  # a stop that waits since before the interpreter started comes here
            from contract import dumpable, errors

            try:
                dumpable.forbid()
            except errors.BootsealError as error:
                return _refuse(str(error))
            from entrypoint import boot

            code = boot.main(sys.argv[2:])
            stop.block()  # the boot has ended with its own code: a stop changes nothing any more
            return code  # noqa: TRY300  (a stop may come at any line above)
        except stop.Stopped as stopped:
            return exit_codes.from_signal(stopped.number)
    if command == "stage-b":
        from contract import dumpable, errors, exit_codes

        try:
            dumpable.forbid()
        except errors.BootsealError as error:
            print(f"stage-b: {error}", file=sys.stderr)
            return exit_codes.INFRASTRUCTURE_FAILURE
        from entrypoint import stage_b

        return stage_b.main(sys.argv[2:], confined=True)
    from entrypoint import cli

    return cli.main()


def _refuse(cause: str) -> int:
    from contract import events, exit_codes, termination

    code = exit_codes.INFRASTRUCTURE_FAILURE
    events.Emitter("stage-a", "", None).emit("BootstrapFailed", phase="start", cause=cause, exit_code=code)
    termination.write(cause)
    return code


if __name__ == "__main__":
    sys.exit(main())
