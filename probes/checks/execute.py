"""exec: a command exits 0.

Rules
-----
* It runs in a session and process group of its own, which is killed when the command ended, ran out of time or is not
  wanted any more: a check leaves nothing behind.
* It is always reaped, by the thread that waits for it, whatever becomes of the check. The group is killed only while the
  command is not reaped: until then its number cannot belong to others.
* Its end is waited for, not the end of its output, which a grandchild may hold open. Of its output the last 4 KiB are
  kept and some 200 characters are shown, without any secret and any value of its environment, which may be one. What was
  kept begins where the output was cut, perhaps within a secret: that edge is not shown.
* It is given the environment, secrets, user and directory of its program, nothing to read, and none of our descriptors.
"""

import asyncio
import contextlib
import functools
import os
import signal
import subprocess
import threading
from typing import Any, Self

from contract import errors, exit_codes, masking, rundir
from manifest import plan, serving
from probes import detached
from probes.checks import connect, verdict
from supervisord import credentials, spawn

_KEPT_BYTES = 4096
_SHOWN_CHARACTERS = 200
_CHUNK = 65536
_LAST_READS = 4
_FLOOD_PAUSE_SECONDS = 0.002
_LEAST_SECRET = 8
_NOT_OF_THE_PROGRAM = frozenset({"SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME", *serving.VARIABLES})
"""What supervisord and the plan add to our own environment: they are about the probe server."""

_given = credentials.Credentials((), rundir.RunDirectory(rundir.DEFAULT))


def use(given: credentials.Credentials) -> None:
    """Give checks the secrets of their programs from now on."""
    global _given  # noqa: PLW0603  (one boot a process, and a check knows its program only)
    _given = given
    _hidden_of.cache_clear()


async def check(wanted: plan.CheckPlan, program: plan.ProgramPlan) -> verdict.Outcome:
    """Run the command once. There is no deadline here: the caller cancels, and then it is killed."""
    try:
        environment = environment_of(program)
    except errors.BootsealError as error:
        return verdict.failed(str(error))
    reading, writing = os.pipe2(os.O_CLOEXEC)
    with _Output(reading) as output:
        try:
            # This holds the interpreter until the child's exec (vfork), a millisecond, in whichever thread it is done.
            command = _Command(
                subprocess.Popen(  # noqa: ASYNC220
                    wanted.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=writing,
                    stderr=writing,
                    env=environment,
                    start_new_session=True,
                    **_place(program),
                )
            )
        except OSError as error:
            return verdict.failed(f"{error.filename or wanted.argv[0]}: {connect.words(error)}")
        finally:
            os.close(writing)
        try:
            code = await detached.call("check", command.reap)
        finally:
            command.kill()
        if code == 0:
            return verdict.PASSED
        ended = f"exited with code {code}" if code > 0 else f"was killed by signal {-code}"
        said = _said(output, environment)[-_SHOWN_CHARACTERS:]
        return verdict.failed(f"{wanted.argv[0]} {ended}{f': {said}' if said else ''}")


def environment_of(program: plan.ProgramPlan) -> dict[str, str]:
    """Return the environment of a check of ``program``: the program's, without what names the probe server.

    Raises BootsealError naming a secret that it cannot have.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _NOT_OF_THE_PROGRAM}
    return spawn.environment(program, inherited) | _given.environment(program.name)


def masked(text: str, environment: dict[str, str], declared: masking.Hidden | None = None) -> str:
    """Return ``text`` without the secrets ``declared``, those of ``environment`` by their names, and all its other values.

    A value shorter than 8 is no secret.
    """
    values = {name: value for name, value in environment.items() if len(value) >= _LEAST_SECRET}
    own = masking.suspected(values), masking.Hidden(words=values.values())
    return masking.mask(text, *own, *(() if declared is None else (declared,)))


def _said(output: "_Output", environment: dict[str, str]) -> str:
    """Return what is shown of ``output``; where the secrets are not known, nothing."""
    try:
        text = masked(output.text(), environment, _hidden_of(_given))
    except errors.BootsealError:
        return masking.SHOWN
    return text[masking.MARGIN if output.was_cut else 0 :].strip()


@functools.lru_cache(maxsize=1)  # they are what they are for this boot, and a check may fail every second
def _hidden_of(given: credentials.Credentials) -> masking.Hidden:
    return given.hidden()


def _place(program: plan.ProgramPlan) -> dict[str, Any]:
    """Return how Popen makes the command a process of the program's user, in the program's directory."""
    directory = program.directory or "/"
    if program.user is None:
        return {"cwd": directory}

    def enter() -> None:  # the last before the exec: as root without CAP_DAC_OVERRIDE it might not be let in
        try:
            os.chdir(directory)
        except OSError as error:
            os.write(2, f"{directory}: {connect.words(error)}\n".encode("utf-8", "replace"))
            os._exit(exit_codes.NOT_FOUND)

    return {"user": program.user.uid, "group": program.user.gid, "extra_groups": [], "preexec_fn": enter}


class _Command:
    """A process of ours, reaped in one thread and killed from another."""

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process
        self._lock = threading.Lock()

    def reap(self) -> int:
        """Wait for its end, sweep its group and return its exit code, negative for a signal. Blocks."""
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        self.kill()
        with self._lock:
            return self._process.wait()

    def kill(self) -> None:
        """Kill its whole group, unless it is reaped."""
        with self._lock, contextlib.suppress(ProcessLookupError, PermissionError):
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)


class _Output:
    """The end of what a command prints, read from the descriptor ``reading`` while the loop turns."""

    def __init__(self, reading: int) -> None:
        self._fd = reading
        self._loop = asyncio.get_running_loop()
        self._kept = b""
        self.was_cut = False
        self._pause: asyncio.TimerHandle | None = None
        os.set_blocking(reading, False)

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)

    def text(self) -> str:
        """Return the last lines, also of what is only in the pipe yet."""
        for _ in range(_LAST_READS):  # not to the end: who left the group may print for ever
            if self._take() != _CHUNK:
                break
        return self._kept.decode("utf-8", "replace")

    def _listen(self) -> None:
        self._loop.add_reader(self._fd, self._read)

    def _read(self) -> None:
        taken = self._take()
        if taken in {0, _CHUNK}:
            self._loop.remove_reader(self._fd)
        if taken == _CHUNK:  # a flood must not keep the loop from everything else
            self._pause = self._loop.call_later(_FLOOD_PAUSE_SECONDS, self._listen)

    def _take(self) -> int:
        """Read once; return how many bytes came, 0 at the end, -1 when there is nothing now."""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return -1
        limit = _KEPT_BYTES + masking.MARGIN
        self.was_cut = self.was_cut or len(self._kept) + len(data) > limit
        self._kept = (self._kept + data)[-limit:]
        return len(data)
