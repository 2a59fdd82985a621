"""Asks supervisor's own parser whether it accepts a configuration: ``python -m supervisord.preflight CONFIG``.

Rules
-----
* It runs in a process of its own: the parser ends the process, reads the environment and imports plug-ins.
* It parses exactly as supervisord would and opens nothing. Only the run directory may be missing: boot makes it.
* Accepted: supervisor's version on standard output, exit 0. Refused: the reason on standard error, exit 2. No supervisor
  that can be imported: exit 127.
"""

import io
import os
import sys
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

if __name__ == "__main__":
    # Isolated mode leaves our own folder out of sys.path, and this may be a checkout. Last: it must shadow nothing.
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from contract import errors, exit_codes

_SECONDS = 30.0


def command(python: str, config: str) -> list[str]:
    """Return the command line that asks ``python``'s supervisor about ``config``."""
    return [python, "-I", "-X", "utf8", os.path.abspath(__file__), config]


def prove(data: bytes) -> str:
    """Return the version of supervisor that accepts the configuration ``data``.

    It is that of the interpreter which runs this; a child process asks it, for at most 30 s. Raises BootsealError.
    """
    import subprocess

    with tempfile.TemporaryDirectory(prefix="bootseal.") as folder:
        config = os.path.join(folder, "supervisord.conf")
        with open(config, "xb") as file:
            file.write(data)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "TMPDIR": folder}
        try:
            child = subprocess.run(
                command(sys.executable, config),
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise errors.BootsealError(
                "supervisord.conf", f"supervisor's parser did not end within {_SECONDS:g} s", "try again"
            ) from error
    if child.returncode != exit_codes.OK:
        reason = child.stderr.decode("utf-8", "replace").replace(f"{folder}/", "").strip()[-1000:]
        raise errors.BootsealError("supervisord.conf", reason or f"supervisor's parser exited {child.returncode}")
    return child.stdout.decode("ascii", "replace").strip()


def main(argv: list[str]) -> int:
    """Judge the configuration that ``argv`` names and return the exit code."""
    if len(argv) != 1:
        print("preflight: it takes one argument (name the supervisord.conf)", file=sys.stderr)
        return exit_codes.USAGE_ERROR
    try:
        from supervisor import options
    except ImportError as error:
        print(f"supervisor cannot be imported: {error} (install supervisor beside bootseal)", file=sys.stderr)
        return exit_codes.NOT_FOUND
    refusal = why_refused(options, argv[0])
    if refusal is not None:
        print(refusal, file=sys.stderr)
        return exit_codes.USAGE_ERROR
    print(options.VERSION)
    return exit_codes.OK


def why_refused(options: Any, config: str) -> str | None:
    """Return why ``supervisor.options`` refuses the file ``config``, or None when it accepts it."""
    _tolerate_missing_directories(options)
    said = io.StringIO()
    try:
        with redirect_stdout(said), redirect_stderr(said):
            server = options.ServerOptions()
            server.stdout = server.stderr = said
            server.realize(["-c", config, "-n"], doc="")
    except SystemExit:
        lines = said.getvalue().strip().splitlines()
        return lines[0].removeprefix("Error: ") if lines else "supervisor's parser ended without a word"
    except Exception as error:  # whatever the parser raises, it would have ended supervisord
        return f"{type(error).__name__}: {error}"
    warnings = [*server.parse_warnings]
    return "; ".join(warnings) or None


def _tolerate_missing_directories(options: Any) -> None:
    """Let a path's directory be missing: only those of the run directory are in our configuration, and boot makes them."""
    options.existing_directory = os.path.expanduser
    options.existing_dirpath = os.path.expanduser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
